"""Rows 88 to 108 of the checklist: Jingle sessions over SOCKS5 bytestreams."""
import base64
import hashlib
import os
import time

from lab import COMPONENT

from . import socks
from .jingle import MINE, Talk, candidate
from .peer import BYTESTREAM, NS_JINGLE_FILE, condition
from .script import SIZE, Script, WithComponent

FILE = f"xmlns='{NS_JINGLE_FILE}'"


class Jingle(Script):
    settings = {**Script.settings, "DELIVERY_METHODS": "jingle-s5b"}

    def talk(self, body=b"x", gateway=None, **query):
        """(gateway, transfer, the session that it offers)"""
        gateway, peer = gateway or self.gateway(), self.jingle_peer()
        sent = self.send(gateway, peer, body, **query)
        return gateway, sent, Talk(peer)

    def assertReceived(self, gateway, sent, talk, size, path):
        """The peer is content, and the gateway knows it."""
        self.assertEqual(talk.end().get("type"), "result")
        transfer = self.assertArrived(gateway, sent, size, path)
        self.assertEqual((transfer["method"]["name"], transfer["delivery_proof"]), ("jingle-s5b", "peer_confirmed"))
        return transfer


class Sessions(Jingle):
    weight = 2

    def test_row_88_a_normal_transfer_from_the_offer_to_the_success(self):
        body = os.urandom(SIZE)
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        gateway, sent, talk = self.talk(body, name="plan.png", digest="sha-256")
        self.assertEqual((talk.content.get("creator"), talk.content.get("senders")), ("initiator", "initiator"))
        told = {child.tag.rpartition("}")[2]: child for child in talk.file}
        self.assertEqual((told["name"].text, told["size"].text), ("plan.png", str(SIZE)))
        self.assertEqual((told["hash"].get("algo"), told["hash"].text), ("sha-256", digest))
        self.assertEqual(talk.transport.get("dstaddr"), talk.owned_by_us())
        self.assertEqual(talk.accept().get("type"), "result")
        self.assertEqual(talk.take_directly(), body)
        checksum = talk.hear("session-info", "checksum")
        self.assertEqual(checksum.find(".//{urn:xmpp:hashes:2}hash").text, digest)
        self.assertEqual(talk.say("session-info", f"<received {FILE} creator='initiator' name='file'/>").get("type"),
                         "result")
        self.assertReceived(gateway, sent, talk, SIZE, "direct")

    def test_row_88_a_digest_that_nobody_asked_for_is_promised_and_told_behind_the_bytes(self):
        body = os.urandom(SIZE)
        gateway, sent, talk = self.talk(body)
        told = {child.tag.rpartition("}")[2]: child for child in talk.file}
        self.assertNotIn("hash", told)
        self.assertEqual(told["hash-used"].get("algo"), "sha-256")
        talk.accept()
        self.assertEqual(talk.take_directly(), body)
        checksum = talk.hear("session-info", "checksum")
        self.assertEqual(base64.b64decode(checksum.find(".//{urn:xmpp:hashes:2}hash").text),
                         hashlib.sha256(body).digest())
        talk.say("session-info", f"<received {FILE} creator='initiator' name='file'/>")
        self.assertReceived(gateway, sent, talk, SIZE, "direct")
        self.assertEqual(gateway.transfer(sent)["file"]["sha256"], hashlib.sha256(body).hexdigest())

    def test_row_90_of_two_equal_priorities_the_initiators_choice_is_nominated(self):
        body, listener = os.urandom(SIZE), self.listener()
        gateway, sent, talk = self.talk(body)
        priority = int(talk.ours[0]["priority"])
        self.assertTrue(priority % 2 == 1 and 4001 <= priority % 65536 <= 5999, priority)  # nobody else's, by chance
        other = talk.connect()
        talk.accept(candidate("a", listener.port, priority))
        talk.hear("transport-info", "candidate-used")
        talk.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")
        self.assertEqual(socks.receive(listener.stream()[1]), body)
        self.assertReceived(gateway, sent, talk, SIZE, "direct")
        self.assertTrue(socks.ended_empty(other))

    def on_their_proxy(self, talk):
        """The gateway reached it: (its report, not yet acknowledged, and its connection)."""
        listener = self.listener(talk.owned_by_peer())
        talk.accept(candidate("p", listener.port, 655360, "proxy", COMPONENT))
        return talk.hear("transport-info", "candidate-used", acknowledge=False), listener.stream()[1]

    def test_row_91_a_peer_that_only_activates_its_proxy(self):
        gateway, sent, talk = self.talk()
        report, stream = self.on_their_proxy(talk)
        talk.peer.result(report)
        self.assertEqual(talk.tell("<activated cid='p'/>").get("type"), "result")
        self.assertEqual(socks.receive(stream), b"x")
        self.assertReceived(gateway, sent, talk, 1, "proxy")

    def test_row_92_an_activation_before_our_report_is_acknowledged(self):
        gateway, sent, talk = self.talk()
        report, stream = self.on_their_proxy(talk)
        self.assertEqual(talk.tell("<activated cid='p'/>").get("type"), "result")
        talk.peer.sync(talk.gateway)
        self.assertEqual(gateway.transfer(sent)["state"], "connecting")
        talk.peer.result(report)
        self.assertEqual(socks.receive(stream), b"x")
        self.assertReceived(gateway, sent, talk, 1, "proxy")

    def test_row_97_a_listener_of_the_peers_is_reached_by_either_order_of_the_names(self):
        for who in "peer", "gateway":
            with self.subTest(f"{who} first"), self.running() as gateway:
                _, sent, talk = self.talk(gateway=gateway)
                names = [talk.owned_by_peer(), talk.owned_by_us()]
                listener = self.listener(names[who == "gateway"])
                talk.accept(candidate("d", listener.port))
                talk.hear("transport-info", "candidate-used")
                talk.tell("<candidate-error/>")
                self.assertEqual(socks.receive(listener.stream()[1]), b"x")
                self.assertEqual(listener.asked, names[:1 + (who == "gateway")])
                self.assertReceived(gateway, sent, talk, 1, "direct")

    def test_row_98_our_listener_takes_either_order_of_the_names(self):
        for who in "peer", "gateway":
            with self.subTest(f"{who} first"), self.running() as gateway:
                _, sent, talk = self.talk(gateway=gateway)
                talk.accept()
                stream = talk.connect(of=talk.owned_by_us() if who == "gateway" else talk.owned_by_peer())
                talk.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")
                talk.hear("transport-info", "candidate-error")
                self.assertEqual(socks.receive(stream), b"x")
                self.assertReceived(gateway, sent, talk, 1, "direct")

    def test_row_98_our_listener_takes_bytes_that_trickle(self):
        gateway, sent, talk = self.talk()
        talk.accept()
        stream = talk.connect(split=True)
        talk.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")
        talk.hear("transport-info", "candidate-error")
        self.assertEqual(socks.receive(stream), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")

    def test_row_97_a_listener_of_the_peers_may_let_its_bytes_trickle(self):
        gateway, sent, talk = self.talk()
        listener = self.listener(talk.owned_by_peer(), split=True)
        talk.accept(candidate("d", listener.port))
        talk.hear("transport-info", "candidate-used")
        talk.tell("<candidate-error/>")
        self.assertEqual(socks.receive(listener.stream()[1]), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")

    def test_row_100_useless_candidates_are_left_out_and_the_rest_is_used(self):
        gateway, sent, talk = self.talk()
        good, bad = self.listener(), [self.listener() for _ in range(4)]
        talk.accept(candidate("foo", bad[0].port, kind="foo"), candidate("zero", bad[1].port, 0),
                    candidate("good", good.port, MINE - 1), candidate("good", bad[2].port),
                    candidate("port", 99999), candidate("minus", bad[3].port, -1),
                    candidate("many", bad[3].port, 1 << 31))
        self.assertEqual(talk.hear("transport-info", "candidate-used").get("cid"), "good")
        talk.tell("<candidate-error/>")
        self.assertEqual(socks.receive(good.stream()[1]), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")
        self.assertEqual([listener.asked for listener in bad], [[]] * 4)

    def test_row_101_late_candidates_are_tried(self):
        gateway, sent, talk = self.talk()
        talk.accept()
        listener = self.listener()
        self.assertEqual(talk.tell(candidate("late", listener.port)).get("type"), "result")
        self.assertEqual(talk.hear("transport-info", "candidate-used").get("cid"), "late")
        talk.tell("<candidate-error/>")
        self.assertEqual(socks.receive(listener.stream()[1]), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")

    def test_row_104_each_session_info_is_answered_by_what_it_says(self):
        gateway, sent, talk = self.talk()
        talk.accept()
        self.assertEqual(condition(talk.say("session-info", "<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>")),
                         ("modify", "feature-not-implemented", "unsupported-info"))
        for known in ("", f"<checksum {FILE} creator='initiator' name='file'><file/></checksum>",
                      f"<received {FILE} creator='initiator' name='file'/>"):
            self.assertEqual(talk.say("session-info", known).get("type"), "result", known)
        self.assertEqual(talk.take_directly(), b"x")  # that it was received, nobody believed
        self.assertReceived(gateway, sent, talk, 1, "direct")

    def test_row_105_what_is_out_of_order_is_refused_and_the_session_goes_on(self):
        gateway, sent, talk = self.talk()
        unknown = ("cancel", "item-not-found", "unknown-session")
        self.assertEqual(condition(talk.say("session-accept", sid="nobodys")), unknown)
        self.assertEqual(condition(talk.say("session-terminate", sid="nobodys")), unknown)
        self.assertEqual(condition(talk.say("session-dance"))[:2], ("modify", "bad-request"))
        self.assertEqual(talk.accept().get("type"), "result")
        self.assertEqual(condition(talk.accept()), ("wait", "unexpected-request", "out-of-order"))
        stranger = self.jingle_peer("bob")
        self.assertEqual(condition(stranger.ask(talk.gateway, "<jingle xmlns='urn:xmpp:jingle:1' "
                                                              f"action='session-terminate' sid='{talk.sid}'/>")),
                         unknown)
        self.assertEqual(talk.take_directly(), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")

    def test_row_42_an_offer_that_is_never_accepted(self):
        with self.running(DELIVERY_OFFER_TIMEOUT="2s") as gateway:
            _, sent, talk = self.talk(gateway=gateway)
            talk.hear("session-terminate", "timeout")
            self.assertEnded(gateway, sent, "failed", "recipient_timeout", ("jingle-s5b", "recipient_timeout"))

    def test_row_44_an_empty_file_by_jingle(self):
        gateway, sent, talk = self.talk(b"")
        self.assertEqual(talk.file.find("{*}size").text, "0")
        talk.accept()
        self.assertEqual(talk.take_directly(), b"")
        self.assertReceived(gateway, sent, talk, 0, "direct")


class SessionsWithProxy(WithComponent, Jingle):
    settings = {**Jingle.settings, "SOCKS5_ADVERTISE": ""}

    def talk_with_proxy(self):
        relay = self.relay()
        gateway, peer = self.gateway(), self.jingle_peer()
        self.tell_address((COMPONENT, relay.port))
        sent = self.send(gateway, peer)
        return gateway, sent, Talk(peer), relay

    def test_row_99_an_activation_that_fails_is_told_as_a_proxy_error(self):
        gateway, sent, talk, relay = self.talk_with_proxy()
        stream = talk.connect()
        self.addCleanup(stream.close)
        talk.accept()
        talk.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")
        talk.hear("transport-info", "candidate-error")
        activation = self.component.expect(BYTESTREAM)
        self.assertEqual((activation[0].get("sid"), activation[0][0].text), (talk.stream, talk.peer.jid))
        self.component.refuse(activation, "wait", "internal-server-error")
        talk.hear("transport-info", "proxy-error")
        self.assertEqual(relay.asked, [talk.owned_by_us()] * 2)
        talk.hear("session-terminate", "connectivity-error")
        self.assertEnded(gateway, sent, "failed", "proxy_failed", ("jingle-s5b", "proxy_failed"))

    def test_row_99_an_activation_that_succeeds_is_told_before_the_bytes(self):
        gateway, sent, talk, relay = self.talk_with_proxy()
        stream = talk.connect()
        talk.accept()
        talk.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")
        talk.hear("transport-info", "candidate-error")
        activation = self.component.expect(BYTESTREAM)
        relay.join(talk.owned_by_us())
        self.component.result(activation)
        self.assertEqual(talk.hear("transport-info", "activated").get("cid"), talk.ours[0]["cid"])
        self.assertEqual(socks.receive(stream), b"x")
        self.assertReceived(gateway, sent, talk, 1, "proxy")

    def test_row_108_a_proxy_that_both_offer_is_gone_to_once(self):
        gateway, sent, talk, relay = self.talk_with_proxy()
        stream = socks.connect((talk.ours[0]["host"], relay.port), talk.owned_by_peer())
        talk.accept(candidate("p", relay.port, 655375, "proxy", COMPONENT, talk.ours[0]["host"]))
        self.assertEqual(talk.hear("transport-info", "candidate-used").get("cid"), "p")
        relay.join(talk.owned_by_peer())
        talk.tell("<activated cid='p'/>")
        self.assertEqual(socks.receive(stream), b"x")
        self.assertReceived(gateway, sent, talk, 1, "proxy")
        self.assertEqual(relay.asked, [talk.owned_by_peer()] * 2)


class SilentReports(Jingle):
    """XEP-0260 leaves a client 15 seconds to report."""
    waits = True

    def test_row_91_a_direct_connection_stands_for_the_report_that_never_comes(self):
        gateway, sent, talk = self.talk()
        listener = self.listener()
        talk.accept(candidate("d", listener.port))
        talk.hear("transport-info", "candidate-used")
        self.assertEqual(socks.receive(listener.stream()[1]), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")


class RepeatedEnds(Jingle):
    """The gateway knows a session for a minute after its end."""
    waits = True

    def test_row_106_the_end_may_be_repeated_for_a_minute(self):
        gateway, sent, talk = self.talk()
        talk.accept()
        self.assertEqual(talk.take_directly(), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")
        for _ in range(2):
            self.assertEqual(talk.end().get("type"), "result")
        self.assertEqual(condition(talk.tell("<candidate-error/>")), ("cancel", "item-not-found", "unknown-session"))
        time.sleep(61)  # what this row is about
        self.assertEqual(condition(talk.end()), ("cancel", "item-not-found", "unknown-session"))
