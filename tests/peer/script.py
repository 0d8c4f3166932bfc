"""What every test here begins with: a gateway that tries once, peers that only do as told, and the words they share."""
import base64
import contextlib
import itertools

from case import DIRECT, Case
from lab import LOOPBACK

from . import socks
from .peer import (BYTESTREAM, CLOSE, DATA, INFO, JINGLE_STREAMS, NS_BYTESTREAMS, NS_SI, OFFER, OPEN, SI_STREAMS,
                   Component, Peer, info)

SIZE = 90210
PROXY_INFO = info([NS_BYTESTREAMS], "category='proxy' type='bytestreams'")
resources = itertools.count(1)


def accept_si(peer, offer, stream=NS_BYTESTREAMS, file=""):
    peer.result(offer, f"<si xmlns='{NS_SI}'>{file}<feature xmlns='http://jabber.org/protocol/feature-neg'>"
                       "<x xmlns='jabber:x:data' type='submit'><field var='stream-method'>"
                       f"<value>{stream}</value></field></x></feature></si>")


def offered_streams(offer):
    """The stream methods to choose from, in an SI offer."""
    return [value.text for value in offer.iter("{jabber:x:data}value")]


def streamhosts(query):
    return [(host.get("jid"), host.get("host"), int(host.get("port"))) for host in query[0]]


def use(peer, query, jid, sid=True):
    told = f" sid='{query[0].get('sid')}'" if sid else ""
    peer.result(query, f"<query xmlns='{NS_BYTESTREAMS}'{told}><streamhost-used jid='{jid}'/></query>")


def receive_inband(peer):
    """(the <open/>, the bytes) of a stream that is taken as it comes."""
    opened = peer.expect(OPEN)
    peer.result(opened)
    return opened, take_blocks(peer, opened[0].get("sid"))


def take_blocks(peer, sid, data=b""):
    """All the blocks to the end, behind what came already."""
    data = bytearray(data)
    while True:
        iq = peer.expect(DATA, CLOSE, sid=sid)
        peer.result(iq)
        if iq[0].tag == CLOSE:
            return bytes(data)
        data += decoded(iq)


def decoded(iq):
    return base64.b64decode(iq[0].text, validate=True)


class Script(Case):
    settings = {**DIRECT, "DELIVERY_MAX_ATTEMPTS": "1", "EGRESS_ALLOW_NETS": "127.0.0.0/8"}
    server_options = {"proxy": False}

    def peer(self, user="alice", features=SI_STREAMS, presence=""):
        peer = Peer(self.server, user, f"r{next(resources)}", features, presence)
        self.addCleanup(peer.close)
        return peer

    @contextlib.contextmanager
    def running(self, **settings):
        """A gateway for a part of a test, over with it: two would throw each other out."""
        gateway = self.gateway(**settings)
        try:
            yield gateway
        finally:
            gateway.stop()

    def jingle_peer(self, user="alice"):
        return self.peer(user, JINGLE_STREAMS)

    def listener(self, *names, **options):
        listener = socks.Listener(*names, **options)
        self.addCleanup(listener.close)
        return listener

    def send(self, gateway, peer, body=b"x", name="file.bin", **query):
        """The id of a transfer that nobody waits for yet."""
        answer = gateway.put(peer.jid, body, name, **query)
        self.assertEqual(answer.status, 202, answer)
        return answer.json["id"]

    def attempts(self, transfer):
        return [(attempt["method"], attempt["code"]) for attempt in transfer["attempts"]]

    def assertEnded(self, gateway, sent, state, code, *attempts):
        """code: the error of the whole, or None; attempts: (method, code) of each."""
        transfer = gateway.wait_final(sent)
        self.assertEqual((transfer["state"], (transfer["error"] or {}).get("code")), (state, code), transfer)
        if attempts:
            self.assertEqual(self.attempts(transfer), list(attempts), transfer["timeline"])
        return transfer

    def assertArrived(self, gateway, sent, size, path=None):
        transfer = self.assertEnded(gateway, sent, "delivered", None)
        self.assertEqual(transfer["progress"]["sent"], size, transfer)
        if path:
            self.assertEqual(transfer["method"]["path"], path, transfer)
        return transfer

    def assertSilent(self, peer, gateway, *tags):
        """The gateway asked peer nothing of that kind that the test did not take."""
        peer.sync(gateway)
        self.assertEqual(peer.told(*tags), [])

    def streamhosts(self, peer, stream=NS_BYTESTREAMS):
        """The question with the streamhosts, once the offer before it was accepted."""
        accept_si(peer, peer.expect(OFFER), stream)
        return peer.expect(BYTESTREAM)

    def connect(self, peer, query, which=0, **options):
        """The peer's socket to one of the streamhosts, which it says it uses."""
        jid, host, port = streamhosts(query)[which]
        of = socks.name(query[0].get("sid"), query.get("from"), peer.jid)
        sock = socks.connect((host, port), of, **options)
        use(peer, query, jid)
        return sock


class WithComponent(Script):
    """The server has a component, played by the tests. It says that it is `what`."""
    what = PROXY_INFO

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.component = Component(cls.server, cls.what)
        cls.addClassCleanup(cls.component.close)

    def setUp(self):
        super().setUp()
        self.component.forget()
        self.component.answers[INFO] = self.what

    def relay(self):
        relay = socks.Relay()
        self.addCleanup(relay.close)
        return relay

    def tell_address(self, *hosts):
        """Answers the gateway's question for the proxy's address with (jid, port), on loopback."""
        question = self.component.expect(BYTESTREAM)
        self.assertEqual(question.get("type"), "get")
        self.component.result(question, f"<query xmlns='{NS_BYTESTREAMS}'>" + "".join(
            f"<streamhost jid='{jid}' host='{LOOPBACK}' port='{port}'/>" for jid, port in hosts) + "</query>")
        return question
