"""The n-th allocation, or the n-th system call, of a running gateway fails, for each n on its own, while it carries one
transfer. failing.c, preloaded, does it.

A point is one such n of one way to send a file (WAYS); all of them are numbered through, so that runs can take slices.
Half of the points are the program's own calls, the others those of its libraries. After each point the gateway must
answer, have its XMPP session, deliver a plain file, and hold as many descriptors as before. Where the program is built
with sanitizers, its exit after every PROGRAMS points must be free of leaks."""
import collections
import ctypes
import hashlib
import http.client
import json
import mmap
import os
import re
import subprocess
import time

from gateway import SANITIZER, Answer
from lab import LOOPBACK, wait_until
from scene import DIRECT, Fault, Scene, preload

SETTINGS = {**DIRECT, "DELIVERY_OFFER_TIMEOUT": "2s", "DELIVERY_CONNECT_TIMEOUT": "2s", "DELIVERY_ACTIVATE_TIMEOUT": "2s",
            "DELIVERY_STALL_TIMEOUT": "2s", "DELIVERY_LINGER_TIMEOUT": "3s", "DELIVERY_MAX_ATTEMPTS": "2",
            "DELIVERY_BACKOFF": "100ms",
            "XMPP_IQ_TIMEOUT": "2s", "XMPP_RECONNECT_MIN": "100ms", "XMPP_RECONNECT_MAX": "300ms",
            "DELIVERY_METHODS": "si-s5b"}
WAIT = 12      # seconds that the caller of one transfer waits
DEADLINE = 20  # of one transfer, whatever fails in it
PROGRAMS = 25   # points that one process serves
DYNAMIC_LOADER = "leak:_dl_\n"  # LeakSanitizer knows its memory as such only while nothing stands in between
KINDS = {"alloc": 1, "syscalls": 2}
WHOSE = {"program": 1, "libraries": 2}
BODY = os.urandom(300000)
SHA256 = hashlib.sha256(BODY).hexdigest()


def form(gateway, to, name):
    boundary = "a-boundary-of-a-form"
    parts = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
                    for key, value in (("to", to), ("caption", "Ü"), ("digest", "sha-256")))
    body = (f'{parts}--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
            + BODY + f"\r\n--{boundary}--\r\n".encode())
    return gateway.request("POST", f"/v1/transfers?wait={WAIT}", body,
                           {"Content-Type": f"multipart/form-data; boundary={boundary}"}, DEADLINE)


# How a file is sent: (the recipient's account, what sends it).
WAYS = {
    "spool": ("alice", lambda gateway, to, name: gateway.put(to, BODY, name, wait=WAIT, mode="spool",
                                                             digest="sha-256", seconds=DEADLINE)),
    "auto, by the proxy": ("carol", lambda gateway, to, name: gateway.put(to, BODY, name, wait=WAIT,
                                                                          seconds=DEADLINE)),
    "stream": ("alice", lambda gateway, to, name: gateway.put(to, BODY, name, mode="stream", wait=WAIT,
                                                              seconds=DEADLINE)),
    "form": ("alice", form),
}


class Control(ctypes.Structure):
    """The twin of struct control in failing.c."""
    _fields_ = [("kind", ctypes.c_int32), ("whose", ctypes.c_int32), ("at", ctypes.c_int64), ("seen", ctypes.c_int64),
                ("fired", ctypes.c_int64), ("call", ctypes.c_char * 32), ("module", ctypes.c_char * 96),
                ("frames", ctypes.c_uint64 * 24)]


class Everything:
    def __contains__(self, _):
        return True


