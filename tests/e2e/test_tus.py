"""tus 1.0 on /v1/uploads: uploads in parts, which go on after whatever broke them off, and then become transfers."""
import base64
import hashlib
import http.client
import json
import os
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

from case import Case, DIRECT
from lab import LOOPBACK, Ports, Process, wait_until
from test_tokens import Commands

VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
AGAIN = {"DELIVERY_BACKOFF": "200ms", "XMPP_RECONNECT_MIN": "200ms", "XMPP_RECONNECT_MAX": "500ms"}
MEBIBYTE = 1 << 20


def encoded(value):
    return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()


def metadata(**pairs):
    return {"Upload-Metadata": ",".join(f"{key} {encoded(value)}" for key, value in pairs.items())} if pairs else {}


def checksum(body, algorithm="sha256"):
    return {"Upload-Checksum": f"{algorithm} {encoded(hashlib.new(algorithm, body).digest())}"}


class Tus:
    """What a tus client says; headers may take the place of its own."""

    def create(self, gateway, length, body=None, headers=None, **meta):
        own = {**VERSION, **metadata(**meta)}
        own.update({"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)})
        if body is not None:
            own.update(BYTES)
        return gateway.request("POST", "/v1/uploads", body, {**own, **(headers or {})})

    def begin(self, gateway, length, headers=None, **meta):
        """The path of a new one."""
        answer = self.create(gateway, length, headers=headers, **meta)
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(answer.headers["tus-resumable"], "1.0.0")
        return answer.headers["location"]

    def patch(self, gateway, path, offset, body, headers=None):
        own = {**VERSION, **BYTES, "Upload-Offset": str(offset)}
        return gateway.request("PATCH", path, body, {**own, **(headers or {})})

    def head(self, gateway, path, headers=None):
        return gateway.request("HEAD", path, headers={**VERSION, **(headers or {})})

    def offset(self, gateway, path, headers=None):
        answer = self.head(gateway, path, headers)
        self.assertEqual(answer.status, 200, answer.headers)
        return int(answer.headers["upload-offset"])

    def assertOffset(self, answer, status, offset):
        self.assertEqual((answer.status, answer.headers.get("upload-offset")), (status, str(offset)), answer)

    def cut(self, gateway, path, offset, body, announced=None, headers=None):
        """A request whose connection is lost behind that body."""
        connection = http.client.HTTPConnection(LOOPBACK, gateway.port)
        connection.putrequest("PATCH", path)
        own = {**VERSION, **BYTES, "Upload-Offset": str(offset), "Content-Length": str(announced or 2 * len(body))}
        for name, value in {**own, **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body)
        return connection

    @staticmethod
    def part(gateway):
        """How much of the only upload has come."""
        sizes = [path.stat().st_size for path in (gateway.state / "spool").glob("*.part")]
        return sizes[0] if sizes else None


class Protocol(Tus, Case):
    """Each extension, and each thing that can be wrong."""

    def setUp(self):
        super().setUp()
        self.at = self.gateway(**DIRECT)

    def test_options_tells_what_is_offered(self):
        answer = self.at.request("OPTIONS", "/v1/uploads")
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["tus-version"], "1.0.0")
        self.assertEqual(answer.headers["tus-max-size"], str(5 << 30))
        self.assertEqual(answer.headers["tus-checksum-algorithm"], "sha1,sha256,sha512")
        self.assertEqual(set(answer.headers["tus-extension"].split(",")),
                         {"creation", "creation-with-upload", "creation-defer-length", "checksum", "expiration",
                          "termination"})

    def test_the_last_byte_makes_a_transfer_of_it(self):
        peer, body = self.recipient("alice"), os.urandom(300000)
        path = self.begin(self.at, len(body), to=peer.jid, filename="a ü.bin", filetype="application/x-own",
                          caption="take this", digest="sha-256")
        self.assertRegex(path, "^/v1/uploads/up_[0-9A-Z]{26}$")
        self.assertOffset(self.head(self.at, path), 200, 0)
        self.assertOffset(self.patch(self.at, path, 0, body[:100000]), 204, 100000)
        answer = self.patch(self.at, path, 100000, body[100000:])
        self.assertOffset(answer, 204, len(body))
        location = answer.headers["transfer-location"]
        transfer = self.at.wait_final(location.rpartition("/")[2])
        self.assertEqual(transfer["state"], "delivered", transfer)
        digest = hashlib.sha256(body).hexdigest()
        self.assertEqual((transfer["file"]["name"], transfer["file"]["type"], transfer["file"]["sha256"],
                          transfer["caption"]), ("a ü.bin", "application/x-own", digest, "take this"))
        peer.wait("file", sha256=digest)
        wait_until(lambda: self.at.spooled() == [], 10, "an empty spool")
        for again in self.head(self.at, path), self.patch(self.at, path, len(body), b""):
            self.assertOffset(again, again.status, len(body))
            self.assertEqual(again.headers["transfer-location"], location)
        self.assertFailed(self.patch(self.at, path, 100000, body[100000:]), 409, "upload_offset_conflict")
        self.assertFailed(self.at.request("DELETE", path, headers=VERSION), 409, "state_conflict")

    def test_a_file_may_come_with_its_creation(self):
        peer, body = self.recipient("alice"), os.urandom(70000)
        answer = self.create(self.at, len(body), body, to=peer.jid, filename="b")
        self.assertOffset(answer, 201, len(body))
        self.assertIn("location", answer.headers)
        self.assertIn("transfer-location", answer.headers)
        peer.wait("file", sha256=hashlib.sha256(body).hexdigest())
        empty = self.create(self.at, 0, to=peer.jid, filename="empty")
        self.assertIn("transfer-location", empty.headers, empty)
        half = self.create(self.at, 10, b"12345", to=peer.jid)
        self.assertOffset(half, 201, 5)
        self.assertOffset(self.patch(self.at, half.headers["location"], 5, b"67890"), 204, 10)

    def test_its_length_may_be_told_later(self):
        peer = self.recipient("alice")
        path = self.begin(self.at, None, to=peer.jid, filename="c")
        self.assertOffset(self.patch(self.at, path, 0, b"abc"), 204, 3)
        answer = self.head(self.at, path)
        self.assertEqual(answer.headers.get("upload-defer-length"), "1")
        self.assertNotIn("upload-length", answer.headers)
        self.assertFailed(self.patch(self.at, path, 3, b"", {"Upload-Length": "2"}), 400, "length_conflict")
        self.assertFailed(self.patch(self.at, path, 3, b"", {"Upload-Length": str(6 << 30)}), 413, "body_too_large")
        self.assertOffset(self.patch(self.at, path, 3, b"de", {"Upload-Length": "6"}), 204, 5)
        self.assertEqual(self.head(self.at, path).headers["upload-length"], "6")
        self.assertFailed(self.patch(self.at, path, 5, b"f", {"Upload-Length": "7"}), 400, "length_conflict")
        answer = self.patch(self.at, path, 5, b"f", {"Upload-Length": "6"})
        self.assertIn("transfer-location", answer.headers, answer)
        peer.wait("file", sha256=hashlib.sha256(b"abcdef").hexdigest())

    def test_a_body_without_its_checksum_does_not_count(self):
        path = self.begin(self.at, 100)
        for algorithm in "sha1", "sha256", "sha512":
            at = self.offset(self.at, path)
            bad = self.patch(self.at, path, at, b"damaged", checksum(b"whole", algorithm))
            self.assertFailed(bad, 460, "checksum_mismatch")
            self.assertEqual(self.offset(self.at, path), at)
            good = self.patch(self.at, path, at, b"whole", checksum(b"whole", algorithm))
            self.assertOffset(good, 204, at + 5)
        for value, code in ("md5 " + encoded(bytes(16)), "digest_unsupported"), ("sha1", "request_malformed"), \
                ("sha1 " + encoded(bytes(19)), "request_malformed"), ("sha1 !", "request_malformed"):
            self.assertFailed(self.patch(self.at, path, 15, b"x", {"Upload-Checksum": value}), 400, code)
        body = os.urandom(MEBIBYTE)
        path = self.begin(self.at, 4 * MEBIBYTE)
        connection = self.cut(self.at, path, 0, body, headers=checksum(body + body))
        connection.close()
        wait_until(lambda: self.head(self.at, path).status == 200, 10, "the end of the lost request")
        self.assertEqual(self.offset(self.at, path), 0)

    def test_what_came_before_the_connection_was_lost_counts(self):
        body = os.urandom(3 * MEBIBYTE)
        path = self.begin(self.at, len(body))
        self.cut(self.at, path, 0, body[:MEBIBYTE]).close()
        wait_until(lambda: self.head(self.at, path).status == 200, 10, "the end of the lost request")
        offset = self.offset(self.at, path)
        self.assertEqual(offset, MEBIBYTE)
        self.assertOffset(self.patch(self.at, path, offset, body[offset:]), 204, len(body))

    def test_one_request_at_a_time_goes_on_with_it(self):
        body = os.urandom(MEBIBYTE)
        path = self.begin(self.at, 4 * MEBIBYTE)
        connection = self.cut(self.at, path, 0, body)
        wait_until(lambda: self.part(self.at), 10, "bytes")
        for answer in self.patch(self.at, path, 0, b"x"), self.at.request("DELETE", path, headers=VERSION):
            self.assertFailed(answer, 423, "upload_locked")
        self.assertEqual(self.head(self.at, path).status, 423)
        # Who gets nothing for five seconds has lost his caller, for all that can be seen.
        wait_until(lambda: self.head(self.at, path).status == 200, 15, "the first one given up")
        self.assertEqual(self.offset(self.at, path), MEBIBYTE)
        self.assertOffset(self.patch(self.at, path, MEBIBYTE, b"x"), 204, MEBIBYTE + 1)
        connection.send(body)
        answer = connection.getresponse()
        self.assertEqual(answer.status, 423)
        connection.close()
        self.assertEqual(self.offset(self.at, path), MEBIBYTE + 1)

    def test_without_a_recipient_it_stays_whole_until_it_expires(self):
        path = self.begin(self.at, 3, filename="later.txt")
        self.assertOffset(self.patch(self.at, path, 0, b"abc"), 204, 3)
        answer = self.head(self.at, path)
        self.assertOffset(answer, 200, 3)
        self.assertNotIn("transfer-location", answer.headers)
        self.assertEqual(answer.headers["upload-metadata"], "filename " + encoded("later.txt"))
        expires = parsedate_to_datetime(answer.headers["upload-expires"]).timestamp()
        self.assertAlmostEqual(expires, time.time() + 24 * 3600, delta=60)

    def order(self, path, headers=None, **fields):
        body = json.dumps({"source": {"upload_id": path.rpartition("/")[2]}, **fields})
        return self.at.request("POST", "/v1/transfers?wait=30", body.encode(),
                               {"Content-Type": "application/json", **(headers or {})})

    def test_a_whole_one_is_sent_by_its_id(self):
        peer, other, body = self.recipient("alice"), self.recipient("bob"), os.urandom(200000)
        digest = hashlib.sha256(body).hexdigest()
        path = self.begin(self.at, len(body), filename="later.bin", filetype="application/x-later")
        self.patch(self.at, path, 0, body[:100])
        self.assertFailed(self.order(path, to=peer.jid), 409, "state_conflict")
        self.assertOffset(self.patch(self.at, path, 100, body[100:]), 204, len(body))
        self.assertFailed(self.order(path, to="@@"), 400, "jid_invalid")
        self.assertFailed(self.order(path, to=peer.jid, caption="\x01"), 422, "parameter_invalid")
        self.assertFailed(self.order(path, {"Idempotency-Key": "k"}, to=peer.jid), 422, "parameter_invalid")
        answer = self.order(path, to=peer.jid)
        self.assertDelivered(answer)
        self.assertEqual((answer.json["file"]["name"], answer.json["file"]["type"], answer.json["id"][2:]),
                         ("later.bin", "application/x-later", path.rpartition("/")[2][2:]))
        peer.wait("file", sha256=digest)
        self.assertIn("transfer-location", self.head(self.at, path).headers)
        self.assertFailed(self.order(path, to=peer.jid), 404, "not_found")
        path = self.create(self.at, len(body), body).headers["location"]
        in_the_way = self.at.state / "spool" / path.rpartition("/")[2].replace("up_", "tr_")
        in_the_way.mkdir()
        self.assertFailed(self.order(path, to=[peer.jid, other.jid]), 500, "internal")
        in_the_way.rmdir()
        self.assertOffset(self.head(self.at, path), 200, len(body))
        answer = self.order(path, to=[peer.jid, other.jid], name="both.bin")
        self.assertEqual(answer.status, 200, answer)
        for each in peer, other:
            self.assertEqual(each.wait("file", sha256=digest, name="both.bin")["size"], len(body))
        wait_until(lambda: self.at.spooled() == [], 10, "an empty spool")

    def test_it_can_be_ended(self):
        path = self.begin(self.at, 1000)
        self.patch(self.at, path, 0, b"abc")
        self.assertEqual(self.at.request("DELETE", path, headers=VERSION).status, 204)
        self.assertEqual(self.at.spooled(), [])
        self.assertEqual(self.head(self.at, path).status, 410)
        self.assertFailed(self.patch(self.at, path, 3, b"x"), 410, "upload_expired")

    def test_methods_may_be_said_in_a_header(self):
        path = self.begin(self.at, 6)
        answer = self.at.request("POST", path, b"abc", {**VERSION, **BYTES, "Upload-Offset": "0",
                                                        "X-HTTP-Method-Override": "PATCH"})
        self.assertOffset(answer, 204, 3)
        answer = self.at.request("POST", path, headers={**VERSION, "X-HTTP-Method-Override": "DELETE"})
        self.assertEqual(answer.status, 204)
        self.assertFailed(self.at.request("POST", path, headers=VERSION), 405, "method_not_allowed")
        self.assertFailed(self.at.request("GET", path, headers={**VERSION, "X-HTTP-Method-Override": "DELETE"}), 405,
                          "method_not_allowed")

    def test_what_cannot_be_is_refused_at_its_creation(self):
        peer = "alice@localhost"
        rows = [
            ("no version", {"Tus-Resumable": "0.2.2"}, {}, 412, "tus_version"),
            ("no length", {"Upload-Length": "x"}, {}, 400, "request_malformed"),
            ("two lengths", {"Upload-Defer-Length": "1"}, {}, 400, "request_malformed"),
            ("too long", {"Upload-Length": str((5 << 30) + 1)}, {}, 413, "body_too_large"),
            ("parts of one", {"Upload-Concat": "partial"}, {}, 400, "request_malformed"),
            ("no address", {}, {"to": "a b"}, 400, "jid_invalid"),
            ("a server", {}, {"to": "localhost"}, 400, "jid_invalid"),
            ("no name", {}, {"to": peer, "filename": "a/b"}, 422, "name_invalid"),
            ("no type", {}, {"to": peer, "filetype": "nothing"}, 415, "media_refused"),
            ("no text", {}, {"to": peer, "caption": b"\xff"}, 422, "parameter_invalid"),
            ("a NUL", {}, {"to": b"alice@localhost\0x"}, 422, "parameter_invalid"),
            ("no time", {}, {"to": peer, "ttl": "soon"}, 422, "parameter_invalid"),
            ("no method", {}, {"to": peer, "methods": "pigeon"}, 422, "parameter_invalid"),
            ("not kept", {}, {"to": peer, "mode": "stream"}, 422, "parameter_invalid"),
            ("no digest", {}, {"to": peer, "digest": "md5"}, 422, "parameter_invalid"),
            ("no promise", {}, {"to": peer, "digest": "sha-256=:x:"}, 400, "request_malformed"),
            ("no Base64", {"Upload-Metadata": "to x"}, {}, 422, "parameter_invalid"),
            ("twice", {"Upload-Metadata": "a ,b ,a "}, {}, 422, "parameter_invalid"),
        ]
        for says, headers, meta, status, code in rows:
            with self.subTest(says):
                answer = self.create(self.at, 10, headers=headers, **meta)
                self.assertFailed(answer, status, code)
                self.assertEqual(answer.headers["tus-resumable"], "1.0.0")
        answer = self.at.request("POST", "/v1/uploads", headers={"Upload-Length": "1"})
        self.assertFailed(answer, 412, "tus_version")
        self.assertEqual(answer.headers["tus-version"], "1.0.0")
        self.assertFailed(self.create(self.at, 5, b"123456"), 400, "length_conflict")
        self.assertFailed(self.create(self.at, 5, b"12345", {"Content-Type": "text/plain"}), 415, "media_refused")
        self.assertEqual(self.at.spooled(), [])

    def test_a_request_that_does_not_go_on_with_it_is_refused(self):
        path = self.begin(self.at, 10)
        self.patch(self.at, path, 0, b"abc")
        rows = [
            ("behind", self.patch(self.at, path, 4, b"x"), 409, "upload_offset_conflict"),
            ("before", self.patch(self.at, path, 0, b"x"), 409, "upload_offset_conflict"),
            ("no offset", self.patch(self.at, path, "", b"x"), 400, "request_malformed"),
            ("no version", self.patch(self.at, path, 3, b"x", {"Tus-Resumable": "2"}), 412, "tus_version"),
            ("another type", self.patch(self.at, path, 3, b"x", {"Content-Type": "text/plain"}), 415, "media_refused"),
            ("too much", self.patch(self.at, path, 3, b"12345678"), 400, "length_conflict"),
            ("another", self.patch(self.at, "/v1/uploads/up_" + "0" * 26, 0, b"x"), 404, "not_found"),
            ("a longer id", self.patch(self.at, path + "0", 3, b"x"), 404, "not_found"),
            ("no id", self.patch(self.at, "/v1/uploads/x", 0, b"x"), 404, "not_found"),
        ]
        for says, answer, status, code in rows:
            with self.subTest(says):
                self.assertFailed(answer, status, code)
        self.assertEqual(self.offset(self.at, path), 3)
        self.assertEqual(self.head(self.at, "/v1/uploads/up_" + "0" * 26).status, 404)

    def test_a_file_that_is_not_what_was_promised_is_not_kept(self):
        peer, body = self.recipient("alice"), b"whole"
        promise = f"sha-256=:{encoded(hashlib.sha256(body).digest())}:"
        path = self.begin(self.at, 5, to=peer.jid, digest=promise)
        self.assertFailed(self.patch(self.at, path, 0, b"other"), 400, "digest_mismatch")
        self.assertEqual(self.head(self.at, path).status, 410)
        self.assertEqual(self.at.spooled(), [])
        path = self.begin(self.at, 5, to=peer.jid, digest=promise)
        self.assertIn("transfer-location", self.patch(self.at, path, 0, body).headers)

    def test_pages_of_another_origin_are_refused(self):
        origin = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
        answer = self.at.request("OPTIONS", "/v1/uploads", headers=origin)
        self.assertFailed(answer, 403, "host_not_allowed")
        self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_many_side_by_side_do_not_mix(self):
        bodies = [os.urandom(50000) for _ in range(20)]
        peer = self.recipient("alice")
        paths = [self.begin(self.at, len(body), to=peer.jid, filename=str(n)) for n, body in enumerate(bodies)]
        for at in range(0, 50000, 10000):
            for path, body in zip(paths, bodies):
                self.assertOffset(self.patch(self.at, path, at, body[at:at + 10000]), 204, at + 10000)
        for body in bodies:
            peer.wait("file", sha256=hashlib.sha256(body).hexdigest())


class Room(Tus, Case):
    """Uploads take their room in the spool, and give it back."""

    def test_a_full_spool_is_told_before_the_first_byte(self):
        gateway = self.gateway(**DIRECT, SPOOL_MAX_BYTES="1M")
        path = self.begin(gateway, 700000)
        self.assertFailed(self.create(gateway, 700000), 507, "spool_full")
        gateway.kill()
        gateway.start()
        self.assertFailed(self.create(gateway, 700000), 507, "spool_full")
        self.assertOffset(self.patch(gateway, path, 0, os.urandom(700000)), 204, 700000)
        gateway.request("DELETE", path, headers=VERSION)
        self.begin(gateway, 700000)

    def test_one_that_nobody_goes_on_with_goes(self):
        gateway = self.gateway(**DIRECT, SPOOL_MAX_BYTES="1M", SPOOL_UPLOAD_EXPIRY="2s")
        path = self.begin(gateway, 1000000)
        self.assertOffset(self.patch(gateway, path, 0, bytes(500000)), 204, 500000)
        self.assertFailed(self.create(gateway, 1000000), 507, "spool_full")
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")
        self.assertEqual(self.head(gateway, path).status, 410)
        again = self.begin(gateway, 1000000)
        gateway.kill()
        wait_until(lambda: time.time() > parsed(gateway, self, again), 10, "its time to be over")
        gateway.start()
        self.assertEqual(gateway.spooled(), [])
        self.assertEqual(self.head(gateway, again).status, 404)
        self.begin(gateway, 1000000)


def parsed(gateway, case, path):
    """Until when it stayed, by what is noted beside it."""
    note = next((gateway.state / "spool").glob("*.note")).read_text()
    return int(note.partition("expires=")[2].partition("\n")[0]) / 1000


class Owners(Tus, Commands, Case):
    def test_it_is_there_for_its_token_alone(self):
        peer = self.recipient("alice")
        gateway = self.gateway(start=False, **DIRECT)
        one = self.create_token(gateway, "one", "--scopes", "upload,read", "--max-size", "1M")
        two = self.create_token(gateway, "two", "--scopes", "send,read:all", "--allow-to", "bob@*", "--active", "2",
                                "--daily-bytes", "1K")
        three = self.create_token(gateway, "three", "--scopes", "read")
        gateway.start()
        path = self.begin(gateway, 10, headers=one)
        for answer in self.patch(gateway, path, 0, b"x", two), gateway.request("DELETE", path,
                                                                               headers={**VERSION, **two}):
            self.assertFailed(answer, 404, "not_found")
        self.assertOffset(self.patch(gateway, path, 0, b"x", one), 204, 1)
        self.assertFailed(self.create(gateway, 10, headers=three), 403, "scope_missing")
        self.assertFailed(self.create(gateway, 10, headers=one, to=peer.jid), 403, "scope_missing")
        self.assertFailed(self.create(gateway, 10, headers=two, to=peer.jid), 403, "recipient_not_allowed")
        self.assertFailed(self.create(gateway, 2 << 20, headers=one), 413, "body_too_large")
        self.assertFailed(self.create(gateway, 2000, headers=two), 429, "quota_exceeded")
        self.assertEqual(gateway.request("OPTIONS", "/v1/uploads", headers=one).headers["tus-max-size"], str(1 << 20))
        paths = [self.begin(gateway, 600, headers=two) for _ in range(2)]
        self.assertFailed(self.create(gateway, 10, headers=two), 429, "quota_exceeded")
        gateway.request("DELETE", paths[1], headers={**VERSION, **two})
        other = self.begin(gateway, 600, headers=two)
        self.assertOffset(self.patch(gateway, other, 0, bytes(600), two), 204, 600)
        self.assertFailed(self.patch(gateway, paths[0], 0, bytes(600), two), 429, "quota_exceeded")

    def test_a_whole_one_whose_last_request_never_ended_is_sent_by_the_next_start(self):
        """As if: the note is made to say that what has come is all of it."""
        gateway, peer = self.gateway(start=False, **DIRECT, **AGAIN), self.recipient("alice")
        tokens = {name: self.create_token(gateway, name) for name in ("kept", "lost")}
        gateway.start()
        paths = {name: self.begin(gateway, None, headers=tokens[name], to=peer.jid, filename=f"{name}.txt")
                 for name in tokens}
        nobody = self.begin(gateway, None, headers=tokens["kept"], filename="later.txt")
        for path, token in *((paths[name], tokens[name]) for name in tokens), (nobody, tokens["kept"]):
            self.assertOffset(self.patch(gateway, path, 0, b"abc", token), 204, 3)
        gateway.kill()
        for note in (gateway.state / "spool").glob("*.note"):
            note.write_text(note.read_text().replace(f"length={-1:020d}", f"length={3:020d}"))
        self.command(gateway, "revoke", "lost")
        gateway.start()
        peer.wait("file", name="kept.txt", sha256=hashlib.sha256(b"abc").hexdigest())
        sent = gateway.get("/v1/transfers", headers=tokens["kept"]).json["items"]
        self.assertEqual([each["file"]["name"] for each in sent], ["kept.txt"])
        self.assertEqual(self.head(gateway, paths["kept"], tokens["kept"]).headers["transfer-location"],
                         f"/v1/transfers/{sent[0]['id']}")
        self.assertEqual(self.head(gateway, nobody, tokens["kept"]).headers["upload-offset"], "3")
        self.assertEqual(len(gateway.logged("upload.not_started")), 1)

    def create_token(self, *arguments):
        return Commands.create(self, *arguments)


class Restarts(Tus, Case):
    """kill -9 at any moment: it goes on where it was, or it is a transfer; never both, never neither."""

    def test_it_goes_on_where_it_was(self):
        peer, body = self.recipient("alice"), os.urandom(8 * MEBIBYTE)
        gateway = self.gateway(**DIRECT, **AGAIN)
        path = self.begin(gateway, len(body), to=peer.jid, filename="big")
        self.assertOffset(self.patch(gateway, path, 0, body[:MEBIBYTE]), 204, MEBIBYTE)
        connection = self.cut(gateway, path, MEBIBYTE, body[MEBIBYTE:3 * MEBIBYTE])
        wait_until(lambda: self.part(gateway) >= 2 * MEBIBYTE, 10, "more than was answered for")
        gateway.kill()
        connection.close()
        gateway.start()
        offset = self.offset(gateway, path)
        self.assertGreaterEqual(offset, 2 * MEBIBYTE)
        connection = self.cut(gateway, path, offset, body[offset:offset + MEBIBYTE],
                              headers=checksum(body[offset:offset + 2 * MEBIBYTE]))
        wait_until(lambda: self.part(gateway) > offset, 10, "what is not checked yet")
        gateway.kill()
        connection.close()
        gateway.start()
        self.assertEqual(self.offset(gateway, path), offset)
        answer = self.patch(gateway, path, offset, body[offset:])
        self.assertIn("transfer-location", answer.headers, answer)
        peer.wait("file", sha256=hashlib.sha256(body).hexdigest())
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_a_stop_in_good_order_keeps_it_too(self):
        gateway = self.gateway(**DIRECT)
        path = self.begin(gateway, None)
        self.patch(gateway, path, 0, b"abc")
        connection = self.cut(gateway, path, 3, b"def", 100)
        wait_until(lambda: self.part(gateway) == 6, 10, "more")
        gateway.stop()
        connection.close()
        gateway.start()
        self.assertOffset(self.patch(gateway, path, 6, b"ghi", {"Upload-Length": "9"}), 204, 9)

    def test_its_last_byte_is_a_transfer_or_can_be_sent_again(self):
        gateway, peer = self.gateway(start=False, **DIRECT, **AGAIN), self.recipient("alice")
        for n in range(12):
            gateway.start()
            body = os.urandom(1000)
            path = self.begin(gateway, len(body), to=peer.jid, filename=f"{n}.bin")
            connection = self.cut(gateway, path, 0, body, len(body))
            time.sleep(n * 0.002)  # somewhere between its arrival and its answer
            gateway.kill()
            connection.close()
            gateway.start()
            # While the start makes a transfer of it, it is held.
            answer = wait_until(lambda: (told := self.head(gateway, path)).status == 200 and told, 10, "the upload")
            if "transfer-location" not in answer.headers:
                offset = int(answer.headers["upload-offset"])
                self.assertLess(offset, len(body), answer.headers)
                answer = self.patch(gateway, path, offset, body[offset:])
            self.assertIn("transfer-location", answer.headers, answer)
            location = answer.headers["transfer-location"]
            self.assertEqual(self.head(gateway, path).headers["transfer-location"], location)
            self.assertEqual(gateway.wait_final(location.rpartition("/")[2])["state"], "delivered")
            peer.wait("file", sha256=hashlib.sha256(body).hexdigest())
            gateway.stop()
        gateway.start()
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 12)
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_what_was_not_on_the_disk_before_the_system_went_down_is_sent_again(self):
        """As if: the note says that another run of the system wrote it."""
        gateway = self.gateway(**DIRECT)
        path = self.begin(gateway, 1000)
        self.patch(gateway, path, 0, b"abc")
        self.cut(gateway, path, 3, b"defgh", 500).close()
        wait_until(lambda: self.part(gateway) == 8, 10, "more")
        gateway.kill()
        note = next((gateway.state / "spool").glob("*.note"))
        text = note.read_text()
        boot = text.partition("boot=")[2][:36]
        note.write_text(text.replace(boot, boot[::-1]))
        gateway.start()
        self.assertEqual(self.offset(gateway, path), 3)

    def test_a_note_or_a_file_alone_goes(self):
        gateway = self.gateway(**DIRECT)
        for n in range(3):
            self.begin(gateway, 10)
        gateway.kill()
        spool = gateway.state / "spool"
        notes = sorted(spool.glob("*.note"))
        notes[0].unlink()
        notes[1].with_suffix(".part").unlink()
        notes[2].write_text("jidpost-upload 1\nlimit=")
        gateway.start()
        self.assertEqual(gateway.spooled(), [])

    def test_it_works_where_only_what_is_needed_is_allowed(self):
        peer, body = self.recipient("alice"), os.urandom(100000)
        gateway = self.gateway(**DIRECT, SERVER_SANDBOX="required")
        path = self.begin(gateway, len(body), to=peer.jid, filename="x")
        self.patch(gateway, path, 0, body[:50000])
        gateway.kill()
        gateway.start()
        self.assertIn("transfer-location", self.patch(gateway, path, 50000, body[50000:]).headers)
        peer.wait("file", sha256=hashlib.sha256(body).hexdigest())

    def test_durability_process_resumes_as_well(self):
        gateway = self.gateway(**DIRECT, SPOOL_DURABILITY="process")
        path = self.begin(gateway, 1000)
        self.assertOffset(self.patch(gateway, path, 0, b"abc"), 204, 3)
        gateway.kill()
        gateway.start()
        self.assertEqual(self.offset(gateway, path), 3)


