"""A recipient who is offline is waited for, where the gateway will see him come; else, and in the end, the ladder goes
on without him."""
import hashlib

from case import DIRECT, QUICK, STREAMS_ALONE, Case
from lab import DOMAIN, wait_until

LIMIT = 3000000


class Hold:
    settings = {**DIRECT, **QUICK, **STREAMS_ALONE}
    server_options = {"upload": LIMIT}
    weight = 2

    def gateway(self, **settings):
        return super().gateway(XMPP_CA=str(self.server.authority.certificate), **settings)

    def settled(self):
        """A gateway whose session is old enough: in a young one everybody is given some seconds to appear."""
        gateway = self.gateway()
        gateway.get(f"/v1/recipients/dave@{DOMAIN}")
        return gateway

    def held(self, gateway, user="alice", body=b"patience", **query):
        """The id of a transfer that was accepted and is held."""
        answer = gateway.put(user if "@" in user else f"{user}@{DOMAIN}", body, **{"hold": "1h", **query})
        self.assertEqual(answer.status, 202, answer)
        gateway.wait_state(answer.json["id"], "held")
        return answer.json["id"]

    def final(self, gateway, identifier, state, code=None):
        transfer = gateway.wait_final(identifier)
        self.assertEqual((transfer["state"], transfer["error"] and transfer["error"]["code"]), (state, code), transfer)
        self.assertIsNone(transfer["hold_until"])
        return transfer

    def steps(self, transfer, name):
        return [step["outcome"] for step in transfer["timeline"] if step["step"] == name]

    def await_list(self, gateway, *held):
        """Lists come from the store, a moment behind."""
        wait_until(lambda: [item["id"] for item in gateway.get("/v1/transfers?state=held").json["items"]] == [*held],
                   10, f"{held} in the list of those held")

    def test_who_logs_in_gets_what_was_held(self):
        gateway = self.gateway()
        identifier = self.held(gateway)
        other = self.held(gateway, "bob")
        transfer = gateway.transfer(identifier)
        self.assertFalse(transfer["final"])
        self.assertTrue(transfer["hold_until"])
        self.await_list(gateway, other, identifier)
        peer = self.recipient("alice")
        transfer = self.final(gateway, identifier, "delivered")
        self.assertEqual(peer.wait("file")["sha256"], hashlib.sha256(b"patience").hexdigest())
        self.assertEqual(self.steps(transfer, "held"), ["recipient_offline"])
        self.assertEqual(self.steps(transfer, "presence"), ["available"])
        self.assertEqual((transfer["attempt"], transfer["resource"]), (1, "desk"))
        self.await_list(gateway, other)

    def test_waiting_may_be_the_default(self):
        gateway = self.gateway(DELIVERY_HOLD="1h")
        answer = gateway.put(f"alice@{DOMAIN}", b"x")
        gateway.wait_state(answer.json["id"], "held")
        self.assertFailed(gateway.put(f"alice@{DOMAIN}", b"x", wait=30, hold="0"), 409, "recipient_offline")

    def test_a_caller_who_waits_waits_for_the_recipient_too(self):
        gateway = self.settled()
        answer = gateway.put(f"alice@{DOMAIN}", b"x", wait=1, hold="1h")
        self.assertEqual((answer.status, answer.json["state"]), (202, "held"))

    def test_when_the_time_is_over_the_recipient_is_offline(self):
        gateway = self.settled()
        answer = gateway.put(f"alice@{DOMAIN}", b"x", wait=30, hold="1s")
        self.assertFailed(answer, 409, "recipient_offline")
        self.assertIn("hold=", answer.json["hint"])
        self.assertEqual(len(self.steps(answer.transfer, "held")), 1)
        self.assertEqual(len(self.steps(answer.transfer, "hold over")), 1)

    def test_when_the_time_is_over_a_link_is_sent_where_one_may_be(self):
        gateway = self.settled()
        answer = gateway.put(f"alice@{DOMAIN}", b"x", wait=30, hold="1s", methods="jingle-s5b,si-s5b,link")
        self.assertEqual((answer.status, answer.json["state"]), (200, "link_sent"), answer)
        self.assertEqual(len(self.steps(answer.json, "held")), 1)
        self.assertEqual(answer.json["attempts"][-1]["method"], "link")

    def test_a_full_address_waits_for_that_device(self):
        gateway = self.gateway()
        identifier = self.held(gateway, f"alice@{DOMAIN}/phone")
        desk = self.recipient("alice", resource="desk")
        self.assertDelivered(gateway.put(f"alice@{DOMAIN}", b"to the other", wait=30, hold="1m"))  # so it was seen
        self.assertEqual(gateway.transfer(identifier)["state"], "held")
        phone = self.recipient("alice", resource="phone")
        self.final(gateway, identifier, "delivered")
        phone.wait("file")
        self.assertEqual(len(desk.all("file")), 1)

    def test_a_device_that_takes_no_files_is_not_waited_for(self):
        gateway = self.gateway()
        peer = self.recipient("alice", "--no-streams")
        wait_until(lambda: gateway.get(f"/v1/recipients/alice@{DOMAIN}").json["resources"], 10, "alice")
        answer = gateway.put(f"alice@{DOMAIN}", b"x", wait=30, hold="1h")
        self.assertFailed(answer, 422, "no_common_method")
        peer.leave()

    def test_who_leaves_during_an_offer_is_held_again(self):
        gateway = self.gateway(DELIVERY_OFFER_TIMEOUT="60s")
        peer = self.recipient("alice", "--behave", "ignore")
        wait_until(lambda: gateway.get(f"/v1/recipients/alice@{DOMAIN}").json["resources"], 10, "alice")
        identifier = gateway.put(f"alice@{DOMAIN}", b"x", hold="1h", methods="si-s5b").json["id"]
        peer.wait("offer")
        peer.kill()
        transfer = gateway.wait_state(identifier, "held", seconds=60)
        self.assertEqual(transfer["attempts"][0]["code"], "recipient_offline", transfer)
        again = self.recipient("alice")
        self.assertEqual(self.final(gateway, identifier, "delivered")["attempt"], 1)
        again.wait("file")

    def test_a_held_one_survives_kill_9(self):
        gateway = self.settled()
        identifier = self.held(gateway)
        short = self.held(gateway, "bob", hold="4s")
        self.await_list(gateway, short, identifier)
        until = gateway.transfer(identifier)["hold_until"]
        gateway.kill()
        gateway.start()
        transfer = gateway.transfer(identifier)
        self.assertEqual((transfer["state"], transfer["hold_until"]), ("held", until))
        wait_until(lambda: self.steps(gateway.transfer(short), "hold over"), 10, "the end of the other's time")
        self.assertEqual(gateway.transfer(identifier)["state"], "held")
        peer = self.recipient("alice")
        self.final(gateway, identifier, "delivered")
        peer.wait("file")

    def test_the_gateways_own_absence_is_no_end_of_waiting(self):
        cable = self.cable()
        gateway = super().gateway(server=cable, XMPP_RECONNECT_MIN="200ms", XMPP_RECONNECT_MAX="500ms")
        identifier = self.held(gateway)
        cable.cut()
        gateway.wait_ready(False)
        self.assertEqual(gateway.transfer(identifier)["state"], "held")
        peer = self.recipient("alice")  # unseen
        cable.mend()
        self.final(gateway, identifier, "delivered")
        peer.wait("file")

    def test_a_held_one_can_be_cancelled(self):
        gateway = self.gateway()
        identifier = self.held(gateway)
        self.assertEqual(gateway.request("DELETE", f"/v1/transfers/{identifier}").status, 200)
        self.final(gateway, identifier, "cancelled", "cancelled")
        self.await_list(gateway)
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_a_held_one_expires(self):
        gateway = self.settled()
        identifier = self.held(gateway, ttl="2s")
        self.assertEqual(self.final(gateway, identifier, "expired", "ttl_expired")["error"]["stage"], "queue")

    def test_a_stranger_cannot_be_waited_for(self):
        gateway = self.gateway()
        answer = gateway.put(f"erin@{DOMAIN}", b"x", wait=30, hold="1h")
        self.assertFailed(answer, 409, "recipient_offline")
        told = [step["detail"] for step in answer.transfer["timeline"] if step["step"] == "not held"]
        self.assertIn("?subscribe=ask", told[0])

    def test_a_stranger_who_accepts_gets_what_was_held(self):
        gateway = self.gateway()
        peer = self.recipient("erin", "--subscriptions", "wait")
        identifier = self.held(gateway, "erin", subscribe="ask")
        second = self.held(gateway, "erin", subscribe="ask")
        peer.wait("presence", type="subscribe")
        self.assertEqual(self.steps(gateway.transfer(identifier), "subscription"), ["asked"])
        self.assertEqual(self.steps(gateway.transfer(second), "subscription"), ["asked before"])
        self.assertEqual(len(gateway.logged("xmpp.subscription_asked")), 1)  # servers tell it again at a login
        gateway.kill()
        gateway.start()
        third = self.held(gateway, "erin", subscribe="ask")
        self.assertEqual(self.steps(gateway.transfer(third), "subscription"), ["asked before"])
        peer.command(f"grant gateway@{DOMAIN}")
        transfer = self.final(gateway, identifier, "delivered")
        self.assertEqual(self.steps(transfer, "subscription"), ["asked", "granted"])
        self.final(gateway, second, "delivered")
        self.final(gateway, third, "delivered")
        self.assertEqual(gateway.logged("xmpp.subscription_asked"), [])  # since its start

    def test_a_stranger_who_is_offline_is_asked_at_his_login(self):
        gateway = self.gateway()
        identifier = self.held(gateway, "erin", subscribe="ask")
        peer = self.recipient("erin")
        self.final(gateway, identifier, "delivered")
        peer.wait("file")

    def test_a_stranger_who_refuses_is_not_waited_for(self):
        gateway = self.gateway()
        peer = self.recipient("frank", "--subscriptions", "wait")
        identifier = self.held(gateway, "frank", subscribe="ask")
        linked = self.held(gateway, "frank", subscribe="ask", methods="si-s5b,link")
        peer.wait("presence", type="subscribe")
        peer.command(f"refuse gateway@{DOMAIN}")
        transfer = self.final(gateway, identifier, "failed", "recipient_forbids")
        self.assertEqual(self.steps(transfer, "subscription"), ["asked", "refused"])
        self.final(gateway, linked, "link_sent")
        answer = gateway.put(f"frank@{DOMAIN}", b"x", wait=30, subscribe="ask")  # not again, so soon
        self.assertFailed(answer, 409, "recipient_forbids")
        self.assertEqual(len(gateway.logged("xmpp.subscription_asked")), 1)  # servers tell it again at a login

    def test_to_ask_and_not_to_wait_is_refused(self):
        gateway = self.gateway()
        answer = gateway.put(f"erin@{DOMAIN}", b"x", hold="0", subscribe="ask")
        self.assertFailed(answer, 422, "parameter_invalid")


class HoldOnProsody(Hold, Case):
    server_name = "prosody"


class HoldOnEjabberd(Hold, Case):
    server_name = "ejabberd"
