"""The README and the task pages of docs/, as they are written: their commands are run, their configurations used.

A block of ```sh is run by bash; ```ini, ```yaml and ```lua are files; ```console is for the eye, but for the README's
one-liners. What is changed is what a reader changes: names, addresses, ports, where a file lies."""
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path

import yaml

from case import Case, DIRECT
from gateway import Client
from lab import (DOMAIN, FILES, LOOPBACK, PASSWORD, PROXY, ROOMS, SERVERS, UPLOAD, Ejabberd, Ports, Process, Prosody,
                 accepts_connections, wait_until)

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
TOKEN = "0123456789abcdef"
ADDRESS = f"gateway@{DOMAIN}/jidpost"
NAMES = (("ana@example.org", f"alice@{DOMAIN}"), ("bob@example.org", f"bob@{DOMAIN}"),
         ("oncall@example.org", f"alice@{DOMAIN}"), ("example.org", DOMAIN))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def here(text, *changes):
    """The text with the names of this laboratory."""
    for old, new in (*changes, *NAMES):
        text = text.replace(old, new)
    return text


class Page(Case):
    settings = {**DIRECT, "HTTP_TOKEN": TOKEN}

    def setUp(self):
        super().setUp()
        self.folder = self.path("desk")
        (self.folder / "reports").mkdir(parents=True)
        (self.folder / "report.pdf").write_bytes(b"%PDF-1.4 " + os.urandom(1000))
        (self.folder / "reports" / "one").write_text("one")

    def shell(self, text, gateway, status=0, **environment):
        done = subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", text], cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120,
                              env={**os.environ, "JIDPOST": gateway.url, "TOKEN": TOKEN, **environment})
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def jidpost(self, gateway):
        """A folder with the program in it, for the PATH."""
        tools = self.path("bin")
        tools.mkdir()
        (tools / "jidpost").symlink_to(gateway.program)
        return f"{tools}:{os.environ['PATH']}"

    @staticmethod
    def listed(gateway):
        return gateway.get("/v1/transfers", headers={"Authorization": f"Bearer {TOKEN}"}).json["items"]


class Script(Page):
    def test_each_of_its_commands_delivers(self):
        peer, gateway = self.recipient("alice"), self.gateway()
        known, asked, piped, offline, command = map(here, blocks("send-from-a-script.md", "sh"))
        self.assertEqual(json.loads(self.shell(known, gateway))["state"], "delivered")
        self.assertIn("ana has it", self.shell(asked, gateway))
        self.assertEqual(json.loads(self.shell(piped, gateway))["state"], "delivered")
        self.assertRegex(self.shell(offline, gateway), r"^tr_\S+ delivered ")
        (self.folder / "auth").write_text(f'user = ":{TOKEN}"\n')
        self.shell(command, gateway, SEND_FILE_AUTH="auth")
        self.assertEqual([told["name"] for told in peer.all("file")],
                         ["report.pdf", "report.pdf", "reports.tar.gz", "report.pdf", "report.pdf"])
        self.assertEqual(self.listed(gateway)[0]["caption"], "The report of this night")

    def test_each_says_when_it_did_not(self):
        gateway = self.gateway(DELIVERY_METHODS="si-s5b")
        known, asked, _, _, command = map(here, blocks("send-from-a-script.md", "sh"))
        (self.folder / "auth").write_text(f'user = ":{TOKEN}"\n')
        self.assertIn("recipient_offline", self.shell(known, gateway, 22))
        self.assertIn("recipient_offline", self.shell(asked, gateway, 1))
        self.assertIn("recipient_offline", self.shell(command, gateway, 1, SEND_FILE_AUTH="auth"))

    def test_what_waits_for_somebody_arrives_when_he_comes(self):
        gateway = self.gateway(DELIVERY_METHODS="si-s5b")
        offline = here(blocks("send-from-a-script.md", "sh")[3]).replace("wait=60", "wait=1")
        self.assertRegex(self.shell(offline, gateway), r"^tr_\S+ ")
        wait_until(lambda: self.listed(gateway)[0]["state"] == "held", 30, "a held transfer")
        self.recipient("alice").wait("file")


