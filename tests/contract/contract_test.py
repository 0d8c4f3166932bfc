#!/usr/bin/env python3
"""Holds the answers of a running gateway against openapi.yaml.

    contract_test.py --url http://127.0.0.1:8080 --token TOKEN --to ana@example.org/desk \\
                     --link http://127.0.0.1:8080/d/…/a.txt --revoke tr_… --webhook ci

The recipient must be online and accept files; the link is one of the gateway's own, to a file of at least 4 bytes, that
nobody needs any more: its transfer is deleted. Nobody needs to listen where the webhook leads. Calls every operation of the description, well and badly, and checks of
each answer that its status, its content type, its headers and its body are as described. An operation that was never
called with success is a failure, and so is an answer that is not described. Needs python3-yaml and python3-jsonschema.
"""
import argparse
import base64
import http.client
import json
import re
import sys
import urllib.parse
from pathlib import Path

import jsonschema
import yaml

from violations import violations

DESCRIPTION = Path(__file__).resolve().parents[2] / "openapi.yaml"
METHODS = ("get", "head", "put", "post", "patch", "delete", "options")
NOBODY = "tr_" + "0" * 26
NO_ITEM = "in_" + "0" * 26
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()
        self.type = self.headers.get("content-type", "").partition(";")[0].strip()

    @property
    def json(self):
        return json.loads(self.body)


class Stream:
    """The beginning of one: an answer, and the events in it."""

    def __init__(self, response, text):
        self.status, self.body = response.status, text
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.type = self.headers.get("content-type", "")
        self.events = [dict(line.split(": ", 1) for line in block.splitlines())
                       for block in text.decode().split("\n\n") if "event: " in block]


class Operation:
    def __init__(self, path, method, item, described):
        self.path = path
        self.method = method.upper()
        self.described = described
        self.parameters = item.get("parameters", []) + described.get("parameters", [])
        self.open = described.get("security") == []
        self.public = "links" in described["tags"]
        self.seen = set()

    @property
    def name(self):
        return self.described["operationId"]


