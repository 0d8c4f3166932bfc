"""Webhooks: what happens is told to a receiver of somebody else's, signed, in order, as often as it takes."""
import base64
import http.server
import json
import os
import re
import ssl
import subprocess
import threading
import time

from case import Case, DIRECT
from lab import DOMAIN, LOOPBACK, Ports, Process, wait_until
from peers import HERE
from test_metrics import scrape



class Got:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body, self.at = path, headers, body, time.monotonic()
        self.json = json.loads(body)
        self.id = headers["webhook-id"]
        self.type = self.json["type"]
        self.transfer = self.json["data"].get("transfer")


class Receiver:
    """Takes webhooks at a port of its own; status may be a number, or None: it never answers. authority: by HTTPS."""

    def __init__(self, port=None, status=204, authority=None):
        self.port, self.status = port or Ports.take(), status
        self.got, self.lock, self.over = [], threading.Lock(), threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with receiver.lock:
                    receiver.got.append(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                if receiver.status is None:
                    receiver.over.wait(60)
                    self.close_connection = True
                    return
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass  # the gateway went away

        self.server = Server((LOOPBACK, self.port), Handler)
        if authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.chain, authority.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self):
        self.over.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def wait(self, count, seconds=30):
        wait_until(lambda: len(self.got) >= count, seconds, f"{count} webhooks")
        return self.got[:count]


