"""What is measured and with what: the servers, the gateway, nginx, the programs in C, all below one directory."""
import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from gateway import Client, Gateway  # noqa: E402
from lab import DOMAIN, LOOPBACK, PASSWORD, SERVERS, Ejabberd, Ports, Process, accepts_connections, wait_until  # noqa: E402
from measure import cpu_ns  # noqa: E402
from peers import BUILD, Peer  # noqa: E402

Ejabberd.emulator = ()  # measured as it is shipped

PROGRAMS = BUILD / "release" / "tests" / "bench"
UPLOAD_LIMIT = 64 << 20  # of the servers' upload services
BUFFERS = ("16k", "128k", "1m", "8m")  # nginx's client_body_buffer_size, from its default on


def run(*argv, seconds=600):
    """What a program prints as JSON; its name is one of tests/bench or a path."""
    program = PROGRAMS / str(argv[0])
    done = subprocess.run([str(program if program.exists() else argv[0]), *map(str, argv[1:])], capture_output=True,
                          text=True, timeout=seconds)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, argv))} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


class Recipient(Peer):
    """tests/bench/recipient.c."""

    def __init__(self, server, user, log, *options):
        super().__init__("bench", [str(PROGRAMS / "recipient")], f"{user}@{DOMAIN}/desk", server, log, options)
        self.rounds = itertools.count(1)
        self.round = None
        self.wait("ready")

    def expect(self, count, hold=False, gateway=None):
        """From here on, that many streams; with hold, nothing is read of them until go(). The processor time of the
        gateway from there on comes with done()."""
        self.round = next(self.rounds)
        with self.news:
            self.events.clear()
        self.command(f"expect {self.round} {count} {'hold' if hold else 'flow'} "
                     f"{gateway.process.pid if gateway else ''}")

    def all_open(self, seconds=300):
        self.wait("open", seconds, round=self.round)

    def go(self):
        self.command("go")

    def done(self, seconds=300):
        told = self.wait("done", seconds, round=self.round)
        failed = [stream for stream in told["streams"] if "failure" in stream]
        if failed:
            raise AssertionError(f"{len(failed)} of {len(told['streams'])} streams failed, the first: {failed[0]}")
        return told


class Nginx:
    """With WebDAV's PUT (RFC 4918), one process, its files beside the gateway's spool."""

    def __init__(self, directory):
        self.directory, self.port = Path(directory), Ports.take()
        for part in ("files", "temp"):
            (self.directory / part).mkdir(parents=True)
        places = "".join(f"location /{size}/ {{ client_body_buffer_size {size}; }}\n" for size in BUFFERS)
        (self.directory / "nginx.conf").write_text(f"""
            daemon off;
            master_process off;
            pid {self.directory}/nginx.pid;
            events {{ worker_connections 1024; }}
            http {{
                access_log off;
                client_max_body_size 0;
                client_body_temp_path {self.directory}/temp;
                proxy_temp_path {self.directory}/temp;
                fastcgi_temp_path {self.directory}/temp;
                uwsgi_temp_path {self.directory}/temp;
                scgi_temp_path {self.directory}/temp;
                server {{
                    listen {LOOPBACK}:{self.port};
                    root {self.directory}/files;
                    dav_methods PUT;
                    create_full_put_path on;
                    {places}
                }}
            }}""")
        self.process = Process(["/usr/sbin/nginx", "-p", str(self.directory), "-e", str(self.directory / "error.log"),
                                "-c", str(self.directory / "nginx.conf")], self.directory / "console.log")
        wait_until(lambda: self.alive() and accepts_connections(self.port), 20, "nginx")

    def alive(self):
        if self.process.running():
            return True
        raise AssertionError(f"nginx ended:\n{self.process.tail()}")

    def url(self, buffer):
        return f"http://{LOOPBACK}:{self.port}/{buffer}/file"

    def remove(self, buffer):
        (self.directory / "files" / buffer / "file").unlink()