class Ci(Page):
    def test_its_jobs_deliver_with_its_token(self):
        peer, gateway = self.recipient("alice"), self.gateway()
        (self.folder / "build").mkdir()
        (self.folder / "build" / "app.tar.gz").write_bytes(os.urandom(5000))
        token = self.shell(here(blocks("send-from-ci.md", "sh")[0]), gateway, PATH=self.jidpost(gateway),
                           JIDPOST_SERVER_STATE_DIR=str(gateway.state), JIDPOST_XMPP_JID="gateway@localhost",
                           JIDPOST_XMPP_PASSWORD=PASSWORD).split()[0]
        self.assertTrue(token.startswith("jp_ci_"), token)
        gateway.reload()
        gitlab, github = map(yaml.safe_load, blocks("send-from-ci.md", "yaml"))
        step = github["jobs"]["deliver"]["steps"][0]
        given = {"JIDPOST": gateway.url, "TO": f"alice@{DOMAIN}", "JIDPOST_TOKEN": token}
        for script, variables, own in ((gitlab["deliver"]["script"][0], gitlab["deliver"]["variables"],
                                        {"CI_JOB_ID": "77", "CI_PROJECT_NAME": "app", "CI_COMMIT_SHORT_SHA": "abc"}),
                                       (step["run"], step["env"],
                                        {"GITHUB_RUN_ID": "8", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_REPOSITORY": "a/b"})):
            self.assertLessEqual(set(variables), set(given))
            once = self.shell(script, gateway, **{**given, **own})
            self.assertRegex(once, r"^tr_\S+ delivered ")
            self.assertEqual(self.shell(script, gateway, **{**given, **own}).split()[0], once.split()[0])
        self.assertEqual(len(peer.all("file")), 2)

    def test_a_job_fails_when_nobody_takes_it(self):
        gateway = self.gateway(DELIVERY_METHODS="si-s5b")
        (self.folder / "build").mkdir()
        (self.folder / "build" / "app.tar.gz").write_bytes(os.urandom(5000))
        job = yaml.safe_load(blocks("send-from-ci.md", "yaml")[0])["deliver"]["script"][0]
        said = self.shell(job, gateway, 22, TO=f"alice@{DOMAIN}", JIDPOST_TOKEN=TOKEN, CI_JOB_ID="1",
                          CI_PROJECT_NAME="a", CI_COMMIT_SHORT_SHA="b")
        self.assertIn("recipient_offline", said)


class Readme(Page):
    def commands(self, gateway):
        """Those of the README's five minutes, each with what the README says that it answers."""
        text = (ROOT / "README.md").read_text().partition("## Five one-liners")[2].partition("\n## ")[0]
        for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            for one in block.strip().split("\n\n"):
                command, _, answer = one.partition("\n")
                yield here(command.removeprefix("$ "), ("http://127.0.0.1:8080", gateway.url)), answer

    def test_its_one_liners_answer_as_it_says(self):
        peer, gateway = self.recipient("alice"), self.gateway(DELIVERY_METHODS="si-s5b")
        commands = list(self.commands(gateway))
        self.assertEqual(len(commands), 6)
        for command, answer in commands:
            problem = answer.startswith('{"type"')
            said = self.shell(command.replace("curl ", "curl -sS ", 1), gateway, 22 if problem else 0)
            if answer.startswith("tr_"):  # on its way, or delivered
                state = answer.split()[1].replace("queued", "(queued|offering|connecting|transferring|delivered)")
                self.assertRegex(said, rf"^tr_\S+ {state} /v1/transfers/tr_\S+\n$")
            elif problem:
                for key in "type", "title", "status", "code", "stage", "retryable", "hint":
                    self.assertIn(f'"{key}":{json.dumps(json.loads(said.splitlines()[0])[key])}', answer)
            else:
                self.assertTrue(json.loads(said)["reachable"], said)
        wait_until(lambda: len(peer.all("file")) == 4, 30, "four files")
        self.assertEqual({told["name"] for told in peer.all("file")}, {"report.pdf", "hello.txt"})

    def test_its_start_starts(self):
        """All but the build; what leads to this server and to free ports is added."""
        start = (ROOT / "README.md").read_text().partition("## Start")[2]
        lines = re.search(r"^mkdir .*?(?=^build/release/jidpost serve$)", start, re.DOTALL | re.MULTILINE)[0]
        gateway, port = self.gateway(start=False), Ports.take()
        mine = {"JIDPOST_" + key: gateway.settings[key] for key in ("XMPP_SERVER", "XMPP_PORT", "XMPP_TLS", "SOCKS5_LISTEN")}
        log = self.path("jidpost.log")
        process = Process(["bash", "-euc", here(lines) + f"exec {gateway.program} serve"], log,
                          {**os.environ, **mine, "HOME": str(self.folder), "PASSWORD": PASSWORD,
                           "JIDPOST_HTTP_LISTEN": f"{LOOPBACK}:{port}"})
        self.addCleanup(process.stop)
        wait_until(lambda: "event=xmpp.online" in log.read_text(), 30, "a session")
        peer, token = self.recipient("alice"), (self.folder / "jidpost" / "token").read_text().strip()
        answer = Client(port, {"Authorization": f"Bearer {token}"}).put(peer.jid, b"x", wait=30)
        self.assertEqual(answer.status, 200, answer)


class Live(Page):
    def test_a_transfer_and_all_of_them_are_followed(self):
        self.recipient("alice")
        gateway = self.gateway()
        one, every, again, poll, compared = map(here, blocks("live.md", "sh"))
        told = self.shell(one, gateway)
        self.assertEqual(re.findall("^event: (.*)$", told, re.MULTILINE)[-1], "transfer.delivered")
        identifier = re.search(r'"id":"(tr_\w+)"', told)[1]
        first = re.search("^id: (.*)-", told, re.MULTILINE)[1] + "-1"  # of the session, before the transfer
        missed = re.findall("^event: (.*)$", self.shell(again, gateway, id=identifier, LAST=first), re.MULTILINE)
        self.assertEqual((missed[0], missed[-1]), ("transfer.created", "transfer.delivered"))
        self.assertEqual(json.loads(self.shell(poll, gateway, id=identifier))["state"], "delivered")
        full, _, nothing = self.shell(compared, gateway, id=identifier).partition("\n")
        self.assertEqual((json.loads(full)["state"], nothing), ("delivered", ""))
        reader = subprocess.Popen(["bash", "-c", every], stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "JIDPOST": gateway.url, "TOKEN": TOKEN})
        self.addCleanup(reader.wait)
        self.addCleanup(reader.stdout.close)
        self.addCleanup(reader.kill)
        wait_until(lambda: "jidpost_sse_clients 1" in self.metrics(gateway), 10, "a reader")
        self.shell(one, gateway)
        self.assertIn("event: transfer.delivered\n", reader.stdout)

    @staticmethod
    def metrics(gateway):
        return gateway.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).body.decode()


class Hooks(Page):
    def test_its_section_and_its_secret_reach_its_receiver(self):
        secret, tried, dead = map(here, blocks("webhooks.md", "sh"))
        section, port = blocks("webhooks.md", "ini")[0], Ports.take()
        self.shell(secret, self.gateway(start=False))
        key, log, ini = self.folder / "ci.secret", self.path("receiver.log"), self.path("jidpost.ini")
        receiver = Process(["/usr/bin/python3", "-u", "-c", blocks("webhooks.md", "python")[0]], log,
                           {**os.environ, "SECRET": key.read_text().strip(), "PORT": str(port)})
        self.addCleanup(receiver.stop)
        wait_until(lambda: accepts_connections(port), 10, "the receiver")
        ini.write_text(section.replace("https://ci.example.org/hooks/jidpost", f"http://{LOOPBACK}:{port}/")
                       .replace("/etc/jidpost/ci.secret", str(key)) + f"allow_nets = {LOOPBACK}\n")
        gateway = self.gateway(start=False)
        gateway.arguments = ["--config", str(ini)]
        gateway.start()
        test, hooks = self.shell(tried, gateway).strip().splitlines()
        self.assertTrue(json.loads(test)["delivered"], test)
        self.assertEqual(json.loads(hooks)["items"][0]["name"], "ci")
        self.assertEqual(json.loads(self.shell(dead, gateway))["items"], [])
        peer = self.recipient("alice")
        self.assertDelivered(gateway.put(peer.jid, b"x", wait=30, headers={"Authorization": f"Bearer {TOKEN}"}))
        wait_until(lambda: "True transfer.delivered" in log.read_text(), 20, "a signed event")


class CommandLine(Page):
    def test_its_lines_send(self):
        alice, bob, gateway = self.recipient("alice"), self.recipient("bob"), self.gateway()
        known, sent = map(here, blocks("command-line.md", "sh"))
        path = self.jidpost(gateway)
        (self.folder / ".jidpost-token").write_text(TOKEN + "\n")
        for name in "a.pdf", "b.pdf":
            (self.folder / name).write_text(name)
        known = known.replace(f"https://gw.{DOMAIN}", gateway.url)
        said = self.shell(known + sent, gateway, PATH=path, HOME=str(self.folder))
        self.assertNotIn("exit status", said)
        self.assertEqual(sorted(told["name"] for told in bob.all("file")), ["a.pdf", "b.pdf"])
        wait_until(lambda: len(alice.all("file")) == 4, 30, "four files")

    def test_what_nobody_takes_has_a_status(self):
        gateway = self.gateway(DELIVERY_METHODS="si-s5b")
        last = here(blocks("command-line.md", "sh")[1]).strip().splitlines()[-1]
        for name in "a.pdf", "b.pdf":
            (self.folder / name).write_text(name)
        self.assertIn("exit status 5", self.shell(last, gateway, PATH=self.jidpost(gateway), JIDPOST_URL=gateway.url,
                                                  JIDPOST_TOKEN=TOKEN))


class Uploads(Page):
    def test_each_way_in_delivers(self):
        alice, bob, out = self.recipient("alice"), self.recipient("bob"), self.path("out")
        out.mkdir()
        for file in self.folder / "a.pdf", self.folder / "b.pdf", out / "r.pdf":
            file.write_text(file.name)
        web = http.server.ThreadingHTTPServer((LOOPBACK, 0), lambda *given: http.server.SimpleHTTPRequestHandler(
            *given, directory=str(self.folder)))
        (self.folder / "artifact.zip").write_bytes(b"PK")
        threading.Thread(target=web.serve_forever).start()
        self.addCleanup(web.server_close)
        self.addCleanup(web.shutdown)
        gateway = self.gateway(SOURCE_PATH_ROOTS=str(out), SOURCE_URL_ENABLED="on", EGRESS_ALLOW_NETS=LOOPBACK)
        stream, once, digest, several, path, url = (
            here(block, ("/srv/out", str(out)), ("https://ci.example.org", f"http://{LOOPBACK}:{web.server_port}"))
            for block in blocks("uploads.md", "sh"))
        self.assertEqual(json.loads(self.shell(stream, gateway))["state"], "delivered")
        first, second = (json.loads(self.shell(once, gateway, JOB="7"))["id"] for _ in range(2))
        self.assertEqual(first, second)
        self.shell(digest, gateway)
        batch = json.loads(self.shell(several, gateway))
        self.assertEqual(len(batch["transfers"]), 4, batch)
        self.shell(path, gateway)
        self.shell(url, gateway)
        names = ["a.pdf", "artifact.zip", "b.pdf", "r.pdf", "report.pdf", "report.pdf", "report.pdf"]
        wait_until(lambda: len(alice.all("file")) >= len(names), 30, "all of them")
        self.assertEqual(sorted(told["name"] for told in alice.all("file")), names)
        self.assertEqual(len(bob.all("file")), 2)


class Delivery(Page):
    server_options = {"rooms": ""}

    def test_its_lines_do_what_it_says(self):
        peer = self.recipient("alice", "--room", f"team@{ROOMS}")
        peer.wait("room", occupant="alice", there=True)
        look, wait, link, room = (here(block, ("team@conference.example.org", f"team@{ROOMS}"))
                                  for block in blocks("delivery.md", "sh"))
        gateway = self.publishing_gateway()
        seen = json.loads(self.shell(look, gateway))
        self.assertTrue(seen["reachable"], seen)
        self.shell(wait, gateway)
        peer.wait("file")
        for text in link, room:
            self.assertEqual(json.loads(self.shell(text, gateway))["state"], "link_sent")


class Receive(Page):
    def configured(self, *arguments, **settings):
        """A gateway with the page's section."""
        ini = self.path("jidpost.ini")
        ini.write_text(here(blocks("receive-files.md", "ini")[0]))
        gateway = self.gateway(start=False, EGRESS_ALLOW_NETS=LOOPBACK, **settings)
        gateway.arguments = ["--config", str(ini), *arguments]
        return gateway.start()

    def test_what_is_sent_is_fetched_once(self):
        gateway, sender = self.configured(), self.recipient("alice")
        look, fetch, command, follow, _ = map(here, blocks("receive-files.md", "sh"))
        path, digest = self.file(100_000, "one.pdf")
        told = sender.send(ADDRESS, "si-s5b", path)
        self.assertEqual(told["event"], "sent", told)
        item = json.loads(self.shell(look, gateway))["items"][0]
        self.assertEqual((item["file"]["name"], item["file"]["sha256"]), ("one.pdf", digest))
        self.shell(fetch, gateway)
        self.assertEqual((self.folder / item["id"]).read_bytes(), path.read_bytes())
        self.assertEqual(json.loads(self.shell(look.replace("wait=60", "wait=0"), gateway))["items"], [])
        path, digest = self.file(1000, "two.pdf")
        self.assertEqual(sender.send(ADDRESS, "si-ibb", path)["event"], "sent")
        self.shell(command, gateway, PATH=self.jidpost(gateway), JIDPOST_URL=gateway.url, JIDPOST_TOKEN=TOKEN)
        self.assertEqual((self.folder / "two.pdf").read_bytes(), path.read_bytes())
        reader = subprocess.Popen(["bash", "-c", follow], stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "JIDPOST": gateway.url, "TOKEN": TOKEN})
        self.addCleanup(reader.wait)
        self.addCleanup(reader.stdout.close)
        self.addCleanup(reader.kill)
        wait_until(lambda: "jidpost_sse_clients 1" in Live.metrics(gateway), 10, "a reader")
        path, digest = self.file(1, "three")
        self.assertEqual(sender.send(ADDRESS, "si-s5b", path)["event"], "sent")
        self.assertIn("event: inbox.received\n", reader.stdout)

    def test_who_may_not_is_told_what_it_says(self):
        sender = self.recipient("alice")
        for says, method, settings in (("Offer Declined", "si-s5b", {"INBOX_ACCEPT": f"bob@{DOMAIN}"}),
                                       ("The file is too large", "si-s5b", {"INBOX_MAX_FILE": "99"}),
                                       ("not-acceptable", "s5b", {}),
                                       ("Too much was sent; try later", "si-s5b", {"INBOX_DAILY_BYTES": "99"})):
            with self.subTest(says):
                self.assertIn(says, (DOCS / "receive-files.md").read_text())
                gateway = self.configured(**settings)
                told = sender.send(ADDRESS, method, self.file(100, f"{self.count}.bin")[0])
                self.assertEqual(told["event"], "unsent", told)
                self.assertIn(says, (told["error"], told["text"]))
                gateway.stop()

    def test_what_came_short_has_failed_with_its_reason(self):
        gateway, sender = self.configured(), self.recipient("alice")
        self.assertEqual(sender.send(ADDRESS, "si-s5b", self.file(100_000)[0], 5000)["event"], "sent")
        failed = "curl --fail-with-body -sS -u :$TOKEN $JIDPOST/v1/inbox?state=failed"
        item = wait_until(lambda: json.loads(self.shell(failed, gateway))["items"], 20, "a failed one")[0]
        self.assertEqual((item["error"]["code"], item["progress"]["received"]), ("truncated", 5000), item)
        said = self.shell(f"curl --fail-with-body -sS -u :$TOKEN $JIDPOST{item['links']['self']}/content", gateway, 22)
        self.assertIn("state_conflict", said)

    def test_a_token_sees_the_inbox_of_its_address(self):
        gateway = self.gateway(start=False)
        made = self.shell(here(blocks("receive-files.md", "sh")[-1]), gateway, PATH=self.jidpost(gateway),
                          JIDPOST_SERVER_STATE_DIR=str(self.folder))
        self.assertRegex(made, r"^jp_reports_\S+\n")


