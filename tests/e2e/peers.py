"""The clients that receive: started, listened to, and ended with the test."""
import fcntl
import json
import os
import shlex
import subprocess
import threading
import time
from pathlib import Path

from lab import DOMAIN, LOOPBACK, PASSWORD, Process

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("JIDPOST_BUILD", HERE.parent.parent / "build"))


def compiled(source, compiler, *packages, shared=False):
    """A client of that source, or what one needs, compiled when it is older; two test programs may ask at once."""
    source, program = HERE / source, BUILD / "e2e" / (Path(source).stem + (".so" if shared else ""))
    program.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{program}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            flags = ["pkg-config", "--cflags", "--libs", *packages]
            flags = subprocess.run(flags, check=True, capture_output=True, text=True).stdout if packages else ""
            subprocess.run([compiler, "-O1", "-fPIC", "-Wall", "-Wextra", *(["-shared"] if shared else []),
                            "-o", str(program), str(source), *shlex.split(flags)], check=True)
    return str(program)


class Peer:
    """client: its name in results.PACKAGES; events: everything it told so far, oldest first."""

    def __init__(self, client, argv, jid, server, log, options=(), password=PASSWORD):
        self.client, self.jid, self.events = client, jid, []
        self.news = threading.Condition()
        self.process = Process([*argv, jid, password, LOOPBACK, str(server.port), *options], log,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               environment=dict(os.environ, QT_LOGGING_RULES="*.debug=false", LC_ALL="C.UTF-8"))
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.popen.stdout:
            with self.news:
                self.events.append(json.loads(line))
                self.news.notify_all()
        with self.news:
            self.events.append({"event": "ended"})
            self.news.notify_all()

    def wait_ready(self):
        """A client with a window and plugins takes 25 s to begin on a machine that others use, too."""
        return self.wait("ready", 120)

    def send(self, to, method, path, *more):
        """Sends a file whose name it has sent no other by; what came of it is told by "sent" or "unsent"."""
        self.command(" ".join(map(str, ["send", to, method, path, *more])))
        return self.wait(("sent", "unsent"), 60, name=Path(path).name)

    def wait(self, event, seconds=30, **facts):
        """The first event of that name, or of one of those, with those facts, past or to come."""
        names = (event,) if isinstance(event, str) else event
        deadline = time.monotonic() + seconds
        with self.news:
            while True:
                for told in self.events:
                    if told["event"] in names and all(told.get(key) == value for key, value in facts.items()):
                        return told
                ended = self.events and self.events[-1]["event"] == "ended"
                if ended or not self.news.wait(max(0, deadline - time.monotonic())):
                    raise AssertionError(f"{self.jid}: no {event} {facts} within {seconds} s; told: {self.events[-20:]}"
                                         f"\n{self.process.tail()}")

    def all(self, event):
        with self.news:
            return [told for told in self.events if told["event"] == event]

    def command(self, line):
        self.process.popen.stdin.write(line.encode() + b"\n")
        self.process.popen.stdin.flush()

    def leave(self):
        """Says goodbye to the server; all() is complete then."""
        self.process.popen.stdin.close()
        self.process.popen.wait(10)
        self.reader.join(5)

    def kill(self):
        self.process.kill()
        self.reader.join(5)
        self.process.popen.stdin.close()
        self.process.popen.stdout.close()


def slixmpp(server, user, log, *options, resource="desk", domain=DOMAIN, password=PASSWORD):
    return Peer("slixmpp", ["/usr/bin/python3", str(HERE / "slixmpp_peer.py")], f"{user}@{domain}/{resource}", server,
                log, options, password)


def qxmpp(server, user, log, *options, resource="desk"):
    program = compiled("qxmpp_peer.cpp", "g++", "Qt5Core", "Qt5Network", "Qt5Xml", "qxmpp")
    return Peer("QXmpp", [program], f"{user}@{DOMAIN}/{resource}", server, log, options)


def gloox(server, user, log, *options, resource="desk"):
    program = compiled("gloox_peer.cpp", "g++", "gloox", "jansson", "libcrypto")
    return Peer("gloox", [program], f"{user}@{DOMAIN}/{resource}", server, log, options)


def libpurple(server, user, log, *options, resource="desk"):
    """The library of Pidgin and Finch; on a server that offers no STARTTLS."""
    program = compiled("purple_peer.c", "gcc", "purple", "jansson")
    return Peer("libpurple", [program], f"{user}@{DOMAIN}/{resource}", server, log, ["--home", f"{log}-home", *options])


def gajim(server, user, log, *options, resource="desk"):
    """Real Gajim, for files by Jingle; it must not be reached at 127.0.0.1, nor does it go there."""
    return Peer("Gajim", ["/usr/bin/python3", str(HERE / "gajim_peer.py"), "--home", f"{log}-home"],
                f"{user}@{DOMAIN}/{resource}", server, log, options)


def dino(server, user, log, *options, resource="desk"):
    """Real Dino, for files by Jingle and for links; it takes nobody's word that a connection without TLS is fine."""
    return Peer("Dino", ["/usr/bin/python3", str(HERE / "dino_peer.py"), "--home", f"{log}-home",
                         "--world", compiled("dino_world.c", "gcc", shared=True),
                         "--fingers", compiled("dino_fingers.c", "gcc", "gio-2.0", shared=True),
                         "--ca", str(server.authority.certificate)],
                f"{user}@{DOMAIN}/{resource}", server, log, options)


def libervia(server, user, log, *options, resource="desk"):
    return Peer("Libervia", ["/usr/bin/python3", str(HERE / "libervia_peer.py"), "--home", f"{log}-home", "--ca",
                             str(server.authority.certificate)], f"{user}@{DOMAIN}/{resource}", server, log, options)


def profanity(server, user, log, *options, resource="desk"):
    """Real Profanity, for links."""
    return Peer("Profanity", ["/usr/bin/python3", str(HERE / "profanity_peer.py"), "--home", f"{log}-home", "--ca",
                              str(server.authority.certificate)], f"{user}@{DOMAIN}/{resource}", server, log, options)


def psi(server, user, log, *options, resource="desk"):
    """Real Psi; on a server that offers no STARTTLS."""
    return Peer("Psi", ["/usr/bin/python3", str(HERE / "psi_peer.py"), "--home", f"{log}-home", "--fingers",
                        compiled("psi_fingers.cpp", "g++", "Qt5Widgets", shared=True)],
                f"{user}@{DOMAIN}/{resource}", server, log, options)
