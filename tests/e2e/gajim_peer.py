#!/usr/bin/python3
"""A recipient and a sender: the real Gajim 1.7 with its window on a display nobody sees; files by Jingle over SOCKS5.
  gajim_peer.py JID PASSWORD HOST PORT --home DIR

Sets up the account, and says yes to every offer by what the button calls. Tells what happens as one JSON object a line:
ready, offer, file, broken, sent, unsent. Ends when its standard input does; a line there is a command: "send JID jingle
FILE".

It asks a proxy for its address and then offers it; the test that it would make of a proxy first, as somebody of
gajim.org, no proxy passes. Gajim never goes to 127.0.0.1 or ::1, so whoever sends to it has to be at another address of
the loopback network.
"""
import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

from desktop import make_room
from lab import Ports

OWN_ADDRESS = "127.0.0.2"
FILES = "urn:xmpp:jingle:apps:file-transfer:5"


listener = os.fdopen(os.dup(1), "w")  # Gajim prints what it likes
os.dup2(2, 1)


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), file=listener, flush=True)


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("jid", help="full JID")
    arguments.add_argument("password")
    arguments.add_argument("host")
    arguments.add_argument("port", type=int)
    arguments.add_argument("--home", required=True, help="files and settings go there")
    arguments.add_argument("--proxy", help="instead of the server's own")
    arguments.add_argument("--only-proxy", action="store_true", help="offer no address of its own")
    arguments.add_argument("--decline", action="store_true", help="say no to every offer")
    return arguments.parse_args()


class Recipient:
    def __init__(self, arguments, home):
        self.arguments, self.files = arguments, home / "files"
        self.listening = self.online = False
        self.user, _, rest = arguments.jid.partition("@")
        self.domain, _, self.resource = rest.partition("/")

    def set_up(self, settings):
        for key, value in (("use_keyring", False), ("check_for_update", False),
                           ("file_transfers_port", Ports.take()),
                           ("ft_add_hosts_to_send", "" if self.arguments.only_proxy else OWN_ADDRESS)):
            settings.set_app_setting(key, value)
        settings.add_account("test")
        for key, value in dict(
                name=self.user, hostname=self.domain, resource=self.resource, password=self.arguments.password,
                savepass=True, active=True, autoconnect=True, use_custom_host=True,
                custom_host=self.arguments.host, custom_port=self.arguments.port, custom_type="PLAIN",
                confirm_unencrypted_connection=False, use_plain_connection=True, account_label="test",
                anonymous_auth=False, ft_send_local_ips=not self.arguments.only_proxy, use_ft_proxies=True,
                test_ft_proxies_on_startup=False,
                file_transfer_proxies=self.arguments.proxy or "proxy." + self.domain).items():
            settings.set_account_setting("test", key, value)

    def listen(self):
        """Called until there is nothing more to wait for."""
        from gajim.common import app, ged
        if not self.listening:
            if "file_transfers" not in getattr(getattr(app, "interface", None), "instances", {}):
                return True
            app.ged.register_event_handler("file-request-received", ged.GUI2, self.on_offer)
            app.ged.register_event_handler("file-completed", ged.GUI2, self.on_file)
            for name in "file-error", "file-hash-error", "file-send-error", "file-request-error", "jingle-error-received":
                app.ged.register_event_handler(name, ged.GUI2, self.on_error)
            self.listening = True
        if "test" not in app.connections or not app.get_client("test").state.is_available:
            return True
        tell("ready")
        return False

    def on_offer(self, event):
        from gajim.common import app
        properties = event.file_props
        tell("offer", name=properties.name, size=properties.size, hash=f"{properties.algo}:{properties.hash_}")
        client = app.get_client("test")
        contact = client.get_module("Contacts").get_contact(event.jid)
        window = app.interface.instances["file_transfers"]
        if self.arguments.decline:
            client.get_module("Bytestream").send_file_rejection(properties)
        else:
            window._start_receive(str(self.files / os.path.basename(properties.name)), "test", contact, properties)

    def send(self, to, path):
        """Called until it has been sent, or cannot be: first its presence has to come, and what it can do."""
        from nbxmpp.protocol import JID
        from gajim.common import app
        there = JID.from_string(to)
        contact = app.get_client("test").get_module("Contacts").get_contact(there.bare)
        resources = [resource for resource in contact.iter_resources() if resource.jid == there]
        if not resources or not resources[0].supports(FILES):
            return True
        app.interface.instances["file_transfers"].send_file("test", contact, there, path)
        return False

    def obey(self, line):
        words = line.split()
        if len(words) == 4 and words[0] == "send":
            from gi.repository import GLib
            GLib.timeout_add(100, self.send, words[1], words[3])

    def on_file(self, event):
        if event.file_props.type_ == "s":
            tell("sent", name=event.file_props.name, size=event.file_props.size)
            return
        path = Path(event.file_props.file_name)
        digest = hashlib.sha256()
        with open(path, "rb") as received:
            while block := received.read(1 << 20):
                digest.update(block)
        tell("file", name=path.name, size=path.stat().st_size, sha256=digest.hexdigest())

    def on_error(self, event):
        properties = getattr(event, "file_props", None)
        tell("unsent" if properties and properties.type_ == "s" else "broken", name=getattr(properties, "name", None),
             what=event.name, text=str(getattr(event, "error_msg", "") or getattr(event, "reason", "")))


def mend():
    """Gajim 1.7 as released cannot receive by Jingle: it builds its transfer without the file properties this needs,
    and dies of that after it acknowledged the offer, so that the sender waits for ever. Nor can its library's parser of
    in-band stanzas build what it returns, and then it answers none of them."""
    from nbxmpp.structs import IBBData
    from gajim.common.file_props import FilesProp
    from gajim.common.jingle_ft import JingleFileTransfer
    stock_init, stock_raise = JingleFileTransfer.__init__, JingleFileTransfer._raise_event

    def init(self, session, transport=None, file_props=None, **more):
        if file_props is None:
            file_props = FilesProp.getNewFileProp("test", session.sid)
        stock_init(self, session, transport=transport, file_props=file_props, **more)

    def raise_event(self, stanza, content):
        stock_new = FilesProp.getNewFileProp
        FilesProp.getNewFileProp = classmethod(lambda cls, account, sid: self.file_props)
        try:
            stock_raise(self, stanza, content)
        finally:
            FilesProp.getNewFileProp = stock_new

    IBBData.__new__.__defaults__ = (None,) * len(IBBData._fields)
    JingleFileTransfer.__init__ = init
    JingleFileTransfer._raise_event = raise_event


def main():
    arguments = options()
    home = Path(arguments.home)
    make_room(home)
    os.geteuid = lambda: 1000  # it refuses root, who may well run the tests
    import gi
    gi.require_version("Gtk", "3.0")
    from gi.repository import GLib
    from gajim.common.settings import Settings
    recipient = Recipient(arguments, home)
    stock_init = Settings.init

    def init(self):
        stock_init(self)
        recipient.set_up(self)

    Settings.init = init
    mend()
    GLib.timeout_add(100, recipient.listen)

    def read(*_):
        line = sys.stdin.buffer.raw.readline().decode()
        if not line:
            os._exit(0)
        recipient.obey(line)
        return True

    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, read)
    sys.argv = ["gajim", "-c", str(home / "gajim")]
    from gajim.gajim import main as gajim_main
    gajim_main()


main()
