"""The images deliver. Run by tests/image/run, which has built them and tells podman where they are."""
import json
import os
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import peers  # noqa: E402
from case import Case  # noqa: E402
from gateway import Client  # noqa: E402
from lab import LOOPBACK, PASSWORD, Ports, accepts_connections, wait_until  # noqa: E402

IMAGE = "localhost/jidpost"
TOKEN = "token-of-the-image-tests"


def run(*argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def served(port, token):
    """Once something answers there."""
    wait_until(lambda: accepts_connections(port), 60, f"port {port}")
    return Client(port, {"Authorization": f"Bearer {token}"})


class Image(Case):
    def test_it_says_what_it_is_and_runs_as_nobody_in_particular(self):
        image = json.loads(run("podman", "image", "inspect", IMAGE))[0]
        self.assertRegex(image["Config"]["User"], r"^[1-9]\d*:[1-9]\d*$")
        self.assertEqual(sorted(image["Config"]["ExposedPorts"]), ["5086/tcp", "8080/tcp"])
        self.assertEqual(image["Labels"]["org.opencontainers.image.licenses"], "MIT")
        self.assertEqual(run("podman", "run", "--rm", "--read-only", IMAGE, "version").split()[0], "jidpost")
        tools = run("podman", "run", "--rm", "--entrypoint", "sh", IMAGE, "-c", "command -v gcc cmake make || true")
        self.assertEqual(tools, "")

    def test_it_delivers_with_a_read_only_root_and_no_rights(self):
        port = Ports.take()
        container = run("podman", "run", "--detach", "--read-only", "--cap-drop", "all", "--network", "host",
                        "--env", f"JIDPOST_HTTP_LISTEN={LOOPBACK}:{port}", "--env", f"JIDPOST_HTTP_TOKEN={TOKEN}",
                        "--env", f"JIDPOST_SOCKS5_LISTEN={LOOPBACK}:0", "--env", f"JIDPOST_SOCKS5_ADVERTISE={LOOPBACK}",
                        "--env", "JIDPOST_XMPP_JID=gateway@localhost", "--env", f"JIDPOST_XMPP_PASSWORD={PASSWORD}",
                        "--env", f"JIDPOST_XMPP_SERVER={LOOPBACK}", "--env", f"JIDPOST_XMPP_PORT={self.server.port}",
                        "--env", "JIDPOST_XMPP_TLS=off", IMAGE).strip()
        self.addCleanup(run, "podman", "rm", "--force", "--volumes", container)
        self.addCleanup(lambda: self.failures() == self.failures_before or print(run("podman", "logs", container)))
        gateway = served(port, TOKEN)
        gateway.wait_ready()
        run("podman", "healthcheck", "run", container)
        peer = self.recipient("alice")
        path, digest = self.file(1 << 20)
        answer = gateway.put(peer.jid, path.read_bytes(), wait=30)
        self.assertDelivered(answer, "direct")
        self.assertEqual(peer.wait("file")["sha256"], digest)
        run("podman", "stop", "--time", "20", container)
        self.assertEqual(run("podman", "inspect", "--format", "{{.State.ExitCode}}", container).strip(), "0")


class Composed(unittest.TestCase):
    """files: of compose, services: whose logs tell what went wrong."""
    files, services = ("docker-compose.yml",), ("prosody", "jidpost")

    def compose(self, *arguments):
        files = [word for file in self.files for word in ("--file", file)]
        return run("podman-compose", "--project-name", "jidpost-test", *files, *arguments, cwd=ROOT,
                   env={**os.environ, **self.settings})

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(prefix="jidpost-compose-"))
        self.addCleanup(run, "rm", "-r", str(self.directory))
        http, xmpp, socks5 = Ports.take(), Ports.take(), Ports.take()
        self.settings = dict(line.split("=", 1) for line in run(str(ROOT / "deploy/compose/make-env")).splitlines())
        self.settings.update(HTTP_PUBLISH=f"{LOOPBACK}:{http}", XMPP_PUBLISH=f"{LOOPBACK}:{xmpp}",
                             SOCKS5_PUBLISH=f"{LOOPBACK}:{socks5}", ADVERTISE=f"{LOOPBACK}:{socks5}")
        self.ports = types.SimpleNamespace(http=http, port=xmpp)
        self.addCleanup(run, "podman", "network", "rm", "--force", "jidpost-test_default")
        self.addCleanup(self.compose, "down", "--volumes")
        self.addCleanup(self.tell)

    def tell(self):
        if not self._outcome.result.wasSuccessful():
            print(run("podman", "ps", "--all"))
            for service in self.services:
                print(subprocess.run(["podman", "logs", f"jidpost-test_{service}_1"], capture_output=True, text=True))

    def up(self):
        """The gateway and a recipient, both online."""
        self.compose("up", "--detach", "--no-build")
        gateway = served(self.ports.http, self.settings["JIDPOST_HTTP_TOKEN"])
        gateway.wait_ready(seconds=60)
        authority = self.directory / "ca.crt"
        authority.write_text(run("podman", "exec", "jidpost-test_prosody_1", "cat", "/certs/ca.crt"))
        peer = peers.slixmpp(self.ports, "alice", self.directory / "alice.log", "--ca", str(authority),
                             domain="xmpp.example", password=self.settings["ALICE_PASSWORD"])
        self.addCleanup(peer.kill)
        peer.wait("ready")
        return gateway, peer

    def deliver(self, gateway, peer, to):
        seen = len(peer.all("file"))
        answer = gateway.put(to, os.urandom(1 << 20), wait=30, digest="sha-256")
        self.assertEqual((answer.status, answer.json["state"], answer.json["method"]["path"]),
                         (200, "delivered", "direct"), answer)
        wait_until(lambda: len(peer.all("file")) > seen, 10, "the file at the recipient")
        self.assertEqual(peer.all("file")[-1]["sha256"], answer.json["file"]["sha256"])


