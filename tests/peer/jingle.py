"""A Jingle session that the gateway began, from the side of who is to get the file."""
from xml.sax.saxutils import quoteattr

from lab import LOOPBACK

from . import socks
from .peer import JINGLE, NS_JINGLE, NS_JINGLE_FILE, NS_JINGLE_S5B, SECONDS

MINE = 8257600  # a priority: direct, and above all that the gateway gives


def candidate(cid, port, priority=MINE, kind="direct", jid="alice@localhost/there", host=LOOPBACK):
    return (f"<candidate cid='{cid}' type='{kind}' host='{host}' port='{port}' priority='{priority}' "
            f"jid={quoteattr(jid)}/>")


class Talk:
    """ours: the gateway's candidates, as it offered them. stream: the id of the bytestream, which names are made of."""
    transport_ns = NS_JINGLE_S5B

    def __init__(self, peer, file_ns=NS_JINGLE_FILE):
        offer = peer.expect(JINGLE, action="session-initiate")
        self.peer, self.gateway, self.sid, self.file_ns = peer, offer.get("from"), offer[0].get("sid"), file_ns
        self.content = offer[0].find("{*}content")
        self.file = self.content.find(f"{{{file_ns}}}description/{{*}}file")
        self.transport = self.content.find("{*}transport")
        self.stream = self.transport.get("sid")
        self.ours = [dict(told.attrib) for told in self.transport.findall("{*}candidate")]
        peer.result(offer)

    # ---- what is said; each returns the gateway's answer

    def say(self, action, inside="", sid=None):
        return self.peer.ask(self.gateway, f"<jingle xmlns='{NS_JINGLE}' action='{action}' sid='{sid or self.sid}'>"
                                           f"{inside}</jingle>")

    def with_content(self, inside):
        return f"<content creator='initiator' name={quoteattr(self.content.get('name'))}>{inside}</content>"

    def bytestream(self, inside=""):
        return f"<transport xmlns='{NS_JINGLE_S5B}' sid='{self.stream}'>{inside}</transport>"

    def description(self, file=""):
        return f"<description xmlns='{self.file_ns}'><file>{file}</file></description>"

    def accept(self, *candidates, file="", transport=None):
        return self.say("session-accept", self.with_content(
            self.description(file) + (transport or self.bytestream("".join(candidates)))))

    def tell(self, element):
        """Something about candidates."""
        return self.say("transport-info", self.with_content(self.bytestream(element)))

    def end(self, reason="success"):
        return self.say("session-terminate", f"<reason><{reason}/></reason>")

    # ---- what is heard

    def hear(self, action, element=None, acknowledge=True, seconds=SECONDS):
        """The gateway's next with that action, and somewhere inside that element, which is returned."""
        def matches(iq):
            return (iq.get("type") == "set" and len(iq) and iq[0].tag == JINGLE and iq[0].get("action") == action
                    and iq[0].get("sid") == self.sid and (not element or iq.find(f".//{{*}}{element}") is not None))
        heard = self.peer.take(matches, f"{action} {element or ''}", seconds)
        if acknowledge:
            self.peer.result(heard)
        return heard if not element or not acknowledge else heard.find(f".//{{*}}{element}")

    # ---- bytes

    def owned_by_us(self):
        """The name of a stream that the gateway offered, XEP-0260 section 2.2: who offers comes first."""
        return socks.name(self.stream, self.gateway, self.peer.jid)

    def owned_by_peer(self):
        return socks.name(self.stream, self.peer.jid, self.gateway)

    def connect(self, which=0, of=None, split=False):
        """To one of the gateway's candidates."""
        told = self.ours[which]
        return socks.connect((told["host"], int(told["port"])), of or self.owned_by_us(), split)

    def take_directly(self):
        """The whole file from the gateway's listener, after an accept without candidates."""
        stream = self.connect()
        self.tell(f"<candidate-used cid='{self.ours[0]['cid']}'/>")
        self.hear("transport-info", "candidate-error")
        return socks.receive(stream)