class Webhooks(Case):
    def setUp(self):
        super().setUp()
        self.peer = self.recipient("alice")

    def receiver(self, *args, **options):
        receiver = Receiver(*args, **options)
        self.addCleanup(receiver.stop)
        return receiver

    @staticmethod
    def secret():
        return "whsec_" + base64.b64encode(os.urandom(32)).decode()

    def configure(self, gateway, **hooks):
        """jidpost.ini with these sections."""
        text = ""
        for name, keys in hooks.items():
            keys = {"allow_nets": LOOPBACK, "secret": self.keys.setdefault(name, self.secret()), **keys}
            text += f"[webhook {name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        self.ini.write_text(text)

    def hooked(self, start=True, settings=None, **hooks):
        self.keys = {}
        self.ini = self.path("jidpost.ini")
        gateway = self.gateway(start=False, **{**DIRECT, **(settings or {})})
        gateway.arguments = ["--config", str(self.ini)]
        self.configure(gateway, **hooks)
        return gateway.start() if start else gateway

    @staticmethod
    def url(port, path="/hook"):
        return f"http://{LOOPBACK}:{port}{path}"

    def send(self, gateway, name="a.txt", headers=None):
        return gateway.put(self.peer.jid, b"x" * 1000, name, headers=headers, wait=30).json["id"]

    def verify(self, got, secret):
        """What Standard Webhooks' own library says to each."""
        lines = "".join(json.dumps({"secret": secret, "headers": g.headers, "body": g.body}) + "\n" for g in got)
        done = subprocess.run(["node", "standard_webhook.mjs"], cwd=HERE, input=lines, text=True, capture_output=True,
                              timeout=60, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def assertSigned(self, got, secret):
        for g, said in zip(got, self.verify(got, secret), strict=True):
            self.assertEqual(said, {"verified": g.json})

    # ---- what arrives

    def test_the_end_of_a_transfer_arrives_signed_and_says_what_a_look_at_it_says(self):
        receiver = self.receiver()
        gateway = self.hooked(ci={"url": self.url(receiver.port)})
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        sent = self.send(gateway, headers={"X-Request-Id": "build-7", "traceparent": parent})
        got, = receiver.wait(1)
        self.assertSigned([got], self.keys["ci"])
        self.assertEqual((got.type, got.transfer), ("transfer.delivered", gateway.transfer(sent)))
        self.assertEqual((got.headers["x-request-id"], got.headers["traceparent"]), ("build-7", parent))
        line = wait_until(lambda: gateway.logged("webhook.sent"), 10, "a line")[0]
        self.assertEqual((line["request_id"], line["trace_id"]), ("build-7", parent.split("-")[1]))
        self.assertEqual(got.headers["content-type"], "application/json")
        self.assertIn("refused", self.verify([got], self.secret())[0])
        got.headers["webhook-timestamp"] = str(int(got.headers["webhook-timestamp"]) - 1)
        self.assertIn("refused", self.verify([got], self.keys["ci"])[0])

    def test_all_of_a_story_arrives_in_order(self):
        receiver = self.receiver()
        gateway = self.hooked(ci={"url": self.url(receiver.port), "events": "transfer.*"})
        sent = [self.send(gateway, f"{i}.txt") for i in range(10)]
        wait_until(lambda: sum(g.type == "transfer.delivered" for g in receiver.got) == len(sent), 30, "ten ends")
        for identifier in sent:
            story = [g.type for g in receiver.got if g.transfer["id"] == identifier]
            self.assertEqual((story[0], story[-1]), ("transfer.created", "transfer.delivered"), story)
            self.assertEqual(len(story), len(set(story)), story)
            self.assertLess(story.index("transfer.offered"), story.index("transfer.accepted"), story)
        self.assertEqual(len({g.id for g in receiver.got}), len(receiver.got))
        self.assertSigned(receiver.got, self.keys["ci"])

    def test_the_session_s_ups_and_downs_arrive_too(self):
        receiver, cable = self.receiver(), self.cable()
        self.keys, self.ini = {}, self.path("jidpost.ini")
        gateway = self.gateway(start=False, server=cable, XMPP_RECONNECT_MIN="200ms")
        gateway.arguments = ["--config", str(self.ini)]
        self.configure(gateway, ci={"url": self.url(receiver.port), "events": "xmpp.*"})
        gateway.start()
        cable.cut()
        up, down = receiver.wait(2)
        self.assertEqual((up.type, down.type), ("xmpp.connected", "xmpp.disconnected"))
        self.assertEqual(up.json["data"]["xmpp"]["jid"], f"gateway@{DOMAIN}/jidpost")

    def test_a_receiver_behind_tls_is_known_by_its_authority(self):
        receiver = self.receiver(authority=self.server.authority)
        at = {"url": f"https://{DOMAIN}:{receiver.port}/", "allow_nets": "127.0.0.1 ::1"}
        gateway = self.hooked(known={**at, "ca": self.server.authority.certificate}, unknown=at)
        self.assertTrue(gateway.request("POST", "/v1/webhooks/known/test").json["delivered"])
        said = gateway.request("POST", "/v1/webhooks/unknown/test").json
        self.assertEqual((said["delivered"], said["detail"]), (False, "the certificate is not trusted"))
        self.assertEqual(len(receiver.got), 1)

    def test_the_receiver_of_the_page_knows_what_is_ours(self):
        program = re.search(r"```python\n(import base64.*?)```", (HERE.parents[1] / "docs" / "webhooks.md").read_text(), re.S)[1]
        port, secret, log = Ports.take(), self.secret(), self.path("receiver.log")
        process = Process(["/usr/bin/python3", "-u", "-c", program], log,
                          {**os.environ, "SECRET": secret, "PORT": str(port)})
        self.addCleanup(process.stop)
        gateway = self.hooked(ours={"url": self.url(port), "secret": secret}, forged={"url": self.url(port)})
        wait_until(lambda: gateway.request("POST", "/v1/webhooks/ours/test").json["status"] == 204, 20, "a receiver")
        self.assertEqual(gateway.request("POST", "/v1/webhooks/forged/test").json["status"], 401)

    def test_what_was_sent_and_what_waits_is_counted(self):
        receiver, broken = self.receiver(), self.receiver(status=500)
        gateway = self.hooked(ci={"url": self.url(receiver.port)}, mail={"url": self.url(broken.port)})
        self.send(gateway)
        self.send(gateway)
        receiver.wait(2)
        broken.wait(2)
        wait_until(lambda: scrape(gateway).get("jidpost_webhook_backlog") == 2, 15, "a backlog of 2")
        page = scrape(gateway)
        self.assertEqual(page.get("jidpost_webhook_deliveries_total", result="delivered"), 2)
        self.assertGreaterEqual(page.get("jidpost_webhook_deliveries_total", result="failed"), 2)
        self.assertNotIn("mail", page.text)

    # ---- receivers that are not there

    def test_what_a_receiver_missed_arrives_once_it_is_back_also_over_kill_9(self):
        port = Ports.take()
        gateway = self.hooked(ci={"url": self.url(port)})
        sent = self.send(gateway)
        missed = wait_until(lambda: self.tried(gateway), 10, "a first try")
        self.assertEqual((missed["state"], missed["attempts"], missed["status"], missed["transfer"]),
                         ("pending", 1, None, sent))
        gateway.kill()
        receiver = self.receiver(port)
        gateway.start()
        got, = receiver.wait(1)
        self.assertEqual((got.id, got.transfer["id"]), (missed["id"], sent))
        self.assertSigned([got], self.keys["ci"])
        wait_until(lambda: gateway.get("/v1/webhooks").json["items"][0]["backlog"] == 0, 10, "no backlog")
        self.assertEqual(len(receiver.got), 1)

    @staticmethod
    def tried(gateway):
        """The newest delivery, once that is known to have failed."""
        newest = gateway.get("/v1/webhooks/ci/deliveries").json["items"][:1]
        return newest[0] if newest and newest[0]["attempts"] else None

    def test_kill_9_at_any_moment_loses_none(self):
        receiver = self.receiver()
        gateway = self.hooked(ci={"url": self.url(receiver.port)}, settings={"DELIVERY_BACKOFF": "200ms"})
        sent = []
        for _ in range(4):
            sent += [gateway.put(self.peer.jid, b"x" * 1000, "a.txt").json["id"] for _ in range(10)]
            gateway.kill()
            gateway.start()
        ends = {identifier: gateway.wait_final(identifier)["state"] for identifier in sent}
        for identifier, state in ends.items():
            wait_until(lambda: ("transfer." + state, identifier) in {(g.type, g.transfer["id"]) for g in receiver.got},
                       30, f"{identifier} is told to be {state}")

    def test_one_that_never_answers_keeps_up_nobody_else(self):
        dead, healthy = self.receiver(status=None), self.receiver()
        gateway = self.hooked(dead={"url": self.url(dead.port)}, healthy={"url": self.url(healthy.port)})
        for i in range(20):
            began = time.monotonic()
            self.send(gateway, f"{i}.txt")
            healthy.wait(i + 1, 5)
            self.assertLess(healthy.got[i].at - began, 5)
        self.assertLessEqual(len(dead.got), 8)
        backlogs = {hook["name"]: hook["backlog"] for hook in gateway.get("/v1/webhooks").json["items"]}
        self.assertEqual(backlogs["dead"], 20)

    def test_one_that_is_gone_is_off_until_the_configuration_is_read_again(self):
        gone, watcher = self.receiver(status=410), self.receiver()
        gateway = self.hooked(ci={"url": self.url(gone.port)},
                              watch={"url": self.url(watcher.port), "events": "webhook.*"})
        self.send(gateway)
        told, = watcher.wait(1)
        self.assertEqual((told.type, told.json["data"]["webhook"]["name"]), ("webhook.disabled", "ci"))
        self.assertEqual([hook["state"] for hook in gateway.get("/v1/webhooks").json["items"]], ["off", "on"])
        identifier = gone.got[0].id
        again = f"/v1/webhooks/ci/deliveries/{identifier}/redeliver"
        self.assertFailed(gateway.request("POST", again), 409, "state_conflict")
        gone.status = 204
        gateway.reload()
        wait_until(lambda: gateway.get("/v1/webhooks").json["items"][0]["state"] == "on", 10, "ci is on")
        self.assertEqual(gateway.request("POST", again).status, 202)
        self.assertEqual([g.id for g in gone.wait(2)], [identifier] * 2)

    # ---- configuration and API

    def test_a_secret_changes_without_a_gap_and_no_secret_is_told(self):
        receiver = self.receiver()
        gateway = self.hooked(ci={"url": self.url(receiver.port, "/hook?key=hidden")})
        old, new = self.keys["ci"], self.secret()
        file = self.ini.parent / f"{self.ini.name}.secret"
        file.write_text(new + "\n")
        keys = {"allow_nets": LOOPBACK, "url": self.url(receiver.port, "/hook?key=hidden"), "secret_old": old,
                "secret_file": file}
        self.ini.write_text("[webhook ci]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()))
        gateway.reload()
        wait_until(lambda: gateway.logged("webhook.changed"), 10, "the new one")
        self.send(gateway)
        got = receiver.wait(1)
        self.assertSigned(got, old)
        self.assertSigned(got, new)
        self.assertEqual(got[0].path, "/hook?key=hidden")
        self.assertEqual(gateway.get("/v1/webhooks").json["items"][0]["url"], self.url(receiver.port))
        log = gateway.log.read_text()
        for secret in old, new, "hidden":
            self.assertNotIn(secret, log)

    def test_deliveries_are_listed_tested_and_sent_again(self):
        receiver = self.receiver()
        gateway = self.hooked(ci={"url": self.url(receiver.port)}, settings={"HTTP_TOKEN": "webhook-token-for-tests"})
        self.assertFailed(gateway.get("/v1/webhooks"), 401, "auth_missing")
        gateway.headers["Authorization"] = "Bearer webhook-token-for-tests"
        said = gateway.request("POST", "/v1/webhooks/ci/test").json
        test, = receiver.wait(1)
        self.assertEqual((said["id"], said["delivered"], said["status"]), (test.id, True, 204))
        self.assertEqual((test.type, test.json["data"]), ("webhook.test", {"webhook": "ci"}))
        self.assertSigned([test], self.keys["ci"])
        for i in range(3):
            self.send(gateway, f"{i}.txt")
        receiver.wait(4)
        first = wait_until(lambda: self.page(gateway, "?state=delivered&limit=2"), 10, "a page")
        self.assertEqual([d["type"] for d in first["items"]], ["transfer.delivered"] * 2)
        last = gateway.get(first["next"]).json
        self.assertEqual((len(last["items"]), last["next"]), (1, None))
        identifier = last["items"][0]["id"]
        answer = gateway.request("POST", f"/v1/webhooks/ci/deliveries/{identifier}/redeliver")
        self.assertEqual((answer.status, answer.json["id"], answer.json["state"]), (202, identifier, "pending"))
        self.assertEqual(receiver.wait(5)[4].id, identifier)
        receiver.status = 500
        said = gateway.request("POST", "/v1/webhooks/ci/test").json
        self.assertEqual((said["delivered"], said["status"], said["detail"]), (False, 500, "answered 500"))
        for target in "/v1/webhooks/no/deliveries", "/v1/webhooks/no/test":
            method = "POST" if target.endswith("test") else "GET"
            self.assertFailed(gateway.request(method, target), 404, "not_found")

    @staticmethod
    def page(gateway, query):
        page = gateway.get("/v1/webhooks/ci/deliveries" + query).json
        return page if page["next"] else None

    def test_an_address_that_is_not_listed_is_not_gone_to(self):
        receiver = self.receiver()
        gateway = self.hooked(ci={"url": f"https://localhost:{receiver.port}/", "allow_nets": "10.0.0.0/8"})
        said = gateway.request("POST", "/v1/webhooks/ci/test").json
        self.assertEqual((said["delivered"], said["status"]), (False, None))
        self.assertIn("in none of its allow_nets", said["detail"])
        self.assertEqual(receiver.got, [])
