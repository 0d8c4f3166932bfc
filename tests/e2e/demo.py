"""One file, from curl to a real XMPP client, shown step by step: demo.py FILE. Called by scripts/demo."""
import contextlib
import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import peers
from gateway import Gateway
from lab import DOMAIN, LOOPBACK, Prosody


def say(text):
    print(f"\n== {text}", flush=True)


def deliver(directory, upload, finally_):
    say("a private Prosody with two accounts, gateway and ana")
    server = Prosody(directory / "prosody", contacts=("gateway", "ana"), strangers=())
    finally_.callback(server.kill)
    server.start()
    print(f"   XMPP on {LOOPBACK}:{server.port}, its SOCKS5 proxy on {LOOPBACK}:{server.proxy_port}")

    say("the gateway: jidpost serve")
    gateway = Gateway(server, directory / "gateway", build="release", SOCKS5_ADVERTISE=LOOPBACK, LOG_LEVEL="info")
    finally_.callback(gateway.kill)
    gateway.start()
    print(f"   HTTP on {LOOPBACK}:{gateway.port}, logged in as {gateway.get('/v1/xmpp').json['jid']}")

    say("the recipient: slixmpp as ana, saving what it gets")
    inbox = directory / "inbox"
    inbox.mkdir()
    ana = peers.slixmpp(server, "ana", directory / "ana.log", "--dir", str(inbox))
    finally_.callback(ana.kill)
    ana.wait_ready()
    print(f"   online as {ana.jid}")

    say("the upload")
    command = ["curl", "--no-progress-meter", "--fail-with-body", "-T", str(upload),
               f"http://{LOOPBACK}:{gateway.port}/v1/to/ana@{DOMAIN}%2Fdesk/?wait=30"]
    print("   $ " + shlex.join(command))
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout.startswith("{"):
        sys.exit(f"curl ended with {done.returncode}: {done.stderr}{done.stdout}\n{gateway.tail()}")
    answer = json.loads(done.stdout)
    say("what the gateway did, step by step")
    for step in answer.get("transfer", answer)["timeline"]:
        print("   " + json.dumps(step))
    if done.returncode:
        sys.exit(f"\nFAILED: {answer['title']}: {answer['detail']}\n{answer['hint']}\n{gateway.tail()}")
    say("the transfer")
    answer.pop("timeline")
    print(json.dumps(answer, indent=3))

    ana.wait("file")
    gateway.stop()
    return inbox / upload.name


def main():
    upload = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="jidpost-demo-") as directory, contextlib.ExitStack() as finally_:
        received = deliver(Path(directory), upload, finally_)
        sent_sum, received_sum = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (upload, received))
        say("SHA-256 at both ends")
        print(f"   {sent_sum}  {upload}\n   {received_sum}  {received}")
        if sent_sum != received_sum:
            sys.exit("\nFAILED: the file arrived changed.")
    print("\nSUCCESS: the file arrived whole.")


main()
