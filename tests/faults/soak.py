"""Moderate load for minutes, and whether anything grows that should not. Samples are taken every few seconds; behind a
warm-up, in which caches are filled at several times the pace, a straight line is laid through them by least squares. Neighbouring samples are alike, so the standard error of
the slope is widened by what the residuals tell of that (the effective number of samples of a first-order process)."""
import collections
import http.client
import itertools
import math
import os
import random
import re
import sqlite3
import threading
import time
import urllib.request
from pathlib import Path

from lab import DOMAIN, LOOPBACK, Cable, Ports, wait_until
from scene import AGAIN, DIRECT, Fault, Scene

EVERY = 5        # seconds from sample to sample
UPLOADERS = 6
HURRY = 0.1      # of the pause between two uploads, while it warms up
CUT_EVERY = 45   # seconds from one loss of the XMPP session to the next
KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20
SETTINGS = {**DIRECT, **AGAIN, "DELIVERY_MAX_ATTEMPTS": "2", "DELIVERY_LINK_TTL": "10s", "DELIVERY_OFFER_TIMEOUT": "3s",
            "DELIVERY_STALL_TIMEOUT": "5s", "LOG_LEVEL": "info", "SPOOL_RETENTION": "10s"}
RECIPIENTS = {"alice": (), "bob": ("--behave", "ignore"), "carol": ("--only-proxy",), "dave": ("--behave", "half"),
              "frank": ("--behave", "decline"), "erin": ("--no-streams",)}

# What is sampled: (name, unit, divisor, the growth in an hour that would matter).
SERIES = (("resident memory", "KiB", KIBIBYTE, MEBIBYTE), ("anonymous memory", "KiB", KIBIBYTE, MEBIBYTE),
          ("descriptors", "", 1, 2), ("threads", "", 1, 1), ("spool", "KiB", KIBIBYTE, MEBIBYTE),
          ("rows of transfers under way", "", 1, 5))


class Load:
    """Uploads of every kind, until it is over, and what was told of them."""

    def __init__(self, gateway, peers, seed):
        self.gateway, self.peers, self.over = gateway, peers, threading.Event()
        self.told = collections.Counter()
        self.open, self.lock, self.numbers = [], threading.Lock(), itertools.count(1)
        self.broken = []  # exceptions of the uploaders
        self.pause = HURRY
        self.threads = [threading.Thread(target=self._go_on, args=(random.Random(f"{seed} {n}"),))
                        for n in range(UPLOADERS)]
        self.threads.append(threading.Thread(target=self._fetch))
        for thread in self.threads:
            thread.start()

    def put(self, user, size, **query):
        answer = self.gateway.put(self.peers[user].jid, os.urandom(size), f"{next(self.numbers)}.bin", **query)
        if answer.status == 202:
            with self.lock:
                self.open.append(answer.json["id"])
        return answer

    def one(self, chance):
        """The kind of what was sent, and its answer."""
        kind = chance.choices(("small", "large", "stream", "link", "fails", "breaks", "cancelled", "held"),
                              (8, 3, 2, 2, 1, 1, 1, 1))[0]
        small, wait = chance.randint(0, 64 * KIBIBYTE), chance.choice((0, 10))
        if kind == "small":
            return kind, self.put(chance.choice(("alice", "carol")), small, wait=wait, mode=chance.choice(("auto", "spool")))
        if kind == "large":
            return kind, self.put("carol", chance.randint(MEBIBYTE, 4 * MEBIBYTE), wait=wait)
        if kind == "stream":
            return kind, self.put("alice", 4 * small, mode="stream")
        if kind == "link":
            return kind, self.put("erin", small, methods="link")
        if kind in ("fails", "breaks"):
            return kind, self.put("frank" if kind == "fails" else "dave", 1 + small, wait=wait)
        if kind == "cancelled":
            answer = self.put("bob", small)
        else:
            answer = self.gateway.put(f"gateway@{DOMAIN}/nobody", b"held", hold="1h")
        if answer.status == 202:
            self.gateway.request("DELETE", f"/v1/transfers/{answer.json['id']}")
        return kind, answer

    def _go_on(self, chance):
        while not self.over.wait(self.pause * chance.uniform(0.1, 0.6)):
            try:
                kind, answer = self.one(chance)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.broken.append(error)
                return
            self.told[kind, answer.status] += 1
            if answer.status >= 400 and not (answer.json and answer.json.get("code")):
                self.broken.append(Fault(f"no clear error: {answer}"))
                return

    def _fetch(self):
        """Each link that erin is told, as she would."""
        read = 0
        while not self.over.wait(0.2):
            links = [event["oob"] for event in self.peers["erin"].all("message")]
            for link in links[read:]:
                try:
                    urllib.request.urlopen(link, timeout=10).read()
                    self.told["fetched", 200] += 1
                except OSError:
                    self.told["fetched", 404] += 1
            read = len(links)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.broken:
            raise self.broken[0]


