"""slixmpp as a sender, for slixmpp_peer.py: a file by XEP-0096 or without an offer, in-band or by a bytestream.

slixmpp goes to proxies alone, once the target is there; a streamhost of its own, and going to the proxy before the
target was asked (as Conversations does), are added here. Tells: sending (who will be the streamhost), sent, unsent.
"""
import asyncio
import hashlib
import os

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.plugins.xep_0065.socks5 import Socks5Protocol
from slixmpp.plugins.xep_0096 import File

S5B, IBB = "http://jabber.org/protocol/bytestreams", "http://jabber.org/protocol/ibb"
SI_FILE = "http://jabber.org/protocol/si/profile/file-transfer"
METHODS = {"si-s5b": [S5B], "si-ibb": [IBB], "si": [S5B, IBB], "s5b": None, "ibb": None}
BLOCK = 65536
SECONDS = 60


class Outgoing(Socks5Protocol):
    """A stream to a proxy."""

    def __init__(self, name):
        super().__init__(name, 0, lambda *_: None)
        self.over = asyncio.get_event_loop().create_future()

    def connection_lost(self, error):
        if not self.connected.done():
            self.connected.set_exception(error or ConnectionResetError("closed in the handshake"))
        if not self.paused.done():
            self.paused.set_exception(error or ConnectionResetError("closed by the proxy"))
        if not self.over.done():
            self.over.set_result(error)

    async def finish(self):
        self.transport.close()
        error = await self.over
        if error:
            raise error

    def abort(self):
        self.transport.abort()


class Incoming:
    """A stream to somebody who came to our own streamhost."""

    def __init__(self, writer):
        self.writer = writer

    async def write(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def finish(self):
        self.writer.close()
        await self.writer.wait_closed()

    def abort(self):
        self.writer.transport.abort()


class Streamhost:
    """Of our own: grants one name to one who comes."""

    def __init__(self, name):
        self.name, self.came = name, asyncio.get_event_loop().create_future()
        self.server = None

    async def listen(self, address):
        self.server = await asyncio.start_server(self.serve, address, 0)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            count = (await reader.readexactly(2))[1]
            await reader.readexactly(count)
            writer.write(b"\5\0")
            request = await reader.readexactly(47)
            granted = request[:5] == b"\5\1\0\3\x28" and request[5:45].decode() == self.name and not self.came.done()
            writer.write((b"\5\0" if granted else b"\5\2") + request[2:])
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            granted = False
        if granted:
            self.came.set_result(Incoming(writer))
        else:
            writer.close()


class Sender:
    """address: where our own streamhost listens, None: there is none, and proxies are used; proxy: that one alone, and
    not those of the server; early: go to the proxy before the target is asked."""

    def __init__(self, client, tell, address=None, proxy=None, early=False):
        self.client, self.tell = client, tell
        self.address, self.proxy, self.early = address, proxy, early

    async def send(self, to, method, path, limit=None):
        """limit: break off after so many bytes."""
        name, size = os.path.basename(path), os.path.getsize(path)
        sid = "slix-" + os.urandom(6).hex()
        try:
            use, offset = {"s5b": S5B, "ibb": IBB}.get(method), 0
            if use is None:
                use, offset = await self.offer(to, sid, path, METHODS[method])
            pieces = self.pieces(path, offset, limit)
            if use == IBB:
                await self.in_band(to, sid, pieces, limit)
            else:
                await self.stream(to, sid, pieces, limit)
            self.tell("sent", sid=sid, to=str(to), name=name, size=size, offset=offset)
        except IqTimeout:
            self.tell("unsent", sid=sid, to=str(to), name=name, error="timeout", text="")
        except IqError as refusal:
            self.tell("unsent", sid=sid, to=str(to), name=name, error=refusal.condition, text=refusal.text)
        except Exception as error:  # whatever it is, the test that waits for the end is to see it
            self.tell("unsent", sid=sid, to=str(to), name=name, error=type(error).__name__, text=str(error))

    @staticmethod
    def pieces(path, offset, limit):
        with open(path, "rb") as file:
            file.seek(offset)
            left = os.path.getsize(path) if limit is None else limit
            while left and (data := file.read(min(BLOCK, left))):
                left -= len(data)
                yield data

    async def offer(self, to, sid, path, methods):
        """Which of them it will be, and where the bytes are to begin."""
        file = File()
        file["name"], file["size"] = os.path.basename(path), str(os.path.getsize(path))
        with open(path, "rb") as data:
            file["hash"] = hashlib.file_digest(data, "md5").hexdigest()
        file["desc"] = "sent by slixmpp"
        file.enable("range")
        answer = await self.client["xep_0095"].offer(
            to, sid=sid, mime_type="application/octet-stream", profile=SI_FILE, payload=file,
            methods=[{"value": method} for method in methods], timeout=SECONDS)
        chosen = answer["si"]["feature_neg"]["form"].get_values()["stream-method"]
        span = answer["si"].xml.find(f"{{{SI_FILE}}}file/{{{SI_FILE}}}range")
        return (chosen if isinstance(chosen, str) else chosen[0]), int(span.get("offset", 0)) if span is not None else 0

    async def in_band(self, to, sid, pieces, limit):
        stream = await self.client["xep_0047"].open_stream(to, sid=sid, block_size=4096, timeout=SECONDS)
        self.tell("sending", sid=sid, streamhost=None)
        for data in pieces:
            await stream.sendall(data, timeout=SECONDS)
        if limit is None:
            await stream.close(timeout=SECONDS)

    async def stream(self, to, sid, pieces, limit):
        name = self.client["xep_0065"]._get_dest_sha1(sid, self.client.boundjid.full, to)
        stream = await (self.at_home(to, sid, name) if self.address else self.at_proxy(to, sid, name))
        for data in pieces:
            await stream.write(data)
        if limit is None:
            await stream.finish()
        else:
            stream.abort()

    async def at_home(self, to, sid, name):
        host = Streamhost(name)
        port = await host.listen(self.address)
        socks = self.client["xep_0065"]
        socks._proxies = {self.client.boundjid.full: (self.address, str(port))}
        await socks.request_stream(to, sid=sid, timeout=SECONDS)
        self.tell("sending", sid=sid, streamhost=self.client.boundjid.full)
        stream = await asyncio.wait_for(host.came, SECONDS)
        host.server.close()
        return stream

    async def at_proxy(self, to, sid, name):
        socks, waiting = self.client["xep_0065"], {}
        hosts = await self.proxies(socks)
        if self.early:
            waiting = {jid: await self.connect(name, *where) for jid, where in hosts.items()}
        answer = await socks.request_stream(to, sid=sid, timeout=SECONDS)
        used = answer["socks"]["streamhost_used"]["jid"]
        stream = waiting.get(used) or await self.connect(name, *hosts[used])
        await socks.activate(used, sid, to, timeout=SECONDS)
        self.tell("sending", sid=sid, streamhost=str(used))
        return stream

    async def proxies(self, socks):
        if not self.proxy:
            return await socks.discover_proxies(timeout=SECONDS)
        told = (await socks.get_network_address(self.proxy, timeout=SECONDS))["socks"]["streamhost"]
        socks._proxies = {slixmpp.JID(told["jid"]): (told["host"], told["port"])}
        return socks._proxies

    async def connect(self, name, host, port):
        stream = (await self.client.loop.create_connection(lambda: Outgoing(name), host, int(port)))[1]
        await asyncio.wait_for(stream.connected, SECONDS)
        return stream
