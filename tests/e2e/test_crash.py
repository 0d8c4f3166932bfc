"""kill -9 at any moment: what was answered with 2xx is delivered or says why not, and nothing is left behind."""
import http.client
import os
import random
import threading

from case import Case, DIRECT
from lab import LOOPBACK, wait_until

BIG = 16 << 20
AGAIN = {"DELIVERY_BACKOFF": "200ms", "XMPP_RECONNECT_MIN": "200ms", "XMPP_RECONNECT_MAX": "500ms"}


class Crash(Case):
    weight = 2

    def assertSpoolEmpty(self, gateway):
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_queued_offered_and_streaming_transfers_are_taken_up_again(self):
        cable = self.cable()
        gateway = self.gateway(server=cable, **DIRECT, **AGAIN)
        silent = self.recipient("alice", "--behave", "ignore")
        held = self.recipient("bob", "--behave", "hold")
        silent_streamhosts = self.recipient("carol", "--behave", "ignore-streamhosts")
        body = os.urandom(BIG)
        offered = gateway.put(silent.jid, b"offered", "offered").json["id"]
        connecting = gateway.put(silent_streamhosts.jid, b"connecting", "connecting").json["id"]
        streaming = gateway.put(held.jid, body, "streaming").json["id"]
        gateway.wait_state(offered, "offering")
        gateway.wait_state(connecting, "connecting")
        gateway.wait_state(streaming, "transferring")
        cable.cut()
        gateway.wait_ready(False)
        queued = gateway.put("dave@localhost/desk", b"queued", "queued").json["id"]
        self.assertEqual(gateway.transfer(queued)["state"], "queued")

        gateway.kill()
        for peer in silent, held, silent_streamhosts:
            peer.leave()
        peers = {name: self.recipient(user) for name, user in
                 (("offered", "alice"), ("streaming", "bob"), ("connecting", "carol"), ("queued", "dave"))}
        cable.mend()
        gateway.start()
        for name, identifier in ("offered", offered), ("streaming", streaming), ("connecting", connecting), \
                ("queued", queued):
            transfer = gateway.wait_final(identifier)
            self.assertEqual(transfer["state"], "delivered", transfer)
            peers[name].wait("file", name=name)
        self.assertSpoolEmpty(gateway)

    def test_an_upload_cut_off_by_the_crash_leaves_nothing(self):
        gateway = self.gateway(**DIRECT)
        self.recipient("alice", "--behave", "ignore")  # else its transfer ends before its upload does, and is told
        connection = http.client.HTTPConnection(LOOPBACK, gateway.port)
        connection.putrequest("PUT", gateway.target("alice@localhost/desk", "half.bin"))
        connection.putheader("Content-Length", str(BIG))
        connection.endheaders()
        connection.send(bytes(BIG // 2))
        wait_until(gateway.spooled, 10, "a file in the spool")
        gateway.kill()
        connection.close()
        gateway.start()
        self.assertSpoolEmpty(gateway)
        self.assertEqual(gateway.get("/v1/transfers").json["items"], [])

    def test_no_accepted_upload_is_lost_whenever_the_crash_comes(self):
        random.seed(65)
        gateway, peer = self.gateway(start=False, **DIRECT, **AGAIN), self.recipient("alice")
        accepted = []
        for _ in range(5):
            gateway.start()
            stop = threading.Event()
            threads = [threading.Thread(target=self.keep_uploading, args=(gateway, peer, accepted, stop))
                       for _ in range(3)]
            for thread in threads:
                thread.start()
            stop.wait(random.uniform(0.2, 1))
            gateway.kill()
            stop.set()
            for thread in threads:
                thread.join()
        gateway.start()
        self.assertGreater(len(accepted), 5)
        for identifier in accepted:
            transfer = gateway.wait_final(identifier)
            self.assertTrue(transfer["state"] == "delivered" or transfer["error"]["code"], transfer)
        self.assertSpoolEmpty(gateway)

    @staticmethod
    def keep_uploading(gateway, peer, accepted, stop):
        port, n = gateway.port, 0
        while not stop.is_set():
            n += 1
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
            try:
                connection.request("PUT", gateway.target(peer.jid, f"{n}.bin"), os.urandom(20000))
                answer = connection.getresponse()
                location = answer.getheader("Location")
                answer.read()
                if answer.status == 202:
                    accepted.append(location.rpartition("/")[2])
            except (OSError, http.client.HTTPException):
                return
            finally:
                connection.close()

    def test_a_second_gateway_on_the_same_state_is_refused(self):
        gateway = self.gateway(**DIRECT)
        second = self.gateway(start=False, **DIRECT, SERVER_STATE_DIR=str(gateway.state),
                              XMPP_JID="gateway@localhost/second")
        with self.assertRaisesRegex(AssertionError, "the gateway ended with [1-9]"):
            second.start()
        second.process = None
        self.assertEqual(gateway.get("/readyz").status, 200)

    def test_a_stop_in_good_order_keeps_what_is_not_delivered(self):
        gateway = self.gateway(**DIRECT, **AGAIN)
        silent = self.recipient("alice", "--behave", "ignore")
        identifier = gateway.put(silent.jid, b"x", "parked").json["id"]
        gateway.wait_state(identifier, "offering")
        gateway.stop()
        silent.leave()
        peer = self.recipient("alice")
        gateway.start()
        self.assertEqual(gateway.wait_final(identifier)["state"], "delivered")
        peer.wait("file", name="parked")
