"""Rows 82 to 87 of the checklist: who a file is offered to, and what is believed of what others announce."""
from lab import COMPONENT, DOMAIN, FILES, SERVERS, Cable, Prosody, wait_until

from .peer import BYTESTREAM, INFO, JINGLE, NS_BYTESTREAMS, NS_ITEMS, OFFER, OPEN, SI_STREAMS
from .script import Script, WithComponent

CAPS = "http://jabber.org/protocol/caps"
CALLS = ("urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:rtp:1", "urn:xmpp:jingle:apps:rtp:audio",
         "urn:xmpp:jingle:transports:ice-udp:1")
ME = f"gateway@{DOMAIN}/jidpost"
ALL_OFFERS = (OFFER, BYTESTREAM, JINGLE, OPEN)


class Tap(Cable):
    """A way to the server that keeps what the gateway says on it; there is no TLS."""

    def __init__(self, server):
        self.said = bytearray()
        super().__init__(server)

    def _carry(self, source, sink):
        try:
            while data := source.recv(65536):
                if source.getsockname()[1] == self.port:
                    self.said += data
                sink.sendall(data)
            sink.shutdown(2)
        except OSError:
            pass


class Announcements(Script):
    """Each contact has an account of its own, so that one test's devices are not another's."""
    server_options = {"proxy": False, "upload": 1000000}

    def gateway(self, **settings):
        return super().gateway(XMPP_CA=str(self.server.authority.certificate), **settings)

    def seen(self, gateway, *peers):
        bare = peers[0].jid.partition("/")[0]
        wait_until(lambda: {one["jid"] for one in gateway.get(f"/v1/recipients/{bare}").json["resources"]}
                   == {peer.jid for peer in peers}, 15, f"the devices of {bare}")
        return bare

    def assertLinked(self, peer):
        message = peer.take(lambda stanza: stanza.tag.endswith("}message"), "message")
        self.assertEqual(message.find("{*}body").text, message.find("{*}x/{*}url").text)

    def test_row_82_a_forged_caps_hash_counts_for_its_sender_alone(self):
        forged = f"<c xmlns='{CAPS}' hash='sha-1' node='https://forged.example' ver='AAAAAAAAAAAAAAAAAAAAAAAAAAA='/>"
        gateway = self.gateway(DELIVERY_METHODS="si-s5b")
        liar = self.peer("alice", ("urn:xmpp:ping",), forged)
        honest = self.peer("bob", SI_STREAMS, forged)
        self.seen(gateway, liar)  # so that the presence with the hash is there, and was asked about
        sent = self.send(gateway, liar)
        self.assertEnded(gateway, sent, "failed", "no_common_method")
        self.assertEqual(liar.asked.count(ME), 1)
        self.seen(gateway, honest)
        sent = self.send(gateway, honest)
        offer = honest.expect(OFFER)
        self.assertEqual(honest.asked.count(ME), 1)  # the hash that was known already proves nothing
        honest.refuse(offer, "cancel", "forbidden")
        self.assertEnded(gateway, sent, "failed", "recipient_declined")

    def test_row_83_of_two_devices_the_one_with_a_method_is_chosen(self):
        gateway = self.gateway(DELIVERY_METHODS="si-s5b")
        phone = self.peer("carol", ("urn:xmpp:ping",), "<priority>9</priority>")
        desk = self.peer("carol", SI_STREAMS, "<priority>1</priority>")
        bare = self.seen(gateway, phone, desk)
        sent = gateway.put(bare, b"x").json["id"]
        offer = desk.expect(OFFER)
        desk.refuse(offer, "cancel", "forbidden")
        self.assertEnded(gateway, sent, "failed", "recipient_declined")
        self.assertSilent(phone, offer.get("from"))

    def test_row_84_a_stranger_is_offered_nothing_by_his_bare_address(self):
        tap = Tap(self.server)
        self.addCleanup(tap.cut)
        gateway, peer = self.gateway(server=tap), self.peer("erin")
        sent = gateway.put(f"erin@{DOMAIN}", b"x").json["id"]
        self.assertEnded(gateway, sent, "link_sent", None, (None, "recipient_offline"), ("link", None))
        self.assertLinked(peer)
        sent = gateway.put(f"erin@{DOMAIN}", b"x", methods="si-s5b,s5b,ibb").json["id"]
        self.assertEnded(gateway, sent, "failed", "recipient_offline", (None, "recipient_offline"))
        said = bytes(tap.said)
        self.assertIn(NS_ITEMS.encode(), said)  # the tap is where it should be
        for payload in b"<si ", b"<streamhost", b"<jingle", b"<open":
            self.assertNotIn(payload, said)

    def test_row_85_jingle_for_calls_is_not_jingle_for_files(self):
        gateway, peer = self.gateway(), self.peer("dave", CALLS)
        sent = self.send(gateway, peer)
        self.assertEnded(gateway, sent, "link_sent", None, (None, "no_common_method"), ("link", None))
        self.assertLinked(peer)
        self.assertSilent(peer, ME, *ALL_OFFERS)

    def test_row_86_bytestreams_alone_are_tried_bare_where_that_is_configured(self):
        """Gajim announces them and answers that it does not serve them; others mean it."""
        gateway, peer = self.gateway(), self.peer("dave", (NS_BYTESTREAMS,))
        sent = self.send(gateway, peer)
        peer.refuse(peer.expect(BYTESTREAM), "cancel", "service-unavailable")
        self.assertEnded(gateway, sent, "link_sent", None, ("s5b", "method_unsupported"), ("link", None))
        self.assertLinked(peer)

    def test_row_86_bytestreams_alone_get_a_link_where_bare_ones_are_not_configured(self):
        gateway, peer = self.gateway(DELIVERY_METHODS="jingle-s5b,si-s5b,link"), self.peer("dave", (NS_BYTESTREAMS,))
        sent = self.send(gateway, peer)
        self.assertEnded(gateway, sent, "link_sent", None, (None, "no_common_method"), ("link", None))
        self.assertLinked(peer)
        self.assertSilent(peer, ME, *ALL_OFFERS)


class Crowded(Prosody):
    """Lists 500 services beside those it has; they are all our component's."""

    def configuration(self):
        items = " ".join(f'{{ "n{n}@{COMPONENT}" }};' for n in range(500))
        return f"disco_items = {{ {items} }}\n" + super().configuration().replace(
            f'Component "{FILES}"', f'Component "{FILES}"\n disco_hidden = true')


SERVERS["crowded"] = Crowded


class ManyItems(WithComponent):
    server_name = "crowded"
    settings = {**Script.settings, "DELIVERY_METHODS": "si-s5b"}

    def test_row_87_of_500_services_64_are_asked_and_8_at_a_time(self):
        del self.component.answers[INFO]
        gateway, peer, asked, most = self.gateway(), self.peer(), set(), 0
        sent = self.send(gateway, peer)
        while len(asked) < 64:
            waiting = [self.component.expect(INFO)]
            self.component.sync(ME)  # whatever else is on its way is here then
            while self.component.told(INFO):
                waiting.append(self.component.expect(INFO))
            most = max(most, len(waiting))
            for question in waiting:
                asked.add(question.get("to"))
                self.component.refuse(question, "cancel", "service-unavailable")
        offer = peer.expect(OFFER)  # with our own streamhost, since there is no other
        self.component.sync(ME)
        self.assertEqual((most, len(asked), self.component.told()), (8, 64, []))
        peer.refuse(offer, "cancel", "forbidden")
        self.assertEnded(gateway, sent, "failed", "recipient_declined")
