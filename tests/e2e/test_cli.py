"""The command line as a caller uses it: what it sends, what it prints to people and to programs, how it ends."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from case import Case, DIRECT, QUICK
from gateway import SANITIZER
from lab import DOMAIN, LOOPBACK, Ports, wait_until
from peers import BUILD
from test_webhooks import Receiver

NOBODY = "tr_" + "0" * 26


class Terminal:
    """A program on a terminal of its own; text: all that it showed."""

    def __init__(self, argv, environment, columns=100):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, dict(environment, TERM="xterm", COLUMNS=str(columns)))
        self.text = ""

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
                return True
            except OSError:
                return False
        return True

    def wait_for(self, pattern, seconds=30):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            if not self.read(0.1) or time.monotonic() > deadline:
                raise AssertionError(f"no {pattern} on the terminal, but:\n{self.text}")

    def end(self, seconds=30):
        deadline = time.monotonic() + seconds
        while self.read(0.1) and time.monotonic() < deadline:
            pass
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class Commands:
    """The program as a caller starts it: url and token by the environment, no configuration."""
    token = None

    def environment(self, gateway, **more):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JIDPOST_")}
        environment.update(ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1")
        if gateway:
            environment["JIDPOST_URL"] = gateway.url
        if self.token:
            environment["JIDPOST_TOKEN"] = self.token
        return {**environment, **more}

    @property
    def program(self):
        return str(BUILD / self.build / "jidpost")

    def run_cli(self, gateway, *words, code=0, seconds=60, input=b"", **more):
        done = subprocess.run([self.program, *map(str, words)], env=self.environment(gateway, **more),
                              capture_output=True, timeout=seconds, input=input)
        self.said = done.stderr.decode()
        self.assertNotRegex(self.said, SANITIZER)
        self.assertEqual(done.returncode, code, done.stdout.decode() + self.said)
        return done.stdout.decode()

    def lines(self, gateway, *words, **options):
        return [json.loads(line) for line in self.run_cli(gateway, *words, **options).splitlines()]

    def terminal(self, gateway, *words, **more):
        return Terminal([self.program, *map(str, words)], self.environment(gateway, **more))


class Sending(Commands, Case):
    def test_a_file_is_handed_over_and_arrives(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        path, digest = self.file(100_000, "report one.pdf")
        sent, = self.lines(gateway, "send", path, f"alice@{DOMAIN}")
        self.assertEqual(sent["file"]["name"], "report one.pdf")
        peer.wait("file", sha256=digest)

    def test_two_files_go_to_two_people_and_are_waited_for(self):
        gateway = self.gateway(**DIRECT)
        people = self.recipient("alice"), self.recipient("bob")
        files = [self.file(size, f"{size}.bin") for size in (1000, 2_000_000)]
        told = self.lines(gateway, "send", "--wait=60s", *(path for path, _ in files), "--to", people[0].jid, "--to",
                          people[1].jid)
        ends = [transfer for transfer in told if transfer["final"]]
        self.assertEqual([transfer["state"] for transfer in ends], ["delivered"] * 4)
        self.assertEqual({(transfer["to"], transfer["file"]["name"]) for transfer in ends},
                         {(peer.jid, path.name) for peer in people for path, _ in files})
        for peer in people:
            for _, digest in files:
                peer.wait("file", sha256=digest)

    def test_a_file_for_several_is_uploaded_once(self):
        gateway = self.gateway(DELIVERY_HOLD="1h", SPOOL_MAX_BYTES="3M", SPOOL_MAX_FILE="3M")
        path, _ = self.file(2_000_000, 'ä "x".bin')
        people = [f"{name}@{DOMAIN}" for name in ("alice", "bob", "carol")]
        to = [word for jid in people for word in ("--to", jid)]
        told = self.lines(gateway, "send", path, *to, "--caption", "für & dich", "--label", "job:x")
        self.assertEqual([(t["to"], t["file"]["name"], t["caption"], t["labels"]) for t in told],
                         [(jid, path.name, "für & dich", {"job": "x"}) for jid in people])
        self.assertEqual(len({t["batch"] for t in told}), 1)
        self.run_cli(gateway, "send", path, *to, code=7)
        self.assertIn("spool", self.said)
        self.run_cli(gateway, "send", path, *to[:2], "--to", "@@", code=2)
        self.assertEqual(len(gateway.get("/v1/transfers").json["items"]), 3)

    def test_the_standard_input_gets_a_name_and_the_options_reach_the_gateway(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        told = self.lines(gateway, "send", "-", "--name", "täglich.txt", "--caption", "für & dich", "--mode=spool",
                          "--methods", "si-s5b", "--ttl", "5m", "--wait", peer.jid, input=b"hello")
        self.assertEqual(told[-1]["state"], "delivered")
        self.assertEqual((told[-1]["file"]["name"], told[-1]["caption"], told[-1]["mode"]),
                         ("täglich.txt", "für & dich", "spool"))
        peer.wait("file", size=5)

    def test_each_change_of_state_is_one_line_of_json(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "hold")
        path, _ = self.file(3_000_000)
        sender = subprocess.Popen([self.program, "send", "--wait", str(path), peer.jid], stdout=subprocess.PIPE,
                                  env=self.environment(gateway))
        self.addCleanup(sender.kill)
        states = []
        for line in sender.stdout:
            states.append(json.loads(line)["state"])
            if states[-1] == "transferring":
                peer.command("go")
        self.assertEqual(sender.wait(30), 0)
        self.assertEqual(states[-2:], ["transferring", "delivered"])
        self.assertEqual(len(set(states)), len(states), "each once")
        sender.stdout.close()

    def test_a_terminal_shows_one_line_that_moves_and_how_it_ended(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "hold")
        path, _ = self.file(20_000_000)
        terminal = self.terminal(gateway, "send", "--wait", path, peer.jid)
        terminal.wait_for(r"transferring \d+%.*si-s5b direct")
        peer.command("go")
        self.assertEqual(terminal.end(), 0, terminal.text)
        lines = terminal.text.rstrip().split("\n")
        self.assertEqual(len(lines), 1, terminal.text)
        self.assertIn("\r", lines[0])
        self.assertRegex(lines[0], r"\x1b\[32mfile\.bin to alice@localhost/desk: delivered 19 MiB, si-s5b direct, "
                                   r".*peer_closed, tr_\w+\x1b\[0m")

    def test_no_color_means_no_colour(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        path, _ = self.file(1000)
        terminal = self.terminal(gateway, "send", "--wait", path, peer.jid, NO_COLOR="1")
        self.assertEqual(terminal.end(), 0, terminal.text)
        self.assertIn("delivered", terminal.text)
        self.assertNotIn("\x1b[3", terminal.text)

    def test_quiet_is_quiet_and_json_is_json_on_a_terminal(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        path, _ = self.file(1000)
        self.assertEqual(self.run_cli(gateway, "send", "-q", "--wait", path, peer.jid) + self.said, "")
        terminal = self.terminal(gateway, "send", "--json", "--wait", path, peer.jid)
        self.assertEqual(terminal.end(), 0, terminal.text)
        self.assertEqual(json.loads(terminal.text.splitlines()[-1])["state"], "delivered")

    def test_what_is_interrupted_goes_on_and_says_how_to_go_on(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "hold")
        path, _ = self.file(20_000_000)
        terminal = self.terminal(gateway, "send", "--wait", path, peer.jid)
        terminal.wait_for("transferring")
        os.write(terminal.fd, b"\x03")
        self.assertEqual(terminal.end(), 130, terminal.text)
        identifier = re.search(r"interrupted; (tr_\w+) goes on: jidpost watch tr_", terminal.text).group(1)
        peer.command("go")
        told = self.lines(gateway, "watch", identifier)
        self.assertEqual((told[-1]["id"], told[-1]["state"]), (identifier, "delivered"))


class Ends(Commands, Case):
    """Scripts go by the exit status, people by what stands on stderr."""

    def test_a_recipient_who_is_offline_is_5(self):
        gateway = self.gateway(**QUICK)
        path, _ = self.file(1000)
        told = self.lines(gateway, "send", "--wait", path, f"alice@{DOMAIN}", code=5)
        self.assertEqual(told[-1]["error"]["code"], "recipient_offline")
        self.assertRegex(self.said, "(?s)jidpost: tr_.* failed: The recipient is offline: .*\n  hint: ")

    def test_a_wrong_token_is_3_and_is_shown_nowhere(self):
        gateway = self.gateway(HTTP_TOKEN="the-right-token-of-the-gateway")
        path, _ = self.file(1000)
        self.token = "a-wrong-token-for-the-gateway"
        self.assertEqual(self.run_cli(gateway, "send", path, f"alice@{DOMAIN}", code=3), "")
        self.assertIn("The token is not accepted", self.said)
        self.assertNotIn(self.token, self.said)
        file = self.path("token")
        file.write_text("the-right-token-of-the-gateway\n")
        self.run_cli(gateway, "send", path, f"alice@{DOMAIN}", "--token-file", file)
        self.token = None
        self.run_cli(gateway, "ls", code=3)
        self.run_cli(gateway, "ls", JIDPOST_TOKEN_FILE=str(file))

    def test_an_unknown_id_is_4(self):
        gateway = self.gateway()
        for words in ("status", NOBODY), ("watch", NOBODY), ("cancel", NOBODY), ("retry", NOBODY), ("status", "../x"):
            self.run_cli(gateway, *words, code=4)
            self.assertIn("Not found", self.said)

    def test_no_gateway_is_8(self):
        self.run_cli(None, "ls", code=8, JIDPOST_URL=f"http://{LOOPBACK}:{Ports.take()}")
        self.assertIn("does not answer", self.said)
        self.assertIn("hint:", self.said)

    def test_a_token_in_the_url_is_not_repeated(self):
        port = Ports.take()
        for url, code in ((f"http://me:se@cret@{LOOPBACK}:{port}", 8), (f"http://me:cr/et@{LOOPBACK}:{port}", 8),
                          ("HTTP://me:secret@host", 2), ("me:secret@host", 2)):
            self.run_cli(None, "ls", code=code, JIDPOST_URL=url)
            self.assertNotRegex(self.said, "cr/?et", url)

    def test_the_time_that_is_over_is_124_and_the_transfer_goes_on(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "ignore")
        path, _ = self.file(1000)
        told = self.lines(gateway, "send", "--wait=1s", path, peer.jid, code=124)
        self.assertIn("goes on: jidpost watch " + told[0]["id"], self.said)
        self.assertFalse(gateway.transfer(told[0]["id"])["final"])

    def test_what_cannot_be_asked_is_2(self):
        gateway = self.gateway()
        path, _ = self.file(1000)
        for words, says in ((("send", path), "to whom?"), (("send", "nothing.bin", "a@b"), "nothing.bin"),
                            (("send", "-", "--to", "a@b", "--to", "c@d"), "can be read once"),
                            (("send", "--mode=soon", path, "a@b"), "auto spool stream"),
                            (("send", "--wait=soon", path, "a@b"), "write a time"),
                            (("send", "--ttl=soon", path, f"alice@{DOMAIN}"), "ttl"),
                            (("send", str(path.parent), "a@b"), "is a folder"), (("send", path, "@@"), "address"),
                            (("ls", "--url", "gopher://x"), "leads to no gateway"), (("ls", "--limit=x"), "limit")):
            self.run_cli(gateway, *words, code=2)
            self.assertIn(says, self.said, words)


class Looking(Commands, Case):
    def test_cancel_ends_it_and_watch_and_status_tell(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice", "--behave", "ignore")
        path, _ = self.file(1000)
        sent, = self.lines(gateway, "send", path, peer.jid)
        gateway.wait_state(sent["id"], "offering")
        watching = subprocess.Popen([self.program, "watch", sent["id"]], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, env=self.environment(gateway))
        self.addCleanup(watching.kill)
        self.assertEqual(json.loads(watching.stdout.readline())["state"], "offering")
        cancelled, = self.lines(gateway, "cancel", sent["id"])
        self.assertEqual(cancelled["state"], "cancelled")
        out, said = watching.communicate(timeout=30)
        self.assertEqual(json.loads(out.splitlines()[-1])["state"], "cancelled")
        self.assertEqual(watching.returncode, 5, said)
        status, = self.lines(gateway, "status", sent["id"])
        self.assertEqual(status["state"], "cancelled")
        terminal = self.terminal(gateway, "status", sent["id"])
        self.assertEqual(terminal.end(), 0)
        self.assertRegex(terminal.text, r"state +cancelled")

    def test_retry_sends_the_file_that_was_kept(self):
        gateway = self.gateway(**DIRECT, **QUICK, SPOOL_RETENTION="1h")
        path, digest = self.file(1000)
        sent = self.lines(gateway, "send", "--wait", path, f"alice@{DOMAIN}", code=5)[-1]
        peer = self.recipient("alice")
        wait_until(lambda: gateway.get(f"/v1/recipients/alice@{DOMAIN}").json["reachable"], 20, "alice is there")
        told = self.lines(gateway, "retry", "--wait", sent["id"])
        self.assertEqual((told[-1]["id"], told[-1]["state"]), (sent["id"], "delivered"))
        peer.wait("file", sha256=digest)

    def test_ls_lists_by_state_recipient_label_and_age(self):
        gateway, peer = self.gateway(**DIRECT, **QUICK), self.recipient("alice")
        path, _ = self.file(1000)
        good = self.lines(gateway, "send", "--wait", path, peer.jid, "--label", "job:a b", "--label", "n:1")[-1]
        bad = self.lines(gateway, "send", "--wait", path, f"bob@{DOMAIN}", code=5)[-1]
        for words, want in (((), [bad, good]), (("--state", "failed"), [bad]), (("--to", peer.jid), [good]),
                            (("--since", "1h"), [bad, good]), (("--label", "n:1", "--label", "job:a b"), [good]),
                            (("--label", "n:2"), []), (("--limit", "1"), [bad]),
                            (("--since", "2999-01-01T00:00:00Z"), [])):
            self.assertEqual([t["id"] for t in self.lines(gateway, "ls", *words)], [t["id"] for t in want], words)
        terminal = self.terminal(gateway, "ls")
        self.assertEqual(terminal.end(), 0)
        self.assertRegex(terminal.text, f"(?s)ID +STATE.*{bad['id']}.*failed.*{good['id']}.*delivered")

    def test_watching_all_tells_each_transfer_until_interrupted(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        path, _ = self.file(1000)
        watching = subprocess.Popen([self.program, "watch"], stdout=subprocess.PIPE, env=self.environment(gateway))
        self.addCleanup(watching.kill)
        sent, = self.lines(gateway, "send", path, peer.jid)
        for line in watching.stdout:
            told = json.loads(line)
            if (told.get("id"), told.get("state")) == (sent["id"], "delivered"):
                break
        watching.send_signal(signal.SIGINT)
        self.assertEqual(watching.wait(20), 0)
        watching.stdout.close()

    def test_watching_ends_with_its_reader(self):
        gateway, peer = self.gateway(**DIRECT), self.recipient("alice")
        path, _ = self.file(1000)
        watching = subprocess.Popen([self.program, "watch"], stdout=subprocess.PIPE, env=self.environment(gateway))
        self.addCleanup(watching.kill)
        self.lines(gateway, "send", "--wait", path, peer.jid)
        self.assertTrue(watching.stdout.readline())
        watching.stdout.close()
        self.lines(gateway, "send", "--wait", path, peer.jid)
        self.assertEqual(watching.wait(20), -signal.SIGPIPE)

    def test_the_configuration_of_this_machine_says_where_the_gateway_is(self):
        port, path = Ports.take(), self.path("jidpost.ini")
        path.write_text(f"[http]\nlisten = {LOOPBACK}:{port}\ntoken = the-right-token-of-the-gateway\n")
        gateway = self.gateway(HTTP_LISTEN=f"{LOOPBACK}:{port}", HTTP_TOKEN="the-right-token-of-the-gateway",
                               HTTP_UNIX=str(self.directory / "s"), start=False)
        gateway.headers = {"Authorization": "Bearer the-right-token-of-the-gateway"}
        gateway.start()
        self.run_cli(None, "ls", "--config", path)
        self.run_cli(None, "ls", "--config", path, "--http.listen=:1", f"--http.unix={self.directory / 's'}")
        self.run_cli(None, "ls", "--config", path, "--http.listen=:1", code=8)
        self.run_cli(None, "ls", "--config", path, "--http.tls_cert=x", code=2)
        self.run_cli(None, "ls", "--url", f"unix:{self.directory / 's'}", code=3)


class Told(BaseHTTPRequestHandler):
    """A gateway that has events: what it tells is what its server has in told."""
    protocol_version = "HTTP/1.0"

    def do_GET(self):
        if self.path.endswith("/events"):
            self.server.asked.append(self.headers.get("Last-Event-ID"))
            self.answer("text/event-stream", self.server.told.pop(0))
        else:
            self.answer("application/json", json.dumps(self.server.transfer))

    def answer(self, kind, text):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Events(Commands, Case):
    def serve(self, transfer, told):
        server = ThreadingHTTPServer((LOOPBACK, 0), Told)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        server.transfer, server.told, server.asked = transfer, told, []
        return server

    @staticmethod
    def url(server):
        return f"http://{LOOPBACK}:{server.server_port}"

    @staticmethod
    def transfer(state, final=False, second=0):
        return {"id": "tr_1", "state": state, "final": final, "to": "a@b", "file": {"name": "x", "size": 1},
                "updated": f"2026-01-02T03:04:{second:02}.000Z"}

    def event(self, number, state, final=False):
        data = {"type": "transfer." + state, "data": {"transfer": self.transfer(state, final, number)}}
        return f"id: {number}\r\nevent: transfer.{state}\r\ndata: {json.dumps(data)}\r\n\r\n"

    def test_they_are_followed_over_a_broken_stream(self):
        server = self.serve(self.transfer("queued"), [
            "retry: 3000\n\n" + self.event(7, "offering") + ": ping\n\nid: 8\nevent: transfer.conn",
            self.event(9, "delivered", True)])
        told = self.lines(None, "watch", "tr_1", JIDPOST_URL=self.url(server))
        self.assertEqual([t["state"] for t in told], ["queued", "offering", "delivered"])
        self.assertEqual(server.asked[0], None)
        self.assertIn(server.asked[1], ("7", "8"))

    def test_of_all_the_list_may_be_ahead_of_the_events_and_nothing_is_told_twice(self):
        states = "offering", "accepted", "transferring"
        server = self.serve({"items": [self.transfer("transferring", second=3)]}, [
            "retry: 3000\n\n" + "".join(self.event(n + 1, state) for n, state in enumerate(states)) +
            self.event(4, "delivered", True)])
        watching = subprocess.Popen([self.program, "watch"], stdout=subprocess.PIPE,
                                    env=self.environment(None, JIDPOST_URL=self.url(server)))
        self.addCleanup(watching.stdout.close)
        self.addCleanup(watching.wait)
        self.addCleanup(watching.kill)
        self.assertEqual([json.loads(watching.stdout.readline())["state"] for _ in range(2)],
                         ["transferring", "delivered"])


class Webhooks(Commands, Case):
    SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the Standard Webhooks specification

    def verify(self, code=0, body=b'{"test": 2432232314}', timestamp=None, **more):
        import base64
        import hashlib
        import hmac
        timestamp = str(int(time.time()) if timestamp is None else timestamp)
        key = base64.b64decode(self.SECRET[6:])
        mac = hmac.new(key, b"msg_1." + timestamp.encode() + b'.{"test": 2432232314}', hashlib.sha256).digest()
        secret = self.path("secret")
        secret.write_text(more.get("secret", self.SECRET) + "\n")
        return self.run_cli(None, "webhook", "verify", "--id", "msg_1", "--timestamp", timestamp, "--signature",
                            "v1,AAAA v1," + base64.b64encode(mac).decode(), "--secret-file", secret, code=code,
                            input=body)

    def test_a_signature_is_checked(self):
        self.assertIn("right", self.verify())
        self.verify(code=3, body=b'{"test": 2432232315}')
        self.assertIn("the signature is wrong", self.said)
        self.verify(code=3, timestamp=int(time.time()) - 400)
        self.verify(code=3, secret="whsec_" + "AAAA" * 8)
        self.verify(code=2, secret="hello")

    def test_a_test_event_arrives_and_its_signature_is_right(self):
        receiver = Receiver()
        self.addCleanup(receiver.stop)
        gateway = self.gateway(start=False)
        file, secret = self.path("jidpost.ini"), self.path("secret")
        file.write_text(f"[webhook hook]\nurl = http://{LOOPBACK}:{receiver.port}/x\nallow_nets = {LOOPBACK}\n"
                        f"secret = {self.SECRET}\n")
        secret.write_text(self.SECRET)
        gateway.arguments = ["--config", str(file)]
        gateway.start()
        self.run_cli(gateway, "webhook", "test", "hook")
        got = receiver.wait(1)[0]
        self.run_cli(None, "webhook", "verify", "--secret-file", secret, "--id", got.headers["webhook-id"], "--timestamp",
                     got.headers["webhook-timestamp"], "--signature", got.headers["webhook-signature"],
                     input=got.body.encode())

    def test_one_that_is_not_there_is_4(self):
        self.run_cli(self.gateway(), "webhook", "test", "nobody", code=4)
