"""Event streams: what happens to transfers is told as it happens, in order, once; and to those it concerns."""
import hashlib
import json
import os
import re
import resource
import selectors
import socket
import time
import urllib.parse
from pathlib import Path

from case import DIRECT, QUICK, Case
from lab import DOMAIN, LOOPBACK, wait_until
from test_tokens import Commands

CLIENTS = 5000
AGAIN = {"DELIVERY_BACKOFF": "200ms", "XMPP_RECONNECT_MIN": "200ms", "XMPP_RECONNECT_MAX": "500ms"}


class Stream:
    """A reader of server-sent events: the fields of one event at a time, comments beside them."""

    def __init__(self, gateway, target, last=None, headers=None, seconds=60):
        self.connection = gateway.connection(seconds)
        headers = {"Accept": "text/event-stream", **(headers or {})}
        if last:
            headers["Last-Event-ID"] = last
        self.connection.request("GET", target, headers=headers)
        self.response = self.connection.getresponse()
        self.status, self.comments, self.last = self.response.status, [], last

    def event(self):
        """The next one, its data read as JSON; None: the stream is over."""
        fields = {}
        while line := self.response.readline().decode():
            line = line.rstrip("\n")
            if line.startswith(":"):
                self.comments.append(line)
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                self.last = fields["id"]
                body = json.loads(fields["data"])
                return {**fields, "body": body, "transfer": body["data"].get("transfer")}
            else:
                self.retry, fields = fields.get("retry"), {}
        return None

    def until(self, kind):
        """Everything up to the first of that kind."""
        told = []
        while not told or told[-1]["event"] != kind:
            event = self.event()
            if event is None:
                raise AssertionError(f"the stream ended before {kind}: {[e['event'] for e in told]}")
            told.append(event)
        return told

    def rest(self):
        told = []
        while event := self.event():
            told.append(event)
        return told

    def close(self):
        self.connection.close()


def course(events):
    """Their types in order, a row of progress as one."""
    types = [event["event"].partition(".")[2] for event in events]
    return [kind for i, kind in enumerate(types) if i == 0 or kind != types[i - 1] or kind != "progress"]


