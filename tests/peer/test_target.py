"""Rows 47 to 62, 110 to 112, 115 and 119 to 124, end to end: what senders do that means no good, or goes wrong, while a
file comes to us. The sender is a script; the inbox shows what came of it."""
import base64
import hashlib
import os
import socket
import threading
import time

from lab import DOMAIN, LOOPBACK, wait_until

from . import socks
from .peer import NS_BYTESTREAMS, NS_IBB, NS_SI, NS_SI_FILE, condition
from .script import SIZE, Script

GATEWAY = f"gateway@{DOMAIN}/jidpost"
FORM = "http://jabber.org/protocol/feature-neg"
BAD, UNACCEPTABLE = ("modify", "bad-request"), ("modify", "not-acceptable")
NOT_REACHED, OTHER_ORDER = ("cancel", "item-not-found"), ("cancel", "unexpected-request")
RECEIVING = {"INBOX_ACCEPT": f"*@{DOMAIN}"}
FIRST_FAILURE = 1.0  # seconds after the question, whatever the reason
OFFERS, IN_ONE = 3, 7  # so many of one sender in a minute; so many streamhosts of one are all looked at


def form(streams):
    options = "".join(f"<option><value>{stream}</value></option>" for stream in streams)
    return (f"<feature xmlns='{FORM}'><x xmlns='jabber:x:data' type='form'><field var='stream-method' "
            f"type='list-single'>{options}</field></x></feature>")


def offer(sid, size=SIZE, name="file.bin", streams=(NS_BYTESTREAMS,), profile=NS_SI_FILE, feature=None):
    return (f"<si xmlns='{NS_SI}' id='{sid}' profile='{profile}'><file xmlns='{NS_SI_FILE}' name='{name}' "
            f"size='{size}'/>{form(streams) if feature is None else feature}</si>")


def query(sid, hosts, more=""):
    """hosts: (jid, host, port) each."""
    listed = "".join(f"<streamhost jid='{jid}' host='{host}' port='{port}'/>" for jid, host, port in hosts)
    return f"<query xmlns='{NS_BYTESTREAMS}'{f' sid={chr(39)}{sid}{chr(39)}' if sid else ''} {more}>{listed}</query>"


def block(sid, number, data):
    text = data if isinstance(data, str) else base64.b64encode(data).decode()
    return f"<data xmlns='{NS_IBB}' sid='{sid}' seq='{number}'>{text}</data>"


def open_block(sid, size=4096):
    return f"<open xmlns='{NS_IBB}' sid='{sid}' block-size='{size}' stanza='iq'/>"


def close_block(sid):
    return f"<close xmlns='{NS_IBB}' sid='{sid}'/>"


class Ear:
    """Counts who connects; says nothing."""

    def __init__(self, address, family=socket.AF_INET):
        self.listener = socket.create_server(address, family=family)
        self.listener.settimeout(0.05)
        self.port = self.listener.getsockname()[1]

    def heard(self):
        count = 0
        while True:
            try:
                self.listener.accept()[0].close()
            except TimeoutError:
                return count
            count += 1


class Target(Script):
    settings = RECEIVING

    def ear(self, host, family=socket.AF_INET):
        ear = Ear((host, 0), family)
        self.addCleanup(ear.listener.close)
        return ear

    def offered(self, peer, sid, **options):
        answer = peer.ask(GATEWAY, offer(sid, **options))
        self.assertEqual(answer.get("type"), "result", condition(answer) if answer.get("type") == "error" else "")

    def assertRefused(self, peer, payload, expected):
        answer = peer.ask(GATEWAY, payload)
        self.assertEqual(answer.get("type"), "error", payload)
        self.assertEqual(condition(answer)[:2], expected, payload)

    def assertKept(self, gateway, body, **facts):
        item = gateway.wait_inbox(**facts)
        self.assertEqual((item["file"]["size"], item["file"]["sha256"]), (len(body), hashlib.sha256(body).hexdigest()))
        return item

    def assertFailedItem(self, gateway, code):
        item = wait_until(lambda: gateway.inbox(state="failed"), 20, "a failed item")[0]
        self.assertEqual(item["error"]["code"], code, item)
        self.assertEqual(gateway.inbox(), [])
        return item


