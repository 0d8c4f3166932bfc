"""Who can be offered no stream gets a link: the file on the server's upload service, and a message to the bare address."""
import hashlib
import subprocess

import results
from case import DIRECT, QUICK, Case
from lab import DOMAIN, wait_until

LIMIT = 3000000


class Links:
    server_options = {"upload": LIMIT}

    def gateway(self, **settings):
        return super().gateway(XMPP_CA=str(self.server.authority.certificate), **{**DIRECT, **QUICK, **settings})

    def fetched(self, url):
        """The SHA-256 of what is there."""
        done = subprocess.run(["curl", "-sS", "--fail", "--max-time", "30", "--cacert",
                               str(self.server.authority.certificate), url], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return hashlib.sha256(done.stdout).hexdigest()

    def attempts(self, transfer):
        return [(attempt["method"], attempt["code"]) for attempt in transfer["attempts"]]

    @staticmethod
    def known(rung):
        """Whether the server has a service is looked for at the login."""
        return None if rung["possible"] is None else rung

    def assertLinkSent(self, answer):
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.json["state"], answer.json["final"]), ("link_sent", True), answer)
        self.assertIsNone(answer.json["delivery_proof"])
        self.assertIsNone(answer.json["error"])
        self.assertEqual(answer.json["method"]["name"], "link")

    def assertLinked(self, told, digest):
        """A message whose body is the link, and says so in the two other ways as well."""
        self.assertEqual(told["body"], told["oob"])
        self.assertEqual(self.fetched(told["body"]), digest)

    def test_who_is_offline_gets_the_link_at_the_next_login(self):
        gateway = self.gateway()
        path, digest = self.file(2000000, "holiday photo ä.bin")
        answer = gateway.curl(path, f"alice@{DOMAIN}", wait=60, caption="as promised", digest="sha-256")
        self.assertLinkSent(answer)
        self.assertEqual(self.attempts(answer.json), [(None, "recipient_offline"), ("link", None)])
        self.assertEqual(answer.json["progress"]["sent"], 2000000)
        peer = self.recipient("alice", "--no-streams")
        wait_until(lambda: len(peer.all("message")) == 2, 15, "two messages")
        caption, told = peer.all("message")
        self.assertEqual((caption["body"], caption["oob"]), ("as promised", None))
        self.assertLinked(told, digest)
        self.assertEqual((told["shared"]["name"], told["shared"]["size"]), ("holiday photo ä.bin", "2000000"))
        self.assertTrue(told["shared"]["hash"])

    def test_a_client_without_any_stream_gets_a_link(self):
        gateway = self.gateway()
        peer = self.recipient("bob", "--no-streams")
        answer = gateway.put(peer.jid, b"for a phone", "a.txt", wait=60)
        self.assertLinkSent(answer)
        self.assertEqual(self.attempts(answer.json), [(None, "no_common_method"), ("link", None)])
        self.assertLinked(peer.wait("message"), hashlib.sha256(b"for a phone").hexdigest())
        results.record(peer.client, self.server_name, "link", "shown", len(b"for a phone"))

    def test_who_takes_streams_is_streamed_to(self):
        gateway = self.gateway()
        self.assertDelivered(gateway.put(self.recipient("carol").jid, b"x", wait=60), "direct")

    def test_a_stream_that_fails_becomes_a_link(self):
        gateway = self.gateway()
        peer = self.recipient("carol", "--behave", "unreachable")
        answer = gateway.put(peer.jid, b"by another way", wait=60)
        self.assertLinkSent(answer)
        self.assertEqual(self.attempts(answer.json), [("si-s5b", "streamhosts_unreachable"),
                                                      ("si-ibb", "no_common_method"), ("link", None)])
        self.assertLinked(peer.wait("message"), hashlib.sha256(b"by another way").hexdigest())

    def test_a_decline_is_the_end(self):
        gateway = self.gateway()
        peer = self.recipient("carol", "--behave", "decline")
        answer = gateway.put(peer.jid, b"unwanted", wait=60)
        self.assertFailed(answer, 409, "recipient_declined")
        self.assertEqual(peer.all("message"), [])

    def test_the_ladder_says_whether_the_service_takes_the_file(self):
        gateway = self.gateway()
        for size, possible in (LIMIT, True), (LIMIT + 1, False):
            target = f"/v1/recipients/erin@{DOMAIN}?methods=link&size={size}"
            rung = wait_until(lambda: self.known(gateway.get(target).json["ladder"][0]), 10, "what the service says")
            self.assertEqual((rung["to"], rung["possible"]), (f"erin@{DOMAIN}", possible), rung)

    def test_a_link_may_be_all_that_is_wanted(self):
        gateway = self.gateway()
        peer = self.recipient("dave")
        answer = gateway.put(peer.jid, b"only a link", wait=60, methods="link")
        self.assertLinkSent(answer)
        self.assertEqual(self.attempts(answer.json), [("link", None)])
        self.assertLinked(peer.wait("message"), hashlib.sha256(b"only a link").hexdigest())

    def test_a_link_may_be_unwanted(self):
        gateway = self.gateway(DELIVERY_METHODS="si-s5b,s5b")
        self.assertFailed(gateway.put(f"erin@{DOMAIN}", b"x", wait=60), 409, "recipient_offline")

    def test_a_file_larger_than_the_service_takes(self):
        gateway = self.gateway()
        answer = gateway.put(f"erin@{DOMAIN}", bytes(LIMIT + 1), wait=60)
        self.assertFailed(answer, 502, "upload_service_refused")
        self.assertIn(str(LIMIT), answer.json["detail"])
        self.assertEqual(self.attempts(answer.transfer),
                         [(None, "recipient_offline"), ("link", "upload_service_refused")])

    def test_a_file_as_large_as_the_service_takes(self):
        gateway = self.gateway()
        peer = self.recipient("dave")
        path, digest = self.file(LIMIT)
        self.assertLinkSent(gateway.curl(path, peer.jid, wait=60, methods="link"))
        self.assertLinked(peer.wait("message"), digest)

    def test_nobody_of_that_name(self):
        gateway = self.gateway()
        answer = gateway.put(f"nobody@{DOMAIN}", b"x", wait=60)
        self.assertFailed(answer, 502, "link_failed")


class LinksOnProsody(Links, Case):
    server_name = "prosody"


class LinksOnEjabberd(Links, Case):
    server_name = "ejabberd"

    def test_the_service_must_have_a_certificate_that_is_trusted(self):
        gateway = Case.gateway(self, **DIRECT, **QUICK)
        answer = gateway.put(f"erin@{DOMAIN}", b"x", wait=60)
        self.assertFailed(answer, 502, "upload_service_failed")
        self.assertIn("certificate", answer.json["detail"])


class NoUploadService(Case):
    def test_without_an_upload_service_the_reason_stays_what_it_was(self):
        gateway = self.gateway(**DIRECT, **QUICK)
        answer = gateway.put(f"erin@{DOMAIN}", b"x", wait=60)
        self.assertFailed(answer, 409, "recipient_offline")
        self.assertEqual([attempt["code"] for attempt in answer.transfer["attempts"]],
                         ["recipient_offline", "method_unsupported"])
        self.assertFailed(gateway.put(f"erin@{DOMAIN}", b"x", wait=60, methods="link"), 502, "method_unsupported")
