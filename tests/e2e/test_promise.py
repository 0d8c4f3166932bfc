"""What the caller promises of a file is checked, and what the gateway answered is answered again."""
import base64
import hashlib
import os

from case import Case, DIRECT
from lab import wait_until
from test_cut_through import BIG, Upload, sha256


def promise(data, algorithm="sha-256"):
    digest = hashlib.new(algorithm.replace("-", ""), data).digest()
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


class Digest(Case):
    def assertSpoolEmpty(self, gateway):
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_a_true_promise_changes_nothing(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        body = os.urandom(100000)
        for mode in "auto", "spool":
            for headers in {"Content-Digest": promise(body)}, {"Repr-Digest": promise(body, "sha-512")}, \
                    {"Content-Digest": f"md5=:AAAA:, {promise(body)}, {promise(body, 'sha-512')}"}:
                with self.subTest(mode, headers=headers):
                    answer = gateway.put(peer.jid, body, headers=headers, mode=mode, wait=30)
                    self.assertDelivered(answer)
                    if "sha-256" in str(headers):
                        self.assertEqual(answer.json["file"]["sha256"], sha256(body))
        self.assertSpoolEmpty(gateway)

    def test_a_promise_that_cannot_be_checked_is_refused_before_the_body(self):
        gateway = self.gateway(**DIRECT)
        good = promise(b"x")
        for what, headers, query, code in (
                ("no byte sequence", {"Content-Digest": "sha-256=abc"}, {}, "request_malformed"),
                ("too short", {"Repr-Digest": "sha-256=:AAAA:"}, {}, "request_malformed"),
                ("two that contradict", {"Content-Digest": good, "Repr-Digest": promise(b"y")}, {}, "digest_mismatch"),
                ("of a stream", {"Content-Digest": good}, {"mode": "stream"}, "digest_unsupported"),
                ("of a form", {"Content-Digest": good, "Content-Type": "multipart/form-data; boundary=xx"}, {},
                 "digest_unsupported")):
            with self.subTest(what):
                answer = gateway.request("POST", gateway.target("alice@localhost/desk", "a", **query), b"x", headers)
                self.assertFailed(answer, 400, code)
        self.assertEqual(gateway.get("/v1/transfers").json["items"], [])
        self.assertSpoolEmpty(gateway)

    def test_a_file_that_is_another_is_neither_kept_nor_delivered(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        for mode in "spool", "auto":
            for algorithm in "sha-256", "sha-512":
                with self.subTest(mode, algorithm=algorithm):
                    answer = gateway.put(peer.jid, b"damaged", headers={"Content-Digest": promise(b"whole", algorithm)},
                                         mode=mode)
                    self.assertFailed(answer, 400, "digest_mismatch")
        self.assertSpoolEmpty(gateway)
        self.assertEqual(peer.all("file"), [])
        items = gateway.get("/v1/transfers").json["items"]
        self.assertEqual({item["mode"] for item in items}, {"auto"})
        for item in items:
            final = gateway.wait_final(item["id"])
            self.assertEqual((final["state"], final["error"]["code"], final["upload"]["state"]),
                             ("failed", "digest_mismatch", "aborted"))

    def test_who_is_sent_a_wrong_file_meanwhile_gets_a_short_one(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        body = os.urandom(BIG)
        upload = Upload(gateway, peer.jid, BIG, headers={"Content-Digest": promise(body[:-1] + b"?")})
        self.addCleanup(upload.cut)
        upload.send(body[:BIG // 2])
        peer.wait("begun")
        upload.send(body[BIG // 2:])
        status, problem = upload.answer()
        self.assertEqual((status, problem["code"]), (400, "digest_mismatch"))
        item, = gateway.get("/v1/transfers").json["items"]
        final = gateway.wait_final(item["id"])
        self.assertEqual((final["state"], final["error"]["code"]), ("failed", "digest_mismatch"))
        self.assertLess(peer.wait("broken")["size"], BIG)
        self.assertEqual(peer.all("file"), [])
        self.assertSpoolEmpty(gateway)
