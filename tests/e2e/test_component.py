"""The gateway as a component (XEP-0114): a domain of its own, on both servers."""
from case import Case, DIRECT
from lab import DOMAIN, FILES, wait_until


class Component:
    def component(self, **settings):
        return self.component_gateway(**DIRECT, **settings)

    @staticmethod
    def wait_seen(gateway, peer):
        look = f"/v1/recipients/{peer.jid.split('/')[0]}"
        wait_until(lambda: peer.jid in [seen["jid"] for seen in gateway.get(look).json.get("resources", [])], 20,
                   f"{peer.jid} seen")

    def test_a_file_is_delivered_to_a_full_address(self):
        gateway, peer = self.component(), self.recipient("alice")
        path, digest = self.file(300_000)
        transfer = gateway.put(f"alice@{DOMAIN}/desk", path.read_bytes(), wait=30).json
        self.assertEqual(transfer["state"], "delivered", transfer)
        peer.wait("file", sha256=digest)

    def test_who_adds_it_as_a_contact_is_found_by_his_account_alone(self):
        gateway, peer = self.component(), self.recipient("alice")
        peer.command(f"subscribe jidpost@{FILES}")
        self.wait_seen(gateway, peer)
        path, digest = self.file(1000)
        self.assertEqual(gateway.put(f"alice@{DOMAIN}", path.read_bytes(), wait=30).json["state"], "delivered")
        peer.wait("file", sha256=digest)
        gateway.stop()
        gateway.start()
        self.wait_seen(gateway, peer)

    def test_a_file_comes_from_the_address_that_is_asked_for(self):
        gateway = self.component()
        for method, options in (("si-s5b", ()), ("s5b", ("--bare",)), ("si-ibb", ("--ibb",))):
            peer = self.recipient("alice", *options)
            for sender in ("reports", f"Reports@{FILES}"):
                with self.subTest(method=method, sender=sender):
                    path, digest = self.file(100_000)
                    transfer = gateway.put(f"alice@{DOMAIN}/desk", path.read_bytes(), wait=30, methods=method,
                                           **{"from": sender}).json
                    self.assertEqual(transfer["state"], "delivered", transfer)
                    self.assertEqual(transfer["from"].split("/")[0], f"reports@{FILES}")
                    peer.wait("file", sha256=digest)
            peer.kill()

    def test_an_address_of_another_domain_is_refused(self):
        gateway = self.component()
        for sender in (f"alice@{DOMAIN}", f"reports@{FILES}/desk", "@"):
            with self.subTest(sender):
                refused = gateway.put(f"alice@{DOMAIN}/desk", b"x", **{"from": sender})
                self.assertEqual((refused.status, refused.json["code"]), (422, "parameter_invalid"))


class ComponentOnProsody(Component, Case):
    pass


class ComponentOnEjabberd(Component, Case):
    server_name = "ejabberd"
