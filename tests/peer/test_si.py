"""Rows 21 to 46 of the checklist: stream initiation, streamhosts and proxies."""
import json
import os
import select
import socket
import time
import urllib.parse

from lab import COMPONENT, DOMAIN, LOOPBACK

from . import socks
from .peer import (BYTESTREAM, INFO, ITEMS, NS_BYTESTREAMS, NS_IBB, NS_ITEMS, NS_SI, NS_SI_FILE, NS_STREAMS,
                   OFFER, SI_STREAMS, OwnServer, info)
from .script import (PROXY_INFO, SIZE, Script, WithComponent, accept_si, offered_streams, receive_inband, streamhosts,
                     use)

BIG = 16 << 20  # more than the sockets on the way can hold


class Proxies(WithComponent):
    """Rows about what a proxy tells and does; nothing is direct unless a test says so."""
    settings = {**Script.settings, "SOCKS5_ADVERTISE": "", "XMPP_IQ_TIMEOUT": "3s"}
    weight = 2

    def offered(self, payload):
        """The streamhosts that are offered once the proxy told that address."""
        gateway, peer = self.gateway(), self.peer()
        self.component.result(self.component.expect(BYTESTREAM), payload)
        self.send(gateway, peer)
        query = self.streamhosts(peer)
        peer.refuse(query, "cancel", "item-not-found")
        return streamhosts(query)

    def test_row_21_the_example_of_the_specification_is_played_from_end_to_end(self):
        body, relay = os.urandom(SIZE), self.relay()
        gateway, peer = self.gateway(), self.peer()
        told = self.tell_address((COMPONENT, relay.port))
        self.assertEqual((told[0].attrib, len(told[0])), ({}, 0))  # examples 7 and 8: no sid
        sent = self.send(gateway, peer, body)
        offer = peer.expect(OFFER)
        self.assertEqual(peer.asked, [offer.get("from")])  # examples 1 and 2
        accept_si(peer, offer)
        query = peer.expect(BYTESTREAM)
        self.assertEqual((query[0].get("sid"), query[0].get("mode")), (offer[0].get("id"), "tcp"))
        self.assertEqual(streamhosts(query), [(COMPONENT, LOOPBACK, relay.port)])
        of = socks.name(offer[0].get("id"), query.get("from"), peer.jid)
        with self.connect(peer, query) as stream:  # examples 12 to 16
            activation = self.component.expect(BYTESTREAM)  # examples 17 to 19
            self.assertEqual((activation.get("type"), activation[0].get("sid"), activation[0][0].text),
                             ("set", offer[0].get("id"), peer.jid))
            relay.join(of)
            self.component.result(activation)
            self.assertEqual(socks.receive(stream), body)
        transfer = self.assertArrived(gateway, sent, SIZE, "proxy")
        self.assertEqual(transfer["method"]["streamhost"], COMPONENT)

    def test_row_22_an_address_without_a_port_has_the_port_of_old(self):
        self.assertEqual(self.offered(f"<query xmlns='{NS_BYTESTREAMS}'><streamhost jid='{COMPONENT}' "
                                      f"host='192.0.2.7' zeroconf='_jabber.bytestreams'/></query>"),
                         [(COMPONENT, "192.0.2.7", 1080)])

    def test_row_23_text_beside_the_address_is_ignored(self):
        self.assertEqual(self.offered(f"<query xmlns='{NS_BYTESTREAMS}'> sid='vxf9n471bn46'>\n <streamhost "
                                      f"jid='{COMPONENT}' host='192.0.2.7' zeroconf='_jabber.bytestreams'/>\n</query>"),
                         [(COMPONENT, "192.0.2.7", 1080)])

    def test_row_25_an_address_that_another_tells_is_ignored(self):
        gateway, peer = self.gateway(), self.peer()
        question = self.component.expect(BYTESTREAM)
        for sender, host in ("liar@" + COMPONENT, "192.0.2.66"), (COMPONENT, "192.0.2.7"):
            self.component.result(question, f"<query xmlns='{NS_BYTESTREAMS}'><streamhost jid='{COMPONENT}' "
                                            f"host='{host}' port='7777'/></query>", sender)
        self.send(gateway, peer)
        query = self.streamhosts(peer)
        self.assertEqual(streamhosts(query), [(COMPONENT, "192.0.2.7", 7777)])
        peer.refuse(query, "cancel", "item-not-found")

    def test_row_26_a_proxy_is_offered_and_activated_at_exactly_the_jid_it_told(self):
        relay, node = self.relay(), COMPONENT + "/node@1"
        gateway, peer = self.gateway(), self.peer()
        self.tell_address((node, relay.port))
        sent = self.send(gateway, peer)
        query = self.streamhosts(peer)
        self.assertEqual(streamhosts(query), [(node, LOOPBACK, relay.port)])
        with self.connect(peer, query) as stream:
            activation = self.component.expect(BYTESTREAM)
            self.assertEqual(activation.get("to"), node)
            relay.join(relay.asked[0])
            self.component.result(activation)
            self.assertEqual(socks.receive(stream), b"x")
        self.assertArrived(gateway, sent, 1, "proxy")

    def test_row_27_only_usable_addresses_of_a_proxy_with_many_are_offered(self):
        told = ["127.0.0.1", "fe80::1%eth0", "192.0.2.7", "2001:db8::7", "proxy.example.org"]
        self.assertEqual(self.offered(f"<query xmlns='{NS_BYTESTREAMS}'>" + "".join(
            f"<streamhost jid='{COMPONENT}' host='{host}' port='7777'/>" for host in told) + "</query>"),
            [(COMPONENT, host, 7777) for host in told[2:]])

    def test_row_28_the_job_goes_on_without_a_proxy_that_tells_nothing(self):
        for conduct in "auth/forbidden", "cancel/not-allowed", "silence":
            with self.subTest(conduct), self.running(SOCKS5_ADVERTISE=LOOPBACK) as gateway:
                peer = self.peer()
                question = self.component.expect(BYTESTREAM)
                if conduct != "silence":
                    self.component.refuse(question, *conduct.split("/"))
                sent = self.send(gateway, peer)
                query = self.streamhosts(peer)
                self.assertEqual([jid for jid, _, _ in streamhosts(query)], [query.get("from")])
                self.assertEqual(socks.receive(self.connect(peer, query)), b"x")
                self.assertArrived(gateway, sent, 1, "direct")

    def activating(self, gateway, body, features=SI_STREAMS):
        """All up to its request to activate: (peer, transfer, the proxy's relay, the peer's socket, the request)."""
        relay, peer = self.relay(), self.peer(features=features)
        self.tell_address((COMPONENT, relay.port))
        sent = self.send(gateway, peer, body)
        stream = self.connect(peer, self.streamhosts(peer))
        self.addCleanup(stream.close)
        return peer, sent, relay, stream, self.component.expect(BYTESTREAM)

    def test_row_33_an_activation_that_was_not_allowed_is_asked_for_once_more(self):
        gateway = self.gateway()
        _, sent, relay, stream, activation = self.activating(gateway, b"at the second try")
        self.component.refuse(activation, "cancel", "not-allowed")
        again = self.component.expect(BYTESTREAM)
        self.assertEqual(again[0].attrib, activation[0].attrib)
        relay.join(relay.asked[0])
        self.component.result(again)
        self.assertEqual(socks.receive(stream), b"at the second try")
        self.assertArrived(gateway, sent, 17, "proxy")

    def test_row_34_a_failed_activation_has_its_code_and_the_next_method_follows(self):
        for kind, condition, code in (("cancel", "item-not-found", "proxy_hash_mismatch"),
                                      ("auth", "not-authorized", "proxy_hash_mismatch"),
                                      ("wait", "resource-constraint", "proxy_busy"),
                                      ("cancel", "conflict", "proxy_already_active"),
                                      ("wait", "internal-server-error", "proxy_failed")):
            with self.subTest(condition), self.running() as gateway:
                peer, sent, _, _, activation = self.activating(gateway, b"in-band", (*SI_STREAMS, NS_IBB))
                self.component.refuse(activation, kind, condition)
                accept_si(peer, peer.expect(OFFER), NS_IBB)
                self.assertEqual(receive_inband(peer)[1], b"in-band")
                self.assertEnded(gateway, sent, "delivered", None, ("si-s5b", code), ("si-ibb", None))


