"""Files to clients that people use, beyond the three of the other tests: by every method and path each of them has."""
import peers
import results
from case import DIRECT, QUICK, STREAMS_ALONE, Case
from lab import wait_until

SIZES = {"one byte": 1, "more than 64 KiB by one": 65537, "1 MiB": 1 << 20}


class Clients:
    def deliver(self, peer, gateway, method, path, sizes=SIZES, **query):
        for what, size in sizes.items():
            with self.subTest(what):
                upload, digest = self.file(size, f"{size}.bin")
                answer = gateway.curl(upload, peer.jid, wait=60, digest="sha-256", **query)
                received = self.assertArrived(answer, peer, digest, path)
                self.assertEqual(answer.json["method"]["name"], method)
                self.assertEqual(answer.json["progress"]["sent"], size)
                self.assertEqual((received["name"], received["size"]), (f"{size}.bin", size))

    def link(self, peer, gateway):
        upload, digest = self.file(1 << 20, "photo.bin")
        answer = gateway.curl(upload, peer.jid, wait=60, methods="link")
        self.assertEqual((answer.status, answer.json["state"]), (200, "link_sent"), answer)
        self.assertEqual(peer.wait("file", sha256=digest)["name"], "photo.bin")
        results.record(peer.client, self.server_name, "link", "fetched", 1 << 20)


