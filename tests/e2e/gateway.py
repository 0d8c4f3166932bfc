"""The gateway under test, as its users see it: a program with an environment, a log, and an HTTP address."""
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse
from pathlib import Path

from lab import DOMAIN, FILES, LOOPBACK, PASSWORD, Process, wait_until
from peers import BUILD

SANITIZER = re.compile(r"(Address|Leak|Thread|UndefinedBehavior|Memory)Sanitizer|runtime error:")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.type = headers.get("content-type", "")
        self.json = json.loads(body) if "json" in self.type and body else None

    @property
    def transfer(self):
        """The transfer that the answer is, or that its problem carries."""
        return self.json.get("transfer", self.json)

    def __repr__(self):
        return f"{self.status} {self.body[:2000].decode(errors='replace')}"


class SocketConnection(http.client.HTTPConnection):
    """Over a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """What a caller can do over HTTP, or HTTPS: ca is the file of the authority then. headers go with every request.
    path: of a socket, where there is no port."""
    ca = path = None

    def __init__(self, port=None, headers=None):
        self.port, self.headers = port, headers or {}

    @property
    def url(self):
        return f"{'https' if self.ca else 'http'}://{LOOPBACK}:{self.port}"

    def connection(self, seconds=60):
        if self.ca:
            return http.client.HTTPSConnection(LOOPBACK, self.port, timeout=seconds,
                                               context=ssl.create_default_context(cafile=self.ca))
        if not self.port:
            return SocketConnection(self.path, seconds)
        return http.client.HTTPConnection(LOOPBACK, self.port, timeout=seconds)

    def wait_ready(self, ready=True, seconds=30):
        wait_until(lambda: (self.get("/readyz").status == 200) == ready, seconds, f"/readyz {200 if ready else 503}")

    def request(self, method, target, body=None, headers=None, seconds=60):
        connection = self.connection(seconds)
        try:
            connection.request(method, target, body, {**self.headers, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, target, **options):
        return self.request("GET", target, **options)

    @staticmethod
    def target(to, name=None, **query):
        path = "/v1/to/" + urllib.parse.quote(to, safe="@")
        if name is not None:
            path += "/" + urllib.parse.quote(name, safe="")
        return path + ("?" + urllib.parse.urlencode(query) if query else "")

    def put(self, to, body, name="file.bin", headers=None, seconds=120, **query):
        return self.request("PUT", self.target(to, name, **query), body, headers, seconds)

    def curl(self, path, to, seconds=120, options=(), **query):
        """Uploads a file the way a user does."""
        url = self.url + self.target(to, Path(path).name, **query)
        trust = ["--cacert", str(self.ca)] if self.ca else []
        done = subprocess.run(["curl", "-sS", *trust, *options, "--max-time", str(seconds), "-T", str(path), "-w",
                               "\n%{http_code} %{content_type}", url], capture_output=True)
        if done.returncode:
            raise AssertionError(f"curl: {done.stderr.decode()}")
        body, _, last = done.stdout.rpartition(b"\n")
        status, _, kind = last.decode().partition(" ")
        return Answer(int(status), {"content-type": kind}, body)

    def transfer(self, identifier):
        return self.get("/v1/transfers/" + identifier).json

    def wait_final(self, identifier, seconds=60):
        """Asks until the transfer is final; the gateway holds each question for a while."""
        deadline = time.monotonic() + seconds
        while True:
            transfer = self.get(f"/v1/transfers/{identifier}?wait=5", seconds=30).json
            if transfer["final"]:
                return transfer
            if time.monotonic() > deadline:
                raise AssertionError(f"not final within {seconds} s: {json.dumps(transfer, indent=1)}")

    def inbox(self, **query):
        """The files that lie there, newest first."""
        answer = self.get("/v1/inbox?" + urllib.parse.urlencode(query))
        if answer.status != 200:
            raise AssertionError(f"/v1/inbox: {answer}")
        return answer.json["items"]

    def wait_inbox(self, seconds=60, **query):
        """The next file that comes and fits; the gateway holds each question for a while."""
        deadline = time.monotonic() + seconds
        while True:
            items = self.inbox(wait=5, **query)
            if items:
                return items[0]
            if time.monotonic() > deadline:
                raise AssertionError(f"no file within {seconds} s; there are: {self.inbox(state='failed')}")

    def wait_state(self, identifier, *states, seconds=30):
        return wait_until(lambda: self._in_state(identifier, states), seconds, f"{identifier} in {states}")

    def _in_state(self, identifier, states):
        transfer = self.transfer(identifier)
        if transfer["final"] and transfer["state"] not in states:
            raise AssertionError(f"final, but none of {states}: {json.dumps(transfer, indent=1)}")
        return transfer if transfer["state"] in states else None


def as_component(server):
    """The settings of a gateway that is a component of that server's."""
    return {"XMPP_JID": FILES, "XMPP_PORT": str(server.component_port), "XMPP_PASSWORD": None,
            "XMPP_COMPONENT_SECRET": PASSWORD, "XMPP_TLS": None}


