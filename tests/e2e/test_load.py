"""Many at once and many in a row: none lost, none mixed up, and little memory used."""
import hashlib
import os
import threading

from case import Case, DIRECT
from lab import DOMAIN

PEOPLE = ("alice", "bob", "carol", "dave", "erin")
MEMORY = 40 << 20
GIBIBYTE = 1 << 30


class Load:
    def people(self):
        return {user: self.recipient(user) for user in PEOPLE}

    def at_once(self, settings, path):
        gateway, people = self.gateway(**settings), self.people()
        uploads = [(people[user], f"{user}-{n}.bin", os.urandom(1000000 + n)) for user in PEOPLE for n in range(4)]
        answers = {}

        def upload(peer, name, body):
            answers[name] = gateway.put(peer.jid, body, name, wait=60)

        threads = [threading.Thread(target=upload, args=one) for one in uploads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for peer, name, body in uploads:
            self.assertDelivered(answers[name], path)
            self.assertEqual(peer.wait("file", name=name)["sha256"], hashlib.sha256(body).hexdigest())
        for peer in people.values():
            self.assertEqual(len(peer.all("file")), 4)
        return gateway

    def in_a_row(self):
        gateway, people = self.gateway(**DIRECT), self.people()
        for n in range(200):
            user, body = PEOPLE[n % len(PEOPLE)], os.urandom(n)
            self.assertDelivered(gateway.put(people[user].jid, body, f"{n}.bin", wait=30))
            self.assertEqual(people[user].wait("file", name=f"{n}.bin")["sha256"], hashlib.sha256(body).hexdigest())
        for peer in people.values():
            self.assertEqual(len(peer.all("file")), 40)
        return gateway

    def assertSmall(self, gateway):
        peak = gateway.peak_memory()
        print(f"{self._testMethodName}: peak memory {peak / (1 << 20):.1f} MiB")
        self.assertLess(peak, MEMORY)


class LoadOnDev(Load, Case):
    weight = 2

    def test_20_uploads_at_once_to_5_recipients_directly(self):
        self.at_once(DIRECT, "direct")

    def test_20_uploads_at_once_to_5_recipients_through_the_proxy(self):
        self.at_once({}, "proxy")

    def test_200_in_a_row(self):
        self.in_a_row()


class LoadOnRelease(Load, Case):
    """The same with the program that is installed, which also has to stay small."""
    build = "release"
    slow = True
    weight = 5

    def test_20_uploads_at_once_to_5_recipients_directly(self):
        self.assertSmall(self.at_once(DIRECT, "direct"))

    def test_20_uploads_at_once_to_5_recipients_through_the_proxy(self):
        self.assertSmall(self.at_once({}, "proxy"))

    def test_200_in_a_row(self):
        self.assertSmall(self.in_a_row())

    def gibibyte(self, settings, path):
        gateway, peer = self.gateway(**settings), self.recipient("alice")
        upload, digest = self.file(GIBIBYTE)
        self.addCleanup(upload.unlink)
        answer = gateway.curl(upload, f"alice@{DOMAIN}/desk", seconds=300, wait=300)
        self.assertDelivered(answer, path)
        self.assertEqual(answer.json["progress"]["sent"], GIBIBYTE)
        self.assertEqual(peer.wait("file")["sha256"], digest)
        self.assertSmall(gateway)

    def test_1_GiB_directly(self):
        self.gibibyte(DIRECT, "direct")

    def test_1_GiB_through_the_proxy(self):
        self.gibibyte({}, "proxy")