class Contract:
    def __init__(self, url, token, validator):
        self.at = urllib.parse.urlsplit(url)
        self.token = token
        self.validator = validator
        self.text = DESCRIPTION.read_bytes()
        self.document = yaml.safe_load(self.text)
        self.failures = []
        self.checks = 0
        self.operations = {}
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    operation = Operation(path, method, item, item[method])
                    self.operations[operation.name] = operation

    def fail(self, where, what):
        self.failures.append(f"{where}: {what}")

    def check(self, holds, where, what):
        self.checks += 1
        if not holds:
            self.fail(where, what)

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            target = self.document
            for key in node["$ref"].removeprefix("#/").split("/"):
                target = target[key]
            node = target
        return node

    def schema_errors(self, schema, value):
        """References into #/components are resolved inside the schema itself."""
        whole = {**schema, "components": self.document["components"]}
        for error in jsonschema.Draft202012Validator(whole).iter_errors(value):
            yield f"{'/'.join(map(str, error.absolute_path)) or 'body'}: {error.message[:300]}"

    # ---- requests

    def send(self, method, target, body=None, headers=None, token=True):
        connection = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=120)
        headers = dict(headers or {})
        if token and self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            if isinstance(body, bytes):
                headers.setdefault("Content-Length", str(len(body)))
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def call(self, name, want, path=None, query=None, body=None, headers=None, token=True, strange=False):
        """Calls an operation, checks the answer, and that its status is one of want. strange: with what is not in the
        description, to see it refused."""
        operation = self.operations[name]
        target = operation.path
        for key, value in (path or {}).items():
            target = target.replace("{%s}" % key, urllib.parse.quote(value, safe="@"))
        if query:
            target += "?" + urllib.parse.urlencode(query)
        if body is None and "requestBody" in operation.described:
            body = b"hello\n"
        where = f"{operation.method} {target}"
        if not strange:
            self.check_request(operation, where, query or {}, headers or {})
        answer = self.send(operation.method, target, body, headers, token)
        for violation in violations(answer.status, answer.headers) if self.validator else ():
            self.fail(where, violation)
        wanted = want if isinstance(want, tuple) else (want,)
        self.check(answer.status in wanted, where, f"{answer.status}, not {wanted}: {answer.body[:500]!r}")
        self.check_answer(operation, where, answer)
        operation.seen.add(answer.status)
        return answer

    def check_request(self, operation, where, query, headers):
        described = {(p["in"], p["name"].lower()) for p in map(self.resolve, operation.parameters)}
        for name in dict(query):
            self.check(("query", name.lower()) in described, where, f"the query's '{name}' is not described")
        for name in headers:
            if name.lower() not in ("accept", "content-type", "x-request-id"):
                self.check(("header", name.lower()) in described, where, f"the header {name} is not described")

    def follow(self, name, path=None, query=None, headers=None):
        """Calls an operation that sends events, and checks the stream up to its first one, or its end."""
        operation = self.operations[name]
        target = operation.path.replace("{id}", (path or {}).get("id", ""))
        target += "?" + urllib.parse.urlencode(query) if query else ""
        where = f"GET {target}"
        self.check_request(operation, where, query or {}, headers or {})
        connection = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=120)
        try:
            connection.request("GET", target, headers={"Authorization": f"Bearer {self.token}", **(headers or {})})
            response, text = connection.getresponse(), b""
            while b"event: " not in text or not text.endswith(b"\n\n"):
                line = response.readline()
                if not line:
                    break
                text += line
            answer = Stream(response, text)
        finally:
            connection.close()
        self.check(answer.status == 200, where, f"{answer.status}: {text[:500]!r}")
        self.check_answer(operation, where, answer)
        self.check(answer.events, where, f"tells nothing: {text!r}")
        for event in answer.events:
            where = f"GET {target} → {event}"
            self.check(re.fullmatch("[0-9a-f]{8}-[0-9]+", event["id"]), where, "has no good id")
            body = json.loads(event["data"])
            self.check(body["type"] == event["event"], where, f"is {body['type']} in its data")
            for error in self.schema_errors({"$ref": "#/components/schemas/Event"}, body):
                self.fail(where, error)
        operation.seen.add(answer.status)
        return answer.events

    # ---- answers

    def check_answer(self, operation, where, answer):
        described = self.resolve(operation.described["responses"].get(str(answer.status)))
        where = f"{where} → {answer.status}"
        self.check(described is not None, where, f"is not described: {answer.body[:500]!r}")
        if described is None:
            return
        for name, header in described.get("headers", {}).items():
            self.check_header(where, answer, name, self.resolve(header))
        content = described.get("content")
        if not content:
            self.check(answer.body == b"", where, "has a body")
            return
        kind = "*/*" if "*/*" in content else answer.type
        self.check(kind in content, where, f"is {answer.type or 'without a type'}, not {list(content)}")
        if kind in content:
            self.check_body(where, answer, content[kind]["schema"])
        self.check(answer.headers.get("cache-control") == "no-store", where, "may be stored")
        self.check(answer.headers.get("x-content-type-options") == "nosniff", where, "may be sniffed")

    def check_header(self, where, answer, name, described):
        value = answer.headers.get(name.lower())
        if value is None:
            self.check(not described.get("required"), where, f"has no {name}")
            return
        for error in self.schema_errors(described["schema"], value):
            self.fail(where, f"{name}: {error}")

    def check_body(self, where, answer, schema):
        if "json" not in answer.type:
            value = answer.body.decode()
        else:
            one_line = answer.body.endswith(b"\n") and answer.body.count(b"\n") == 1
            self.check(one_line or self.validator, where, "is not one line")
            value = answer.json
        if isinstance(value, dict) and "problem" in answer.type:
            self.check(value.get("status") == answer.status, where, f"says status {value.get('status')}")
        self.checks += 1
        for error in self.schema_errors(schema, value):
            self.fail(where, error)

    # ---- the end

    def summary(self):
        for operation in self.operations.values():
            documented = {int(status) for status in operation.described["responses"]}
            if not any(status < 400 for status in operation.seen):
                self.fail(operation.name, "was never called with success")
            unseen = ", ".join(map(str, sorted(documented - operation.seen))) or "-"
            print(f"{operation.name:16} seen {', '.join(map(str, sorted(operation.seen)))}; not seen {unseen}")
        for failure in self.failures:
            print(f"FAILED {failure}")
        print(f"{self.checks} checks, {len(self.failures)} failures")
        return not self.failures