class Events(Commands, Case):
    settings = {**DIRECT, **QUICK}
    weight = 2

    def stream(self, gateway, target="/v1/events", **options):
        stream = Stream(gateway, target, **options)
        self.addCleanup(stream.close)
        self.assertEqual(stream.status, 200)
        return stream

    def assertWellFormed(self, events):
        for event in events:
            self.assertEqual(event["body"]["type"], event["event"])
            self.assertRegex(event["body"]["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertRegex(event["id"], r"^[0-9a-f]{8}-\d+$")
        numbers = [int(event["id"].partition("-")[2]) for event in events]
        self.assertEqual(numbers, sorted(numbers))

    def test_a_delivery_is_told_in_order_and_its_end_is_what_a_look_tells(self):
        gateway, peer = self.gateway(), self.recipient("alice")
        every = self.stream(gateway)
        body = os.urandom(1 << 20)
        identifier = gateway.put(peer.jid, body).json["id"]
        one = self.stream(gateway, f"/v1/transfers/{identifier}/events")
        events = every.until("transfer.delivered")
        self.assertEqual(course(events), ["created", "offered", "accepted", "progress", "delivered"])
        self.assertWellFormed(events)
        self.assertEqual({event["transfer"]["id"] for event in events}, {identifier})
        self.assertEqual(events[-1]["transfer"], gateway.transfer(identifier))
        self.assertEqual(peer.wait("file")["sha256"], hashlib.sha256(body).hexdigest())
        own = one.rest()
        self.assertEqual(own[-1]["event"], "transfer.delivered")
        self.assertEqual(one.retry, "3000")
        self.assertLessEqual(len(own), len(events))

    def test_what_fails_is_held_or_cancelled_is_told_as_that(self):
        gateway = self.gateway(DELIVERY_HOLD="1h")
        every = self.stream(gateway)
        identifier = gateway.put(f"carol@{DOMAIN}", b"x").json["id"]
        self.assertEqual(course(every.until("transfer.held")), ["created", "offered", "held"])
        gateway.request("DELETE", f"/v1/transfers/{identifier}")
        self.assertEqual(course(every.until("transfer.cancelled")), ["cancelled"])
        refusing = self.recipient("bob", "--behave", "decline")
        gateway.put(refusing.jid, b"x", methods="si-s5b")
        failed = every.until("transfer.failed")
        self.assertEqual(course(failed), ["created", "offered", "failed"])
        self.assertEqual(failed[-1]["transfer"]["error"]["code"], "recipient_declined")

    def test_who_asks_for_a_label_is_told_of_what_is_marked_so(self):
        gateway, peer = self.gateway(), self.recipient("alice")
        marked = self.stream(gateway, "/v1/events?label=job:nightly&label=n:1")
        self.assertFailed(gateway.get("/v1/events?label=nightly"), 422, "parameter_invalid")
        gateway.put(peer.jid, b"x", label="job:nightly", wait=30)
        both = gateway.request("PUT", gateway.target(peer.jid, "a.txt", wait=30) + "&label=job:nightly&label=n:1", b"y")
        told = marked.until("transfer.delivered")
        self.assertEqual({event["transfer"]["id"] for event in told}, {both.json["id"]})

    def test_progress_comes_twice_a_second_at_most(self):
        gateway = self.gateway()
        peer = self.recipient("alice", "--behave", "hold")
        every = self.stream(gateway, "/v1/events?type=transfer.progress,transfer.delivered")
        began = time.monotonic()
        gateway.put(peer.jid, bytes(32 << 20))
        peer.wait("begun")
        peer.command("go")
        events = every.until("transfer.delivered")
        self.assertLessEqual(len(events), 3 + 2 * (time.monotonic() - began))
        sent = [event["transfer"]["progress"]["sent"] for event in events]
        self.assertEqual(sent, sorted(sent))
        self.assertEqual(sent[-1], 32 << 20)

    def test_who_comes_back_gets_what_was_missed_and_is_told_when_that_was_all(self):
        gateway, peer = self.gateway(), self.recipient("alice")
        identifier = gateway.put(peer.jid, b"hello", wait=30).json["id"]
        target = f"/v1/transfers/{identifier}/events"
        run = self.stream(gateway, target).event()["id"].partition("-")[0]
        missed = self.stream(gateway, target, last=f"{run}-0").rest()
        self.assertEqual(course(missed), ["created", "offered", "accepted", "delivered"])
        again = self.stream(gateway, target + "?last_event_id=" + missed[1]["id"]).rest()
        self.assertEqual([event["id"] for event in again], [event["id"] for event in missed[2:]])
        over = Stream(gateway, target, last=missed[-1]["id"])
        self.assertEqual(over.status, 204)
        over.close()

    def test_after_a_restart_the_reader_is_told_of_the_gap_and_how_things_are(self):
        gateway = self.gateway(DELIVERY_HOLD="1h")
        identifier = gateway.put(f"carol@{DOMAIN}", b"x").json["id"]
        target = f"/v1/transfers/{identifier}/events"
        gateway.wait_state(identifier, "held")
        before = self.stream(gateway, target)
        before.until("transfer.held")
        gateway.stop()
        self.assertIsNone(before.event())
        gateway.start()
        after = self.stream(gateway, target, last=before.last)
        gap, state = after.event(), after.event()
        self.assertEqual((gap["event"], state["event"]), ("reset", "transfer.held"))
        self.assertNotEqual(gap["id"].partition("-")[0], before.last.partition("-")[0])
        every = self.stream(gateway, last=before.last)
        self.assertEqual(every.event()["event"], "reset")
        gateway.request("DELETE", f"/v1/transfers/{identifier}")
        self.assertEqual(course(every.until("transfer.cancelled")), ["cancelled"])
        self.assertEqual(course(after.rest()), ["cancelled"])

    def test_a_token_is_told_of_its_own_transfers_alone(self):
        gateway = self.gateway(start=False)
        tokens = {name: self.create(gateway, name, "--scopes", scopes)
                  for name, scopes in (("one", "send,events"), ("two", "send,events"), ("boss", "read:all,events"),
                                       ("deaf", "send,read"))}
        gateway.headers = tokens["boss"]
        gateway.start()
        peer = self.recipient("alice")
        streams = {name: self.stream(gateway, headers=tokens[name]) for name in ("one", "two", "boss")}
        ids = {name: gateway.put(peer.jid, name.encode(), headers=tokens[name], wait=30).json["id"]
               for name in ("two", "one")}
        for name in ("one", "two"):
            told = streams[name].until("transfer.delivered")
            self.assertEqual({event["transfer"]["id"] for event in told}, {ids[name]})
        told = streams["boss"].until("transfer.delivered") + streams["boss"].until("transfer.delivered")
        self.assertEqual({event["transfer"]["id"] for event in told}, set(ids.values()))
        target = f"/v1/transfers/{ids['two']}/events"
        self.assertFailed(gateway.get(target, headers=tokens["one"]), 404, "not_found")
        self.assertFailed(gateway.get(target, headers=tokens["deaf"]), 403, "scope_missing")

    def test_the_session_comes_and_goes(self):
        cable = self.cable()
        gateway = self.gateway(**AGAIN, XMPP_PORT=str(cable.port))
        every = self.stream(gateway, "/v1/events?type=xmpp.connected,xmpp.disconnected")
        cable.cut()
        lost = every.event()
        self.assertEqual((lost["event"], lost["body"]["data"]["xmpp"]["online"]), ("xmpp.disconnected", False))
        cable.mend()
        found = every.event()
        self.assertEqual((found["event"], found["body"]["data"]["xmpp"]["online"]), ("xmpp.connected", True))

    def test_a_long_poll_tells_each_change(self):
        gateway = self.gateway(DELIVERY_HOLD="1h")
        identifier = gateway.put(f"carol@{DOMAIN}", b"x").json["id"]
        gateway.wait_state(identifier, "held")
        target = f"/v1/transfers/{identifier}"
        known = gateway.get(target).headers["etag"]
        same = gateway.get(target + "?wait=1", headers={"If-None-Match": known})
        while same.status == 200:  # a step of its own is a change, too
            known = same.headers["etag"]
            same = gateway.get(target + "?wait=1", headers={"If-None-Match": known})
        self.assertEqual((same.status, same.body), (304, b""))
        self.recipient("carol")
        states, deadline = [], time.monotonic() + 30
        while not states or states[-1] != "delivered":
            self.assertLess(time.monotonic(), deadline, states)
            answer = gateway.get(target + "?wait=30", headers={"If-None-Match": known})
            self.assertEqual(answer.status, 200)
            self.assertNotEqual(answer.headers["etag"], known)
            known = answer.headers["etag"]
            states.append(answer.json["state"])

    def test_a_head_of_a_stream_has_no_body_at_all(self):
        gateway = self.gateway()
        identifier = gateway.put(f"nobody@{DOMAIN}", b"abc").json["id"]
        for target in "/v1/events", f"/v1/transfers/{identifier}/events":
            with socket.create_connection((LOOPBACK, gateway.port), 10) as connection:
                connection.sendall(f"HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                said = b"".join(iter(lambda: connection.recv(4096), b""))
            self.assertRegex(said, b"^HTTP/1.1 200 ")
            self.assertIn(b"\r\nContent-Type: text/event-stream\r\n", said)
            self.assertEqual(said.partition(b"\r\n\r\n")[2], b"")

    def test_readers_leave_room_for_those_who_send(self):
        gateway = self.gateway(HTTP_MAX_CONNECTIONS="16", HTTP_MAX_CONNECTIONS_PER_ADDRESS="16")
        readers = [self.stream(gateway) for _ in range(14)]
        answer = gateway.get("/v1/events")
        self.assertFailed(answer, 429, "rate_limited")
        self.assertIn("retry-after", answer.headers)
        self.assertEqual(gateway.put(f"nobody@{DOMAIN}", b"abc").status, 202)
        readers[0].close()
        wait_until(lambda: b"\njidpost_sse_clients 13\n" in gateway.get("/metrics").body, 10, "one reader less")
        self.stream(gateway)

    def test_silence_is_broken_by_a_comment_every_fifteen_seconds(self):
        gateway = self.gateway()
        every = self.stream(gateway, "/v1/events?type=transfer.delivered")
        began = time.monotonic()
        line = every.response.readline() and every.response.readline() and every.response.readline()
        self.assertEqual(line, b": ping\n")
        self.assertTrue(14 <= time.monotonic() - began <= 25, time.monotonic() - began)


class Crowd(Case):
    """Many who follow, while nothing happens."""
    weight = 4

    def connect(self, gateway, targets):
        request = "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        selector, sockets = selectors.DefaultSelector(), []
        self.addCleanup(lambda: [each.close() for each in sockets])
        waiting = 0
        for target in targets:
            each = socket.create_connection((LOOPBACK, gateway.port), 30)
            each.sendall(request.format(target).encode())
            sockets.append(each)
            selector.register(each, selectors.EVENT_READ)
            waiting += 1
        deadline = time.monotonic() + 120
        while waiting:
            self.assertLess(time.monotonic(), deadline, f"{waiting} of {len(sockets)} without an answer")
            for key, _ in selector.select(5):
                if b"retry: 3000" in key.fileobj.recv(65536):
                    selector.unregister(key.fileobj)
                    waiting -= 1
        selector.close()
        return sockets

    def memory(self, gateway):
        status = Path(f"/proc/{gateway.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def processor(self, gateway):
        fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_five_thousand_idle_readers_cost_little(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CLIENTS + 1000:
            self.skipTest(f"{hard} descriptors are too few for {CLIENTS} clients")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        gateway = self.gateway(HTTP_MAX_CONNECTIONS=str(CLIENTS + 500), LOG_LEVEL="info", DELIVERY_HOLD="1h",
                               HTTP_MAX_CONNECTIONS_PER_ADDRESS=str(CLIENTS + 500))
        identifier = gateway.put(f"carol@{DOMAIN}", b"x").json["id"]
        gateway.wait_state(identifier, "held")
        before = self.memory(gateway)
        sockets = self.connect(gateway, ["/v1/events?type=transfer.delivered"] * (CLIENTS - 100) + [
            "/v1/events?" + urllib.parse.urlencode({"to": f"carol@{DOMAIN}"})] * 100)
        each = (self.memory(gateway) - before) / CLIENTS
        self.assertIn(f"\njidpost_sse_clients {CLIENTS}\n".encode(), gateway.get("/metrics").body)
        began, busy = time.monotonic(), self.processor(gateway)
        time.sleep(10)  # what is measured
        busy, seconds = self.processor(gateway) - busy, time.monotonic() - began
        print(f"{CLIENTS} idle event streams ({gateway.program.parent.name}): {each / 1024:.1f} KiB each, "
              f"{busy:.2f} s of processor time in {seconds:.0f} s")
        self.assertLess(each, 64 * 1024)
        self.assertLess(busy, 5)
        gateway.request("DELETE", f"/v1/transfers/{identifier}")
        for reader in sockets[-100:]:
            text = b""
            while b"event: transfer.cancelled" not in text:
                piece = reader.recv(65536)
                self.assertTrue(piece, text)
                text += piece
        for reader in sockets:
            reader.close()
        wait_until(lambda: len(os.listdir(f"/proc/{gateway.process.pid}/fd")) < 500, 60, "the end of all streams")
        self.assertIn(b"\njidpost_sse_clients 0\n", gateway.get("/metrics").body)