class Libpurple(Clients):
    server_options = {"starttls": False}

    def test_libpurple_comes_to_us(self):
        self.deliver(self.recipient("alice", client=peers.libpurple), self.gateway(**DIRECT), "si-s5b", "direct")

    def test_libpurple_and_we_meet_at_the_proxy(self):
        self.deliver(self.recipient("alice", client=peers.libpurple), self.gateway(), "si-s5b", "proxy")

    def test_libpurple_takes_it_in_band_and_leaves_the_close_unanswered(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", client=peers.libpurple)
        self.deliver(peer, gateway, "si-ibb", "inband", {"1 MiB": 1 << 20}, methods="si-ibb")

    def test_libpurple_counts_a_stream_without_bytes_as_broken_off(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", client=peers.libpurple)
        gateway.put(peer.jid, b"", wait=30)
        self.assertEqual(peer.wait("broken")["size"], 0)

    def test_a_person_with_libpurple_declines(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--decline", client=peers.libpurple)
        self.assertFailed(gateway.put(peer.jid, b"x", wait=30), 409, "recipient_declined")


class LibpurpleOnProsody(Libpurple, Case):
    server_name = "prosody"


class LibpurpleOnEjabberd(Libpurple, Case):
    server_name = "ejabberd"


class Gloox(Clients):
    sizes = {"empty": 0, **SIZES}

    def test_gloox_comes_to_us_and_takes_it_in_band(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", client=peers.gloox)
        self.deliver(peer, gateway, "si-s5b", "direct", self.sizes)
        self.deliver(peer, gateway, "si-ibb", "inband", methods="si-ibb")

    def test_gloox_and_we_meet_at_the_proxy(self):
        self.deliver(self.recipient("alice", client=peers.gloox), self.gateway(), "si-s5b", "proxy", self.sizes)


class GlooxOnProsody(Gloox, Case):
    server_name = "prosody"


class GlooxOnEjabberd(Gloox, Case):
    server_name = "ejabberd"


class Dino(Clients):
    server_options = {"upload": 3000000}
    weight = 2

    def jingle(self, path, streamhost, **settings):
        gateway = self.gateway(**settings)
        self.deliver(self.recipient("alice", client=peers.dino), gateway, "jingle-s5b", path)
        for transfer in gateway.get("/v1/transfers").json["items"]:
            self.assertIn(streamhost, transfer["method"]["streamhost"])
            self.assertEqual(transfer["delivery_proof"], "peer_confirmed")

    def test_dino_comes_to_us(self):
        self.jingle("direct", "gateway@localhost/jidpost", **DIRECT)

    def test_we_go_to_dino(self):
        self.jingle("direct", "alice@localhost/desk", EGRESS_ALLOW_NETS="127.0.0.0/8")

    def test_dino_and_we_meet_at_the_proxy(self):
        self.jingle("proxy", "proxy.localhost")

    def test_dino_takes_an_empty_file(self):
        self.deliver(self.recipient("alice", client=peers.dino), self.gateway(), "jingle-s5b", "proxy", {"empty": 0})

    def test_dino_fetches_what_a_link_names(self):
        gateway = self.gateway(XMPP_CA=str(self.server.authority.certificate))
        self.link(self.recipient("alice", client=peers.dino), gateway)

    def test_dino_leaves_an_offer_without_a_conversation_unanswered(self):
        gateway = self.gateway(**DIRECT, **QUICK, **STREAMS_ALONE)
        peer = self.recipient("alice", "--alone", client=peers.dino)
        self.assertFailed(gateway.put(peer.jid, b"x", wait=30), 504, "recipient_timeout")
        peer.wait("offer")


class DinoWithoutAnyCandidate(Clients, Case):
    server_options = {"proxy": False, "upload": 3000000}

    def test_dino_that_reaches_nobody_gets_a_link(self):
        """It asks for a transport in-band, and then does not take its acceptance."""
        gateway = self.gateway(SOCKS5_LISTEN="127.0.0.2:0", SOCKS5_ADVERTISE="127.0.0.2:9",
                               XMPP_CA=str(self.server.authority.certificate))
        peer = self.recipient("alice", client=peers.dino)
        upload, digest = self.file(10000, "photo.bin")
        answer = gateway.curl(upload, peer.jid, wait=60)
        self.assertEqual((answer.status, answer.json["state"]), (200, "link_sent"), answer)
        self.assertEqual([(attempt["method"], attempt["code"]) for attempt in answer.json["attempts"]],
                         [("jingle-s5b", "transport_failed"), ("jingle-ibb", "ibb_refused"), ("link", None)])
        peer.wait("file", sha256=digest)


class DinoOnProsody(Dino, Case):
    server_name = "prosody"


class DinoOnEjabberd(Dino, Case):
    server_name = "ejabberd"


class Libervia(Clients):
    weight = 2

    def test_libervia_comes_to_us_and_takes_it_in_band(self):
        """One of it for both, since it takes long to start."""
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", client=peers.libervia)
        self.deliver(peer, gateway, "si-s5b", "direct", methods="si-s5b")
        self.deliver(peer, gateway, "si-ibb", "inband", {"half a MiB": 1 << 19}, methods="si-ibb")

    def test_libervia_and_we_meet_at_the_proxy_after_it_stumbled_over_jingle(self):
        gateway, peer = self.gateway(), self.recipient("alice", client=peers.libervia)
        self.deliver(peer, gateway, "si-s5b", "proxy")
        for transfer in gateway.get("/v1/transfers").json["items"]:
            self.assertEqual([(attempt["method"], attempt["code"]) for attempt in transfer["attempts"]],
                             [("jingle-s5b", "offer_rejected"), ("si-s5b", None)])


class LiberviaOnProsody(Libervia, Case):
    server_name = "prosody"


class LiberviaOnEjabberd(Libervia, Case):
    server_name = "ejabberd"


class Profanity(Clients):
    server_options = {"upload": 3000000}

    def test_profanity_shows_a_link_and_fetches_it_when_told_to(self):
        gateway = self.gateway(XMPP_CA=str(self.server.authority.certificate))
        peer = self.recipient("alice", client=peers.profanity)
        upload, digest = self.file(1 << 20, "photo.bin")
        answer = gateway.curl(upload, peer.jid, wait=60, caption="as promised")
        self.assertEqual((answer.status, answer.json["state"]), (200, "link_sent"), answer)
        self.assertEqual([attempt["code"] for attempt in answer.json["attempts"]], ["no_common_method", None])
        peer.wait("message", body="as promised")
        self.assertEqual(peer.wait("file", sha256=digest)["name"], "photo.bin")
        results.record(peer.client, self.server_name, "link", "fetched", 1 << 20)


class ProfanityOnProsody(Profanity, Case):
    server_name = "prosody"


class ProfanityOnEjabberd(Profanity, Case):
    server_name = "ejabberd"


class Psi(Clients):
    """It goes to every streamhost at once; so there is one at a time."""
    weight = 2

    def online(self, gateway, *options):
        peer = self.recipient("alice", *options, client=peers.psi)
        wait_until(lambda: gateway.get("/v1/recipients/alice@localhost").json["reachable"], 30, "Psi online")
        return peer


class PsiWithoutProxy(Psi):
    server_options = {"starttls": False, "proxy": False}

    def test_psi_comes_to_us_and_takes_it_in_band(self):
        gateway = self.gateway(**DIRECT)
        peer = self.online(gateway)
        self.deliver(peer, gateway, "si-s5b", "direct")
        self.deliver(peer, gateway, "si-ibb", "inband", {"half a MiB": 1 << 19}, methods="si-ibb")


class PsiWithProxy(Psi):
    server_options = {"starttls": False}

    def test_psi_and_we_meet_at_the_proxy(self):
        gateway = self.gateway()
        self.deliver(self.online(gateway), gateway, "si-s5b", "proxy")

    def test_a_person_with_psi_declines(self):
        gateway = self.gateway()
        self.assertFailed(gateway.put(self.online(gateway, "--decline").jid, b"x", wait=30), 409, "recipient_declined")


class PsiWithoutProxyOnProsody(PsiWithoutProxy, Case):
    server_name = "prosody"


class PsiWithoutProxyOnEjabberd(PsiWithoutProxy, Case):
    server_name = "ejabberd"


class PsiOnProsody(PsiWithProxy, Case):
    server_name = "prosody"


class PsiOnEjabberd(PsiWithProxy, Case):
    server_name = "ejabberd"
