"""Rows 40 and 41 of the checklist, and what they are good for: a broken stream that goes on where it broke."""
import os

from . import socks
from .jingle import Talk
from .peer import NS_IBB, NS_SI, NS_SI_FILE, OFFER
from .script import Script, accept_si, receive_inband
from .test_jingle import Jingle

BODY = bytes(range(256)) * 16  # 4096
BIG = 16 << 20                 # more than the sockets on the way can hold
PART = 3 << 20                 # of it
IMPOSSIBLE = [("5000", None), ("4000", "97"), (None, "4097"), ("-1", None), ("1e3", None), ("0", "x"),
              ("18446744073709551616", None), ("18446744073709551615", "1000"), ("1000", "18446744073709550616")]


def range_element(offset=None, length=None):
    return ("<range" + (f" offset='{offset}'" if offset is not None else "")
            + (f" length='{length}'" if length is not None else "") + "/>")


def si_range(*told):
    return f"<file xmlns='{NS_SI_FILE}'>{range_element(*told)}</file>"


ASKED = [((1000, 500), BODY[1000:1500]), ((1000, None), BODY[1000:]), ((None, 500), BODY[:500]), ((0, 4096), BODY),
         ((None, None), BODY)]


class SiRanges(Script):
    settings = {**Script.settings, "DELIVERY_METHODS": "si-s5b"}

    def test_row_40_exactly_the_bytes_asked_for_are_sent(self):
        for told, expected in ASKED:
            with self.subTest(told), self.running() as gateway:
                peer = self.peer()
                sent = self.send(gateway, peer, BODY)
                offer = peer.expect(OFFER)
                self.assertIsNotNone(offer.find(f".//{{{NS_SI_FILE}}}range"))
                accept_si(peer, offer, file=si_range(*told))
                self.assertEqual(socks.receive(self.connect(peer, peer.expect(
                    "{http://jabber.org/protocol/bytestreams}query"))), expected)
                self.assertEnded(gateway, sent, "delivered", None)

    def test_row_40_exactly_the_bytes_asked_for_are_sent_in_band(self):
        gateway, peer = self.gateway(DELIVERY_METHODS="si-ibb"), self.peer(features=(NS_SI, NS_SI_FILE, NS_IBB))
        sent = self.send(gateway, peer, BODY)
        accept_si(peer, peer.expect(OFFER), NS_IBB, si_range(1000, 500))
        self.assertEqual(receive_inband(peer)[1], BODY[1000:1500])
        self.assertEnded(gateway, sent, "delivered", None)

    def test_row_41_an_impossible_range_gets_no_byte(self):
        for told in IMPOSSIBLE:
            with self.subTest(told), self.running() as gateway:
                peer = self.peer()
                sent = self.send(gateway, peer, BODY)
                offer = peer.expect(OFFER)
                accept_si(peer, offer, file=si_range(*told))
                self.assertEnded(gateway, sent, "failed", "peer_protocol_error", ("si-s5b", "peer_protocol_error"))
                self.assertSilent(peer, offer.get("from"))


class JingleRanges(Jingle):
    def test_row_40_exactly_the_bytes_asked_for_are_sent_by_jingle(self):
        for told, expected in ASKED:
            with self.subTest(told), self.running() as gateway:
                _, sent, talk = self.talk(BODY, gateway)
                self.assertIsNotNone(talk.file.find("{*}range"))
                self.assertEqual(talk.accept(file=range_element(*told)).get("type"), "result")
                self.assertEqual(talk.take_directly(), expected)
                self.assertEqual(talk.end().get("type"), "result")
                self.assertEnded(gateway, sent, "delivered", None)

    def test_row_41_an_impossible_range_gets_no_byte_by_jingle(self):
        for told in IMPOSSIBLE:
            with self.subTest(told), self.running() as gateway:
                _, sent, talk = self.talk(BODY, gateway)
                talk.accept(file=range_element(*told))
                talk.hear("session-terminate")
                self.assertEnded(gateway, sent, "failed", "peer_protocol_error",
                                 ("jingle-s5b", "peer_protocol_error"))


