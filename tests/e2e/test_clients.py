"""Files to clients that people use, beyond the three of the other tests: by every method and path each of them has."""
import peers
from case import DIRECT, Case

SIZES = {"one byte": 1, "more than 64 KiB by one": 65537, "1 MiB": 1 << 20}


class Clients:
    def deliver(self, peer, gateway, method, path, sizes=SIZES, **query):
        for what, size in sizes.items():
            with self.subTest(what):
                upload, digest = self.file(size, f"{size}.bin")
                answer = gateway.curl(upload, peer.jid, wait=60, digest="sha-256", **query)
                self.assertDelivered(answer, path)
                self.assertEqual(answer.json["method"]["name"], method)
                self.assertEqual(answer.json["progress"]["sent"], size)
                received = peer.wait("file", sha256=digest)
                self.assertEqual((received["name"], received["size"]), (f"{size}.bin", size))


class Libpurple(Clients):
    server_options = {"starttls": False}

    def test_libpurple_comes_to_us(self):
        self.deliver(self.recipient("alice", client=peers.libpurple), self.gateway(**DIRECT), "si-s5b", "direct")

    def test_libpurple_and_we_meet_at_the_proxy(self):
        self.deliver(self.recipient("alice", client=peers.libpurple), self.gateway(), "si-s5b", "proxy")

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