class Rig:
    def __init__(self, directory, runs, quick):
        self.directory, self.runs, self.quick = Path(directory), runs, quick
        self.servers, self.files, self.count = {}, {}, itertools.count(1)
        self.going = []
        self.web = None

    def size(self, full, quick):
        return quick if self.quick else full

    def path(self, name):
        return self.directory / f"{next(self.count)}-{name}"

    def new_server(self, name):
        server = SERVERS[name](self.path(name), upload=UPLOAD_LIMIT)
        self.going.append(server.kill)
        return server.start()

    def server(self, name):
        """One of each for a benchmark."""
        if name not in self.servers:
            self.servers[name] = self.new_server(name)
        return self.servers[name]

    def nginx(self):
        if not self.web:
            self.web = Nginx(self.path("nginx"))
            self.going.append(self.web.process.kill)
        return self.web

    def file(self, size):
        """Random bytes on the disk, made once."""
        if size not in self.files:
            self.files[size] = self.path(f"{size}.bin")
            with open(self.files[size], "wb") as out:
                while out.tell() < size:
                    out.write(os.urandom(min(size - out.tell(), 1 << 20)))
            os.sync()
        return self.files[size]

    def gateway(self, server, resource="jidpost", **settings):
        """The release build, directly reachable; what a measurement does not ask for otherwise is the default."""
        port = Ports.take()
        gateway = Gateway(self.server(server), self.path("gateway"), build="release",
                          jid=f"gateway@{DOMAIN}/{resource}",
                          **{"LOG_LEVEL": "info", "SOCKS5_ADVERTISE": LOOPBACK, "SOCKS5_LISTEN": f"{LOOPBACK}:{port}",
                             **settings})
        gateway.socks5_port = port
        self.going.append(gateway.kill)
        return gateway.start()

    def recipient(self, server, user="alice", *options):
        recipient = Recipient(self.server(server), user, self.path(f"{user}.log"), *options)
        self.going.append(recipient.kill)
        return recipient

    def slixmpp(self, server, user, role):
        peer = Peer("slixmpp", ["/usr/bin/python3", str(HERE / "slixmpp_ways.py"), role], f"{user}@{DOMAIN}/desk",
                    self.server(server), self.path(f"{user}.log"))
        self.going.append(peer.kill)
        peer.wait("ready", 30)
        return peer

    def warm(self, gateway, recipient):
        """Who the recipient is and what it takes is known from here on."""
        recipient.expect(1)
        answer = gateway.put(recipient.jid, b"warm", wait=30)
        if answer.status != 200:
            raise AssertionError(f"the first transfer failed: {answer}")
        recipient.done()

    def verify(self, server, gateway, path):
        """A recipient that looks at every byte gets the file as it is."""
        recipient = self.recipient(server, "bob", "--check")
        recipient.expect(1)
        curl(path, gateway_url(gateway, recipient.jid, "file.bin"))
        told = recipient.done()["streams"][0]["sha256"]
        recipient.kill()
        with open(path, "rb") as file:
            if told != hashlib.file_digest(file, "sha256").hexdigest():
                raise AssertionError("the bytes that arrived are not those that were sent")

    def close(self):
        for end in reversed(self.going):
            end()


def settle(*pids):
    """What was written is on the disk, and those processes have come to rest (they may be deleting what they sent):
    nothing of it is left to be done beside the next measurement."""
    os.sync()
    before = cpu_ns(*pids)
    while pids:
        time.sleep(0.05)
        now = cpu_ns(*pids)
        if now - before < 1e6:
            break
        before = now


def curl(path, url, seconds=600):
    """Uploads as a user does. Returns the seconds it took, by curl itself, and the answer as JSON, if it is."""
    done = subprocess.run(["curl", "-sS", "--max-time", str(seconds), "-T", str(path), "-w",
                           "\n%{time_total} %{http_code}", url], capture_output=True, text=True)
    body, _, last = done.stdout.rpartition("\n")
    if done.returncode or not last.split()[1].startswith("2"):
        raise AssertionError(f"curl {url}: {done.stderr} {done.stdout[-2000:]}")
    return float(last.split()[0]), json.loads(body) if body.startswith("{") else None


def gateway_url(gateway, to, name=None, **query):
    return f"http://{LOOPBACK}:{gateway.port}{Client.target(to, name, **query)}"


def put_many(gateway, to, count, at_once, path, **query):
    """[(number, began, ended, status)] of uploads named after their number, with an ending as files have."""
    target = Client.target(to, "NUMBER.bin", **query).replace("NUMBER", "{}")
    requests = run("http_load", gateway.port, "put", target, count, at_once, path)["requests"]
    bad = [status for *_, status in requests if status // 100 != 2]
    if bad:
        raise AssertionError(f"{len(bad)} of {count} uploads failed, answered with {sorted(set(bad))} (0: not at all); "
                             f"the gateway's log ends with\n{gateway.tail(5)}")
    return requests


class Prober:
    """Asks for /livez every ten milliseconds until it is stopped."""

    def __init__(self, gateway):
        self.process = subprocess.Popen([str(PROGRAMS / "http_load"), str(gateway.port), "get", "/livez", "0", "1",
                                         "10"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self):
        """The milliseconds that each answer took."""
        out, _ = self.process.communicate(timeout=60)
        return [(ended - began) / 1e6 for _, began, ended, _ in json.loads(out)["requests"]]


def loop_turns(gateway):
    """{loop: line of the log}, once the gateway has ended."""
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if '"loop.turns"' in line]
    return {line["loop"]: line for line in lines}


def now_ns():
    return time.monotonic_ns()
