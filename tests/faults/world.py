"""A world that breaks: its clocks jump, its server stops, its disk becomes read-only, its names have no addresses. Rows
of hostile.py; world.c, preloaded, does what cannot be done to one process alone."""
import ctypes
import datetime
import hashlib
import mmap
import os
import statistics
import threading
import time

from lab import DOMAIN, wait_until
from scene import Fault, preload

HOUR, DAY = 3600, 86400
JUMPS = (HOUR, -HOUR, DAY, -DAY, 0)  # from the true time, one after the other
MEBIBYTE = 1 << 20
RESTARTS = 10
BACKOFF = 40  # longer than the clock jumps
IDLE_CPU = 0.25  # of one core, far more than an idle gateway needs and far less than a loop


class Control(ctypes.Structure):
    """The twin of struct control in world.c."""
    _fields_ = [("wall_s", ctypes.c_int64), ("read_only", ctypes.c_int32), ("no_dns", ctypes.c_int32),
                ("refused", ctypes.c_int64), ("disk", ctypes.c_char * 4096)]


def rule_the_world(scene, settings):
    """What scene.gateway() takes its world from."""
    path = scene.path("control")
    path.write_bytes(bytes(ctypes.sizeof(Control)))
    with open(path, "r+b") as file:
        scene.world_map = mmap.mmap(file.fileno(), 0)
    scene.world = Control.from_buffer(scene.world_map)
    scene.environment.update(LD_PRELOAD=str(preload("world", scene.build)), WORLD_CONTROL=str(path))
    scene.environment.setdefault("ASAN_OPTIONS", "detect_leaks=0:verify_asan_link_order=0")


# ---- clocks

def prepare_clock(scene, settings):
    rule_the_world(scene, settings)
    settings.update(DELIVERY_STALL_TIMEOUT="300s", DELIVERY_MAX_ATTEMPTS="5", DELIVERY_BACKOFF=f"{BACKOFF}s",
                    SPOOL_RETENTION="3d")


def milliseconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000