def form(fields, filename="form.txt", content=b"from a form\n", file_last=True):
    parts = [f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields.items()]
    file = (f'--frontier\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: text/plain\r\n\r\n").encode() + content + b"\r\n"
    parts = parts + [file] if file_last else [file] + parts
    return b"".join(parts) + b"--frontier--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=frontier"}


def about_itself(c):
    for name in "getLive", "getRoot", "getXmpp", "listProxySessions":
        c.call(name, 200)
    c.call("getReady", 200)
    ready = c.call("getReady", 200, query={"verbose": ""})
    c.check("checks" in ready.json, "GET /readyz?verbose", "has no checks")
    c.call("getMetrics", 200)
    page = c.call("getMetrics", 200, headers={"Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"})
    c.check(page.type == "application/openmetrics-text", "GET /metrics as OpenMetrics", f"is {page.type}")
    served = c.call("getDescription", 200)
    c.check(served.body == c.text, "GET /v1/openapi.yaml", "is not the description that was tested")
    for code in "recipient_offline", "spool_full", "jid_invalid":
        page = c.call("getProblem", 200, path={"code": code})
        c.check(code in page.body.decode(), f"GET /problems/{code}", "does not name it")
    c.call("listProblems", 200)
    c.call("getProblem", 200, path={"code": "gone"}, headers={"Accept": "text/html"})
    c.call("getProblem", 404, path={"code": "no_such_problem"})
    answer = c.call("getRoot", 200, headers={"X-Request-Id": "contract-1"})
    c.check(answer.headers["x-request-id"] == "contract-1", "GET /v1", "does not echo X-Request-Id")


def sending(c, to):
    """Every way in; returns the ids of what was sent."""
    named = {"jid": to, "name": "contract.txt"}
    ids = []
    ids.append(c.call("putNamedFile", 200, path=named, query={"wait": "60", "digest": "sha-256"}).json["id"])
    ids.append(c.call("postNamedFile", 200, path=named, query={"wait": "60s", "caption": "a caption", "ttl": "1h"},
                      headers={"Content-Type": "text/plain"}).json["id"])
    ids.append(c.call("putFile", 200, path={"jid": to}, query={"name": "b.txt"}, headers={"Prefer": "wait=60"}).json["id"])
    ids.append(c.call("postFile", 202, path={"jid": to}, headers={
        "Prefer": "respond-async", "Content-Disposition": "attachment; filename*=UTF-8''%E2%82%AC.txt",
        "Content-Type": "application/octet-stream"}).json["id"])
    ids.append(c.call("postFile", 200, path={"jid": to}, query={"wait": "60"}, body=form({}), headers=FORM).json["id"])
    ids.append(c.call("postForm", 202, body=form({"to": to, "caption": "later"}, file_last=False),
                      headers=FORM).json["id"])
    ids.append(c.call("postForm", 200, query={"wait": "60", "to": to}, body=form({"name": "named.txt"}),
                      headers=FORM).json["id"])
    marked = c.call("putNamedFile", 202, path=named, query=[("label", "job:contract"), ("label", "n:1")])
    c.check(marked.json["labels"] == {"job": "contract", "n": "1"}, "?label=", f"became {marked.json['labels']}")
    ids.append(marked.json["id"])
    words = c.call("putNamedFile", (200, 202), path=named, headers={"Accept": "text/plain"})
    c.check(words.type == "text/plain", "PUT with Accept: text/plain", f"is {words.type}")
    ids.append(words.body.decode().split(" ")[0])
    return ids


