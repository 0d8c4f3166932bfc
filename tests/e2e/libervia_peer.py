#!/usr/bin/python3
"""A recipient and a sender: the real Libervia (once Salut à Toi), whose backend has no window and is spoken to over D-Bus.
  libervia_peer.py JID PASSWORD HOST PORT --home DIR --ca FILE [--decline]

Says yes to every offer, and sends, the way its own command line does. Tells what happens as one JSON object a line: ready,
offer, file, broken, sent, unsent. Ends when its standard input does; a line there is a command: "send JID METHOD FILE",
where METHOD is Libervia's business.

Its habits, as far as a sender meets them:
- a Jingle offer without <hash/> and <hash-used/> ends in failed-application, and so does one with a <hash/>: it takes
  that for base64 of hexadecimal digits. Only <hash-used/>, with such a checksum later, gets through;
- a stream, also in-band, that no offer came before is not-acceptable to it;
- it says nothing to its user about the end of an empty file by SOCKS5.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import dbus
import dbus.mainloop.glib
from desktop import end_with_us, make_home, start_bus
from gi.repository import GLib

NAME, PATH = "org.libervia.Libervia", "/org/libervia/Libervia/bridge"
PROFILE = "test"


listener = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), file=listener, flush=True)


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("jid", help="full JID")
    arguments.add_argument("password")
    arguments.add_argument("host")
    arguments.add_argument("port")
    arguments.add_argument("--home", type=Path, required=True, help="files and settings go there")
    arguments.add_argument("--ca", required=True, help="who signed the server's certificate")
    arguments.add_argument("--decline", action="store_true", help="say no to every offer")
    return arguments.parse_args()


def start_backend(arguments):
    data = arguments.home / "data" / "sat"
    data.mkdir()
    (arguments.home / ".sat.conf").write_text(
        f"[DEFAULT]\nlocal_dir = {data}\nbridge = dbus\nxmpp_domain = localhost\n")
    subprocess.Popen(["/usr/bin/python3", "/usr/bin/libervia-backend", "fg"], stdin=subprocess.DEVNULL, stdout=2,
                     preexec_fn=end_with_us,
                     env=dict(os.environ, PATH="/usr/bin:/bin", SSL_CERT_FILE=arguments.ca, PYTHONUNBUFFERED="1"))


class Recipient:
    def __init__(self, arguments, bus):
        self.arguments, self.files, self.names = arguments, arguments.home / "files", {}
        self.sending = set()  # names
        bridge = bus.get_object(NAME, PATH)
        self.core, self.plugin = (dbus.Interface(bridge, f"{NAME}.{part}") for part in ("core", "plugin"))
        for signal, handler in (("actionNew", self.on_action), ("progressFinished", self.on_finished),
                                ("progressError", self.on_error), ("progressStarted", self.on_started)):
            bridge.connect_to_signal(signal, handler, dbus_interface=NAME + ".core")
        self.then(self.core.getReady, self.create)

    def then(self, method, step, *values):
        method(*values, reply_handler=lambda *answer: step(), error_handler=self.give_up, timeout=60)

    def give_up(self, error):
        print(f"libervia: {error}", file=sys.stderr)
        os._exit(1)

    def create(self):
        self.then(self.core.profileCreate, self.start_session, PROFILE, "", "")

    def start_session(self):
        self.then(self.core.profileStartSession, self.connect, "", PROFILE)

    def connect(self):
        for name, value in (("JabberID", self.arguments.jid), ("Password", self.arguments.password),
                            ("Force server", self.arguments.host), ("Force port", self.arguments.port)):
            self.core.setParam(name, value, "Connection", -1, PROFILE)
        self.then(self.core.connect, self.be_ready, PROFILE, "", dbus.Dictionary(signature="ss"))

    def be_ready(self):
        """It is online earlier; but what comes before its Jingle plugin has started is left unanswered."""
        tell("ready", jid=self.arguments.jid)

    def on_action(self, action, number, limit, profile):
        if action.get("meta_type") != "file":
            return self.on_other_question(action, profile)
        tell("offer", sender=action["meta_from_jid"])
        question = ElementTree.fromstring(action["xmlui"]).get("submit")
        answer = {"cancelled": "true"} if self.arguments.decline else {"path": str(self.files)}
        self.then(self.core.launchAction, lambda: None, question, answer, profile)

    def on_other_question(self, action, profile):
        """Before it sends by SOCKS5 it would like to ask somebody on the Internet for our address."""
        print(f"libervia asks: {dict(action)}", file=sys.stderr)
        question = ElementTree.fromstring(action["xmlui"]).get("submit")
        if question:
            self.then(self.core.launchAction, lambda: None, question, {"answer": "false"}, profile)

    def on_started(self, number, metadata, profile):
        self.names[number] = os.path.basename(metadata["name"])  # it may be a path

    def obey(self, line):
        _, to, _, path = line.split()
        self.sending.add(os.path.basename(path))
        self.plugin.fileSend(to, path, "", "", "", PROFILE, timeout=60, error_handler=self.give_up,
                             reply_handler=lambda answer: self.on_begun(os.path.basename(path), answer))

    @staticmethod
    def on_begun(name, answer):
        if "progress" not in answer:
            tell("unsent", name=name, error=str(answer.get("xmlui")))

    def on_finished(self, number, metadata, profile):
        name = self.names[number]
        if name in self.sending:
            tell("sent", name=name)
            return
        data = (self.files / name).read_bytes()
        tell("file", name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def on_error(self, number, error, profile):
        name = self.names.get(number)
        tell("unsent" if name in self.sending else "broken", name=name, error=error)


def main():
    arguments = options()
    make_home(arguments.home)
    start_bus()
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SessionBus()
    start_backend(arguments)
    recipients = []
    bus.watch_name_owner(NAME, lambda owner: owner and not recipients and recipients.append(Recipient(arguments, bus)))

    def read(*_):
        line = sys.stdin.buffer.raw.readline().decode()
        if not line:
            os._exit(0)
        recipients[0].obey(line)
        return True

    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, read)
    GLib.MainLoop().run()


main()