class Victim:
    """A gateway whose calls can be made to fail, and its two recipients."""

    def __init__(self, scene, kind):
        self.scene, self.kind = scene, KINDS[kind]
        path = scene.path("control")
        path.write_bytes(bytes(ctypes.sizeof(Control)))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.control = Control.from_buffer(self.map)
        self.peers = {"alice": scene.recipient("alice"), "carol": scene.recipient("carol", "--only-proxy")}
        self.gateway = scene.gateway(start=False, **SETTINGS)
        self.gateway.state.mkdir()
        suppressions = self.gateway.state / "lsan"  # read at the end, when the sandbox leaves no other place to read
        suppressions.write_text(DYNAMIC_LOADER)
        self.gateway.environment = {"LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
                                    "LD_PRELOAD": str(preload("failing", scene.build)),
                                    "FAILING_CONTROL": str(path),
                                    "ASAN_OPTIONS": "detect_leaks=1:verify_asan_link_order=0:allocator_may_return_null=1"}
        self.gateway.expected_errors = Everything()
        self.names = 0

    def start(self):
        self.gateway.start()
        self.send("spool")  # what is allocated or opened once and for all
        self.send("auto, by the proxy")
        self.descriptors = self.count_descriptors()

    def count_descriptors(self):
        """Once it is the same twice: connections end behind their answers."""
        told = []

        def settled():
            told.append(len(os.listdir(f"/proc/{self.gateway.process.pid}/fd")))
            return len(told) > 4 and len(set(told[-4:])) == 1
        wait_until(settled, 10, "a steady number of descriptors")
        return told[-1]

    def send(self, way):
        """What the caller is told: an Answer, or the exception that his HTTP library has for it."""
        user, send = WAYS[way]
        self.names += 1
        try:
            return send(self.gateway, self.peers[user].jid, f"{self.names}.bin")
        except (OSError, ValueError, http.client.HTTPException) as error:
            return error

    def arm(self, whose, at):
        self.control.seen = self.control.fired = 0
        self.control.at, self.control.whose = at, WHOSE[whose]
        self.control.kind = self.kind

    def count(self, way, whose):
        """How many points that way has."""
        self.arm(whose, -1)
        answer = self.send(way)
        self.control.kind = 0
        if not isinstance(answer, Answer) or answer.status != 200:
            raise Fault(f"{way}, with nothing failing: {answer}")
        return self.control.seen

    def where(self):
        """What failed, where, and the program's functions that called for it, innermost first."""
        offsets = [hex(frame - 1) for frame in self.control.frames if frame]
        lines = subprocess.run(["addr2line", "-f", "-s", "-e", str(self.gateway.program), *offsets],
                               capture_output=True, text=True).stdout.split("\n")
        calls = [f"{name} ({place})" for name, place in zip(lines[::2], lines[1::2])]
        return f"{self.control.call.decode()} of {self.module()}: " + " < ".join(calls[:8])

    def module(self):
        return os.path.basename(self.control.module.decode())


class Died(Exception):
    pass


def judged(victim, answer, name, user):
    """The class of outcome that it is."""
    if isinstance(answer, TimeoutError):
        raise Fault("no answer: it hangs")
    if isinstance(answer, ValueError):
        raise Fault(f"an answer that is no JSON, though it says so: {answer}")
    if isinstance(answer, Exception):
        return "the caller's connection was closed"
    told = answer.json
    if answer.status in (200, 202):
        told = told or json.loads(answer.body)  # the header that says so may be what failed
        transfer = victim.gateway.wait_final(told["id"], DEADLINE)
        if transfer["state"] == "delivered":
            wait_until(lambda: any(event["name"] == name and event["sha256"] == SHA256
                                   for event in victim.peers[user].all("file")), 10, f"{name} at {user}")
            return "delivered at the second attempt" if transfer["attempt"] > 1 else "delivered all the same"
        if transfer["state"] == "failed" and transfer["error"]["code"]:
            return "failed, with a code"
    elif told and told.get("code") and answer.type.startswith("application/problem+json"):
        return "refused or failed, with a problem"
    raise Fault(f"neither delivered nor an error that says why: {answer}")


def well_again(victim):
    gateway = victim.gateway
    gateway.wait_ready(seconds=20)
    plain = victim.send("spool")
    if not isinstance(plain, Answer) or plain.status != 200:
        raise Fault(f"the next transfer is not delivered: {plain}")
    wait_until(lambda: not gateway.get("/v1/transfers?limit=1&state=transferring").json["items"], 10, "nothing under way")
    wait_until(lambda: gateway.spooled() == [], 10, "an empty spool")
    left = []

    def as_before():
        left[:] = sorted(os.listdir(f"/proc/{gateway.process.pid}/fd"), key=int)
        return len(left) <= victim.descriptors
    try:
        wait_until(as_before, 10, "")
    except AssertionError:
        raise Fault(f"descriptors: {victim.descriptors} before, {len(left)} after: "
                    + str([os.readlink(f"/proc/{gateway.process.pid}/fd/{fd}") for fd in left[-6:]])) from None


def ended(process):
    """Whether it is gone, or about to be: a sanitizer's report takes a while to write."""
    try:
        wait_until(lambda: not process.running(), 3, "")
    except AssertionError:
        return False
    return True