class Compose(Composed):
    def test_it_delivers_from_the_first_start_on_and_after_a_restart(self):
        gateway, peer = self.up()
        self.deliver(gateway, peer, "alice@xmpp.example/desk")
        run("podman", "restart", "jidpost-test_jidpost_1")
        gateway = served(self.ports.http, self.settings["JIDPOST_HTTP_TOKEN"])
        gateway.wait_ready(seconds=60)
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 1)
        wait_until(lambda: gateway.get("/v1/recipients/alice@xmpp.example").json["reachable"], 30, "alice seen")
        self.deliver(gateway, peer, "alice@xmpp.example")
        self.assertEqual(Client(self.ports.http).get("/v1/xmpp").status, 401)


class BehindCaddy(Composed):
    files = "docker-compose.yml", "deploy/compose/caddy.yml"
    services = "prosody", "jidpost", "caddy"

    def test_it_delivers_by_https_and_knows_the_caller(self):
        https = Ports.take()
        self.settings.update(HTTPS_PUBLISH=f"{LOOPBACK}:{https}", HTTP_REDIRECT_PUBLISH=f"{LOOPBACK}:{Ports.take()}")
        _, peer = self.up()
        upload = self.directory / "upload.bin"
        upload.write_bytes(os.urandom(3 << 20))
        said = run("curl", "-k", "-sS", "--fail-with-body", "--retry", "10", "--retry-all-errors", "-u",
                   f":{self.settings['JIDPOST_HTTP_TOKEN']}", "-T", str(upload),
                   f"https://localhost:{https}/v1/to/alice@xmpp.example%2Fdesk/?wait=30")
        self.assertEqual(json.loads(said)["state"], "delivered")
        self.assertEqual(peer.wait("file")["size"], 3 << 20)
        done = subprocess.run(["podman", "logs", "jidpost-test_jidpost_1"], capture_output=True, text=True)
        line = next(line for line in done.stderr.splitlines() if '"method":"PUT"' in line)
        self.assertRegex(json.loads(line)["addr"], r"^\d+\.\d+\.\d+\.\d+$")


if __name__ == "__main__":
    unittest.main()