class Streamhosts(Script):
    """Rows about what the recipient makes of our streamhosts."""
    weight = 2

    def test_row_29_a_streamhost_that_was_not_offered(self):
        gateway, peer = self.gateway(), self.peer(features=(*SI_STREAMS, NS_IBB))
        sent = self.send(gateway, peer, b"in-band")
        use(peer, self.streamhosts(peer), "stranger@example.org/x")
        accept_si(peer, peer.expect(OFFER), NS_IBB)
        self.assertEqual(receive_inband(peer)[1], b"in-band")
        transfer = self.assertEnded(gateway, sent, "delivered", None, ("si-s5b", "peer_protocol_error"),
                                    ("si-ibb", None))
        self.assertNotIn("socks5 connect", [step["step"] for step in transfer["timeline"]])

    def test_row_30_the_answer_needs_no_sid(self):
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer)
        query = self.streamhosts(peer)
        jid, host, port = streamhosts(query)[0]
        stream = socks.connect((host, port), socks.name(query[0].get("sid"), query.get("from"), peer.jid))
        use(peer, query, jid, sid=False)
        self.assertEqual(socks.receive(stream), b"x")
        self.assertArrived(gateway, sent, 1, "direct")

    def test_row_31_an_answer_may_come_a_second_before_its_connection(self):
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer)
        query = self.streamhosts(peer)
        jid, host, port = streamhosts(query)[0]
        use(peer, query, jid)
        time.sleep(1)  # what this row is about
        stream = socks.connect((host, port), socks.name(query[0].get("sid"), query.get("from"), peer.jid))
        self.assertEqual(socks.receive(stream), b"x")
        self.assertArrived(gateway, sent, 1, "direct")

    def test_row_32_of_three_connections_one_carries_the_file(self):
        body = os.urandom(SIZE)
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer, body)
        query = self.streamhosts(peer)
        jid, host, port = streamhosts(query)[0]
        streams, refused = [], 0
        for _ in range(3):
            try:
                streams.append(socks.connect((host, port),
                                             socks.name(query[0].get("sid"), query.get("from"), peer.jid)))
            except ConnectionError:
                refused += 1
        use(peer, query, jid)
        received = []
        while streams:
            for stream in select.select(streams, [], [], socks.SECONDS)[0]:
                streams.remove(stream)
                received.append(socks.receive(stream))
        self.assertEqual(len(received) + refused, 3)
        self.assertEqual([data for data in received if data], [body])
        self.assertArrived(gateway, sent, SIZE, "direct")

    def unreachable(self, condition):
        """XEP-0095's example has the stream's second method under the same id; here it is a second offer: xmpp/si.h."""
        gateway, peer = self.gateway(), self.peer(features=(*SI_STREAMS, NS_IBB))
        sent = self.send(gateway, peer, b"in-band")
        first = peer.expect(OFFER)
        self.assertEqual(offered_streams(first), [NS_BYTESTREAMS])
        accept_si(peer, first)
        peer.refuse(peer.expect(BYTESTREAM), "cancel", condition)
        second = peer.expect(OFFER)
        self.assertEqual(offered_streams(second), [NS_IBB])
        accept_si(peer, second, NS_IBB)
        opened, data = receive_inband(peer)
        self.assertEqual((opened[0].get("sid"), opened[0].get("stanza"), data),
                         (second[0].get("id"), "iq", b"in-band"))
        self.assertEnded(gateway, sent, "delivered", None, ("si-s5b", "streamhosts_unreachable"), ("si-ibb", None))

    def test_row_35_unreachable_streamhosts_are_followed_by_an_inband_stream(self):
        self.unreachable("item-not-found")

    def test_row_36_psis_word_for_unreachable_streamhosts_means_the_same(self):
        self.unreachable("remote-server-not-found")

    def test_row_39_a_stream_method_that_was_not_offered(self):
        gateway, peer = self.gateway(DELIVERY_METHODS="si-s5b"), self.peer()
        sent = self.send(gateway, peer)
        offer = peer.expect(OFFER)
        accept_si(peer, offer, "jabber:iq:oob")
        self.assertEnded(gateway, sent, "failed", "peer_protocol_error", ("si-s5b", "peer_protocol_error"))
        self.assertSilent(peer, offer.get("from"))

    def test_row_42_an_offer_that_is_never_answered(self):
        gateway, peer = self.gateway(DELIVERY_OFFER_TIMEOUT="2s", DELIVERY_METHODS="si-s5b"), self.peer()
        sent = self.send(gateway, peer)
        offer = peer.expect(OFFER)
        self.assertEnded(gateway, sent, "failed", "recipient_timeout", ("si-s5b", "recipient_timeout"))
        self.assertSilent(peer, offer.get("from"))

    def test_row_43_a_recipient_that_closes_at_half(self):
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer, bytes(BIG))
        self.assertEqual(len(socks.receive(self.connect(peer, self.streamhosts(peer)), BIG // 2)), BIG // 2)
        transfer = self.assertEnded(gateway, sent, "failed", "stream_broken", ("si-s5b", "stream_broken"))
        self.assertLess(0, transfer["progress"]["sent"])
        self.assertLess(transfer["progress"]["sent"], BIG)

    def test_row_44_an_empty_file_by_si(self):
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer, b"")
        offer = peer.expect(OFFER)
        self.assertEqual(offer.find(f".//{{{NS_SI_FILE}}}file").get("size"), "0")
        accept_si(peer, offer)
        self.assertEqual(socks.receive(self.connect(peer, peer.expect(BYTESTREAM))), b"")
        self.assertArrived(gateway, sent, 0, "direct")

    def test_row_46_a_name_is_offered_whole_or_not_at_all(self):
        """A path, or what no XML can carry, is the caller's mistake and told to him; nothing is cut off in silence."""
        gateway, peer = self.gateway(), self.peer()
        self.assertFailed(gateway.put(peer.jid, b"x", "über/..\0.txt"), 400, "request_malformed")
        for name in "über/...txt", "..", "a\\b", "a\1b", "\u202etxt.exe":
            self.assertFailed(gateway.put(peer.jid, b"x", name), 422, "name_invalid")
            told = {"Content-Disposition": f"attachment; filename*=UTF-8''{urllib.parse.quote(name, safe='')}"}
            self.assertFailed(gateway.request("PUT", gateway.target(peer.jid), b"x", told), 422, "name_invalid")
        self.send(gateway, peer, b"x", "über <&'\" .txt")
        offer = peer.expect(OFFER)
        self.assertEqual(offer.find(f".//{{{NS_SI_FILE}}}file").get("name"), "über <&'\" .txt")
        peer.refuse(offer, "cancel", "forbidden")


class Refusals(Script):
    """Rows about a no to the offer; there is an upload service for a link."""
    server_options = {"proxy": False, "upload": 1000000}

    def gateway(self, **settings):
        return super().gateway(XMPP_CA=str(self.server.authority.certificate), **settings)

    def test_row_37_a_decline_is_the_end_of_it(self):
        gateway, peer = self.gateway(), self.peer(features=(*SI_STREAMS, NS_IBB))
        sent = self.send(gateway, peer)
        offer = peer.expect(OFFER)
        peer.iq("error", offer.get("from"), "<error type='cancel' code='403'><forbidden "
                "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>"
                "Offer Declined</text></error>", offer.get("id"))
        self.assertEnded(gateway, sent, "failed", "recipient_declined", ("si-s5b", "recipient_declined"))
        self.assertSilent(peer, offer.get("from"))

    def test_row_38_no_valid_stream_is_followed_by_a_link(self):
        gateway, peer = self.gateway(), self.peer()
        sent = self.send(gateway, peer)
        peer.refuse(peer.expect(OFFER), "cancel", "bad-request", f"<no-valid-streams xmlns='{NS_SI}'/>")
        self.assertEnded(gateway, sent, "link_sent", None, ("si-s5b", "no_common_method"), ("link", None))
        message = peer.take(lambda stanza: stanza.tag.endswith("}message"), "message")
        self.assertTrue(message.find("{*}body").text.startswith("http"))


class BrokenServer(Script):
    """The server itself sends what no XML parser takes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.own = OwnServer()
        cls.addClassCleanup(cls.own.close)

    def session(self, jid):
        """A session of the gateway's with us, up to its question for the proxy's address."""
        session = self.own.accept(jid, {
            ITEMS: f"<query xmlns='{NS_ITEMS}'><item jid='{COMPONENT}'/></query>",
            INFO: lambda iq: PROXY_INFO if iq.get("to") == COMPONENT else info(SI_STREAMS)})
        self.addCleanup(session.close)
        return session, session.expect(BYTESTREAM)

    def test_row_24_a_stanza_that_is_not_well_formed_costs_the_session_and_nothing_else(self):
        jid, to = f"gateway@{DOMAIN}/jidpost", f"ana@{DOMAIN}/desk"
        gateway = self.gateway(False, server=self.own, XMPP_RECONNECT_MIN="200ms")
        gateway.start(ready=False)
        session, question = self.session(jid)
        gateway.wait_ready()
        sent = gateway.put(to, b"x").json["id"]
        gateway.wait_state(sent, "offering")
        session.send(f"<iq type='result' from='{COMPONENT}' to='{jid}' id='{question.get('id')}'>"
                     f"<query xmlns='{NS_BYTESTREAMS}'> sid='vxf9n471bn46'><streamhost p jid='{COMPONENT}' "
                     f"host='24.24.24.1' zeroconf='_jabber.bytestreams'/></query></iq>")
        told = session.take(lambda stanza: stanza.tag == f"{{{NS_STREAMS}}}error", "stream error")
        self.assertTrue(told[0].tag.endswith(("}invalid-xml", "}not-well-formed")), told[0].tag)
        session.close()  # as every server does on hearing that
        session, question = self.session(jid)
        session.result(question, f"<query xmlns='{NS_BYTESTREAMS}'><streamhost jid='{COMPONENT}' host='{LOOPBACK}' "
                                 f"port='7777'/></query>")
        offer = session.expect(OFFER)
        session.refuse(offer, "cancel", "forbidden")
        transfer = self.assertEnded(gateway, sent, "failed", "recipient_declined")
        self.assertIn("xmpp_disconnected", [code for _, code in self.attempts(transfer)])


class LargeFile(Script):
    weight = 3
    slow = True
    SIZE = (4 << 30) + 1

    def upload(self, gateway, peer):
        """Sparse, so that the size alone costs."""
        path = self.path("sparse")
        with open(path, "wb") as out:
            out.truncate(self.SIZE)
        with open(path, "rb") as body, socket.create_connection((LOOPBACK, gateway.port), 60) as caller:
            caller.sendall(f"PUT {gateway.target(peer.jid, 'large.bin')} HTTP/1.1\r\nHost: {LOOPBACK}\r\n"
                           f"Content-Length: {self.SIZE}\r\nConnection: close\r\n\r\n".encode())
            caller.sendfile(body)
            head, _, answer = socks.receive(caller).partition(b"\r\n\r\n")
        path.unlink()
        self.assertIn(b" 202 ", head.splitlines()[0])
        return json.loads(answer)["id"]

    def test_row_45_sizes_beyond_32_bits_are_told_and_sent_whole(self):
        gateway, peer = self.gateway(SPOOL_DURABILITY="process"), self.peer()
        sent = self.upload(gateway, peer)
        offer = peer.expect(OFFER)
        self.assertEqual(offer.find(f".//{{{NS_SI_FILE}}}file").get("size"), str(self.SIZE))
        accept_si(peer, offer)
        stream, count, room = self.connect(peer, peer.expect(BYTESTREAM)), 0, bytearray(1 << 20)
        with stream:
            while got := stream.recv_into(room):
                count += got
        self.assertEqual(count, self.SIZE)
        self.assertArrived(gateway, sent, self.SIZE, "direct")
