"""The XMPP side of those whom a test plays, stanza by stanza: a recipient, a component, or the gateway's own server.

Whatever comes waits until the test takes it with expect() and answers it as it pleases, or not at all. Only what no
test wants to write down is answered by itself: see `answers`."""
import base64
import hashlib
import itertools
import socket
import threading
import time
import xml.etree.ElementTree as xml
from xml.sax.saxutils import escape, quoteattr

from lab import COMPONENT, DOMAIN, LOOPBACK, PASSWORD
from xml_stream import elements

SECONDS = 15  # for what has no reason to take long

NS_BYTESTREAMS = "http://jabber.org/protocol/bytestreams"
NS_IBB = "http://jabber.org/protocol/ibb"
NS_INFO = "http://jabber.org/protocol/disco#info"
NS_ITEMS = "http://jabber.org/protocol/disco#items"
NS_JINGLE = "urn:xmpp:jingle:1"
NS_JINGLE_ERRORS = "urn:xmpp:jingle:errors:1"
NS_JINGLE_FILE = "urn:xmpp:jingle:apps:file-transfer:5"
NS_JINGLE_S5B = "urn:xmpp:jingle:transports:s5b:1"
NS_SI = "http://jabber.org/protocol/si"
NS_SI_FILE = "http://jabber.org/protocol/si/profile/file-transfer"
NS_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_UPLOAD = "urn:xmpp:http:upload:0"
NS_PING = "urn:xmpp:ping"
NS_STREAMS = "http://etherx.jabber.org/streams"

INFO = f"{{{NS_INFO}}}query"
ITEMS = f"{{{NS_ITEMS}}}query"
PING = f"{{{NS_PING}}}ping"
OFFER = f"{{{NS_SI}}}si"
BYTESTREAM = f"{{{NS_BYTESTREAMS}}}query"
JINGLE = f"{{{NS_JINGLE}}}jingle"
OPEN, DATA, CLOSE = (f"{{{NS_IBB}}}{name}" for name in ("open", "data", "close"))

SI_STREAMS = (NS_SI, NS_SI_FILE, NS_BYTESTREAMS)
JINGLE_STREAMS = (NS_JINGLE, NS_JINGLE_FILE, NS_JINGLE_S5B)


def info(features, identity="category='client' type='pc'"):
    return (f"<query xmlns='{NS_INFO}'><identity {identity}/>"
            + "".join(f"<feature var={quoteattr(feature)}/>" for feature in features) + "</query>")


def error(kind, condition, more=""):
    return f"<error type='{kind}'><{condition} xmlns='{NS_STANZAS}'/>{more}</error>"


def condition(answer):
    """(type, condition, the condition of its own that Jingle may add) of an error."""
    told = answer.find("{*}error")
    if told is None:
        raise AssertionError(f"no error: {xml.tostring(answer).decode()}")
    own = [child.tag.rpartition("}")[2] for child in told if child.tag.startswith(f"{{{NS_JINGLE_ERRORS}}}")]
    return (told.get("type"), *[child.tag.rpartition("}")[2] for child in told
                                if NS_STANZAS in child.tag and not child.tag.endswith("}text")], *own)


class Stream:
    """answers: for the tag of a question's payload, what it is answered with by itself: the payload of a result, or a
    function from the question to that."""

    def __init__(self, sock, jid=None):
        self.socket, self.jid = sock, jid
        self.answers = {PING: ""}
        self.news, self.waiting, self.ended = threading.Condition(), [], False
        self.sending, self.ids = threading.Lock(), itertools.count(1)

    def listen(self, received):
        self.socket.settimeout(None)
        threading.Thread(target=self._read, args=(received,), daemon=True).start()

    def _read(self, received):
        for stanza in received:
            if not self._answered(stanza):
                with self.news:
                    self.waiting.append(stanza)
                    self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def _answered(self, stanza):
        if not len(stanza) or stanza.get("type") not in ("get", "set") or stanza[0].tag not in self.answers:
            return False
        answer = self.answers[stanza[0].tag]
        self.result(stanza, answer(stanza) if callable(answer) else answer)
        return True

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    # ---- what is heard

    def take(self, matches, what, seconds=SECONDS):
        """The oldest stanza that matches and was not taken yet; those before it stay."""
        deadline = time.monotonic() + seconds
        with self.news:
            while True:
                for stanza in self.waiting:
                    if matches(stanza):
                        self.waiting.remove(stanza)
                        return stanza
                if self.ended or not self.news.wait(max(0, deadline - time.monotonic())):
                    raise AssertionError(f"{self.jid}: no {what} within {seconds} s; waiting: {self.told()}"
                                         + ("; the stream ended" if self.ended else ""))

    def expect(self, *tags, seconds=SECONDS, **attributes):
        """A question whose payload has one of those tags, and those attributes."""
        def matches(stanza):
            return (stanza.get("type") in ("get", "set") and len(stanza) and stanza[0].tag in tags
                    and all(stanza[0].get(key) == value for key, value in attributes.items()))
        return self.take(matches, f"{' or '.join(tags)} {attributes}", seconds)

    def told(self, *tags):
        """What nobody took so far, presence aside; with tags, those questions alone."""
        with self.news:
            return [xml.tostring(stanza).decode() for stanza in self.waiting
                    if not stanza.tag.endswith("}presence") and (not tags or (len(stanza) and stanza[0].tag in tags))]

    # ---- what is said

    def send(self, text):
        with self.sending:
            self.socket.sendall(text.encode())

    def iq(self, kind, to, payload, identifier, sender=None):
        sender = f" from={quoteattr(sender)}" if sender else ""
        self.send(f"<iq type='{kind}' id={quoteattr(identifier)} to={quoteattr(to)}{sender}>{payload}</iq>")

    stamps = False  # a server puts our address into what we send

    def result(self, iq, payload="", sender=None):
        self.iq("result", iq.get("from"), payload, iq.get("id"), sender or self.stamps and iq.get("to"))

    def refuse(self, iq, kind, condition, more=""):
        self.iq("error", iq.get("from"), error(kind, condition, more), iq.get("id"), self.stamps and iq.get("to"))

    def ask(self, to, payload, kind="set"):
        """The answer to a question of ours, a result or an error."""
        identifier = f"ask{next(self.ids)}"
        self.iq(kind, to, payload, identifier, self.stamps and self.jid)
        return self.take(lambda stanza: stanza.get("id") == identifier and stanza.get("type") in ("result", "error"),
                         f"answer to {payload}")

    def sync(self, gateway):
        """Afterwards everything that the gateway sent us before is here."""
        self.ask(gateway, f"<ping xmlns='{NS_PING}'/>", "get")


