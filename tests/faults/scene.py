"""What every case starts from: one temporary directory, a private Prosody, the gateway and recipients of tests/e2e/, all
ended with the case."""
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import peers
from gateway import Gateway
from lab import LOOPBACK, SERVERS

DIRECT = {"SOCKS5_ADVERTISE": LOOPBACK}
AGAIN = {"DELIVERY_BACKOFF": "200ms", "XMPP_RECONNECT_MIN": "200ms", "XMPP_RECONNECT_MAX": "500ms"}


class Fault(AssertionError):
    """What must not happen has happened."""


def preload(name, build):
    """The library of that name here, which needs not be of the build it is preloaded into."""
    for preset in (build, "dev"):
        library = peers.BUILD / preset / "tests" / f"{name}.so"
        if library.exists():
            return library
    raise Fault(f"tests/{name}.so is not built: cmake --build --preset dev --target {name}")


class Scene:
    """A context; keeps its directory, and says so, when it ends in an exception."""

    def __init__(self, name, build):
        self.name, self.build = name, build
        self.directory = Path(tempfile.mkdtemp(prefix=f"jidpost-faults-{name}-"))
        self.ends, self.count = [], 0
        self.environment = {}  # of the gateway, beside its settings

    def __enter__(self):
        try:
            self.server = SERVERS["prosody"](self.directory / "server")
            self.ends.append(self.server.kill)
            self.server.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, *_):
        self.close()
        if kind is None:
            shutil.rmtree(self.directory)
        else:
            print(f"logs are kept in {self.directory}", file=sys.stderr)

    def close(self):
        while self.ends:
            self.ends.pop()()

    def path(self, name):
        self.count += 1
        return self.directory / f"{self.count}-{name}"

    def gateway(self, start=True, server=None, kind=Gateway, **settings):
        gateway = kind(server or self.server, self.path("gateway"), build=self.build, **settings)
        gateway.environment = self.environment
        self.ends.append(gateway.kill)
        return gateway.start() if start else gateway

    def recipient(self, user, *options):
        peer = peers.slixmpp(self.server, user, self.path(f"{user}.log"), *options)
        self.ends.append(peer.kill)
        peer.wait_ready()
        return peer


def check_store(state):
    """SQLite's own check of the database as it lies there, its journal included; on a copy, since to open it is to
    mend it."""
    with tempfile.TemporaryDirectory(prefix="jidpost-faults-store-") as copy:
        for path in Path(state).glob("jidpost.db*"):
            shutil.copy(path, copy)
        database = sqlite3.connect(Path(copy) / "jidpost.db")
        try:
            verdict = [row[0] for row in database.execute("PRAGMA integrity_check")]
            broken = database.execute("PRAGMA foreign_key_check").fetchall()
        finally:
            database.close()
    if verdict != ["ok"] or broken:
        raise Fault(f"the store is damaged: {verdict[:5]} {broken[:5]}")
