"""openapi.yaml as its users use it: by a client generated from it, and by a proxy that holds every request and every
answer against it."""
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


class Described(Case):
    def guarded_gateway(self):
        gateway = self.publishing_gateway(**DIRECT, HTTP_TOKEN=TOKEN, SPOOL_RETENTION="1h")
        gateway.headers["Authorization"] = f"Bearer {TOKEN}"
        return gateway

    def run_program(self, argv, **options):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, **options)
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-8000:])
        return done.stdout

    def test_between_the_contract_test_and_the_gateway_the_validator_finds_nothing(self):
        gateway = self.guarded_gateway()
        peer, reader = self.recipient("alice"), self.recipient("bob", "--no-streams")
        sent = gateway.put(reader.jid, b"to be fetched", "a b.txt", wait=60, methods="link").json["id"]
        validator = Validator(gateway.url, self.path("prism.log"))
        self.addCleanup(validator.process.kill)
        said = self.run_program(["/usr/bin/python3", str(CONTRACT / "contract_test.py"), "--url", validator.url,
                                 "--token", TOKEN, "--to", peer.jid, "--link", reader.wait("message")["body"],
                                 "--revoke", sent, "--validator"])
        print(said)

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
        self.assertEqual(seen["done"]["state"], "delivered", said)
        received = peer.wait("file", name="from a client.txt")
        self.assertEqual(received["size"], len("made by a generated client\n"))


class ValidatedAddresses(Validated, test_recipients.Addresses):
    pass


class ValidatedRecipients(Validated, test_recipients.RecipientsOnProsody):
    pass
