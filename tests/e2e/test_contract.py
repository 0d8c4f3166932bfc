"""The answers of a running gateway, held against openapi.yaml."""
import subprocess

from case import Case, DIRECT
from lab import LOOPBACK
from peers import HERE


class Contract(Case):
    def test_answers_are_as_described(self):
        ini = self.path("jidpost.ini")
        ini.write_text("[webhook contract]\nurl = http://127.0.0.1:1/\nallow_nets = 127.0.0.1\n"
                       f"secret = whsec_{'A' * 43}=\n")
        gateway = self.publishing_gateway(start=False, **DIRECT, HTTP_TOKEN="contract-token-for-tests",
                                          SPOOL_RETENTION="1h")
        gateway.arguments = ["--config", str(ini)]
        gateway.start()
        gateway.headers["Authorization"] = "Bearer contract-token-for-tests"
        peer, reader = self.recipient("alice"), self.recipient("bob", "--no-streams")
        sent = gateway.put(reader.jid, b"to be fetched", "a b.txt", wait=60, methods="link").json["id"]
        done = subprocess.run(["/usr/bin/python3", str(HERE.parent / "contract" / "contract_test.py"),
                               "--url", f"http://{LOOPBACK}:{gateway.port}", "--token", "contract-token-for-tests",
                               "--to", peer.jid, "--link", reader.wait("message")["body"], "--revoke", sent,
                               "--webhook", "contract"], capture_output=True, text=True, timeout=300)
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-8000:])
