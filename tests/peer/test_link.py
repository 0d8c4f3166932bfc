"""Rows 116 to 118 of the checklist: an upload service that misbehaves, and a link for who is not there."""
import http.server
import threading
import time

from lab import DOMAIN, LOOPBACK, wait_until

from .peer import NS_UPLOAD, info
from .script import Script, WithComponent

SLOT = f"{{{NS_UPLOAD}}}request"
NS_OOB, NS_SFS = "jabber:x:oob", "urn:xmpp:sfs:0"


class Shelf(http.server.ThreadingHTTPServer):
    """Where an upload service has its files put. put: (path, headers, body) of each."""

    def __init__(self):
        self.put = []
        super().__init__((LOOPBACK, 0), Request)
        self.url = f"http://{LOOPBACK}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Request(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.put.append((self.path, self.headers, body))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Uploads(WithComponent):
    what = info([NS_UPLOAD], "category='store' type='file'")
    settings = {**Script.settings, "DELIVERY_METHODS": "link"}

    def asked(self, to=f"frank@{DOMAIN}", gateway=None, **settings):
        """(gateway, transfer, the question for a slot)"""
        gateway = gateway or self.gateway(**settings)
        sent = gateway.put(to, b"linked", "a file.txt").json["id"]
        return gateway, sent, self.component.expect(SLOT)

    def shelf(self):
        shelf = Shelf()
        self.addCleanup(shelf.close)
        return shelf

    def give(self, question, put, get, headers=""):
        self.component.result(question, f"<slot xmlns='{NS_UPLOAD}'><put url='{put}'>{headers}</put>"
                                        f"<get url='{get}'/></slot>")

    def test_row_116_headers_of_a_slot_are_filtered_and_stripped(self):
        gateway, sent, question = self.asked()
        self.assertEqual((question[0].get("filename"), question[0].get("size")), ("a file.txt", "6"))
        shelf = self.shelf()
        self.give(question, shelf.url + "/up", shelf.url + "/down",
                  "<header name='X-Evil'>1</header><header name='Host'>evil.example</header>"
                  "<header name='Authorization'>Basic abc&#13;&#10;X-Evil: 2</header>"
                  "<header name='cookie'>c=1</header>")
        self.assertEnded(gateway, sent, "link_sent", None, ("link", None))
        (path, headers, body), = shelf.put
        self.assertEqual((path, body, headers["Content-Length"]), ("/up", b"linked", "6"))
        self.assertEqual((headers["Authorization"], headers["Cookie"]), ("Basic abcX-Evil: 2", "c=1"))
        self.assertNotIn("X-Evil", headers)
        self.assertEqual(headers["Host"], shelf.url[len("http://"):])

    def test_row_116_a_slot_that_is_not_https_is_refused(self):
        good = "https://upload.example.org/file"
        for put, get in (("http://upload.example.org/file", good), (good, "http://upload.example.org/file"),
                         ("ftp://upload.example.org/file", good), (good, "https://user@upload.example.org/file"),
                         (good, "https://upload.example.org/a&#10;b")):
            with self.subTest(put=put, get=get), self.running() as gateway:
                _, sent, question = self.asked(gateway=gateway)
                self.give(question, put, get)
                self.assertEnded(gateway, sent, "failed", "upload_service_failed", ("link", "upload_service_failed"))

    def test_row_117_a_limit_that_the_service_tells_is_told_on(self):
        gateway, sent, question = self.asked()
        self.component.refuse(question, "modify", "not-acceptable", f"<file-too-large xmlns='{NS_UPLOAD}'>"
                              "<max-file-size>5</max-file-size></file-too-large>")
        transfer = self.assertEnded(gateway, sent, "failed", "upload_service_refused",
                                    ("link", "upload_service_refused"))
        self.assertIn("at most 5 bytes", str(transfer["error"]))

    def test_row_117_a_quota_is_awaited_until_its_time(self):
        gateway, sent, question = self.asked(DELIVERY_MAX_ATTEMPTS="2", DELIVERY_BACKOFF="100ms")
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 3600))
        self.component.refuse(question, "wait", "resource-constraint", f"<retry xmlns='{NS_UPLOAD}' stamp='{stamp}Z'/>")
        transfer = wait_until(lambda: (now := gateway.transfer(sent))["next_attempt_at"] and now, 15, "a pause")
        self.assertEqual((transfer["state"], self.attempts(transfer)), ("queued", [("link", "upload_service_quota")]))
        self.assertTrue(transfer["next_attempt_at"].startswith(stamp), transfer["next_attempt_at"])

    def test_row_118_who_is_offline_finds_a_link_in_all_three_spellings(self):
        gateway, sent, question = self.asked(f"erin@{DOMAIN}")
        shelf = self.shelf()
        url = shelf.url + "/secret/a%20file.txt"
        self.give(question, shelf.url + "/up", url)
        transfer = self.assertEnded(gateway, sent, "link_sent", None, ("link", None))
        self.assertIsNone(transfer["delivery_proof"])
        message = self.peer("erin").take(lambda stanza: stanza.tag.endswith("}message"), "message")
        self.assertEqual((message.get("to"), message.find("{*}body").text), (f"erin@{DOMAIN}", url))
        self.assertEqual(message.find(f"{{{NS_OOB}}}x/{{*}}url").text, url)
        sharing = message.find(f"{{{NS_SFS}}}file-sharing")
        self.assertEqual(sharing.find(".//{http://jabber.org/protocol/url-data}url-data").get("target"), url)
        self.assertEqual((sharing.find(".//{*}name").text, sharing.find(".//{*}size").text), ("a file.txt", "6"))
        self.assertEqual(message.find("{urn:xmpp:fallback:0}fallback").get("for"), NS_SFS)
