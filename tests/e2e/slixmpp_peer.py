#!/usr/bin/python3
"""A recipient and a sender: slixmpp with its own XEP-0047, XEP-0065, XEP-0095 and XEP-0096 plugins, behaving well or,
on request, badly.

Tells what happens as one JSON object a line: ready, presence, offer, streamhosts, stream, begun (the first bytes of a
stream), file, broken, message, room, disconnected. The occupants of a room are told by "room": who, as what, and whether there.
Ends when its standard input does; a line there is a command: "subscribe JID", "grant JID", "refuse JID", "go", or
"send JID METHOD FILE [BYTES]", of which slixmpp_sending.py tells how it went; BYTES: break off after so many.

Needs Debian's python3-slixmpp. Version 1.8.3 registers the coroutine that handles an SI request as a plain callback
and so never answers one; the line that later releases have is put in here.
"""
import argparse
import asyncio
import hashlib
import json
import os
import shlex
import sys

import slixmpp
from slixmpp.exceptions import XMPPError
from slixmpp.plugins.xep_0065.socks5 import Socks5Protocol
from slixmpp.xmlstream.handler import CoroutineCallback
from slixmpp.xmlstream.matcher import StanzaPath

from slixmpp_sending import Sender

IBB = "http://jabber.org/protocol/ibb"
OOB, SFS, FILE = "jabber:x:oob", "urn:xmpp:sfs:0", "urn:xmpp:file:metadata:0"

BEHAVIOURS = {
    "accept": "takes everything it is offered, and closes when the sender has",
    "eager": "closes as soon as it has as many bytes as were announced",
    "decline": "answers an SI offer with forbidden",
    "ignore": "never answers an SI offer",
    "ignore-streamhosts": "accepts the SI offer, then never answers the bytestream offer",
    "unreachable": "reaches none of the streamhosts, and says so",
    "phantom": "says it used a streamhost, but never connects to it",
    "stranger": "says it used a streamhost that was never offered",
    "refuse-streamhosts": "accepts the SI offer, then finds the bytestream not acceptable",
    "half": "resets the connection when half of the bytes have come",
    "hold": "stops reading, or acknowledging in-band, after the first bytes, until the command go",
}


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


class Offer:
    def __init__(self, sid, name=None, size=None):
        self.sid, self.name, self.size = sid, name, size


class Sink:
    """Where the bytes of one stream go: hashed, and kept when there is a directory to."""

    def __init__(self, peer, offer):
        self.peer, self.offer = peer, offer
        self.count, self.hash, self.over = 0, hashlib.sha256(), False
        self.file = None

    def take(self, data):
        if self.file is None and self.peer.directory:
            self.file = open(self.peer.path(self.offer), "wb")
        if self.file:
            self.file.write(data)
        if self.count == 0:
            tell("begun", sid=self.offer.sid, name=self.offer.name, bytes=len(data))
        self.count += len(data)
        self.hash.update(data)

    def finish(self, failed=False):
        if self.over:
            return
        self.over = True
        event = "broken" if failed or self.offer.size not in (None, self.count) else "file"
        if self.file:
            self.file.close()
        elif self.peer.directory and event == "file":
            open(self.peer.path(self.offer), "wb").close()
        tell(event, sid=self.offer.sid, name=self.offer.name, size=self.count, sha256=self.hash.hexdigest())


class Stream(Socks5Protocol):
    """One bytestream."""

    def __init__(self, peer, destination, offer):
        super().__init__(destination, 0, lambda *_: None)
        self.peer, self.offer = peer, offer
        self.sink = Sink(peer, offer)

    def data_received(self, data):
        if not self.connected.done():
            super().data_received(data)
            return
        self.sink.take(data)
        if self.peer.behaviour == "hold":
            self.transport.pause_reading()
            self.peer.held.append(self.transport)
        elif self.peer.behaviour == "half" and self.offer.size and self.sink.count * 2 >= self.offer.size:
            self.sink.finish(failed=True)
            self.transport.abort()
        elif self.peer.behaviour == "eager" and self.sink.count == self.offer.size:
            self.transport.close()

    def connection_lost(self, error):
        if self.connected.done():
            self.sink.finish(failed=bool(error))
        else:
            self.connected.set_exception(error or ConnectionResetError("closed in the handshake"))


