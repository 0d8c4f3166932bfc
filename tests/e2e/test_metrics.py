"""/metrics counts what happened, exactly; promtool takes it, and no address is ever on it."""
import contextlib
import os
import re
import subprocess
import urllib.parse
from pathlib import Path

import yaml

from case import Case, DIRECT, QUICK
from gateway import Client
from lab import DOMAIN, LOOPBACK, Ports, Process, wait_until
from test_tokens import Commands

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
SAMPLE = re.compile(r'^([a-z0-9_]+)(?:\{(.*)\})? (-?[0-9.]+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


class Page:
    """The samples of one scrape."""

    def __init__(self, text):
        self.text = text
        self.samples = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = SAMPLE.match(line).groups()
            self.samples[name, frozenset(LABEL.findall(labels or ""))] = float(value)

    def get(self, name, **labels):
        """One sample; 0 where there is none."""
        return self.samples.get((name, frozenset(labels.items())), 0)

    def all(self, name):
        return {tuple(sorted(labels)): value for (found, labels), value in self.samples.items() if found == name}

    def sum(self, name, **labels):
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= has)


def scrape(gateway, **headers):
    answer = gateway.get("/metrics", headers=headers)
    if answer.status != 200:
        raise AssertionError(repr(answer))
    return Page(answer.body.decode())


