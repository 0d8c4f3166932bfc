"""The inbox on the command line: what is saved here is what was sent, once, and under a name that harms nobody."""
import hashlib
import json
import os
import signal
import subprocess
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from case import Case
from lab import LOOPBACK, wait_until
from test_cli import Commands

NOBODY = "in_" + "9" * 26


class StandIn(ThreadingHTTPServer):
    """A gateway with files in its inbox, that breaks off where it is told to."""
    daemon_threads = True

    def __init__(self):
        super().__init__((LOOPBACK, 0), Answer)
        self.items, self.contents, self.ranges, self.news = [], {}, [], threading.Condition()
        self.breaks = []  # after so many bytes of an answer each; None: not at all
        self.spoiled = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://{LOOPBACK}:{self.server_port}"

    def receive(self, content, name="report.pdf", state="received", sender="romeo@example.net/orchard", error=None,
                minute=None):
        with self.news:
            identifier = f"in_{len(self.items):026}"
            there = state == "received"
            self.items.append({
                "id": identifier, "object": "inbox_item", "state": state, "final": True, "from": sender,
                "to": "gw@example.org", "caption": None, "created": "2026-11-22T19:00:00.000Z", "error": error,
                "received": f"2026-11-22T20:{len(self.items) if minute is None else minute:02}:00.000Z",
                "file": {"name": name, "size": len(content), "type": "application/pdf",
                         "sha256": hashlib.sha256(content).hexdigest() if there else None}})
            self.contents[identifier] = content
            self.news.notify_all()
        return identifier

    def list(self, asked):
        """Newest first, as the gateway's."""
        after = [item["received"] for item in self.items if item["id"] == asked.get("after")]
        return [item for item in reversed(self.items) if item["state"] == asked.get("state", "received") and
                item["received"] > (after or [""])[0] and item["from"].startswith(asked.get("from", ""))]


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def find(self):
        path = urllib.parse.urlsplit(self.path).path.split("/")
        found = [item for item in self.server.items if item["id"] == path[3]]
        if not found:
            self.say(404, {"code": "not_found", "title": "Not found", "status": 404})
        return found[0] if found else None, path[4:]

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path != "/v1/inbox":
            item, what = self.find()
            if item:
                self.content(item) if what else self.say(200, item)
            return
        asked = dict(urllib.parse.parse_qsl(url.query))
        with self.server.news:
            self.server.news.wait_for(lambda: self.server.list(asked), float(asked.get("wait", 0)))
            page = self.server.list(asked)[:int(asked["limit"])]
        self.say(200, {"items": page, "next": None})

    def content(self, item):
        content, asked = self.server.contents[item["id"]], self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked[len("bytes="):-1]) if asked else 0
        rest = content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", item["file"]["type"])
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.spoiled:
            rest = bytes(len(rest))
        end = self.server.breaks.pop(0) if self.server.breaks else None
        self.wfile.write(rest[:end])
        if end is not None:
            self.close_connection = True

    def do_DELETE(self):
        item, _ = self.find()
        if item:
            self.server.items.remove(item)
            self.say(200, item)