def cpu_seconds(process):
    fields = open(f"/proc/{process.pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Patients:
    """A transfer in each state that lasts."""

    def __init__(self, scene, gateway):
        self.scene, self.gateway = scene, gateway
        self.body = os.urandom(8 * MEBIBYTE)
        self.bob = scene.recipient("bob", "--behave", "hold")
        self.dave = scene.recipient("dave", "--behave", "half")
        self.frank = scene.recipient("frank", "--behave", "decline")
        carol = f"carol@{DOMAIN}"  # who is not there
        self.running = self.accepted(self.bob.jid, self.body)
        self.waiting = self.accepted(self.dave.jid, self.body)
        self.held = self.accepted(carol, b"held", hold="30d")
        self.short = self.accepted(carol, b"short", hold="30d", ttl="12h")
        self.failed = self.accepted(self.frank.jid, b"failed")
        gateway.wait_state(self.running, "transferring")
        gateway.wait_state(self.held, "held")
        gateway.wait_state(self.short, "held")
        gateway.wait_state(self.failed, "failed")
        self.note_pause(0)

    def accepted(self, to, body, **query):
        answer = self.gateway.put(to, body, "patient", **query)
        if answer.status != 202:
            raise Fault(f"not accepted: {answer}")
        return answer.json["id"]

    def note_pause(self, ahead):
        wait_until(lambda: self.gateway.transfer(self.waiting)["next_attempt_at"], 20, "the pause of one that broke off")
        left = self.pause(ahead)
        if not 0 < left < 4 * BACKOFF:
            raise Fault(f"with the clock {ahead} s ahead the next attempt is in {left:.0f} s")
        self.pause_ends = time.monotonic() + left

    def pause(self, ahead):
        told = milliseconds(self.gateway.transfer(self.waiting)["next_attempt_at"])
        return told / 1000 - time.time() - ahead

    def check(self, ahead):
        """Each is as it was."""
        gateway, expires = self.gateway, ahead == DAY
        if not gateway.transfer(self.short)["final"]:
            gateway.wait_state(self.short, "expired" if expires else "held", seconds=5)
        states = [gateway.transfer(one)["state"] for one in (self.running, self.waiting, self.held, self.failed)]
        if states != ["transferring", "queued", "held", "failed"]:
            raise Fault(f"with the clock {ahead} s ahead: {states}")
        off = self.pause(ahead) - (self.pause_ends - time.monotonic())
        if abs(off) > 3:
            raise Fault(f"with the clock {ahead} s ahead the next attempt is {off:.0f} s away from where it was")

    def heal(self):
        """All of them delivered, but the one whose time was up."""
        gateway, scene = self.gateway, self.scene
        self.bob.command("go")
        self.dave.kill()
        self.frank.kill()
        scene.recipient("dave")
        scene.recipient("carol")
        scene.recipient("frank")
        gateway.request("POST", f"/v1/transfers/{self.failed}/retry")
        states = [gateway.wait_final(one)["state"]
                  for one in (self.running, self.waiting, self.held, self.failed, self.short)]
        if states != ["delivered"] * 4 + ["expired"]:
            raise Fault(f"in the end: {states}")
        if self.bob.wait("file", name="patient")["sha256"] != hashlib.sha256(self.body).hexdigest():
            raise Fault("the one under way came with other bytes")


def check_times(transfer, ahead):
    """Of one made just now."""
    for key in "created", "updated", "finished":
        off = milliseconds(transfer[key]) / 1000 - time.time() - ahead
        if abs(off) > 60:
            raise Fault(f"{key} is {off:.0f} s off: {transfer}")


def idle_cpu(gateway, seconds):
    before = cpu_seconds(gateway.process)
    time.sleep(seconds)  # what is spent in it is the question
    share = (cpu_seconds(gateway.process) - before) / seconds
    if share > IDLE_CPU:
        raise Fault(f"{share:.0%} of a core with nothing to do")
    return share


def clock_jumps(scene, by):
    gateway, world, busiest = by.gateway, scene.world, 0
    patients = Patients(scene, gateway)
    for number, ahead in enumerate(JUMPS, 1):
        world.wall_s = ahead
        wait_until(lambda: len(gateway.logged("clock.jumped")) >= (number if number < len(JUMPS) else 1), 10,
                   "the jump noticed")
        patients.check(ahead)
        busiest = max(busiest, idle_cpu(gateway, 0.4 if by.quick else 1.5))
        answer = by.send()[1]
        if answer.status != 200:
            raise Fault(f"with the clock {ahead} s ahead: {answer}")
        check_times(answer.json, ahead)
        if ahead == -DAY:
            gateway.kill()
            gateway.start()
            gateway.wait_state(patients.running, "transferring")
            patients.note_pause(ahead)  # of the round that began when dave was seen
    over = threading.Event()

    def jump_about():
        turn = 0
        while not over.wait(0.3):
            world.wall_s = JUMPS[turn % len(JUMPS)]
            turn += 1
    jumping = threading.Thread(target=jump_about)
    jumping.start()
    yield ("the wall clock set by +1 h, −1 h, +1 day and −1 day, with a `kill -9` in between, then every 0.3 s; meanwhile a "
           "file is under way, one waits for its next attempt, one is held, one failed and is kept")
    over.set()
    jumping.join()
    world.wall_s = 0
    patients.heal()
    yield (f"each went on as it was, the next attempt where it was, and 4 of 4 were delivered in the end; one with "
           f"ttl=12h expired at +1 day, not before; with nothing to do {busiest:.0%} of a core at most")


# ---- the XMPP server

def without_cable(scene, settings):
    scene.way = scene.server


def server_restarts(scene, by):
    accepted = []
    for _ in range(RESTARTS):
        scene.server.stop()
        answer = by.send(wait=0)[1]
        if answer.status != 202:
            raise Fault(f"an upload while the server is down: {answer}")
        accepted.append(answer.json["id"])
        scene.server.start()
        by.recipient.kill()
        by.recipient = scene.recipient("alice")
    by.during = "–"
    yield f"the XMPP server stopped and started {RESTARTS} times, an upload each time it is down"
    states = [by.gateway.wait_final(identifier)["state"] for identifier in accepted]
    yield f"{states.count('delivered')} of {len(states)} delivered"
    if set(states) != {"delivered"}:
        raise Fault(f"accepted while the server was down: {states}")


# ---- the disk

def told(answer):
    """Its status with its code or state."""
    if answer.status not in (200, 202) and not (answer.json and answer.json.get("code")):
        raise Fault(f"no clear error: {answer}")
    return f"{answer.status} {answer.json.get('code', answer.json.get('state'))}"


def disk_read_only(scene, by):
    gateway, world = by.gateway, scene.world
    held = gateway.put(f"carol@{DOMAIN}", b"held", "held.bin", hold="1h").json["id"]
    gateway.wait_state(held, "held")
    bob = scene.recipient("bob", "--behave", "hold")
    running = gateway.put(bob.jid, os.urandom(4 * MEBIBYTE), "running.bin").json["id"]
    gateway.wait_state(running, "transferring")
    world.disk = str(gateway.state).encode()
    world.read_only = 1
    answers = [gateway.put(by.recipient.jid, os.urandom(size), "read-only.bin", wait=5) for size in (0, 1000, MEBIBYTE)]
    bob.command("go")
    bob.wait("file", name="running.bin")
    alive = gateway.get("/livez").status
    by.during = "–"
    yield "the disk read-only from one moment to the next (EROFS), with one file under way and one held"
    if not world.refused or alive != 200:
        raise Fault(f"{world.refused} writes refused, /livez {alive}")
    world.read_only = 0
    scene.recipient("carol")
    states = [gateway.wait_final(one)["state"] for one in (running, held)]
    wait_until(lambda: gateway.spooled() == [], 60, f"an empty spool; it has {gateway.spooled()}")
    yield (f"uploads of 0, 1000 and {MEBIBYTE} bytes: {', '.join(map(told, answers))}; the one under way: {states[0]}; "
           f"the one held, once it can be written again: {states[1]}")
    if states != ["delivered"] * 2:
        raise Fault(f"in the end: {states}")


# ---- DNS

def prepare_dns(scene, settings):
    rule_the_world(scene, settings)
    settings["XMPP_SERVER"] = DOMAIN  # a name


def dns_dead(scene, by):
    gateway, accepted, took = by.gateway, [], []
    scene.world.no_dns = 1
    scene.way.cut()
    gateway.wait_ready(False)
    scene.way.mend()
    lost = len(gateway.logged("xmpp.offline"))
    while len(gateway.logged("xmpp.offline")) < lost + 2:
        milliseconds_taken, answer = by.send(wait=0)
        if answer.status != 202:
            raise Fault(f"an upload without DNS: {answer}")
        took.append(milliseconds_taken)
        accepted.append(answer.json["id"])
        time.sleep(0.1)  # the pace of the uploads
    by.during = f"202 after {statistics.median(took):.0f} / {statistics.quantiles(took, n=100)[98]:.0f} ms"
    yield "no name has an address, and each is asked for 3 s, as the session breaks"
    scene.world.no_dns = 0
    states = [gateway.wait_final(identifier)["state"] for identifier in accepted]
    yield f"{len(states)} uploads meanwhile: 202, and {states.count('delivered')} delivered once there is DNS again"
    if set(states) != {"delivered"}:
        raise Fault(f"accepted without DNS: {states}")


# name: (the case, what makes its world ready)
CASES = {"clock_jumps": (clock_jumps, prepare_clock), "server_restarts": (server_restarts, without_cable),
         "disk_read_only": (disk_read_only, rule_the_world), "dns_dead": (dns_dead, prepare_dns)}
