"""A room gets files as links: the gateway enters, says where the file is, and leaves."""
import subprocess

from case import DIRECT, QUICK, Case
from lab import ROOMS, wait_until

ROOM = f"coven@{ROOMS}"


class Occupants:
    settings = {**DIRECT, **QUICK}
    server_options = {"rooms": ""}

    def occupant(self, user, *options):
        """Somebody in the room, who would take streams."""
        peer = self.recipient(user, "--room", ROOM, *options)
        peer.wait("room", occupant=user, there=True)
        return peer

    def link(self, peer, count=1):
        """The newest link said in the room, once there are so many."""
        return wait_until(lambda: [told for told in peer.all("message") if told["oob"]][count - 1:], 15, "a link")[-1]

    def assertSaid(self, told, body, nick="gateway"):
        self.assertEqual((told["type"], told["sender"], told["body"]), ("groupchat", f"{ROOM}/{nick}", told["oob"]))
        done = subprocess.run(["curl", "-sS", "--fail", told["body"]], capture_output=True)
        self.assertEqual(done.stdout, body, done.stderr)

    def assertLinkSent(self, answer):
        self.assertEqual((answer.status, answer.json["state"]), (200, "link_sent"), answer)
        self.assertTrue(answer.json["link"]["own"])


class Rooms(Occupants):
    def test_everybody_in_the_room_gets_the_link(self):
        gateway = self.publishing_gateway()
        there = [self.occupant("alice"), self.occupant("bob")]
        answer = gateway.put(ROOM, b"for all of you", "a b.txt", wait=60, caption="as promised", digest="sha-256")
        self.assertLinkSent(answer)
        self.assertEqual([(attempt["method"], attempt["code"]) for attempt in answer.json["attempts"]],
                         [(None, "no_common_method"), ("link", None)])
        for peer in there:
            peer.wait("room", occupant="gateway", there=True)
            self.assertEqual(peer.wait("message", body="as promised")["type"], "groupchat")
            told = self.link(peer)
            self.assertSaid(told, b"for all of you")
            self.assertEqual(told["shared"]["name"], "a b.txt")
            self.assertTrue(told["shared"]["hash"])
            peer.wait("room", occupant="gateway", there=False)
            self.assertEqual(peer.all("offer"), [])
        self.assertEqual(gateway.wait_final(answer.json["id"])["method"]["name"], "link")

    def test_a_link_may_be_all_that_is_wanted(self):
        gateway = self.publishing_gateway()
        peer = self.occupant("alice")
        answer = gateway.put(ROOM, b"only a link", wait=60, methods="link")
        self.assertLinkSent(answer)
        self.assertEqual([attempt["method"] for attempt in answer.json["attempts"]], ["link"])
        self.assertSaid(self.link(peer), b"only a link")

    def test_a_nickname_that_is_taken_is_changed(self):
        gateway = self.publishing_gateway(XMPP_NICK="alice")
        peer = self.occupant("alice")
        self.assertLinkSent(gateway.put(ROOM, b"not from alice", wait=60, methods="link"))
        told = self.link(peer)
        nick = told["sender"].partition("/")[2]
        self.assertRegex(nick, "^alice-[0-9a-f]{6}$")
        self.assertSaid(told, b"not from alice", nick)

    def test_several_files_at_once(self):
        gateway = self.publishing_gateway()
        peer = self.occupant("alice")
        sent = [gateway.put(ROOM, f"file {i}".encode(), f"{i}.txt", caption=f"number {i}").json["id"] for i in range(5)]
        for identifier in sent:
            self.assertEqual(gateway.wait_final(identifier)["state"], "link_sent")
        self.link(peer, 5)
        names = [told["shared"]["name"] for told in peer.all("message") if told["oob"]]
        self.assertEqual(sorted(names), [f"{i}.txt" for i in range(5)])
        peer.wait("room", occupant="gateway", there=False)

    def test_a_room_is_offered_no_stream(self):
        gateway = self.publishing_gateway(DELIVERY_METHODS="jingle-s5b,si-s5b,s5b")
        self.occupant("alice")
        answer = gateway.put(ROOM, b"x", wait=60)
        self.assertFailed(answer, 422, "no_common_method")
        self.assertIn("is a room", answer.json["detail"])
        self.assertFailed(gateway.put(ROOM, b"x", wait=60, methods="si-s5b"), 422, "no_common_method")
        shown = gateway.get(f"/v1/recipients/{ROOM}")
        self.assertEqual((shown.status, shown.json["reachable"], shown.json["error"]["code"]),
                         (200, False, "no_common_method"))

    def test_what_is_for_one_occupant_is_not_told_to_all(self):
        gateway = self.publishing_gateway()
        peers = [self.occupant("alice"), self.occupant("bob")]
        for query in {"methods": "link"}, {}:
            answer = gateway.put(f"{ROOM}/bob", b"for bob alone", wait=60, **query)
            self.assertGreaterEqual(answer.status, 400, answer)
        self.link_nowhere(peers)

    def link_nowhere(self, peers):
        """A link for all tells that none came before."""
        gateway = self.gateways[-1]
        self.assertLinkSent(gateway.put(ROOM, b"for all", "all.txt", wait=60, methods="link"))
        for peer in peers:
            self.assertEqual(self.link(peer)["shared"]["name"], "all.txt")
            self.assertEqual(len([told for told in peer.all("message") if told["oob"]]), 1)

    def test_a_room_that_is_not_there_is_not_made(self):
        gateway = self.publishing_gateway()
        for methods in {"methods": "link"}, {}, {"methods": "si-s5b"}:
            answer = gateway.put(f"nowhere@{ROOMS}", b"x", wait=60, **methods)
            self.assertFailed(answer, 502, "link_failed")
            self.assertIn("there is no room", answer.json["detail"])


class RoomsOnProsody(Rooms, Case):
    server_name = "prosody"


class RoomsOnEjabberd(Rooms, Case):
    server_name = "ejabberd"


class ClosedRoom(Occupants, Case):
    """The first one in is its owner; nobody else is a member."""
    server_options = {"rooms": "muc_room_default_members_only = true"}

    def test_a_room_for_members_says_so(self):
        gateway = self.publishing_gateway()
        peer = self.occupant("alice")
        answer = gateway.put(ROOM, b"x", wait=60)
        self.assertFailed(answer, 409, "recipient_forbids")
        self.assertIn("members only", answer.json["detail"])
        self.assertEqual([told for told in peer.all("message") if told["oob"]], [])
        wait_until(lambda: not gateway.spooled(), 15, "an empty spool")
