"""The page at /, in a real Chromium: what a person does there, and what arrives at real clients.

tests/page/ has what is done in the browser. With JIDPOST_PICTURES=docs the README's pictures are made anew there.
"""
import json
import os
import subprocess
import unittest
from pathlib import Path

from case import Case, DIRECT
from lab import LOOPBACK, Cable, die_with_parent
from peers import HERE

BROWSER = HERE.parent / "page"
CHROMIUM = "/usr/bin/chromium"
PATIENCE_S = 240


class InBrowser(Case):
    settings = {**DIRECT, "SPOOL_RETENTION": "1h"}
    weight = 3

    def browse(self, scenario, gateway, react=None, **options):
        """react: what is done, by name, when the scenario asks for it."""
        options = {"url": f"http://{LOOPBACK}:{gateway.port}", "chromium": CHROMIUM, **options}
        log = self.path(scenario + ".log")
        with open(log, "wb") as errors:
            process = subprocess.Popen(["node", "run.mjs", scenario, json.dumps(options)], cwd=BROWSER, text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                       preexec_fn=die_with_parent)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        for line in process.stdout:
            react[json.loads(line)["ask"]]()
            process.stdin.write("{}\n")
            process.stdin.flush()
        process.wait(PATIENCE_S)
        self.assertEqual(process.returncode, 0, log.read_text()[-6000:])

    def files(self, *sizes):
        """{path: digest}"""
        return dict(self.file(size, name) for name, size in sizes)

    def assertEach(self, files, peer):
        for path, digest in files.items():
            self.assertEqual(peer.wait("file", sha256=digest)["name"], Path(path).name)


class PageSends(InBrowser):
    def test_two_dropped_files_arrive(self):
        """Whatever they are called."""
        gateway, alice = self.gateway(), self.recipient("alice")
        files = self.files(("report.pdf", 300_000), ("Größe <img src=x onerror=alert(1)> &amp;.txt", 70_000))
        self.browse("twoFilesAreDropped", gateway, to="alice@localhost", files=[str(path) for path in files])
        self.assertEach(files, alice)

    def test_a_folder_is_walked_and_its_files_are_sent_by_their_names(self):
        gateway, alice = self.gateway(), self.recipient("alice")
        files = self.files(("a.txt", 10), ("b.txt", 2000), ("c.txt", 0))
        folder = self.path("photos")
        (folder / "deep" / "er").mkdir(parents=True)
        inside = ["b.txt", "deep/a.txt", "deep/er/c.txt"]
        digests = {Path(path).name: digest for path, digest in files.items()}
        for path in files:
            Path(path).rename(folder / next(name for name in inside if name.endswith(Path(path).name)))
        self.browse("aFolderIsDropped", gateway, to="alice@localhost", files=[str(folder)],
                    paths=[f"{folder.name}/{name}" for name in inside])
        self.assertEqual({told["name"]: told["sha256"] for told in alice.all("file")},
                         {name: digests[name] for name in ("a.txt", "c.txt")})

    def test_one_is_cancelled_and_the_other_arrives(self):
        gateway, bob = self.gateway(), self.recipient("bob", "--behave", "hold")
        files = self.files(("stop.bin", 3_900_000), ("go.bin", 3_800_000))
        self.browse("oneIsCancelled", gateway, {"go": lambda: bob.command("go")}, to="bob@localhost",
                    files=[str(path) for path in files])
        self.assertEqual([told["name"] for told in bob.all("file")], ["go.bin"])

    def lose_the_network(self, size, rate):
        """In the middle of an upload of so many bytes a second: every connection ends, and no new one is made."""
        gateway, alice = self.gateway(), self.recipient("alice")
        cable = Cable(gateway)
        self.addCleanup(cable.cut)
        files = self.files(("slow.bin", size))
        self.browse("theNetworkIsLost", gateway, {"cut": cable.cut, "mend": cable.mend}, rate=rate,
                    large=size > 4 << 20, url=f"http://{LOOPBACK}:{cable.port}", to="alice@localhost", files=[str(path) for path in files])
        self.assertEach(files, alice)
        alice.leave()
        self.assertEqual(len(alice.all("file")), 1)

    def test_a_small_upload_is_made_again_when_the_network_is_back(self):
        self.lose_the_network(3_000_000, 500_000)

    def test_a_large_upload_goes_on_when_the_network_is_back(self):
        self.lose_the_network(24_000_000, 4_000_000)

    def test_it_goes_on_when_the_gateway_is_back(self):
        """With what it was told before; and what was sent meanwhile arrives."""
        gateway, bob = self.publishing_gateway(DELIVERY_BACKOFF="1s"), self.recipient("bob", "--behave", "hold")
        files = self.files(("before.bin", 3_900_000), ("meanwhile.bin", 1000))

        def start():
            bob.command("go")
            gateway.start()

        self.browse("theGatewayIsRestarted", gateway, {"stop": gateway.stop, "start": start}, to="bob@localhost",
                    files=[str(path) for path in files])
        self.assertEach(files, bob)

    def test_what_failed_is_tried_again(self):
        gateway, files = self.gateway(), self.files(("late.bin", 200_000))
        came = []
        self.browse("aFailedOneIsTriedAgain", gateway, {"come": lambda: came.append(self.recipient("dave"))},
                    to="dave@localhost", files=[str(path) for path in files])
        self.assertEach(files, came[0])

    def test_the_keyboard_is_enough(self):
        gateway, alice = self.gateway(), self.recipient("alice")
        files = self.files(("typed.txt", 1000))
        self.browse("theKeyboardIsEnough", gateway, to="alice@localhost", files=[str(path) for path in files])
        self.assertEach(files, alice)


