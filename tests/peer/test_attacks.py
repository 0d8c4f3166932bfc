"""Nobody in: what somebody tries who may log in to a server, or reach a port, and means harm. docs/security.md says what
each of these tests proves. The one whom it is done to notices nothing: every file still arrives, whole and once."""
import copy
import os
import socket

from lab import COMPONENT, LOOPBACK

from . import socks
from .jingle import MINE, candidate
from .peer import CLOSE, DATA, NS_BYTESTREAMS, NS_IBB, NS_SI, NS_SI_FILE, OFFER, OPEN, condition
from .script import SIZE, Script, accept_si, decoded, streamhosts, take_blocks, use
from .test_jingle import Jingle

UNKNOWN = ("cancel", "item-not-found", "unknown-session")


class Liars(Script):
    """Somebody else answers, with the right id: another account, another device of the recipient's own account."""

    def liars(self):
        return self.peer("bob"), self.peer("alice")

    def assertUnmoved(self, gateway, sent, state, liar, to):
        liar.sync(to)  # what it said before has been heard
        self.assertEqual(gateway.transfer(sent)["state"], state)

    def test_an_offer_is_answered_by_its_recipient_alone(self):
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer)
        offer = peer.expect(OFFER)
        for liar in self.liars():
            accept_si(liar, offer)
            liar.refuse(offer, "cancel", "forbidden")
            self.assertUnmoved(gateway, sent, "offering", liar, offer.get("from"))
        self.assertSilent(peer, offer.get("from"))
        accept_si(peer, offer)
        self.assertEqual(socks.receive(self.connect(peer, peer.expect(f"{{{NS_BYTESTREAMS}}}query"))), b"x")
        self.assertArrived(gateway, sent, 1, "direct")

    def test_a_streamhost_is_chosen_by_the_recipient_alone(self):
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer)
        query = self.streamhosts(peer)
        for liar in self.liars():
            liar.refuse(query, "cancel", "item-not-found")
            use(liar, query, "proxy.evil.example")
            use(liar, query, streamhosts(query)[0][0])
            self.assertUnmoved(gateway, sent, "connecting", liar, query.get("from"))
        self.assertEqual(socks.receive(self.connect(peer, query)), b"x")
        self.assertArrived(gateway, sent, 1, "direct")

    def test_blocks_are_acknowledged_and_ended_by_the_recipient_alone(self):
        body = os.urandom(10000)
        gateway, peer = self.gateway(DELIVERY_METHODS="si-ibb"), self.peer(features=(NS_SI, NS_SI_FILE, NS_IBB))
        sent = self.send(gateway, peer, body)
        accept_si(peer, peer.expect(OFFER), NS_IBB)
        opened = peer.expect(OPEN)
        sid = opened[0].get("sid")
        peer.result(opened)
        block = peer.expect(DATA)
        for liar in self.liars():
            liar.result(block)
            liar.refuse(block, "cancel", "item-not-found")
            for tag in ("close", "data seq='0'"):
                answer = liar.ask(block.get("from"), f"<{tag} xmlns='{NS_IBB}' sid='{sid}'/>")
                self.assertEqual(condition(answer)[:2], ("cancel", "item-not-found"))
            self.assertUnmoved(gateway, sent, "transferring", liar, block.get("from"))
        self.assertSilent(peer, block.get("from"), DATA, CLOSE)  # the next block waits for the true word
        peer.result(block)
        self.assertEqual(take_blocks(peer, sid, decoded(block)), body)
        self.assertArrived(gateway, sent, len(body), "inband")