class Peer(Stream):
    """An account of the server's: logged in, seen by its contacts, with those features."""

    def __init__(self, server, user, resource, features, presence=""):
        super().__init__(socket.create_connection((LOOPBACK, server.port), 10), f"{user}@{DOMAIN}/{resource}")
        self.asked = []  # who wanted to know its features: the server does, too
        self.answers.update({INFO: self.info, ITEMS: f"<query xmlns='{NS_ITEMS}'/>"})
        self.features = features
        received = self.login(user, resource)
        self.listen(received)
        self.send(f"<presence>{presence}</presence>")
        self.take(lambda stanza: stanza.tag.endswith("}presence") and stanza.get("from") == self.jid, "own presence")

    def info(self, question):
        self.asked.append(question.get("from"))
        node = question[0].get("node")
        return info(self.features).replace("<query", f"<query node={quoteattr(node)}" if node else "<query", 1)

    def open(self):
        self.send(f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{NS_STREAMS}' "
                  f"to='{DOMAIN}' version='1.0'>")
        received = elements(self.socket)
        next(received)  # the stream's id
        next(received)  # its features
        return received

    def login(self, user, resource):
        received = self.open()
        secret = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
        self.send(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>")
        answer = next(received)
        assert answer.tag.endswith("}success"), xml.tostring(answer)
        received = self.open()
        self.send(f"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                  f"<resource>{escape(resource)}</resource></bind></iq>")
        answer = next(received)
        assert answer.get("type") == "result", xml.tostring(answer)
        return received


class Component(Stream):
    """A component of the server's (XEP-0114), which its items list; may speak as anybody of its domain."""
    stamps = True

    def __init__(self, server, answer):
        super().__init__(socket.create_connection((LOOPBACK, server.component_port), 10), COMPONENT)
        self.answers[INFO] = answer
        self.send(f"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='{NS_STREAMS}' "
                  f"to='{COMPONENT}'>")
        received = elements(self.socket)
        digest = hashlib.sha1((next(received) + PASSWORD).encode()).hexdigest()
        self.send(f"<handshake>{digest}</handshake>")
        answer = next(received)
        assert answer.tag.endswith("}handshake"), xml.tostring(answer)
        self.listen(received)

    def forget(self):
        """What earlier tests left behind."""
        with self.news:
            self.waiting.clear()


class OwnServer:
    """A server that is nothing but a script: whoever comes is logged in as the gateway, and the rest is the test's."""

    def __init__(self):
        self.listener = socket.create_server((LOOPBACK, 0))
        self.listener.settimeout(SECONDS)
        self.port = self.listener.getsockname()[1]

    def close(self):
        self.listener.close()

    def accept(self, jid, answers):
        """The gateway's session, in which those answers are given."""
        session = Session(self.listener.accept()[0], DOMAIN)
        session.socket.settimeout(SECONDS)
        session.answers.update(answers)
        received = session.open("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
                                "</mechanisms>")
        next(received)  # <auth/>
        session.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        received = session.open("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        session.iq("result", jid, f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{jid}</jid></bind>",
                   next(received).get("id"))
        session.listen(received)
        return session


class Session(Stream):
    """One of the gateway's with a server of ours: we are its server and everybody behind it."""
    stamps = True

    def __init__(self, sock, jid):
        super().__init__(sock, jid)
        self.answers["{jabber:iq:roster}query"] = "<query xmlns='jabber:iq:roster'/>"

    def open(self, features):
        received = elements(self.socket)
        next(received)
        self.send(f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{NS_STREAMS}' id='s' "
                  f"from='{DOMAIN}' version='1.0'><stream:features>{features}</stream:features>")
        return received

    def result(self, iq, payload="", sender=None):
        """Also from whom was asked nothing: the account itself."""
        to = iq.get("to")
        sender = sender or to
        self.send(f"<iq type='result' id={quoteattr(iq.get('id'))}{f' from={quoteattr(sender)}' if sender else ''}>"
                  f"{payload}</iq>")

    def refuse(self, iq, kind, condition, more=""):
        self.send(f"<iq type='error' id={quoteattr(iq.get('id'))} from={quoteattr(iq.get('to'))}>"
                  f"{error(kind, condition, more)}</iq>")
