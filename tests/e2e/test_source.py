"""Files that callers name instead of sending: by a path on the gateway's machine."""
import hashlib
import json
import os
import socket

from case import Case, DIRECT, STREAMS_ALONE
from lab import DOMAIN, wait_until
from test_tokens import Commands

MEBIBYTE = 1 << 20


class Orders(Commands, Case):
    settings = {**DIRECT, **STREAMS_ALONE}

    def order(self, gateway, source, to=f"alice@{DOMAIN}", wait=None, headers=None, **fields):
        return gateway.request("POST", "/v1/transfers" + (f"?wait={wait}" if wait else ""),
                               json.dumps({"to": to, "source": source, **fields}),
                               {"Content-Type": "application/json", **(headers or {})}, 120)


class Paths(Orders):
    def setUp(self):
        super().setUp()
        self.root = self.path("root")
        (self.root / "in").mkdir(parents=True)
        self.body = os.urandom(3 * MEBIBYTE)
        (self.root / "in" / "r.pdf").write_bytes(self.body)

    def rooted(self, **settings):
        return self.gateway(SOURCE_PATH_ROOTS=str(self.root), **settings)

    def test_a_file_below_a_root_reaches_all_it_is_for(self):
        gateway, alice, bob = self.rooted(), self.recipient("alice"), self.recipient("bob")
        answer = self.order(gateway, {"path": f"{self.root}/in/r.pdf"}, alice.jid, wait=60, digest="sha-256",
                            caption="Q3", labels={"job": "nightly"})
        self.assertDelivered(answer)
        self.assertEqual(answer.json["file"], {"name": "r.pdf", "size": len(self.body), "type": "application/pdf",
                                               "sha256": hashlib.sha256(self.body).hexdigest()})
        self.assertEqual((answer.json["labels"], answer.json["batch"]), ({"job": "nightly"}, None))
        alice.wait("file", sha256=hashlib.sha256(self.body).hexdigest())
        answer = self.order(gateway, {"path": f"{self.root}/in/r.pdf"}, [alice.jid, bob.jid], wait=60, name="s.pdf")
        self.assertEqual((answer.status, answer.json["totals"]["delivered"]), (200, 2), answer)
        bob.wait("file", name="s.pdf", sha256=hashlib.sha256(self.body).hexdigest())
        self.assertEqual((self.root / "in" / "r.pdf").read_bytes(), self.body)
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_nothing_else_can_be_read(self):
        gateway = self.rooted()
        (self.root / "near").symlink_to("in/r.pdf")
        (self.root / "far").symlink_to("/etc")
        os.mkfifo(self.root / "fifo")
        os.mkdir(f"{self.root}-beside")
        with socket.socket(socket.AF_UNIX) as listener:
            here = os.getcwd()
            os.chdir(self.root)
            listener.bind("socket")
            os.chdir(here)
            for path in ("/etc/passwd", f"{self.root}/../../../../etc/passwd", f"{self.root}/in/../../root",
                         f"{self.root}//etc/passwd", f"{self.root}/near", f"{self.root}/far/passwd",
                         f"{self.root}/fifo", f"{self.root}/socket", f"{self.root}/in", str(self.root),
                         f"{self.root}-beside/a", "in/r.pdf", f"{gateway.state}/jidpost.db", "/dev/zero"):
                self.assertFailed(self.order(gateway, {"path": path}), 403, "source_refused")
        self.assertFailed(self.order(gateway, {"path": f"{self.root}/none"}), 502, "source_failed")
        self.assertEqual(gateway.spooled(), [])
        self.assertEqual(gateway.get("/v1/transfers").json["items"], [])

    def test_without_roots_it_is_off(self):
        gateway = self.gateway()
        answer = self.order(gateway, {"path": f"{self.root}/in/r.pdf"})
        self.assertFailed(answer, 403, "source_refused")
        for url in {"url": "http://127.0.0.1:1/"}, {"upload_id": "up_1"}:
            self.assertFailed(self.order(gateway, url), 403, "source_refused")

    def test_limits_hold_for_it_too(self):
        gateway = self.gateway(start=False, SOURCE_PATH_ROOTS=str(self.root))
        headers = {name: self.create(gateway, name, *options) for name, options in (
            ("small", ["--max-size", "1M"]), ("little", ["--daily-bytes", "4M"]),
            ("narrow", ["--allow-to", f"bob@{DOMAIN}"]))}
        gateway.start()
        source = {"path": f"{self.root}/in/r.pdf"}
        self.assertFailed(self.order(gateway, source, headers=headers["small"]), 413, "body_too_large")
        self.assertFailed(self.order(gateway, source, headers=headers["narrow"]), 403, "recipient_not_allowed")
        alice = self.recipient("alice")
        for _ in range(2):
            self.assertDelivered(self.order(gateway, source, alice.jid, wait=60, headers=headers["little"]))
        self.assertFailed(self.order(gateway, source, alice.jid, headers=headers["little"]), 429, "quota_exceeded")
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_the_state_folder_is_no_root(self):
        gateway = self.gateway(start=False)
        gateway.settings["SOURCE_PATH_ROOTS"] = str(gateway.state.parent)
        with self.assertRaisesRegex(AssertionError, "ended with 2"):
            gateway.start()
        gateway.process = None

    def test_a_repeated_order_is_answered_with_the_first(self):
        gateway = self.rooted()
        ids = {self.order(gateway, {"path": f"{self.root}/in/r.pdf"}, headers={"Idempotency-Key": "k"}).json["id"]
               for _ in range(2)}
        self.assertEqual(len(ids), 1)
