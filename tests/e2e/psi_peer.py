#!/usr/bin/python3
"""A recipient: the real Psi with its window on a display nobody sees; it takes files by stream initiation.
  psi_peer.py JID PASSWORD HOST PORT --home DIR --fingers SO [--decline]

Its profile gets the account before it starts, on a server that offers no STARTTLS; psi_fingers.cpp presses the buttons.
Tells what happens as one JSON object a line: ready, file. Ready is said when it has begun, which is a while before it is
online. Ends when its standard input does.

Its habits, as far as a sender meets them:
- Psi 1.5 of Debian announces no file transfer by Jingle;
- it goes to all streamhosts at once and takes who answers first, which need not be the first of the list;
- a bytestream that no offer came before is not-acceptable to it;
- as long as a file is not whole its name ends in .part.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from xml.sax.saxutils import escape

from desktop import end_with_us, make_room

POLL_SECONDS = 0.05


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("jid", help="full JID")
    arguments.add_argument("password")
    arguments.add_argument("host")
    arguments.add_argument("port", type=int)
    arguments.add_argument("--home", type=Path, required=True, help="files and settings go there")
    arguments.add_argument("--fingers", required=True, help="psi_fingers.cpp, compiled")
    arguments.add_argument("--decline", action="store_true", help="say no to every offer")
    return arguments.parse_args()


def tree(settings):
    """As Psi writes its settings: nested, each value with its type."""
    told = ""
    for name, value in settings.items():
        if isinstance(value, dict):
            told += f"<{name}>{tree(value)}</{name}>"
        elif isinstance(value, bool):
            told += f'<{name} type="bool">{str(value).lower()}</{name}>'
        else:
            told += f'<{name} type="{"int" if isinstance(value, int) else "QString"}">{escape(str(value))}</{name}>'
    return told


def write(path, name, settings):
    path.write_text(f'<!DOCTYPE {name}><{name} xmlns="http://psi-im.org/options">{tree({name: settings})}</{name}>')


def hidden(password, key):
    return "".join(f"{ord(char) ^ ord(key[i % len(key)]):04x}" for i, char in enumerate(password))


def set_up(arguments):
    profile = arguments.home / "psi/profiles/default"
    profile.mkdir(parents=True)
    bare, _, resource = arguments.jid.partition("/")
    write(profile / "accounts.xml", "accounts", {"a0": {
        "enabled": True, "auto": True, "name": "test", "jid": bare, "password": hidden(arguments.password, bare),
        "use-host": True, "host": arguments.host, "port": arguments.port, "ssl": "no", "allow-plain": "always",
        "automatic-resource": False, "resource": resource, "priority": 5, "auto-same-status": True,
        "last-status": "online", "stun-host": ""}})
    write(profile / "options.xml", "options", {
        "ui": {"file-transfer": {"auto-popup": True}, "last-used-save-path": str(arguments.home / "files"),
               "tip": {"show": False}},
        "keychain": {"enabled": False}, "p2p": {"bytestreams": {"listen-port": 0, "external-address": ""}}})


def start(arguments):
    environment = dict(os.environ, PSIDATADIR=str(arguments.home / "psi"), LD_PRELOAD=arguments.fingers)
    if arguments.decline:
        environment["PSI_DECLINE"] = "yes"
    return subprocess.Popen(["psi", "--profile=default"], stdin=subprocess.DEVNULL, stdout=2,
                            cwd=arguments.home / "files", preexec_fn=end_with_us, env=environment)


def news(files, known):
    for path in files.iterdir():
        if path.suffix != ".part" and path.name not in known:
            known.add(path.name)
            data = path.read_bytes()
            tell("file", name=path.name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def main():
    arguments = options()
    make_room(arguments.home)
    set_up(arguments)
    psi = start(arguments)
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    known = set()
    tell("ready")
    while not over.wait(POLL_SECONDS):
        if psi.poll() is not None:
            sys.exit(f"Psi ended with {psi.returncode}")
        news(arguments.home / "files", known)
    os._exit(0)


main()
