"""The recipient gets a file while it is uploaded; and however the upload ends, never a part that looks whole."""
import hashlib
import json
import os
import subprocess
import threading
import time

from case import Case, DIRECT
from lab import DOMAIN, LOOPBACK, wait_until

MEBIBYTE = 1 << 20
BIG = 32 * MEBIBYTE
GIBIBYTE = 1 << 30
WINDOW = 4 * MEBIBYTE
SLACK = 4 * MEBIBYTE  # the hole follows the reader in steps, and the kernel allocates ahead of the writer


class Upload:
    """A PUT that the test sends piece by piece."""

    def __init__(self, gateway, to, size, name="file.bin", headers=None, **query):
        self.connection = gateway.connection()
        self.connection.putrequest("PUT", gateway.target(to, name, **query))
        self.connection.putheader("Content-Length", str(size))
        for key, value in (headers or {}).items():
            self.connection.putheader(key, value)
        self.connection.endheaders()

    def send(self, data):
        self.connection.send(data)

    def push(self, body):
        """All of it, on a thread of its own: (the thread, how much has been taken as a list of one)."""
        sent = [0]

        def run():
            for at in range(0, len(body), 65536):
                self.send(body[at:at + 65536])
                sent[0] = at + 65536
        thread = threading.Thread(target=run)
        thread.start()
        return thread, sent

    def answer(self):
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def cut(self):
        self.connection.close()


