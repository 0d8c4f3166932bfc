"""The whole ladder, walked down by a recipient that takes nothing: what is told of it, and how long it may take."""
import time

from lab import DOMAIN

from .jingle import Talk
from .peer import BYTESTREAM, JINGLE, JINGLE_STREAMS, NS_IBB, OFFER, OPEN, SI_STREAMS
from .script import Script, accept_si

NS_JINGLE_IBB = "urn:xmpp:jingle:transports:ibb:1"
EVERYTHING = (*JINGLE_STREAMS, NS_JINGLE_IBB, *SI_STREAMS, NS_IBB)
OFFER_S, MARGIN_S = 1, 5


class Ladder(Script):
    """Every method, quick deadlines, and links of our own, since the server has no upload service."""
    settings = {**Script.settings, "DELIVERY_OFFER_TIMEOUT": f"{OFFER_S}s", "DELIVERY_CONNECT_TIMEOUT": "1s"}

    def walk(self, meet):
        """(the final transfer, the seconds it took), with meet in the recipient's part."""
        gateway, peer = self.publishing_gateway(), self.peer(features=EVERYTHING)
        begun = time.monotonic()
        sent = self.send(gateway, peer)
        meet(peer)
        transfer = gateway.wait_final(sent)
        took = time.monotonic() - begun
        self.assertSilent(peer, transfer["from"], OFFER, BYTESTREAM, OPEN)
        self.assertFalse([told for told in peer.told(JINGLE) if "session-initiate" in told])
        gateway.stop()
        return transfer, took

    def test_each_rung_is_told_with_its_code(self):
        def meet(peer):
            Talk(peer)  # which is all it has to say to Jingle
            offer = peer.expect(OFFER, seconds=OFFER_S + MARGIN_S)
            accept_si(peer, offer)
            peer.refuse(peer.expect(BYTESTREAM), "cancel", "item-not-found")
            accept_si(peer, peer.expect(OFFER), NS_IBB)
            peer.refuse(peer.expect(OPEN), "cancel", "not-acceptable")

        transfer, took = self.walk(meet)
        self.assertEqual(transfer["state"], "link_sent")
        self.assertEqual(self.attempts(transfer), [("jingle-s5b", "recipient_timeout"),
                                                   ("si-s5b", "streamhosts_unreachable"),
                                                   ("si-ibb", "ibb_refused"), ("link", None)])
        self.assertEqual([attempt["stage"] for attempt in transfer["attempts"]],
                         ["offer", "connect", "connect", "transfer"])
        self.assertEqual([attempt["to"] for attempt in transfer["attempts"]][-1], f"alice@{DOMAIN}")
        self.assertTrue(all(attempt["detail"] for attempt in transfer["attempts"][:-1]))
        self.assertEqual(transfer["method"]["tried"], ["jingle-s5b", "si-s5b", "si-ibb"])
        self.assertLess(took, OFFER_S + MARGIN_S)

    def test_silence_costs_each_kind_of_offer_its_time_and_nobody_is_asked_twice_in_the_same_way(self):
        def meet(peer):
            Talk(peer)
            peer.expect(OFFER, seconds=OFFER_S + MARGIN_S)

        transfer, took = self.walk(meet)
        self.assertEqual((transfer["state"], self.attempts(transfer)),
                         ("link_sent", [("jingle-s5b", "recipient_timeout"), ("si-s5b", "recipient_timeout"),
                                        ("link", None)]))
        self.assertLess(took, 2 * OFFER_S + MARGIN_S)
        self.assertGreaterEqual(took, 2 * OFFER_S - 0.1)

    def test_a_decline_is_the_end_on_every_rung(self):
        def decline_jingle(peer):
            Talk(peer).end("decline")

        def decline_si(peer):
            Talk(peer).end("unsupported-applications")
            peer.refuse(peer.expect(OFFER), "cancel", "forbidden")

        for meet, tried in ((decline_jingle, [("jingle-s5b", "recipient_declined")]),
                            (decline_si, [("jingle-s5b", "offer_rejected"), ("si-s5b", "recipient_declined")])):
            with self.subTest(tried):
                transfer, _ = self.walk(meet)
                self.assertEqual((transfer["state"], self.attempts(transfer)), ("failed", tried))