class Gateway(Client):
    """settings: configuration keys as their environment twins without the prefix, XMPP_PORT="5222"."""

    def __init__(self, server, directory, build="dev", jid=f"gateway@{DOMAIN}/jidpost", **settings):
        super().__init__()
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.program = BUILD / build / "jidpost"
        self.log = self.directory / "jidpost.log"
        self.state = self.directory / "state"
        self.settings = {"XMPP_JID": jid, "XMPP_PASSWORD": PASSWORD, "XMPP_SERVER": LOOPBACK,
                         "XMPP_PORT": str(server.port), "XMPP_TLS": "off",
                         "HTTP_LISTEN": f"{LOOPBACK}:0", "SOCKS5_LISTEN": f"{LOOPBACK}:0",
                         "SPOOL_RETENTION": "0",  # so that an empty spool shows that nothing was left behind
                         "SERVER_STATE_DIR": str(self.state), "LOG_FORMAT": "json", "LOG_LEVEL": "debug",
                         "SERVER_DRAIN_TIMEOUT": "0", **settings}
        self.settings = {key: value for key, value in self.settings.items() if value is not None}
        self.environment = {}  # beside the settings
        self.arguments = []
        self.process = None
        self.expected_errors = set()
        self.read = 0

    def start(self, ready=True):
        self.state.mkdir(exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JIDPOST_")}
        environment.update({"JIDPOST_" + key: value for key, value in self.settings.items()})
        environment.update(self.environment)
        environment.update(ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1",
                           TSAN_OPTIONS="halt_on_error=1")
        environment.update(self.environment)
        self.read = self.log.stat().st_size if self.log.exists() else 0
        self.process = Process([str(self.program), "serve", *self.arguments], self.log, environment)
        line = wait_until(lambda: self._listening(), 30, "event=http.listening")
        listening = json.loads(line)
        self.port, self.path = listening.get("port"), listening.get("unix")
        if ready:
            self.wait_ready()
        return self

    def _listening(self):
        lines = self.log.read_text(errors="replace")[self.read:].splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n") and '"http.listening"' in line:
                return line
        if not self.process.running():
            raise AssertionError(f"the gateway ended with {self.process.popen.returncode}:\n{self.process.tail()}")
        return None

    def stop(self):
        """Ends it in good order and holds it to that: exit code 0, no sanitizer report, no unexpected error."""
        if self.process is None:
            return
        process, self.process = self.process, None
        code = process.stop()
        self.check_log()
        if code != 0:
            raise AssertionError(f"the gateway ended with {code} after SIGTERM:\n{process.tail()}")

    def signal(self, number):
        self.process.popen.send_signal(number)

    def reload(self, event="config.reloaded"):
        """SIGHUP; the line that tells how it went."""
        before = len(self.logged(event))
        self.signal(signal.SIGHUP)
        return wait_until(lambda: self.logged(event)[before:], 10, event)[0]

    def await_end(self, seconds=20):
        """It ends by itself, in good order."""
        self.process.popen.wait(seconds)
        self.stop()

    def logged(self, event):
        """The lines of that event since the last start, oldest first."""
        lines = self.log.read_text(errors="replace")[self.read:].splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n") and f'"event":"{event}"' in line]

    def kill(self):
        if self.process:
            self.process.stop(signal.SIGKILL)
            self.process = None

    def check_log(self):
        for line in self.log.read_text(errors="replace").splitlines():
            if SANITIZER.search(line):
                raise AssertionError("sanitizer report:\n" + self.tail(200))
            try:
                entry = json.loads(line)
            except ValueError:
                if line.startswith('{"ts"'):
                    continue  # cut short by kill -9
                raise AssertionError(f"not a log line: {line!r}\n{self.tail()}") from None
            if entry["level"] == "error" and entry["event"] not in self.expected_errors:
                raise AssertionError(f"unexpected error in the log: {line}")

    def tail(self, lines=60):
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(text[-lines:])

    def peak_memory(self):
        """VmHWM in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024

    def spooled(self):
        return sorted(path.name for path in (self.state / "spool").rglob("*") if path.is_file())
