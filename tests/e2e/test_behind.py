"""Behind a front proxy: real nginx and real Caddy with the files of deploy/, over TLS, and the socket that is a file.

The gateway is configured as docs/behind-a-proxy.md says. What is changed in the files is what the page says to change, and
where they listen."""
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import unittest
from pathlib import Path

from case import Case, DIRECT
from lab import LOOPBACK, Ports, Process, accepts_connections, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
NAME = "gw.example.org"
SOCKET = "/run/jidpost/http.sock"
TOKEN = "0123456789abcdef"
BEARER = {"Authorization": "Bearer " + TOKEN}
MIB = 1 << 20


def page():
    """The gateway's half, but for where the socket is."""
    text = re.search(r"^```ini\n\[http\]\n(.*?)^```$", (ROOT / "docs" / "behind-a-proxy.md").read_text(),
                     re.DOTALL | re.MULTILINE).group(1)
    settings = {f"HTTP_{key.upper()}": value for key, value in re.findall(r"^(\w+) = (.*)$", text, re.MULTILINE)}
    assert settings.pop("HTTP_UNIX") == SOCKET
    return settings


class Connection(http.client.HTTPSConnection):
    """To the name of the front, wherever it is."""

    def connect(self):
        plain = socket.create_connection((LOOPBACK, self.port), self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=NAME)


