"""The sandbox of the running gateway, as the kernel and its log tell of it. That it delivers in there by every method
needs no test here: it is on in all the others."""
import re
import signal
from pathlib import Path

from case import DIRECT, Case
from lab import wait_until


class Sandbox(Case):
    settings = DIRECT

    def threads(self, gateway):
        """Of each: its name, whether calls are filtered and how often, whether privileges can be gained."""
        for task in Path(f"/proc/{gateway.process.pid}/task").iterdir():
            text = (task / "status").read_text()
            yield tuple(re.search(rf"^{key}:\s+(.*)$", text, re.M).group(1)
                        for key in ("Name", "Seccomp", "Seccomp_filters", "NoNewPrivs"))

    def test_every_thread_is_in_it_by_default(self):
        gateway = self.gateway()
        line = gateway.logged("sandbox")[0]
        self.assertEqual(line["calls"], "seccomp")
        self.assertGreaterEqual(line["landlock"], 0)
        self.assertGreater(len(list(self.threads(gateway))), 4)
        for name, seccomp, filters, privileges in self.threads(gateway):
            with self.subTest(thread=name):
                self.assertEqual((seccomp, privileges), ("2", "1"))
                self.assertGreaterEqual(int(filters), 2)  # what is allowed, and no more listeners

    def test_it_is_entered_before_anybody_can_connect(self):
        events = re.findall(r'"event":"([a-z0-9_.]+)"', self.gateway().log.read_text())
        self.assertLess(events.index("sandbox"), events.index("http.listening"))
        self.assertLess(events.index("sandbox"), events.index("xmpp.connecting"))

    def test_it_can_be_left_out(self):
        gateway = self.gateway(SERVER_SANDBOX="off")
        self.assertEqual(gateway.logged("sandbox"), [])
        self.assertEqual({seccomp for _, seccomp, _, _ in self.threads(gateway)}, {"0"})

    def test_required_starts_where_the_kernel_has_all_of_it(self):
        usual = self.gateway()
        usual.stop()
        if not usual.logged("sandbox")[0]["landlock"]:
            self.skipTest("this kernel has no Landlock")
        gateway = self.gateway(SERVER_SANDBOX="required")
        self.assertDelivered(gateway.put(self.recipient("alice").jid, b"x", wait=30))

    def test_a_store_behind_a_link_is_opened_where_it_lies(self):
        gateway, disk = self.gateway(), self.path("disk")
        disk.mkdir()
        gateway.stop()
        for file in gateway.state.glob("jidpost.db*"):
            file.rename(disk / file.name)
        (gateway.state / "jidpost.db").symlink_to(disk / "jidpost.db")
        gateway.start()
        self.assertEqual(gateway.get("/v1/transfers").status, 200)

    def test_a_configuration_that_was_replaced_by_renaming_is_read(self):
        path = self.path("etc") / "jidpost.ini"
        path.parent.mkdir()
        path.write_text("")
        secret = self.path("secrets") / "token"
        secret.parent.mkdir()
        secret.write_text("0123456789abcdef")
        gateway = self.gateway(start=False)
        gateway.arguments = ["--config", str(path)]
        gateway.environment = {"JIDPOST_HTTP_TOKEN_FILE": str(secret)}
        gateway.headers = {"Authorization": "Bearer 0123456789abcdef"}
        gateway.start()
        for old, text in ((path, "[spool]\nmax_file = 1M\n"), (secret, "fedcba9876543210")):
            new = old.with_suffix(".new")
            new.write_text(text)
            new.rename(old)
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: gateway.logged("config.reloaded") + gateway.logged("config.refused"), 10, "the reload")
        self.assertEqual(gateway.logged("config.refused"), [])
        read = gateway.logged("config.changed") + gateway.logged("config.needs_restart")
        self.assertEqual({line["key"] for line in read}, {"spool.max_file", "http.token"})
