"""Files that callers name instead of sending: by a path on the gateway's machine, or by a URL."""
import hashlib
import http.server
import json
import os
import socket
import ssl
import threading
import time

from case import Case, DIRECT, STREAMS_ALONE
from lab import DOMAIN, LOOPBACK, wait_until
from test_events import Stream, course
from test_https import Authority
from test_tokens import Commands
from test_webhooks import Receiver

MEBIBYTE = 1 << 20


class Orders(Commands, Case):
    settings = {**DIRECT, **STREAMS_ALONE}

    def order(self, gateway, source, to=f"alice@{DOMAIN}", wait=None, headers=None, **fields):
        return gateway.request("POST", "/v1/transfers" + (f"?wait={wait}" if wait else ""),
                               json.dumps({"to": to, "source": source, **fields}),
                               {"Content-Type": "application/json", **(headers or {})}, 120)


class Paths(Orders):
    def setUp(self):
        super().setUp()
        self.root = self.path("root")
        (self.root / "in").mkdir(parents=True)
        self.body = os.urandom(3 * MEBIBYTE)
        (self.root / "in" / "r.pdf").write_bytes(self.body)

    def rooted(self, **settings):
        return self.gateway(SOURCE_PATH_ROOTS=str(self.root), **settings)

    def test_a_file_below_a_root_reaches_all_it_is_for(self):
        gateway, alice, bob = self.rooted(), self.recipient("alice"), self.recipient("bob")
        answer = self.order(gateway, {"path": f"{self.root}/in/r.pdf"}, alice.jid, wait=60, digest="sha-256",
                            caption="Q3", labels={"job": "nightly"})
        self.assertDelivered(answer)
        self.assertEqual(answer.json["file"], {"name": "r.pdf", "size": len(self.body), "type": "application/pdf",
                                               "sha256": hashlib.sha256(self.body).hexdigest()})
        self.assertEqual((answer.json["labels"], answer.json["batch"]), ({"job": "nightly"}, None))
        alice.wait("file", sha256=hashlib.sha256(self.body).hexdigest())
        answer = self.order(gateway, {"path": f"{self.root}/in/r.pdf"}, [alice.jid, bob.jid], wait=60, name="s.pdf")
        self.assertEqual((answer.status, answer.json["totals"]["delivered"]), (200, 2), answer)
        bob.wait("file", name="s.pdf", sha256=hashlib.sha256(self.body).hexdigest())
        self.assertEqual((self.root / "in" / "r.pdf").read_bytes(), self.body)
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_nothing_else_can_be_read(self):
        gateway = self.rooted()
        (self.root / "near").symlink_to("in/r.pdf")
        (self.root / "far").symlink_to("/etc")
        os.mkfifo(self.root / "fifo")
        os.mkdir(f"{self.root}-beside")
        with socket.socket(socket.AF_UNIX) as listener:
            here = os.getcwd()
            os.chdir(self.root)
            listener.bind("socket")
            os.chdir(here)
            for path in ("/etc/passwd", f"{self.root}/../../../../etc/passwd", f"{self.root}/in/../../root",
                         f"{self.root}//etc/passwd", f"{self.root}/near", f"{self.root}/far/passwd",
                         f"{self.root}/fifo", f"{self.root}/socket", f"{self.root}/in", str(self.root),
                         f"{self.root}-beside/a", "in/r.pdf", f"{gateway.state}/jidpost.db", "/dev/zero"):
                self.assertFailed(self.order(gateway, {"path": path}), 403, "source_refused")
        self.assertFailed(self.order(gateway, {"path": f"{self.root}/none"}), 502, "source_failed")
        self.assertEqual(gateway.spooled(), [])
        self.assertEqual(gateway.get("/v1/transfers").json["items"], [])

    def test_without_roots_it_is_off(self):
        gateway = self.gateway()
        answer = self.order(gateway, {"path": f"{self.root}/in/r.pdf"})
        self.assertFailed(answer, 403, "source_refused")
        self.assertFailed(self.order(gateway, {"url": "http://127.0.0.1:1/"}), 403, "source_refused")

    def test_limits_hold_for_it_too(self):
        gateway = self.gateway(start=False, SOURCE_PATH_ROOTS=str(self.root))
        headers = {name: self.create(gateway, name, *options) for name, options in (
            ("small", ["--max-size", "1M"]), ("little", ["--daily-bytes", "4M"]),
            ("narrow", ["--allow-to", f"bob@{DOMAIN}"]))}
        gateway.start()
        source = {"path": f"{self.root}/in/r.pdf"}
        self.assertFailed(self.order(gateway, source, headers=headers["small"]), 413, "body_too_large")
        self.assertFailed(self.order(gateway, source, headers=headers["narrow"]), 403, "recipient_not_allowed")
        alice = self.recipient("alice")
        for _ in range(2):
            self.assertDelivered(self.order(gateway, source, alice.jid, wait=60, headers=headers["little"]))
        self.assertFailed(self.order(gateway, source, alice.jid, headers=headers["little"]), 429, "quota_exceeded")
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_the_state_folder_is_no_root(self):
        gateway = self.gateway(start=False)
        gateway.settings["SOURCE_PATH_ROOTS"] = str(gateway.state.parent)
        with self.assertRaisesRegex(AssertionError, "ended with 2"):
            gateway.start()
        gateway.process = None

    def test_a_repeated_order_is_answered_with_the_first(self):
        gateway = self.rooted()
        ids = {self.order(gateway, {"path": f"{self.root}/in/r.pdf"}, headers={"Idempotency-Key": "k"}).json["id"]
               for _ in range(2)}
        self.assertEqual(len(ids), 1)


