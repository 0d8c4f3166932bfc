"""Recipients that refuse, stay away, stay silent or hang up: each ends in its own code, and the next one is served."""
import time

from case import Case, DIRECT, QUICK
from lab import DOMAIN, wait_until

BIG = 16 << 20  # more than the sockets on the way can hold


class Recipients:
    weight = 3

    def outcome(self, behaviour, status, code, size=100000, seconds=12, methods="si-s5b", options=()):
        gateway = self.gateway(**DIRECT, **QUICK)
        peer = self.recipient("alice", "--behave", behaviour, *options)
        began = time.monotonic()
        answer = gateway.put(peer.jid, bytes(size), wait=100, methods=methods)
        self.assertFailed(answer, status, code)
        self.assertLess(time.monotonic() - began, seconds)
        self.assertEqual(answer.transfer["state"], "failed")
        self.assertEqual(answer.transfer["error"]["code"], code)
        self.assertEqual(answer.transfer["attempts"][-1]["code"], code)
        self.assertTrue(answer.json["hint"])
        self.assertTrue(answer.json["detail"])
        self.assertDelivered(gateway.put(self.recipient("bob").jid, b"next", wait=30), "direct")
        return answer

    def test_a_declined_offer_is_final(self):
        answer = self.outcome("decline", 409, "recipient_declined")
        self.assertEqual(len(answer.transfer["attempts"]), 1)

    def test_an_unanswered_offer_times_out(self):
        self.outcome("ignore", 504, "recipient_timeout")

    def test_a_recipient_that_reaches_no_streamhost(self):
        self.outcome("unreachable", 502, "streamhosts_unreachable")

    def test_a_recipient_that_wants_no_streamhost(self):
        self.outcome("refuse-streamhosts", 502, "streamhosts_refused")

    def test_a_recipient_that_says_it_connected_but_did_not(self):
        self.outcome("phantom", 502, "streamhosts_unreachable")

    def test_a_recipient_that_names_a_streamhost_never_offered(self):
        self.outcome("stranger", 502, "peer_protocol_error")

    def test_a_recipient_that_hangs_up_at_half(self):
        answer = self.outcome("half", 502, "stream_broken", BIG)
        self.assertGreater(answer.transfer["progress"]["sent"], 0)
        self.assertLess(answer.transfer["progress"]["sent"], BIG)

    def test_a_recipient_that_stops_reading(self):
        self.outcome("hold", 504, "stalled", BIG)

    def test_a_bare_bytestream_is_not_answered(self):
        self.outcome("ignore-streamhosts", 504, "recipient_timeout", methods="s5b", options=["--bare"])

    def test_a_bare_bytestream_is_not_acceptable(self):
        self.outcome("refuse-streamhosts", 409, "recipient_declined", methods="s5b", options=["--bare"])

    def test_nobody_is_there(self):
        gateway = self.gateway(**DIRECT, **QUICK)
        for to in f"alice@{DOMAIN}", f"alice@{DOMAIN}/desk", f"frank@{DOMAIN}", f"nobody@{DOMAIN}/desk":
            with self.subTest(to):
                answer = gateway.put(to, b"x", wait=30)
                self.assertFailed(answer, 409, "recipient_offline")
                self.assertTrue(answer.json["hint"])
        self.assertDelivered(gateway.put(self.recipient("bob").jid, b"next", wait=30))

    def test_a_recipient_that_closes_as_soon_as_it_has_everything_is_served(self):
        peer = self.recipient("alice", "--behave", "eager")
        for settings in DIRECT, {}:
            gateway = self.gateway(**settings)
            self.assertDelivered(gateway.put(peer.jid, bytes(1000000), wait=30))
            gateway.stop()


class RecipientsOnProsody(Recipients, Case):
    server_name = "prosody"


class RecipientsOnEjabberd(Recipients, Case):
    server_name = "ejabberd"


class SilentStreamhosts(Case):
    """The slowest clients spend half a minute on one streamhost, so this deadline cannot be made short."""
    waits = True

    def test_an_accepted_offer_whose_streamhosts_are_never_answered_times_out(self):
        gateway = self.gateway(**DIRECT, **QUICK)
        peer = self.recipient("alice", "--behave", "ignore-streamhosts")
        answer = gateway.put(peer.jid, b"x", wait=100, methods="si-s5b")
        self.assertFailed(answer, 504, "recipient_timeout")
        self.assertEqual(answer.json["stage"], "connect")
        self.assertDelivered(gateway.put(self.recipient("bob").jid, b"next", wait=30), "direct")