def batches(c, to):
    """Two files in one form; the batch they make."""
    two = form({"label": "job:batch"})[:-len(b"--frontier--\r\n")] + form({}, filename="b.txt")
    made = c.call("postFile", 202, path={"jid": to}, body=two, headers=FORM)
    path = {"batch": made.json["id"]}
    waited = c.call("getBatch", 200, path=path, query={"wait": "60"})
    c.check(waited.json["totals"]["delivered"] == 2, "GET /v1/batches/{id}?wait=", f"is {waited.body[:300]}")
    c.call("getBatch", 304, path=path, headers={"If-None-Match": waited.headers["etag"]})
    c.call("getBatch", 200, path=path, headers={"Accept": "text/plain"})
    c.call("getBatch", 404, path={"batch": "ba_" + "0" * 26})
    c.call("getBatch", 422, path=path, query={"wait": "soon"})
    c.call("postForm", 200, query=[("wait", "60"), ("to", to)], body=two, headers=FORM)
    nobody = "nobody-at-all@" + to.partition("@")[2].partition("/")[0]
    if not c.validator:  # of two kinds of JSON it knows but the first
        c.call("postForm", (409, 422, 502), query=[("wait", "60"), ("to", to), ("to", nobody)], body=form({}),
               headers=FORM)
    listed = c.call("listTransfers", 200, query=[("label", "job:batch")])
    c.check(len(listed.json["items"]) == 4, "GET /v1/transfers?label=", f"has {len(listed.json['items'])} items")
    return made.json["id"]


def orders(c, to):
    """JSON; there is no folder that files may be sent from."""
    kind = {"Content-Type": "application/json"}
    for body, status in ((b'{"to":', 400), (b'{"to":"@@","source":{"path":"/a"}}', 400),
                         (json.dumps({"to": to, "source": {"path": "/etc/passwd"}}).encode(), 403),
                         (json.dumps({"to": to, "source": {"upload_id": "up_1"}}).encode(), 404),
                         (json.dumps({"to": to, "sorce": {}}).encode(), 422)):
        if status != 400 or not c.validator:  # which reads JSON itself
            c.call("postForm", status, body=body, headers=kind)


def badly_sent(c, to):
    named = {"jid": to, "name": "contract.txt"}
    plain = {"Content-Type": "text/plain"}
    for name in "putNamedFile", "postNamedFile":
        c.call(name, 400, path={"jid": "@@", "name": "a"})
        c.call(name, 422, path={"jid": to, "name": "a/b"})
        c.call(name, 422, path=named, query={"wait": "soon"})
        if not c.validator:  # which has its own word on these
            c.call(name, 413, path=named, body="", headers={"Content-Length": str(10 ** 15)}, strange=True)
            c.call(name, 415, path=named, headers={"Content-Type": "nonsense"})
        c.call(name, 400, path=named, body=b"b", headers={"Content-Digest": "sha-256=:%s=:" % ("A" * 43)})
        c.call(name, 400, path=named, headers={"Idempotency-Key": "a b"})
    for again in None, "true":
        answer = c.call("putNamedFile", 202, path=named, body=b"b", headers={"Idempotency-Key": '"contract"'})
        c.check(answer.headers.get("idempotent-replayed") == again, "putNamedFile", "is not replayed, or too early")
    c.call("putNamedFile", 422, path=named, body=b"bb", headers={"Idempotency-Key": '"contract"'})
    for name in "putFile", "postFile":
        c.call(name, 400, path={"jid": "a\x01b@example.org"})
        c.call(name, 422, path={"jid": to}, query={"name": "a\x01b"})
        c.call(name, 422, path={"jid": to}, query={"methods": "pigeon"})
        if not c.validator:
            c.call(name, 415, path={"jid": to}, headers={"Content-Type": "nonsense"})
    c.call("postForm", 415, headers=plain)
    c.call("postForm", 400, body=form({"to": "@@"}), headers=FORM)
    c.call("postForm", 422, body=form({}), headers=FORM)
    c.call("postForm", 422, body=form({"to": to}, filename="a/b"), headers=FORM)
    c.call("postForm", 400, body=form({"to": to})[:-6], headers=FORM)