def one_point(victim, way, whose, at):
    user = WAYS[way][0]
    victim.arm(whose, at)
    try:
        answer = victim.send(way)
        fired = victim.control.fired
        victim.control.kind = 0
        outcome = judged(victim, answer, f"{victim.names}.bin", user)
        well_again(victim)
    except (OSError, http.client.HTTPException, AssertionError) as error:
        victim.control.kind = 0
        if ended(victim.gateway.process):
            raise Died from None
        raise error if isinstance(error, AssertionError) else Fault(f"{type(error).__name__}: {error}") from None
    return outcome if fired else "not reached"


def last_words(gateway):
    """The sanitizer's report, else the last line of the log."""
    text = gateway.tail(200)
    report = SANITIZER.search(text)
    return text[report.start():][:2500] if report else text[-400:]


def bury(victim):
    """What is said of a gateway that died; its log begins anew."""
    process, victim.gateway.process = victim.gateway.process, None
    told = f"ended with {process.popen.wait()}: {last_words(victim.gateway)}"
    victim.gateway.log.rename(victim.scene.path("jidpost.log"))
    return told


def clean_exit(victim):
    """What is wrong at the end of a process: a leak, a crash; None: nothing."""
    try:
        victim.gateway.stop()
        return None
    except AssertionError:
        told = f"at its exit: {last_words(victim.gateway)}"
        victim.gateway.kill()
        victim.gateway.log.rename(victim.scene.path("jidpost.log"))
        return told


def points_of(victim):
    """Every point there is: (way, whose, n), the program's first."""
    points = []
    for whose in WHOSE:
        for way in WAYS:
            points += [(way, whose, n) for n in range(1, victim.count(way, whose) + 1)]
    return points


class Tally:
    """What became of the points so far."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.outcomes = {whose: collections.Counter() for whose in WHOSE}
        self.deaths = collections.Counter()  # in libraries, by library
        self.faults = []                     # the program's own

    def note(self, victim, number, point, outcome, trouble):
        way, whose, at = point
        self.outcomes[whose][outcome] += 1
        if trouble and whose == "libraries":
            self.deaths[f"{outcome}: {victim.control.call.decode()} of {victim.module()}"] += 1
        elif trouble:
            self.faults.append(number)
        if trouble or self.verbose:
            print(f"  {number} {way}, {whose} {at}: {outcome}; {victim.where()}"
                  + (f"\n      {trouble}" if trouble else ""), flush=True)

    def note_exit(self, number, trouble):
        """The exit of a process that served the points up to that."""
        if trouble:
            self.faults.append(number)
            print(f"  behind {number}: {trouble}", flush=True)

    def told(self):
        return {"outcomes": {whose: dict(counts) for whose, counts in self.outcomes.items()},
                "tried": sum(sum(counts.values()) - counts["not reached"] for counts in self.outcomes.values()),
                "deaths": dict(self.deaths), "faults": self.faults}


def tried(victim, point):
    """(what became of it, what is wrong with that or None); afterwards the gateway is well, or gone."""
    try:
        return one_point(victim, *point), None
    except Died:
        return "the process ended", bury(victim)
    except AssertionError as fault:
        trouble = f"{str(fault)[:1500]}\n{last_words(victim.gateway)[-400:]}"
        victim.gateway.kill()
        return "not well afterwards", trouble


def run(kind, options):
    with Scene(kind, options.build) as scene:
        victim, tally = Victim(scene, kind), Tally(options.verbose)
        victim.start()
        points = points_of(victim)
        first, last = options.first, min(options.first + options.count - 1, len(points))
        own = sum(1 for point in points if point[1] == "program")
        print(f"{kind}: points {first} to {last} of {len(points)}, of which the first {own} are the program's own",
              flush=True)
        served = 0
        for number in range(first, last + 1):
            if victim.gateway.process is None:
                victim.start()
                served = 0
            outcome, trouble = tried(victim, points[number - 1])
            tally.note(victim, number, points[number - 1], outcome, trouble)
            served += 1
            if victim.gateway.process and (served == PROGRAMS or number == last):
                tally.note_exit(number, clean_exit(victim))
    told = {"points": [first, last], "of": len(points), "own": own, **tally.told()}
    print(f"  {json.dumps(told)}")
    return [told], tally.faults


def alloc(options):
    """the n-th allocation of a transfer fails"""
    return run("alloc", options)


def syscalls(options):
    """the n-th system call of a transfer fails"""
    return run("syscalls", options)
