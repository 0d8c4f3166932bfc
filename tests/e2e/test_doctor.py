"""jidpost doctor: green where a delivery works, and where it does not one red line with the right thing to do."""
import json
import socket
import time

from case import Case, DIRECT
from fake_proxy import FakeProxy
from lab import COMPONENT, DOMAIN, LOOPBACK, PROXY, Ports
from test_cli import Commands


class Doctor(Commands, Case):
    def visit(self, *words, code=0, start=False, **settings):
        """What it says of a gateway with these settings: {check: [lines]}."""
        self.gateway_ = gateway = self.gateway(start=start, **settings)
        gateway.state.mkdir(exist_ok=True)
        environment = {"JIDPOST_" + key: value for key, value in gateway.settings.items()}
        began = time.monotonic()
        out = self.run_cli(None, "doctor", "--json", *words, code=code, seconds=60, **environment)
        self.assertLess(time.monotonic() - began, 60)
        said = {}
        for line in out.splitlines():
            line = json.loads(line)
            said.setdefault(line["check"], []).append(line)
        return said

    def assertRed(self, said, check, code, fix):
        """That check alone, which says what to do."""
        red = [line for lines in said.values() for line in lines if line["result"] == "fail"]
        self.assertEqual([(line["check"], line["code"]) for line in red], [(check, code)], red)
        self.assertIn(fix, red[0]["fix"])

    def assertGreen(self, said, *but):
        for lines in said.values():
            for line in lines:
                allowed = ("ok", "warn") if line["check"] in ("clock", *but) else ("ok",)
                self.assertIn(line["result"], allowed, line)


class Well(Doctor):
    def test_all_is_green_without_a_gateway(self):
        self.recipient("alice")
        said = self.visit(f"alice@{DOMAIN}", **DIRECT)
        self.assertGreen(said, "own address")  # loopback is not for people elsewhere
        self.assertEqual(said["gateway"][0]["detail"], "none runs on this state folder")
        self.assertRegex(said["proxy"][0]["detail"],
                         rf"^{PROXY}(/\w+)? at {LOOPBACK} port {self.server.proxy_port} relays$")
        self.assertIn(f"alice@{DOMAIN}/desk is there", said["recipient"][0]["detail"])
        self.assertIn("si-s5b", [line["detail"] for line in said["ladder"]])

    def test_all_is_green_beside_a_gateway_which_keeps_its_session(self):
        port = Ports.take()
        said = self.visit(start=True, SOCKS5_LISTEN=f"{LOOPBACK}:{port}", **DIRECT)
        self.assertGreen(said, "own address")
        self.assertIn("running gateway", said["state folder"][0]["detail"])
        self.assertIn(f"port {port} answers", said["own address"][0]["detail"])
        xmpp = self.gateway_.get("/v1/xmpp").json
        self.assertEqual((xmpp["state"], xmpp["reconnects"]), ("online", 0))

    def test_a_trusted_certificate_is_told_with_its_end(self):
        said = self.visit(XMPP_TLS="required", XMPP_CA=str(self.server.authority.certificate))
        self.assertGreen(said, "tls")
        self.assertRegex(said["tls"][0]["detail"], rf"^TLSv1\.3; the certificate for {DOMAIN} ends in [12] days")

    def test_people_get_a_table(self):
        gateway = self.gateway(start=False, XMPP_PASSWORD="wrong")
        gateway.state.mkdir()
        environment = {"JIDPOST_" + key: value for key, value in gateway.settings.items()}
        terminal = self.terminal(None, "doctor", **environment)
        self.assertEqual(terminal.end(60), 8, terminal.text)
        self.assertRegex(terminal.text, r"\x1b\[32mok  \x1b\[0m  connection +the server answers")
        self.assertRegex(terminal.text, r"\x1b\[31mFAIL\x1b\[0m  login .*\r\n +-> Correct \[xmpp\] jid and password")


class WellOnEjabberd(Well):
    server_name = "ejabberd"


