"""Two clients send each other files through us: as a component we are the StreamHost proxy of their server."""
import peers
from case import Case
from gateway import as_component
from lab import DOMAIN, FILES, wait_until

ADDRESS = "127.0.0.2"  # Gajim never goes to 127.0.0.1
SIZES = {"one byte": 1, "more than 64 KiB by one": 65537, "10 MiB": 10 << 20}


class Proxy:
    server_options = {"proxy": False}
    settings = {"SOCKS5_LISTEN": f"{ADDRESS}:0", "SOCKS5_ADVERTISE": ADDRESS, "PROXY_ALLOW": f"*@{DOMAIN}"}

    def relays(self, sender, receiver, method, sizes=SIZES):
        """Each file arrives, and through us; nothing is left of it."""
        total = 0
        for what, size in sizes.items():
            with self.subTest(what):
                path, digest = self.file(size, f"{size}-{self.count}.bin")
                told = sender.send(receiver.jid, method, path)
                self.assertEqual(told["event"], "sent", told)
                self.assertEqual(receiver.wait("file", sha256=digest)["size"], size)
                total += size
                wait_until(lambda total=total: self.proxied()["totals"]["bytes"] == total, 10, f"{total} bytes counted")
        wait_until(lambda: not self.proxied()["items"], 10, "no stream left")
        told = self.proxied()
        self.assertEqual((told["totals"]["streams"], told["totals"]["refused"]), (len(sizes), {}), told)
        self.assertEqual(told["waiting"], 0)

    def proxied(self):
        return self.proxy.get("/v1/proxy/sessions").json

    def setUp(self):
        super().setUp()
        self.proxy = self.gateway(**as_component(self.server))


class Pairs(Proxy):
    def test_the_target_is_there_first(self):
        """slixmpp finds us among the items of its server."""
        self.relays(self.recipient("alice"), self.recipient("bob", client=peers.qxmpp), "si-s5b")

    def test_the_requester_is_there_first(self):
        self.relays(self.recipient("alice", "--early"), self.recipient("bob", client=peers.qxmpp), "si-s5b")

    def test_a_bare_bytestream(self):
        self.relays(self.recipient("alice"), self.recipient("bob", "--bare"), "s5b")

    def test_qxmpp_to_slixmpp(self):
        sender = self.recipient("alice", "--proxy", FILES, "--only-proxy", client=peers.qxmpp)
        self.relays(sender, self.recipient("bob"), "si-s5b")

    def test_gajim_to_gajim(self):
        sender = self.recipient("alice", "--proxy", FILES, "--only-proxy", client=peers.gajim)
        receiver = self.recipient("bob", "--proxy", FILES, "--only-proxy", client=peers.gajim)
        path, digest = self.file(1 << 20, "jingle.bin")
        self.assertEqual(sender.send(receiver.jid, "jingle", path)["event"], "sent")
        receiver.wait("file", sha256=digest)
        self.assertEqual(self.proxied()["totals"]["bytes"], 1 << 20)

    def test_a_stream_under_way_is_told(self):
        sender = self.recipient("alice")
        receiver = self.recipient("bob", "--behave", "hold")
        path, digest = self.file(50 << 20)
        sender.command(f"send {receiver.jid} si-s5b {path}")
        receiver.wait("begun")
        item = wait_until(lambda: self.proxied()["items"], 10, "a session")[0]
        self.assertEqual((item["requester"], item["target"]), (sender.jid, receiver.jid))
        receiver.command("go")
        self.assertEqual(receiver.wait("file", 60)["sha256"], digest)
        wait_until(lambda: not self.proxied()["items"], 10, "no stream left")


class ProxyOnProsody(Pairs, Case):
    server_name = "prosody"


class ProxyOnEjabberd(Pairs, Case):
    server_name = "ejabberd"


class Libpurple(Proxy):
    """It sends before it knows that the two are joined, and leaves: that waits, and is not lost."""
    server_options = {"proxy": False, "starttls": False}

    def test_libpurple_to_libpurple(self):
        sender = self.recipient("alice", "--only-proxy", client=peers.libpurple)
        self.relays(sender, self.recipient("bob", client=peers.libpurple), "si")


class LibpurpleOnProsody(Libpurple, Case):
    server_name = "prosody"


class LibpurpleOnEjabberd(Libpurple, Case):
    server_name = "ejabberd"


class Strangers(Case):
    server_options = {"proxy": False}
    settings = {**Proxy.settings, "PROXY_ALLOW": f"bob@{DOMAIN}"}

    def test_who_is_not_of_ours_is_not_even_told_the_address(self):
        gateway = self.gateway(**as_component(self.server))
        sender, receiver = self.recipient("alice", "--proxy", FILES), self.recipient("carol")
        path, _ = self.file(1000)
        told = sender.send(receiver.jid, "s5b", path)
        self.assertEqual((told["event"], told["error"]), ("unsent", "forbidden"), told)
        refused = gateway.get("/v1/proxy/sessions").json["totals"]["refused"]
        self.assertEqual(sum(refused.values()), 1, refused)