class Web:
    """A web server whose answers the test gives: a path leads to a function that is given the handler."""

    def __init__(self, host=LOOPBACK):
        pages = self.pages = {}
        self.asked = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                web.asked.append(self.path)
                page = pages.get(self.path.partition("?")[0])
                if page:
                    page(self)
                else:
                    self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://{host}:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def page(body, status=200, length=None, then=None, **headers):
    """then: called when half of the body is out."""
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        half = len(body) // 2
        try:
            handler.wfile.write(body[:half])
            handler.wfile.flush()
            if then:
                then()
            handler.wfile.write(body[half:])
        except OSError:
            pass
        handler.close_connection = length is not None
    return answer


class Urls(Orders):
    settings = {**DIRECT, **STREAMS_ALONE, "SOURCE_URL_ENABLED": "on", "EGRESS_ALLOW_NETS": "127.0.0.2/32",
                "DELIVERY_STALL_TIMEOUT": "2s"}

    def setUp(self):
        super().setUp()
        self.web = Web("127.0.0.2")
        self.addCleanup(self.web.stop)

    def fetch_fails(self, gateway, url, code, **fields):
        answer = self.order(gateway, {"url": url}, **fields)
        self.assertEqual((answer.status, answer.json["state"]), (202, "receiving"), answer)
        transfer = gateway.wait_final(answer.json["id"])
        self.assertEqual((transfer["state"], transfer["error"]["code"], transfer["error"]["stage"]),
                         ("failed", code, "upload"), transfer)
        return transfer

    def test_a_file_is_fetched_and_delivered(self):
        gateway, alice = self.gateway(), self.recipient("alice")
        body = os.urandom(3 * MEBIBYTE)
        self.web.pages["/r%20x.pdf"] = page(body, Content_Type="application/pdf")
        answer = self.order(gateway, {"url": self.web.url + "/r%20x.pdf?key=secret"}, alice.jid, wait=60, digest="sha-256")
        self.assertDelivered(answer)
        self.assertEqual(answer.json["file"], {"name": "r x.pdf", "size": len(body), "type": "application/pdf",
                                               "sha256": hashlib.sha256(body).hexdigest()})
        self.assertEqual(answer.json["upload"], {"state": "complete", "received": len(body)})
        alice.wait("file", sha256=hashlib.sha256(body).hexdigest())
        self.assertNotIn("secret", json.dumps(answer.json))
        self.assertNotIn("key=secret", gateway.log.read_text())
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def test_the_server_names_it_unless_the_caller_does(self):
        gateway, alice = self.gateway(), self.recipient("alice")
        self.web.pages["/get"] = page(b"abc", Content_Disposition="attachment; filename*=UTF-8''%E2%82%AC.txt")
        for given, name in ({}, "\u20ac.txt"), ({"name": "mine.txt"}, "mine.txt"):
            answer = self.order(gateway, {"url": self.web.url + "/get"}, alice.jid, wait=60, **given)
            self.assertDelivered(answer)
            self.assertEqual(answer.json["file"]["name"], name)
        self.web.pages["/bad"] = page(b"abc", Content_Disposition="attachment; filename=\"../../x\"")
        self.assertDelivered(answer := self.order(gateway, {"url": self.web.url + "/bad"}, alice.jid, wait=60))
        self.assertNotIn("/", answer.json["file"]["name"])

    def test_it_is_there_while_it_comes(self):
        gateway, alice = self.gateway(), self.recipient("alice")
        half, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        body = os.urandom(MEBIBYTE)
        self.web.pages["/slow"] = page(body, then=lambda: (half.set(), go_on.wait(1.5)))
        answer = self.order(gateway, {"url": self.web.url + "/slow"}, alice.jid)
        identifier = answer.json["id"]
        self.assertEqual((answer.status, answer.json["state"]), (202, "receiving"), answer)
        self.assertEqual([each["state"] for each in gateway.get("/v1/transfers").json["items"]], ["receiving"])
        self.assertTrue(half.wait(10))
        self.assertFalse(gateway.get(f"/v1/transfers/{identifier}?wait=0").json["final"])
        go_on.set()
        self.assertEqual(gateway.get(f"/v1/transfers/{identifier}?wait=60", seconds=90).json["state"], "delivered")
        alice.wait("file", sha256=hashlib.sha256(body).hexdigest())

    def test_a_file_for_two_is_fetched_once(self):
        gateway, alice, bob = self.gateway(), self.recipient("alice"), self.recipient("bob")
        self.web.pages["/a.txt"] = page(b"for two")
        answer = self.order(gateway, {"url": self.web.url + "/a.txt"}, [alice.jid, bob.jid], wait=60)
        self.assertEqual((answer.status, answer.json["totals"]["delivered"]), (200, 2), answer)
        self.assertEqual(self.web.asked, ["/a.txt"])
        for peer in alice, bob:
            peer.wait("file", sha256=hashlib.sha256(b"for two").hexdigest())

    def test_what_becomes_of_it_is_told(self):
        gateway, alice = self.gateway(), self.recipient("alice")
        self.web.pages["/a.txt"] = page(b"abc")
        stream = Stream(gateway, "/v1/events")
        for path, states in ("/a.txt", ["created", "queued", "offered", "delivered"]), ("/none", ["created", "failed"]):
            self.order(gateway, {"url": self.web.url + path}, alice.jid)
            told = [event["event"].rpartition(".")[2] for event in stream.until("transfer." + states[-1])]
            self.assertEqual([name for name in told if name in states], states, told)

    def test_what_cannot_be_had_fails_and_says_why(self):
        gateway = self.gateway(SPOOL_MAX_FILE="1M")
        self.web.pages.update({
            "/gone": page(b"no", 410), "/partial": page(b"abc", 206), "/short": page(b"abcdef", length=10),
            "/large": page(b"xx", length=2 * MEBIBYTE),
            "/still": page(bytes(1000), then=lambda: time.sleep(8)),
            "/round": page(b"", 302, Location="/round")})
        endless = lambda handler: self.chunks(handler, 2 * MEBIBYTE)
        self.web.pages["/endless"] = endless
        for name, code, says in (("gone", "source_failed", "410"), ("none", "source_failed", "404"),
                                 ("partial", "source_failed", "206"), ("short", "source_failed", "broke off"),
                                 ("large", "body_too_large", "1048576"), ("endless", "body_too_large", "1048576"),
                                 ("still", "source_failed", "stood still"), ("round", "source_failed", "redirects")):
            self.assertIn(says, self.fetch_fails(gateway, f"{self.web.url}/{name}", code)["error"]["detail"])
        self.assertEqual(self.web.asked.count("/round"), 4)
        self.fetch_fails(gateway, "http://127.0.0.2:9/", "source_failed")
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    @staticmethod
    def chunks(handler, size):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for _ in range(size >> 16):
                handler.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
            handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass

    def test_nobody_is_led_inside_by_a_url(self):
        """127.0.0.2 is allowed here, and nothing else of this machine."""
        gateway = self.gateway()
        inside = Web()
        self.addCleanup(inside.stop)
        port = inside.server.server_port
        inside.pages["/"] = page(b"secret")
        for url in (f"http://127.0.0.1:{port}/", f"http://localhost:{port}/", f"http://0177.0.0.1:{port}/",
                    f"http://0x7f.1:{port}/", f"http://2130706433:{port}/", f"http://[::1]:{port}/",
                    f"http://[::ffff:127.0.0.1]:{port}/", "http://169.254.169.254/latest/meta-data/",
                    "http://10.0.0.1/", "http://192.168.0.1:8080/", "http://0.0.0.0/"):
            self.fetch_fails(gateway, url, "source_refused")
        for status in 301, 302, 303, 307, 308:
            self.web.pages["/away"] = page(b"", status, Location=f"http://127.0.0.1:{port}/")
            self.fetch_fails(gateway, self.web.url + "/away", "source_refused")
        self.assertEqual(inside.asked, [])
        for url in ("file:///etc/passwd", "ftp://127.0.0.2/", "gopher://127.0.0.2/", f"http://u:p@127.0.0.2:{port}/",
                    "http://", "127.0.0.2", "http://a b/", "http://127.0.0.2/\r\nX: y", "http://" + "a" * 3000):
            self.assertFailed(self.order(gateway, {"url": url}), 403, "source_refused")
        self.web.pages["/file"] = page(b"", 302, Location="file:///etc/passwd")
        self.fetch_fails(gateway, self.web.url + "/file", "source_refused")
        self.web.pages["/there"] = page(b"", 302, Location="/a.txt")
        self.web.pages["/a.txt"] = page(b"abc")
        alice = self.recipient("alice")
        self.assertDelivered(self.order(gateway, {"url": self.web.url + "/there"}, alice.jid, wait=60))

    def test_nobody_is_led_from_https_to_where_anybody_can_read(self):
        authority, inside = Authority(self.path("authority")), Web()
        authority.give(1, self.path("tls"))
        self.addCleanup(inside.stop)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.directory / "leaf.crt", authority.directory / "leaf.key")
        inside.server.socket = context.wrap_socket(inside.server.socket, server_side=True)
        inside.pages["/away"] = page(b"", 302, Location=self.web.url + "/a.txt")
        inside.pages["/a.txt"] = self.web.pages["/a.txt"] = page(b"abc")
        bundle = self.path("ca.pem")
        bundle.write_bytes(b"".join((authority.directory / f"{name}.crt").read_bytes() for name in ("root", "middle")))
        gateway = self.gateway(XMPP_CA=str(bundle), EGRESS_ALLOW_NETS="127.0.0.0/8")
        for scheme in "https", "HTTPS":
            url = f"{scheme}://{LOOPBACK}:{inside.server.server_port}"
            self.fetch_fails(gateway, url + "/away", "source_refused")
            answer = self.order(gateway, {"url": url + "/a.txt"})
            wait_until(lambda: gateway.transfer(answer.json["id"])["file"]["size"] == 3, 10, "it is fetched")
        self.assertEqual(self.web.asked, [])

    def test_hosts_are_those_of_the_configuration(self):
        gateway = self.gateway(SOURCE_ALLOW_HOSTS="*.example.org,127.0.0.3")
        self.assertFailed(self.order(gateway, {"url": self.web.url + "/a.txt"}), 403, "source_refused")
        self.assertFailed(self.order(gateway, {"url": "http://example.org.evil.example/a"}), 403, "source_refused")

    def test_one_that_comes_is_cancelled(self):
        gateway = self.gateway()
        half, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        self.web.pages["/slow"] = page(bytes(1000), then=lambda: (half.set(), go_on.wait(10)))
        answer = self.order(gateway, {"url": self.web.url + "/slow"}, [f"alice@{DOMAIN}", f"bob@{DOMAIN}"])
        first, second = (child["id"] for child in answer.json["transfers"])
        self.assertTrue(half.wait(10))
        cancelled = gateway.request("DELETE", f"/v1/transfers/{first}")
        self.assertEqual((cancelled.status, cancelled.json["state"]), (200, "cancelled"), cancelled)
        self.assertEqual(gateway.transfer(second)["state"], "receiving")
        cancelled = gateway.request("DELETE", f"/v1/transfers/{second}")
        self.assertEqual((cancelled.status, cancelled.json["state"]), (200, "cancelled"), cancelled)
        for identifier in first, second:
            self.assertEqual(gateway.transfer(identifier)["state"], "cancelled")
        wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")

    def slow(self, path, body=bytes(1000)):
        """A page that stops half-way until the returned go_on is set; half: it does."""
        half, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        self.web.pages[path] = page(body, then=lambda: (half.set(), go_on.wait(1.5)))
        return half, go_on

    def test_its_story_is_told_as_any_other(self):
        receiver, ini = Receiver(), self.path("jidpost.ini")
        self.addCleanup(receiver.stop)
        ini.write_text(f"[webhook ci]\nurl = http://{LOOPBACK}:{receiver.port}/\nallow_nets = {LOOPBACK}\n"
                       "secret = whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nevents = transfer.*,batch.completed\n")
        gateway, alice = self.gateway(start=False), self.recipient("alice")
        gateway.arguments = ["--config", str(ini)]
        gateway.start()
        every = Stream(gateway, "/v1/events?to=" + alice.jid)
        self.addCleanup(every.close)
        half, go_on = self.slow("/slow")
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        answer = self.order(gateway, {"url": self.web.url + "/slow"}, [alice.jid, f"bob@{DOMAIN}"],
                            headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        delivered, cancelled = (child["id"] for child in answer.json["transfers"])
        created = every.event()
        self.assertEqual((created["event"], created["transfer"]["state"], created["transfer"]["id"]),
                         ("transfer.created", "receiving", delivered))
        self.assertTrue(half.wait(10))
        self.assertEqual(gateway.request("DELETE", f"/v1/transfers/{cancelled}").json["error"]["stage"], "upload")
        go_on.set()
        story = course(every.until("transfer.delivered"))
        self.assertEqual([kind for kind in story if kind != "progress"], ["queued", "offered", "accepted", "delivered"])
        failed = self.order(gateway, {"url": self.web.url + "/none"}, alice.jid).json["id"]
        told = every.until("transfer.failed")
        self.assertEqual(course(told), ["created", "failed"])
        self.assertEqual(told[-1]["transfer"], gateway.transfer(failed))
        wait_until(lambda: len(receiver.got) >= 10, 10, "what is told")
        for identifier, story in ((delivered, ["created", "queued", "offered", "accepted", "delivered"]),
                                  (cancelled, ["created", "cancelled"]), (failed, ["created", "failed"])):
            self.assertEqual([g.type for g in receiver.got if g.json["data"].get("transfer", {}).get("id") == identifier],
                             [f"transfer.{kind}" for kind in story])
        self.assertEqual([g.json["data"] for g in receiver.got if g.type == "batch.completed"],
                         [{"batch": {"id": answer.json["id"]}}])
        metrics = gateway.get("/metrics").body.decode()
        for state, code in (("delivered", "none"), ("cancelled", "cancelled"), ("failed", "source_failed")):
            self.assertIn(f'jidpost_transfers_total{{state="{state}",code="{code}"}} 1\n', metrics)
        ends = [line for line in gateway.logged("transfer.state") if line["transfer"] == cancelled]
        self.assertEqual([(line["state"], line["trace_id"]) for line in ends], [("cancelled", trace)])

    def test_a_long_poll_sees_it_come(self):
        gateway, alice = self.gateway(), self.recipient("alice")
        half, go_on = self.slow("/slow", os.urandom(MEBIBYTE))
        target = "/v1/transfers/" + self.order(gateway, {"url": self.web.url + "/slow"}, alice.jid).json["id"]
        self.assertTrue(half.wait(10))
        known, states = gateway.get(target).headers["etag"], []
        while not states or states[-1] != "delivered":
            answer = gateway.get(target + "?wait=30", headers={"If-None-Match": known})
            self.assertEqual(answer.status, 200, states)
            self.assertNotEqual(answer.headers["etag"], known)
            known = answer.headers["etag"]
            states.append(answer.json["state"])
            go_on.set()

    def test_a_stop_or_a_crash_fails_what_was_coming(self):
        gateway = self.gateway()
        for how in "stop", "kill":
            half, go_on = threading.Event(), threading.Event()
            self.addCleanup(go_on.set)
            self.web.pages["/slow"] = page(bytes(1000), then=lambda: (half.set(), go_on.wait(10)))
            identifier = self.order(gateway, {"url": self.web.url + "/slow"}).json["id"]
            self.assertTrue(half.wait(10))
            getattr(gateway, how)()
            go_on.set()
            gateway.start()
            transfer = gateway.wait_final(identifier)
            self.assertEqual((transfer["state"], transfer["error"]["code"]), ("failed", "source_failed"), transfer)
            self.assertEqual(gateway.spooled(), [])

    def test_limits_of_tokens_hold(self):
        gateway = self.gateway(start=False)
        headers = {name: self.create(gateway, name, *options) for name, options in (
            ("small", ["--max-size", "1K"]), ("little", ["--daily-bytes", "4M"]))}
        gateway.start()
        self.web.pages["/a"] = page(bytes(2000))
        answer = self.order(gateway, {"url": self.web.url + "/a"}, wait=60, headers=headers["small"])
        self.assertFailed(answer, 413, "body_too_large")
        answer = self.order(gateway, {"url": self.web.url + "/a"}, headers=headers["little"])
        self.assertFailed(answer, 403, "source_refused")
