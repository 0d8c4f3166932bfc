"""Links of our own: the gateway publishes the file where the server's upload service is missing or refuses."""
import hashlib
import os
import socket
import subprocess
import urllib.parse

from case import DIRECT, QUICK, Case
from lab import DOMAIN, wait_until

SIZE = 3000000


class OwnLinks(Case):
    settings = {**DIRECT, **QUICK}

    def publish(self, gateway, size=SIZE, name="holiday photo ä.bin", **query):
        """Sends a file to who takes no streams; the answer, the file's digest, and the link as it arrived."""
        reader = self.recipient("bob", "--no-streams")
        path, digest = self.file(size, name)
        answer = gateway.curl(path, reader.jid, wait=60, **query)
        self.assertLinkSent(answer)
        told = reader.wait("message")
        self.assertEqual(told["body"], told["oob"])
        reader.leave()
        return answer, digest, told

    def assertLinkSent(self, answer):
        self.assertEqual((answer.status, answer.json["state"], answer.json["final"]), (200, "link_sent", True), answer)
        link = answer.json["link"]
        self.assertEqual((link["own"], link["fetched"]), (True, None), link)
        self.assertTrue(link["expires"] > answer.json["finished"], link)

    def curl(self, url, *options):
        """The status, the body, and the header lines."""
        head = self.path("head")
        done = subprocess.run(["curl", "-sS", "--max-time", "30", "-D", str(head), *options, url], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = head.read_text(errors="replace").splitlines()
        return int(lines[0].split()[1]), done.stdout, {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    def assertGone(self, url, status=410, code="gone"):
        got, body, head = self.curl(url)
        self.assertEqual((got, head["content-type"]), (status, "application/problem+json"), body)
        self.assertIn(f'"code":"{code}"'.encode(), body)

    def wait_fetched(self, gateway, identifier):
        return wait_until(lambda: (lambda t: t if t["state"] == "link_fetched" else None)(gateway.transfer(identifier)),
                          15, "link_fetched")

    def test_a_link_is_fetched_at_once(self):
        gateway = self.publishing_gateway()
        answer, digest, told = self.publish(gateway, digest="sha-256")
        self.assertEqual(answer.json["link"]["at"], f"http://127.0.0.1:{gateway.port}")
        self.assertEqual(answer.json["progress"]["sent"], 0)
        self.assertEqual((told["shared"]["name"], told["shared"]["size"]), ("holiday photo ä.bin", str(SIZE)))
        self.assertTrue(told["shared"]["hash"])
        status, body, head = self.curl(told["body"], "-I")
        self.assertEqual((status, body.count(b"\r\n\r\n"), head["content-length"]), (200, 1, str(SIZE)))
        status, body, head = self.curl(told["body"])
        self.assertEqual((status, hashlib.sha256(body).hexdigest()), (200, digest))
        self.assertIn("filename*=UTF-8''holiday%20photo%20%C3%A4.bin", head["content-disposition"])
        fetched = self.wait_fetched(gateway, answer.json["id"])
        self.assertTrue(fetched["link"]["fetched"])
        self.assertEqual(fetched["progress"]["sent"], SIZE)
        self.assertEqual(hashlib.sha256(self.curl(told["body"])[1]).hexdigest(), digest)  # and once more
        self.assertEqual(len(gateway.spooled()), 1)

    def test_a_link_is_fetched_by_ranges(self):
        gateway = self.publishing_gateway()
        answer, digest, told = self.publish(gateway)
        whole = hashlib.sha256()
        for first, last in (0, 999999), (1000000, 1999999), (2000000, ""):
            self.assertEqual(gateway.transfer(answer.json["id"])["state"], "link_sent")
            status, body, head = self.curl(told["body"], "-r", f"{first}-{last}")
            self.assertEqual((status, head["content-range"]), (206, f"bytes {first}-{last or SIZE - 1}/{SIZE}"))
            whole.update(body)
        self.assertEqual(whole.hexdigest(), digest)
        self.wait_fetched(gateway, answer.json["id"])
        status, body, head = self.curl(told["body"], "-r", f"{SIZE}-")
        self.assertEqual((status, head["content-range"]), (416, f"bytes */{SIZE}"))
        self.assertIn(b"range_unsatisfiable", body)

    def test_an_interrupted_download_is_continued(self):
        gateway = self.publishing_gateway()
        _, digest, told = self.publish(gateway)
        path = self.path("resumed")
        path.write_bytes(self.curl(told["body"], "-r", "0-1234567")[1])
        done = subprocess.run(["curl", "-sS", "--fail", "-C", "-", "-o", str(path), told["body"]], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(hashlib.sha256(path.read_bytes()).hexdigest(), digest)

    def test_who_hangs_up_has_not_fetched_it(self):
        gateway = self.publishing_gateway()
        answer, _, told = self.publish(gateway, size=30000000)
        at = urllib.parse.urlsplit(told["body"])
        with socket.create_connection((at.hostname, at.port), 10) as connection:
            connection.sendall(f"GET {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
            self.assertTrue(connection.recv(100000).startswith(b"HTTP/1.1 200"))
        wait_until(lambda: '"route":"/d/{}/{}"' in gateway.log.read_text(), 15, "the end of the request")
        gateway.stop()  # so that all that there was to write is written
        gateway.start()
        self.assertEqual(gateway.transfer(answer.json["id"])["state"], "link_sent")
        self.assertEqual(self.curl(told["body"])[0], 200)
        self.wait_fetched(gateway, answer.json["id"])

    def test_a_link_outlives_a_crash(self):
        gateway = self.publishing_gateway()
        answer, digest, told = self.publish(gateway)
        gateway.kill()
        gateway.start()
        self.assertEqual(hashlib.sha256(self.curl(told["body"])[1]).hexdigest(), digest)
        self.wait_fetched(gateway, answer.json["id"])

    def test_a_link_ends_at_its_time(self):
        gateway = self.publishing_gateway(DELIVERY_LINK_TTL="3s")
        answer, _, told = self.publish(gateway)
        wait_until(lambda: not gateway.spooled(), 15, "an empty spool")
        self.assertGone(told["body"])
        self.assertEqual(gateway.transfer(answer.json["id"])["state"], "link_sent")

    def test_a_link_ends_with_its_transfer(self):
        gateway = self.publishing_gateway()
        answer, _, told = self.publish(gateway)
        target = "/v1/transfers/" + answer.json["id"]
        self.assertEqual(self.curl(told["body"])[0], 200)
        revoked = gateway.request("DELETE", target)
        self.assertEqual(revoked.status, 200, revoked)
        self.assertLess(revoked.json["link"]["expires"], answer.json["link"]["expires"])
        self.assertGone(told["body"])
        wait_until(lambda: not gateway.spooled(), 15, "an empty spool")
        gateway.kill()
        gateway.start()
        self.assertGone(told["body"])

    def test_what_is_no_link_is_not_found(self):
        gateway = self.publishing_gateway()
        _, _, told = self.publish(gateway)
        start, _, name = told["body"].rpartition("/")
        self.assertGone(start + "/another", 404, "not_found")
        self.assertGone(start[:-32] + "0" * 32 + "/" + name, 404, "not_found")
        self.assertGone(start, 404, "not_found")

    def test_no_secret_is_kept_or_told(self):
        gateway = self.publishing_gateway()
        answer, _, told = self.publish(gateway, size=1000)
        secret = urllib.parse.urlsplit(told["body"]).path.split("/")[2]
        self.assertEqual(len(secret), 32)
        self.assertEqual(self.curl(told["body"])[0], 200)
        shown = self.wait_fetched(gateway, answer.json["id"])
        self.assertNotIn(secret, str(shown) + str(answer.json))
        gateway.stop()
        for path in gateway.directory.rglob("*"):
            if path.is_file():
                self.assertNotIn(secret.encode(), path.read_bytes(), path)


class ServiceBeforeOwnLink(Case):
    """A server with an upload service that takes 100,000 bytes."""
    settings = {**DIRECT, **QUICK}
    server_options = {"upload": 100000}

    def send(self, size, **settings):
        gateway = self.publishing_gateway(XMPP_CA=str(self.server.authority.certificate), **settings)
        reader = self.recipient("bob", "--no-streams")
        body = os.urandom(size)
        answer = gateway.put(reader.jid, body, wait=60)
        self.assertEqual((answer.status, answer.json["state"]), (200, "link_sent"), answer)
        got = subprocess.run(["curl", "-sS", "--fail", reader.wait("message")["body"]], capture_output=True)
        self.assertEqual(got.stdout, body, got.stderr)
        return answer.json

    def test_the_service_comes_first(self):
        sent = self.send(1000)
        self.assertEqual((sent["link"]["own"], sent["link"]["expires"]), (False, None))

    def test_what_the_service_refuses_is_a_link_of_our_own(self):
        sent = self.send(100001)
        self.assertTrue(sent["link"]["own"])
        self.assertIn("upload_service_refused", [step["outcome"] for step in sent["timeline"]])
        self.assertEqual(sent["attempts"][-1]["code"], None)

    def test_our_own_may_come_first(self):
        self.assertTrue(self.send(1000, DELIVERY_LINK="own,upload")["link"]["own"])

    def test_our_own_may_be_the_only_one(self):
        self.assertTrue(self.send(1000, DELIVERY_LINK="own")["link"]["own"])

    def test_nobody_of_that_name_keeps_no_payload(self):
        gateway = self.publishing_gateway(DELIVERY_LINK="own")
        answer = gateway.put(f"nobody@{DOMAIN}", b"x", wait=60)
        self.assertFailed(answer, 502, "link_failed")
        self.assertIsNone(answer.transfer["link"])
        wait_until(lambda: not gateway.spooled(), 15, "an empty spool")
