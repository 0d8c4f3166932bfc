"""The XMPP server goes away, comes back, or lets somebody else take our place."""
import hashlib
import os

from case import Case, DIRECT
from lab import Authority, wait_until

BIG = 16 << 20
OFTEN = {"XMPP_RECONNECT_MIN": "200ms", "XMPP_RECONNECT_MAX": "500ms"}


class Restart:
    weight = 2

    def test_running_streams_finish_and_new_uploads_wait_for_the_server(self):
        cable = self.cable()
        gateway = self.gateway(server=cable, **DIRECT, **OFTEN)
        streaming = self.recipient("alice", "--behave", "hold")
        body = os.urandom(BIG)
        first = gateway.put(streaming.jid, body).json["id"]
        gateway.wait_state(first, "transferring")

        cable.cut()
        self.server.stop()
        gateway.wait_ready(False)
        self.assertEqual(gateway.get("/livez").status, 200)
        streaming.wait("disconnected")
        waiting = []
        for n in range(5):
            answer = gateway.put("bob@localhost/desk", b"%d" % n, f"{n}.txt")
            self.assertEqual((answer.status, answer.json["state"]), (202, "queued"), answer)
            waiting.append(answer.json["id"])
        streaming.command("go")
        self.assertEqual(streaming.wait("file")["sha256"], hashlib.sha256(body).hexdigest())
        self.assertEqual(gateway.wait_final(first)["state"], "delivered")
        self.assertIn(gateway.get("/v1/xmpp").json["state"], ("offline", "connecting"))
        self.assertTrue(gateway.get("/v1/xmpp").json["advice"])

        self.server.start()
        receiving = self.recipient("bob")
        cable.mend()
        gateway.wait_ready()
        for n, identifier in enumerate(waiting):
            transfer = gateway.wait_final(identifier)
            self.assertEqual(transfer["state"], "delivered", transfer)
            self.assertEqual(receiving.wait("file", name=f"{n}.txt")["sha256"], hashlib.sha256(b"%d" % n).hexdigest())

    def test_a_gateway_that_starts_before_its_server_takes_uploads(self):
        cable = self.cable()
        cable.cut()
        gateway = self.gateway(server=cable, start=False, **DIRECT, **OFTEN).start(ready=False)
        self.assertEqual(gateway.get("/readyz").status, 503)
        answer = gateway.put("alice@localhost/desk", b"x")
        self.assertEqual((answer.status, answer.json["state"]), (202, "queued"), answer)
        self.recipient("alice")
        cable.mend()
        self.assertEqual(gateway.wait_final(answer.json["id"])["state"], "delivered")

    def test_a_second_login_with_our_resource_stops_us_with_advice(self):
        gateway = self.gateway(**DIRECT, **OFTEN)
        gateway.expected_errors.add("xmpp.stopped")
        other = self.recipient("gateway", resource="jidpost")
        gateway.wait_ready(False)
        wait_until(lambda: gateway.get("/v1/xmpp").json["state"] == "stopped", 10, "state stopped")
        told = gateway.get("/v1/xmpp").json
        self.assertIn("resource", told["advice"])
        self.assertIsNone(told["next_connect"])
        self.assertEqual(other.all("disconnected"), [])
        answer = gateway.put("alice@localhost/desk", b"x")
        self.assertEqual((answer.status, answer.json["state"]), (202, "queued"), answer)

    def test_a_wrong_password_is_told_as_such(self):
        gateway = self.gateway(start=False, **DIRECT, **OFTEN, XMPP_PASSWORD="wrong").start(ready=False)
        wait_until(lambda: "password" in (gateway.get("/v1/xmpp").json["advice"] or ""), 20, "advice on the password")
        self.assertEqual(gateway.get("/readyz").status, 503)


class RestartOnProsody(Restart, Case):
    server_name = "prosody"


class RestartOnEjabberd(Restart, Case):
    server_name = "ejabberd"


class Encryption(Case):
    def secured(self, **settings):
        return {"XMPP_TLS": "required", "XMPP_CA": str(self.server.authority.certificate), **settings}

    def test_starttls_with_our_own_authority(self):
        gateway = self.gateway(**DIRECT, **self.secured())
        self.assertDelivered(gateway.put(self.recipient("alice").jid, b"x", wait=30))

    def test_a_certificate_of_an_unknown_authority_is_refused(self):
        wrong = Authority(self.path("wrong"))
        gateway = self.gateway(start=False, **self.secured(XMPP_CA=str(wrong.certificate)), **OFTEN)
        self.refused(gateway, "certificate")

    def refused(self, gateway, word):
        gateway.expected_errors.add("xmpp.stopped")
        gateway.start(ready=False)
        wait_until(lambda: word in (gateway.get("/v1/xmpp").json["advice"] or "").lower(), 20, f"advice on {word}")
        self.assertEqual(gateway.get("/readyz").status, 503)
        self.assertNotIn("Authenticated as gateway", self.server.process.log.read_text())


class NoEncryption(Encryption):
    server_options = {"starttls": False}

    def test_starttls_with_our_own_authority(self):
        """A server without STARTTLS is not trusted with the password."""
        self.refused(self.gateway(start=False, **self.secured(), **OFTEN), "tls")

    test_a_certificate_of_an_unknown_authority_is_refused = None