class CommandLine(Commands, Case):
    def setUp(self):
        super().setUp()
        self.inbox = StandIn()
        self.addCleanup(self.inbox.server_close)
        self.addCleanup(self.inbox.shutdown)
        self.here = self.path("here")
        self.here.mkdir()
        self.content = os.urandom(3_000_000)

    def start_cli(self, *words, **options):
        return subprocess.Popen([self.program, *map(str, words)], env=self.environment(self.inbox), cwd=self.here,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def cli(self, *words, code=0):
        process = self.start_cli(*words)
        out, said = process.communicate(timeout=60)
        self.said = said.decode()
        self.assertEqual(process.returncode, code, out[-2000:].decode(errors="replace") + self.said)
        self.assertNotIn("ERROR: ", self.said)
        return out

    def files(self):
        return sorted(path.name for path in self.here.iterdir())

    def test_a_file_is_saved_under_its_name_and_never_over_another(self):
        one = self.inbox.receive(self.content)
        told = json.loads(self.cli("inbox", "get", one))
        self.assertEqual((told["id"], told["saved"]), (one, "report.pdf"))
        self.assertEqual((self.here / "report.pdf").read_bytes(), self.content)
        (self.here / "report.pdf").write_text("mine")
        self.cli("inbox", "get", one, code=2)
        self.assertIn("report.pdf is there already; --force", self.said)
        self.assertEqual((self.here / "report.pdf").read_text(), "mine")
        self.cli("inbox", "get", "--force", one)
        self.assertEqual((self.here / "report.pdf").read_bytes(), self.content)
        (self.here / "folder").mkdir()
        self.cli("inbox", "get", one, "folder")
        self.assertEqual((self.here / "folder" / "report.pdf").read_bytes(), self.content)
        self.cli("inbox", "get", one, "other.pdf")
        self.assertEqual((self.here / "other.pdf").read_bytes(), self.content)
        self.assertEqual(self.cli("inbox", "get", one, "-"), self.content)
        self.assertEqual(self.files(), ["folder", "other.pdf", "report.pdf"])

    def test_a_name_leads_nowhere_else_and_hides_nothing(self):
        for name, saved in ((".bashrc", "_.bashrc"), ("../up", "_.._up"), ("/etc/passwd", "_etc_passwd")):
            one = self.inbox.receive(b"x", name)
            self.assertEqual(json.loads(self.cli("inbox", "get", one))["saved"], saved)
            self.assertEqual((self.here / saved).read_bytes(), b"x")

    def test_nothing_is_a_file_too(self):
        self.cli("inbox", "get", self.inbox.receive(b"", "empty"))
        self.assertEqual((self.here / "empty").read_bytes(), b"")

    def test_what_breaks_off_goes_on_by_itself(self):
        one = self.inbox.receive(self.content)
        self.inbox.breaks = [1_000_000, 500_000]
        self.cli("inbox", "get", one)
        self.assertEqual((self.here / "report.pdf").read_bytes(), self.content)
        self.assertEqual(self.inbox.ranges, [None, "bytes=1000000-", "bytes=1500000-"])

    def test_what_was_given_up_goes_on_with_the_same_command(self):
        one = self.inbox.receive(self.content)
        self.inbox.breaks = [1_000_000] + [0] * 9
        self.cli("inbox", "get", one, code=8)
        self.assertIn("the same command goes on from there", self.said)
        self.assertEqual(self.files(), [f".{one}.part"])
        self.inbox.breaks, self.inbox.ranges = [], []
        self.cli("inbox", "get", one)
        self.assertEqual(self.inbox.ranges, ["bytes=1000000-"])
        self.assertEqual((self.here / "report.pdf").read_bytes(), self.content)
        self.assertEqual(self.files(), ["report.pdf"])

    def test_what_is_damaged_is_not_kept(self):
        one = self.inbox.receive(self.content)
        self.inbox.spoiled = True
        self.cli("inbox", "get", one, code=6)
        self.assertIn("is damaged", self.said)
        self.assertEqual(self.files(), [])
        self.cli("inbox", "get", one, "-", code=6)

    def test_what_is_not_there_says_so(self):
        failed = self.inbox.receive(b"", state="failed", error={"title": "The stream ended before the file did"})
        for words, code, says in (((NOBODY,), 4, "Not found"), ((failed,), 6, "The stream ended before the file did"),
                                  ((), 2, "which file?"), ((NOBODY, "a", "b"), 2, ""), (("--next", "a", "b"), 2, "--next"),
                                  ((NOBODY, "--wait"), 2, "go with --next")):
            self.cli("inbox", "get", *words, code=code)
            self.assertIn(says, self.said)
        self.assertEqual(self.files(), [])

    def test_the_next_file_is_waited_for(self):
        self.inbox.receive(b"old", "old")
        process = self.start_cli("inbox", "get", "--next", "--wait=30s", "--from", "juliet@example.net")
        self.addCleanup(process.kill)
        wait_until(lambda: self.inbox.news._waiters, 20, "it waits")
        self.inbox.receive(b"another", "another")
        one = self.inbox.receive(b"next", "next", sender="juliet@example.net/x")
        out, said = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, said)
        self.assertEqual(json.loads(out)["id"], one)
        self.assertEqual(self.files(), ["next"])

    def test_after_one_comes_the_next_and_nothing_is_missed(self):
        ids = [self.inbox.receive(name.encode(), name) for name in "abc"]
        told = json.loads(self.cli("inbox", "get", "--next", "--after", ids[0]))
        self.assertEqual(told["id"], ids[1])
        self.assertEqual(self.files(), ["b"])
        self.cli("inbox", "get", "--next", "--after", ids[2], "--wait=1s", code=124)
        self.cli("inbox", "get", "--next", "--after", ids[1], "--rm")
        self.assertEqual([item["id"] for item in self.inbox.items], ids[:2])

    def test_next_is_what_is_received_next_whichever_began_first(self):
        late, early, first = (self.inbox.receive(b"x", name, minute=minute)
                              for name, minute in (("late", 9), ("early", 2), ("first", 1)))
        self.assertEqual(json.loads(self.cli("inbox", "get", "--next", "--after", first))["id"], early)
        self.assertEqual(json.loads(self.cli("inbox", "get", "--next", "--after", early))["id"], late)
        self.cli("inbox", "get", "--next", "--wait=1s", code=124)

    def test_waiting_ends_with_ctrl_c(self):
        process = self.start_cli("inbox", "get", "--next")
        self.addCleanup(process.kill)
        wait_until(lambda: self.inbox.news._waiters, 20, "it waits")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130)

    def test_ls_lists_and_rm_deletes(self):
        ids = [self.inbox.receive(name.encode(), name) for name in "abc"]
        bad = self.inbox.receive(b"", "d", state="failed")
        lines = [json.loads(line)["id"] for line in self.cli("inbox", "ls").splitlines()]
        self.assertEqual(lines, ids[::-1])
        self.assertEqual([json.loads(line)["id"] for line in self.cli("inbox", "ls", "--state=failed").splitlines()], [bad])
        self.assertEqual(len(self.cli("inbox", "ls", "--after", ids[1], "--wait").splitlines()), 1)
        terminal = self.terminal(self.inbox, "inbox", "ls")
        self.assertEqual(terminal.end(), 0)
        self.assertRegex(terminal.text, f"(?s)ID +STATE.*{ids[2]} +received.*1 B +romeo@example.net/orchard +c")
        told = [json.loads(line)["id"] for line in self.cli("inbox", "rm", ids[0], NOBODY, ids[1], code=4).splitlines()]
        self.assertEqual(told, ids[:2])
        self.assertEqual([item["id"] for item in self.inbox.items], [ids[2], bad])
