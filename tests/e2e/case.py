"""What every test here starts from: a server for the class, gateways and recipients for each test."""
import hashlib
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import peers
import results
from gateway import Gateway, as_component
from lab import LOOPBACK, SERVERS, Cable, Ports

DIRECT = {"SOCKS5_ADVERTISE": LOOPBACK}  # without it nothing is advertised and only proxies are left
QUICK = {"DELIVERY_OFFER_TIMEOUT": "2s", "DELIVERY_CONNECT_TIMEOUT": "2s", "DELIVERY_ACTIVATE_TIMEOUT": "2s",
         "DELIVERY_STALL_TIMEOUT": "2s", "DELIVERY_MAX_ATTEMPTS": "1", "XMPP_IQ_TIMEOUT": "3s"}

STREAMS_ALONE = {"DELIVERY_METHODS": "jingle-s5b,si-s5b,s5b"}  # neither in-band nor a link, as by default


class Case(unittest.TestCase):
    server_name = "prosody"
    server_options = {}
    settings = {}  # of every gateway here
    build = "dev"
    gateway_class = Gateway

    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix=f"jidpost-e2e-{cls.__name__}-"))
        cls.failed = False
        cls.addClassCleanup(cls.remove_directory)
        cls.server = SERVERS[cls.server_name](cls.directory / "server", **cls.server_options)
        cls.addClassCleanup(cls.server.kill)
        cls.server.start()

    @classmethod
    def remove_directory(cls):
        if not cls.failed:
            shutil.rmtree(cls.directory)

    def setUp(self):
        self.gateways, self.count, self.failures_before = [], 0, self.failures()
        self.addCleanup(self.note_failure)

    def failures(self):
        return len(self._outcome.result.failures) + len(self._outcome.result.errors)

    def note_failure(self):
        if self.failures() > self.failures_before:
            type(self).failed = True
            for gateway in self.gateways:
                print(f"---- {gateway.log}\n{gateway.tail()}", file=sys.stderr)

    def path(self, name):
        self.count += 1
        return self.directory / f"{self._testMethodName}-{self.count}-{name}"

    def gateway(self, start=True, server=None, **settings):
        settings = {**self.settings, **settings}
        gateway = self.gateway_class(server or self.server, self.path("gateway"), build=self.build, **settings)
        self.gateways.append(gateway)
        self.addCleanup(gateway.kill)
        self.addCleanup(gateway.stop)
        return gateway.start() if start else gateway

    def component_gateway(self, **settings):
        """One that is a component of the server, with every address of its domain (XEP-0114)."""
        return self.gateway(**as_component(self.server), **settings)

    def publishing_gateway(self, **settings):
        """One whose own links lead back to it."""
        port = Ports.take()
        return self.gateway(HTTP_LISTEN=f"{LOOPBACK}:{port}", SERVER_PUBLIC_URL=f"http://{LOOPBACK}:{port}", **settings)

    def recipient(self, user, *options, client=peers.slixmpp, resource="desk", server=None):
        peer = client(server or self.server, user, self.path(f"{user}.log"), *options, resource=resource)
        self.addCleanup(peer.kill)
        peer.wait_ready()
        return peer

    def cable(self):
        cable = Cable(self.server)
        self.addCleanup(cable.cut)
        return cable

    def file(self, size, name="file.bin"):
        """A file of random bytes and its SHA-256."""
        path = self.path("upload") / name
        path.parent.mkdir()
        digest = hashlib.sha256()
        with open(path, "wb") as out:
            while size:
                block = os.urandom(min(size, 1 << 20))
                digest.update(block)
                out.write(block)
                size -= len(block)
        return path, digest.hexdigest()

    def assertDelivered(self, answer, path=None):
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json["state"], "delivered", answer)
        if path:
            self.assertEqual(answer.json["method"]["path"], path, answer)

    def assertArrived(self, answer, peer, digest, path=None):
        """Delivered, says the gateway; and the recipient has it, byte for byte. That goes into the table of clients."""
        self.assertDelivered(answer, path)
        received = peer.wait("file", sha256=digest)
        self.assertEqual(received["size"], answer.json["file"]["size"])
        method = answer.json["method"]
        results.record(peer.client, self.server_name, method["name"], method["path"], received["size"])
        return received

    def assertFailed(self, answer, status, code):
        self.assertEqual((answer.status, answer.json.get("code")), (status, code), answer)
        self.assertTrue(answer.type.startswith("application/problem+json"), answer.type)