class Ill(Doctor):
    def test_a_configuration_that_does_not_hold_is_all_that_is_looked_at(self):
        said = self.visit(code=2, XMPP_PORT="none")
        self.assertEqual(list(said), ["configuration"])
        self.assertIn("xmpp.port", said["configuration"][0]["detail"])

    def test_a_wrong_password(self):
        said = self.visit(code=8, XMPP_PASSWORD="wrong")
        self.assertRed(said, "login", "xmpp_auth_failed", "password")

    def test_a_server_that_is_not_there(self):
        said = self.visit(code=8, XMPP_PORT=str(Ports.take()))
        self.assertRed(said, "connection", "xmpp_disconnected", "open its port")

    def test_a_name_that_nobody_has(self):
        said = self.visit(code=6, XMPP_SERVER="nobody.invalid", XMPP_TLS="required")
        self.assertRed(said, "dns", "remote_server_unreachable", "[xmpp] server")

    def test_a_certificate_that_is_not_trusted(self):
        said = self.visit(code=8, XMPP_TLS="required")
        self.assertRed(said, "tls", "xmpp_disconnected", "[xmpp] ca")

    def test_a_port_that_speaks_no_xmpp(self):
        said = self.visit(code=8, XMPP_PORT=str(self.server.proxy_port))
        self.assertRed(said, "tls", "xmpp_disconnected", "[xmpp] server and port")

    def test_an_advertised_port_that_is_closed(self):
        said = self.visit(code=6, SOCKS5_ADVERTISE=f"{LOOPBACK}:{Ports.take()}")
        self.assertRed(said, "own address", "streamhosts_unreachable", "forward that port")

    def test_an_advertised_port_that_is_somebody_elses(self):
        said = self.visit(code=6, SOCKS5_ADVERTISE=f"{LOOPBACK}:{self.server.port}")
        self.assertRed(said, "own address", "streamhosts_unreachable", "[socks5] listen")

    def test_a_full_spool(self):
        gateway = self.gateway(start=False)
        (gateway.state / "spool").mkdir(parents=True)
        (gateway.state / "spool" / "a").write_bytes(bytes(1_048_000))
        said = self.visit(code=7, SERVER_STATE_DIR=str(gateway.state), SPOOL_MAX_BYTES="1M", SPOOL_MAX_FILE="1M")
        self.assertRed(said, "spool", "spool_full", "[spool] max_bytes")

    def test_a_recipient_who_is_not_there(self):
        said = self.visit(f"bob@{DOMAIN}", code=5)
        self.assertRed(said, "recipient", "recipient_offline", "?hold=1h")

    def test_what_is_no_proxy(self):
        said = self.visit(code=6, XMPP_PROXIES=f"alice@{DOMAIN}")
        red = [line for line in said["proxy"] if line["result"] == "fail"]
        self.assertEqual(len(red), 1, said)
        self.assertIn("[xmpp] proxies", red[0]["fix"])


class Proxies(Doctor):
    """One proxy alone, which fails in each phase."""
    server_options = {"proxy": False}

    def setUp(self):
        super().setUp()
        self.proxy = FakeProxy(self.server)
        self.addCleanup(self.proxy.close)

    def test_one_that_relays(self):
        said = self.visit(XMPP_PROXIES=COMPONENT)
        self.assertGreen(said)
        self.assertIn("relays", said["proxy"][0]["detail"])

    def test_one_whose_port_is_closed(self):
        self.proxy.listener.shutdown(socket.SHUT_RDWR)
        self.proxy.listener.close()
        self.assertRed(self.visit(code=6, XMPP_PROXIES=COMPONENT), "proxy", "proxy_unavailable", "Start the proxy")

    def test_one_that_is_not_for_us(self):
        self.proxy.behave(address="auth/forbidden")
        self.assertRed(self.visit(code=6, XMPP_PROXIES=COMPONENT), "proxy", "proxy_refused", "proxy65_acl")

    def test_one_that_takes_nobody(self):
        self.proxy.behave(connect="refuse")
        self.assertRed(self.visit(code=6, XMPP_PROXIES=COMPONENT), "proxy", "streamhosts_unreachable", "Start the proxy")

    def test_one_that_does_not_activate(self):
        self.proxy.behave(activate="cancel/internal-server-error")
        self.assertRed(self.visit(code=6, XMPP_PROXIES=COMPONENT), "proxy", "proxy_failed", "log")

    def test_one_that_loses_bytes(self):
        self.proxy.behave(relay="half", size=65536)
        self.assertRed(self.visit(code=6, XMPP_PROXIES=COMPONENT), "proxy", "proxy_failed", "log")
