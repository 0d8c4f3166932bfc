"""Rows 93 to 96 and 99 of the checklist: a Jingle session that finds no bytestream goes on in-band (XEP-0261)."""
import os
import socket

from lab import COMPONENT, LOOPBACK

from .jingle import Talk, candidate
from .peer import BYTESTREAM, DATA, JINGLE_STREAMS, NS_IBB, OPEN
from .script import Script, WithComponent, decoded, receive_inband, take_blocks

NS_JINGLE_IBB = "urn:xmpp:jingle:transports:ibb:1"
BLOCKS_SIZE = 10000


def inband(sid="", block="4096"):
    return (f"<transport xmlns='{NS_JINGLE_IBB}'" + (f" sid='{sid}'" if sid else "")
            + (f" block-size='{block}'" if block else "") + "/>")


class Fallback(Script):
    settings = {**Script.settings, "DELIVERY_METHODS": "jingle-s5b,jingle-ibb"}

    def jingle_peer(self, user="alice"):
        return self.peer(user, (*JINGLE_STREAMS, NS_JINGLE_IBB, NS_IBB))

    def unreachable(self):
        """A candidate where nobody listens."""
        with socket.create_server((LOOPBACK, 0)) as once:
            return candidate("gone", once.getsockname()[1])

    def without_bytestream(self, body, gateway=None, **settings):
        """(gateway, transfer, session) when both sides have said that they reached nothing."""
        gateway, peer = gateway or self.gateway(**settings), self.jingle_peer()
        sent = self.send(gateway, peer, body)
        talk = Talk(peer)
        talk.accept(self.unreachable())
        talk.hear("transport-info", "candidate-error")
        self.assertEqual(talk.tell("<candidate-error/>").get("type"), "result")
        return gateway, sent, talk

    def replace(self, talk, sid="peers-own-stream", block="4096"):
        return talk.say("transport-replace", talk.with_content(inband(sid, block)))

    def hear_replace(self, talk):
        """The sid and the block size that the gateway would have."""
        heard = talk.hear("transport-replace", "transport")
        self.assertEqual(heard.tag, f"{{{NS_JINGLE_IBB}}}transport")
        self.assertEqual(heard.get("block-size"), "4096")
        return heard.get("sid")

    def hear_accept(self, talk, sid, block):
        heard = talk.hear("transport-accept", "transport")
        self.assertEqual((heard.tag, heard.get("sid"), heard.get("block-size")),
                         (f"{{{NS_JINGLE_IBB}}}transport", sid, block))

    def assertInband(self, gateway, sent, talk, size, code="transport_failed"):
        """The bytes are there, the peer is content, and the story is told: code is what the bytestream failed of."""
        talk.end()
        transfer = self.assertArrived(gateway, sent, size, "inband")
        self.assertEqual((transfer["method"]["name"], transfer["delivery_proof"]), ("jingle-ibb", "peer_confirmed"))
        self.assertEqual(self.attempts(transfer), [("jingle-s5b", code), ("jingle-ibb", None)])
        return transfer


