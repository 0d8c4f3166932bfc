"""Peers that mean harm and a world that breaks, and what the others notice of it.

Bystanders send small files to a well-behaved recipient, one after the other; their milliseconds are taken before and
during. A case is a function of a Scene and a Bystander that yields a description once the trouble is on, is resumed
when the bystanders are done, and then ends the trouble and yields what came of it. Attackers come from 127.0.0.2, since
limits are per address."""
import contextlib
import os
import resource
import socket
import sqlite3
import statistics
import subprocess
import threading
import time
from pathlib import Path

from lab import DOMAIN, LOOPBACK, Cable, Ports, wait_until
from peer.peer import BYTESTREAM, OFFER, SI_STREAMS, Peer
from peer.script import accept_si, streamhosts, use
from peer import socks
from scene import AGAIN, DIRECT, Fault, Scene
import world

ATTACKER = "127.0.0.2"
CROWD = 2000
LEAST, SECONDS = 60, 6  # so many transfers, and for at least so long, are a measurement
MEBIBYTE = 1 << 20
QUICK = {"DELIVERY_STALL_TIMEOUT": "3s", "DELIVERY_LINGER_TIMEOUT": "3s", "DELIVERY_MAX_ATTEMPTS": "1", **AGAIN}


class Bystander:
    def __init__(self, gateway, recipient, quick):
        self.gateway, self.recipient, self.sent, self.quick = gateway, recipient, 0, quick
        self.least, self.seconds = (3, 0) if quick else (LEAST, SECONDS)

    def send(self, wait=30):
        """(milliseconds, the answer) of one small file."""
        self.sent += 1
        began = time.monotonic()
        answer = self.gateway.put(self.recipient.jid, b"a small file", f"{self.sent}.txt", wait=wait)
        return (time.monotonic() - began) * 1000, answer

    def measure(self):
        """"p50 / p99" of enough of them, each delivered."""
        took, until = [], time.monotonic() + self.seconds
        while len(took) < self.least or time.monotonic() < until:
            one, answer = self.send()
            if answer.status != 200 or answer.json["state"] != "delivered":
                raise Fault(f"a bystander's file was not delivered: {answer}")
            took.append(one)
        return f"{statistics.median(took):.0f} / {statistics.quantiles(took, n=100)[98]:.0f} ms"

    def well_again(self, seconds=60):
        """How long it takes from now until a file is delivered."""
        began = time.monotonic()

        def delivered():
            try:
                return self.send(wait=5)[1].status == 200
            except OSError:
                return False
        wait_until(delivered, seconds, "the first delivery after the trouble")
        return time.monotonic() - began


def crowd(port, first):
    """Sockets of the attacker, each of which has said that much."""
    sockets = []
    for _ in range(CROWD):
        sock = socket.socket()
        sock.bind((ATTACKER, 0))
        sock.settimeout(5)
        try:
            sock.connect((LOOPBACK, port))
            sock.sendall(first)
        except OSError:
            pass
        sockets.append(sock)
    return sockets


def still_open(sockets):
    count = 0
    for sock in sockets:
        sock.setblocking(False)
        try:
            count += sock.recv(4096, socket.MSG_PEEK) != b""
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


def all_cut(sockets):
    """Closes them once the gateway has; what each was told before."""
    told, began = {}, time.monotonic()
    for sock in sockets:
        said = b""
        sock.setblocking(True)
        sock.settimeout(max(1, 60 - (time.monotonic() - began)))
        try:
            while data := sock.recv(4096):
                said += data
        except TimeoutError:
            raise Fault("a slow HTTP client is still open") from None
        except OSError:
            pass
        status = said[9:12].decode() or "no word"
        told[status] = told.get(status, 0) + 1
        sock.close()
    return "all closed; told: " + ", ".join(f"{count} × {status}" for status, count in sorted(told.items()))


def socks5_port(gateway):
    return int(gateway.settings["SOCKS5_LISTEN"].rpartition(":")[2])


def half_open_socks5(scene, by):
    sockets = crowd(socks5_port(by.gateway), b"\5")
    yield f"{CROWD} connections to the SOCKS5 listener from one address, each with one byte of its greeting"
    held = still_open(sockets)
    for sock in sockets:
        sock.close()
    yield f"{held} still open behind the measurement"


def slow_http(scene, by):
    line = f"PUT /v1/to/alice@{DOMAIN}/x HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Length: 9\r\n\r\n".encode()
    sockets, over = crowd(by.gateway.port, line[:20]), threading.Event()

    def drip():
        for byte in line[20:]:
            if over.wait(0.5):
                return
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.send(bytes([byte]))
    dripping = threading.Thread(target=drip)
    dripping.start()
    yield f"{CROWD} HTTP clients, each sending a byte of its header every half second, header_timeout 3 s"
    outcome = all_cut(sockets)
    over.set()
    dripping.join()
    yield outcome