class Offers(Target):
    """Nobody is ever connected to for these."""

    def test_row_47_48_49_bytestream_that_is_none_or_was_not_announced(self):
        self.gateway()
        peer, ear = self.peer(), self.ear(LOOPBACK)
        host = (peer.jid, LOOPBACK, ear.port)
        for sid, hosts, more, expected in ((None, [host], "", BAD), ("none", [], "", BAD),
                                           ("many", [host] * 100, "", BAD),
                                           ("udp", [host], "mode='udp'", UNACCEPTABLE),
                                           ("unknown", [host], "", UNACCEPTABLE)):
            with self.subTest(sid):
                if sid not in (None, "unknown"):
                    self.offered(peer, sid)
                self.assertRefused(peer, query(sid, hosts, more), expected)
        self.assertEqual(ear.heard(), 0)

    def test_row_59_offers_that_are_none(self):
        gateway, peer = self.gateway(), self.peer()
        for what, payload, own in (("profile", offer("a", profile="urn:example:other"), "bad-profile"),
                                   ("form", offer("b", feature=""), "no-valid-streams"),
                                   ("stream", offer("c", streams=["urn:example:stream"]), "no-valid-streams"),
                                   ("negative size", offer("d", size=-1), None),
                                   ("size in words", offer("e", size="1e9"), None)):
            with self.subTest(what):
                answer = peer.ask(GATEWAY, payload)
                self.assertEqual(condition(answer)[:2], ("cancel", "bad-request"))
                special = [child.tag for child in answer.find("{*}error") if child.tag.startswith(f"{{{NS_SI}}}")]
                self.assertEqual(special, [f"{{{NS_SI}}}{own}"] if own else [])
        for state in "receiving", "received", "failed":
            self.assertEqual(gateway.inbox(state=state), [])

    def test_row_60_stranger_is_refused_as_a_person_would(self):
        gateway = self.gateway(INBOX_ACCEPT=f"bob@{DOMAIN}")
        self.assertRefused(self.peer("erin"), offer("a"), ("cancel", "forbidden"))
        self.assertEqual(gateway.inbox(state="failed"), [])


