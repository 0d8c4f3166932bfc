"""From start to stop: what flows may finish, nothing accepted is lost, SIGHUP applies what can be applied, and the
service manager is told of all that."""
import hashlib
import os
import signal
import socket
import threading
import time

from case import Case, DIRECT
from lab import wait_until

BIG = 16 << 20
AGAIN = {"DELIVERY_BACKOFF": "200ms", "XMPP_RECONNECT_MIN": "200ms", "XMPP_RECONNECT_MAX": "500ms"}


class Upload(threading.Thread):
    """One that waits for its outcome."""

    def __init__(self, gateway, to, body, **query):
        super().__init__(daemon=True)
        self.gateway, self.to, self.body, self.query, self.answer = gateway, to, body, query, None
        self.start()

    def run(self):
        self.answer = self.gateway.put(self.to, self.body, **self.query)

    def wait(self):
        self.join(60)
        return self.answer


class Manager:
    """A service manager: hears datagrams at an abstract address."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name)
        self.environment = {"NOTIFY_SOCKET": "@" + name}
        self.heard = []

    def hear(self, wanted, seconds=20):
        """The next message with a line that begins so; those before it are passed over."""
        deadline = time.monotonic() + seconds
        while True:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            message = self.socket.recv(4096).decode()
            self.heard.append(message)
            if any(line.startswith(wanted) for line in message.split("\n")):
                return message


class Stop(Case):
    weight = 2

    def flowing(self, gateway, peer, body=bytes(BIG)):
        identifier = gateway.put(peer.jid, body).json["id"]
        gateway.wait_state(identifier, "transferring")
        peer.wait("begun")
        return identifier

    def terminate(self, gateway):
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: gateway.logged("draining"), 10, "draining")

    def test_what_flows_may_finish_and_nothing_new_is_taken(self):
        gateway = self.gateway(**DIRECT, SERVER_DRAIN_TIMEOUT="1m")
        peer = self.recipient("alice", "--behave", "hold")
        body = os.urandom(BIG)
        upload = Upload(gateway, peer.jid, body, wait=60)
        peer.wait("begun")
        self.terminate(gateway)
        ready = gateway.get("/readyz?verbose")
        self.assertEqual((ready.status, ready.json["status"], ready.json["checks"]["draining"]),
                         (503, "draining", True), ready)
        refused = gateway.put(peer.jid, b"too late")
        self.assertFailed(refused, 503, "draining")
        self.assertTrue(refused.headers["retry-after"])
        form = ('--boundary\r\nContent-Disposition: form-data; name="to"\r\n\r\nbob@localhost\r\n'
                '--boundary\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--boundary--\r\n')
        kind = {"Content-Type": "multipart/form-data; boundary=boundary"}
        self.assertFailed(gateway.request("POST", "/v1/transfers", form, kind), 503, "draining")
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)
        peer.command("go")
        self.assertArrived(upload.wait(), peer, hashlib.sha256(body).hexdigest(), "direct")
        gateway.await_end()
        self.assertEqual(gateway.logged("draining")[0]["streams"], 1)
        self.assertEqual([len(gateway.logged(event)) for event in ("stopping", "drained", "stopped")], [1, 1, 1])

    def test_an_upload_may_finish_and_its_file_waits_for_the_next_start(self):
        gateway = self.gateway(**DIRECT, **AGAIN, SERVER_DRAIN_TIMEOUT="1m")
        begun, go_on = threading.Event(), threading.Event()

        def body():
            yield bytes(BIG // 2)
            begun.set()
            go_on.wait(30)
            yield bytes(BIG // 2)

        upload = Upload(gateway, "bob@localhost/desk", body(), headers={"Content-Length": str(BIG)}, mode="spool")
        begun.wait(30)
        wait_until(gateway.spooled, 10, "a file in the spool")
        self.terminate(gateway)
        go_on.set()
        answer = upload.wait()
        self.assertEqual((answer.status, answer.json["state"]), (202, "queued"), answer)
        gateway.await_end()
        peer = self.recipient("bob")
        gateway.start()
        self.assertEqual(gateway.wait_final(answer.json["id"])["state"], "delivered")
        self.assertEqual(peer.wait("file")["size"], BIG)

    def test_what_still_flows_when_the_time_is_up_goes_on_after_the_next_start(self):
        gateway = self.gateway(**DIRECT, **AGAIN, SERVER_DRAIN_TIMEOUT="500ms")
        peer = self.recipient("alice", "--behave", "hold")
        identifier = self.flowing(gateway, peer)
        gateway.signal(signal.SIGTERM)
        gateway.await_end()
        self.assertEqual(gateway.logged("drain.timeout")[0]["streams"], 1)
        peer.command("go")
        peer.wait("broken")
        gateway.start()
        final = gateway.wait_final(identifier)
        self.assertEqual((final["state"], final["attempts"][0]["code"]), ("delivered", "draining"), final)
        self.assertEqual(peer.wait("file")["size"], BIG)

    def test_whoever_asks_twice_has_no_time(self):
        gateway = self.gateway(**DIRECT, **AGAIN, SERVER_DRAIN_TIMEOUT="10m")
        peer = self.recipient("alice", "--behave", "hold")
        identifier = self.flowing(gateway, peer)
        self.terminate(gateway)
        gateway.signal(signal.SIGINT)
        gateway.await_end()
        self.assertEqual(len(gateway.logged("stopping.at_once")), 1)
        peer.command("go")
        peer.wait("broken")
        gateway.start()
        self.assertEqual(gateway.wait_final(identifier)["state"], "delivered")

    def test_what_does_not_flow_is_not_waited_for(self):
        gateway = self.gateway(**DIRECT, **AGAIN, SERVER_DRAIN_TIMEOUT="10m")
        silent = self.recipient("alice", "--behave", "ignore")
        upload = Upload(gateway, silent.jid, b"x", wait=60)
        silent.wait("offer")
        held = gateway.put("bob@localhost", b"y", hold="1h").json["id"]
        gateway.wait_state(held, "held")
        gateway.signal(signal.SIGTERM)
        answer = upload.wait()
        self.assertEqual((answer.status, answer.json["state"]), (202, "queued"), answer)
        gateway.await_end()
        silent.leave()
        self.recipient("alice"), self.recipient("bob")
        gateway.start()
        for identifier in answer.json["id"], held:
            self.assertEqual(gateway.wait_final(identifier)["state"], "delivered")

    def test_the_service_manager_hears_of_it(self):
        manager = Manager(f"jidpost-e2e-{os.getpid()}-{self._testMethodName}")
        self.addCleanup(manager.socket.close)
        gateway = self.gateway(start=False, **DIRECT, SERVER_DRAIN_TIMEOUT="1m")
        gateway.environment = {**manager.environment, "WATCHDOG_USEC": "1000000"}
        gateway.start()
        manager.hear("READY=1")
        manager.hear("STATUS=online; transfers: 0 under way, 0 waiting")
        began = time.monotonic()
        for _ in range(3):
            manager.hear("WATCHDOG=1")
        self.assertLess(time.monotonic() - began, 3)
        peer = self.recipient("alice", "--behave", "hold")
        self.flowing(gateway, peer)
        manager.hear("STATUS=online; transfers: 1 under way, 0 waiting")
        self.terminate(gateway)
        self.assertIn("EXTEND_TIMEOUT_USEC=80000000", manager.hear("STOPPING=1"))
        manager.hear("STATUS=stopping, online; transfers: 1 under way, 0 waiting")
        manager.hear("WATCHDOG=1")
        peer.command("go")
        gateway.await_end()


class Reload(Case):
    settings = {**DIRECT, "LOG_LEVEL": "", "SERVER_DRAIN_TIMEOUT": ""}  # these come from the file

    def reload(self, gateway, text, event="config.reloaded"):
        before = len(gateway.logged(event))
        self.file.write_text(text)
        gateway.signal(signal.SIGHUP)
        return wait_until(lambda: gateway.logged(event)[before:], 10, event)[0]

    def with_file(self, text, **environment):
        self.file = self.path("jidpost.ini")
        self.file.write_text(text)
        gateway = self.gateway(start=False)
        gateway.arguments, gateway.environment = ["--config", str(self.file)], environment
        return gateway.start()

    def told(self, gateway, event):
        return [(line["key"], line["from"], line["to"]) for line in gateway.logged(event)]

    def test_what_may_change_does_and_the_rest_is_named(self):
        gateway = self.with_file("[log]\nlevel = info\n")
        self.assertNotIn('"level":"debug"', gateway.log.read_text())
        done = self.reload(gateway, "[server]\ndrain_timeout = 7s\n[http]\nmax_wait = 9s\n"
                                    "[delivery]\nparallel = 2\nper_recipient_parallel = 1\n"
                                    "[spool]\nmax_bytes = 2M\nmax_file = 1M\nmax_files = 10\n[log]\nlevel = debug\n")
        self.assertEqual((done["changed"], done["needs_restart"]), (7, 1))
        self.assertEqual(self.told(gateway, "config.changed"),
                         [("server.drain_timeout", "30s", "7s"), ("delivery.parallel", "256", "2"),
                          ("delivery.per_recipient_parallel", "4", "1"), ("spool.max_bytes", "10G", "2M"),
                          ("spool.max_file", "5G", "1M"), ("spool.max_files", "10000", "10"),
                          ("log.level", "info", "debug")])
        self.assertEqual(self.told(gateway, "config.needs_restart"), [("http.max_wait", "10m", "9s")])
        limits = gateway.get("/v1").json["limits"]
        self.assertEqual((limits["max_file"], limits["max_spool"], limits["max_wait_s"]), (1 << 20, 2 << 20, 600))
        wait_until(lambda: '"level":"debug"' in gateway.log.read_text(), 10, "a line of level debug")
        self.assertFailed(gateway.put("alice@localhost/desk", bytes(1 + (1 << 20))), 413, "body_too_large")
        peer = self.recipient("alice")
        for _ in range(3):
            self.assertDelivered(gateway.put(peer.jid, b"x", wait=30))
        done = self.reload(gateway, "[log]\nlevel = debug\n")
        self.assertEqual((done["changed"], done["needs_restart"]), (6, 0))

    def test_a_configuration_that_does_not_hold_changes_nothing(self):
        gateway = self.with_file("[spool]\nmax_file = 1M\n")
        gateway.expected_errors.add("config.refused")
        for broken, sentence in (("[spool]\nmax_file = 2M\n[log]\nlevel = loud\n", "expected one of debug, info"),
                                 ("[spool]\nmax_file = 2M\nmax_fiel = 3M\n", "did you mean 'spool.max_file")):
            refused = self.reload(gateway, broken, "config.refused")
            self.assertIn(sentence, refused["error"])
            self.assertEqual(gateway.get("/v1").json["limits"]["max_file"], 1 << 20)
        self.reload(gateway, "[spool]\nmax_file = 2M\n")
        self.assertEqual(gateway.get("/v1").json["limits"]["max_file"], 2 << 20)

    def test_the_service_manager_hears_of_it(self):
        manager = Manager(f"jidpost-e2e-{os.getpid()}-{self._testMethodName}")
        self.addCleanup(manager.socket.close)
        gateway = self.with_file("", **manager.environment)
        manager.hear("READY=1")
        began = time.monotonic()
        self.reload(gateway, "[server]\ndrain_timeout = 40s\n")
        told = dict(line.split("=") for line in manager.hear("RELOADING=1").split("\n"))
        self.assertGreaterEqual(int(told["MONOTONIC_USEC"]), began * 1e6)
        manager.hear("READY=1")
        gateway.expected_errors.add("config.refused")
        self.reload(gateway, "[log]\nlevel = loud\n", "config.refused")
        manager.hear("STATUS=online; transfers: 0 under way, 0 waiting; the last reload was refused, see the log")
        self.reload(gateway, "[server]\ndrain_timeout = 40s\n")
        self.assertNotIn("refused", manager.hear("STATUS=online; transfers: 0 under way, 0 waiting"))
        gateway.signal(signal.SIGTERM)
        self.assertIn("EXTEND_TIMEOUT_USEC=60000000", manager.hear("STOPPING=1"))
        gateway.await_end()