class Replacements(Fallback):
    weight = 2

    def receive(self, talk, sid, block):
        """What comes in the stream that the gateway opens."""
        opened = talk.peer.expect(OPEN)
        self.assertEqual((opened[0].get("sid"), opened[0].get("block-size"), opened[0].get("stanza", "iq")),
                         (sid, block, "iq"))
        talk.peer.result(opened)
        first = talk.peer.expect(DATA, sid=sid)
        talk.peer.result(first)
        self.assertLessEqual(len(decoded(first)), int(block))
        return take_blocks(talk.peer, sid, decoded(first))

    def test_row_93_a_replacement_by_the_responder_is_accepted_and_ours_not_sent(self):
        """As Dino does it: it also opens the stream, though the specification leaves that to the initiator."""
        body = os.urandom(BLOCKS_SIZE)
        gateway, sent, talk = self.without_bytestream(body)
        self.assertEqual(self.replace(talk).get("type"), "result")
        self.hear_accept(talk, "peers-own-stream", "4096")
        opened = talk.peer.ask(talk.gateway, f"<open xmlns='{NS_IBB}' sid='peers-own-stream' block-size='4096' "
                                             "stanza='iq'/>")
        self.assertEqual(opened.get("type"), "result")
        self.assertEqual(take_blocks(talk.peer, "peers-own-stream"), body)
        self.assertInband(gateway, sent, talk, BLOCKS_SIZE)
        talk.peer.sync(talk.gateway)
        self.assertFalse([told for told in talk.peer.told() if "transport-replace" in told or "open" in told])

    def test_row_93_a_stream_that_the_responder_does_not_open_is_opened_by_us(self):
        body = os.urandom(BLOCKS_SIZE)
        gateway, sent, talk = self.without_bytestream(body)
        self.replace(talk)
        self.hear_accept(talk, "peers-own-stream", "4096")
        self.assertEqual(self.receive(talk, "peers-own-stream", "4096"), body)
        self.assertInband(gateway, sent, talk, BLOCKS_SIZE)

    def test_row_93_the_smaller_block_size_counts(self):
        for theirs, agreed in ("1024", "1024"), ("65535", "4096"):
            with self.subTest(theirs), self.running() as gateway:
                body = os.urandom(BLOCKS_SIZE)
                _, sent, talk = self.without_bytestream(body, gateway)
                self.replace(talk, "s", theirs)
                self.hear_accept(talk, "s", agreed)
                self.assertEqual(self.receive(talk, "s", agreed), body)
                self.assertInband(gateway, sent, talk, BLOCKS_SIZE)

    def test_row_94_a_replacement_that_follows_the_rejection_of_ours_is_accepted(self):
        gateway, sent, talk = self.without_bytestream(b"x")
        self.assertEqual(talk.say("transport-reject", talk.with_content(inband(self.hear_replace(talk)))).get("type"),
                         "result")
        self.assertEqual(self.replace(talk).get("type"), "result")
        self.hear_accept(talk, "peers-own-stream", "4096")
        self.assertEqual(self.receive(talk, "peers-own-stream", "4096"), b"x")
        self.assertInband(gateway, sent, talk, 1)

    def test_row_94_a_replacement_that_crossed_ours_is_accepted_once_ours_is_rejected(self):
        gateway, sent, talk = self.without_bytestream(b"x")
        ours = self.hear_replace(talk)
        self.assertEqual(self.replace(talk).get("type"), "result")
        talk.say("transport-reject", talk.with_content(inband(ours)))
        self.hear_accept(talk, "peers-own-stream", "4096")
        self.assertEqual(self.receive(talk, "peers-own-stream", "4096"), b"x")
        self.assertInband(gateway, sent, talk, 1)

    def test_row_95_our_sid_and_the_smaller_block_size_stand_whatever_an_acceptance_says(self):
        for sid, block, agreed in ("", "4096", "4096"), ("", "65535", "4096"), ("", "", "4096"), ("", "1024", "1024"):
            with self.subTest(sid=sid, block=block), self.running() as gateway:
                body = os.urandom(BLOCKS_SIZE)
                _, sent, talk = self.without_bytestream(body, gateway)
                ours = self.hear_replace(talk)
                self.assertEqual(talk.say("transport-accept", talk.with_content(inband(sid, block))).get("type"),
                                 "result")
                self.assertEqual(self.receive(talk, ours, agreed), body)
                self.assertInband(gateway, sent, talk, BLOCKS_SIZE)

    def test_row_96_a_session_accept_counts_as_a_transport_accept(self):
        gateway, sent, talk = self.without_bytestream(b"x")
        ours = self.hear_replace(talk)
        self.assertEqual(talk.accept(transport=inband(ours)).get("type"), "result")
        self.assertEqual(self.receive(talk, ours, "4096"), b"x")
        self.assertInband(gateway, sent, talk, 1)

    def test_row_99_a_proxy_error_of_the_peers_is_followed_by_an_inband_stream(self):
        gateway, peer = self.gateway(), self.jingle_peer()
        sent = self.send(gateway, peer)
        talk, listener = Talk(peer), self.listener()
        talk.accept(candidate("p", listener.port, 655360, "proxy", COMPONENT))
        talk.hear("transport-info", "candidate-used")
        talk.tell("<candidate-error/>")
        self.assertEqual(talk.tell("<proxy-error/>").get("type"), "result")
        ours = self.hear_replace(talk)
        talk.say("transport-accept", talk.with_content(inband(ours)))
        self.assertEqual(self.receive(talk, ours, "4096"), b"x")
        self.assertInband(gateway, sent, talk, 1)

    def test_a_file_over_the_limit_is_not_replaced(self):
        gateway, sent, talk = self.without_bytestream(bytes(BLOCKS_SIZE), DELIVERY_IBB_MAX_SIZE="9999")
        talk.hear("session-terminate", "connectivity-error")
        transfer = gateway.wait_final(sent)
        self.assertEqual((transfer["state"], transfer["error"]["code"]), ("failed", "transport_failed"), transfer)
        talk.peer.sync(talk.gateway)
        self.assertFalse([told for told in talk.peer.told() if "transport-replace" in told])

    def test_a_caller_who_wants_bytestreams_alone_gets_no_replacement(self):
        gateway, sent, talk = self.without_bytestream(b"x", DELIVERY_METHODS="jingle-s5b")
        talk.hear("session-terminate", "connectivity-error")
        self.assertEnded(gateway, sent, "failed", "transport_failed", ("jingle-s5b", "transport_failed"))


class ReplacementsOfProxies(WithComponent, Fallback):
    settings = {**Fallback.settings, "SOCKS5_ADVERTISE": ""}

    def test_row_99_a_failed_activation_is_told_and_an_inband_stream_follows(self):
        relay = self.relay()
        gateway, peer = self.gateway(), self.jingle_peer()
        self.tell_address((COMPONENT, relay.port))
        sent = self.send(gateway, peer)
        talk = Talk(peer)
        stream = talk.connect()
        self.addCleanup(stream.close)
        talk.accept()
        talk.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")
        talk.hear("transport-info", "candidate-error")
        self.component.refuse(self.component.expect(BYTESTREAM), "wait", "internal-server-error")
        talk.hear("transport-info", "proxy-error")
        ours = self.hear_replace(talk)
        talk.say("transport-accept", talk.with_content(inband(ours)))
        opened, data = receive_inband(talk.peer)
        self.assertEqual((opened[0].get("sid"), data), (ours, b"x"))
        self.assertInband(gateway, sent, talk, 1, "proxy_failed")
