#!/usr/bin/python3
"""A recipient and a sender: the real Dino with its window on a display nobody sees; files by Jingle, and links.
  dino_peer.py JID PASSWORD HOST PORT --home DIR --world SO --fingers SO --ca FILE

Its database gets the account, and conversations with the gateway and one other, before it starts; dino_world.c shows it
the server, dino_fingers.c is who sends. Files of contacts below 5 MB it accepts by itself. Tells what happens as one
JSON object a line: ready, offer, file, broken, sent, unsent. Ends when its standard input does; a line there is a
command: "send JID jingle FILE", with the JID of a conversation. What it says and hears on the wire is in the log.

Its habits, as far as a sender meets them:
- it acknowledges the offer of a contact with whom no conversation was ever opened, and then says nothing for ever;
- its tie rule is the other way round: of two candidates with the same priority it takes the responder's;
- it wants name and size in the offer, an empty file is no exception;
- it sends session-terminate with success as soon as it has the bytes, and no <received/> before;
- when no candidate works out it sends transport-replace to in-band itself, as responder.
"""
import argparse
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

from desktop import end_with_us, make_room

COMPLETE, FAILED = 0, 3  # of Dino's file_transfer.state
POLL_SECONDS = 0.05

# As Dino itself makes them; it adds the others.
TABLES = """
    CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT, bare_jid TEXT NOT NULL UNIQUE, resourcepart TEXT,
        password TEXT, alias TEXT, enabled INTEGER, roster_version TEXT, mam_earliest_synced INTEGER);
    CREATE TABLE jid (id INTEGER PRIMARY KEY AUTOINCREMENT, bare_jid TEXT NOT NULL UNIQUE);
    CREATE TABLE conversation (id INTEGER PRIMARY KEY AUTOINCREMENT, account_id INTEGER NOT NULL,
        jid_id INTEGER NOT NULL, resource TEXT, active INTEGER, active_last_changed INTEGER NOT NULL DEFAULT 0,
        last_active INTEGER, type INTEGER, encryption INTEGER, read_up_to INTEGER,
        read_up_to_item INTEGER NOT NULL DEFAULT -1, notification INTEGER, send_typing INTEGER, send_marker INTEGER,
        pinned INTEGER DEFAULT 0);
"""


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("jid", help="full JID")
    arguments.add_argument("password")
    arguments.add_argument("host", help="127.0.0.1, which is where Dino finds its domain, localhost")
    arguments.add_argument("port")
    arguments.add_argument("--home", type=Path, required=True, help="files and settings go there")
    arguments.add_argument("--world", required=True, help="dino_world.c, compiled")
    arguments.add_argument("--fingers", required=True, help="dino_fingers.c, compiled")
    arguments.add_argument("--partner", default="bob", help="with whom there is a conversation, beside the gateway")
    arguments.add_argument("--only-proxy", action="store_true", help="it has no address of its own")
    arguments.add_argument("--ca", required=True, help="who signed the server's certificate")
    arguments.add_argument("--alone", action="store_true", help="have no conversation with the gateway yet")
    return arguments.parse_args()


def partners(arguments):
    """With whom there is a conversation, in the order of their numbers."""
    domain = arguments.jid.partition("/")[0].partition("@")[2]
    return [] if arguments.alone else [f"gateway@{domain}", f"{arguments.partner}@{domain}"]


def set_up(arguments, database):
    bare, _, resource = arguments.jid.partition("/")
    database.parent.mkdir()
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = WAL")  # Dino gives up at a table that somebody else reads, but for this
    connection.executescript(TABLES)
    connection.execute("INSERT INTO account (bare_jid, resourcepart, password, alias, enabled) VALUES (?, ?, ?, '', 1)",
                       (bare, resource, arguments.password))
    for number, partner in enumerate(partners(arguments), 1):
        connection.execute("INSERT INTO jid (bare_jid) VALUES (?)", (partner,))
        connection.execute("INSERT INTO conversation (account_id, jid_id, active, type, encryption, notification,"
                           " send_typing, send_marker) VALUES (1, ?, 1, 0, 0, 0, 0, 0)", (number,))
    connection.commit()
    connection.close()


