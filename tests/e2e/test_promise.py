"""What the caller promises of a file is checked, and what the gateway answered is answered again."""
import base64
import contextlib
import hashlib
import os
import sqlite3
import subprocess

from case import Case, DIRECT
from gateway import Answer
from lab import LOOPBACK, wait_until
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
        upload = Upload(gateway, peer.jid, BIG, headers={"Content-Digest": promise(body[:-1] + bytes([body[-1] ^ 1]))})
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


class Idempotency(Case):
    def assertReplayed(self, answer, identifier, status=202):
        self.assertEqual((answer.status, answer.headers.get("idempotent-replayed")), (status, "true"), answer)
        self.assertEqual(answer.transfer["id"], identifier)

    def test_a_repeated_upload_is_one_transfer_also_after_a_crash(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        body, key = os.urandom(100000), {"Idempotency-Key": '"job 7"'}
        first = gateway.put(peer.jid, body, headers=key)
        self.assertEqual((first.status, first.headers.get("idempotent-replayed")), (202, None), first)
        identifier = first.json["id"]
        again = gateway.put(peer.jid, body, headers=key)
        self.assertReplayed(again, identifier)
        self.assertEqual(again.headers["location"], first.headers["location"])
        self.assertEqual(gateway.wait_final(identifier)["state"], "delivered")
        again = gateway.put(peer.jid, body, headers=key)
        self.assertReplayed(again, identifier)
        self.assertEqual(again.json["state"], "delivered")
        gateway.kill()
        gateway.start()
        self.assertReplayed(gateway.put(peer.jid, body, headers=key), identifier)
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)
        self.assertEqual(len(peer.all("file")), 1)
        for what, answer in (("another file name", gateway.put(peer.jid, body, "b.bin", headers=key)),
                             ("another length", gateway.put(peer.jid, body + b"x", headers=key)),
                             ("another digest", gateway.put(peer.jid, body, headers={
                                 **key, "Content-Digest": promise(body)}))):
            with self.subTest(what):
                self.assertFailed(answer, 422, "idempotency_key_reuse")
        self.assertFailed(gateway.put(peer.jid, body, headers={"Idempotency-Key": "k" * 256}), 400,
                          "request_malformed")
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)

    def test_the_body_of_a_repeated_upload_is_not_needed(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        body = bytes(BIG)
        key = {"Idempotency-Key": "big"}
        identifier = gateway.put(peer.jid, body, headers=key).json["id"]
        upload = Upload(gateway, peer.jid, BIG, headers=key)  # none of it is sent
        self.addCleanup(upload.cut)
        status, transfer = upload.answer()
        self.assertEqual((status, transfer["id"]), (202, identifier))
        path = self.directory / "file.bin"
        path.write_bytes(body)
        done = subprocess.run(["curl", "-sS", "-T", str(path), "-H", "Idempotency-Key: big", "-w",
                               "\n%{http_code} %{size_upload}",
                               f"http://{LOOPBACK}:{gateway.port}{gateway.target(peer.jid, 'file.bin')}"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout.splitlines()[-1], "202 0", done)
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)

    def test_while_it_is_uploaded_the_key_is_busy_and_when_it_broke_off_free(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        for mode in "auto", "spool":
            with self.subTest(mode):
                key = {"Idempotency-Key": mode}
                upload = Upload(gateway, peer.jid, BIG, headers=key, mode=mode)
                self.addCleanup(upload.cut)
                upload.send(bytes(BIG // 2))
                wait_until(gateway.spooled, 10, "a file in the spool")
                second = Upload(gateway, peer.jid, BIG, headers=key, mode=mode)
                self.addCleanup(second.cut)
                response = second.connection.getresponse()
                busy = Answer(response.status, {name.lower(): value for name, value in response.getheaders()},
                              response.read())
                self.assertFailed(busy, 409, "idempotency_in_progress")
                self.assertRegex(busy.headers["location"], "^/v1/transfers/tr_")
                self.assertTrue(busy.headers["retry-after"].isdigit())
                upload.cut()
                wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")
                again = gateway.put(peer.jid, bytes(BIG), headers=key, mode=mode)
                self.assertEqual((again.status, again.headers.get("idempotent-replayed")), (202, None), again)
                self.assertNotEqual(busy.headers["location"], again.headers["location"])
                self.assertEqual(gateway.wait_final(again.json["id"])["state"], "delivered")

    def test_who_waits_for_a_repeated_upload_hears_its_end(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "decline")
        key = {"Idempotency-Key": "wait"}
        for replayed in None, "true":
            answer = gateway.put(peer.jid, b"x", headers=key, wait=30)
            self.assertFailed(answer, 409, "recipient_declined")
            self.assertEqual(answer.headers.get("idempotent-replayed"), replayed)
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)

    def test_so_it_is_for_forms_and_streams(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        form = ("--XX\r\nContent-Disposition: form-data; name=\"to\"\r\n\r\n" + peer.jid +
                "\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc\r\n--XX--\r\n")
        ids = set()
        for _ in range(2):
            answer = gateway.request("POST", "/v1/transfers", form.encode(), {
                "Content-Type": "multipart/form-data; boundary=XX", "Idempotency-Key": "form"})
            self.assertEqual(answer.status, 202, answer)
            ids.add(answer.json["id"])
        self.assertEqual(len(ids), 1)
        first = gateway.put(peer.jid, b"abc", headers={"Idempotency-Key": "stream"}, mode="stream")
        self.assertDelivered(first)
        self.assertReplayed(gateway.put(peer.jid, b"abc", headers={"Idempotency-Key": "stream"}, mode="stream"),
                            first.json["id"], 200)


class Degraded(Case):
    def test_a_store_that_cannot_be_written_takes_nothing_tells_and_recovers(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        kept = gateway.put(peer.jid, b"before", wait=30).json["id"]
        database, = gateway.state.glob("*.db")
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # so that nobody else can write
            self.assertFailed(gateway.put(peer.jid, b"into the lock", mode="spool"), 503, "store_unavailable")
            refused = gateway.put(peer.jid, b"at once")
            self.assertFailed(refused, 503, "store_unavailable")
            self.assertIn("retry-after", refused.headers)
            ready = gateway.get("/readyz?verbose")
            self.assertEqual((ready.status, ready.json["checks"]["store_writable"], ready.json["checks"]["xmpp"]),
                             (503, False, "online"), ready)
            self.assertEqual(gateway.get("/livez").status, 200)
            self.assertEqual(gateway.transfer(kept)["state"], "delivered")
            self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)
            self.assertEqual(gateway.spooled(), [])
            other.execute("ROLLBACK")
        gateway.wait_ready()
        self.assertDelivered(gateway.put(peer.jid, b"after", wait=30))
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 2)


class Retry(Case):
    def fail_one(self, gateway, peer):
        return gateway.put(peer.jid, os.urandom(100000), wait=30, mode="spool").transfer["id"]

    def retry(self, gateway, identifier):
        return gateway.request("POST", f"/v1/transfers/{identifier}/retry")

    def test_a_failed_transfer_is_tried_again_from_the_kept_file_also_after_a_crash(self):
        gateway = self.gateway(**{**DIRECT, "SPOOL_RETENTION": "1h", "LOG_LEVEL": "info"})
        body = os.urandom(100000)
        peer = self.recipient("alice", "--behave", "decline")
        failed = gateway.put(peer.jid, body, wait=30, mode="spool").transfer["id"]
        self.assertEqual(gateway.spooled(), [failed])
        peer.leave()
        gateway.kill()
        gateway.start()
        peer = self.recipient("alice")
        again = self.retry(gateway, failed)
        self.assertEqual((again.status, again.json["id"], again.json["final"], again.json["error"]),
                         (202, failed, False, None), again)
        self.assertEqual(again.headers["location"], "/v1/transfers/" + failed)
        final = gateway.wait_final(failed)
        self.assertEqual((final["state"], len(final["attempts"])), ("delivered", 2), final)
        self.assertEqual(peer.wait("file")["sha256"], sha256(body))
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")
        self.assertFailed(self.retry(gateway, failed), 409, "state_conflict")
        self.assertFailed(self.retry(gateway, "tr_00000000000000000000000000"), 404, "not_found")

    def test_uploads_that_need_the_room_get_it_and_what_is_kept_goes_in_its_time(self):
        gateway = self.gateway(**DIRECT, SPOOL_RETENTION="3s", SPOOL_MAX_BYTES="250000", SPOOL_MAX_FILE="250000")
        peer = self.recipient("alice", "--behave", "decline")
        first, second = self.fail_one(gateway, peer), self.fail_one(gateway, peer)
        self.assertEqual(gateway.spooled(), sorted([first, second]))
        third = self.fail_one(gateway, peer)
        self.assertEqual(gateway.spooled(), sorted([second, third]))
        self.assertFailed(self.retry(gateway, first), 409, "state_conflict")
        gateway.request("DELETE", "/v1/transfers/" + second)
        self.assertNotIn(second, gateway.spooled())
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")
        self.assertFailed(self.retry(gateway, third), 409, "state_conflict")