class Recipient(slixmpp.ClientXMPP):
    def __init__(self, options):
        super().__init__(options.jid, options.password)
        self.behaviour, self.directory, self.only_proxy = options.behave, options.dir, options.only_proxy
        self.offers, self.held, self.leaving = {}, [], False
        self.denied = set()
        self.sinks, self.going = {}, asyncio.Event()  # of streams in-band
        self.sender, self.tasks = Sender(self, tell, options.streamhost, options.proxy, options.early), set()
        for plugin in ("xep_0030", "xep_0115", "xep_0199"):
            self.register_plugin(plugin)
        if not options.no_streams:
            self.understand_streams(options)
        self.add_event_handler("message", self.on_message)
        self.priority, self.room = options.priority, options.room
        if self.room:
            self.register_plugin("xep_0045")
            self.add_event_handler("groupchat_presence", self.on_occupant)
        if options.subscriptions == "wait":
            self.auto_authorize = None
        self.add_event_handler("session_start", self.on_session)
        self.add_event_handler("failed_auth", lambda _: sys.exit("failed_auth"))
        self.add_event_handler("disconnected", self.on_disconnected)
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "available", "unavailable"):
            self.add_event_handler("presence_" + kind, self.on_presence)

    def understand_streams(self, options):
        for plugin in ("xep_0047", "xep_0065"):
            self.register_plugin(plugin)
        self["xep_0065"].auto_accept = options.bare or options.no_si
        self["xep_0047"].auto_accept = options.bare or options.no_si
        if not options.no_si:
            self.understand_si(options.ibb)
        self.take_inband()
        self["xep_0065"]._connect_proxy = self.connect_streamhost
        self.remove_handler("Socks5 Bytestreams")
        self.register_handler(CoroutineCallback("Socks5 Bytestreams", StanzaPath("iq@type=set/socks/streamhost"),
                                                self.on_streamhosts))

    def understand_si(self, inband):
        for plugin in ("xep_0095", "xep_0096"):
            self.register_plugin(plugin)
        si = self["xep_0095"]
        if not inband:
            si.unregister_method(IBB)
        self.remove_handler("SI Request")
        self.register_handler(CoroutineCallback("SI Request", StanzaPath("iq@type=set/si"), si._handle_request))
        self.add_event_handler("si_request", self.on_offer)

    def take_inband(self):
        self.add_event_handler("ibb_stream_start", self.on_inband)
        self.add_event_handler("ibb_stream_data", lambda stream: self.sinks[stream.sid].take(stream.read()))
        self.add_event_handler("ibb_stream_end", lambda stream: self.sinks[stream.sid].finish())
        self.remove_handler("IBB Data")
        self.register_handler(CoroutineCallback("IBB Data", StanzaPath("iq@type=set/ibb_data"), self.on_block))

    def path(self, offer):
        return os.path.join(self.directory, os.path.basename(offer.name or offer.sid))

    async def on_session(self, _):
        await self.get_roster()
        self.send_presence(ppriority=self.priority)
        if self.room:
            self.plugin["xep_0045"].join_muc(self.room, self.boundjid.user)
        tell("ready", jid=self.boundjid.full)

    def on_disconnected(self, _):
        """Streams under way go on: they do not need the server."""
        tell("disconnected")
        if self.leaving:
            self.loop.stop()

    def on_presence(self, presence):
        if presence["from"].bare not in (self.boundjid.bare, self.room):
            tell("presence", sender=str(presence["from"]), type=presence["type"])

    def on_occupant(self, presence):
        tell("room", occupant=presence["from"].resource, there=presence["type"] != "unavailable")

    def on_message(self, message):
        url = message.xml.find(f"{{{OOB}}}x/{{{OOB}}}url")
        file = message.xml.find(f"{{{SFS}}}file-sharing/{{{FILE}}}file")
        shared = {} if file is None else {child.tag.rpartition("}")[2]: child.text for child in file}
        tell("message", sender=str(message["from"]), type=message["type"], body=message["body"],
             oob=None if url is None else url.text, shared=shared)

    def on_offer(self, iq):
        sid, file = iq["si"]["id"], iq["si"]["file"]
        self.offers[sid] = Offer(sid, file["name"], int(file["size"]))
        tell("offer", sid=sid, name=file["name"], size=int(file["size"]), sender=str(iq["from"]),
             type=iq["si"]["mime_type"], hash=file["hash"], description=file["desc"])
        si = self["xep_0095"]
        if self.behaviour == "decline":
            asyncio.ensure_future(si.decline(iq["from"], sid, ifrom=iq["to"]))
        elif self.behaviour != "ignore":
            asyncio.ensure_future(si.accept(iq["from"], sid, ifrom=iq["to"]))

    async def on_streamhosts(self, iq):
        socks = self["xep_0065"]
        sid = iq["socks"]["sid"]
        offer = self.offers.setdefault(sid, Offer(sid))
        hosts = [(str(host["jid"]), host["host"], int(host["port"])) for host in iq["socks"]["streamhosts"]]
        tell("streamhosts", sid=sid, hosts=hosts)
        if self.behaviour == "ignore-streamhosts":
            return
        if self.behaviour == "unreachable":
            raise XMPPError(etype="cancel", condition="item-not-found")
        if self.behaviour == "refuse-streamhosts":
            raise XMPPError(etype="modify", condition="not-acceptable")
        if self.behaviour in ("phantom", "stranger"):
            reply = iq.reply()
            reply["socks"]["sid"] = sid
            used = hosts[0][0] if self.behaviour == "phantom" else "elsewhere@" + self.boundjid.domain + "/x"
            reply["socks"]["streamhost_used"]["jid"] = used
            reply.send()
            return
        self.offers[socks._get_dest_sha1(sid, iq["from"], iq["to"])] = offer
        if self.only_proxy:
            self.denied.update((host, port) for jid, host, port in hosts if jid == str(iq["from"]))
        await socks._handle_streamhost(iq)
        tell("stream", sid=sid)

    def on_inband(self, stream):
        self.sinks[stream.sid] = Sink(self, self.offers.setdefault(stream.sid, Offer(stream.sid)))
        tell("stream", sid=stream.sid)

    async def on_block(self, iq):
        if self.behaviour == "hold" and self.sinks[iq["ibb_data"]["sid"]].count:
            await self.going.wait()
        await self["xep_0047"]._handle_data(iq)

    async def connect_streamhost(self, destination, host, port):
        if (host, int(port)) in self.denied:
            raise ConnectionRefusedError("behind a firewall")
        return await self.loop.create_connection(lambda: Stream(self, destination, self.offers[destination]),
                                                 host, port)

    def command(self, line):
        verb, _, argument = line.partition(" ")
        if verb == "subscribe":
            self.send_presence_subscription(pto=argument, ptype="subscribe")
        elif verb in ("grant", "refuse"):
            self.send_presence(pto=argument, ptype="subscribed" if verb == "grant" else "unsubscribed")
        elif verb == "go":
            self.behaviour = "accept"
            for transport in self.held:
                transport.resume_reading()
            self.held.clear()
            self.going.set()
        elif verb == "send":
            to, method, path, *limit = shlex.split(argument)
            task = self.loop.create_task(self.sender.send(slixmpp.JID(to), method, path, *map(int, limit)))
            self.tasks.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(self.tasks.discard)


