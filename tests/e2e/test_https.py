"""HTTPS: what goes over plain HTTP goes over TLS too, and certificates and tokens are replaced while it does."""
import hashlib
import os
import socket
import ssl
import subprocess
import threading
import time

from case import Case, DIRECT, QUICK
from lab import DOMAIN, LOOPBACK, Ports, wait_until
from test_cut_through import Upload, until_still
from test_events import Stream, course

MEBIBYTE = 1 << 20
BIG = 64 * MEBIBYTE
WINDOW = 4 * MEBIBYTE


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Authority:
    """Signs certificates for the loopback address, by way of an intermediate that callers do not know."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.openssl("req", "-x509", *self.new_key("root"), "-subj", "/CN=root", "-days", "2", "-out", "root.crt")
        self.sign("middle", "root", "basicConstraints=critical,CA:true")
        self.certificate = directory / "root.crt"

    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"openssl {arguments[0]}: {done.stderr}")

    @staticmethod
    def new_key(name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key"]

    def sign(self, name, by, extension, serial="1"):
        (self.directory / "extensions").write_text(extension + "\n")
        self.openssl("req", *self.new_key(name), "-subj", "/CN=" + name, "-out", name + ".csr")
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA", by + ".crt", "-CAkey", by + ".key", "-days", "2",
                     "-set_serial", serial, "-extfile", "extensions", "-out", name + ".crt")

    def give(self, serial, directory):
        """cert.pem, a chain of two, and key.pem, into that folder."""
        self.sign("leaf", "middle", f"subjectAltName=IP:{LOOPBACK},DNS:localhost", str(serial))
        read = lambda name: (self.directory / name).read_bytes()
        directory.mkdir(exist_ok=True)
        (directory / "cert.pem").write_bytes(read("leaf.crt") + read("middle.crt"))
        (directory / "key.pem").write_bytes(read("leaf.key"))
        (directory / "key.pem").chmod(0o600)


class Https(Case):
    weight = 3

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority = Authority(cls.directory / "authority")

    def secure_gateway(self, start=True, **settings):
        self.files = self.path("tls")
        self.authority.give(1, self.files)
        gateway = self.gateway(start=False, **{"HTTP_TLS_CERT": str(self.files / "cert.pem"),
                                               "HTTP_TLS_KEY": str(self.files / "key.pem"), **settings})
        gateway.ca = self.authority.certificate
        return gateway.start() if start else gateway

    def s_client(self, gateway, *options):
        """What openssl has to say about a handshake."""
        return subprocess.run(["openssl", "s_client", "-connect", f"{LOOPBACK}:{gateway.port}", "-CAfile",
                               str(gateway.ca), *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=30)

    def serial(self, gateway):
        """Of the certificate shown now, which is verified."""
        with ssl.create_default_context(cafile=gateway.ca).wrap_socket(
                socket.create_connection((LOOPBACK, gateway.port)), server_hostname=LOOPBACK) as connection:
            return int(connection.getpeercert()["serialNumber"], 16)

    def all_of(self, connection, said):
        """What comes until it is closed by the other side, which need not listen."""
        received = b""
        try:
            connection.sendall(said)
            while piece := connection.recv(65536):
                received += piece
        except ConnectionError:
            pass
        return received

    # ---- all that is awkward about HTTP, over TLS

    def test_what_happens_is_told_as_it_happens(self):
        gateway, peer = self.secure_gateway(**DIRECT), self.recipient("alice")
        stream = Stream(gateway, "/v1/events")
        self.addCleanup(stream.close)
        gateway.put(peer.jid, b"hello")
        self.assertEqual(course(stream.until("transfer.delivered")),
                         ["created", "offered", "accepted", "progress", "delivered"])
        before = processor_seconds(gateway.process.pid)
        time.sleep(2)  # in which nothing happens, and nothing is looked for
        self.assertLess(processor_seconds(gateway.process.pid) - before, 0.5)
        gateway.stop()
        self.assertIsNone(stream.event())

    def test_64_MiB_arrive_whole_however_they_are_sent(self):
        gateway, peer = self.secure_gateway(**DIRECT), self.recipient("alice")
        for client in (), ("-H", "Expect: 100-continue"), ("--tls-max", "1.2"), ("-H", "Transfer-Encoding: chunked"):
            for mode in "auto", "spool", "stream":
                with self.subTest(client=client, mode=mode):
                    path, digest = self.file(BIG)
                    answer = gateway.curl(path, peer.jid, options=client, mode=mode, wait=60)
                    self.assertDelivered(answer)
                    self.assertEqual(peer.wait("file", sha256=digest)["size"], BIG)
                    path.unlink()

    def test_a_slow_recipient_slows_the_uploader(self):
        gateway = self.secure_gateway(**DIRECT, SPOOL_STREAM_WINDOW=str(WINDOW))
        peer = self.recipient("alice", "--behave", "hold")
        body = os.urandom(BIG)
        upload = Upload(gateway, peer.jid, len(body), mode="stream")
        self.addCleanup(upload.cut)
        pusher, sent = upload.push(body)
        peer.wait("begun")
        self.assertLess(until_still(sent), len(body) // 2)
        peer.command("go")
        pusher.join()
        status, final = upload.answer()
        self.assertEqual((status, final["state"]), (200, "delivered"))
        self.assertEqual(peer.wait("file")["sha256"], hashlib.sha256(body).hexdigest())

    def test_a_refusal_comes_before_the_body_is_sent(self):
        gateway = self.secure_gateway(**DIRECT)
        self.recipient("alice", "--behave", "decline")
        upload, _ = self.file(MEBIBYTE)
        url = gateway.url + gateway.target(f"alice@{DOMAIN}", "file.bin", mode="stream")
        done = subprocess.run(["curl", "-sS", "--cacert", str(gateway.ca), "-T", str(upload), "-H",
                               "Expect: 100-continue", "--expect100-timeout", "60", "-o", "/dev/null", "-w",
                               "%{http_code} %{size_upload}", url], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout, "409 0", done.stderr)

    def test_a_refusal_in_the_middle_of_a_body_is_read(self):
        gateway = self.secure_gateway(**DIRECT, SPOOL_MAX_FILE="1M")
        peer = self.recipient("alice")
        connection = gateway.connection()
        connection.putrequest("PUT", gateway.target(peer.jid, "file.bin"))
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        try:
            for _ in range(20):
                connection.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        except OSError:
            pass  # it does not read on
        answer = connection.getresponse()
        self.assertEqual((answer.status, b'"body_too_large"' in answer.read()), (413, True))
        connection.close()

    def test_whoever_waits_is_answered_and_whoever_hangs_up_is_noticed(self):
        gateway, peer = self.secure_gateway(**DIRECT), self.recipient("alice", "--behave", "hold")
        answer = gateway.put(peer.jid, bytes(BIG), wait=1)
        self.assertEqual((answer.status, answer.json["final"]), (202, False), answer)
        waiting = gateway.connection()
        waiting.request("GET", f"/v1/transfers/{answer.json['id']}?wait=60")
        gone = gateway.connection()
        gone.request("GET", f"/v1/transfers/{answer.json['id']}?wait=60", headers={"X-Request-Id": "gone"})
        gone.close()
        wait_until(lambda: [line for line in gateway.logged("http.request") if line["request_id"] == "gone"], 10,
                   "the end of a request that nobody waits for")
        peer.command("go")
        self.assertIn(b'"delivered"', waiting.getresponse().read())
        waiting.request("GET", "/v1")
        self.assertEqual(waiting.getresponse().status, 200)  # on the same connection
        waiting.close()

    def test_an_upload_that_is_cut_is_noticed(self):
        gateway, peer = self.secure_gateway(**DIRECT), self.recipient("alice")
        upload = Upload(gateway, peer.jid, BIG)
        upload.send(os.urandom(BIG // 4))
        peer.wait("begun")
        upload.cut()
        final = wait_until(lambda: next((item for item in gateway.get("/v1/transfers").json["items"] if item["final"]),
                                        None), 10, "its end")
        self.assertEqual((final["state"], final["upload"]["state"]), ("failed", "aborted"))

    def test_a_held_transfer_is_waited_for(self):
        gateway = self.secure_gateway(**DIRECT)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(
            gateway.put(f"bob@{DOMAIN}", b"patience", hold="1h", wait=60)))
        thread.start()
        wait_until(lambda: gateway.get("/v1/transfers?state=held").json["items"], 30, "held")
        self.recipient("bob")
        thread.join()
        self.assertDelivered(answers[0])

    def test_a_link_is_fetched_by_ranges(self):
        port = Ports.take()
        gateway = self.secure_gateway(**DIRECT, **QUICK, HTTP_LISTEN=f"{LOOPBACK}:{port}",
                                      SERVER_PUBLIC_URL=f"https://{LOOPBACK}:{port}")
        reader = self.recipient("carol", "--no-streams")
        path, digest = self.file(BIG)
        answer = gateway.curl(path, reader.jid, wait=60)
        self.assertEqual(answer.json["state"], "link_sent", answer)
        link, whole = reader.wait("message")["body"], hashlib.sha256()
        self.assertTrue(link.startswith(f"https://{LOOPBACK}:{port}/d/"), link)
        for part in f"0-{BIG // 2}", f"{BIG // 2 + 1}-":
            done = subprocess.run(["curl", "-sS", "--cacert", str(gateway.ca), "-r", part, "-w",
                                   "%{stderr}%{http_code}", link], capture_output=True, timeout=60)
            self.assertEqual(done.stderr, b"206")
            whole.update(done.stdout)
        self.assertEqual(whole.hexdigest(), digest)
        wait_until(lambda: gateway.transfer(answer.json["id"])["state"] == "link_fetched", 10, "link_fetched")

    # ---- what is no TLS, or no good one

    def test_old_versions_and_plain_http_are_closed_without_harm(self):
        gateway = self.secure_gateway()
        for version in "-tls1", "-tls1_1":
            self.assertNotEqual(self.s_client(gateway, version, "-cipher", "ALL:@SECLEVEL=0").returncode, 0, version)
        for version in "-tls1_2", "-tls1_3":
            done = self.s_client(gateway, version)
            self.assertIn("Verify return code: 0 (ok)", done.stdout, done.stderr)
        for cipher in "AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA":  # no AEAD, or no forward secrecy
            self.assertNotEqual(self.s_client(gateway, "-tls1_2", "-cipher", cipher).returncode, 0, cipher)
        for garbage in b"GET /v1 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff", bytes(100000):
            with socket.create_connection((LOOPBACK, gateway.port), timeout=90) as plain:
                self.all_of(plain, garbage)
        self.assertEqual(gateway.get("/v1").status, 200)

    def test_whoever_never_shakes_hands_is_not_kept(self):
        gateway = self.secure_gateway(HTTP_IDLE_TIMEOUT="1s")
        for beginning in b"", b"\x16\x03\x01\x02\x00\x01":
            with socket.create_connection((LOOPBACK, gateway.port), timeout=30) as silent:
                self.assertLess(len(self.all_of(silent, beginning)), 10)  # an alert

    def test_a_handshake_that_stands_still_costs_nothing(self):
        """As libmicrohttpd waits for it by epoll(7) it took a whole processor."""
        gateway = self.secure_gateway()
        with socket.create_connection((LOOPBACK, gateway.port), timeout=30) as silent:
            silent.sendall(b"\x16\x03\x01")
            before = processor_seconds(gateway.process.pid)
            time.sleep(2)
            self.assertLess(processor_seconds(gateway.process.pid) - before, 0.5)

    def test_whoever_shakes_hands_and_sends_half_a_header_is_cut(self):
        gateway = self.secure_gateway(HTTP_HEADER_TIMEOUT="1s")
        with ssl.create_default_context(cafile=gateway.ca).wrap_socket(
                socket.create_connection((LOOPBACK, gateway.port), timeout=30), server_hostname=LOOPBACK,
                suppress_ragged_eofs=True) as slow:
            self.assertEqual(self.all_of(slow, b"GET /v1 HTTP/1.1\r\nHost: "), b"")

    def test_the_unix_socket_stays_plain(self):
        path = self.directory / "plain.sock"
        gateway, peer = self.secure_gateway(**DIRECT, HTTP_UNIX=str(path)), self.recipient("alice")
        upload, digest = self.file(BIG)
        done = subprocess.run(["curl", "-sS", "--unix-socket", str(path), "-T", str(upload),
                               "http://localhost" + gateway.target(peer.jid, "file.bin", mode="stream")],
                              capture_output=True, text=True, timeout=60)
        self.assertIn('"delivered"', done.stdout, done.stderr)
        self.assertEqual(peer.wait("file")["sha256"], digest)
        self.assertEqual(self.serial(gateway), 1)

    def test_the_healthcheck_asks_over_tls(self):
        port = Ports.take()
        gateway = self.secure_gateway(HTTP_LISTEN=f"{LOOPBACK}:{port}")
        environment = {**{"JIDPOST_" + key: value for key, value in gateway.settings.items()},
                       "PATH": os.environ["PATH"]}
        for words, code in (["healthcheck"], 0), (["healthcheck", "--ready"], 0), (["config", "check"], 0):
            done = subprocess.run([str(gateway.program), *words], env=environment, capture_output=True, text=True)
            self.assertEqual(done.returncode, code, done.stderr)
        gateway.stop()
        done = subprocess.run([str(gateway.program), "healthcheck"], env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 8)

    # ---- SIGHUP

    def test_a_reload_shows_another_certificate_while_an_upload_runs(self):
        gateway, peer = self.secure_gateway(**DIRECT), self.recipient("alice")
        quarter = os.urandom(4 * MEBIBYTE)
        upload = Upload(gateway, peer.jid, 4 * len(quarter), wait=60)
        self.addCleanup(upload.cut)
        self.assertEqual(self.serial(gateway), 1)
        for serial in 2, 3, 4:
            upload.send(quarter)
            self.authority.give(serial, self.files)
            self.assertEqual(gateway.reload()["needs_restart"], 0)
            self.assertEqual(self.serial(gateway), serial)
            self.assertIn(f"serial={serial:02d}", subprocess.run(
                ["openssl", "x509", "-noout", "-serial"], input=self.s_client(gateway).stdout, capture_output=True,
                text=True).stdout)
        upload.send(quarter)
        status, final = upload.answer()
        self.assertEqual((status, final["state"]), (200, "delivered"))
        self.assertEqual(peer.wait("file")["sha256"], hashlib.sha256(4 * quarter).hexdigest())

    def test_what_is_no_pair_changes_nothing(self):
        gateway = self.secure_gateway()
        gateway.expected_errors.add("config.refused")
        good = {name: (self.files / name).read_bytes() for name in ("cert.pem", "key.pem")}
        self.authority.give(9, other := self.path("other"))
        for name, content, why in ("key.pem", (other / "key.pem").read_bytes(), "not the key of the"), \
                ("cert.pem", b"rubbish", "no PEM certificate"), ("key.pem", None, "No such file"):
            with self.subTest(why=why):
                if content is None:
                    (self.files / name).unlink()
                else:
                    (self.files / name).write_bytes(content)
                refused = gateway.reload("config.refused")
                self.assertIn(why, refused["error"])
                self.assertIn(str(self.files / name), refused["error"])
                self.assertEqual(self.serial(gateway), 1)
                (self.files / name).write_bytes(good[name])
        gateway.reload()
        self.assertNotIn("PRIVATE KEY", gateway.log.read_text())

    def test_what_is_no_pair_does_not_start(self):
        gateway = self.secure_gateway(start=False)
        (self.files / "cert.pem").write_bytes(b"")
        gateway.expected_errors.add("start.failed")
        with self.assertRaisesRegex(AssertionError, r"\[http\] tls_cert .*no PEM certificate"):
            gateway.start()
        gateway.process = None

    def test_tls_is_not_switched_off_by_a_reload(self):
        gateway = self.secure_gateway(start=False)
        settings = {key: gateway.settings.pop(key) for key in ("HTTP_TLS_CERT", "HTTP_TLS_KEY")}
        file = self.path("jidpost.ini")
        file.write_text("[http]\n" + "".join(f"{key[5:].lower()} = {value}\n" for key, value in settings.items()))
        gateway.arguments = ["--config", str(file)]
        gateway.start()
        file.write_text("")
        self.assertEqual(gateway.reload()["needs_restart"], 2)
        self.assertEqual(self.serial(gateway), 1)
