"""A SOCKS5 bytestream proxy that can be told to misbehave: an XMPP component (XEP-0114) and a listener.

Its conduct has four parts, each "ok" or one way of going wrong:

    address    answer to the address query: a stanza error as "type/condition", or "silence"
    connect    the second CONNECT of a stream, the gateway's: "refuse" (REP 02), "hang-up", "silence",
               or "gone": the listener closes as soon as the recipient is connected
    activate   answer to the activation: "type/condition", or "silence"
    relay      "half": hangs up on both when half of `size` bytes went through
"""
import hashlib
import selectors
import socket
import threading
import xml.etree.ElementTree as xml
from xml.sax.saxutils import quoteattr

from lab import COMPONENT, LOOPBACK, PASSWORD
from xml_stream import elements

BYTESTREAMS = "http://jabber.org/protocol/bytestreams"
DISCO_INFO = "http://jabber.org/protocol/disco#info"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


class FakeProxy:
    def __init__(self, server):
        self.waiting, self.lock, self.sockets = {}, threading.Lock(), []
        self.behave()
        self.component = self.own(socket.create_connection((LOOPBACK, server.component_port), 10))
        self.component.settimeout(None)
        self.stanzas = self.handshake()
        threading.Thread(target=self.serve_stanzas, daemon=True).start()

    def behave(self, address="ok", connect="ok", activate="ok", relay="ok", size=0):
        """From now on, and on a port of its own."""
        self.address, self.connect, self.activate, self.relay, self.size = address, connect, activate, relay, size
        self.listener = self.own(socket.create_server((LOOPBACK, 0)))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve_sockets, args=(self.listener,), daemon=True).start()

    def own(self, one):
        self.sockets.append(one)
        return one

    def close(self):
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    # ---- the component

    def handshake(self):
        """XEP-0114 section 3; returns the stanzas to come."""
        self.component.sendall(f"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                               f"xmlns:stream='http://etherx.jabber.org/streams' to='{COMPONENT}'>".encode())
        received = elements(self.component)
        stream_id = next(received)
        digest = hashlib.sha1((stream_id + PASSWORD).encode()).hexdigest()
        self.component.sendall(f"<handshake>{digest}</handshake>".encode())
        answer = next(received)
        assert answer.tag.endswith("}handshake"), xml.tostring(answer)
        return received

    def serve_stanzas(self):
        for stanza in self.stanzas:
            if not stanza.tag.endswith("}iq") or stanza.get("type") not in ("get", "set") or not len(stanza):
                continue
            namespace = stanza[0].tag[1:].partition("}")[0]
            if namespace == DISCO_INFO:
                self.reply(stanza, f"<query xmlns='{DISCO_INFO}'><identity category='proxy' type='bytestreams'/>"
                                   f"<feature var='{BYTESTREAMS}'/></query>")
            elif namespace == BYTESTREAMS and stanza.get("type") == "get":
                self.conduct(self.address, stanza,
                             f"<query xmlns='{BYTESTREAMS}'><streamhost jid='{COMPONENT}' host='{LOOPBACK}' "
                             f"port='{self.port}'/></query>")
            elif namespace == BYTESTREAMS:
                self.conduct(self.activate, stanza, "")
                if self.activate == "ok":
                    self.start_relay(stanza)
            else:
                self.conduct("cancel/service-unavailable", stanza, "")

    def conduct(self, how, stanza, payload):
        if how == "ok":
            self.reply(stanza, payload)
        elif how != "silence":
            kind, condition = how.split("/")
            self.reply(stanza, f"<error type='{kind}'><{condition} xmlns='{STANZAS}'/></error>", "error")

    def reply(self, stanza, payload, kind="result"):
        self.component.sendall(f"<iq type='{kind}' id={quoteattr(stanza.get('id'))} from='{COMPONENT}' "
                               f"to={quoteattr(stanza.get('from'))}>{payload}</iq>".encode())

    # ---- the streams

    def serve_sockets(self, listener):
        while True:
            try:
                peer = self.own(listener.accept()[0])
            except OSError:
                return
            threading.Thread(target=self.take, args=(peer,), daemon=True).start()

    def take(self, peer):
        try:
            peer.recv(262)
            peer.sendall(b"\5\0")
            request = peer.recv(262)
        except OSError:
            return
        name = request[5:45].decode()
        with self.lock:
            pair = self.waiting.setdefault(name, [])
            second = len(pair) == 1
            if not second or self.connect == "ok":
                pair.append(peer)
        if second and self.connect == "refuse":
            peer.sendall(b"\5\2" + request[2:])
            peer.close()
        elif second and self.connect == "hang-up":
            peer.close()
        elif not second and self.connect == "gone":
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            peer.sendall(b"\5\0" + request[2:])
        elif not second or self.connect == "ok":
            peer.sendall(b"\5\0" + request[2:])

    def start_relay(self, stanza):
        query = stanza[0]
        name = hashlib.sha1((query.get("sid") + stanza.get("from") + query[0].text).encode()).hexdigest()
        with self.lock:
            recipient, sender = self.waiting.pop(name)
        threading.Thread(target=self.pump, args=(sender, recipient), daemon=True).start()

    def pump(self, sender, recipient):
        moved = 0
        with selectors.DefaultSelector() as ready:
            ready.register(sender, selectors.EVENT_READ, recipient)
            ready.register(recipient, selectors.EVENT_READ, sender)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)
                    moved += len(data)
                    if not data or self.relay == "half" and moved * 2 >= self.size:
                        sender.close()
                        recipient.close()
                        return
                    key.data.sendall(data)