def what_became_of_it(c, ids):
    for identifier in ids:
        c.call("getTransfer", 200, path={"id": identifier}, query={"wait": "60"})
    first = c.call("getTransfer", 200, path={"id": ids[0]})
    c.call("getTransfer", 304, path={"id": ids[0]}, headers={"If-None-Match": first.headers["etag"]})
    c.call("getTransfer", 200, path={"id": ids[0]}, headers={"Accept": "text/plain"})
    c.call("getTransfer", 404, path={"id": NOBODY})
    c.call("getTransfer", 422, path={"id": ids[0]}, query={"wait": "soon"})
    c.call("cancelTransfer", 200, path={"id": ids[0]})
    c.call("cancelTransfer", 200, path={"id": ids[0]}, headers={"Accept": "text/plain"})
    c.call("cancelTransfer", 404, path={"id": NOBODY})
    c.call("retryTransfer", 404, path={"id": NOBODY})
    c.call("retryTransfer", 409, path={"id": ids[0]})
    sent_to = first.json["to"]
    page = c.call("listTransfers", 200, query={"limit": "2", "to": sent_to, "state": "delivered",
                                               "since": "2020-01-01T00:00:00Z"})
    c.check(len(page.json["items"]) == 2, "GET /v1/transfers?limit=2", f"has {len(page.json['items'])} items")
    link = re.fullmatch(r'<(.*)>; rel="next"', page.headers.get("link", ""))
    c.check(link and link.group(1) == page.json["next"], "GET /v1/transfers", "its Link is not its next")
    if link:
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(link.group(1)).query))
        c.call("listTransfers", 200, query=query)
    for bad in {"state": "lost"}, {"limit": "0"}, {"since": "yesterday"}, {"cursor": "x"}:
        c.call("listTransfers", 422, query=bad)
    c.call("listTransfers", 400, query={"to": "@@"})


def followed(c, ids):
    path = {"id": ids[0]}
    end = c.follow("followTransfer", path)[0]
    c.check(end["event"] == "transfer.delivered", "GET …/events", f"tells {end['event']}")
    c.call("followTransfer", 204, path, headers={"Last-Event-ID": end["id"]})
    c.follow("followTransfer", path, {"last_event_id": "00000000-1"})
    c.call("followTransfer", 404, {"id": NOBODY})
    c.call("followAll", 422, query={"type": "transfer.lost"})
    c.call("followAll", 400, query={"to": "@@"})
    if c.validator:
        c.operations["followAll"].seen.add(200)  # it never ends, and Prism passes on what has
        return
    gap = c.follow("followAll", query={"type": "transfer.delivered", "to": "ana@example.org"},
                   headers={"Last-Event-ID": "00000000-1"})[0]
    c.check(gap["event"] == "reset", "GET /v1/events", f"tells {gap['event']} of a gap")


