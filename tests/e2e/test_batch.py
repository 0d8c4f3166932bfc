"""Several files for several recipients in one call: a batch of transfers, all of them or none."""
import hashlib
import os
import uuid

from case import Case, DIRECT, QUICK, STREAMS_ALONE
from lab import DOMAIN, LOOPBACK, wait_until
from test_events import Stream
from test_tokens import Commands
from test_webhooks import Receiver

BIG = 3 << 20


def form(*parts, boundary="frontier"):
    """Parts: ("file", name, bytes) or (field, text), in that order."""
    out = b""
    for part in parts:
        name = f'; filename="{part[1]}"' if len(part) == 3 else ""
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{part[0]}"{name}\r\n\r\n'.encode()
        out += (part[2] if len(part) == 3 else part[1].encode()) + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def digest(body):
    return hashlib.sha256(body).hexdigest()


class Batches(Commands, Case):
    settings = {**DIRECT, **STREAMS_ALONE}

    def post(self, gateway, *parts, target="/v1/transfers", headers=None):
        return gateway.request("POST", target, form(*parts),
                               {"Content-Type": "multipart/form-data; boundary=frontier", **(headers or {})}, 120)

    def inodes(self, gateway):
        return {path.stat().st_ino for path in (gateway.state / "spool").iterdir()}

    def test_two_files_reach_two_recipients(self):
        gateway, alice, bob = self.gateway(), self.recipient("alice"), self.recipient("bob")
        one, two = os.urandom(BIG), b"short"
        answer = self.post(gateway, ("to", alice.jid), ("file", "one.bin", one), ("to", bob.jid),
                           ("file", "two.txt", two), ("label", "job:nightly"), target="/v1/transfers?wait=60")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json["totals"]["delivered"], 4, answer)
        self.assertTrue(answer.json["final"])
        self.assertEqual([(child["to"], child["file"]["name"]) for child in answer.json["transfers"]],
                         [(alice.jid, "one.bin"), (bob.jid, "one.bin"), (alice.jid, "two.txt"), (bob.jid, "two.txt")])
        for peer in alice, bob:
            for body in one, two:
                peer.wait("file", sha256=digest(body))
        self.assertEqual(gateway.get(answer.headers["location"]).json["id"], answer.json["id"])
        self.assertEqual(len(gateway.get("/v1/transfers?label=job:nightly").json["items"]), 4)
        self.assertEqual(gateway.get("/v1/transfers?label=job:daily").json["items"], [])
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_one_who_is_offline_fails_alone_and_gives_the_status(self):
        gateway, alice = self.gateway(**QUICK), self.recipient("alice")
        answer = self.post(gateway, ("file", "a.txt", b"abc"), ("to", alice.jid), ("to", f"dave@{DOMAIN}"),
                           target="/v1/transfers?wait=60")
        self.assertEqual(answer.status, 409, answer)
        self.assertEqual([child["state"] for child in answer.json["transfers"]], ["delivered", "failed"])
        self.assertEqual(answer.json["transfers"][1]["error"]["code"], "recipient_offline")
        alice.wait("file", sha256=digest(b"abc"))

    def test_that_it_is_complete_is_told_once(self):
        receiver, ini = Receiver(), self.path("jidpost.ini")
        self.addCleanup(receiver.stop)
        ini.write_text(f"[webhook ci]\nurl = http://{LOOPBACK}:{receiver.port}/\nallow_nets = {LOOPBACK}\n"
                       "secret = whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nevents = batch.completed\n")
        gateway = self.gateway(start=False, **QUICK)
        gateway.arguments = ["--config", str(ini)]
        headers = {name: self.create(gateway, name, "--scopes", "send,read,events") for name in ("mine", "other")}
        gateway.start()
        alice = self.recipient("alice")
        streams = {name: Stream(gateway, "/v1/events?type=batch.completed", headers=headers[name]) for name in headers}
        parts = ("file", "a.txt", b"abc"), ("to", alice.jid), ("to", f"dave@{DOMAIN}")
        first = self.post(gateway, *parts, headers=headers["mine"]).json["id"]
        told = streams["mine"].event()
        self.assertEqual((told["event"], told["body"]["data"]), ("batch.completed", {"batch": {"id": first}}))
        batch = gateway.get(f"/v1/batches/{first}", headers=headers["mine"]).json
        self.assertEqual((batch["final"], batch["totals"]["delivered"], batch["totals"]["failed"]), (True, 1, 1))
        receiver.wait(1)
        gateway.stop()
        self.assertIsNone(streams["other"].event())
        gateway.start()
        second = self.post(gateway, *parts, headers=headers["other"]).json["id"]
        self.assertEqual([got.json["data"]["batch"]["id"] for got in receiver.wait(2)], [first, second])
        for stream in streams.values():
            stream.close()

    def test_a_file_lies_in_the_spool_once_whoever_it_is_for(self):
        gateway = self.gateway(SPOOL_MAX_BYTES="4M", SPOOL_MAX_FILE="4M", DELIVERY_HOLD="1h")
        body = os.urandom(BIG)
        to = [("to", f"{name}@{DOMAIN}") for name in ("alice", "bob", "carol")]
        answer = self.post(gateway, *to, ("file", "a.bin", body))
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual((len(gateway.spooled()), len(self.inodes(gateway))), (3, 1))
        full = self.post(gateway, to[0], ("file", "a.bin", body))
        self.assertEqual((full.status, full.json["code"]), (507, "spool_full"))
        first, second, third = (child["id"] for child in answer.json["transfers"])
        for identifier in first, second:
            self.assertEqual(gateway.request("DELETE", f"/v1/transfers/{identifier}").status, 200)
        wait_until(lambda: gateway.spooled() == [third], 10, "one name")
        gateway.stop()
        gateway.start()
        self.assertEqual(self.post(gateway, to[0], ("file", "a.bin", body)).status, 507)
        self.assertEqual(gateway.request("DELETE", f"/v1/transfers/{third}").status, 200)
        wait_until(lambda: self.post(gateway, to[0], ("file", "a.bin", body)).status == 202, 10, "room")

    def test_a_crash_leaves_all_of_a_batch_or_nothing(self):
        gateway = self.gateway(DELIVERY_BACKOFF="200ms", XMPP_RECONNECT_MIN="200ms")
        kept = self.post(gateway, ("to", f"alice@{DOMAIN}"), ("to", f"bob@{DOMAIN}"), ("file", "a.txt", b"abc"),
                         ("file", "b.txt", b"def"), ("hold", "1h"))
        self.assertEqual(kept.status, 202, kept)
        half = gateway.connection()
        half.putrequest("POST", "/v1/transfers")
        half.putheader("Content-Type", "multipart/form-data; boundary=frontier")
        half.putheader("Content-Length", str(2 * BIG))
        half.endheaders()
        half.send(form(("to", f"alice@{DOMAIN}"), ("file", "c.bin", bytes(BIG)), ("file", "d.bin", bytes(BIG)))[:BIG + 5000])
        wait_until(lambda: len(gateway.spooled()) >= 5, 10, "what comes in")
        gateway.kill()
        half.close()
        alice, bob = self.recipient("alice"), self.recipient("bob")
        gateway.start()
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 4)
        answer = gateway.get(f"/v1/batches/{kept.json['id']}?wait=60", seconds=90)
        self.assertEqual(answer.json["totals"]["delivered"], 4, answer)
        for peer in alice, bob:
            for body in b"abc", b"def":
                peer.wait("file", sha256=digest(body))
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_a_repeated_call_makes_no_second_batch(self):
        gateway, alice, bob = self.gateway(), self.recipient("alice"), self.recipient("bob")
        parts = ("file", "a.txt", b"once"), ("to", alice.jid), ("to", bob.jid)
        key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
        first = self.post(gateway, *parts, target="/v1/transfers?wait=60", headers=key)
        gateway.stop()
        gateway.start()
        again = self.post(gateway, *parts, target="/v1/transfers?wait=60", headers=key)
        self.assertEqual((first.status, again.status), (200, 200), again)
        self.assertEqual(again.json["id"], first.json["id"])
        self.assertEqual(again.headers["idempotent-replayed"], "true")
        self.assertEqual((len(alice.all("file")), len(bob.all("file"))), (1, 1))

    def tokens(self, **tokens):
        """A gateway that knows these, and the headers of each."""
        gateway = self.gateway(start=False)
        headers = {name: self.create(gateway, name, *options) for name, options in tokens.items()}
        gateway.start()
        return gateway, headers

    def test_one_who_is_refused_refuses_the_call(self):
        gateway, headers = self.tokens(narrow=["--allow-to", f"alice@{DOMAIN},dave@{DOMAIN}"])
        for bad, status, code in (("@@", 400, "jid_invalid"), (DOMAIN, 403, "recipient_not_allowed"),
                                  (f"alice@{DOMAIN}", 422, "parameter_invalid"),
                                  (f"carol@{DOMAIN}", 403, "recipient_not_allowed")):
            answer = self.post(gateway, ("to", f"alice@{DOMAIN}"), ("to", bad), ("file", "a.txt", b"abc"),
                               headers=headers["narrow"])
            self.assertFailed(answer, status, code)
            self.assertIn(bad, answer.json["detail"])
        self.assertEqual(gateway.spooled(), [])
        self.assertEqual(gateway.get("/v1/transfers", headers=headers["narrow"]).json["items"], [])

    def test_each_counts_as_one_under_way_and_is_its_makers_alone(self):
        gateway, headers = self.tokens(few=["--active", "3"], other=[])
        silent = [self.recipient(user, "--behave", "ignore") for user in ("alice", "bob")]
        to = [("to", peer.jid) for peer in silent]
        self.assertFailed(self.post(gateway, *to, ("file", "a", b"a"), ("file", "b", b"b"), headers=headers["few"]),
                          429, "quota_exceeded")
        made = self.post(gateway, *to, ("file", "a", b"a"), headers=headers["few"])
        self.assertEqual(made.status, 202, made)
        self.assertFailed(self.post(gateway, *to, ("file", "a", b"a"), headers=headers["few"]), 429, "quota_exceeded")
        self.assertEqual(self.post(gateway, to[0], ("file", "a", b"a"), headers=headers["few"]).status, 202)
        for query in "", "?wait=20":
            foreign = gateway.get(f"/v1/batches/{made.json['id']}{query}", headers=headers["other"])
            self.assertFailed(foreign, 404, "not_found")

    def test_who_tries_again_needs_to_be_allowed_to_still(self):
        gateway, headers = self.tokens(narrow=["--allow-to", f"alice@{DOMAIN}"], wide=[])
        gateway.stop()
        gateway.settings.update(QUICK, SPOOL_RETENTION="1h")
        gateway.start()
        failed = self.post(gateway, ("to", f"dave@{DOMAIN}"), ("file", "a", b"a"), target="/v1/transfers?wait=60",
                           headers=headers["wide"])
        retry = f"/v1/transfers/{failed.json['transfer']['id']}/retry"
        admin = self.create(gateway, "admin", "--scopes", "admin", "--allow-to", f"alice@{DOMAIN}")
        gateway.reload()
        refused = gateway.request("POST", retry, headers=admin)
        self.assertFailed(refused, 403, "recipient_not_allowed")
        self.assertEqual(gateway.request("POST", retry, headers=headers["narrow"]).status, 404)
        self.assertEqual(gateway.request("POST", retry, headers=headers["wide"]).status, 202)
