"""kill -9 at a random moment under mixed load, again and again on the same state; then what was promised is held against
what the recipients have."""
import hashlib
import http.client
import itertools
import json
import random
import threading
import time

from lab import LOOPBACK, wait_until
from scene import AGAIN, DIRECT, Fault, Scene, check_store

SECONDS_TO_RECOVER = 90
UPLOADERS = 5
PIECE = 64 << 10
RECIPIENTS = {"alice": (), "bob": (), "carol": ("--only-proxy",), "dave": ("--behave", "eager")}
NEVER_FINAL = ("state=receiving", "state=queued", "state=offering", "state=connecting", "state=transferring")


class Upload:
    """One file on its way, and what its uploader was told."""
    numbers = itertools.count(1)

    def __init__(self, chance, jids):
        self.name = f"{next(self.numbers)}.bin"
        self.to = chance.choice(jids)
        ceiling = chance.choice((0, 1, 200, 64 << 10, 1 << 20, 6 << 20))
        self.body = chance.randbytes(chance.randint(0, ceiling))
        self.mode = chance.choice(("auto", "auto", "spool", "stream"))
        self.wait = chance.choice((0, 0, 0, 30))
        self.paced = chance.random() < 0.3  # so that it is cut off half-way more often
        self.sha256 = hashlib.sha256(self.body).hexdigest()
        self.size = len(self.body)
        self.status, self.transfer = None, None  # of the answer; None: none came

    def run(self, gateway, over):
        query = {"mode": self.mode, **({"wait": self.wait} if self.wait else {})}
        connection = http.client.HTTPConnection(LOOPBACK, gateway.port, timeout=60)
        try:
            connection.putrequest("PUT", gateway.target(self.to, self.name, **query))
            connection.putheader("Content-Length", str(self.size))
            connection.endheaders()
            for at in range(0, self.size, PIECE):
                connection.send(self.body[at:at + PIECE])
                if self.paced:
                    over.wait(0.02)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            self.status, self.transfer = answer.status, told
        except (OSError, http.client.HTTPException, ValueError):
            pass  # no whole answer, no promise
        finally:
            connection.close()
            self.body = None


class Load:
    """Uploaders that go on until the gateway is gone."""

    def __init__(self, gateway, peers, chance):
        self.gateway, self.jids = gateway, [peer.jid for peer in peers.values()]
        self.uploads, self.over = [], threading.Event()
        seeds = [chance.getrandbits(64) for _ in range(UPLOADERS)]
        self.threads = [threading.Thread(target=self._go_on, args=(random.Random(seed),)) for seed in seeds]
        for thread in self.threads:
            thread.start()

    def _go_on(self, chance):
        while not self.over.is_set():
            upload = Upload(chance, self.jids)
            self.uploads.append(upload)
            upload.run(self.gateway, self.over)
            if upload.status is None:
                return

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        return self.uploads


class Ledger:
    """All uploads of the run, and all that the recipients were given."""

    def __init__(self, peers):
        self.peers, self.uploads = peers, {}
        self.read = dict.fromkeys(peers, 0)
        self.arrived = {}  # name: how often
        self.facts = dict.fromkeys(("uploads", "accepted", "delivered", "failed", "given twice"), 0)

    def enter(self, uploads):
        for upload in uploads:
            self.uploads[upload.name] = upload
        self.facts["uploads"] += len(uploads)
        self.facts["accepted"] += sum(1 for upload in uploads if upload.status in (200, 202))

    def read_arrivals(self):
        """No wrong bytes pass for a whole file."""
        for user, peer in self.peers.items():
            with peer.news:
                told, self.read[user] = peer.events[self.read[user]:], len(peer.events)
            for event in told:
                if event["event"] == "ended":
                    raise Fault(f"{user} ended:\n{peer.process.tail()}")
                if event["event"] != "file":
                    continue
                upload = self.uploads[event["name"]]
                if (event["sha256"], event["size"]) != (upload.sha256, upload.size):
                    raise Fault(f"{upload.name} came to {user} as whole, but is not: {event}, not {upload.size} bytes "
                                f"{upload.sha256}")
                self.arrived[upload.name] = self.arrived.get(upload.name, 0) + 1

    def settle(self, gateway, uploads):
        """Every promise of this round is kept, and the state told is the true one."""
        for upload in uploads:
            if upload.status not in (200, 202):
                continue
            final = gateway.wait_final(upload.transfer["id"], SECONDS_TO_RECOVER)
            if upload.status == 200 and final["state"] != upload.transfer["state"]:
                raise Fault(f"{upload.name} was answered as {upload.transfer['state']} and is {final['state']} now: "
                            f"{json.dumps(final)}")
            if final["state"] == "delivered":
                wait_until(lambda: self.has(upload), 15, f"{upload.name}, told as delivered, at its recipient")
                self.facts["delivered"] += 1
            elif final["state"] == "failed" and final["error"]["code"]:
                self.facts["failed"] += 1
                print(f"  {upload.name}, {upload.mode}, failed: {json.dumps(final['error'])}", flush=True)
            else:
                raise Fault(f"{upload.name} ended as {json.dumps(final)}")
        self.read_arrivals()
        self.facts["given twice"] = sum(1 for count in self.arrived.values() if count > 1)

    def has(self, upload):
        self.read_arrivals()
        return upload.name in self.arrived