def slow_bodies(scene, by):
    head = f"PUT /v1/to/alice@{DOMAIN}/x HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Length: 1000000\r\n\r\n".encode()
    sockets, over = crowd(by.gateway.port, head), threading.Event()

    def drip():
        while not over.wait(0.5):
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.send(b"x")
    dripping = threading.Thread(target=drip)
    dripping.start()
    yield f"{CROWD} uploads, each with a byte of its body every half second, min_rate 1K over 3 s"
    outcome = all_cut(sockets)
    over.set()
    dripping.join()
    wait_until(lambda: by.gateway.spooled() == [], 30, "an empty spool")
    yield outcome


class Scripted:
    """bob, who takes streams by hand."""

    def __init__(self, scene, by):
        self.by, self.peer = by, Peer(scene.server, "bob", "hand", SI_STREAMS)
        scene.ends.append(self.peer.close)

    def offered(self, size, **query):
        """The id of a transfer to him, and his socket to its streamhost."""
        answer = self.by.gateway.put(self.peer.jid, os.urandom(size), "slow.bin", **query)
        accept_si(self.peer, self.peer.expect(OFFER))
        query = self.peer.expect(BYTESTREAM)
        jid, host, port = streamhosts(query)[0]
        sock = socks.connect((host, port), socks.name(query[0].get("sid"), query.get("from"), self.peer.jid))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        use(self.peer, query, jid)
        return answer.json["id"], sock


def end_of(by, identifiers):
    """What became of them; those that go on are cancelled."""
    told = []
    for identifier in identifiers:
        transfer = by.gateway.transfer(identifier)
        if not transfer["final"]:
            by.gateway.request("DELETE", f"/v1/transfers/{identifier}")
            told.append("under way, then cancelled")
        else:
            told.append(transfer["error"]["code"] if transfer["error"] else transfer["state"])
    return ", ".join(f"{told.count(one)} × {one}" for one in sorted(set(told)))


def a_byte_a_second(scene, by):
    bob = Scripted(scene, by)
    streams, over = [bob.offered(8 * MEBIBYTE) for _ in range(4)], threading.Event()

    def sip():
        while not over.wait(1):
            for _, sock in streams:
                with contextlib.suppress(OSError):
                    sock.recv(1)
    sipping = threading.Thread(target=sip)
    sipping.start()
    yield "a recipient who reads one byte a second of each of four files of 8 MiB"
    outcome = end_of(by, [identifier for identifier, _ in streams])
    over.set()
    sipping.join()
    for _, sock in streams:
        sock.close()
    yield outcome


def zombie(scene, by):
    bob = Scripted(scene, by)
    streams = [bob.offered(8 * MEBIBYTE) for _ in range(4)]
    yield "a recipient who never reads again, four files of 8 MiB, stall_timeout 3 s"
    outcome = end_of(by, [identifier for identifier, _ in streams])
    for _, sock in streams:
        sock.close()
    yield outcome


def garbage(scene, by):
    bob, over, noise = Scripted(scene, by), threading.Event(), os.urandom(MEBIBYTE)
    streams = [bob.offered(8 * MEBIBYTE) for _ in range(2)]

    def talk_back():
        while not over.is_set():
            for _, sock in streams:
                with contextlib.suppress(OSError):
                    sock.send(noise)
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, socks5_port(by.gateway)), 1) as sock:
                sock.send(noise)
    talking = threading.Thread(target=talk_back)
    talking.start()
    yield "a recipient who sends random bytes into its streams, and to the listener, as fast as it can"
    outcome = end_of(by, [identifier for identifier, _ in streams])
    over.set()
    talking.join()
    for _, sock in streams:
        sock.close()
    yield outcome


