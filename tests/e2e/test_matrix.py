"""A file arrives whole: every server, path, client and offer, with sizes at the edges of the machinery."""
import peers
from case import Case, DIRECT
from lab import PROXY

SIZES = {"empty": 0, "one byte": 1, "more than 64 KiB by one": 65537, "10 MiB": 10 << 20}


class Matrix:
    def matrix(self, path, settings, recipient, client, options, methods):
        gateway = self.gateway(**settings)
        peer = self.recipient(recipient, *options, client=client)
        for what, size in SIZES.items():
            with self.subTest(what):
                upload, digest = self.file(size, f"{size}.bin")
                answer = gateway.curl(upload, peer.jid, wait=60, methods=methods, digest="sha-256")
                received = self.assertArrived(answer, peer, digest, path)
                self.assertEqual(answer.json["method"]["name"], methods)
                self.assertEqual(answer.json["file"]["sha256"], digest)
                self.assertEqual(answer.json["progress"]["sent"], size)
                self.assertIn(PROXY if path == "proxy" else "gateway@localhost/jidpost",
                              answer.json["method"]["streamhost"])
                if methods == "si-s5b":
                    self.assertEqual(received["name"], f"{size}.bin")

    def test_direct_to_slixmpp_by_si(self):
        self.matrix("direct", DIRECT, "alice", peers.slixmpp, [], "si-s5b")

    def test_proxied_to_slixmpp_by_si(self):
        self.matrix("proxy", {}, "alice", peers.slixmpp, [], "si-s5b")

    def test_direct_to_slixmpp_by_bare_bytestream(self):
        self.matrix("direct", DIRECT, "bob", peers.slixmpp, ["--bare"], "s5b")

    def test_proxied_to_slixmpp_by_bare_bytestream(self):
        self.matrix("proxy", {}, "bob", peers.slixmpp, ["--bare"], "s5b")

    def test_direct_to_qxmpp_by_si(self):
        self.matrix("direct", DIRECT, "carol", peers.qxmpp, [], "si-s5b")

    def test_proxied_to_qxmpp_by_si(self):
        self.matrix("proxy", {}, "carol", peers.qxmpp, [], "si-s5b")


class MatrixOnProsody(Matrix, Case):
    server_name = "prosody"


class MatrixOnEjabberd(Matrix, Case):
    server_name = "ejabberd"