def start(arguments, commands):
    """Dino, without its plugins for calls and keys, which would ask servers of their own."""
    plugins = arguments.home / "plugins"
    plugins.mkdir()
    for library in Path("/usr/lib").glob("*/dino-im/plugins/http-files.so"):
        (plugins / library.name).symlink_to(library)
    if arguments.only_proxy:
        os.environ["DINO_NO_ADDRESS"] = "yes"
    return subprocess.Popen(["dino-im", "--print-xmpp=all"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", preexec_fn=end_with_us,
                            pass_fds=[commands],
                            env=dict(os.environ, DINO_PLUGIN_DIR=str(plugins), DINO_PORT=arguments.port,
                                     DINO_CA=arguments.ca, DINO_COMMANDS=str(commands),
                                     LD_PRELOAD=f"{arguments.world} {arguments.fingers}"))


class Present:
    """Who was seen online: before that Dino sends nothing to him."""

    def __init__(self):
        self.news, self.seen = threading.Condition(), set()

    def note(self, line):
        came = re.match(r"<\{jabber:client\}:presence .*:from='([^']*)'", line)
        if came:
            with self.news:
                self.seen.add(came[1])
                self.news.notify_all()

    def await_one(self, jid):
        with self.news:
            self.news.wait_for(lambda: jid in self.seen)


def listen(output, ready, present):
    """Reads what Dino prints: stanzas in the order they pass."""
    roster = presence = False
    direction = None
    for line in output:
        sys.stderr.write(line)
        if line.startswith("XMPP "):
            direction = line.split()[1]
        if direction == "IN":
            present.note(line)
        roster = roster or direction == "IN" and "{jabber:iq:roster}:query" in line
        presence = presence or direction == "OUT" and "{jabber:client}:presence" in line
        if roster and presence and not ready.is_set():
            tell("ready")
            ready.set()
        if direction == "IN" and "action='session-initiate'" in line.replace("{urn:xmpp:jingle:1}:", ""):
            tell("offer")
    os._exit(1)


def news(database, files, known):
    """What became of the transfers since the last time."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT id, file_name, path, state, direction FROM file_transfer").fetchall()
    finally:
        connection.close()
    for number, name, path, state, sent in rows:
        if number in known or state not in (COMPLETE, FAILED):
            continue
        known.add(number)
        if sent:
            tell("sent" if state == COMPLETE else "unsent", name=name)
            continue
        data = (files / path).read_bytes() if path and (files / path).exists() else b""
        tell("file" if state == COMPLETE else "broken", name=name, size=len(data),
             sha256=hashlib.sha256(data).hexdigest())


def obey(arguments, commands, present, over):
    """Passes on what is to be sent, until the end of input."""
    for line in sys.stdin:
        verb, to, _, path = line.split()
        assert verb == "send", line
        present.await_one(to)
        number = partners(arguments).index(to.partition("/")[0]) + 1
        os.write(commands, f"{number} {path}\n".encode())
    over.set()


def main():
    arguments = options()
    make_room(arguments.home)
    folder = arguments.home / "data" / "dino"
    set_up(arguments, folder / "dino.db")
    reading, commands = os.pipe()
    dino = start(arguments, reading)
    ready, over = threading.Event(), threading.Event()
    present = Present()
    threading.Thread(target=listen, args=(dino.stdout, ready, present), daemon=True).start()
    threading.Thread(target=lambda: (obey(arguments, commands, present, over), ready.set()), daemon=True).start()
    known = set()
    ready.wait()  # its tables are made by then
    while not over.wait(POLL_SECONDS):
        news(folder / "dino.db", folder / "files", known)
    os._exit(0)


main()