def uploads(c, to):
    """In parts, by tus."""
    c.call("getUploadOptions", 204)
    meta = {"Upload-Metadata": ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in
                                        (("to", to), ("filename", "parts.txt")))}
    begun = c.call("createUpload", 201, body=b"", headers={**TUS, **meta, "Upload-Length": "6"})
    path = {"upload": begun.headers["location"].rpartition("/")[2]}
    c.call("headUpload", 200, path=path, headers=TUS)
    c.call("patchUpload", 204, path=path, body=b"abc", headers={**BYTES, "Upload-Offset": "0"})
    c.call("patchUpload", 409, path=path, body=b"abc", headers={**BYTES, "Upload-Offset": "0"})
    c.call("patchUpload", 400, path=path, body=b"abcd", headers={**BYTES, "Upload-Offset": "3"})
    c.call("patchUpload", 415, path=path, body=b"abc", headers={**TUS, "Upload-Offset": "3"})
    c.call("patchUpload", 412, path=path, body=b"abc", headers={"Upload-Offset": "3"})
    c.call("patchUpload", 460, path=path, body=b"abc", headers={
        **BYTES, "Upload-Offset": "3", "Upload-Checksum": "sha1 " + base64.b64encode(bytes(20)).decode()})
    last = c.call("patchUpload", 204, path=path, body=b"def", headers={**BYTES, "Upload-Offset": "3"})
    c.check("transfer-location" in last.headers, "PATCH /v1/uploads/{upload}", "leads to no transfer")
    again = c.call("headUpload", 200, path=path, headers=TUS)
    c.check(again.headers.get("transfer-location") == last.headers["transfer-location"], "HEAD of a whole upload",
            f"leads to {again.headers}")
    c.call("endUpload", 409, path=path, headers=TUS)
    whole = c.call("createUpload", 201, body=b"abc", headers={**BYTES, "Upload-Defer-Length": "1"})
    path = {"upload": whole.headers["location"].rpartition("/")[2]}
    c.call("headUpload", 200, path=path, headers=TUS)
    order = json.dumps({"to": to, "source": {"upload_id": path["upload"]}}).encode()
    c.call("postForm", 409, body=order, headers={"Content-Type": "application/json"})
    c.call("postForm", 404, body=order.replace(path["upload"].encode(), b"up_" + b"0" * 26),
           headers={"Content-Type": "application/json"})
    if not c.validator:  # which stumbles over refusals without a body
        c.call("headUpload", 412, path=path)
    c.call("endUpload", 412, path=path)
    c.call("endUpload", 204, path=path, headers=TUS)
    for name in ("endUpload",) if c.validator else ("headUpload", "endUpload"):
        c.call(name, 410, path=path, headers=TUS)
        c.call(name, 404, path={"upload": "up_" + "0" * 26}, headers=TUS)
    c.call("patchUpload", 410, path=path, headers={**BYTES, "Upload-Offset": "3"})
    c.call("patchUpload", 404, path={"upload": "up_" + "0" * 26}, headers={**BYTES, "Upload-Offset": "3"})
    c.call("createUpload", 400, body=b"", headers=TUS)
    c.call("createUpload", 412, body=b"")
    c.call("createUpload", 413, body=b"", headers={**TUS, "Upload-Length": str(10 ** 15)})
    c.call("createUpload", 415, headers={**TUS, "Upload-Length": "6"})
    c.call("createUpload", 422, body=b"", headers={**TUS, "Upload-Length": "6", "Upload-Metadata": "to x"}, strange=True)
    c.call("createUpload", 460, headers={
        **BYTES, "Upload-Length": "6", "Upload-Checksum": "sha1 " + base64.b64encode(bytes(20)).decode()})


def links(c, link, identifier):
    path = dict(zip(("secret", "name"), map(urllib.parse.unquote, urllib.parse.urlsplit(link).path.split("/")[-2:])))
    whole = c.call("download", 200, path=path, token=False)
    part = c.call("download", 206, path=path, headers={"Range": "bytes=1-3", "If-Range": whole.headers["etag"]})
    c.check(part.body == whole.body[1:4], "GET /d/ by range", f"is {part.body!r} of {whole.body!r}")
    c.call("download", 304, path=path, headers={"If-None-Match": whole.headers["etag"]})
    c.call("download", 304, path=path, headers={"If-Modified-Since": whole.headers["last-modified"]})
    c.call("download", 416, path=path, headers={"Range": f"bytes={len(whole.body)}-"})
    c.call("download", 404, path={**path, "name": "another"})
    c.call("download", 404, path={**path, "secret": "0" * 32})
    every_operation_is_guarded(c, path)
    every_path_names_its_methods(c, path)
    sent = c.call("getTransfer", 200, path={"id": identifier}, query={"wait": "1"})
    c.check(sent.json["link"] and sent.json["link"]["own"], "GET /v1/transfers/{id}", f"has no link: {sent.json}")
    revoked = c.call("cancelTransfer", 200, path={"id": identifier})
    c.check(revoked.json["link"]["expires"] < sent.json["link"]["expires"], "DELETE", "does not end the link")
    c.call("download", 410, path=path)