class Front:
    settings = {**DIRECT, **page(), "HTTP_TOKEN": TOKEN}

    @classmethod
    def setUpClass(cls):
        if not shutil.which(cls.program):
            raise unittest.SkipTest(f"{cls.program} is not installed")
        super().setUpClass()
        cls.certificate, cls.key = cls.directory / "front.crt", cls.directory / "front.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-keyout", cls.key, "-out", cls.certificate, "-days", "2", "-subj", f"/CN={NAME}",
                        "-addext", f"subjectAltName=DNS:{NAME}"], check=True, capture_output=True)

    def setUp(self):
        super().setUp()
        self.port, self.socket = Ports.take(), str(self.directory / f"{self._testMethodName[-40:]}.sock")
        self.url = f"https://{NAME}:{self.port}"
        self.behind = self.gateway(HTTP_UNIX=self.socket, SERVER_PUBLIC_URL=self.url)
        self.folder = self.path("front")
        self.folder.mkdir()
        self.front = Process(self.command(), self.folder / "log", dict(os.environ, **self.environment()))
        self.addCleanup(self.front.stop)
        wait_until(lambda: accepts_connections(self.port), 20, self.program)

    def environment(self):
        return {}

    def connection(self):
        trust = ssl.create_default_context(cafile=self.certificate)
        connection = Connection(NAME, self.port, timeout=60, context=trust)
        self.addCleanup(connection.close)
        return connection

    def curl(self, *arguments, expect=(0,)):
        done = subprocess.run(["curl", "-sS", "--max-time", "60", "--cacert", str(self.certificate), "--resolve",
                               f"{NAME}:{self.port}:{LOOPBACK}", *map(str, arguments)], capture_output=True)
        self.assertIn(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout

    def target(self, to, name, **query):
        return self.url + self.behind.target(to, name, **query)

    def test_an_upload_arrives_and_is_counted_for_who_made_it(self):
        peer = self.recipient("alice")
        upload, digest = self.file(5 * MIB)
        spoof = "-H", "Forwarded: for=6.6.6.6", "-H", "X-Forwarded-For: 6.6.6.6"
        for protocol in "--http1.1", "--http2":
            self.curl(protocol, "--fail-with-body", *spoof, "-u", f":{TOKEN}", "-T", upload,
                      self.target(peer.jid, "a.bin", wait=30))
        self.assertEqual(peer.wait("file", sha256=digest)["size"], 5 * MIB)
        wait_until(lambda: [line["addr"] for line in self.behind.logged("http.request") if line["method"] == "PUT"] ==
                   [LOOPBACK] * 2, 10, "two lines")

    def test_a_file_is_offered_while_it_comes(self):
        peer, connection = self.recipient("alice"), self.connection()
        connection.putrequest("PUT", self.behind.target(peer.jid, "slow.bin", mode="stream", wait=30))
        connection.putheader("Content-Length", str(MIB))
        connection.putheader("Authorization", BEARER["Authorization"])
        connection.endheaders()
        connection.send(bytes(MIB // 2))
        peer.wait("begun")
        connection.send(bytes(MIB // 2))
        answer = connection.getresponse()
        self.assertEqual((answer.status, json.load(answer)["state"]), (200, "delivered"))

    def test_a_body_without_a_length_arrives(self):
        peer = self.recipient("alice")
        done = subprocess.run(["curl", "-sS", "--fail-with-body", "--cacert", str(self.certificate), "--resolve",
                               f"{NAME}:{self.port}:{LOOPBACK}", "-u", f":{TOKEN}", "-T", "-",
                               self.target(peer.jid, "hello.txt", wait=30)], input=b"hello", capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(peer.wait("file")["size"], 5)

    def test_a_refusal_comes_before_the_body(self):
        upload, _ = self.file(5 * MIB)
        said = self.curl("-T", upload, "-w", "\n%{http_code} %{size_upload}", self.target("alice@localhost", "a.bin"),
                         expect=self.refused)
        body, _, last = said.rpartition(b"\n")
        self.assertEqual(last.split()[0], b"401", said)
        self.assertLess(int(last.split()[1]), 5 * MIB)
        if self.refused == (0,):
            self.assertIn(b'"code":"auth_missing"', body)

    def test_who_waits_is_answered(self):
        silent = self.recipient("bob", "--behave", "ignore")
        upload, _ = self.file(1000)
        said = self.curl("-T", upload, "-u", f":{TOKEN}", "-w", "\n%{http_code}", self.target(silent.jid, "a", wait=3))
        self.assertEqual(said.split(b"\n")[-1], b"202")

    def test_a_link_leads_through_it_and_is_not_logged(self):
        peer, upload = self.recipient("bob", "--no-streams"), self.file(MIB)[0]
        sent = json.loads(self.curl("-T", upload, "-u", f":{TOKEN}", self.target(peer.jid, "a.bin", wait=30)))
        self.assertEqual(sent["state"], "link_sent", sent)
        link = peer.wait("message")["body"]
        self.assertTrue(link.startswith(self.url + "/d/"), link)
        self.assertEqual(self.curl("--fail", link), upload.read_bytes())
        self.assertEqual(self.curl("--fail", "-r", "10-19", link), upload.read_bytes()[10:20])
        self.assertNotIn(link.split("/")[4], self.access_log())

    def test_an_event_comes_when_it_happens(self):
        if b"/v1/events" not in self.behind.get("/v1/openapi.yaml", headers=BEARER).body:
            self.skipTest("there are no events yet")
        connection = self.connection()
        connection.request("GET", "/v1/events", headers=BEARER)
        stream = connection.getresponse()
        self.assertEqual(stream.status, 200)
        self.curl("-T", self.file(1000)[0], "-u", f":{TOKEN}", self.target("erin@localhost", "a"))
        told = next((line for line in stream if line.startswith(b"event: transfer.")), None)
        self.assertIsNotNone(told)
        stream.close()
        connection.close()
        wait_until(lambda: [line for line in self.behind.logged("http.request") if line["route"] == "/v1/events"], 10,
                   "the end of the stream")


class Nginx(Front, Case):
    program = "nginx"
    refused = (0,)

    def command(self):
        site = (DEPLOY / "nginx" / "jidpost.conf").read_text()
        for old, new in ((SOCKET, self.socket), ("listen 443", f"listen {LOOPBACK}:{self.port}"),
                         ("    listen [::]:443 ssl http2;\n", ""),
                         (f"/etc/letsencrypt/live/{NAME}/fullchain.pem", str(self.certificate)),
                         (f"/etc/letsencrypt/live/{NAME}/privkey.pem", str(self.key))):
            self.assertIn(old, site)
            site = site.replace(old, new)
        places = "".join(f"{name}_temp_path {self.folder}/{name};\n"
                         for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        configuration = self.folder / "nginx.conf"
        configuration.write_text(f"daemon off;\nuser root;\npid {self.folder}/pid;\nerror_log stderr;\nevents {{}}\n"
                                 f"http {{\naccess_log {self.folder}/access.log;\ngzip on;\n{places}{site}}}\n")
        return ["nginx", "-p", str(self.folder), "-c", str(configuration), "-e", "stderr"]

    def access_log(self):
        return (self.folder / "access.log").read_text()


class Caddy(Front, Case):
    program = "caddy"
    refused = (0, 18)  # the status comes; Go may drop the text of an answer when the rest of a body is not taken

    def command(self):
        site = (DEPLOY / "caddy" / "Caddyfile").read_text()
        for old, new in ((SOCKET, self.socket),
                         (f"\n{{$SITE:{NAME}}} {{", f"\nhttps://{NAME}:{self.port} {{\n\tbind {LOOPBACK}\n"
                          f"\ttls {self.certificate} {self.key}")):
            self.assertIn(old, site)
            site = site.replace(old, new)
        configuration = self.folder / "Caddyfile"
        configuration.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site)
        return ["caddy", "run", "--config", str(configuration), "--adapter", "caddyfile"]

    def environment(self):
        return {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}

    def access_log(self):
        return (self.folder / "log").read_text()
