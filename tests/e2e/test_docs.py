"""The task pages of docs/, as they are written: their commands are run, their configurations used.

A block of ```sh is run by bash; ```yaml and ```lua are files; ```console is for the eye. What is changed is what a reader
changes: names, addresses, ports, where a file lies."""
import json
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import yaml

from case import Case, DIRECT
from lab import (DOMAIN, LOOPBACK, PASSWORD, PROXY, SERVERS, UPLOAD, Ejabberd, Ports, Process, Prosody,
                 accepts_connections, wait_until)

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
TOKEN = "0123456789abcdef"
NAMES = (("ana@example.org", f"alice@{DOMAIN}"), ("oncall@example.org", f"alice@{DOMAIN}"), ("example.org", DOMAIN))


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
        tools = self.path("bin")
        tools.mkdir()
        (tools / "jidpost").symlink_to(gateway.program)
        token = self.shell(here(blocks("send-from-ci.md", "sh")[0]), gateway, PATH=f"{tools}:{os.environ['PATH']}",
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


SERVERS.update({"the page's prosody": PageProsody, "the page's ejabberd": PageEjabberd})


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
