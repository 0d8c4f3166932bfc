"""The gateway as a component (XEP-0114): a domain of its own, on both servers."""
from case import Case, DIRECT
from lab import DOMAIN, FILES, PASSWORD


class Component:
    def component(self, **settings):
        return self.gateway(XMPP_JID=FILES, XMPP_PORT=str(self.server.component_port), XMPP_PASSWORD=None,
                            XMPP_COMPONENT_SECRET=PASSWORD, XMPP_TLS=None, **DIRECT, **settings)

    def test_a_file_is_delivered_to_a_full_address(self):
        gateway, peer = self.component(), self.recipient("alice")
        path, digest = self.file(300_000)
        transfer = gateway.put(f"alice@{DOMAIN}/desk", path.read_bytes(), wait=30).json
        self.assertEqual(transfer["state"], "delivered", transfer)
        peer.wait("file", sha256=digest)


class ComponentOnProsody(Component, Case):
    pass


class ComponentOnEjabberd(Component, Case):
    server_name = "ejabberd"