CLIENT = Path(__file__).resolve().parent / "tus_client.mjs"


class Client:
    """tus-js-client in a process of its own; what it tells."""

    def __init__(self, case, gateway, file, **job):
        self.log = case.path("client.log")
        job = {"endpoint": gateway.url + "/v1/uploads", "file": str(file), "chunk": MEBIBYTE, **job}
        self.process = Process(["node", str(CLIENT), json.dumps(job)], self.log)
        case.addCleanup(self.process.kill)

    def told(self, event):
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith(f'{{"event":"{event}"') and line.endswith("\n")]

    def accepted(self):
        return max((line["bytes"] for line in self.told("accepted")), default=0)

    def wait(self, event, seconds=120):
        def look():
            if not self.process.running() and not self.told(event):
                raise AssertionError(self.process.tail())
            return self.told(event)
        return wait_until(look, seconds, event)[0]


class RealClient(Tus, Case):
    """tus-js-client, as a page or a script uses it."""
    weight = 2

    def fixed(self, **settings):
        """A gateway that is found again where it was."""
        return self.gateway(**DIRECT, **AGAIN, HTTP_LISTEN=f"{LOOPBACK}:{Ports.take()}", **settings)

    def assertTransferred(self, gateway, done, peer, digest):
        transfer = gateway.wait_final(done["transfer"].rpartition("/")[2])
        self.assertEqual(transfer["state"], "delivered", transfer)
        received = peer.wait("file", sha256=digest)
        self.assertEqual(received["size"], transfer["file"]["size"])
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")
        return transfer

    def test_forty_mebibytes_survive_kills_of_the_gateway(self):
        peer, gateway = self.recipient("alice"), self.fixed(SERVER_SANDBOX="required")
        path, digest = self.file(40 * MEBIBYTE)
        client = Client(self, gateway, path, metadata={"filename": "forty.bin", "filetype": "application/x-forty",
                                                       "to": peer.jid})
        for part in 8, 20, 32:
            wait_until(lambda: client.accepted() >= part * MEBIBYTE, 60, f"{part} MiB")
            gateway.kill()
            gateway.start()
        done = client.wait("done")
        self.assertGreater(len(client.told("retry")), 0)
        transfer = self.assertTransferred(gateway, done, peer, digest)
        self.assertEqual(transfer["file"]["name"], "forty.bin")
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)

    def test_a_client_that_was_killed_finds_its_upload_again(self):
        peer, gateway = self.recipient("alice"), self.fixed()
        path, digest = self.file(24 * MEBIBYTE)
        job = {"memory": str(self.path("memory.json")), "metadata": {"filename": "f", "to": peer.jid}}
        Path(job["memory"]).write_text("{}")
        first = Client(self, gateway, path, **job)
        wait_until(lambda: first.accepted() >= 5 * MEBIBYTE, 60, "5 MiB")
        first.process.kill()
        gateway.kill()
        gateway.start()
        second = Client(self, gateway, path, **job)
        self.assertEqual(second.wait("resume")["url"], first.told("url")[0]["url"])
        done = second.wait("done")
        self.assertGreaterEqual(second.told("accepted")[0]["bytes"], 5 * MEBIBYTE)
        self.assertTransferred(gateway, done, peer, digest)

    def test_its_other_ways(self):
        peer, gateway = self.recipient("alice"), self.fixed()
        path, digest = self.file(3 * MEBIBYTE + 17)
        rows = [("bytes with the creation", {"uploadDataDuringCreation": True}),
                ("a length told at the end", {"uploadLengthDeferred": True}),
                ("PATCH by a header", {"overridePatchMethod": True})]
        for says, options in rows:
            with self.subTest(says):
                client = Client(self, gateway, path, options=options, metadata={"filename": says, "to": peer.jid},
                                stream="uploadLengthDeferred" in options)
                transfer = self.assertTransferred(gateway, client.wait("done"), peer, digest)
                self.assertEqual(transfer["file"]["name"], says)

    def test_several_at_once_and_one_that_is_given_up(self):
        peer, gateway = self.recipient("alice"), self.fixed()
        files = [self.file(6 * MEBIBYTE, f"{n}.bin") for n in range(3)]
        clients = [Client(self, gateway, path, metadata={"filename": path.name, "to": peer.jid}) for path, _ in files]
        path, _ = self.file(1 * MEBIBYTE)
        given_up = Client(self, gateway, path, chunk=1024, give_up_at=10240, metadata={"to": peer.jid})
        given_up.wait("aborted")
        for client, (_, digest) in zip(clients, files):
            client.wait("done")
            peer.wait("file", sha256=digest)
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_a_refusal_is_told(self):
        gateway = self.fixed(SPOOL_MAX_FILE="1M")
        path, _ = self.file(2 * MEBIBYTE)
        client = Client(self, gateway, path, options={"retryDelays": []})
        self.assertIn("body_too_large", client.wait("error")["text"])