class Metrics(Case):
    settings = {**DIRECT, **QUICK}

    def assertLinted(self, page):
        done = subprocess.run(["promtool", "check", "metrics"], input=page.text, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""), page.text)

    def test_a_delivery_is_counted_once_in_each_place(self):
        gateway = self.gateway()
        peer = self.recipient("alice")
        path, digest = self.file(300000)
        before = scrape(gateway)
        answer = gateway.curl(path, peer.jid, wait=30)
        self.assertArrived(answer, peer, digest, "direct")
        after = scrape(gateway)

        def more(name, **labels):
            return after.get(name, **labels) - before.get(name, **labels)

        method = answer.json["method"]["name"]
        self.assertEqual(after.all("jidpost_transfers_total"), {(("code", "none"), ("state", "delivered")): 1})
        self.assertEqual(after.all("jidpost_attempts_total"),
                         {(("method", method), ("path", "direct"), ("result", "ok")): 1})
        self.assertEqual(more("jidpost_transfer_bytes_total", method=method, path="direct"), 300000)
        self.assertEqual(more("jidpost_transfer_size_bytes_sum"), 300000)
        self.assertEqual(more("jidpost_transfer_size_bytes_count"), 1)
        self.assertEqual(more("jidpost_transfer_size_bytes_bucket", le="262144.0"), 0)
        self.assertEqual(more("jidpost_transfer_size_bytes_bucket", le="1048576.0"), 1)
        self.assertEqual(more("jidpost_transfer_duration_seconds_count", method=method), 1)
        self.assertEqual(more("jidpost_offer_wait_seconds_count"), 1)
        self.assertEqual(more("jidpost_connect_duration_seconds_count", path="direct"), 1)
        self.assertEqual(more("jidpost_http_request_body_bytes_total"), 300000)
        self.assertEqual(more("jidpost_http_requests_total", route="/v1/to/{}/{}", method="PUT", code="200"), 1)
        self.assertEqual(more("jidpost_http_request_duration_seconds_count", route="/v1/to/{}/{}"), 1)
        self.assertEqual(more("jidpost_http_requests_total", route="/metrics", method="GET", code="200"), 1)
        self.assertGreater(more("jidpost_store_op_duration_seconds_count", op="write"), 0)
        for direction in "in", "out":
            self.assertGreater(more("jidpost_xmpp_stanzas_total", direction=direction, kind="iq"), 0)
        self.assertEqual(after.sum("jidpost_xmpp_stanzas_total", kind="other"), 0)
        self.assertEqual(after.get("jidpost_xmpp_up"), 1)
        self.assertEqual(after.sum("jidpost_transfers"), 0)
        self.assertEqual(after.get("jidpost_spool_bytes"), 0)
        self.assertLinted(after)
        self.assertNotIn("@", after.text)
        for secret in "alice", "desk", "file.bin", answer.json["id"], answer.json["request_id"]:
            self.assertNotIn(secret, after.text)

    def test_a_failure_is_counted_by_its_code(self):
        gateway = self.gateway(DELIVERY_METHODS="si-s5b")
        peer = self.recipient("alice", "--behave", "decline")
        answer = gateway.put(peer.jid, b"x", wait=30)
        code = answer.json["code"]
        nobody = gateway.put(f"bob@{DOMAIN}", b"x", wait=30).json["code"]
        page = scrape(gateway)
        self.assertEqual(page.all("jidpost_transfers_total"),
                         {(("code", code), ("state", "failed")): 1, (("code", nobody), ("state", "failed")): 1})
        self.assertEqual(page.all("jidpost_attempts_total"),
                         {(("method", "si-s5b"), ("path", "none"), ("result", code)): 1,
                          (("method", "none"), ("path", "none"), ("result", nobody)): 1})
        self.assertEqual(page.get("jidpost_transfer_size_bytes_count"), 2)
        self.assertEqual(page.all("jidpost_transfer_duration_seconds_count"), {})

    def test_what_waits_is_seen(self):
        gateway = self.gateway(DELIVERY_OFFER_TIMEOUT="60s", DELIVERY_PARALLEL="1")
        peer = self.recipient("alice", "--behave", "ignore")
        first = gateway.put(peer.jid, b"first").json["id"]
        gateway.wait_state(first, "offering")
        second = gateway.put(f"carol@{DOMAIN}/desk", b"second").json["id"]
        gateway.wait_state(second, "queued")
        page = wait_until(lambda: self.waiting(gateway), 10, "an age in the queue")
        self.assertEqual([page.get("jidpost_transfers", state=state) for state in ("offering", "queued")], [1, 1])
        self.assertEqual(page.get("jidpost_spool_bytes"), len(b"first") + len(b"second"))
        self.assertLinted(page)
        for identifier in second, first:
            gateway.request("DELETE", f"/v1/transfers/{identifier}")
        page = scrape(gateway)
        self.assertEqual(page.get("jidpost_queue_oldest_seconds"), 0)
        self.assertEqual(page.get("jidpost_transfers_total", state="cancelled", code="cancelled"), 2)

    @staticmethod
    def waiting(gateway):
        page = scrape(gateway)
        return page if page.get("jidpost_queue_oldest_seconds") > 0 else None

    def test_a_repeated_request_is_a_replay(self):
        gateway = self.gateway()
        peer = self.recipient("alice")
        for _ in range(3):
            gateway.put(peer.jid, b"once", headers={"Idempotency-Key": "metrics-1"}, wait=30)
        page = scrape(gateway)
        self.assertEqual(page.get("jidpost_idempotent_replays_total"), 2)
        self.assertEqual(page.sum("jidpost_transfers_total"), 1)

    def test_a_lost_session_is_seen(self):
        cable = self.cable()
        gateway = self.gateway(server=cable, XMPP_RECONNECT_MIN="100ms", XMPP_RECONNECT_MAX="200ms")
        self.assertEqual(scrape(gateway).get("jidpost_xmpp_up"), 1)
        before = scrape(gateway).get("jidpost_xmpp_reconnects_total")
        cable.cut()
        gateway.wait_ready(False)
        self.assertEqual(scrape(gateway).get("jidpost_xmpp_up"), 0)
        cable.mend()
        gateway.wait_ready()
        page = scrape(gateway)
        self.assertEqual(page.get("jidpost_xmpp_up"), 1)
        self.assertGreater(page.get("jidpost_xmpp_reconnects_total"), before)

    def test_who_follows_events_is_counted(self):
        gateway = self.gateway()
        connection = gateway.connection()
        connection.request("GET", "/v1/events")
        connection.getresponse()
        self.assertEqual(scrape(gateway).get("jidpost_sse_clients"), 1)
        connection.close()
        wait_until(lambda: scrape(gateway).get("jidpost_sse_clients") == 0, 30, "nobody that follows")

    def test_openmetrics_is_told_to_who_asks_for_it(self):
        gateway = self.gateway()
        plain, wanted = gateway.get("/metrics"), gateway.get("/metrics", headers={"Accept": OPENMETRICS})
        self.assertEqual(plain.type, "text/plain; version=0.0.4; charset=utf-8")
        self.assertEqual(wanted.type, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.assertTrue(wanted.body.endswith(b"\n# EOF\n"))
        self.assertNotIn(b"# EOF", plain.body)
        self.assertIn(b"# TYPE jidpost_http_requests counter\njidpost_http_requests_total{", wanted.body)
        self.assertIn(b"# TYPE jidpost_http_requests_total counter\n", plain.body)
        try:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families
        except ImportError:
            return  # a second reader, where there is one
        self.assertGreater(len(list(text_string_to_metric_families(wanted.body.decode()))), 30)

    def test_the_process_tells_of_itself(self):
        gateway = self.gateway()
        page = scrape(gateway)
        descriptors = len(os.listdir(f"/proc/{gateway.process.pid}/fd"))
        self.assertAlmostEqual(page.get("process_open_fds"), descriptors, delta=4)
        self.assertGreater(page.get("process_max_fds"), descriptors)
        self.assertGreater(page.get("process_cpu_seconds_total"), 0)
        self.assertGreater(page.get("process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(page.get("process_start_time_seconds"), 1.7e9)
        version, = page.all("jidpost_build_info")
        self.assertEqual(dict(version)["version"], gateway.get("/v1").json["version"])


class MetricsInTheSandbox(Case):
    build = "release"  # the other builds may look into /proc

    def test_the_process_still_tells_of_itself(self):
        gateway = self.gateway(**DIRECT)
        self.assertEqual(gateway.logged("sandbox")[0]["calls"], "seccomp")
        page = scrape(gateway)
        for name in "process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds_total":
            self.assertGreater(page.get(name), 0, name)


class MetricsWithTokens(Commands, Case):
    def test_who_may_read_them_and_who_was_refused(self):
        gateway = self.gateway(start=False, **DIRECT)
        headers = {name: self.create(gateway, name, *options) for name, options in
                   {"prometheus": ["--scopes", "metrics"], "ci": ["--scopes", "send,read"],
                    "root": ["--scopes", "admin"], "often": ["--rate", "1"]}.items()}
        gateway.start()
        self.assertFailed(gateway.get("/metrics"), 401, "auth_missing")
        self.assertFailed(gateway.get("/metrics", headers=headers["ci"]), 403, "scope_missing")
        self.assertFailed(gateway.get("/metrics", headers={"Authorization": "Bearer jp_no_" + "x" * 43}), 401,
                          "auth_invalid")
        for _ in range(2):
            gateway.get("/v1", headers=headers["often"])
        self.assertFailed(gateway.get("/v1/transfers", headers=headers["prometheus"]), 403, "scope_missing")
        self.assertEqual(gateway.get("/metrics", headers=headers["root"]).status, 200)
        page = scrape(gateway, **headers["prometheus"])
        self.assertEqual({dict(labels)["reason"]: value for labels, value in
                          page.all("jidpost_auth_failures_total").items() if value},
                         {"auth_missing": 1, "auth_invalid": 1, "scope_missing": 2})
        self.assertEqual({dict(labels)["limit"]: value for labels, value in
                          page.all("jidpost_rate_limited_total").items() if value}, {"rate": 1})
        for secret in "prometheus", "often", "ci":
            self.assertNotIn(f'"{secret}"', page.text)

    def test_another_address_has_them_without_a_token(self):
        gateway = self.gateway(HTTP_TOKEN="token-for-these-tests", OPS_LISTEN=f"{LOOPBACK}:0")
        ops = Client(gateway.logged("ops.listening")[0]["port"])
        self.assertEqual(scrape(ops).get("jidpost_xmpp_up"), 1)
        self.assertEqual([ops.get(target).status for target in ("/livez", "/readyz", "/v1", "/v1/transfers")],
                         [200, 200, 404, 404])
        headers = {"Authorization": "Bearer token-for-these-tests"}
        self.assertFailed(gateway.get("/metrics", headers=headers), 404, "not_found")
        self.assertEqual(gateway.get("/livez").status, 200)

    def test_prometheus_reads_them_as_its_example_says(self):
        """The files of deploy/prometheus with another address and token; it asks for OpenMetrics by itself."""
        gateway = self.gateway(start=False, **DIRECT)
        token = self.create(gateway, "prometheus", "--scopes", "metrics")["Authorization"].split()[1]
        gateway.start()
        folder = self.path("prometheus")
        folder.mkdir()
        (folder / "token").write_text(token)
        example = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
        example["global"]["scrape_interval"] = "1s"
        job, = example["scrape_configs"]
        job["authorization"]["credentials_file"] = str(folder / "token")
        job["static_configs"] = [{"targets": [f"{LOOPBACK}:{gateway.port}"]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(example))
        (folder / "alerts.yml").write_bytes((DEPLOY / "alerts.yml").read_bytes())
        port = Ports.take()
        options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data",
                   "web.listen-address": f"{LOOPBACK}:{port}"}
        prometheus = Process(["prometheus", *(f"--{name}={value}" for name, value in options.items())], folder / "log")
        self.addCleanup(prometheus.kill)

        def query(text):
            with contextlib.suppress(OSError):
                result = Client(port).get("/api/v1/query?" + urllib.parse.urlencode({"query": text})).json
                return [sample["value"][1] for sample in result["data"]["result"]] if result else None

        wait_until(lambda: query('up{job="jidpost"}') == ["1"], 30, "a scrape that went well")
        self.assertEqual(query("jidpost_xmpp_up"), ["1"])
        wait_until(lambda: query('jidpost_http_requests_total{route="/metrics",code="200"} > 1'), 30, "a second scrape")
        rules = Client(port).get("/api/v1/rules").json["data"]["groups"]
        self.assertEqual([rule["health"] for group in rules for rule in group["rules"] if rule["health"] == "err"], [])