def inbox(c, item):
    """item: the id of a file in it, which is deleted; None: nothing was ever sent to the gateway."""
    c.call("listInbox", 200, query={"from": "romeo@example.net", "to": "gw@example.org", "state": "failed", "limit": "1",
                                    "since": "2020-01-01T00:00:00Z"})
    waited = c.call("listInbox", 200, headers={"Prefer": "wait=1"})
    c.check(waited.headers.get("preference-applied") == "wait=1", "GET /v1/inbox", f"waits not: {waited.headers}")
    c.call("listInbox", 200, query={"wait": "1", "after": item or NO_ITEM})
    for bad in {"state": "lost"}, {"limit": "0"}, {"cursor": "x"}, {"after": "x"}, {"wait": "soon"}:
        c.call("listInbox", 422, query=bad)
    c.call("listInbox", 400, query={"to": "@@"})
    for name in "getInboxItem", "getInboxContent", "deleteInboxItem":
        c.call(name, 404, path={"item": NO_ITEM})
        if not item:
            c.operations[name].seen.add(200)
    if not item:
        return
    path = {"item": item}
    c.check(item in [i["id"] for i in waited.json["items"]], "GET /v1/inbox", f"lacks {item}")
    whole = c.call("getInboxContent", 200, path=path)
    c.call("getInboxContent", 206, path=path, headers={"Range": "bytes=1-", "If-Range": whole.headers["etag"]})
    c.call("getInboxContent", 304, path=path, headers={"If-None-Match": whole.headers["etag"]})
    c.call("getInboxContent", 416, path=path, headers={"Range": f"bytes={len(whole.body)}-"})
    got = c.call("getInboxItem", 200, path=path)
    c.call("getInboxItem", 304, path=path, headers={"If-None-Match": got.headers["etag"]})
    c.call("deleteInboxItem", 200, path=path)
    c.call("deleteInboxItem", 404, path=path)


def recipients(c, to):
    there = c.call("getRecipient", 200, path={"jid": to})
    c.check(there.json["reachable"], f"GET /v1/recipients/{to}", "is not reachable")
    bare, _, resource = to.partition("/")
    c.call("getRecipient", 200, path={"jid": bare}, query={"resource": resource or "none"})
    nobody = "nobody-at-all@" + bare.partition("@")[2]
    away = c.call("getRecipient", 200, path={"jid": nobody})
    c.check(away.json["error"], f"GET /v1/recipients/{nobody}", "has no reason")
    c.call("getRecipient", 400, path={"jid": "@@"})
    failed = c.call("putNamedFile", (409, 422, 502), path={"jid": nobody, "name": "a"},
                    query={"wait": "60", "mode": "spool"})
    c.call("retryTransfer", 202, path={"id": failed.json["transfer"]["id"]})


def webhooks(c, name):
    """Returns the id of a delivery."""
    hooks = c.call("listWebhooks", 200).json["items"]
    c.check(name in [hook["name"] for hook in hooks], "GET /v1/webhooks", f"lacks {name}: {hooks}")
    c.call("testWebhook", 200, path={"webhook": name})
    c.call("testWebhook", 404, path={"webhook": "nobody"})
    page = c.call("listDeliveries", 200, path={"webhook": name}, query={"limit": "1"})
    link = re.fullmatch(r'<(.*)>; rel="next"', page.headers.get("link", ""))
    c.check(link and link.group(1) == page.json["next"], "GET deliveries", "its Link is not its next")
    identifier = page.json["items"][0]["id"]
    c.call("listDeliveries", 200, path={"webhook": name}, query={"state": "pending", "cursor": identifier})
    c.call("listDeliveries", 404, path={"webhook": "nobody"})
    for bad in {"state": "lost"}, {"limit": "0"}, {"cursor": "x"}:
        c.call("listDeliveries", 422, path={"webhook": name}, query=bad)
    c.call("redeliver", 202, path={"webhook": name, "delivery": identifier})
    c.call("redeliver", 404, path={"webhook": name, "delivery": "wd_" + "0" * 26})
    c.call("redeliver", 404, path={"webhook": name, "delivery": "wd_"})
    return identifier


