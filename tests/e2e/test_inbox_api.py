"""What callers see of a file that somebody sent: the list, the wait, events, webhooks, its bytes by ranges, its end."""
import hashlib
import threading
from pathlib import Path

import test_webhooks
from case import Case
from lab import DOMAIN, wait_until
from test_events import Stream

US = f"gateway@{DOMAIN}"
RECEIVING = {"INBOX_ACCEPT": f"*@{DOMAIN}", "EGRESS_ALLOW_NETS": "127.0.0.0/8"}


class InboxForCallers(Case):
    settings = RECEIVING
    receiver, configure, hooked, verify, assertSigned = (getattr(test_webhooks.Webhooks, name) for name in (
        "receiver", "configure", "hooked", "verify", "assertSigned"))
    url, secret = map(staticmethod, (test_webhooks.Webhooks.url, test_webhooks.Webhooks.secret))

    def setUp(self):
        super().setUp()
        self.sender = self.recipient("bob")

    def receive(self, gateway, size=100_000, name="sent.bin"):
        """A file that arrived, as the inbox shows it, its bytes and what the long poll said."""
        path, _ = self.file(size, name)
        told = []
        waiting = threading.Thread(target=lambda: told.append(gateway.get("/v1/inbox?wait=30&limit=1", seconds=60)))
        waiting.start()
        self.assertEqual(self.sender.send(f"{US}/jidpost", "si-ibb", path)["event"], "sent")
        waiting.join(60)
        item, = told[0].json["items"]
        return item, Path(path).read_bytes()

    def test_it_is_waited_for_fetched_in_three_pieces_and_deleted(self):
        gateway = self.gateway()
        item, content = self.receive(gateway)
        self.assertEqual((item["state"], item["from"], item["to"]), ("received", self.sender.jid, US))
        self.assertEqual(item["file"]["sha256"], hashlib.sha256(content).hexdigest())
        self.assertEqual(gateway.get(item["links"]["self"]).json, item)
        got = b""
        for part in "bytes=0-9999", "bytes=10000-49999", "bytes=50000-":
            answer = gateway.get(item["links"]["content"], headers={"Range": part, "If-Range": f'"{item["file"]["sha256"]}"'})
            self.assertEqual(answer.status, 206)
            got += answer.body
        self.assertEqual(got, content)
        self.assertEqual(gateway.get(f"/v1/inbox?wait=1s&after={item['id']}").json["items"], [])
        self.assertEqual(gateway.request("DELETE", item["links"]["self"]).json["id"], item["id"])
        self.assertEqual(gateway.get(item["links"]["content"]).status, 404)
        self.assertEqual(gateway.get("/v1/inbox").json["items"], [])

    def test_streams_and_webhooks_tell_of_it_once(self):
        receiver = self.receiver()
        gateway = self.hooked(ours={"url": self.url(receiver.port), "events": "inbox.received", "to": US},
                              others={"url": self.url(receiver.port, "/no"), "events": "inbox.received", "to": "x@*"})
        stream = Stream(gateway, "/v1/events?type=inbox.received")
        self.addCleanup(stream.close)
        first, _ = self.receive(gateway, name="a.bin")
        told = stream.event()
        self.assertEqual((told["event"], told["body"]["data"]), ("inbox.received", {"item": first}))
        got, = receiver.wait(1)
        self.assertSigned([got], self.keys["ours"])
        self.assertEqual((got.path, got.type, got.json["data"]), ("/hook", "inbox.received", {"item": first}))
        gateway.request("DELETE", first["links"]["self"])
        second, _ = self.receive(gateway, name="b.bin")
        self.assertEqual([got.json["data"]["item"]["id"] for got in receiver.wait(2)], [first["id"], second["id"]])

    def test_after_a_small_file_comes_the_large_one_that_began_before_it(self):
        gateway = self.gateway()
        large, _ = self.file(300_000, "large.bin")
        slow = self.recipient("carol")
        slow.command(f"send {US}/jidpost si-ibb {large}")
        wait_until(lambda: gateway.get("/v1/inbox?state=receiving").json["items"], 30, "it begins to come")
        small, _ = self.receive(gateway, 10, "small.bin")
        self.assertEqual(small["file"]["name"], "small.bin")
        last = gateway.get(f"/v1/inbox?wait=60&after={small['id']}", seconds=90).json["items"]
        self.assertEqual([item["file"]["name"] for item in last], ["large.bin"])
        self.assertLess(last[0]["id"], small["id"])
