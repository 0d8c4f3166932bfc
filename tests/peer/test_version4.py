"""Row 89 of the checklist: a client that knows file transfer in the version before the last, as Swift does."""
import os

from .jingle import Talk
from .peer import NS_JINGLE, NS_JINGLE_S5B
from .script import SIZE
from .test_jingle import Jingle

NS_FILE_4 = "urn:xmpp:jingle:apps:file-transfer:4"
EMPTY_HASH = "<hash xmlns='urn:xmpp:hashes:1' algo='sha-1'/>"


class Version4(Jingle):
    def offered(self, body, **query):
        gateway, peer = self.gateway(), self.peer(features=(NS_JINGLE, NS_FILE_4, NS_JINGLE_S5B))
        sent = self.send(gateway, peer, body, "plan.png", **query)
        return gateway, sent, Talk(peer, NS_FILE_4)

    def test_row_89_an_offer_in_version_4_is_answered_in_it_with_empty_hashes(self):
        body = os.urandom(SIZE)
        gateway, sent, talk = self.offered(body)
        self.assertEqual((talk.file.find("{*}name").text, talk.file.find("{*}size").text), ("plan.png", str(SIZE)))
        answer = talk.accept(file=f"<name>plan.png</name><size>{SIZE}</size>{EMPTY_HASH}")
        self.assertEqual(answer.get("type"), "result")
        self.assertEqual(talk.take_directly(), body)
        self.assertEqual(talk.say("session-info", f"<received xmlns='{NS_FILE_4}' creator='initiator' "
                                                  f"name='file'>{EMPTY_HASH}</received>").get("type"), "result")
        self.assertReceived(gateway, sent, talk, SIZE, "direct")

    def test_row_89_the_checksum_is_told_in_version_4_as_well(self):
        gateway, sent, talk = self.offered(b"x", digest="sha-256")
        talk.accept(file=EMPTY_HASH)
        self.assertEqual(talk.take_directly(), b"x")
        info = talk.hear("session-info", "checksum")
        self.assertEqual(info.tag, f"{{{NS_FILE_4}}}checksum")
        self.assertTrue(info.find(".//{*}hash").text)
        self.assertEqual(talk.say("session-info", f"<checksum xmlns='{NS_FILE_4}' creator='initiator' "
                                                  f"name='file'><file>{EMPTY_HASH}</file></checksum>").get("type"),
                         "result")
        self.assertReceived(gateway, sent, talk, 1, "direct")

    def test_row_89_who_knows_both_versions_is_offered_the_newer(self):
        gateway, peer = self.gateway(), self.peer(features=(NS_JINGLE, NS_FILE_4, NS_JINGLE_S5B,
                                                            "urn:xmpp:jingle:apps:file-transfer:5"))
        sent = self.send(gateway, peer)
        talk = Talk(peer)
        talk.accept()
        self.assertEqual(talk.take_directly(), b"x")
        self.assertReceived(gateway, sent, talk, 1, "direct")
