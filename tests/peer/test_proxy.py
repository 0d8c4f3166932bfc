"""Rows 63 to 79 of the checklist, and 119: the gateway as the StreamHost proxy (XEP-0065 section 6), between two who
meet at it."""
import os
import select
import socket
import threading
import time

from gateway import as_component
from lab import DOMAIN, FILES, LOOPBACK

from . import socks
from .peer import BYTESTREAM, NS_BYTESTREAMS, condition
from .script import SIZE, Script

QUERY = f"<query xmlns='{NS_BYTESTREAMS}'/>"
MIB = 1 << 20


def activation(sid, target):
    return f"<query xmlns='{NS_BYTESTREAMS}' sid='{sid}'><activate>{target}</activate></query>"


class Proxy(Script):
    settings = {"SOCKS5_ADVERTISE": LOOPBACK}
    weight = 2

    def gateway(self, *how, **settings):
        return super().gateway(*how, **{**as_component(self.server), **settings})

    def setUp(self):
        super().setUp()
        self.requester, self.target = self.peer("bob"), self.peer("alice")

    def address(self, peer=None):
        """Where the proxy says it is."""
        answer = (peer or self.requester).ask(FILES, QUERY, "get")
        self.assertEqual(answer.get("type"), "result", condition(answer) if answer.get("type") == "error" else "")
        self.assertEqual((answer.get("from"), answer[0].tag, len(answer[0])), (FILES, BYTESTREAM, 1))
        host = answer[0][0]
        self.assertEqual((host.get("jid"), host.get("host")), (FILES, LOOPBACK))
        return host.get("host"), int(host.get("port"))

    def of(self, sid, requester=None, target=None):
        return socks.name(sid, (requester or self.requester).jid, (target or self.target).jid)

    def go(self, sid, address, **options):
        sock = socks.connect(address, self.of(sid), **options)
        self.addCleanup(sock.close)
        return sock

    def activate(self, sid, peer=None, target=None):
        return (peer or self.requester).ask(FILES, activation(sid, target or self.target.jid))

    def assertResult(self, answer):
        self.assertEqual((answer.get("type"), len(answer)), ("result", 0), answer.find("{*}error"))

    def assertRefused(self, answer, *told):
        self.assertEqual(answer.get("type"), "error")
        self.assertEqual(condition(answer), told)

    def assertCarries(self, source, sink, size=SIZE):
        body = os.urandom(size)
        sending = threading.Thread(target=source.sendall, args=(body,), daemon=True)
        sending.start()
        self.assertEqual(socks.exactly(sink, size), body)
        sending.join()

    def joined(self, gateway, sid, first="target"):
        """(the requester's socket, the target's) of a stream that is joined."""
        address = self.address()
        first, second = self.go(sid, address), self.go(sid, address)
        self.assertResult(self.activate(sid))
        return (second, first) if first == "target" else (first, second)

    # ---- the address

    def test_row_63_only_who_may_use_it_is_told_the_address(self):
        self.gateway(PROXY_ALLOW=f"bob@{DOMAIN},c*@{DOMAIN},!carol@{DOMAIN}")
        self.address()
        for user in "carol", "alice":
            self.assertRefused(self.peer(user).ask(FILES, QUERY, "get"), "auth", "forbidden")

    def test_row_64_a_query_leaves_nothing_behind(self):
        gateway = self.gateway(False)
        gateway.environment["ASAN_OPTIONS"] = "detect_leaks=1:quarantine_size_mb=1"
        gateway.start()
        self.ask_often(1000)  # what is allocated once
        before = gateway.peak_memory()
        self.ask_often(10000)
        self.assertLess(gateway.peak_memory() - before, 4 * MIB)
        self.address(self.target)  # others are answered

    def ask_often(self, count):
        for first in range(0, count, 100):
            for n in range(first, first + 100):
                self.requester.iq("get", FILES, f"<query xmlns='{NS_BYTESTREAMS}' sid='s{n}'/>", f"often{n}")
            for n in range(first, first + 100):
                self.requester.take(lambda stanza, n=n: stanza.get("id") == f"often{n}", f"answer {n}")

    # ---- meeting

    def test_row_65_two_who_meet_are_joined_both_ways(self):
        gateway = self.gateway()
        address = self.address()
        there, here = self.go("s", address), self.go("s", address)
        self.assertEqual(gateway.get("/v1/proxy/sessions").json["waiting"], 2)
        self.assertResult(self.activate("s"))
        self.assertCarries(here, there)
        self.assertCarries(there, here)
        told = gateway.get("/v1/proxy/sessions").json
        self.assertEqual([(one["requester"], one["target"]) for one in told["items"]],
                         [(self.requester.jid, self.target.jid)])
        self.assertEqual((told["waiting"], told["totals"]["streams"]), (0, 1))

    def test_row_66_who_comes_first_does_not_matter(self):
        self.gateway()
        address = self.address()
        here = self.go("s", address)  # the requester
        there = self.go("s", address, split=True)
        self.assertResult(self.activate("s"))
        self.assertCarries(here, there)
        self.assertCarries(there, here)

    def test_row_67_bytes_that_come_early_are_kept(self):
        self.gateway()
        address = self.address()
        there, here = self.go("s", address), self.go("s", address)
        here.sendall(b"early")
        self.assertEqual(select.select([there], [], [], 0.5)[0], [])
        self.assertResult(self.activate("s"))
        here.sendall(b" and late")
        self.assertEqual(socks.exactly(there, 14), b"early and late")

    def test_row_68_who_pushes_early_is_held_back(self):
        gateway = self.gateway()
        address = self.address()
        there, here = self.go("s", address), self.go("s", address)
        body, before = os.urandom(10 * MIB), gateway.peak_memory()
        sending = threading.Thread(target=here.sendall, args=(body,), daemon=True)
        sending.start()
        sending.join(1)
        self.assertTrue(sending.is_alive())
        self.assertLess(gateway.peak_memory() - before, 2 * MIB)
        self.assertResult(self.activate("s"))
        self.assertEqual(socks.exactly(there, len(body)), body)

    def test_row_75_a_side_that_goes_may_come_again(self):
        self.gateway()
        address = self.address()
        self.go("s", address).close()
        there, gone = self.go("s", address), self.go("s", address)
        gone.close()
        here = self.come_again("s", address)
        self.assertResult(self.activate("s"))
        self.assertCarries(here, there)

    def come_again(self, sid, address):
        """As soon as the proxy has seen the other one go."""
        deadline = time.monotonic() + socks.SECONDS
        while True:
            try:
                return self.go(sid, address)
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise

    def test_row_77_a_side_waits_for_the_other_as_long_as_configured(self):
        self.gateway(PROXY_PAIR_TIMEOUT="4s")
        address = self.address()
        late, alone = self.go("late", address), self.go("alone", address)
        time.sleep(3)
        here = self.go("late", address)
        self.assertResult(self.activate("late"))
        self.assertCarries(here, late)
        self.assertTrue(socks.ended_empty(alone))
        self.assertRefused(self.activate("alone"), "cancel", "item-not-found")

    # ---- activation

    def test_row_69_one_side_is_not_enough(self):
        self.gateway()
        there = self.go("s", self.address())
        self.assertRefused(self.activate("s"), "cancel", "not-allowed")
        here = self.go("s", self.address())  # and nothing is lost by it
        self.assertResult(self.activate("s"))
        self.assertCarries(here, there)

    def test_row_70_a_stream_that_nobody_asked_for_is_not_found(self):
        self.gateway()
        self.assertRefused(self.activate("s"), "cancel", "item-not-found")

    def test_row_71_what_is_malformed_is_refused_as_that(self):
        self.gateway()
        for payload, told in (
                (f"<query xmlns='{NS_BYTESTREAMS}' sid='s'/>", "bad-request"),
                (f"<query xmlns='{NS_BYTESTREAMS}'><activate>{self.target.jid}</activate></query>", "bad-request"),
                (activation("s", "@@"), "jid-malformed")):
            with self.subTest(payload=payload):
                self.assertRefused(self.requester.ask(FILES, payload), "modify", told)

    def test_row_72_asking_twice_is_as_good_as_once(self):
        self.gateway()
        here, there = self.joined(None, "s")
        self.assertCarries(here, there)
        self.assertResult(self.activate("s"))
        self.assertCarries(here, there)

    def test_row_73_a_third_one_is_refused_and_changes_nothing(self):
        self.gateway()
        address = self.address()
        there, here = self.go("s", address), self.go("s", address)
        for _ in range(3):
            with self.assertRaisesRegex(ConnectionError, r"refused: b'\\x05\\x02"):
                self.go("s", address)
        self.assertResult(self.activate("s"))
        with self.assertRaisesRegex(ConnectionError, r"refused: b'\\x05\\x02"):
            self.go("s", address)
        self.assertCarries(here, there)

    def test_row_74_nobody_activates_what_another_asked_for(self):
        self.gateway()
        address = self.address()
        there, here = self.go("s", address), self.go("s", address)
        thief = self.peer("carol")
        self.assertRefused(self.activate("s", thief), "cancel", "item-not-found")
        self.assertRefused(self.activate("s", self.target, self.target.jid), "cancel", "item-not-found")
        self.assertResult(self.activate("s"))
        self.assertRefused(self.activate("s", thief), "cancel", "item-not-found")
        self.assertCarries(here, there)

    def test_row_78_one_stream_more_than_a_requester_may_have_is_refused_and_closed(self):
        self.gateway()
        streams = [self.joined(None, f"s{n}") for n in range(5)]
        address = self.address()
        there, here = self.go("more", address), self.go("more", address)
        self.assertRefused(self.activate("more"), "wait", "resource-constraint")
        self.assertTrue(socks.ended_empty(there))
        self.assertTrue(socks.ended_empty(here))
        for here, there in streams:
            self.assertCarries(here, there, 1000)

    def test_row_78_a_stream_ends_when_the_hours_bytes_are_used_up(self):
        gateway = self.gateway(PROXY_HOURLY_BYTES="1M")
        here, there = self.joined(None, "s")
        received = bytearray()
        feeding = threading.Thread(target=self.feed, args=(here,), daemon=True)
        feeding.start()
        with self.assertRaises(ConnectionResetError):
            while more := there.recv(65536):
                received += more
        self.assertGreaterEqual(len(received), MIB)
        self.assertRefused(self.activate("another"), "wait", "resource-constraint")
        self.assertEqual([line["outcome"] for line in gateway.logged("proxy.over")], ["quota_exceeded"])

    @staticmethod
    def feed(sock):
        try:
            while True:
                sock.sendall(bytes(65536))
                time.sleep(0.01)
        except OSError:
            pass

    def test_row_68_two_thousand_who_never_meet_anybody_keep_nobody_out(self):
        gateway = self.gateway()
        address, before = self.address(), gateway.peak_memory()
        refused = 0
        for n in range(2000):
            try:
                self.go(f"half{n}", address)
            except ConnectionError:
                refused += 1
        grown = gateway.peak_memory() - before
        waiting = gateway.get("/v1/proxy/sessions").json["waiting"]
        print(f"{waiting} wait, {refused} refused, {grown / waiting / 1024:.1f} KiB for each")
        self.assertEqual((waiting, refused), (64, 1936))  # of one address
        self.assertLess(grown, 8 * MIB)
        there, here = self.go("s", address, source="127.0.0.3"), self.go("s", address, source="127.0.0.3")
        self.assertResult(self.activate("s"))
        self.assertCarries(here, there)

    # ---- the end

    def test_row_76_what_was_sent_before_the_end_arrives_before_the_end(self):
        self.gateway()
        here, there = self.joined(None, "s")
        body = os.urandom(MIB)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        here.sendall(body)
        here.shutdown(socket.SHUT_WR)
        self.assertEqual(socks.receive(there), body)
        self.assertEqual(socks.receive(here), b"")

    # ---- whatever else

    def test_row_79_what_is_none_of_its_business_is_said_to_be(self):
        self.gateway()
        for kind in "get", "set":
            self.assertRefused(self.requester.ask(FILES, "<query xmlns='urn:example:unknown'/>", kind), "cancel",
                               "service-unavailable")
        self.assertRefused(
            self.requester.ask(FILES, f"<query xmlns='{NS_BYTESTREAMS}' sid='s'><streamhost jid='{self.requester.jid}' "
                                      f"host='{LOOPBACK}' port='1'/></query>"), "modify", "not-acceptable")
        self.requester.send(f"<message to='{FILES}' type='chat'><body>hello</body></message>")
        self.requester.send(f"<presence to='{FILES}' type='probe'/>")
        self.address()

    def test_row_119_who_asks_all_the_time_keeps_nobody_out(self):
        gateway = self.gateway()
        here, there = self.joined(None, "s")
        for n in range(2000):
            self.requester.iq("set", FILES, activation("x", self.target.jid), f"many{n}")
        answers = {"resource-constraint": 0, "item-not-found": 0}
        other = self.peer("carol")
        self.address(other)
        for n in range(2000):
            answer = self.requester.take(lambda stanza, n=n: stanza.get("id") == f"many{n}", f"answer {n}", 60)
            answers[condition(answer)[1]] += 1
        self.assertGreater(answers["resource-constraint"], 1000)
        self.assertCarries(here, there)
        self.assertEqual(gateway.get("/v1/proxy/sessions").json["totals"]["refused"].get("rate_limited"),
                         answers["resource-constraint"])


class ProxyAtEjabberd(Proxy):
    server_name = "ejabberd"