async def obey(peer):
    """Commands come line by line; the end of input is the end of us."""
    reader = asyncio.StreamReader()
    await peer.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        line = await reader.readline()
        if not line:
            break
        peer.command(line.decode().strip())
    peer.leaving = True
    peer.disconnect(wait=1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("jid", help="full JID")
    arguments.add_argument("password")
    arguments.add_argument("host")
    arguments.add_argument("port", type=int)
    arguments.add_argument("--behave", choices=BEHAVIOURS, default="accept",
                           help="; ".join(f"{name}: {what}" for name, what in BEHAVIOURS.items()))
    arguments.add_argument("--bare", action="store_true", help="accept a stream without an SI offer too")
    arguments.add_argument("--no-si", action="store_true", help="announce and understand no SI at all")
    arguments.add_argument("--no-streams", action="store_true", help="announce and understand no bytestreams either")
    arguments.add_argument("--ibb", action="store_true", help="take in-band streams after an SI offer")
    arguments.add_argument("--only-proxy", action="store_true", help="never reach the sender's own streamhost")
    arguments.add_argument("--room", help="enter that room, which is made if it is not there")
    arguments.add_argument("--priority", type=int, default=0)
    arguments.add_argument("--subscriptions", choices=("accept", "wait"), default="accept",
                           help="who asks for a subscription gets it, or waits for the command grant or refuse")
    arguments.add_argument("--streamhost", help="as a sender have a streamhost there, and use no proxy")
    arguments.add_argument("--proxy", help="as a sender use that one, and not those of the server")
    arguments.add_argument("--early", action="store_true", help="as a sender be at the proxy before the target is")
    arguments.add_argument("--ca", help="insist on STARTTLS, with a certificate of this authority")
    arguments.add_argument("--dir", help="save files here")
    options = arguments.parse_args()
    peer = Recipient(options)
    peer.ca_certs = options.ca
    peer.connect((options.host, options.port), use_ssl=False, force_starttls=bool(options.ca),
                 disable_starttls=not options.ca)
    obeying = peer.loop.create_task(obey(peer))  # the loop itself holds tasks weakly
    peer.loop.run_forever()
    obeying.cancel()


main()