def nothing_is_under_way(gateway):
    """Also of those that nobody was promised."""
    return not any(gateway.get(f"/v1/transfers?limit=1&{state}").json["items"] for state in NEVER_FINAL)


def one_round(gateway, ledger, chance):
    gateway.start(ready=chance.random() < 0.7)  # the load may begin before the XMPP session does
    load = Load(gateway, ledger.peers, chance)
    time.sleep(chance.uniform(0.0, 1.5))  # the moment is the experiment
    gateway.kill()
    uploads = load.end()
    check_store(gateway.state)
    ledger.enter(uploads)
    kills = 1
    while chance.random() < 0.3:  # while it takes up what was interrupted
        gateway.start(ready=False)
        time.sleep(chance.uniform(0.0, 0.5))
        gateway.kill()
        check_store(gateway.state)
        kills += 1
    began = time.monotonic()
    gateway.start()
    ready = time.monotonic() - began
    ledger.settle(gateway, uploads)
    wait_until(lambda: nothing_is_under_way(gateway), SECONDS_TO_RECOVER, "the end of every transfer")
    wait_until(lambda: gateway.spooled() == [], 10, f"an empty spool; it has {gateway.spooled()[:5]}")
    settled = time.monotonic() - began
    ledger.read_arrivals()
    if chance.random() < 0.5:
        gateway.stop()  # which also looks for unexpected errors in the log
    else:
        gateway.kill()
        kills += 1
    check_store(gateway.state)
    return kills, ready, settled


def rounds(options, chance, told, faults):
    with Scene("kill", options.build) as scene:
        peers = {user: scene.recipient(user, *more) for user, more in RECIPIENTS.items()}
        gateway, ledger = scene.gateway(start=False, **DIRECT, **AGAIN), Ledger(peers)
        while told["rounds"] < options.rounds:
            told["rounds"] += 1
            try:
                kills, ready, settled = one_round(gateway, ledger, chance)
            except AssertionError as fault:
                print(f"  round {told['rounds']}: {fault}", flush=True)
                faults.append(told["rounds"])
                told.update(ledger.facts, broken=1, fault=str(fault)[:300])
                raise  # so that the scene keeps its files
            told["kills"] += kills
            told["slowest ready s"] = max(told["slowest ready s"], round(ready, 2))
            told["slowest settled s"] = max(told["slowest settled s"], round(settled, 2))
            told.update(ledger.facts)
            print(f"  round {told['rounds']}: {ledger.facts}, settled {settled:.1f} s after the restart", flush=True)


def kill(options):
    """kill -9 at random moments under mixed load"""
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"kill: {options.rounds} rounds of the {options.build} build, --seed {seed}", flush=True)
    told = {"seed": seed, "rounds": 0, "kills": 0, "broken": 0, "slowest ready s": 0, "slowest settled s": 0}
    faults = []
    try:
        rounds(options, random.Random(seed), told, faults)
    except AssertionError:
        if not faults:
            raise
    return [told], faults
