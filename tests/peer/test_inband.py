"""Rows 113 and 114 of the checklist, and 44 once more: streams in-band."""
import os

from .peer import CLOSE, DATA, NS_IBB, NS_SI, NS_SI_FILE, OFFER, OPEN
from .script import Script, accept_si, decoded, receive_inband, take_blocks


class Inband(Script):
    settings = {**Script.settings, "DELIVERY_METHODS": "si-ibb"}

    def offered(self, body):
        """(gateway, peer, transfer) once the offer was accepted."""
        gateway, peer = self.gateway(), self.peer(features=(NS_SI, NS_SI_FILE, NS_IBB))
        sent = self.send(gateway, peer, body)
        accept_si(peer, peer.expect(OFFER), NS_IBB)
        return gateway, peer, sent


class Blocks(Inband):
    def test_row_44_an_empty_file_in_band(self):
        gateway, peer, sent = self.offered(b"")
        self.assertEqual(receive_inband(peer)[1], b"")
        self.assertArrived(gateway, sent, 0, "inband")

    def refuse_blocks(self, peer, *sizes):
        for size in sizes:
            opened = peer.expect(OPEN)
            self.assertEqual(opened[0].get("block-size"), size)
            peer.refuse(opened, "modify", "resource-constraint")

    def test_row_113_too_large_blocks_are_halved(self):
        body = os.urandom(2000)
        gateway, peer, sent = self.offered(body)
        self.refuse_blocks(peer, "4096", "2048", "1024")
        opened = peer.expect(OPEN)
        self.assertEqual(opened[0].get("block-size"), "512")
        peer.result(opened)
        received = b""
        for seq in range(4):
            block = peer.expect(DATA)
            self.assertEqual(block[0].get("seq"), str(seq))
            self.assertLessEqual(len(decoded(block)), 512)
            received += decoded(block)
            peer.result(block)
        peer.result(peer.expect(CLOSE))
        self.assertEqual(received, body)
        self.assertArrived(gateway, sent, 2000, "inband")

    def test_row_113_below_512_bytes_a_block_it_is_given_up(self):
        gateway, peer, sent = self.offered(b"x")
        self.refuse_blocks(peer, "4096", "2048", "1024", "512")
        self.assertEnded(gateway, sent, "failed", "ibb_refused", ("si-ibb", "ibb_refused"))

    def test_row_114_a_block_that_did_not_get_through_is_sent_again_and_the_stream_goes_on(self):
        body = os.urandom(10000)
        gateway, peer, sent = self.offered(body)
        opened = peer.expect(OPEN)
        peer.result(opened)
        first = peer.expect(DATA)
        peer.result(first)
        lost = peer.expect(DATA)
        peer.refuse(lost, "wait", "recipient-unavailable")
        again = peer.expect(DATA)
        self.assertEqual((again[0].get("seq"), again[0].text), ("1", lost[0].text))
        peer.result(again)
        self.assertEqual(take_blocks(peer, opened[0].get("sid"), decoded(first) + decoded(again)), body)
        self.assertArrived(gateway, sent, 10000, "inband")


class Vanished(Inband):
    """Half a minute, in pauses of five seconds."""
    waits = True

    def test_row_114_a_recipient_that_stays_away_ends_the_stream(self):
        gateway, peer, sent = self.offered(b"x")
        peer.result(peer.expect(OPEN))
        refused = 0
        while not gateway.transfer(sent)["final"]:
            block = peer.expect(DATA, CLOSE)
            if block[0].tag == CLOSE:
                break
            peer.refuse(block, "wait", "recipient-unavailable")
            refused += 1
        self.assertEnded(gateway, sent, "failed", "recipient_offline", ("si-ibb", "recipient_offline"))
        self.assertEqual(refused, 7)