class Configured(Page):
    def test_a_file_of_all_keys_holds(self):
        gateway = self.gateway(start=False)
        self.shell(blocks("configuration.md", "sh")[0], gateway, PATH=self.jidpost(gateway),
                   **{"JIDPOST_" + key: value for key, value in gateway.settings.items()})

    def test_its_token_is_made_as_it_says(self):
        command, shown = re.search(r"^\$ (jidpost token create .*)\n(jp_\S+)$", (DOCS / "configuration.md").read_text(),
                                   re.MULTILINE).groups()
        gateway = self.gateway(start=False)
        made = self.shell(command, gateway, PATH=self.jidpost(gateway), JIDPOST_SERVER_STATE_DIR=str(self.folder))
        self.assertRegex(made, rf"^jp_ci-1_\S{{{len(shown) - len('jp_ci-1_')}}}\n")


class Alerts(Page):
    def setUp(self):
        super().setUp()
        self.kept = self.path("kept")
        self.kept.mkdir()
        self.token = self.folder / "token"
        self.token.write_text(TOKEN + "\n")

    def configuration(self, number, name, *changes):
        path = self.folder / name
        path.write_text(here(blocks("alertmanager-and-grafana.md", "yaml")[number], *changes))
        return path

    def alertmanager(self, gateway):
        changes = ("http://127.0.0.1:8080", gateway.url), ("/etc/prometheus/jidpost.token", str(self.token))
        path, port = self.configuration(0, "alertmanager.yml", *changes), Ports.take()
        path.write_text(path.read_text().replace("receiver: oncall\n", "receiver: oncall\n  group_wait: 0s\n", 1))
        process = Process(["prometheus-alertmanager", f"--config.file={path}", f"--storage.path={self.folder}/am",
                           f"--web.listen-address={LOOPBACK}:{port}", "--cluster.listen-address="],
                          self.folder / "alertmanager.log")
        self.addCleanup(process.stop)
        wait_until(lambda: accepts_connections(port), 30, "Alertmanager")
        return port

    def test_a_rule_of_prometheus_becomes_a_file(self):
        for program in "prometheus", "prometheus-alertmanager":
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")
        peer, gateway = self.recipient("alice", "--dir", str(self.kept)), self.gateway()
        alertmanager, port = self.alertmanager(gateway), Ports.take()
        rules = self.configuration(1, "rules.yml")
        configuration = self.folder / "prometheus.yml"
        configuration.write_text(json.dumps({
            "global": {"evaluation_interval": "1s"}, "rule_files": [str(rules)],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{LOOPBACK}:{alertmanager}"]}]}]}}))
        prometheus = Process(["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={self.folder}/tsdb",
                              f"--web.listen-address={LOOPBACK}:{port}", "--rules.alert.resend-delay=1s"],
                             self.folder / "prometheus.log")
        self.addCleanup(prometheus.stop)
        told = peer.wait("file", 60)
        self.assertEqual(told["name"], "alert.json")
        alert = json.loads((self.kept / "alert.json").read_text())
        self.assertEqual((alert["status"], alert["alerts"][0]["labels"]["alertname"]), ("firing", "Try"))
        self.assertEqual(self.listed(gateway)[0]["caption"], "An alert")

    def test_an_alert_waits_for_who_is_offline(self):
        if not shutil.which("prometheus-alertmanager"):
            self.skipTest("prometheus-alertmanager is not installed")
        gateway = self.gateway(DELIVERY_METHODS="si-s5b")
        self.fire(self.alertmanager(gateway))
        wait_until(lambda: [item["state"] for item in self.listed(gateway)] == ["held"], 30, "a held transfer")
        self.recipient("alice").wait("file", name="alert.json")

    @staticmethod
    def fire(port):
        request = urllib.request.Request(f"http://{LOOPBACK}:{port}/api/v2/alerts",
                                         json.dumps([{"labels": {"alertname": "Test"}}]).encode(),
                                         {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def test_what_grafana_sends_becomes_a_file(self):
        """Its request, made by hand: Grafana is not in Debian."""
        peer, gateway = self.recipient("alice"), self.gateway()
        file = yaml.safe_load(here(blocks("alertmanager-and-grafana.md", "yaml")[2],
                                   ("http://127.0.0.1:8080", gateway.url)))
        point = file["contactPoints"][0]["receivers"][0]["settings"]
        request = urllib.request.Request(point["url"], json.dumps({"status": "firing", "title": "[FIRING:1]"}).encode(),
                                         {"Content-Type": "application/json", "User-Agent": "Grafana",
                                          "Authorization": f"{point['authorization_scheme']} {TOKEN}"},
                                         method=point["httpMethod"])
        with urllib.request.urlopen(request, timeout=10) as answer:
            self.assertEqual(answer.status, 202)
        peer.wait("file", name="alert.json")


class PageProsody(Prosody):
    """With what the page adds."""

    def configuration(self):
        added = here(blocks("with-prosody.md", "lua")[0], ("xmpp.example.org", LOOPBACK))
        return re.sub(rf'Component "{UPLOAD}".*\n.*\n', "", super().configuration()) + added


class PageEjabberd(Ejabberd):
    def configuration(self):
        whole = yaml.safe_load(super().configuration())
        added = yaml.safe_load(here(blocks("with-ejabberd.md", "yaml")[0], ("xmpp.example.org", LOOPBACK),
                                    ("https://@HOST@:5443", f"https://@HOST@:{self.upload_port}")))["modules"]
        added["mod_proxy65"].update(port=self.proxy_port, ip=LOOPBACK)
        added["mod_http_upload"].update(docroot=f"{self.directory}/uploads")
        whole["access_rules"]["local"] = {"allow": "local"}  # as the sample has it
        whole["modules"].update(added)
        return json.dumps(whole)


class ComponentProsody(Prosody):
    """With the component of its page, and no other."""

    def configuration(self):
        bare = re.sub(r'Component "\S+"\n +component_secret = .*\n', "", super().configuration())
        return bare + here(blocks("with-a-component.md", "lua")[0])


class ComponentEjabberd(Ejabberd):
    added = False

    def configuration(self):
        whole = yaml.safe_load(super().configuration())
        whole["listen"] = [one for one in whole["listen"] if one["module"] != "ejabberd_service"]
        if self.added:
            listener = yaml.safe_load(here(blocks("with-a-component.md", "yaml")[0]))["listen"][0]
            whole["listen"].append({**listener, "port": self.component_port})
        return json.dumps(whole)

    def listens(self):
        return accepts_connections(self.port)

    def started(self):
        """The page's lines are added to a server that runs."""
        super().started()
        self.added = True
        (self.directory / "ejabberd.yml").write_text(self.configuration())
        self.api("reload_config")
        wait_until(lambda: accepts_connections(self.component_port), 20, "components")


SERVERS.update({"the page's prosody": PageProsody, "the page's ejabberd": PageEjabberd,
                "the component's prosody": ComponentProsody, "the component's ejabberd": ComponentEjabberd})


class OnServer:
    """A server without the gateway's account, and without proxy and uploads but for those of the page."""
    server_options = {"proxy": False, "upload": 1, "contacts": ("alice", "bob"), "strangers": ()}
    settings = {"XMPP_PASSWORD": "its own"}

    def test_its_account_its_proxy_and_its_uploads_serve(self):
        tools = self.path("bin")
        tools.mkdir()
        self.control(tools)
        subprocess.run(["bash", "-eu", "-c", here(blocks(self.page, "sh")[0])], check=True, stdin=subprocess.DEVNULL,
                       env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PASSWORD": "its own"})
        gateway = self.gateway(XMPP_CA=str(self.server.authority.certificate))
        wait_until(lambda: [proxy["jid"] for proxy in gateway.get("/v1/xmpp").json["proxies"]] == [PROXY], 20, PROXY)
        peer = self.recipient("alice")
        self.assertDelivered(gateway.put(peer.jid, bytes(100000), wait=30), "proxy")
        sent = gateway.put(f"bob@{DOMAIN}", bytes(20 * 1024 * 1024), wait=60)
        self.assertEqual(sent.json["state"], "link_sent", sent)
        self.assertIn(f":{self.server.upload_port}/", self.recipient("bob").wait("message")["body"])


class WithProsody(OnServer, Case):
    server_name, page = "the page's prosody", "with-prosody.md"

    def control(self, tools):
        program = tools / "prosodyctl"
        file = self.server.directory / "prosody.cfg.lua"
        program.write_text(f'#!/bin/sh\nexec /usr/bin/prosodyctl --config {file} "$@"\n')
        program.chmod(0o755)


class WithEjabberd(OnServer, Case):
    server_name, page = "the page's ejabberd", "with-ejabberd.md"

    def control(self, tools):
        """The same command by the API, since ejabberdctl knows one server alone, that of the machine."""
        program = tools / "ejabberdctl"
        program.write_text(f"""#!/bin/sh
[ "$1" = register ] && [ $# = 4 ] || exit 2
exec curl -sS --fail http://{LOOPBACK}:{self.server.api_port}/api/register -H 'Content-Type: application/json' \\
    -d "{{\\"user\\":\\"$2\\",\\"host\\":\\"$3\\",\\"password\\":\\"$4\\"}}"
""")
        program.chmod(0o755)


class AsComponent:
    """A server without a proxy, and what the pages of a component and of its proxy say."""
    server_options = {"proxy": False}
    settings = {}

    def component(self, *changes, **settings):
        """Nothing is added but where this laboratory differs: ports, and addresses on loopback."""
        ini, port = self.path("jidpost.ini"), Ports.take()
        sections = [blocks("with-a-component.md", "ini")[0], *blocks("as-a-proxy.md", "ini")]
        ini.write_text("\n".join(here(text, ("[::]:5086", f"{LOOPBACK}:{port}"), *changes,
                                      ("xmpp.example.org:5086", f"{LOOPBACK}:{port}")) for text in sections))
        gateway = self.gateway(start=False, HTTP_TOKEN=TOKEN, XMPP_PORT=str(self.server.component_port),
                               EGRESS_ALLOW_NETS=LOOPBACK, **settings)
        for key in "XMPP_JID", "XMPP_PASSWORD", "XMPP_SERVER", "XMPP_TLS", "SOCKS5_LISTEN":
            del gateway.settings[key]
        gateway.headers = {"Authorization": f"Bearer {TOKEN}"}
        gateway.arguments = ["--config", str(ini)]
        return gateway

    def test_its_lines_send_and_receive_at_any_address(self):
        gateway = self.component(INBOX_ACCEPT=f"*@{DOMAIN}").start()
        peer = self.recipient("alice")
        self.assertDelivered(gateway.put(peer.jid, bytes(1000), wait=30), "direct")
        path, digest = self.file(1000)
        told = peer.send(f"reports@{FILES}", "si-s5b", path)
        self.assertEqual(told["event"], "sent", told)
        item = gateway.get("/v1/inbox?wait=20").json["items"][0]
        self.assertEqual((item["to"], item["file"]["sha256"]), (f"reports@{FILES}", digest))

    def test_the_doctor_finds_all_well(self):
        """Without a gateway, and beside one, whose place it does not take."""
        gateway = self.component()
        gateway.state.mkdir()
        mine = {"JIDPOST_" + key: value for key, value in gateway.settings.items()}
        peer = self.recipient("alice")
        path = self.jidpost(gateway)
        for address, last in (peer.jid, "ladder"), ("", "login"):
            said = self.shell(f"jidpost doctor {' '.join(gateway.arguments)} --json {address}", gateway,
                              PATH=path, **mine)
            checks = [json.loads(line) for line in said.splitlines()]
            self.assertEqual([line for line in checks if line["result"] == "fail"], [])
            self.assertEqual(checks[-1]["check"], last, said)
            if not gateway.process:
                gateway.start()
        self.assertEqual(gateway.get("/v1/xmpp").json["state"], "online")

    def test_its_proxy_is_found_and_used(self):
        gateway = self.component().start()
        sender, receiver = self.recipient("alice"), self.recipient("bob")
        path, digest = self.file(100_000)
        told = sender.send(receiver.jid, "si-s5b", path)
        self.assertEqual(told["event"], "sent", told)
        receiver.wait("file", sha256=digest)
        self.assertEqual(sender.wait("sending")["streamhost"], FILES)
        answer = gateway.get("/v1/proxy/sessions")
        self.assertEqual(answer.json["totals"]["streams"], 1, answer)

    def test_it_says_what_to_mend(self):
        """The advices of the page's table, as far as they can be had here."""
        page = (DOCS / "with-a-component.md").read_text()
        for says, *changes in self.advices:
            with self.subTest(says):
                self.assertIn(f"| {says}", page)
                gateway = self.component(*changes).start(ready=False)
                wait_until(lambda: says in str(gateway.get("/v1/xmpp").json["advice"]), 20, says)
                gateway.stop()


REFUSED = "the server refused the login", ("= the secret", "= another")
UNKNOWN = "the server knows no component", ("jid = files.example.org", "jid = others.example.org")


class AsComponentOfProsody(AsComponent, Page):
    server_name = "the component's prosody"
    advices = REFUSED, UNKNOWN

    def test_it_says_that_another_is_there(self):
        self.component().start()
        self.advices = ("another connection is the component",),
        self.test_it_says_what_to_mend()


class AsComponentOfEjabberd(AsComponent, Page):
    server_name = "the component's ejabberd"
    advices = REFUSED, ("the server refused the login", UNKNOWN[1])
