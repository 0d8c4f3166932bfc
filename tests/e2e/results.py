"""Which client gets what: noted by the tests as they see it, and made into the table of the project's README.

    results.py              prints the table of the last run
    results.py --check      whether the README's table says the same; versions may differ behind their first two numbers
    results.py --write      puts it there
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = Path(os.environ.get("JIDPOST_BUILD", ROOT / "build")) / "e2e" / "clients.jsonl"
README = ROOT / "README.md"
BEGIN, END = "<!-- made by tests/e2e/results.py -->\n", "<!-- as far as that -->\n"

METHODS = ("jingle-s5b", "jingle-ibb", "si-s5b", "si-ibb", "s5b", "ibb", "link")
SERVERS = ("prosody", "ejabberd")
PACKAGES = {"Dino": "dino-im", "Gajim": "gajim", "gloox": "libgloox-dev", "Libervia": "libervia-backend",
            "libpurple": "libpurple0", "Profanity": "profanity", "Psi": "psi", "QXmpp": "libqxmpp-dev",
            "slixmpp": "python3-slixmpp"}


def version(client):
    """Debian's, without what Debian adds."""
    told = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", PACKAGES[client]], check=True, capture_output=True,
                          text=True).stdout
    return re.sub(r"^\d+:|[-+~].*", "", told)


def record(client, server, method, path, size):
    """Appended in one write, since several test programs do so at once."""
    line = json.dumps({"client": client, "version": version(client), "server": server, "method": method, "path": path,
                       "size": size, "verdict": "arrived"})
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with open(RESULTS, "ab", buffering=0) as out:
        out.write(line.encode() + b"\n")


def cell(paths):
    """paths: {path: the servers it was seen with}"""
    told = []
    for path in sorted(paths):
        only = "" if paths[path] == set(SERVERS) else f" ({', '.join(sorted(paths[path]))} only)"
        told.append(("yes" if path == "inband" else path) + only)
    return ", ".join(told) or "–"


def table():
    seen, versions = {}, {}  # seen: {client: {method: {path: servers}}}
    for line in RESULTS.read_text().splitlines():
        one = json.loads(line)
        versions[one["client"]] = one["version"]
        methods = seen.setdefault(one["client"], {})
        methods.setdefault(one["method"], {}).setdefault(one["path"], set()).add(one["server"])
    rows = [("client", *(f"`{method}`" for method in METHODS)), ("---",) * (len(METHODS) + 1)]
    for client in sorted(seen, key=str.casefold):
        rows.append((f"{client} {versions[client]}", *(cell(seen[client].get(method, {})) for method in METHODS)))
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def without_patch(text):
    return re.sub(r"(\d+\.\d+)[.\d]*", r"\1", text)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--write", action="store_true")
    options = arguments.parse_args()
    made = table()
    before, begin, rest = README.read_text().partition(BEGIN)
    there, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{README} has no place for the table")
    if options.write:
        README.write_text(before + begin + made + end + after)
    elif options.check and without_patch(there) != without_patch(made):
        sys.exit(f"The README says\n\n{there}\nand the tests showed\n\n{made}\nIf that is right: "
                 "/usr/bin/python3 tests/e2e/results.py --write")
    else:
        print(made, end="")


if __name__ == "__main__":
    main()