class Streamhosts(Target):
    settings = {**RECEIVING, "EGRESS_ALLOW_NETS": "127.0.0.0/8"}

    def serve(self, listener, body, peer, sid, hosts, more=""):
        """The gateway's answer to the streamhosts, while the listener sends body to whoever is granted his name."""
        def run():
            _, sock = listener.stream()
            with sock:
                sock.sendall(body)
        sending = threading.Thread(target=run, daemon=True)
        sending.start()
        answer = peer.ask(GATEWAY, query(sid, hosts, more))
        sending.join(20)
        return answer

    def used(self, answer):
        self.assertEqual(answer.get("type"), "result", answer)
        return answer[0].find("{*}streamhost-used").get("jid")

    def test_row_50_124_an_id_is_one_of_the_peer_alone(self):
        gateway, bodies = self.gateway(), {}
        peers = [self.peer("alice"), self.peer("bob")]
        other = self.peer("alice")
        for peer in peers:
            self.offered(peer, "same")
        self.assertRefused(other, query("same", [(other.jid, LOOPBACK, 9)]), UNACCEPTABLE)
        for peer in peers:
            bodies[peer.jid] = os.urandom(1000)
            listener = self.listener(socks.name("same", peer.jid, GATEWAY))
            self.serve(listener, bodies[peer.jid] + os.urandom(SIZE - 1000), peer, "same",
                       [(peer.jid, LOOPBACK, listener.port)])
        items = wait_until(lambda: len(gateway.inbox()) == 2 and gateway.inbox(), 20, "two files")
        self.assertEqual({item["from"] for item in items}, {peer.jid for peer in peers})

    def test_row_51_52_62_the_first_streamhost_that_answers_is_named_as_it_was_written(self):
        """One where nobody listens, one that refuses, one that grants the name which both can compute."""
        gateway, peer, body = self.gateway(), self.peer(), os.urandom(SIZE)
        refusing = self.listener("0" * 40)
        good = self.listener(socks.name("order", peer.jid, GATEWAY))
        never = self.listener()
        with socket.create_server((LOOPBACK, 0)) as nobody:
            dead = nobody.getsockname()[1]
        self.offered(peer, "order")
        hosts = [("dead.example", LOOPBACK, dead), ("refusing.example", LOOPBACK, refusing.port),
                 ("good.example/As-Written", LOOPBACK, good.port), ("last.example", LOOPBACK, never.port)]
        foreign = socks.name("order", "somebody@else.example/x", GATEWAY)
        answer = self.serve(good, body, peer, "order", hosts, f"dstaddr='{foreign}'")
        self.assertEqual(self.used(answer), "good.example/As-Written")
        self.assertKept(gateway, body)
        self.assertEqual(set(refusing.asked), {socks.name("order", peer.jid, GATEWAY)})
        self.assertEqual(never.asked, [])

    def test_row_53_who_reached_nobody_may_go_on_in_band(self):
        gateway, peer, body = self.gateway(), self.peer(), os.urandom(10000)
        self.offered(peer, "second", size=len(body), streams=[NS_BYTESTREAMS, NS_IBB])
        with socket.create_server((LOOPBACK, 0)) as nobody:
            dead = nobody.getsockname()[1]
        self.assertRefused(peer, query("second", [("dead.example", LOOPBACK, dead)]), NOT_REACHED)
        self.assertEqual(peer.ask(GATEWAY, open_block("second")).get("type"), "result")
        for number, begin in enumerate(range(0, len(body), 4096)):
            self.assertEqual(peer.ask(GATEWAY, block("second", number, body[begin:begin + 4096])).get("type"), "result")
        self.assertEqual(peer.ask(GATEWAY, close_block("second")).get("type"), "result")
        self.assertEqual(self.assertKept(gateway, body)["method"]["path"], "inband")

    def broken(self, count, code):
        """So many bytes of SIZE come, and then the end."""
        gateway, peer = self.gateway(), self.peer()
        listener = self.listener(socks.name("broken", peer.jid, GATEWAY))
        self.offered(peer, "broken")
        self.serve(listener, os.urandom(count), peer, "broken", [(peer.jid, LOOPBACK, listener.port)])
        return self.assertFailedItem(gateway, code)

    def test_row_57_more_bytes_than_were_announced(self):
        self.assertLessEqual(self.broken(SIZE + 1, "size_exceeded")["progress"]["received"], SIZE)

    def test_row_58_fewer_bytes_than_were_announced(self):
        self.assertEqual(self.broken(SIZE - 1, "truncated")["progress"]["received"], SIZE - 1)

    def test_row_121_a_name_is_what_can_be_saved(self):
        gateway, peer, after = self.gateway(), self.peer(), {}
        names = ("../../etc/passwd", "passwd"), ("a&#x202e;gpj.exe", None), ("CON", None)
        for number, (name, safe) in enumerate(names):
            with self.subTest(name):
                sid, body = f"name{number}", os.urandom(SIZE)
                listener = self.listener(socks.name(sid, peer.jid, GATEWAY))
                answer = peer.ask(GATEWAY, offer(sid, name=name))
                if answer.get("type") == "error":
                    continue
                self.serve(listener, body, peer, sid, [(peer.jid, LOOPBACK, listener.port)])
                item = self.assertKept(gateway, body, **after)
                after = {"after": item["id"]}
                self.assertNotRegex(item["file"]["name"], r"[/\\\u202e]")
                if safe:
                    self.assertEqual(item["file"]["name"], safe)

    def test_row_122_a_stream_outlives_the_connection_to_the_server(self):
        cable = self.cable()
        gateway = self.gateway(XMPP_PORT=str(cable.port))
        peer, body = self.peer(), os.urandom(SIZE)
        listener = self.listener(socks.name("cut", peer.jid, GATEWAY))
        self.offered(peer, "cut")
        self.assertEqual(peer.ask(GATEWAY, query("cut", [(peer.jid, LOOPBACK, listener.port)])).get("type"), "result")
        _, sock = listener.stream()
        sock.sendall(body[:1000])
        cable.cut()
        gateway.wait_ready(False)
        cable.mend()
        with sock:
            sock.sendall(body[1000:])
        self.assertKept(gateway, body)


