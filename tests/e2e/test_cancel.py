"""DELETE ends a transfer in any state, tells the recipient, and drops the payload."""
import threading

from case import Case, DIRECT
from lab import wait_until

BIG = 16 << 20


class Cancel(Case):
    def cancelled(self, gateway, identifier):
        answer = gateway.request("DELETE", f"/v1/transfers/{identifier}")
        self.assertEqual((answer.status, answer.json["state"]), (200, "cancelled"), answer)
        self.assertEqual(gateway.wait_final(identifier)["state"], "cancelled")
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")
        again = gateway.request("DELETE", f"/v1/transfers/{identifier}")
        self.assertEqual((again.status, again.json["state"]), (200, "cancelled"), again)

    def test_while_queued(self):
        cable = self.cable()
        gateway = self.gateway(server=cable, **DIRECT)
        cable.cut()
        gateway.wait_ready(False)
        identifier = gateway.put("alice@localhost/desk", b"x").json["id"]
        self.assertEqual(gateway.transfer(identifier)["state"], "queued")
        self.cancelled(gateway, identifier)

    def in_state(self, behaviour, state, size=10):
        gateway = self.gateway(**DIRECT)
        peer = self.recipient("alice", "--behave", behaviour)
        identifier = gateway.put(peer.jid, bytes(size)).json["id"]
        gateway.wait_state(identifier, state)
        self.cancelled(gateway, identifier)
        self.assertDelivered(gateway.put(self.recipient("bob").jid, b"next", wait=30))
        return peer

    def test_while_offering(self):
        self.in_state("ignore", "offering")

    def test_while_connecting(self):
        self.in_state("ignore-streamhosts", "connecting")

    def test_while_transferring(self):
        peer = self.in_state("hold", "transferring", BIG)
        peer.command("go")
        self.assertLess(peer.wait("broken")["size"], BIG)

    def test_who_waits_hears_of_it(self):
        gateway = self.gateway(**DIRECT)
        peer = self.recipient("alice", "--behave", "ignore")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(gateway.put(peer.jid, b"x", wait=60)))
        thread.start()
        peer.wait("offer")
        identifier = gateway.get("/v1/transfers").json["items"][0]["id"]
        gateway.request("DELETE", f"/v1/transfers/{identifier}")
        thread.join(20)
        self.assertFailed(answers[0], 409, "cancelled")

    def test_a_delivered_transfer_stays_delivered(self):
        gateway = self.gateway(**DIRECT)
        answer = gateway.put(self.recipient("alice").jid, b"x", wait=30)
        self.assertDelivered(answer)
        after = gateway.request("DELETE", f"/v1/transfers/{answer.json['id']}")
        self.assertEqual((after.status, after.json["state"]), (200, "delivered"), after)

    def test_an_unknown_transfer_is_not_found(self):
        gateway = self.gateway(**DIRECT)
        for identifier in "tr_01JZZZZZZZZZZZZZZZZZZZZZZZ", "nonsense":
            self.assertFailed(gateway.request("DELETE", f"/v1/transfers/{identifier}"), 404, "not_found")