class Addresses(Case):
    """From a bare address to the device that gets the file."""
    server_name = "prosody"

    def resources(self, gateway, to):
        recipient = gateway.get(f"/v1/recipients/{to}").json
        return [one["jid"] for one in recipient["resources"] if one["methods"]]

    def wait_seen(self, gateway, to, jids):
        wait_until(lambda: set(self.resources(gateway, to)) == set(jids), 15, f"{jids} seen")

    def test_a_bare_address_is_resolved_by_presence(self):
        gateway = self.gateway(**DIRECT)
        peer = self.recipient("alice")
        self.wait_seen(gateway, f"alice@{DOMAIN}", [peer.jid])
        answer = gateway.put(f"alice@{DOMAIN}", b"x", wait=30)
        self.assertDelivered(answer)
        self.assertEqual(answer.json["to"], f"alice@{DOMAIN}")
        self.assertEqual(answer.json["resource"], "desk")

    def test_the_resource_of_the_highest_priority_is_chosen(self):
        gateway = self.gateway(**DIRECT)
        peers = [self.recipient("alice", "--priority", str(priority), resource=f"p{priority}")
                 for priority in (3, 7, 5)]
        self.wait_seen(gateway, f"alice@{DOMAIN}", [peer.jid for peer in peers])
        self.assertDelivered(gateway.put(f"alice@{DOMAIN}", b"x", wait=30))
        peers[1].wait("file")

    def test_a_resource_that_can_take_the_file_comes_before_one_of_higher_priority(self):
        gateway = self.gateway(**DIRECT)
        phone = self.recipient("alice", "--priority", "9", "--no-si", resource="phone")
        desk = self.recipient("alice", resource="desk")
        self.wait_seen(gateway, f"alice@{DOMAIN}", [phone.jid, desk.jid])
        answer = gateway.put(f"alice@{DOMAIN}", b"x", wait=30)
        self.assertDelivered(answer)
        self.assertEqual((answer.json["resource"], answer.json["method"]["name"]), ("desk", "si-s5b"))
        desk.wait("file")

    def test_a_client_without_si_gets_a_bare_bytestream(self):
        gateway = self.gateway(**DIRECT)
        answer = gateway.put(self.recipient("alice", "--no-si").jid, b"x", wait=30)
        self.assertDelivered(answer)
        self.assertEqual(answer.json["method"]["name"], "s5b")

    def test_the_ladder_shows_what_a_transfer_would_do(self):
        gateway = self.gateway(**DIRECT, DELIVERY_METHODS="jingle-s5b,si-s5b,s5b,si-ibb,ibb,link",
                               DELIVERY_IBB_MAX_SIZE="1K")
        desk = self.recipient("alice", "--ibb", resource="desk")
        phone = self.recipient("alice", "--no-si", "--priority", "9", resource="phone")
        self.wait_seen(gateway, f"alice@{DOMAIN}", [desk.jid, phone.jid])
        look = f"/v1/recipients/alice@{DOMAIN}"
        shown = gateway.get(look + "?size=1025").json
        self.assertEqual([(rung["method"], rung["to"], rung["possible"]) for rung in shown["ladder"]],
                         [("jingle-s5b", desk.jid, False), ("si-s5b", desk.jid, True), ("s5b", desk.jid, False),
                          ("si-ibb", desk.jid, False), ("ibb", desk.jid, False), ("link", f"alice@{DOMAIN}", False)])
        self.assertIn("announce", shown["ladder"][0]["why"])
        self.assertIsNone(shown["ladder"][1]["why"])
        self.assertIn("beside", shown["ladder"][2]["why"])
        self.assertIn("ibb_max_size", shown["ladder"][3]["why"])
        self.assertIn("no upload service", shown["ladder"][5]["why"])
        self.assertEqual(shown["paths"], {"direct": True, "proxies": [f"proxy.{DOMAIN}"]})
        asked = gateway.get(look + "?methods=ibb,si-s5b&size=10").json["ladder"]
        self.assertEqual([(rung["method"], rung["possible"]) for rung in asked], [("ibb", True), ("si-s5b", True)])
        possible = [rung["method"] for rung in shown["ladder"] if rung["possible"]]
        answer = gateway.put(f"alice@{DOMAIN}", bytes(1025), wait=30)
        self.assertDelivered(answer)
        self.assertEqual([attempt["method"] for attempt in answer.json["attempts"]], possible)

    def test_the_ladder_of_who_is_away_is_what_needs_nobody(self):
        gateway = self.gateway(DELIVERY_METHODS="si-s5b,link")
        shown = gateway.get(f"/v1/recipients/erin@{DOMAIN}").json
        self.assertEqual([(rung["method"], rung["to"]) for rung in shown["ladder"]],
                         [("si-s5b", None), ("link", f"erin@{DOMAIN}")])
        self.assertIn("nobody", shown["ladder"][0]["why"])
        self.assertIsNone(shown["paths"])

    def test_the_resource_may_stand_in_the_query(self):
        gateway = self.gateway(**DIRECT)
        peer = self.recipient("alice", resource="desk & chair")
        self.assertDelivered(gateway.put(f"alice@{DOMAIN}", b"x", wait=30, resource="desk & chair"))
        peer.wait("file")

    def test_who_adds_the_gateway_as_a_contact_can_be_reached_by_the_bare_address(self):
        gateway = self.gateway(**DIRECT)
        peer = self.recipient("erin")
        answer = gateway.put(f"erin@{DOMAIN}", b"x", wait=30)
        self.assertFailed(answer, 409, "recipient_offline")
        self.assertIn("contact", answer.json["hint"] + answer.json["detail"])
        peer.command(f"subscribe gateway@{DOMAIN}")
        peer.wait("presence", type="subscribed")
        self.wait_seen(gateway, f"erin@{DOMAIN}", [peer.jid])
        self.assertDelivered(gateway.put(f"erin@{DOMAIN}", b"x", wait=30))

    def test_a_subscription_outside_the_policy_is_not_answered(self):
        gateway = self.gateway(**DIRECT, XMPP_ACCEPT_SUBSCRIPTIONS="*@friends.example")
        peer = self.recipient("frank")
        peer.command(f"subscribe gateway@{DOMAIN}")
        self.assertDelivered(gateway.put(peer.jid, b"x", wait=30, methods="si-s5b"))  # an answer would come before it
        self.assertFailed(gateway.put(f"frank@{DOMAIN}", b"x", wait=30), 409, "recipient_offline")
        self.assertEqual([told for told in peer.all("presence") if told["type"] in ("subscribe", "subscribed")], [])