class Inward(Target):
    """Nobody makes us connect to ourselves, or to what is near us, by whatever name; and how long that takes to be told
    does not say what there is."""
    settings = RECEIVING

    def test_row_54_55_56_no_streamhost_leads_inside(self):
        gateway, peer = self.gateway(), self.peer()
        four, six = self.ear("0.0.0.0"), self.ear("::", socket.AF_INET6)
        hosts = [(four.port, host) for host in (
            LOOPBACK, "127.0.0.2", "localhost", "0x7f.1", "2130706433", "127.1", "017700000001", "0.0.0.0",
            "localhost.", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", socket.gethostname())]
        hosts += [(six.port, host) for host in ("::1", "[::1]", "::", "fe80::1", "64:ff9b::7f00:1", "localhost")]
        hosts += [(gateway.port, LOOPBACK), (self.server.port, "localhost")]
        self.assertEqual(len(hosts), OFFERS * IN_ONE)
        for begin in range(0, len(hosts), IN_ONE):
            some = [(f"h{number}.example", host, port) for number, (port, host) in enumerate(hosts[begin:begin + IN_ONE])]
            with self.subTest(some):
                sid = f"inward{begin}"
                self.offered(peer, sid)
                began = time.monotonic()
                self.assertRefused(peer, query(sid, some), NOT_REACHED)
                self.assertAlmostEqual(time.monotonic() - began, FIRST_FAILURE, delta=0.4)
        self.assertEqual((four.heard(), six.heard()), (0, 0))

    def test_row_54_what_is_closed_is_told_when_what_is_forbidden_is(self):
        """Of an address where nobody listens we hear at once, of a forbidden one nothing."""
        self.gateway(EGRESS_ALLOW_NETS=f"{LOOPBACK}/32")
        peer, times = self.peer(), {}
        with socket.create_server((LOOPBACK, 0)) as nobody:
            dead = nobody.getsockname()[1]
        for host in LOOPBACK, "127.0.0.2":
            self.offered(peer, host)
            began = time.monotonic()
            self.assertRefused(peer, query(host, [("h.example", host, dead)]), NOT_REACHED)
            times[host] = time.monotonic() - began
        self.assertAlmostEqual(times[LOOPBACK], times["127.0.0.2"], delta=0.3)


class Blocks(Target):
    """In-band."""

    def opened(self, peer, sid, size=SIZE):
        self.offered(peer, sid, size=size, streams=[NS_IBB])
        self.assertEqual(peer.ask(GATEWAY, open_block(sid)).get("type"), "result")
        self.assertEqual(peer.ask(GATEWAY, block(sid, 0, b"first")).get("type"), "result")

    def test_row_110_a_bad_block_ends_the_stream(self):
        gateway, peers = self.gateway(), [self.peer("alice"), self.peer("bob")]
        for number, (what, payload, expected) in enumerate((
                ("skipped", lambda sid: block(sid, 2, b"x"), OTHER_ORDER),
                ("twice", lambda sid: block(sid, 0, b"first"), OTHER_ORDER),
                ("no base64", lambda sid: block(sid, 1, "!!!!"), BAD),
                ("padding first", lambda sid: block(sid, 1, "=AAA"), BAD),
                ("too large", lambda sid: block(sid, 1, b"x" * 4097), BAD))):
            with self.subTest(what):
                sid, peer = f"bad{number}", peers[number // OFFERS]
                self.opened(peer, sid)
                answer = peer.ask(GATEWAY, payload(sid))
                self.assertEqual(condition(answer)[1], expected[1])
                again = peer.ask(GATEWAY, block(sid, 1, b"x"))
                self.assertEqual(condition(again)[:2], ("cancel", "item-not-found"))
        self.assertEqual(gateway.inbox(), [])

    def test_row_112_blocks_of_others_are_not_the_senders(self):
        gateway, peer, body = self.gateway(), self.peer(), b"first" + os.urandom(1000)
        self.opened(peer, "mine", len(body))
        for liar in self.peer("bob"), self.peer("alice"):
            for payload in block("mine", 1, b"forged"), close_block("mine"):
                self.assertRefused(liar, payload, ("cancel", "item-not-found"))
        self.assertEqual(peer.ask(GATEWAY, block("mine", 1, body[5:])).get("type"), "result")
        self.assertEqual(peer.ask(GATEWAY, close_block("mine")).get("type"), "result")
        self.assertKept(gateway, body)

    def test_row_115_a_close_before_the_end(self):
        gateway, peer = self.gateway(), self.peer()
        self.opened(peer, "early")
        peer.ask(GATEWAY, close_block("early"))
        self.assertFailedItem(gateway, "truncated")


class Flood(Target):
    build = "release"
    QUESTIONS = 10000

    def test_row_119_ten_thousand_offers_of_one_keep_nobody_else_out(self):
        gateway, flooder, peer = self.gateway(), self.peer("alice"), self.peer("bob")
        before = gateway.peak_memory()
        for number in range(self.QUESTIONS):
            flooder.iq("set", GATEWAY, offer(f"flood{number}", streams=[NS_IBB]), f"flood{number}")
        body = os.urandom(1000)
        self.offered(peer, "calm", size=len(body), streams=[NS_IBB])
        for payload in open_block("calm"), block("calm", 0, body), close_block("calm"):
            self.assertEqual(peer.ask(GATEWAY, payload).get("type"), "result")
        self.assertKept(gateway, body)
        flooder.take(lambda stanza: stanza.get("id") == f"flood{self.QUESTIONS - 1}", "the last answer", 60)
        grown = gateway.peak_memory() - before
        print(f"{self._testMethodName}: {grown / (1 << 20):.1f} MiB more")
        self.assertLess(grown, 20 << 20)