AGAIN = {"DELIVERY_MAX_ATTEMPTS": "2", "DELIVERY_BACKOFF": "100ms"}


class SiResume(Script):
    settings = {**Script.settings, **AGAIN, "DELIVERY_METHODS": "si-s5b"}

    def broken(self, body):
        """(gateway, peer, transfer, the file as offered) once the first stream was left after PART."""
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer, body)
        offer = peer.expect(OFFER)
        self.assertEqual(self.take(peer, offer, PART), body[:PART])
        return gateway, peer, sent, offer.find(f".//{{{NS_SI_FILE}}}file").attrib

    def take(self, peer, offer, count=None, file=""):
        accept_si(peer, offer, file=file)
        return socks.receive(self.connect(peer, peer.expect("{http://jabber.org/protocol/bytestreams}query")), count)

    def again(self, peer, told):
        """The second offer, which is of the same file."""
        offer = peer.expect(OFFER)
        self.assertEqual(offer.find(f".//{{{NS_SI_FILE}}}file").attrib, told)
        return offer

    def test_a_broken_stream_goes_on_where_the_recipient_says(self):
        body = os.urandom(BIG)
        gateway, peer, sent, told = self.broken(body)
        self.assertEqual(self.take(peer, self.again(peer, told), file=si_range(PART)), body[PART:])
        self.assertEnded(gateway, sent, "delivered", None, ("si-s5b", "stream_broken"), ("si-s5b", None))

    def test_a_broken_stream_begins_anew_where_the_recipient_says_nothing(self):
        body = os.urandom(BIG)
        gateway, peer, sent, told = self.broken(body)
        self.assertEqual(self.take(peer, self.again(peer, told)), body)
        self.assertEnded(gateway, sent, "delivered", None, ("si-s5b", "stream_broken"), ("si-s5b", None))

    def test_a_stream_that_always_breaks_is_given_up(self):
        body = os.urandom(BIG)
        gateway, peer, sent, told = self.broken(body)
        offer = self.again(peer, told)
        self.take(peer, offer, PART, si_range(PART))
        self.assertEnded(gateway, sent, "failed", "stream_broken", *[("si-s5b", "stream_broken")] * 2)
        self.assertSilent(peer, offer.get("from"))


class JingleResume(Jingle):
    settings = {**Jingle.settings, **AGAIN}

    def broken(self, body):
        gateway, sent, talk = self.talk(body)
        name = talk.file.find("{*}name").text
        talk.accept()
        self.assertEqual(self.take(talk, PART), body[:PART])
        talk.hear("session-terminate")
        again = Talk(talk.peer)
        self.assertEqual(again.file.find("{*}name").text, name)
        return gateway, sent, again

    def take(self, talk, count=None):
        stream = talk.connect()
        talk.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")
        talk.hear("transport-info", "candidate-error")
        return socks.receive(stream, count)

    def test_a_broken_stream_goes_on_where_the_recipient_says(self):
        body = os.urandom(BIG)
        gateway, sent, talk = self.broken(body)
        talk.accept(file=range_element(PART))
        self.assertEqual(self.take(talk), body[PART:])
        talk.end()
        self.assertEnded(gateway, sent, "delivered", None, ("jingle-s5b", "stream_broken"), ("jingle-s5b", None))

    def test_a_broken_stream_begins_anew_where_the_recipient_says_nothing(self):
        body = os.urandom(BIG)
        gateway, sent, talk = self.broken(body)
        talk.accept()
        self.assertEqual(self.take(talk), body)
        talk.end()
        self.assertEnded(gateway, sent, "delivered", None, ("jingle-s5b", "stream_broken"), ("jingle-s5b", None))
