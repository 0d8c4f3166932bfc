"""openapi.yaml held against the program: by our own test of the contract, by a proxy that holds every request and every
answer against it, and by a client generated from it."""
import json
import shutil
import subprocess
import sys

import test_recipients
from case import Case, DIRECT
from gateway import Client, Gateway
from lab import LOOPBACK, Ports, Process, wait_until
from peers import HERE

TESTS = HERE.parent
CONTRACT = TESTS / "contract"
NPM = TESTS / "node_modules" / ".bin"
TOKEN = "contract-token-for-tests"

sys.path.insert(0, str(CONTRACT))
from violations import violations  # noqa: E402

WEBHOOK = f"""
[webhook contract]
url = http://127.0.0.1:1/
allow_nets = 127.0.0.1
secret = whsec_{"A" * 43}=
"""


PASSES_AT_MOST = 8 << 20  # of a body, by Prism


class Validator(Client):
    """Prism in front of a gateway: it passes everything on, and tells in a header what is not as described."""

    def __init__(self, upstream, log):
        super().__init__(Ports.take())
        self.process = Process([str(NPM / "prism"), "proxy", str(TESTS.parent / "openapi.yaml"), upstream,
                                "-h", LOOPBACK, "-p", str(self.port), "--cors", "false"], log)
        wait_until(lambda: "Prism is listening" in log.read_text(), 60, "Prism is listening")


class ValidatedGateway(Gateway):
    """One that is asked through the validator. The description knows no requests without a token."""
    validator = None

    def __init__(self, *given, **settings):
        super().__init__(*given, HTTP_TOKEN=TOKEN, **settings)
        self.headers["Authorization"] = f"Bearer {TOKEN}"

    def request(self, method, target, body=None, headers=None, seconds=60):
        if len(body or b"") > PASSES_AT_MOST:
            return super().request(method, target, body, headers, seconds)
        answer = self.validator.request(method, target, body, {**self.headers, **(headers or {})}, seconds)
        found = violations(answer.status, answer.headers)
        if found:
            raise AssertionError(f"{method} {target}: {found}")
        return answer


class Validated:
    """Tests of others once more, and the validator hears each word. It is slow to start: one for the whole class, whose
    gateways take turns behind it."""
    gateway_class = ValidatedGateway

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.port = Ports.take()
        cls.validator = Validator(f"http://{LOOPBACK}:{cls.port}", cls.directory / "prism.log")
        cls.addClassCleanup(cls.validator.process.kill)

    def gateway(self, start=True, **settings):
        gateway = super().gateway(False, HTTP_LISTEN=f"{LOOPBACK}:{self.port}", **settings)
        gateway.validator = self.validator
        return gateway.start() if start else gateway


class Contract(Case):
    def guarded_gateway(self):
        ini = self.path("jidpost.ini")
        ini.write_text(WEBHOOK)
        gateway = self.publishing_gateway(start=False, **DIRECT, HTTP_TOKEN=TOKEN, SPOOL_RETENTION="1h")
        gateway.arguments = ["--config", str(ini)]
        gateway.headers["Authorization"] = f"Bearer {TOKEN}"
        return gateway.start()

    def run_program(self, argv, **options):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, **options)
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-8000:])
        return done.stdout

    def hold_against_the_description(self, url, *options):
        peer, reader = self.recipient("alice"), self.recipient("bob", "--no-streams")
        sent = self.gateways[0].put(reader.jid, b"to be fetched", "a b.txt", wait=60, methods="link").json["id"]
        print(self.run_program(["/usr/bin/python3", str(CONTRACT / "contract_test.py"), "--url", url, "--token", TOKEN,
                                "--to", peer.jid, "--link", reader.wait("message")["body"], "--revoke", sent,
                                "--webhook", "contract", *options]))

    def test_answers_are_as_described(self):
        self.hold_against_the_description(self.guarded_gateway().url)

    def test_a_validating_proxy_before_the_gateway_finds_nothing(self):
        validator = Validator(self.guarded_gateway().url, self.path("prism.log"))
        self.addCleanup(validator.process.kill)
        self.hold_against_the_description(validator.url, "--validator")

    def test_a_generated_client_uploads_and_watches(self):
        gateway = self.guarded_gateway()
        peer = self.recipient("alice")
        work = self.path("client")
        work.mkdir()
        for name in "client.mjs", "tsconfig.json", "node.d.ts":
            shutil.copy(CONTRACT / name, work)
        (work / "node_modules").symlink_to(TESTS / "node_modules")
        self.run_program([str(NPM / "openapi-typescript"), str(TESTS.parent / "openapi.yaml"), "-o", "api.d.ts"], cwd=work)
        self.run_program([str(NPM / "tsc"), "-p", "tsconfig.json"], cwd=work)
        said = self.run_program(["node", "client.mjs", "--url", gateway.url, "--token", TOKEN, "--to", peer.jid], cwd=work)
        seen = {line["saw"]: line for line in map(json.loads, said.splitlines())}
        self.assertEqual(seen["event"]["type"], "transfer.delivered", said)  # the last of them
        self.assertEqual(seen["done"]["state"], "delivered", said)
        received = peer.wait("file", name="from a client.txt")
        self.assertEqual(received["size"], len("made by a generated client\n"))


class ValidatedAddresses(Validated, test_recipients.Addresses):
    pass


class ValidatedRecipients(Validated, test_recipients.RecipientsOnProsody):
    pass
