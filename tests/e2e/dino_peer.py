#!/usr/bin/python3
"""A recipient: the real Dino with its window on a display nobody sees; it takes files by Jingle, and links.
  dino_peer.py JID PASSWORD HOST PORT --home DIR --world SO --ca FILE

Its database gets the account, and a conversation with the gateway, before it starts; dino_world.c shows it the server.
Files of contacts below 5 MB it accepts by itself. Tells what happens as one JSON object a line: ready, offer, file,
broken. Ends when its standard input does. What it says and hears on the wire is in the log.

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
    arguments.add_argument("--ca", required=True, help="who signed the server's certificate")
    arguments.add_argument("--alone", action="store_true", help="have no conversation with the gateway yet")
    return arguments.parse_args()


def set_up(arguments, database):
    bare, _, resource = arguments.jid.partition("/")
    database.parent.mkdir()
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = WAL")  # Dino gives up at a table that somebody else reads, but for this
    connection.executescript(TABLES)
    connection.execute("INSERT INTO account (bare_jid, resourcepart, password, alias, enabled) VALUES (?, ?, ?, '', 1)",
                       (bare, resource, arguments.password))
    if not arguments.alone:
        connection.execute("INSERT INTO jid (bare_jid) VALUES (?)", ("gateway@" + bare.partition("@")[2],))
        connection.execute("INSERT INTO conversation (account_id, jid_id, active, type, encryption, notification,"
                           " send_typing, send_marker) VALUES (1, 1, 1, 0, 0, 0, 0, 0)")
    connection.commit()
    connection.close()


def start(arguments):
    """Dino, without its plugins for calls and keys, which would ask servers of their own."""
    plugins = arguments.home / "plugins"
    plugins.mkdir()
    for library in Path("/usr/lib").glob("*/dino-im/plugins/http-files.so"):
        (plugins / library.name).symlink_to(library)
    return subprocess.Popen(["dino-im", "--print-xmpp=all"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", preexec_fn=end_with_us,
                            env=dict(os.environ, DINO_PLUGIN_DIR=str(plugins), DINO_PORT=arguments.port,
                                     DINO_CA=arguments.ca, LD_PRELOAD=arguments.world))


def listen(output, ready):
    """Reads what Dino prints: stanzas in the order they pass."""
    roster = presence = False
    direction = None
    for line in output:
        sys.stderr.write(line)
        if line.startswith("XMPP "):
            direction = line.split()[1]
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
        rows = connection.execute("SELECT id, file_name, path, state FROM file_transfer").fetchall()
    finally:
        connection.close()
    for number, name, path, state in rows:
        if number in known or state not in (COMPLETE, FAILED):
            continue
        known.add(number)
        data = (files / path).read_bytes() if path and (files / path).exists() else b""
        tell("file" if state == COMPLETE else "broken", name=name, size=len(data),
             sha256=hashlib.sha256(data).hexdigest())


def main():
    arguments = options()
    make_room(arguments.home)
    folder = arguments.home / "data" / "dino"
    set_up(arguments, folder / "dino.db")
    dino = start(arguments)
    ready, over = threading.Event(), threading.Event()
    threading.Thread(target=listen, args=(dino.stdout, ready), daemon=True).start()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set(), ready.set()), daemon=True).start()
    known = set()
    ready.wait()  # its tables are made by then
    while not over.wait(POLL_SECONDS):
        news(folder / "dino.db", folder / "files", known)
    os._exit(0)


main()
