"""No streamhost to be had anywhere: the file goes in-band, through the servers, as far as it is small enough."""
import hashlib
import os

import peers
from case import DIRECT, Case

SIZES = {"empty": 0, "one byte": 1, "more than 64 KiB by one": 65537, "1 MiB": 1 << 20}
OFTEN = {"XMPP_RECONNECT_MIN": "200ms", "XMPP_RECONNECT_MAX": "500ms"}


class Inband:
    weight = 2
    server_options = {"proxy": False}

    def matrix(self, user, client, options, method, failed, **settings):
        gateway = self.gateway(**settings)
        peer = self.recipient(user, *options, client=client)
        for what, size in SIZES.items():
            with self.subTest(what):
                upload, digest = self.file(size, f"{size}.bin")
                answer = gateway.curl(upload, peer.jid, wait=60, digest="sha-256")
                received = self.assertArrived(answer, peer, digest, "inband")
                self.assertEqual(answer.json["method"]["name"], method)
                self.assertIsNone(answer.json["method"]["streamhost"])
                self.assertEqual(answer.json["method"]["tried"], [failed])
                self.assertEqual(answer.json["attempts"][0]["code"], "streamhosts_unreachable")
                self.assertEqual(answer.json["delivery_proof"], "peer_confirmed")
                self.assertEqual(answer.json["progress"]["sent"], size)
                self.assertEqual(answer.json["file"]["sha256"], digest)
                if method == "si-ibb":
                    self.assertEqual(received["name"], f"{size}.bin")

    def test_slixmpp_by_si(self):
        self.matrix("alice", peers.slixmpp, ["--ibb"], "si-ibb", "si-s5b")

    def test_slixmpp_by_si_with_three_blocks_on_their_way(self):
        self.matrix("alice", peers.slixmpp, ["--ibb"], "si-ibb", "si-s5b", DELIVERY_IBB_WINDOW="3")

    def test_slixmpp_by_a_bare_stream(self):
        self.matrix("bob", peers.slixmpp, ["--no-si"], "ibb", "s5b")

    def test_qxmpp_by_si(self):
        self.matrix("carol", peers.qxmpp, ["--ibb"], "si-ibb", "si-s5b")

    def test_a_file_over_the_limit_is_not_sent_and_the_limit_is_told(self):
        gateway = self.gateway(DELIVERY_IBB_MAX_SIZE="100K")
        peer = self.recipient("alice", "--ibb", "--bare")
        for methods in "si-ibb", "ibb":
            answer = gateway.put(peer.jid, bytes((100 << 10) + 1), wait=30, methods=methods)
            self.assertFailed(answer, 502, "method_unsupported")
            self.assertIn("102400 are sent ([delivery] ibb_max_size)", answer.json["detail"])
        answer = gateway.put(peer.jid, bytes((100 << 10) + 1), wait=30)
        self.assertFailed(answer, 502, "streamhosts_unreachable")
        self.assertEqual([(one["method"], one["code"]) for one in answer.transfer["attempts"]],
                         [("si-s5b", "streamhosts_unreachable"), ("si-ibb", "method_unsupported"),
                          ("link", "method_unsupported")])
        self.assertDelivered(gateway.put(peer.jid, bytes(100 << 10), wait=30), "inband")

    def test_a_recipient_that_reaches_no_streamhost_is_asked_again_for_a_stream_in_band(self):
        gateway = self.gateway(**DIRECT)
        peer = self.recipient("alice", "--ibb", "--behave", "unreachable")
        self.assertDelivered(gateway.put(peer.jid, b"x", wait=30), "inband")
        self.assertEqual(len({offer["sid"] for offer in peer.all("offer")}), 2)

    def test_a_stream_that_the_recipient_does_not_want(self):
        gateway = self.gateway()
        answer = gateway.put(self.recipient("alice").jid, b"x", wait=30, methods="ibb")
        self.assertFailed(answer, 502, "ibb_refused")

    def test_a_stream_cut_with_our_connection_begins_anew(self):
        cable = self.cable()
        gateway = self.gateway(server=cable, **OFTEN)
        peer = self.recipient("alice", "--ibb", "--behave", "hold")
        body = os.urandom(100000)
        sent = gateway.put(peer.jid, body).json["id"]
        gateway.wait_state(sent, "transferring")
        cable.cut()
        gateway.wait_ready(False)
        peer.command("go")
        cable.mend()
        transfer = gateway.wait_final(sent)
        self.assertEqual((transfer["state"], transfer["method"]["path"]), ("delivered", "inband"), transfer)
        self.assertIn("xmpp_disconnected", [one["code"] for one in transfer["attempts"]])
        peer.wait("file", sha256=hashlib.sha256(body).hexdigest())

    def test_a_third_stream_waits_for_its_turn(self):
        gateway = self.gateway()
        slow = [self.recipient(user, "--ibb", "--behave", "hold") for user in ("alice", "bob")]
        third = self.recipient("carol", "--ibb")
        sent = [gateway.put(peer.jid, bytes(10000)).json["id"] for peer in slow]
        for one in sent:
            gateway.wait_state(one, "transferring")
        last = gateway.put(third.jid, b"x").json["id"]
        gateway.wait_state(last, "connecting")
        self.assertFalse(gateway.get(f"/v1/transfers/{last}?wait=2").json["final"])
        self.assertEqual(third.all("stream"), [])
        slow[0].command("go")
        self.assertEqual(gateway.wait_final(last)["state"], "delivered")
        slow[1].command("go")
        for one in sent:
            self.assertEqual(gateway.wait_final(one)["state"], "delivered")

    def test_a_cancelled_stream_is_closed(self):
        gateway = self.gateway()
        peer = self.recipient("alice", "--ibb", "--behave", "hold")
        sent = gateway.put(peer.jid, bytes(10000)).json["id"]
        gateway.wait_state(sent, "transferring")
        self.assertEqual(gateway.request("DELETE", f"/v1/transfers/{sent}").status, 200)
        self.assertEqual(gateway.wait_final(sent)["state"], "cancelled")
        self.assertLess(peer.wait("broken")["size"], 10000)


class InbandOnProsody(Inband, Case):
    server_name = "prosody"


class InbandOnEjabberd(Inband, Case):
    server_name = "ejabberd"
