"""Proxies that refuse, vanish, stay silent or break: each ends in its own code within its deadline, and the next
transfer works."""
import time

from case import Case, DIRECT, QUICK
from fake_proxy import FakeProxy
from lab import COMPONENT, LOOPBACK

SIZE = 8 << 20


class Proxies(Case):
    server_options = {"proxy": False}
    weight = 3

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxy = FakeProxy(cls.server)
        cls.addClassCleanup(cls.proxy.close)

    def outcome(self, status, code, **conduct):
        """alice, behind a firewall, reaches the proxy alone; bob reaches the gateway itself."""
        self.proxy.behave(**conduct)
        gateway = self.gateway(**DIRECT, **QUICK, XMPP_PROXIES=COMPONENT)
        peer = self.recipient("alice", "--only-proxy")
        began = time.monotonic()
        answer = gateway.put(peer.jid, bytes(SIZE), wait=60)
        self.assertFailed(answer, status, code)
        self.assertLess(time.monotonic() - began, 15)
        self.assertEqual(answer.transfer["method"]["streamhost"], COMPONENT)
        self.assertDelivered(gateway.put(self.recipient("bob").jid, b"next", wait=30), "direct")

    def test_a_good_proxy_delivers(self):
        self.proxy.behave()
        gateway = self.gateway(XMPP_PROXIES=COMPONENT)
        answer = gateway.put(self.recipient("alice").jid, bytes(SIZE), wait=30)
        self.assertDelivered(answer, "proxy")
        self.assertEqual(answer.json["method"]["streamhost"], COMPONENT)

    def test_a_proxy_that_refuses_our_connection(self):
        self.outcome(502, "proxy_unavailable", connect="refuse")

    def test_a_proxy_that_hangs_up_on_us(self):
        self.outcome(502, "proxy_unavailable", connect="hang-up")

    def test_a_proxy_that_never_answers_our_connection(self):
        self.outcome(502, "proxy_unavailable", connect="silence")

    def test_a_proxy_that_dies_after_the_recipient_chose_it(self):
        self.outcome(502, "proxy_unavailable", connect="gone")

    def test_a_proxy_that_never_activates(self):
        self.outcome(504, "activation_timeout", activate="silence")

    def test_a_proxy_that_does_not_know_the_bytestream(self):
        self.outcome(502, "proxy_hash_mismatch", activate="cancel/item-not-found")

    def test_a_proxy_that_misses_one_side(self):
        self.outcome(502, "proxy_pair_incomplete", activate="cancel/not-allowed")

    def test_a_proxy_that_is_full(self):
        self.outcome(502, "proxy_busy", activate="wait/resource-constraint")

    def test_a_proxy_that_fails(self):
        self.outcome(502, "proxy_failed", activate="wait/internal-server-error")

    def test_a_proxy_that_hangs_up_at_half(self):
        self.outcome(502, "stream_broken", relay="half", size=SIZE)

    def test_a_proxy_that_denies_its_address_is_not_offered(self):
        for conduct, result in ("auth/forbidden", "proxy_refused"), ("silence", "proxy_unavailable"):
            with self.subTest(conduct):
                self.proxy.behave(address=conduct)
                gateway = self.gateway(**QUICK, XMPP_PROXIES=COMPONENT)
                answer = gateway.put(self.recipient("alice").jid, b"x", wait=30)
                self.assertFailed(answer, 502, "streamhosts_unreachable")
                self.assertEqual([(one["jid"], one["result"]) for one in gateway.get("/v1/xmpp").json["proxies"]],
                                 [(COMPONENT, result)])
                gateway.stop()

    def test_after_a_proxy_failed_the_other_one_is_offered(self):
        """The bare method may offer once more, and does so without the proxy that let it down."""
        self.proxy.behave(connect="hang-up")
        gateway = self.gateway(**DIRECT, **QUICK, XMPP_PROXIES=COMPONENT)
        peer = self.recipient("alice", "--bare", "--only-proxy")
        self.assertEqual(gateway.put(peer.jid, b"x", wait=30, methods="s5b").status, 502)
        peer.leave()
        self.assertEqual([[host[0] for host in offer["hosts"]] for offer in peer.all("streamhosts")],
                         [["gateway@localhost/jidpost", COMPONENT], ["gateway@localhost/jidpost"]])

    def test_a_proxy_is_reached_at_the_address_it_told(self):
        self.proxy.behave()
        gateway = self.gateway(XMPP_PROXIES=COMPONENT)
        self.assertDelivered(gateway.put(self.recipient("alice").jid, b"x", wait=30))
        told = gateway.get("/v1/xmpp").json["proxies"][0]
        self.assertEqual((told["host"], told["port"], told["result"]), (LOOPBACK, self.proxy.port, "ok"))
