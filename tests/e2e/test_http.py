"""What must not come in does not: each gets its 4xx, and neither the gateway nor its XMPP stream takes harm."""
import base64
import hashlib
import http.client
import os
import re
import socket
import subprocess

from case import Case, DIRECT
from gateway import Answer
from lab import DOMAIN, LOOPBACK, wait_until


class Http(Case):
    def setUp(self):
        super().setUp()
        self.settings = dict(DIRECT)

    def raw(self, gateway, request, hang_up=False):
        """Sends bytes as they are; the answer, or None when the connection was closed without one."""
        with socket.create_connection((LOOPBACK, gateway.port), 20) as connection:
            connection.sendall(request)
            if hang_up:
                return None
            answer = http.client.HTTPResponse(connection)
            try:
                answer.begin()
            except (http.client.BadStatusLine, ConnectionError):
                return None
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())

    def assertUnharmed(self, gateway):
        self.assertEqual(gateway.get("/v1/xmpp").json["reconnects"], 0)
        self.assertDelivered(gateway.put(self.recipient("alice").jid, b"still here", wait=30))
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def table(self, rows):
        """rows: what it is, method and target, headers, body, status, code."""
        gateway = self.gateway(**self.settings)
        for what, method, target, headers, body, status, code in rows:
            with self.subTest(what):
                head = f"{method} {target} HTTP/1.1\r\n"
                if not any(header.lower().startswith("host:") for header in headers):
                    head += f"Host: {LOOPBACK}\r\n"
                head += "".join(header + "\r\n" for header in headers) + "Connection: close\r\n\r\n"
                self.assertFailed(self.raw(gateway, head.encode("latin-1") + body), status, code)
        self.assertUnharmed(gateway)

    def test_recipients_that_are_none(self):
        send = ["Content-Length: 1"]
        self.table([(what, "PUT", f"/v1/to/{to}/a.txt", send, b"x", status, code) for what, to, status, code in (
            ("no recipient", "", 404, "not_found"),
            ("no domain", "alice@", 400, "jid_invalid"),
            ("no name", "@localhost", 400, "jid_invalid"),
            ("two at signs", "@@", 400, "jid_invalid"),
            ("two domains", "a@b@c", 400, "jid_invalid"),
            ("1,024 bytes", "a" * 1024 + "@localhost", 400, "jid_invalid"),
            ("a control character", "al%01ice@localhost", 400, "jid_invalid"),
            ("a line feed", "alice@localhost%0a", 400, "jid_invalid"),
            ("a space", "al%20ice@localhost", 400, "jid_invalid"),
            ("a null byte", "alice%00@localhost", 400, "request_malformed"),
            ("invalid UTF-8", "al%ffice@localhost", 400, "jid_invalid"),
            ("an address in the resource of a domain", "victim.org%2Fa@evil.org", 400, "jid_invalid"),
            ("an empty resource", "alice@localhost%2F", 400, "jid_invalid"),
        )])

    def test_file_names_that_are_none(self):
        send = ["Content-Length: 1"]
        self.table([(what, "PUT", f"/v1/to/alice@localhost%2Fdesk/{name}", send, b"x", status, code)
                    for what, name, status, code in (
            ("a slash", "a%2Fb", 422, "name_invalid"),
            ("a path upwards", "..%2F..%2Fetc%2Fpasswd", 422, "name_invalid"),
            ("a null byte", "a%00b.txt", 400, "request_malformed"),
            ("a control character", "a%01b", 422, "name_invalid"),
            ("a line feed", "a%0ab", 422, "name_invalid"),
            ("invalid UTF-8", "a%ff%feb", 422, "name_invalid"),
            ("a bidirectional override", "evil%E2%80%AEfdp.exe", 422, "name_invalid"),
            ("the folder itself", ".", 422, "name_invalid"),
            ("the folder above", "..", 422, "name_invalid"),
            ("300 bytes", "a" * 300, 422, "name_invalid"),
            ("half an escape", "a%4", 400, "request_malformed"),
        )])

    def test_paths_and_methods_that_are_none(self):
        self.table([
            ("the root of nothing", "GET", "/nothing", [], b"", 404, "not_found"),
            ("an unknown version", "GET", "/v2/transfers", [], b"", 404, "not_found"),
            ("too deep", "PUT", "/v1/to/alice@localhost/a/b", ["Content-Length: 1"], b"x", 404, "not_found"),
            ("upwards", "GET", "/v1/../etc/passwd", [], b"", 404, "not_found"),
            ("an unknown transfer", "GET", "/v1/transfers/tr_nope", [], b"", 404, "not_found"),
            ("PATCH a list", "PATCH", "/v1/transfers", [], b"", 405, "method_not_allowed"),
            ("GET what is for sending", "GET", "/v1/to/alice@localhost/a", [], b"", 405, "method_not_allowed"),
            ("DELETE the gateway", "DELETE", "/v1", [], b"", 405, "method_not_allowed"),
            ("BREW", "BREW", "/v1", [], b"", 405, "method_not_allowed"),
        ])

    def test_parameters_that_are_not_understood(self):
        self.table([(what, "PUT", f"/v1/to/alice@localhost/a?{query}", ["Content-Length: 1"], b"x", 422,
                     "parameter_invalid") for what, query in (
            ("a word for seconds", "wait=soon"),
            ("negative seconds", "wait=-1"),
            ("an unknown method", "methods=pigeon"),
            ("no method", "methods="),
            ("an unknown parameter", "wiat=3"),
            ("the same twice", "wait=1&wait=2"),
            ("an unknown digest", "digest=md4"),
            ("a control character in the caption", "caption=%07"),
        )])

    def test_lengths_that_lie(self):
        self.table([
            ("two lengths", "PUT", "/v1/to/alice@localhost/a", ["Content-Length: 3", "Content-Length: 3"], b"abc",
             400, "length_conflict"),
            ("two different lengths", "PUT", "/v1/to/alice@localhost/a", ["Content-Length: 3", "Content-Length: 30"],
             b"abc", 400, "length_conflict"),
            ("a length beside chunks", "PUT", "/v1/to/alice@localhost/a",
             ["Content-Length: 3", "Transfer-Encoding: chunked"], b"3\r\nabc\r\n0\r\n\r\n", 400, "length_conflict"),
            ("an unknown encoding", "PUT", "/v1/to/alice@localhost/a", ["Transfer-Encoding: gzip"], b"", 400,
             "request_malformed"),
            ("more than a file may have", "PUT", "/v1/to/alice@localhost/a", ["Content-Length: 999999999999999999"],
             b"abc", 413, "body_too_large"),
            ("two hosts", "GET", "/v1", ["Host: localhost", "Host: evil.example"], b"", 400, "request_malformed"),
        ])

    def test_lengths_that_are_no_numbers_never_reach_the_spool(self):
        gateway = self.gateway(**self.settings)
        for length in "-1", "0x10", "1 1", "99999999999999999999999", "":
            with self.subTest(length):
                answer = self.raw(gateway, f"PUT /v1/to/alice@localhost/a HTTP/1.1\r\nHost: {LOOPBACK}\r\n"
                                           f"Content-Length: {length}\r\n\r\nabc".encode())
                self.assertIn(answer and answer.status, (400, 413, None))
        self.assertUnharmed(gateway)

    def test_a_body_shorter_than_announced_is_no_transfer(self):
        gateway = self.gateway(**self.settings)
        head = f"PUT /v1/to/alice@localhost/a HTTP/1.1\r\nHost: {LOOPBACK}\r\n".encode()
        self.raw(gateway, head + b"Content-Length: 1000\r\n\r\nabc", hang_up=True)
        self.raw(gateway, head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", hang_up=True)
        self.raw(gateway, head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", hang_up=True)
        self.assertUnharmed(gateway)
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)

    def test_what_is_no_http(self):
        gateway = self.gateway(**self.settings, HTTP_IDLE_TIMEOUT="1s")
        for request in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\5\1\0", b"GET\r\n\r\n", b"\r\n" * 50,
                        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n", b"\0" * 5000,
                        b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n"):
            with self.subTest(request[:20]):
                with socket.create_connection((LOOPBACK, gateway.port), 20) as connection:
                    try:
                        connection.sendall(request)
                        said = connection.recv(65536)
                    except (BrokenPipeError, ConnectionResetError, ConnectionAbortedError):
                        continue
                    self.assertRegex(said or b"HTTP/1.1 4", b"^HTTP/1.[01] 4")
        self.assertUnharmed(gateway)

    def test_web_pages_of_others_are_refused(self):
        form = ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 3"]
        multipart = ["Content-Type: multipart/form-data; boundary=b", "Content-Length: 0"]
        self.table([
            ("a form post", "POST", "/v1/to/alice@localhost/a", ["Origin: https://evil.example", *form], b"a=b", 403,
             "host_not_allowed"),
            ("an opaque origin", "POST", "/v1/transfers", ["Origin: null", *multipart], b"", 403, "host_not_allowed"),
            ("another port of this host", "POST", "/v1/to/alice@localhost/a",
             [f"Origin: http://{LOOPBACK}:1", *form], b"a=b", 403, "host_not_allowed"),
            ("a rebound name", "GET", "/v1/transfers", ["Host: evil.example"], b"", 403, "host_not_allowed"),
            ("a cross-site fetch", "GET", "/v1/transfers", ["Sec-Fetch-Site: cross-site"], b"", 403,
             "host_not_allowed"),
        ])


class Uploads(Case):
    """The ways in that must work."""

    def setUp(self):
        super().setUp()
        self.peer = self.recipient("alice")

    def curl(self, gateway, *arguments, seconds=60):
        done = subprocess.run(["curl", "-sS", "--max-time", str(seconds), *arguments], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def url(self, gateway, name=None, **query):
        return f"http://{LOOPBACK}:{gateway.port}" + gateway.target(self.peer.jid, name, **query)

    def test_chunks_of_unknown_length(self):
        gateway = self.gateway(**DIRECT)
        path, digest = self.file(300000)
        with open(path, "rb") as body:
            answer = gateway.put(self.peer.jid, iter(lambda: body.read(7000), b""), "stream.bin", wait=30)
        self.assertDelivered(answer)
        self.assertEqual(self.peer.wait("file", name="stream.bin")["sha256"], digest)

    def test_curl_names_the_file_itself(self):
        gateway = self.gateway(**DIRECT)
        path, digest = self.file(1000, "Bericht für Ana.pdf")
        self.curl(gateway, "-T", str(path), self.url(gateway, "") + "?wait=30")
        received = self.peer.wait("file", sha256=digest)
        self.assertTrue(received["name"])
        self.curl(gateway, "-T", str(path), self.url(gateway, "Bericht für Ana.pdf", wait=30))
        self.peer.wait("file", sha256=digest, name="Bericht für Ana.pdf")

    def test_a_multipart_form(self):
        gateway = self.gateway(**DIRECT)
        path, digest = self.file(100000, "form.bin")
        for arguments in ([f"http://{LOOPBACK}:{gateway.port}/v1/transfers?wait=30", "-F", f"to={self.peer.jid}",
                           "-F", f"file=@{path}"],
                          [self.url(gateway, wait=30), "-F", f"file=@{path}"]):
            self.curl(gateway, "--fail-with-body", *arguments)
        wait_until(lambda: len(self.peer.all("file")) == 2, 10, "both files")
        for received in self.peer.all("file"):
            self.assertEqual((received["sha256"], received["name"]), (digest, "form.bin"))

    def test_the_recipient_sees_name_size_type_and_caption(self):
        gateway = self.gateway(**DIRECT)
        self.assertDelivered(gateway.put(self.peer.jid, b"%PDF-1.4\n", "q3.pdf", wait=30, caption="Umsatz & Kosten <3"))
        offer = self.peer.wait("offer")
        self.assertEqual((offer["name"], offer["size"], offer["type"], offer["description"]),
                         ("q3.pdf", 9, "application/pdf", "Umsatz & Kosten <3"))

    def test_a_caption_comes_beside_the_file_and_once(self):
        gateway = self.gateway(**DIRECT)
        answer = gateway.put(self.peer.jid, b"abc", "a.txt", wait=30, caption="Umsatz & Kosten <3")
        self.assertDelivered(answer)
        self.assertIn("caption", [step["step"] for step in answer.json["timeline"]])
        message = self.peer.wait("message", body="Umsatz & Kosten <3")
        self.assertEqual((message["type"], message["oob"]), ("chat", None))
        self.assertDelivered(gateway.put(self.peer.jid, b"abc", "b.txt", wait=30))
        self.assertDelivered(gateway.put(self.peer.jid, b"abc", "c.txt", wait=30, caption="the last"))
        self.peer.wait("message", body="the last")
        self.assertEqual([told["body"] for told in self.peer.all("message")], ["Umsatz & Kosten <3", "the last"])

    def test_a_caption_is_no_message_where_that_is_not_wanted(self):
        gateway = self.gateway(**DIRECT, DELIVERY_CAPTION="offer")
        self.assertDelivered(gateway.put(self.peer.jid, b"abc", "a.txt", wait=30, caption="quiet"))
        gateway.stop()
        gateway.settings["DELIVERY_CAPTION"] = "message"
        gateway.start()
        self.assertDelivered(gateway.put(self.peer.jid, b"abc", "b.txt", wait=30, caption="loud"))
        self.peer.wait("message", body="loud")
        self.assertEqual([told["body"] for told in self.peer.all("message")], ["loud"])
        self.assertEqual([told["description"] for told in self.peer.all("offer")], ["quiet", ""])

    def test_an_answer_comes_before_the_end_when_waiting_runs_out(self):
        gateway = self.gateway(**DIRECT)
        silent = self.recipient("bob", "--behave", "ignore")
        answer = gateway.put(silent.jid, b"x", wait=1)
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual(answer.headers["location"], f"/v1/transfers/{answer.json['id']}")
        answer = gateway.put(silent.jid, b"x", headers={"Prefer": "wait=1"})
        self.assertEqual((answer.status, answer.headers["preference-applied"]), (202, "wait=1"))

    def test_the_transfer_says_who_sent_it(self):
        answer = self.gateway(**DIRECT).put(self.peer.jid, b"x", wait=30)
        self.assertEqual((answer.json["from"], answer.json["to"], answer.json["resource"]),
                         ("gateway@localhost/jidpost", self.peer.jid, "desk"))

    def test_the_timeline_tells_every_step(self):
        gateway = self.gateway(**DIRECT)
        answer = gateway.put(self.peer.jid, b"x", wait=30)
        steps = [step["step"] for step in answer.json["timeline"]]
        wanted = ["offer si-s5b", "streamhosts", "streamhost-used", "first byte"]
        self.assertEqual([step for step in steps if step in wanted], wanted, steps)
        self.assertEqual(answer.json["delivery_proof"], "peer_closed")

    def expectation(self, gateway, to, length):
        """What the gateway says to a client that asks before it sends its body."""
        with socket.create_connection((LOOPBACK, gateway.port), 20) as connection:
            connection.sendall(f"PUT {gateway.target(to, 'a')} HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Length: {length}"
                               "\r\nExpect: 100-continue\r\n\r\n".encode())
            return connection.recv(65536).split(b"\r\n")[0].decode()

    def test_who_asks_before_sending_is_told_before_sending(self):
        gateway = self.gateway(**DIRECT, SPOOL_MAX_FILE="1M", SPOOL_MAX_BYTES="3M")
        self.assertRegex(self.expectation(gateway, self.peer.jid, 10), "^HTTP/1.1 100 ")
        self.assertRegex(self.expectation(gateway, "@@", 10), "^HTTP/1.1 400 ")
        self.assertRegex(self.expectation(gateway, self.peer.jid, 2 << 20), "^HTTP/1.1 413 ")

    def test_a_full_spool_refuses_before_the_body(self):
        gateway = self.gateway(**DIRECT, SPOOL_MAX_BYTES="1500K")
        silent = self.recipient("bob", "--behave", "ignore")
        first = gateway.put(silent.jid, bytes(1 << 20))
        self.assertEqual(first.status, 202)
        self.assertRegex(self.expectation(gateway, self.peer.jid, 1 << 20), "^HTTP/1.1 507 ")
        self.assertFailed(gateway.put(self.peer.jid, bytes(600000)), 507, "spool_full")
        gateway.request("DELETE", f"/v1/transfers/{first.json['id']}")
        wait_until(lambda: self.checks(gateway)["spool"]["bytes"] == 0, 10, "room in the spool")
        self.assertDelivered(gateway.put(self.peer.jid, bytes(1 << 20), wait=30))

    @staticmethod
    def checks(gateway):
        return gateway.get("/readyz?verbose").json["checks"]

    def test_the_readiness_report_counts_what_is_under_way(self):
        gateway = self.gateway(**DIRECT)
        silent = self.recipient("bob", "--behave", "ignore")
        self.assertEqual(self.checks(gateway)["transfers"], {"active": 0, "queued": 0})
        offered = gateway.put(silent.jid, b"x").json["id"]
        gateway.wait_state(offered, "offering")
        self.assertEqual(self.checks(gateway)["transfers"], {"active": 1, "queued": 0})
        self.assertDelivered(gateway.put(self.peer.jid, b"x", wait=30))
        gateway.request("DELETE", f"/v1/transfers/{offered}")
        wait_until(lambda: self.checks(gateway)["transfers"] == {"active": 0, "queued": 0}, 5, "nothing under way")

    def test_a_stream_beyond_the_limit_is_cut(self):
        gateway = self.gateway(**DIRECT, SPOOL_MAX_FILE="100K")
        answer = gateway.put(self.peer.jid, iter([bytes(60000), bytes(60000)]))
        self.assertFailed(answer, 413, "body_too_large")
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_a_list_is_walked_by_its_links(self):
        gateway = self.gateway(**DIRECT)
        sent = [gateway.put(self.peer.jid, b"x", f"{n}", wait=30).json["id"] for n in range(7)]
        target, seen = "/v1/transfers?limit=3", []
        while target:
            answer = gateway.get(target)
            seen += [one["id"] for one in answer.json["items"]]
            link = re.match(r'<([^>]*)>; *rel="next"', answer.headers.get("link", ""))
            target = link and link.group(1)
        self.assertEqual(seen, sent[::-1])

    def test_a_digest_is_computed_when_asked_for(self):
        gateway = self.gateway(**DIRECT)
        body = os.urandom(70000)
        answer = gateway.put(self.peer.jid, body, wait=30, digest="sha-256")
        self.assertEqual(answer.json["file"]["sha256"], hashlib.sha256(body).hexdigest())
        self.assertIsNone(gateway.put(self.peer.jid, body, wait=30).json["file"]["sha256"])


class Tokens(Case):
    def test_with_a_token_only_its_bearer_gets_in(self):
        gateway = self.gateway(**DIRECT, HTTP_TOKEN="s3cret-token-of-24-bytes")
        basic = "Basic " + base64.b64encode(b":s3cret-token-of-24-bytes").decode()
        wrong = "Basic " + base64.b64encode(b":s3cret-tokem-of-24-bytes").decode()
        for value, status, code in ((None, 401, "auth_missing"), ("Bearer nope", 401, "auth_invalid"),
                                    (wrong, 401, "auth_invalid"), ("Bearer s3cret-token-of-24-bytes", 200, None),
                                    (basic, 200, None)):
            with self.subTest(value):
                answer = gateway.get("/v1/xmpp", headers={"Authorization": value} if value else {})
                self.assertEqual((answer.status, answer.json.get("code")), (status, code), answer)
                self.assertEqual("www-authenticate" in answer.headers, status == 401)
        answer = gateway.put(f"alice@{DOMAIN}", b"x")
        self.assertFailed(answer, 401, "auth_missing")
        for open_to_all in "/livez", "/readyz":
            self.assertEqual(gateway.get(open_to_all).status, 200)

    def test_beyond_loopback_it_does_not_start_without_a_token(self):
        gateway = self.gateway(start=False, HTTP_LISTEN="0.0.0.0:0")
        with self.assertRaisesRegex(AssertionError, "the gateway ended with [1-9](.|\n)*token"):
            gateway.start()
        gateway.process = None
