"""Files by Jingle to the real Gajim: every path there is, with sizes at the edges of the machinery."""
import hashlib
import os
import threading

import peers
from case import Case
from lab import PROXY

AWAY = "127.0.0.2"  # Gajim never goes to 127.0.0.1
# None is empty: Gajim leaves the offer of an empty file without an answer.
SIZES = {"one byte": 1, "more than 64 KiB by one": 65537, "10 MiB": 10 << 20}
OURS = {"SOCKS5_LISTEN": f"{AWAY}:0", "SOCKS5_ADVERTISE": AWAY}
THEIRS = {"EGRESS_ALLOW_NETS": "127.0.0.0/8"}  # else no peer may send us to its own loopback network


class Jingle:
    server_options = {"proxy_address": AWAY}
    weight = 4

    def deliver(self, path, streamhost, **settings):
        gateway = self.gateway(**settings)
        peer = self.recipient("alice", client=peers.gajim)
        for what, size in SIZES.items():
            with self.subTest(what):
                upload, digest = self.file(size, f"{size}.bin")
                answer = gateway.curl(upload, peer.jid, wait=60, digest="sha-256")
                received = self.assertArrived(answer, peer, digest, path)
                self.assertEqual(answer.json["method"]["name"], "jingle-s5b")
                self.assertIn(streamhost, answer.json["method"]["streamhost"])
                self.assertEqual(answer.json["delivery_proof"], "peer_confirmed")
                self.assertEqual(answer.json["progress"]["sent"], size)
                self.assertEqual((received["name"], received["size"]), (f"{size}.bin", size))
        self.assertEqual(len(peer.all("offer")), len(SIZES))

    def test_gajim_comes_to_us(self):
        self.deliver("direct", "gateway@localhost/jidpost", **OURS)

    def test_we_go_to_gajim(self):
        self.deliver("direct", "alice@localhost/desk", **THEIRS)

    def test_both_meet_at_the_proxy(self):
        self.deliver("proxy", PROXY)

    def test_a_person_who_declines_ends_it(self):
        gateway = self.gateway(**OURS)
        peer = self.recipient("alice", "--decline", client=peers.gajim)
        answer = gateway.put(peer.jid, b"x", wait=30)
        self.assertFailed(answer, 409, "recipient_declined")
        self.assertEqual([attempt["method"] for attempt in answer.transfer["attempts"]], ["jingle-s5b"])


class JingleOnProsody(Jingle, Case):
    server_name = "prosody"


class JingleOnEjabberd(Jingle, Case):
    server_name = "ejabberd"


class NobodyReachesAnybody:
    """Our address leads nowhere, and Gajim's is in a network that it may not send us to."""
    server_options = {"proxy": False}
    settings = {"SOCKS5_LISTEN": f"{AWAY}:0", "SOCKS5_ADVERTISE": f"{AWAY}:9"}

    def test_the_session_goes_on_in_band(self):
        gateway = self.gateway()
        peer = self.recipient("alice", client=peers.gajim)
        for size in 1, 65537, 1 << 20:
            with self.subTest(size):
                upload, digest = self.file(size, f"{size}.bin")
                answer = gateway.curl(upload, peer.jid, wait=60)
                self.assertArrived(answer, peer, digest, "inband")
                self.assertEqual(answer.json["method"]["name"], "jingle-ibb")
                self.assertEqual([(attempt["method"], attempt["code"]) for attempt in answer.json["attempts"]],
                                 [("jingle-s5b", "transport_failed"), ("jingle-ibb", None)])
                self.assertEqual(answer.json["delivery_proof"], "peer_confirmed")
        self.assertEqual(len(peer.all("offer")), 3)  # nobody was asked twice

    def test_a_session_may_begin_in_band(self):
        gateway = self.gateway()
        peer = self.recipient("alice", client=peers.gajim)
        upload, digest = self.file(10000)
        answer = gateway.curl(upload, peer.jid, wait=60, methods="jingle-ibb")
        self.assertArrived(answer, peer, digest, "inband")
        self.assertEqual([(attempt["method"], attempt["code"]) for attempt in answer.json["attempts"]],
                         [("jingle-ibb", None)])

    def test_where_in_band_is_not_wanted_it_ends(self):
        gateway = self.gateway()
        peer = self.recipient("alice", client=peers.gajim)
        answer = gateway.put(peer.jid, b"x", wait=60, methods="jingle-s5b")
        self.assertFailed(answer, 502, "transport_failed")
        self.assertEqual([(attempt["method"], attempt["code"]) for attempt in answer.transfer["attempts"]],
                         [("jingle-s5b", "transport_failed")])


class NobodyReachesAnybodyOnProsody(NobodyReachesAnybody, Case):
    server_name = "prosody"


class NobodyReachesAnybodyOnEjabberd(NobodyReachesAnybody, Case):
    server_name = "ejabberd"


class JingleBesideOthers(Case):
    """What goes one way does not disturb what goes the other."""
    server_options = {"proxy_address": AWAY}
    build = "release"
    slow = True
    weight = 5

    def test_50_MiB_to_gajim_while_ten_go_to_others(self):
        gateway = self.gateway(DELIVERY_PARALLEL="20", DELIVERY_PER_RECIPIENT_PARALLEL="5", **OURS)
        gajim = self.recipient("alice", client=peers.gajim)
        others = [self.recipient(user) for user in ("bob", "carol")]
        large, digest = self.file(50 << 20, "large.bin")
        small = [(others[n % 2], f"{n}.bin", os.urandom((5 << 20) + n)) for n in range(10)]
        answers = {}

        def send(name, call):
            answers[name] = call()

        calls = [("large.bin", lambda: gateway.curl(large, gajim.jid, wait=60))]
        calls += [(name, lambda peer=peer, name=name, body=body: gateway.put(peer.jid, body, name, wait=60))
                  for peer, name, body in small]
        threads = [threading.Thread(target=send, args=call) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertDelivered(answers["large.bin"], "direct")
        self.assertEqual(answers["large.bin"].json["method"]["name"], "jingle-s5b")
        self.assertEqual(answers["large.bin"].json["file"]["sha256"], digest)
        self.assertEqual(gajim.wait("file", sha256=digest)["size"], 50 << 20)
        for peer, name, body in small:
            self.assertDelivered(answers[name], "direct")
            self.assertEqual(answers[name].json["method"]["name"], "si-s5b")
            self.assertEqual(peer.wait("file", name=name)["sha256"], hashlib.sha256(body).hexdigest())
        for answer in answers.values():
            self.assertEqual(len(answer.json["attempts"]), 1, answer)
        peak = gateway.peak_memory()
        print(f"{self._testMethodName}: peak memory {peak / (1 << 20):.1f} MiB")
        self.assertLess(peak, 40 << 20)
