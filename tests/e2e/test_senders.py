"""The clients of this laboratory send each other files, without us: what the tests of our inbox and of our proxy stand
on. A failure here is none of the gateway's."""
import peers
from case import Case
from lab import LOOPBACK, PROXY

SIZES = {"one byte": 1, "more than 64 KiB by one": 65537, "1 MiB": 1 << 20}


class Senders:
    def send(self, sender, receiver, method, sizes=SIZES, streamhost=None):
        for what, size in sizes.items():
            with self.subTest(what):
                path, digest = self.file(size, f"{size}-{self.count}.bin")
                told = sender.send(receiver.jid, method, path)
                self.assertEqual(told["event"], "sent", told)
                self.assertEqual(receiver.wait("file", sha256=digest)["size"], size)
                if streamhost:  # that of ejabberd's proxy has its node for a resource
                    self.assertIn(streamhost, sender.wait("sending", sid=told["sid"])["streamhost"])

    def test_slixmpp_sends_to_qxmpp_through_the_proxy(self):
        sender, receiver = self.recipient("alice"), self.recipient("bob", client=peers.qxmpp)
        self.send(sender, receiver, "si-s5b", streamhost=PROXY)

    def test_slixmpp_sends_to_slixmpp_by_every_method(self):
        sender, receiver = self.recipient("alice"), self.recipient("bob", "--ibb", "--bare")
        for method in "si-s5b", "si-ibb", "s5b", "ibb":
            with self.subTest(method):
                self.send(sender, receiver, method)

    def test_slixmpp_is_a_streamhost_itself(self):
        sender = self.recipient("alice", "--streamhost", "127.0.0.1")
        self.send(sender, self.recipient("bob", client=peers.qxmpp), "si-s5b", streamhost=sender.jid)

    def test_slixmpp_is_at_the_proxy_before_the_target(self):
        sender = self.recipient("alice", "--early", "--proxy", PROXY)
        self.send(sender, self.recipient("bob", client=peers.qxmpp), "si-s5b", streamhost=PROXY)

    def test_qxmpp_sends_to_slixmpp_directly_and_in_band(self):
        sender, receiver = self.recipient("alice", client=peers.qxmpp), self.recipient("bob", "--ibb")
        self.send(sender, receiver, "si-s5b")
        self.send(sender, receiver, "si-ibb", {"100 kB": 100000})

    def test_qxmpp_sends_to_slixmpp_through_the_proxy(self):
        sender = self.recipient("alice", "--proxy", PROXY, "--only-proxy", client=peers.qxmpp)
        self.send(sender, self.recipient("bob"), "si-s5b")

    def test_gloox_sends_to_qxmpp_directly(self):
        self.send(self.recipient("alice", client=peers.gloox), self.recipient("bob", client=peers.qxmpp), "si-s5b")

    def test_gloox_sends_to_slixmpp_through_the_proxy_and_in_band(self):
        proxy = PROXY, LOOPBACK, str(self.server.proxy_port)
        sender, receiver = self.recipient("alice", *proxy, client=peers.gloox), self.recipient("bob", "--ibb")
        self.send(sender, receiver, "si-s5b")
        self.send(sender, receiver, "si-ibb", {"100 kB": 100000})

    def test_libervia_sends_by_si(self):
        """To whom has nothing better; it takes long to start, so it sends to both."""
        sender = self.recipient("alice", client=peers.libervia)
        self.send(sender, self.recipient("bob", client=peers.qxmpp), "si")
        self.send(sender, self.recipient("carol", "--ibb"), "si", {"100 kB": 100000})


class LibpurpleSends:
    server_options = {"starttls": False}
    send = Senders.send

    def test_libpurple_sends_to_qxmpp_directly(self):
        self.send(self.recipient("alice", client=peers.libpurple), self.recipient("bob", client=peers.qxmpp), "si")


class LibpurpleSendsOnProsody(LibpurpleSends, Case):
    server_name = "prosody"


class LibpurpleSendsOnEjabberd(LibpurpleSends, Case):
    """It sends before it knows that the proxy has joined the two; Prosody's proxy loses a small file of that."""
    server_name = "ejabberd"

    def test_libpurple_sends_to_libpurple_through_the_proxy(self):
        sender = self.recipient("alice", "--only-proxy", client=peers.libpurple)
        self.send(sender, self.recipient("bob", client=peers.libpurple), "si")


class JingleSenders:
    """Gajim never goes to 127.0.0.1, so the proxy is elsewhere. Arriving is what counts: it now and then takes the
    receiver's success for an error, when that is there before it has closed its own side."""
    server_options = {"proxy_address": "127.0.0.2"}
    weight = 2

    def send(self, sender, receiver, method):
        for what, size in {"more than 64 KiB by one": 65537, "1 MiB": 1 << 20}.items():
            with self.subTest(what):
                path, digest = self.file(size, f"{size}-{self.count}.bin")
                sender.send(receiver.jid, method, path)
                self.assertEqual(receiver.wait("file", sha256=digest)["size"], size)

    def test_gajim_sends_to_gajim_directly(self):
        sender = self.recipient("alice", client=peers.gajim)
        self.send(sender, self.recipient("bob", client=peers.gajim), "jingle")

    def test_dino_sends_to_gajim_directly(self):
        sender = self.recipient("alice", client=peers.dino)
        self.send(sender, self.recipient("bob", client=peers.gajim), "jingle")


class JingleSendersOnProsody(JingleSenders, Case):
    """Directly alone: its proxy now and then loses the end of what is sent as soon as both are joined."""
    server_name = "prosody"


class JingleSendersOnEjabberd(JingleSenders, Case):
    server_name = "ejabberd"

    def test_gajim_sends_to_gajim_through_the_proxy(self):
        sender = self.recipient("alice", "--only-proxy", client=peers.gajim)
        self.send(sender, self.recipient("bob", "--only-proxy", client=peers.gajim), "jingle")

    def test_dino_sends_to_gajim_through_the_proxy(self):
        sender = self.recipient("alice", "--only-proxy", client=peers.dino)
        self.send(sender, self.recipient("bob", "--only-proxy", client=peers.gajim), "jingle")

    def test_gajim_sends_to_dino_through_the_proxy(self):
        receiver = self.recipient("bob", "--only-proxy", "--partner", "alice", client=peers.dino)
        self.send(self.recipient("alice", "--only-proxy", client=peers.gajim), receiver, "jingle")


class SendersOnProsody(Senders, Case):
    server_name = "prosody"


class SendersOnEjabberd(Senders, Case):
    server_name = "ejabberd"