def until_still(sent):
    """What was taken when nothing more was for a second."""
    before = -1
    while sent[0] != before:
        before = sent[0]
        time.sleep(1)
    return before


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class CutThrough:
    weight = 3

    def assertSpoolEmpty(self, gateway):
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def only_transfer(self, gateway):
        """The one there is, as the list knows it."""
        items = gateway.get("/v1/transfers").json["items"]
        self.assertEqual(len(items), 1, items)
        return items[0]

    def disk(self, gateway):
        """Bytes that the spool takes on the disk."""
        total = 0
        for path in (gateway.state / "spool").iterdir():
            try:
                total += path.stat().st_blocks * 512
            except FileNotFoundError:
                pass  # just removed
        return total

    # ---- mode auto, which is what nobody asks for

    def follow(self, settings, path):
        gateway, peer = self.gateway(**settings), self.recipient("alice")
        body = os.urandom(BIG)
        upload = Upload(gateway, peer.jid, BIG)
        self.addCleanup(upload.cut)
        upload.send(body[:BIG // 2])
        peer.wait("begun")
        self.assertEqual(peer.all("file"), [])
        moving = self.only_transfer(gateway)
        self.assertEqual((moving["state"], moving["mode"], moving["upload"]["state"]),
                         ("transferring", "auto", "receiving"))
        wait_until(lambda: gateway.transfer(moving["id"])["progress"]["sent"] == BIG // 2, 10, "half of it sent")
        self.assertEqual(gateway.transfer(moving["id"])["upload"]["received"], BIG // 2)
        upload.send(body[BIG // 2:])
        status, accepted = upload.answer()
        self.assertEqual((status, accepted["id"]), (202, moving["id"]))
        final = gateway.wait_final(accepted["id"])
        self.assertEqual((final["state"], final["method"]["path"], final["upload"]),
                         ("delivered", path, {"state": "complete", "received": BIG}))
        self.assertEqual(peer.wait("file")["sha256"], sha256(body))
        self.assertSpoolEmpty(gateway)

    def test_the_recipient_has_the_first_bytes_before_the_upload_is_over(self):
        self.follow(DIRECT, "direct")

    def test_so_it_is_through_the_proxy(self):
        self.follow({}, "proxy")

    def test_an_upload_that_is_cut_leaves_a_short_file_a_failed_transfer_and_nothing_else(self):
        for settings in DIRECT, {}:
            gateway, peer = self.gateway(**settings), self.recipient("alice")
            upload = Upload(gateway, peer.jid, BIG)
            upload.send(os.urandom(BIG - 1))
            peer.wait("begun")
            moving = self.only_transfer(gateway)
            wait_until(lambda: gateway.transfer(moving["id"])["progress"]["sent"] > BIG // 2, 10, "bytes on their way")
            upload.cut()
            final = gateway.wait_final(moving["id"])
            self.assertEqual((final["state"], final["upload"]["state"], final["error"]["code"],
                              final["error"]["stage"]), ("failed", "aborted", "length_conflict", "upload"), final)
            self.assertLess(peer.wait("broken")["size"], BIG)
            self.assertEqual(peer.all("file"), [])
            self.assertSpoolEmpty(gateway)
            gateway.stop()
            peer.leave()

    def test_a_slow_recipient_does_not_stop_the_upload(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "hold")
        body = os.urandom(BIG)
        answer = gateway.put(peer.jid, body)
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual(answer.json["upload"], {"state": "complete", "received": BIG})
        peer.wait("begun")
        self.assertFalse(gateway.transfer(answer.json["id"])["final"])
        peer.command("go")
        self.assertEqual(gateway.wait_final(answer.json["id"])["state"], "delivered")
        self.assertEqual(peer.wait("file")["sha256"], sha256(body))

    def test_a_broken_stream_is_tried_again_from_what_is_kept(self):
        gateway = self.gateway(**DIRECT, DELIVERY_BACKOFF="100ms")
        peer = self.recipient("alice", "--behave", "half")
        body = os.urandom(BIG)
        upload = Upload(gateway, peer.jid, BIG)
        self.addCleanup(upload.cut)
        upload.send(body[:BIG * 3 // 4])
        peer.wait("broken")
        peer.command("go")  # from here on it takes everything
        upload.send(body[BIG * 3 // 4:])
        status, accepted = upload.answer()
        self.assertEqual(status, 202)
        final = gateway.wait_final(accepted["id"])
        self.assertEqual(final["state"], "delivered", final)
        self.assertGreater(final["attempt"], 1)
        self.assertEqual(peer.wait("file")["sha256"], sha256(body))

    def test_a_refused_upload_goes_on_to_its_answer_and_is_not_kept(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "decline")
        upload = Upload(gateway, peer.jid, BIG)
        self.addCleanup(upload.cut)
        upload.send(bytes(BIG // 2))
        peer.wait("offer")
        upload.send(bytes(BIG // 2))
        status, answer = upload.answer()
        self.assertEqual((status, answer["id"]), (202, answer["id"]))
        final = gateway.wait_final(answer["id"])
        self.assertEqual((final["state"], final["error"]["code"]), ("failed", "recipient_declined"))
        self.assertSpoolEmpty(gateway)

    def test_in_band_waits_for_the_end_of_the_upload(self):
        gateway, peer = self.gateway(DELIVERY_METHODS="si-ibb"), self.recipient("alice", "--ibb")
        body = os.urandom(200000)
        upload = Upload(gateway, peer.jid, len(body))
        self.addCleanup(upload.cut)
        upload.send(body[:100000])
        peer.wait("stream")
        self.assertEqual(peer.all("begun"), [])
        upload.send(body[100000:])
        self.assertEqual(upload.answer()[0], 202)
        self.assertEqual(peer.wait("file")["sha256"], sha256(body))

    def test_a_kill_in_the_middle_leaves_nothing(self):
        for mode in "auto", "stream":
            gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
            upload = Upload(gateway, peer.jid, BIG, mode=mode)
            upload.send(os.urandom(BIG // 2))
            peer.wait("begun")
            gateway.kill()
            upload.cut()
            peer.wait("broken")
            gateway.start()
            self.assertSpoolEmpty(gateway)
            self.assertEqual(gateway.get("/v1/transfers").json["items"], [])
            gateway.stop()
            peer.leave()

    # ---- mode stream

    def test_a_refusal_comes_before_the_body_is_sent(self):
        gateway = self.gateway(**DIRECT)
        self.recipient("alice", "--behave", "decline")
        self.recipient("bob", "--no-streams")
        upload, _ = self.file(BIG)
        for user, status, code in ("alice", 409, "recipient_declined"), ("carol", 409, "recipient_offline"), \
                ("bob", 422, "no_common_method"):
            url = f"http://{LOOPBACK}:{gateway.port}" + gateway.target(f"{user}@{DOMAIN}", "file.bin", mode="stream")
            done = subprocess.run(["curl", "-sS", "-T", str(upload), "-H", "Expect: 100-continue", "--expect100-timeout",
                                   "60", "-o", "/dev/null", "-w", "%{http_code} %{size_upload}", url],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.stdout, f"{status} 0", done.stderr)
            self.assertSpoolEmpty(gateway)
            items = gateway.get("/v1/transfers").json["items"]
            self.assertEqual((items[0]["error"]["code"], items[0]["upload"]),
                             (code, {"state": "aborted", "received": 0}), items[0])

    def test_a_stream_is_answered_with_its_end(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        upload, digest = self.file(BIG)
        answer = gateway.curl(upload, peer.jid, mode="stream")
        self.assertDelivered(answer, "direct")
        self.assertEqual(answer.json["mode"], "stream")
        self.assertEqual(peer.wait("file")["sha256"], digest)
        self.assertSpoolEmpty(gateway)

    def test_a_slow_recipient_slows_the_uploader(self):
        gateway = self.gateway(**DIRECT, SPOOL_STREAM_WINDOW=str(WINDOW))
        peer = self.recipient("alice", "--behave", "hold")
        body = os.urandom(2 * BIG)
        upload = Upload(gateway, peer.jid, len(body), mode="stream")
        self.addCleanup(upload.cut)
        pusher, sent = upload.push(body)
        peer.wait("begun")
        self.assertLess(until_still(sent), len(body) // 2)
        self.assertLess(self.disk(gateway), WINDOW + SLACK)
        peer.command("go")
        pusher.join()
        status, final = upload.answer()
        self.assertEqual((status, final["state"]), (200, "delivered"))
        self.assertEqual(peer.wait("file")["sha256"], sha256(body))

    def test_a_stream_that_breaks_is_a_problem_and_not_tried_again(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "half")
        upload, _ = self.file(BIG)
        answer = gateway.curl(upload, peer.jid, mode="stream")
        self.assertFailed(answer, 502, "stream_broken")
        final = self.only_transfer(gateway)
        self.assertEqual((final["state"], final["attempt"]), ("failed", 1))
        self.assertSpoolEmpty(gateway)

    def test_an_uploader_that_leaves_before_the_answer_is_noticed(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "ignore")
        upload = Upload(gateway, peer.jid, BIG, headers={"Expect": "100-continue"}, mode="stream")
        peer.wait("offer")
        upload.cut()
        final = wait_until(lambda: next((item for item in gateway.get("/v1/transfers").json["items"] if item["final"]),
                                        None), 10, "its end")
        self.assertEqual((final["state"], final["upload"]["state"]), ("failed", "aborted"))

    def test_without_a_length_a_body_is_spooled(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        body = os.urandom(MEBIBYTE)
        answer = gateway.put(peer.jid, iter([body[:1000], body[1000:]]), mode="stream", wait=30)
        self.assertDelivered(answer, "direct")
        self.assertEqual(answer.json["mode"], "spool")
        self.assertEqual(peer.wait("file")["sha256"], sha256(body))


class CutThroughOnProsody(CutThrough, Case):
    pass


class CutThroughOnEjabberd(CutThrough, Case):
    server_name = "ejabberd"


class CutThroughOnRelease(Case):
    """With the program that is installed, and more than fits anywhere."""
    build = "release"
    slow = True
    weight = 3
    disk = CutThrough.disk

    def test_1_GiB_through_a_window_takes_no_more_disk_than_that(self):
        gateway, peer = self.gateway(**DIRECT, SPOOL_STREAM_WINDOW=str(WINDOW)), self.recipient("alice")
        upload, digest = self.file(GIBIBYTE)
        self.addCleanup(upload.unlink)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(gateway.curl(upload, peer.jid, seconds=300,
                                                                             mode="stream")))
        thread.start()
        most = 0
        while thread.is_alive():
            most = max(most, self.disk(gateway))
            thread.join(0.01)
        self.assertDelivered(answers[0], "direct")
        self.assertEqual(peer.wait("file")["sha256"], digest)
        self.assertGreater(most, 0)
        self.assertLess(most, WINDOW + SLACK)
