"""The front of the gateway: heads that two readers could read differently, slow callers and crowds, the socket that is
a file, and the caller behind a proxy."""
import contextlib
import http.client
import os
import re
import socket
import stat
import subprocess
import threading
import time

from case import Case, DIRECT
from lab import DOMAIN, LOOPBACK, Ports, wait_until

HOST = b"Host: localhost\r\n"
PUT = b"PUT /v1/to/alice@localhost/a HTTP/1.1\r\n" + HOST
GET = b"GET /v1 HTTP/1.1\r\n" + HOST
CHUNKED = PUT + b"Transfer-Encoding: chunked\r\n"
BEHIND = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"  # what a smuggler wants to be read
TOKEN = "0123456789abcdef"
BEARER = {"Authorization": "Bearer " + TOKEN}

# What it is, the bytes, and what comes: that status and the end, with BEHIND unread.
DOUBTFUL = (
    ("a length beside chunks", PUT + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunks beside a length", CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n", 400),
    ("two lengths", PUT + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    ("two different lengths", PUT + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    ("a list of lengths", PUT + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    ("a length with a sign", PUT + b"Content-Length: +3\r\n\r\nabc", 400),
    ("a negative length", PUT + b"Content-Length: -3\r\n\r\nabc", 400),
    ("a hexadecimal length", PUT + b"Content-Length: 0x3\r\n\r\nabc", 400),
    ("an empty length", PUT + b"Content-Length:\r\n\r\nabc", 400),
    ("a length and more", PUT + b"Content-Length: 3 4\r\n\r\nabc", 400),
    ("a length beyond 64 bits", PUT + b"Content-Length: 18446744073709551619\r\n\r\nabc", 413),
    ("another encoding", PUT + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    ("no encoding at all", PUT + b"Transfer-Encoding: identity\r\n\r\n", 400),
    ("two encodings in one", PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ("two encodings", CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a vertical tab before it", PUT + b"Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400),
    ("quotes around it", PUT + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    ("chunks in HTTP/1.0", CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n", 400),
    ("a space before the colon", PUT + b"Content-Length : 3\r\n\r\nabc", 400),
    ("a tab before the colon", PUT + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a space before Host's", b"GET /v1 HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    ("a chunk of no size", CHUNKED + b"\r\n\r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk of no number", CHUNKED + b"\r\nzz\r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk of 0x3", CHUNKED + b"\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk of -3", CHUNKED + b"\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk of +3", CHUNKED + b"\r\n+3\r\nabc\r\n0\r\n\r\n", 400),
    ("a space before a chunk's size", CHUNKED + b"\r\n 3\r\nabc\r\n0\r\n\r\n", 400),
    ("a space behind a chunk's size", CHUNKED + b"\r\n3 \r\nabc\r\n0\r\n\r\n", 400),
    ("a chunk beyond 64 bits", CHUNKED + b"\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", 413),
    ("a chunk longer than it says", CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    ("a chunk that ends with CR", CHUNKED + b"\r\n3\rXabc\r\n0\r\n\r\n", 400),
    ("a folded length", PUT + b"Content-Length:\r\n 3\r\n\r\nabc", 400),
    ("a folded encoding", PUT + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    ("a folded line that looks like a length", PUT + b"X-A: b\r\n Content-Length: 3\r\n\r\nabc", 400),
    ("any folded line", GET + b"X-A: b\r\n c\r\n\r\n", 400),
    ("a folded line of one word", GET + b"X-A:\r\n\tc\r\n\r\n", 400),
    ("a folded first line", b"GET /v1 HTTP/1.1\r\n Host: localhost\r\n" + HOST + b"\r\n", 400),
    ("a NUL in a value", GET + b"X-A: b\0c\r\n\r\n", 400),
    ("NULs like a line's end", GET + b"X-A: b\0\0Content-Length: 3\r\n\r\n", 400),
    ("a NUL in a name", GET + b"X-\0A: b\r\n\r\n", 400),
    ("a NUL in the length", PUT + b"Content-Length: 3\0 0\r\n\r\nabc", 400),
    ("a NUL in the encoding", PUT + b"Transfer-Encoding: chunked\0x\r\n\r\n0\r\n\r\n", 400),
    ("a NUL in the host", b"GET /v1 HTTP/1.1\r\nHost: localhost\0.evil.example\r\n\r\n", 400),
    ("a NUL in the target", b"GET /v1\0/x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a NUL in the method", b"G\0ET /v1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("line feeds alone", b"GET /v1 HTTP/1.1\nHost: localhost\n\n", 400),
    ("a line feed in a value", PUT + b"X-A: b\nContent-Length: 3\r\n\r\nabc", 400),
    ("a line feed at the end", GET + b"X-A: b\r\n\n", 400),
    ("a carriage return in a value", GET + b"X-A: b\rContent-Length: 3\r\n\r\n", 400),
    ("two of them at the end", GET + b"X-A: b\r\r\n\r\n", 400),
    ("one in a name", GET + b"X-\rA: b\r\n\r\n", 400),
    ("one in the first line", b"GET /v1 HTTP/1.1\rHost: localhost\r\n\r\n", 400),
    ("a control character in a value", GET + b"X-A: \x01\r\n\r\n", 400),
    ("no name", GET + b": b\r\n\r\n", 400),
    ("no colon", GET + b"X-A\r\n\r\n", 400),
    ("no host", b"GET /v1 HTTP/1.1\r\n\r\n", 400),
    ("two hosts", GET + HOST + b"\r\n", 400),
    ("two spaces", b"GET  /v1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a space in the target", b"GET /v1 /x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a method with an equals sign", b"G=T /v1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("%00 in the target", b"GET /v1%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("half an escape", b"GET /v1%4 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a fragment", b"GET /v1#x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("no path", b"GET v1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("another scheme", b"GET ftp://localhost/v1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a target without a host", b"GET http:///v1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("a tunnel", b"CONNECT localhost:25 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("no version", b"GET /v1\r\n\r\n", 400),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("a target of 200 kB", b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    ("a header of 200 kB", GET + b"X-A: " + b"a" * 200000 + b"\r\n\r\n", 431),
    ("20,000 headers", GET + b"A: b\r\n" * 20000 + b"\r\n", 431),
)

# These end where everybody sees them end: their status, and then the answer to BEHIND.
CLEAR = (
    ("another host in the target", b"GET http://evil.example/v1 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("another host in the header", b"GET http://localhost/v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
    ("the same in both", b"GET http://localhost/v1 HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    ("a foreign host", b"GET /v1 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    ("an empty host", b"GET /v1 HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("two hosts in one", b"GET /v1 HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n", 400),
    ("a host with a path", b"GET /v1 HTTP/1.1\r\nHost: localhost/evil\r\n\r\n", 400),
    ("a host with a user", b"GET /v1 HTTP/1.1\r\nHost: evil@localhost\r\n\r\n", 400),
    ("upwards", b"GET /v1/../v1 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("upwards, in escapes", b"GET /v1/%2e%2e/v1 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("nowhere", b"GET /./v1 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("a slash in an escape", b"GET /v1%2fxmpp HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("an escape in an escape", b"GET /v1%252fxmpp HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("a backslash", b"GET /v1\\xmpp HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("a host as the path", b"GET //localhost/v1 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("a file name upwards", PUT.replace(b"/a ", b"/..%2f..%2fetc ") + b"Content-Length: 0\r\n\r\n", 422),
    ("letters in escapes", b"GET /%76%31 HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    ("a long target", b"GET /" + b"a" * 30000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("a long header", GET + b"X-A: " + b"a" * 30000 + b"\r\n\r\n", 200),
    ("many headers", GET + b"X-A: b\r\n" * 300 + b"\r\n", 200),
    ("spaces around a value, and none", GET + b"X-A: \t b \t\r\nX-B:\r\nX-C:c\r\n\r\n", 200),
    ("letters beyond ASCII", GET + "X-A: ü\r\n\r\n".encode(), 200),
    ("an empty line before it", b"\r\n" + GET + b"\r\n", 200),
    ("a query, escapes and a cookie",
     b"GET /v1/transfers?limit=1&to=a%40b HTTP/1.1\r\nCookie: a=b; c=d\r\n" + HOST + b"\r\n", 200),
    ("a body where none belongs", GET + b"Content-Length: 5\r\n\r\nabcde", 200),
    ("another protocol", GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
    ("an extension and a trailer", CHUNKED + b"\r\n3;a=b\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n", 202),
)


class Heads(Case):
    settings = DIRECT

    def say(self, gateway, request):
        """All that comes back, until the end of the connection."""
        said = b""
        with socket.create_connection((LOOPBACK, gateway.port), 20) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request + BEHIND)
            with contextlib.suppress(ConnectionError):
                while data := connection.recv(65536):
                    said += data
        return said

    def cut(self, gateway, request, at):
        """The same, the head in two pieces."""
        said = b""
        with socket.create_connection((LOOPBACK, gateway.port), 20) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(ConnectionError):
                connection.sendall(request[:at])
                time.sleep(0.01)  # so that they are two for the gateway too; either way the answer is the same
                connection.sendall(request[at:] + BEHIND)
            with contextlib.suppress(ConnectionError):
                while data := connection.recv(65536):
                    said += data
        return said

    @staticmethod
    def alive(said):
        return said.count(b'{"status":"ok"}')

    def test_after_a_doubtful_head_or_body_nothing_more_is_read(self):
        gateway = self.gateway()
        for what, request, status in DOUBTFUL:
            with self.subTest(what):
                said = self.say(gateway, request)
                self.assertRegex(said, b"^HTTP/1.1 %d " % status)
                self.assertEqual(self.alive(said), 0, said)
        self.assertEqual(gateway.get("/v1/transfers").json["items"], [])

    def test_what_cannot_be_a_request_is_no_two_either(self):
        gateway = self.gateway()
        for request in b"GET\t/v1\tHTTP/1.1\r\n" + HOST + b"\r\n", b" " + GET + b"\r\n", b"\0" + GET + b"\r\n":
            with self.subTest(request):
                self.assertEqual(self.alive(self.say(gateway, request)), 0)

    def test_a_chunk_without_end_is_one_request(self):
        gateway = self.gateway(HTTP_MIN_RATE_WINDOW="1s")
        said = self.say(gateway, CHUNKED + b"\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n")
        self.assertRegex(said, b"^HTTP/1.1 408 ")
        self.assertEqual(self.alive(said), 0)

    def test_a_clear_end_is_one(self):
        gateway = self.gateway()
        for what, request, status in CLEAR:
            with self.subTest(what):
                said = self.say(gateway, request)
                self.assertEqual([int(s) for s in re.findall(rb"HTTP/1\.1 (\d+) ", said)], [status, 200], said)
                self.assertEqual(self.alive(said), 1)

    def test_a_head_means_the_same_wherever_tcp_cuts_it(self):
        gateway = self.gateway()
        good = GET + b"X-A: b\r\nX-B:\tc\r\n\r\n"
        bad = GET + b"X-A: b\nX-B: c\r\n\r\n"
        for at in range(1, len(bad)):
            self.assertEqual(self.alive(self.cut(gateway, bad, at)), 0, at)
        for at in range(1, len(good)):
            said = self.cut(gateway, good, at)
            self.assertRegex(said, b"^HTTP/1.1 200 ", at)
            self.assertEqual(self.alive(said), 1, at)


    def test_who_hangs_up_right_behind_a_head_is_noticed(self):
        """The end of a connection may come with the head in one read of the library."""
        gateway = self.gateway()
        upload = gateway.request("POST", "/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9"})
        for head in (f"PUT /v1/to/alice@{DOMAIN}/a", f"PATCH {upload.headers['location']}"):
            for n in range(20):
                with socket.create_connection((LOOPBACK, gateway.port)) as connection:
                    connection.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
                                       "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
                                       "Content-Type: application/offset+octet-stream\r\n\r\n".encode())
                event = "http.upload_broken" if head.startswith("PATCH") else "http.upload_dropped"
                wait_until(lambda: len(gateway.logged(event)) == n + 1, 5, f"{event}, {n + 1} times")


class Slow(Case):
    settings = {**DIRECT, "HTTP_HEADER_TIMEOUT": "1s", "HTTP_MIN_RATE_WINDOW": "2s"}

    def connect(self, gateway, data=b""):
        connection = socket.create_connection((LOOPBACK, gateway.port), 20)
        self.addCleanup(connection.close)
        connection.sendall(data)
        return connection

    def rest(self, connection):
        said = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                said += data
        return said

    def drip(self, connection, data, pause=0.2):
        """A byte at a time until the gateway has enough; what it said."""
        with contextlib.suppress(ConnectionError):
            for byte in data:
                connection.sendall(bytes([byte]))
                connection.settimeout(pause)
                with contextlib.suppress(TimeoutError):
                    if said := connection.recv(65536):
                        connection.settimeout(20)
                        return said + self.rest(connection)
                    return b""
        return b""

    def assertTooSlow(self, said, stage):
        self.assertRegex(said, b"^HTTP/1.1 408 ")
        self.assertEqual(said.count(b"HTTP/1.1 "), 1, said)
        for part in (b'"code":"request_timeout"', b'"stage":"%s"' % stage, b"application/problem+json",
                     b"Connection: close"):
            self.assertIn(part, said)

    def test_a_header_that_does_not_come_is_not_waited_for(self):
        gateway = self.gateway()
        for what, begun in ("nothing", b""), ("half a line", b"GET /v"), ("half a head", GET + b"X-A"):
            with self.subTest(what):
                self.assertTooSlow(self.rest(self.connect(gateway, begun)), b"request")
        self.assertTooSlow(self.drip(self.connect(gateway), GET + b"X-A: b\r\n\r\n"), b"request")
        self.assertTrue(gateway.logged("http.too_slow"))

    def test_a_kept_connection_is_closed_without_a_word(self):
        gateway = self.gateway()
        connection = http.client.HTTPConnection(LOOPBACK, gateway.port, timeout=20)
        self.addCleanup(connection.close)
        for _ in range(8):  # 1.6 s, but never one of silence
            connection.request("GET", "/livez")
            self.assertEqual(connection.getresponse().read(), b'{"status":"ok"}\n')
            time.sleep(0.2)  # is what is asked
        self.assertEqual(connection.sock.recv(100), b"")

    def test_a_body_that_hardly_comes_is_refused_and_leaves_nothing(self):
        gateway = self.gateway()
        for head in PUT + b"Content-Length: 100000\r\n\r\n", CHUNKED + b"\r\n186a0\r\n":
            with self.subTest(head):
                self.assertTooSlow(self.drip(self.connect(gateway, head), b"x" * 100), b"upload")
        self.assertTooSlow(self.rest(self.connect(gateway, PUT + b"Content-Length: 100000\r\n\r\nabc")), b"upload")
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")
        wait_until(lambda: [line["status"] for line in gateway.logged("http.request") if line["method"] == "PUT"] ==
                   [408, 408, 408], 10, "three lines of the log")

    def test_a_body_that_comes_fast_enough_may_take_its_time(self):
        gateway = self.gateway()
        connection = self.connect(gateway, PUT + b"Content-Length: 8192\r\nConnection: close\r\n\r\n")
        for _ in range(16):
            connection.sendall(bytes(512))
            time.sleep(0.3)  # 1.7 kB/s, for two windows
        self.assertRegex(self.rest(connection), b"^HTTP/1.1 202 ")

    def test_who_waits_for_the_recipient_is_not_slow(self):
        gateway = self.gateway(HTTP_MIN_RATE_WINDOW="1s", DELIVERY_OFFER_TIMEOUT="4s", DELIVERY_MAX_ATTEMPTS="1",
                               DELIVERY_METHODS="si-s5b")
        silent = self.recipient("bob", "--behave", "ignore")
        answer = gateway.put(silent.jid, bytes(100000), mode="stream")
        self.assertFailed(answer, 504, "recipient_timeout")

    def test_without_limits_a_slow_caller_is_served(self):
        gateway = self.gateway(HTTP_HEADER_TIMEOUT="0", HTTP_MIN_RATE="0")
        connection = self.connect(gateway)
        request = PUT + b"Content-Length: 20\r\nConnection: close\r\n\r\n" + bytes(20)
        for at in range(0, len(request), 4):
            connection.sendall(request[at:at + 4])
            time.sleep(0.15)  # 4 s
        self.assertRegex(self.rest(connection), b"^HTTP/1.1 202 ")

    def test_two_hundred_at_once_leave_the_others_in_peace(self):
        gateway = self.gateway()
        heads = [self.connect(gateway, GET) for _ in range(100)]
        bodies = [self.connect(gateway, PUT + b"Content-Length: 1000000\r\n\r\nx") for _ in range(100)]
        self.assertDelivered(gateway.put(self.recipient("alice").jid, b"meanwhile", wait=30))
        for connection in heads:
            self.assertTooSlow(self.rest(connection), b"request")
        for connection in bodies:
            self.assertTooSlow(self.rest(connection), b"upload")
        descriptors = f"/proc/{gateway.process.pid}/fd"
        wait_until(lambda: len(os.listdir(descriptors)) < 100, 10, "its descriptors back")


class Crowds(Case):
    settings = {**DIRECT, "HTTP_MAX_CONNECTIONS_PER_ADDRESS": "3"}

    def hold(self, gateway, source, data=b""):
        connection = socket.create_connection((LOOPBACK, gateway.port), 20, (source, 0))
        self.addCleanup(connection.close)
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        return connection

    def answered(self, connection):
        with contextlib.suppress(ConnectionError):
            connection.sendall(BEHIND)
            return connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        return False

    def test_an_address_has_so_many_connections_and_no_other_notices(self):
        gateway = self.gateway()
        held = [self.hold(gateway, "127.0.0.2", b"GET") for _ in range(3)]
        wait_until(lambda: not self.answered(self.hold(gateway, "127.0.0.2")), 10, "a fourth that is refused")
        self.assertEqual(gateway.get("/livez").status, 200)
        self.assertEqual(gateway.logged("http.crowded")[0]["addr"], "127.0.0.2")
        held.pop().close()
        wait_until(lambda: self.answered(self.hold(gateway, "127.0.0.2")), 10, "room again")

    def test_behind_a_proxy_a_caller_has_so_many_requests(self):
        gateway = self.gateway(HTTP_TRUSTED_PROXIES=LOOPBACK, HTTP_TOKEN=TOKEN)
        head = PUT + b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Length: 9\r\nX-Forwarded-For: "
        held = [self.hold(gateway, LOOPBACK, head + b"203.0.113.5\r\n\r\nx") for _ in range(3)]

        def ask(caller):
            return gateway.get("/v1", headers={**BEARER, "X-Forwarded-For": caller})
        wait_until(lambda: ask("203.0.113.5").status == 429, 10, "a fourth that is refused")
        self.assertFailed(ask("203.0.113.5"), 429, "rate_limited")
        self.assertEqual(ask("203.0.113.6").status, 200)
        held[0].sendall(b"12345678")
        self.assertRegex(held[0].recv(65536), b"^HTTP/1.1 202 ")
        self.assertEqual(ask("203.0.113.5").status, 200)


class Forwarded(Case):
    settings = {**DIRECT, "HTTP_TOKEN": TOKEN}

    def test_wrong_tokens_lock_out_the_caller_and_not_the_proxy(self):
        gateway = self.gateway(HTTP_TRUSTED_PROXIES="127.0.0.1")
        guess = {"Authorization": "Bearer wrong-wrong-wrong"}
        for _ in range(10):
            answer = gateway.get("/v1", headers={**guess, "X-Forwarded-For": "203.0.113.5"})
            self.assertFailed(answer, 401, "auth_invalid")
        for name, value, status in (("X-Forwarded-For", "203.0.113.5", 429),
                                    ("X-Forwarded-For", "198.51.100.1, 203.0.113.5", 429),
                                    ("X-Forwarded-For", "203.0.113.5, 198.51.100.1", 200),
                                    ("Forwarded", "for=203.0.113.5;proto=https", 429),
                                    ("Forwarded", 'for=203.0.113.5, for="[2001:db8::1]:80"', 200),
                                    ("X-Request-Id", "none-named", 200)):
            with self.subTest(value):
                self.assertEqual(gateway.get("/v1", headers={**BEARER, name: value}).status, status)
        wait_until(lambda: gateway.logged("http.request")[-1]["addr"] == LOOPBACK, 10, "the line of the last")
        self.assertIn("203.0.113.5", [line["addr"] for line in gateway.logged("http.request")])

    def test_of_others_the_headers_are_not_read(self):
        gateway = self.gateway(HTTP_TRUSTED_PROXIES="192.0.2.0/24 unix")
        for value in "203.0.113.5", "nonsense":
            headers = {**BEARER, "X-Forwarded-For": value, "Forwarded": value}
            self.assertEqual(gateway.get("/v1", headers=headers).status, 200)
        self.assertEqual({line["addr"] for line in gateway.logged("http.request")}, {LOOPBACK})

    def test_what_cannot_be_believed_is_refused(self):
        gateway = self.gateway(HTTP_TRUSTED_PROXIES="127.0.0.0/8")
        for headers in ({"X-Forwarded-For": "nonsense"}, {"Forwarded": 'for="203.0.113.5'},
                        {"X-Forwarded-For": "203.0.113.5", "Forwarded": "for=203.0.113.6"}):
            with self.subTest(headers):
                self.assertFailed(gateway.get("/v1", headers={**BEARER, **headers}), 400, "request_malformed")

    def test_without_a_token_no_proxy_is_trusted(self):
        gateway = self.gateway(start=False, HTTP_TRUSTED_PROXIES="127.0.0.1", HTTP_TOKEN="")
        self.assertRaisesRegex(AssertionError, "ended with 2", gateway.start)
        self.assertIn("need a token", gateway.log.read_text())
        gateway.process = None


class UnixSocket(Case):
    def setUp(self):
        super().setUp()
        self.settings = {**DIRECT, "HTTP_UNIX": str(self.directory / f"{len(self._testMethodName)}.sock")}
        self.at = self.settings["HTTP_UNIX"]

    def curl(self, *arguments):
        done = subprocess.run(["curl", "-sS", "--max-time", "60", "--unix-socket", self.at, *arguments],
                              capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def refused(self, **settings):
        """What a gateway says that does not start. The XMPP library loses a few bytes when it is stopped while it logs
        in, so here it has nobody to log in to."""
        gateway = self.gateway(start=False, XMPP_PORT=str(Ports.take()), **settings)
        gateway.expected_errors.add("start.failed")
        self.assertRaisesRegex(AssertionError, "ended with 8", gateway.start)
        gateway.process = None
        return gateway.logged("start.failed")[0]["error"]

    def test_files_go_over_it_as_over_the_address(self):
        peer, gateway = self.recipient("alice"), self.gateway()
        upload, digest = self.file(2000000)
        target = gateway.target(peer.jid, "a.bin", wait=30)
        self.curl("--fail-with-body", "-T", str(upload), "http://localhost" + target)
        peer.wait("file", sha256=digest, name="a.bin")
        self.assertDelivered(gateway.put(peer.jid, b"by the address", wait=30))
        wait_until(lambda: {line["addr"] for line in gateway.logged("http.request") if line["method"] == "PUT"} ==
                   {"unix", LOOPBACK}, 10, "a line of each")

    def test_it_may_be_the_only_way(self):
        peer, gateway = self.recipient("alice"), self.gateway(HTTP_LISTEN="off")
        self.assertIsNone(gateway.port)
        self.assertDelivered(gateway.put(peer.jid, bytes(200000), wait=30))
        self.assertEqual([line.get("addr") for line in gateway.logged("http.listening")], [None])

    def test_a_refusal_before_the_body_is_read_by_who_sends_all_the_same(self):
        gateway = self.gateway(HTTP_LISTEN="off")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(self.at)
            connection.sendall(PUT.replace(b"alice@localhost", b"@@") + b"Content-Length: 2000000\r\n\r\n")
            connection.sendall(bytes(2000000))
            self.assertRegex(connection.recv(65536), b"^HTTP/1.1 400 ")
        self.assertEqual(gateway.get("/livez").status, 200)

    def test_a_body_over_it_has_its_least_rate_too(self):
        self.gateway(HTTP_LISTEN="off", HTTP_MIN_RATE_WINDOW="1s", HTTP_HEADER_TIMEOUT="1s")
        for begun in GET, PUT + b"Content-Length: 9\r\n\r\nx":
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(20)
                connection.connect(self.at)
                connection.sendall(begun)
                self.assertRegex(connection.recv(65536), b"^HTTP/1.1 408 ")

    def test_it_has_its_mode_and_goes_with_the_gateway(self):
        for mode in "0660", "0600", "666":
            gateway = self.gateway(HTTP_UNIX_MODE=mode)
            self.assertEqual(stat.S_IMODE(os.stat(self.at).st_mode), int(mode, 8))
            gateway.stop()
            self.assertFalse(os.path.exists(self.at))

    def test_what_a_killed_gateway_left_is_replaced(self):
        gateway = self.gateway()
        gateway.kill()
        self.assertTrue(stat.S_ISSOCK(os.stat(self.at).st_mode))
        gateway.start()
        self.assertIn(b"ok", self.curl("http://localhost/livez"))

    def test_what_is_in_use_or_no_socket_stays(self):
        first = self.gateway()
        self.assertIn("another gateway", self.refused())
        self.assertIn(b"ok", self.curl("http://localhost/livez"))
        first.stop()
        with open(self.at, "w") as file:
            file.write("mine")
        self.assertIn("no socket", self.refused())
        with open(self.at) as file:
            self.assertEqual(file.read(), "mine")

    def test_the_healthcheck_finds_it(self):
        gateway = self.gateway(HTTP_LISTEN="off")
        environment = {**os.environ, **{"JIDPOST_" + key: value for key, value in gateway.settings.items()}}
        done = subprocess.run([str(gateway.program), "healthcheck", "--ready"], env=environment, capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        gateway.stop()
        done = subprocess.run([str(gateway.program), "healthcheck"], env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 8)
        self.assertIn("nobody listens", done.stderr)

    def test_who_waits_over_it_is_answered_when_the_gateway_stops(self):
        gateway = self.gateway(HTTP_LISTEN="off")
        silent = self.recipient("bob", "--behave", "ignore")
        head = f"PUT {gateway.target(silent.jid, 'a', wait=50)} HTTP/1.1\r\nContent-Length: 1\r\n".encode()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(self.at)
            connection.sendall(head + HOST + b"\r\nx")
            wait_until(lambda: [item["state"] for item in gateway.get("/v1/transfers").json["items"]] == ["offering"],
                       20, "an offer")
            stopping = threading.Thread(target=gateway.stop)
            stopping.start()
            self.assertRegex(connection.recv(65536), b"^HTTP/1.1 202 ")
            stopping.join()