class Staller(Cable):
    """A way to the server that, while stalling, says yes to STARTTLS and then nothing."""
    stalling, stalled = False, 0

    def _carry(self, source, sink):
        try:
            while data := source.recv(65536):
                if self.stalling and b"<starttls" in data:
                    source.sendall(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                    self.stalled += 1
                    continue
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def stalled_starttls(scene, by):
    way = scene.way
    way.stalling = True
    way.cut()
    by.gateway.wait_ready(False)
    way.mend()
    wait_until(lambda: way.stalled, 20, "the gateway in the handshake")
    took = []
    for _ in range(LEAST):
        began = time.monotonic()
        if by.gateway.get("/livez").status != 200:
            raise Fault("/livez does not answer 200")
        took.append((time.monotonic() - began) * 1000)
    by.during = f"/livez alone: {statistics.median(took):.0f} / {statistics.quantiles(took, n=100)[98]:.0f} ms"
    yield "an XMPP server that says nothing after `<proceed/>`"
    parked, answer = by.send(wait=0)
    way.stalling = False
    outcome = f"an upload meanwhile: {answer.status} after {parked / 1000:.1f} s"
    yield outcome
    if by.gateway.wait_final(answer.json["id"])["state"] != "delivered":
        raise Fault("what was accepted meanwhile was not delivered")


def server_storm(scene, by):
    way, accepted = scene.way, []
    for _ in range(20):
        way.cut()
        answer = by.send(wait=0)[1]
        if answer.status != 202:
            raise Fault(f"an upload during the storm: {answer}")
        accepted.append(answer.json["id"])
        way.mend()
        time.sleep(0.3)  # the storm's own pace
    by.during = "–"
    yield "the connection to the XMPP server cut 20 times, every 0.3 s, an upload each time"
    states = [by.gateway.wait_final(identifier)["state"] for identifier in accepted]
    yield f"{states.count('delivered')} of {len(states)} delivered"
    if set(states) != {"delivered"}:
        raise Fault(f"accepted in the storm: {states}")


def disk_full(scene, by):
    ballast = by.gateway.state / "ballast"
    with open(ballast, "wb", buffering=0) as out, contextlib.suppress(OSError):
        while out.write(bytes(4096)):
            pass
    answers = [by.gateway.put(by.recipient.jid, os.urandom(size), "full.bin", wait=5) for size in (0, 1000, MEBIBYTE)]
    by.during = "–"
    yield f"the disk full to its last page ({scene.disk})"
    ballast.unlink()
    for answer in answers:
        if answer.status != 200 and not (answer.json and answer.json.get("code")):
            raise Fault(f"no clear error: {answer}")
    yield "uploads of 0, 1000 and 1048576 bytes: " + ", ".join(
        f"{answer.status} {answer.json.get('code', answer.json.get('state'))}" for answer in answers)


def locked_store(scene, by):
    other = sqlite3.connect(by.gateway.state / "jidpost.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    answer = by.send(wait=5)[1]
    took = time.monotonic() - began
    second = by.send(wait=5)[1]
    by.during = "–"
    yield "the store locked by another process"
    other.execute("ROLLBACK")
    other.close()
    for one in answer, second:
        if one.status not in (200, 202) and not (one.json and one.json.get("code")):
            raise Fault(f"no clear error: {one}")
    yield (f"an upload: {answer.status} {answer.json.get('code', answer.json.get('state'))} after {took:.1f} s; the next: "
           f"{second.status} {second.json.get('code', second.json.get('state'))}")


DISK_MIB = 12


def small_disk(scene, settings):
    path = scene.directory / "disk"
    path.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "jidpost-faults", str(path)],
                          capture_output=True, text=True)
    if done.returncode:
        raise Fault(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    scene.ends.append(lambda: subprocess.run(["umount", str(path)], check=True))
    scene.disk = f"a tmpfs of {DISK_MIB} MiB"
    settings["SERVER_STATE_DIR"] = str(path)


def little_patience(scene, settings):
    settings.update(HTTP_HEADER_TIMEOUT="3s", HTTP_MIN_RATE_WINDOW="3s")


def demand_tls(scene, settings):
    settings.update(XMPP_TLS="required", XMPP_CA=str(scene.server.authority.certificate), XMPP_SERVER=DOMAIN)


# name: (the case, what makes its world ready)
CASES = {case.__name__: (case, prepare) for case, prepare in (
    (half_open_socks5, None), (slow_http, little_patience), (slow_bodies, little_patience), (a_byte_a_second, None),
    (zombie, None), (garbage, None), (stalled_starttls, demand_tls), (server_storm, None), (disk_full, small_disk),
    (locked_store, None))}
CASES.update(world.CASES)


def one_case(name, case, prepare, options):
    with Scene(name, options.build) as scene:
        settings = {**DIRECT, **QUICK, "SOCKS5_LISTEN": f"{LOOPBACK}:{Ports.take()}"}
        scene.way = Staller(scene.server)
        scene.ends.append(scene.way.cut)
        if prepare:
            prepare(scene, settings)
        gateway = scene.gateway(start=False, server=scene.way, **settings)
        gateway.state = Path(gateway.settings["SERVER_STATE_DIR"])
        gateway.start()
        gateway.expected_errors.update(("store.write_failed", "store.unavailable"))
        by = Bystander(gateway, scene.recipient("alice"), options.quick)
        by.send()
        normal, by.during = by.measure(), None
        descriptors = len(os.listdir(f"/proc/{gateway.process.pid}/fd"))
        course = case(scene, by)
        what = next(course)
        during = by.during or by.measure()
        outcome = next(course)
        recovery = by.well_again()
        for _ in course:
            pass
        wait_until(lambda: len(os.listdir(f"/proc/{gateway.process.pid}/fd")) <= descriptors, 90, "its descriptors back")
        gateway.stop()
    row = {"row": name, "what": what, "outcome": outcome, "normal": normal, "during": during,
           "recovery": f"{recovery:.1f} s"}
    print(f"  {row}", flush=True)
    return row


def hostile(options):
    """hostile peers and a hostile world, with the latency of bystanders"""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found, faults = [], []
    for name, (case, prepare) in CASES.items():
        if options.only and name not in options.only:
            continue
        try:
            found.append(one_case(name, case, prepare, options))
        except (AssertionError, OSError) as fault:
            print(f"  {name}: {fault}", flush=True)
            faults.append(name)
    return found, faults
