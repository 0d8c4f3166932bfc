"""The answers of a running gateway, held against openapi.yaml."""
import subprocess

from case import Case, DIRECT
from lab import LOOPBACK
from peers import HERE


class Contract(Case):
    def test_answers_are_as_described(self):
        gateway = self.gateway(**DIRECT, HTTP_TOKEN="contract-token-for-tests")
        peer = self.recipient("alice")
        done = subprocess.run(["/usr/bin/python3", str(HERE.parent / "contract" / "contract_test.py"),
                               "--url", f"http://{LOOPBACK}:{gateway.port}", "--token", "contract-token-for-tests",
                               "--to", peer.jid], capture_output=True, text=True, timeout=300)
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-8000:])
