"""Two real clients send each other files through the gateway, which is a component and their StreamHost proxy: found and
activated as any other; and the gateway itself uses what it is."""
import peers
from case import Case
from gateway import as_component
from lab import FILES, LOOPBACK, wait_until

SIZES = (1, 65537, 8 << 20)


class Relay:
    settings = {"SOCKS5_ADVERTISE": LOOPBACK}
    server_options = {"proxy": False}
    weight = 2

    def gateway(self, *how, **settings):
        return super().gateway(*how, **{**as_component(self.server), **settings})

    def assertRelayed(self, gateway, sender, receiver, method="si-s5b"):
        """A file after the other, and nothing is left of any."""
        for size in SIZES:
            path, digest = self.file(size, f"{size}-{self.count}.bin")
            told = sender.send(receiver.jid, method, path)
            self.assertEqual(told["event"], "sent", told)
            self.assertEqual(receiver.wait("file", sha256=digest)["size"], size)
        wait_until(lambda: len(gateway.logged("proxy.over")) == len(SIZES), 40, "all streams over")
        self.assertEqual([(line["outcome"], line["forth"] + line["back"]) for line in gateway.logged("proxy.over")],
                         [("ok", size) for size in SIZES])
        told = gateway.get("/v1/proxy/sessions").json
        self.assertEqual((told["items"], told["waiting"], told["totals"]["bytes"]), ([], 0, sum(SIZES)))

    def test_slixmpp_sends_to_slixmpp(self):
        gateway = self.gateway()
        sender = self.recipient("alice", "--proxy", FILES)
        self.assertRelayed(gateway, sender, self.recipient("bob"))

    def test_slixmpp_is_there_before_the_target(self):
        gateway = self.gateway()
        sender = self.recipient("alice", "--early", "--proxy", FILES)
        self.assertRelayed(gateway, sender, self.recipient("bob"))

    def test_slixmpp_finds_it_among_the_services_of_its_server(self):
        gateway = self.gateway()
        self.assertRelayed(gateway, self.recipient("alice"), self.recipient("bob"))

    def test_qxmpp_sends_to_slixmpp(self):
        gateway = self.gateway()
        sender = self.recipient("alice", "--proxy", FILES, "--only-proxy", client=peers.qxmpp)
        self.assertRelayed(gateway, sender, self.recipient("bob"))

    def test_slixmpp_sends_to_qxmpp(self):
        gateway = self.gateway()
        sender = self.recipient("alice", "--proxy", FILES)
        self.assertRelayed(gateway, sender, self.recipient("bob", client=peers.qxmpp))

    def test_switched_off_it_is_no_proxy(self):
        gateway = self.gateway(PROXY_ALLOW="off")
        self.assertIsNone(gateway.get("/v1/xmpp").json["relay"])
        self.assertFalse(gateway.get("/v1/proxy/sessions").json["relays"])

    def test_who_may_use_it_changes_while_it_runs(self):
        configuration = self.path("jidpost.ini")
        configuration.write_text("[proxy]\nallow = nobody@localhost\n")
        gateway = self.gateway(False)
        gateway.arguments = ["--config", str(configuration)]
        gateway.start()
        sender, receiver = self.recipient("alice", "--proxy", FILES), self.recipient("bob")
        path, _ = self.file(1)
        self.assertNotEqual(sender.send(receiver.jid, "si-s5b", path)["event"], "sent")
        self.assertIn("proxy_refused", gateway.get("/v1/proxy/sessions").json["totals"]["refused"])
        configuration.write_text("[proxy]\nallow = *@localhost\n")
        self.assertEqual(gateway.reload()["changed"], 1)
        self.assertRelayed(gateway, sender, receiver)

    def test_its_own_files_go_straight_from_the_proxy_that_it_is(self):
        """Who may not be told our address is told the proxy's, and connects to who has the file."""
        gateway = self.gateway(SOCKS5_DIRECT="never")
        receiver = self.recipient("bob")
        path, digest = self.file(1 << 20)
        answer = gateway.put(receiver.jid, path.read_bytes(), path.name, wait="60", methods="si-s5b")
        self.assertArrived(answer, receiver, digest, "direct")
        self.assertEqual(answer.json["method"]["streamhost"], FILES)


class RelayOnProsody(Relay, Case):
    server_name = "prosody"


class RelayOnEjabberd(Relay, Case):
    server_name = "ejabberd"