def every_operation_is_guarded(c, path):
    for name, operation in c.operations.items():
        needed = set(re.findall(r"{(\w+)}", operation.path))
        if not needed <= set(path):
            continue
        values = {key: path[key] for key in needed}
        headers = FORM if name == "postForm" else {}
        if not operation.public:
            c.call(name, 403, path=values, headers={**headers, "Origin": "https://evil.example"}, strange=True)
        c.call(name, 422, path=values, query={"no_such_parameter": "1"}, headers=headers, strange=True)
        if c.token and not operation.open:
            c.call(name, 401, path=values, headers=headers, token=False)
            # the eleventh wrong token within a minute is refused by another status
            c.call(name, (401, 429), path=values, headers={**headers, "Authorization": "Bearer nope"}, strange=True)


def every_path_names_its_methods(c, values):
    if c.validator:
        return  # it answers for what is not described by itself
    problem = {"$ref": "#/components/schemas/Problem"}
    for path, item in c.document["paths"].items():
        if not set(re.findall(r"{(\w+)}", path)) <= set(values):
            continue
        target = re.sub(r"{(\w+)}", lambda m: urllib.parse.quote(values[m.group(1)], safe="@"), path)
        described = {method.upper() for method in METHODS if method in item}
        allowed = described | {"OPTIONS"} | ({"HEAD"} if "GET" in described else set())
        options = c.send("OPTIONS", target)
        c.check(options.status == 204, f"OPTIONS {target}", options.status)
        c.check(set(options.headers.get("allow", "").split(", ")) == allowed, f"OPTIONS {target}",
                f"allows {options.headers.get('allow')}, described are {sorted(allowed)}")
        refused = c.send("PATCH", target)
        c.check(refused.status == 405 and "allow" in refused.headers, f"PATCH {target}", refused.status)
        c.check_body(f"PATCH {target}", refused, problem)
        if "GET" in described:
            head = c.send("HEAD", target)
            c.check(head.status == 200 and head.body == b"", f"HEAD {target}", head.status)
    lost = c.send("GET", "/no/such/path")
    c.check(lost.status == 404, "GET /no/such/path", lost.status)
    c.check_body("GET /no/such/path", lost, problem)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--url", required=True)
    arguments.add_argument("--token", default="")
    arguments.add_argument("--to", required=True, help="a recipient who is online and accepts files")
    arguments.add_argument("--link", required=True, help="a link of the gateway's own")
    arguments.add_argument("--revoke", required=True, help="the id of its transfer")
    arguments.add_argument("--validator", action="store_true", help="the URL is a Prism's in front of the gateway")
    arguments.add_argument("--webhook", required=True, help="the name of one")
    arguments.add_argument("--received", help="the id of a file in the inbox")
    given = arguments.parse_args()
    c = Contract(given.url, given.token, given.validator)
    about_itself(c)
    ids = sending(c, given.to)
    batch = batches(c, given.to)
    orders(c, given.to)
    badly_sent(c, given.to)
    what_became_of_it(c, ids)
    followed(c, ids)
    uploads(c, given.to)
    recipients(c, given.to)
    values = {"jid": given.to, "name": "a", "id": ids[0], "batch": batch, "code": "internal", "webhook": given.webhook,
              "delivery": webhooks(c, given.webhook)}
    if given.received:
        values["item"] = given.received
    every_operation_is_guarded(c, values)
    every_path_names_its_methods(c, values)
    inbox(c, given.received)
    links(c, given.link, given.revoke)
    sys.exit(0 if c.summary() else 1)


if __name__ == "__main__":
    main()