class PageShows(InBrowser):
    def test_history_is_filtered_and_read_page_by_page(self):
        gateway, alice = self.gateway(), self.recipient("alice")
        failed = [gateway.put("carol@localhost" if number % 11 else "dave@localhost", b"x", f"{number}.txt", wait=20)
                  for number in range(33)]
        for number in range(2):
            self.assertDelivered(gateway.put(alice.jid, b"x", f"to-{number}.txt", wait=20))
        self.browse("historyIsFiltered", gateway, all=35, delivered=2, other="dave@localhost", others=3,
                    one=failed[0].transfer["id"])

    def test_a_token_is_asked_for_once_and_kept(self):
        """Of one that may not hear events, so that the page has to ask."""
        gateway = self.gateway(start=False, HTTP_TOKEN="the-token-of-somebody-else")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JIDPOST_")}
        environment.update({"JIDPOST_" + key: value for key, value in gateway.settings.items()})
        gateway.state.mkdir()
        token = subprocess.run([str(gateway.program), "token", "create", "--write", "--id", "ci-1", "--scopes",
                                "send,read,cancel,recipients"], env=environment, check=True, capture_output=True,
                               text=True).stdout.split()[0]
        gateway.start()
        alice, files = self.recipient("alice"), self.files(("secret.txt", 1000))
        self.browse("aTokenIsAskedForOnce", gateway, token=token, to="alice@localhost",
                    files=[str(path) for path in files])
        self.assertEach(files, alice)
        self.assertNotIn(token, gateway.log.read_text())

    def test_the_inbox_is_read_and_emptied(self):
        """Its files are the test's own: see there."""
        self.browse("theInboxIsReadAndEmptied", self.gateway())

    def test_a_stream_of_events_means_the_same_wherever_it_is_cut(self):
        self.browse("aStreamMeansTheSameWhereverItIsCut", self.gateway())

    def test_a_page_of_ones_own_is_read_anew(self):
        """Also by a gateway that has given up its right to most files."""
        folder = self.path("page")
        folder.mkdir()
        (folder / "index.html").write_text("one")
        gateway = self.gateway(HTTP_PAGE=str(folder), SERVER_SANDBOX="auto")
        self.assertEqual(gateway.get("/").body, b"one")
        (folder / "index.html").write_text("two")
        (folder / "more.js").write_text("3")
        self.assertEqual(gateway.get("/").body, b"two")
        self.assertEqual(gateway.get("/page/more.js").type, "text/javascript; charset=utf-8")
        self.assertEqual(gateway.get("/page/page.css").status, 404)

    @unittest.skipUnless(os.environ.get("JIDPOST_PICTURES"), "JIDPOST_PICTURES says where to")
    def test_pictures(self):
        gateway = self.gateway()
        alice, bob = self.recipient("alice"), self.recipient("bob", "--behave", "hold")
        self.recipient("dave", "--behave", "decline"), self.recipient("erin", "--only-proxy")
        named = {name: str(self.file(size, name)[0]) for name, size in (
            ("minutes.docx", 48_213), ("party.jpg", 2_500_000), ("report.pdf", 312_000), ("backup.tar.zst", 3_900_000),
            ("holiday.mp4", 3_950_000), ("slides.pdf", 1_200_000), ("notes.txt", 2_300))}
        scene = [("dave@localhost", "minutes.docx"), ("alice@localhost", "report.pdf"),
                 ("erin@localhost/desk", "backup.tar.zst"), ("bob@localhost", "holiday.mp4")]
        pictures = Path(os.environ["JIDPOST_PICTURES"]).resolve()
        self.browse("pictures", gateway, to="alice@localhost", files=[named["slides.pdf"], named["notes.txt"]],
                    scene=[(to, named[name]) for to, name in scene], open=2, pictures=str(pictures))
        for picture in pictures.glob("page*.png"):
            self.assertLess(picture.stat().st_size, 150_000, picture)
