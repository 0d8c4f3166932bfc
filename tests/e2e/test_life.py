"""From start to stop: what flows may finish, nothing accepted is lost, and the service manager is told."""
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