def sample(gateway, database):
    process = f"/proc/{gateway.process.pid}"
    rollup = Path(f"{process}/smaps_rollup").read_text()

    def kibibytes(key):
        return int(re.search(rf"^{key}:\s+(\d+) kB", rollup, re.MULTILINE).group(1)) * KIBIBYTE

    spooled = 0
    for path in (gateway.state / "spool").rglob("*"):
        try:
            spooled += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            pass  # gone meanwhile
    under_way = database.execute("SELECT count(*) FROM transfer WHERE finished = 0").fetchone()[0]
    return (kibibytes("Rss"), kibibytes("Anonymous"), len(os.listdir(f"{process}/fd")), len(os.listdir(f"{process}/task")),
            spooled, under_way)


def slope(times, values):
    """(growth in a unit of time, its standard error)."""
    count = len(times)
    middle, mean = sum(times) / count, sum(values) / count
    spread = sum((t - middle) ** 2 for t in times)
    growth = sum((t - middle) * (v - mean) for t, v in zip(times, values)) / spread
    rest = [v - mean - growth * (t - middle) for t, v in zip(times, values)]
    squares = sum(one * one for one in rest)
    if squares == 0:
        return growth, 0.0
    alike = min(0.95, max(0.0, sum(a * b for a, b in zip(rest, rest[1:])) / squares))
    return growth, math.sqrt(squares / (count - 2) / spread * (1 + alike) / (1 - alike))


def judged(samples):
    """A row for each series, and the names of those that grow."""
    rows, growing = [], []
    hours = [at / 3600 for at, _ in samples]
    for column, (name, unit, divisor, matters) in enumerate(SERIES):
        values = [values[column] for _, values in samples]
        growth, error = slope(hours, values)
        grows = growth > matters and growth > 3 * error
        growing += [name] * grows
        rows.append({"name": name, "unit": unit, "mean": round(sum(values) / len(values) / divisor, 1),
                     "most": round(max(values) / divisor, 1), "slope": round(growth / divisor, 1),
                     "error": round(error / divisor, 1), "matters": matters // divisor, "grows": grows})
        print(f"  {rows[-1]}", flush=True)
    return rows, growing


def observe(options, gateway, way, load):
    """The samples behind the warm-up: (seconds, values)."""
    database = sqlite3.connect(f"file:{gateway.state / 'jidpost.db'}?mode=ro", uri=True)
    began, seconds, samples, cuts = time.monotonic(), options.minutes * 60, [], 0
    warm = min(300, seconds / 3)
    while (at := time.monotonic() - began) < seconds:
        if at >= (cuts + 1) * CUT_EVERY and seconds - at > CUT_EVERY / 2:
            way.cut()
            way.mend()
            cuts += 1
        if at >= warm:
            load.pause = 1
        samples.append((at, sample(gateway, database)))
        if options.verbose:
            print(f"  {at:.0f} s: {samples[-1][1]}", flush=True)
        time.sleep(max(0, len(samples) * EVERY - (time.monotonic() - began)))
    database.close()
    return [one for one in samples if one[0] >= warm], warm, cuts


def soak(options):
    """moderate load for --minutes: memory, descriptors, threads, spool and rows do not grow"""
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"soak: {options.minutes} minutes of the {options.build} build, --seed {seed}", flush=True)
    with Scene("soak", options.build) as scene:
        port, way = Ports.take(), Cable(scene.server)
        scene.ends.append(way.cut)
        peers = {user: scene.recipient(user, *more) for user, more in RECIPIENTS.items()}
        gateway = scene.gateway(server=way, HTTP_LISTEN=f"{LOOPBACK}:{port}",
                                SERVER_PUBLIC_URL=f"http://{LOOPBACK}:{port}", **SETTINGS)
        load = Load(gateway, peers, seed)
        try:
            samples, warm, cuts = observe(options, gateway, way, load)
        finally:
            load.over.set()
        load.end()
        ends = collections.Counter(gateway.wait_final(identifier)["state"] for identifier in load.open)
        wait_until(lambda: gateway.spooled() == [], 60, f"an empty spool; it has {gateway.spooled()[:5]}")
        gateway.stop()
    rows, growing = judged(samples)
    told = {"row": "soak", "seed": seed, "minutes": options.minutes, "warm-up s": round(warm), "samples": len(samples), "cuts": cuts,
            "uploads": sum(count for (kind, _), count in load.told.items() if kind != "fetched"),
            "kinds": {kind: sum(count for (other, _), count in load.told.items() if other == kind)
                      for kind in sorted({kind for kind, _ in load.told})},
            "ends": dict(sorted(ends.items())), "series": rows, "faults": growing}
    print(f"  {told['kinds']}, {told['ends']}", flush=True)
    for name in growing:
        print(f"  {name} grows", flush=True)
    return [told], growing
