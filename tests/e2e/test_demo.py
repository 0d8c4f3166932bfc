"""jidpost serve --demo: the gateway is a recipient too, so that a first try needs nobody else."""
from case import Case, DIRECT
from lab import FILES, LOOPBACK, PASSWORD, wait_until

METHODS = "jingle-s5b", "jingle-ibb", "si-s5b", "si-ibb", "s5b", "ibb"

# What each method's end can say.
BY_JINGLE = "hash_confirmed", "peer_confirmed"
BY_STREAM = "peer_closed", "proxy_accepted"
PROOFS = {"si-s5b": BY_STREAM, "s5b": BY_STREAM, "si-ibb": ("peer_confirmed",), "ibb": ("peer_confirmed",)}


class Demo:
    def demo(self, **settings):
        gateway = self.gateway(start=False, **settings)
        gateway.arguments = ["--demo"]
        gateway.start()
        wait_until(lambda: "demo" in gateway.get("/v1").json, 20, "a recipient in GET /v1")
        return gateway, gateway.get("/v1").json["demo"]

    def deliver(self, gateway, address, **query):
        path, digest = self.file(300_000, f"{self.count}.bin")
        transfer = gateway.put(address, path.read_bytes(), name=path.name, wait=30, **query).transfer
        self.assertEqual(transfer["state"], "delivered", transfer)
        self.assertIn(transfer["delivery_proof"], PROOFS.get(transfer["method"]["name"], BY_JINGLE), transfer)
        def mine():  # in-band the last block is answered before the file is checked
            return [item for item in gateway.get("/v1/inbox").json["items"]
                    if (item["file"]["sha256"], item["to"]) == (digest, address.split("/")[0])]

        item = wait_until(mine, 10, "the file in the inbox")[0]
        self.assertEqual(gateway.get(f"/v1/inbox/{item['id']}/content").body, path.read_bytes())
        return transfer["method"]

    def test_a_file_for_it_lies_in_the_inbox(self):
        gateway, address = self.demo(**self.account, **DIRECT)
        self.deliver(gateway, address)
        self.assertEqual([line["to"] for line in gateway.logged("demo.ready")], [address])

    def test_each_method_gets_there(self):
        gateway, address = self.demo(**self.account, **DIRECT, EGRESS_ALLOW_NETS=f"{LOOPBACK}/32")
        for method in METHODS:
            with self.subTest(method):
                self.assertEqual(self.deliver(gateway, address, methods=method)["name"], method)

    def test_a_stranger_who_sends_to_it_is_refused(self):
        gateway, address = self.demo(**self.account, **DIRECT)
        stranger = self.recipient("alice")
        path, _ = self.file(1000)
        for method in "si-s5b", "si-ibb", "s5b":
            with self.subTest(method):
                self.assertNotEqual(stranger.send(self.device(address), method, path)["event"], "sent")
        self.assertEqual(gateway.get("/v1/inbox").json["items"], [])

    def test_without_the_option_there_is_none(self):
        gateway = self.gateway(**self.account)
        self.assertNotIn("demo", gateway.get("/v1").json)


class OfAnAccount(Demo):
    account = {}

    @staticmethod
    def device(address):
        return address

    def test_without_a_direct_way_the_proxy_is_one(self):
        gateway, address = self.demo()
        for method in "jingle-s5b", "si-s5b":
            with self.subTest(method):
                self.assertEqual(self.deliver(gateway, address, methods=method)["path"], "proxy")

    def test_it_comes_back_after_the_server_was_away(self):
        gateway, address = self.demo(XMPP_RECONNECT_MIN="100ms", XMPP_RECONNECT_MAX="1s")
        self.server.stop()
        self.server.start()
        wait_until(lambda: len(gateway.logged("demo.ready")) == 2, 40, "the recipient again")
        gateway.wait_ready()
        self.deliver(gateway, address)


class OfAComponent(Demo):
    @property
    def account(self):
        return {"XMPP_JID": FILES, "XMPP_PORT": str(self.server.component_port), "XMPP_PASSWORD": None,
                "XMPP_COMPONENT_SECRET": PASSWORD, "XMPP_TLS": None}

    @staticmethod
    def device(address):
        return address + "/jidpost"

    def test_its_address_is_known(self):
        _, address = self.demo(**self.account)
        self.assertEqual(address, f"demo@{FILES}")


class OfAnAccountOnProsody(OfAnAccount, Case):
    server_name = "prosody"


class OfAnAccountOnEjabberd(OfAnAccount, Case):
    server_name = "ejabberd"


class OfAComponentOnProsody(OfAComponent, Case):
    server_name = "prosody"


class OfAComponentOnEjabberd(OfAComponent, Case):
    server_name = "ejabberd"
