#!/usr/bin/python3
"""A recipient: the real Profanity on a terminal nobody sees; it takes no streams, so what it gets is a link.
  profanity_peer.py JID PASSWORD HOST PORT --home DIR --ca FILE

Types what a person would to keep what a link names: /url save. Tells what happens as one JSON object a line: ready,
message, file. Ends when its standard input does.
"""
import argparse
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from desktop import end_with_us, make_home

ROWS, COLUMNS = 50, 200
POLL_SECONDS = 0.1


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("jid", help="full JID")
    arguments.add_argument("password")
    arguments.add_argument("host")
    arguments.add_argument("port")
    arguments.add_argument("--home", type=Path, required=True, help="files and settings go there")
    arguments.add_argument("--ca", required=True, help="who signed the server's certificate")
    return arguments.parse_args()


def set_up(arguments):
    bare, _, resource = arguments.jid.partition("/")
    for folder in "config", "data":
        (arguments.home / folder / "profanity").mkdir()
    (arguments.home / "data/profanity/accounts").write_text(
        f"[{bare}]\nenabled=true\njid={bare}\nresource={resource}\npassword={arguments.password}\n"
        f"server={arguments.host}\nport={arguments.port}\ntls.policy=trust\n"
        "presence.last=online\npresence.login=online\n")
    (arguments.home / "config/profanity/profrc").write_text("[logging]\nchlog=true\n")


def start(arguments):
    """Returns our end of its terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    bare = arguments.jid.partition("/")[0]
    subprocess.Popen(["profanity", "-a", bare], stdin=theirs, stdout=theirs, stderr=theirs,
                     preexec_fn=end_with_us, env=dict(os.environ, TERM="xterm", SSL_CERT_FILE=arguments.ca))
    os.close(theirs)
    return ours


class Person:
    def __init__(self, home, terminal):
        self.home, self.terminal, self.screen = home, terminal, ""
        self.online, self.read, self.wanted = False, 0, {}

    def look(self):
        self.screen += os.read(self.terminal, 65536).decode(errors="replace")
        if not self.online and "logged in successfully" in self.screen:
            self.online = True
            tell("ready")

    def type(self, line):
        os.write(self.terminal, line.encode() + b"\n")

    def read_messages(self):
        """Profanity writes down what it shows: time - sender: text."""
        lines = [line for log in (self.home / "data/profanity/chatlogs").rglob("*.log") if log.is_file()
                 for line in log.read_text().splitlines()]
        for line in lines[self.read:]:
            sender, body = re.fullmatch(r"\S+ - ([^:]+): (.*)", line).groups()
            tell("message", sender=sender, body=body)
            if re.match("https?://", body):
                self.save(sender, body)
        self.read = len(lines)

    def save(self, sender, url):
        path = self.home / "files" / url.rpartition("/")[2]
        self.wanted[path] = 0, 0
        self.type(f"/msg {sender}")
        self.type(f"/url save {url} {path}")

    def look_at_files(self):
        """Told as soon as one has not grown for a while, and again if it does."""
        for path, (size, told) in self.wanted.items():
            now = path.stat().st_size if path.exists() else 0
            if now and now == size != told:
                tell("file", name=path.name, size=now, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
                told = now
            self.wanted[path] = now, told


def main():
    arguments = options()
    make_home(arguments.home)
    set_up(arguments)
    person = Person(arguments.home, start(arguments))
    last = 0
    while True:
        ready = select.select([sys.stdin, person.terminal], [], [], POLL_SECONDS)[0]
        if sys.stdin in ready and not os.read(0, 64):
            break
        if person.terminal in ready:
            person.look()
        if time.monotonic() - last > POLL_SECONDS:
            last = time.monotonic()
            person.read_messages()
            person.look_at_files()


main()