class Sessions(Jingle):
    def forger(self, talk, user):
        """Who knows all about the session and speaks in it."""
        forger = copy.copy(talk)
        forger.peer = self.jingle_peer(user)
        return forger

    def test_a_session_is_led_by_its_recipient_alone(self):
        gateway, sent, talk = self.talk()
        for user in "bob", "alice":
            forger, listener = self.forger(talk, user), self.listener()
            for what, answer in (
                    ("accepted", forger.accept(candidate("c", listener.port))),
                    ("a candidate", forger.tell(candidate("late", listener.port))),
                    ("a candidate used", forger.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")),
                    ("activated", forger.tell(f"<activated cid='{talk.ours[0]['cid']}'/>")),
                    ("received", forger.say("session-info", "<received xmlns='urn:xmpp:jingle:apps:file-transfer:5' "
                                                            "creator='initiator' name='file'/>")),
                    ("ended well", forger.end()), ("declined", forger.end("decline"))):
                with self.subTest(f"{what}, by {user}"):
                    self.assertEqual(condition(answer), UNKNOWN)
            self.assertEqual(listener.asked, [])
        self.assertEqual(gateway.transfer(sent)["state"], "offering")
        talk.accept()
        self.assertEqual(talk.take_directly(), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")


class Activations(Jingle):
    def test_an_activation_that_is_said_again_does_nothing_again(self):
        body = os.urandom(SIZE)
        gateway, sent, talk = self.talk(body)
        listener = self.listener(talk.owned_by_peer())
        talk.accept(candidate("p", listener.port, 655360, "proxy", COMPONENT))
        talk.hear("transport-info", "candidate-used")
        stream = listener.stream()[1]
        self.assertEqual(talk.tell("<activated cid='p'/>").get("type"), "result")
        head = socks.exactly(stream, 1)
        for _ in range(3):
            talk.tell("<activated cid='p'/>")  # acknowledged or refused, as the peer may have lost our answer
        self.assertEqual(head + socks.receive(stream), body)
        self.assertReceived(gateway, sent, talk, SIZE, "proxy")
        self.assertEqual(condition(talk.tell("<activated cid='p'/>")), UNKNOWN)
        self.assertEqual(listener.asked, [talk.owned_by_peer()])


def said(address, *messages):
    """All that the listener answers to that before it closes."""
    with socket.create_connection(address, socks.SECONDS) as sock:
        heard = b""
        try:
            for message in messages:
                sock.sendall(message)
            while more := sock.recv(4096):
                heard += more
        except ConnectionError:
            pass
        return heard


def asked(of):
    return b"\5\1\0\3" + bytes([len(of)]) + of + b"\0\0"


class Listener(Script):
    """Who reaches our SOCKS5 port, while a file waits there for its recipient."""

    def waiting(self):
        """(gateway, transfer, the recipient, the question it was asked, our listener's address, the name it waits for)"""
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer, b"secret")
        query = self.streamhosts(peer)
        jid, host, port = streamhosts(query)[0]
        return gateway, sent, peer, query, (host, port), socks.name(query[0].get("sid"), query.get("from"), peer.jid)

    def assertNobodyElse(self, gateway, sent, peer, query):
        self.assertEqual(socks.receive(self.connect(peer, query)), b"secret")
        self.assertArrived(gateway, sent, 6, "direct")

    def test_what_is_not_the_name_opens_nothing(self):
        gateway, sent, peer, query, address, name = self.waiting()
        sid, ours = query[0].get("sid"), query.get("from")
        bare = peer.jid.partition("/")[0]
        for what, of in (
                ("made of another sid", socks.name("s", ours, peer.jid).encode()),
                ("made of bare addresses", socks.name(sid, ours.partition("/")[0], bare).encode()),
                ("made for a stranger", socks.name(sid, ours, "bob@localhost/x").encode()),
                ("one digit short", name[:-1].encode()), ("one digit more", name.encode() + b"0"),
                ("with a NUL behind it", name.encode() + b"\0"), ("with a space before it", b" " + name.encode()),
                ("another last digit", name[:-1].encode() + (b"1" if name[-1] == "0" else b"0")),
                ("the sid itself", sid.encode()), ("forty stars", b"*" * 40), ("forty percent signs", b"%" * 40),
                ("as long as can be", b"a" * 255)):
            with self.subTest(what):
                heard = said(address, socks.GREETING, asked(of))
                self.assertEqual(heard[:2], b"\5\0")
                self.assertNotEqual(heard[3:4], b"\0", heard)  # the reply's code
                self.assertNotIn(b"secret", heard)
        self.assertNobodyElse(gateway, sent, peer, query)

    def test_nobody_is_connected_to_a_foreign_address(self):
        """It is no proxy: not for an address, not for a host's name, not by another command or protocol."""
        gateway, sent, peer, query, address, name = self.waiting()
        bait = socket.create_server((LOOPBACK, 0))
        self.addCleanup(bait.close)
        ipv4, port = socket.inet_aton(LOOPBACK), bait.getsockname()[1].to_bytes(2, "big")
        for what, request in (
                ("an IPv4 address", b"\5\1\0\1" + ipv4 + port),
                ("an IPv6 address", b"\5\1\0\4" + bytes(10) + b"\xff\xff" + ipv4 + port),
                ("a host's name", b"\5\1\0\3\x09localhost" + port),
                ("an address as a name", b"\5\1\0\3\x09127.0.0.1" + port),
                ("to listen for others", b"\5\2\0\3\x28" + name.encode() + b"\0\0"),
                ("to pass datagrams on", b"\5\3\0\1" + ipv4 + port),
                ("SOCKS4", b"\4\1" + port + ipv4 + b"\0")):
            with self.subTest(what):
                heard = said(address, request) if what == "SOCKS4" else said(address, socks.GREETING, request)
                self.assertNotEqual(heard[3:4], b"\0", heard)
                self.assertNotIn(b"secret", heard)
        bait.setblocking(False)
        self.assertRaises(BlockingIOError, bait.accept)
        self.assertNobodyElse(gateway, sent, peer, query)

    def test_guessing_names_opens_nothing_and_keeps_nothing_open(self):
        gateway, sent, peer, query, address, _ = self.waiting()
        for _ in range(300):
            self.assertEqual(said(address, socks.GREETING, asked(os.urandom(20).hex().encode()))[2:4], b"\5\2")
        self.assertNobodyElse(gateway, sent, peer, query)

    def test_a_used_name_opens_nothing_again(self):
        gateway, sent, peer, query, address, name = self.waiting()
        self.assertNobodyElse(gateway, sent, peer, query)
        self.assertRaises(ConnectionError, socks.connect, address, name)


class Inside(Jingle):
    """A recipient names addresses that lie behind the gateway, not before it."""
    settings = {**Jingle.settings, "EGRESS_ALLOW_NETS": ""}

    def test_nobody_is_led_inside_by_a_candidate(self):
        gateway, sent, talk = self.talk()
        listener = self.listener()
        hosts = ("127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::127.0.0.1",
                 "64:ff9b::7f00:1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "169.254.169.254")
        for kind in "direct", "proxy":
            for number, host in enumerate(hosts):
                answer = talk.tell(candidate(f"{kind}{number}", listener.port, MINE - number, kind, host=host)) \
                    if number or kind == "proxy" else talk.accept(candidate("first", listener.port, host=host))
                self.assertEqual(answer.get("type"), "result")
        stream = talk.connect()
        talk.tell(f"<candidate-used cid='{talk.ours[0]['cid']}'/>")
        talk.hear("transport-info", "candidate-error")
        self.assertEqual(socks.receive(stream), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")
        self.assertEqual(listener.asked, [])
        self.assertEqual(listener.sockets, [])
