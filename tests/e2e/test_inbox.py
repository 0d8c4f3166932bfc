"""Files that clients send to us: every client, method and path, on both servers, to an account of ours and to a component."""
import hashlib
import subprocess

import peers
from case import Case
from lab import DOMAIN, FILES, LOOPBACK, PROXY

SIZES = {"one byte": 1, "more than 64 KiB by one": 65537, "1 MiB": 1 << 20}
SMALL = {"half a MiB": 1 << 19}  # in-band, where a client takes 50 ms for 4 KiB
ELSEWHERE = "127.0.0.2"  # Gajim never goes to 127.0.0.1
RECEIVING = {"INBOX_ACCEPT": f"*@{DOMAIN}", "INBOX_RAW": "on", "EGRESS_ALLOW_NETS": "127.0.0.0/8"}


class Inbox:
    """To an account."""
    settings = RECEIVING
    address = f"gateway@{DOMAIN}/jidpost"
    newest = None

    def receiving(self):
        return self.gateway()

    def receives(self, sender, method, name=None, path=None, sizes=SIZES, says=("sent",)):
        """method: the command's; name and path: what the inbox calls it; says: what the sender may make of it."""
        gateway = self.receiving()
        for what, size in sizes.items():
            with self.subTest(what):
                upload, digest = self.file(size, f"{size}-{self.count}.bin")
                told = sender.send(self.address, method, upload)
                item = gateway.wait_inbox(20, **({"after": self.newest} if self.newest else {}))
                self.newest = item["id"]
                self.assertIn(told["event"], says, told)
                self.assertItem(item, sender, upload.name, size, digest)
                self.assertEqual((item["method"]["name"], item["method"]["path"]), (name or method, path), item)
                self.assertEqual(self.fetched(gateway, item), digest)

    def assertItem(self, item, sender, name, size, digest):
        self.assertEqual(item["state"], "received", item)
        self.assertEqual(item["from"], sender.jid)
        self.assertEqual(item["to"], self.address.partition("/")[0])
        self.assertEqual((item["file"]["size"], item["file"]["sha256"]), (size, digest), item)
        if item["method"]["name"] not in ("s5b", "ibb"):  # these tell no name
            self.assertEqual(item["file"]["name"], name)

    def fetched(self, gateway, item):
        """Its SHA-256, fetched with curl in three pieces."""
        size, digest = item["file"]["size"], hashlib.sha256()
        ends = sorted({0, size // 3, size * 2 // 3, size})
        for begin, end in zip(ends, ends[1:]):
            piece = subprocess.run(["curl", "-sSf", "-r", f"{begin}-{end - 1}",
                                    f"{gateway.url}/v1/inbox/{item['id']}/content"], capture_output=True, check=True)
            self.assertEqual(len(piece.stdout), end - begin)
            digest.update(piece.stdout)
        return digest.hexdigest()


class FromLibraries(Inbox):
    """slixmpp and QXmpp."""

    def test_slixmpp_by_si_from_its_own_streamhost(self):
        self.receives(self.recipient("alice", "--streamhost", LOOPBACK), "si-s5b", path="direct")

    def test_slixmpp_by_si_through_the_proxy(self):
        self.receives(self.recipient("alice"), "si-s5b", path="proxy")

    def test_slixmpp_by_si_in_band(self):
        self.receives(self.recipient("alice"), "si-ibb", path="inband")

    def test_slixmpp_by_a_bare_bytestream(self):
        self.receives(self.recipient("alice", "--streamhost", LOOPBACK), "s5b", path="direct")

    def test_slixmpp_by_a_bare_bytestream_through_the_proxy(self):
        self.receives(self.recipient("alice", "--early"), "s5b", path="proxy")

    def test_qxmpp_from_its_own_streamhost(self):
        self.receives(self.recipient("alice", client=peers.qxmpp), "si-s5b", path="direct")

    def test_qxmpp_through_the_proxy(self):
        sender = self.recipient("alice", "--proxy", PROXY, "--only-proxy", client=peers.qxmpp)
        self.receives(sender, "si-s5b", path="proxy")

    def test_qxmpp_in_band(self):
        self.receives(self.recipient("alice", client=peers.qxmpp), "si-ibb", path="inband", sizes=SMALL)


class FromLibrariesOnProsody(FromLibraries, Case):
    server_name = "prosody"


class FromLibrariesOnEjabberd(FromLibraries, Case):
    server_name = "ejabberd"


class ToAComponent:
    """Nobody made that address; all of a component's are there."""
    address = f"of-nobody@{FILES}/in"

    def receiving(self):
        return self.component_gateway()


class ToAComponentOnProsody(ToAComponent, FromLibraries, Case):
    server_name = "prosody"


class ToAComponentOnEjabberd(ToAComponent, FromLibraries, Case):
    server_name = "ejabberd"


class FromLibpurple(Inbox):
    server_options = {"starttls": False}

    def test_libpurple_from_its_own_streamhost(self):
        self.receives(self.recipient("alice", client=peers.libpurple), "si", "si-s5b", "direct")


class FromLibpurpleOnProsody(FromLibpurple, Case):
    server_name = "prosody"


class FromLibpurpleOnEjabberd(FromLibpurple, Case):
    """It sends before it knows that the proxy has joined the two; Prosody's proxy loses a small file of that."""
    server_name = "ejabberd"

    def test_libpurple_through_the_proxy(self):
        self.receives(self.recipient("alice", "--only-proxy", client=peers.libpurple), "si", "si-s5b", "proxy")


class FromGajim(Inbox):
    server_options = {"proxy_address": ELSEWHERE}
    weight = 2
    sizes = SIZES

    def test_gajim_and_we_meet_at_the_proxy(self):
        sender = self.recipient("alice", "--only-proxy", client=peers.gajim)
        self.receives(sender, "jingle", "jingle-s5b", "proxy", self.sizes)


class FromGajimDirectly(Inbox):
    """Where the server has no proxy: whoever of the two reaches the other."""
    server_options = {"proxy": False}
    settings = {**RECEIVING, "SOCKS5_ADVERTISE": ELSEWHERE, "SOCKS5_LISTEN": f"{ELSEWHERE}:0"}
    weight = 2

    def test_gajim_and_we_meet_without_anybody(self):
        sender = self.recipient("alice", client=peers.gajim)
        # It now and then takes our success for an error, when that is there before it has closed its own side.
        self.receives(sender, "jingle", "jingle-s5b", "direct", says=("sent", "unsent"))


class FromGajimDirectlyOnProsody(FromGajimDirectly, Case):
    server_name = "prosody"


class FromGajimDirectlyOnEjabberd(FromGajimDirectly, Case):
    server_name = "ejabberd"


class FromGajimOnProsody(FromGajim, Case):
    """Whose proxy loses the end of a small file that is sent as soon as the two are joined."""
    server_name = "prosody"
    sizes = {"1 MiB": 1 << 20}


class FromGajimOnEjabberd(FromGajim, Case):
    server_name = "ejabberd"


class Refused(Inbox):
    """Whom no rule names sends us nothing, and nothing of it is kept."""
    settings = {**RECEIVING, "INBOX_ACCEPT": f"bob@{DOMAIN}"}

    def refused(self, sender, *methods):
        gateway = self.receiving()
        for method in methods:
            with self.subTest(method):
                upload, _ = self.file(1000)
                self.assertEqual(sender.send(self.address, method, upload)["event"], "unsent")
        for state in "receiving", "received", "failed":
            self.assertEqual(gateway.inbox(state=state), [])
        self.assertEqual(gateway.spooled(), [])

    def test_slixmpp_by_no_method(self):
        self.refused(self.recipient("alice", "--streamhost", LOOPBACK), "si-s5b", "si-ibb", "s5b", "ibb")

    def test_qxmpp(self):
        self.refused(self.recipient("alice", client=peers.qxmpp), "si-s5b")


class RefusedOnProsody(Refused, Case):
    server_name = "prosody"


class RefusedOnEjabberd(Refused, Case):
    server_name = "ejabberd"


class RefusedByAComponentOnProsody(ToAComponent, Refused, Case):
    server_name = "prosody"
