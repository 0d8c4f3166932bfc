#!/usr/bin/python3
"""What a user of XMPP would write instead: slixmpp, logged in, sending a file to somebody by HTTP upload (XEP-0363)
or through the server's SOCKS5 proxy (XEP-0065), and the one who receives it.

    slixmpp_ways.py sender|receiver JID PASSWORD HOST PORT

The sender takes lines "http PATH TO" and "s5b PATH TO"; the receiver tells each file that is whole, with the time of
its last byte in nanoseconds of CLOCK_MONOTONIC. Both tell JSON, and end with their standard input."""
import asyncio
import json
import sys
import time
from pathlib import Path

import aiohttp
import slixmpp
from slixmpp.plugins.xep_0065.socks5 import Socks5Protocol

CHUNK = 64 * 1024


def tell(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid, password):
        super().__init__(jid, password)
        for plugin in ("xep_0030", "xep_0199", "xep_0066", "xep_0065", "xep_0363"):
            self.register_plugin(plugin)
        self["xep_0065"].auto_accept = True
        self.add_event_handler("session_start", self.on_session)
        self.add_event_handler("failed_auth", lambda _: sys.exit("failed_auth"))

    async def on_session(self, _):
        await self.get_roster()
        self.send_presence()
        await self.prepare()
        tell("ready", jid=self.boundjid.full)

    async def prepare(self):
        pass


class Sender(Client):
    async def prepare(self):
        """What a session asks once, not once a file."""
        await self["xep_0065"].discover_proxies()
        # Version 1.8.3 cannot search for it under Python 3.11: it hands coroutines to asyncio.wait().
        self["xep_0363"].upload_service = slixmpp.JID("upload." + self.boundjid.domain)

    async def http(self, path, to):
        url = await self["xep_0363"].upload_file(Path(path), timeout=60)
        message = self.make_message(mto=to, mbody=url)
        message["oob"]["url"] = url
        message.send()

    async def s5b(self, path, to):
        stream = await self["xep_0065"].handshake(slixmpp.JID(to))
        with open(path, "rb") as file:
            await stream.write(file.read())
        stream.transport.close()

    async def obey(self, line):
        verb, path, to = line.split()
        await {"http": self.http, "s5b": self.s5b}[verb](path, to)
        tell("sent")


class Incoming(Socks5Protocol):
    """A stream's bytes, counted."""
    count = last = 0

    def data_received(self, data):
        if not self.connected.done():
            super().data_received(data)
            return
        self.count += len(data)
        self.last = time.monotonic_ns()

    def connection_lost(self, error):
        if self.connected.done():
            tell("file", size=self.count, last=self.last)
        else:
            self.connected.set_exception(error or ConnectionResetError())


class Receiver(Client):
    async def prepare(self):
        self.web = aiohttp.ClientSession()
        self.add_event_handler("message", self.download)
        self["xep_0065"]._connect_proxy = self.connect_proxy

    async def download(self, message):
        count = 0
        async with self.web.get(message["oob"]["url"]) as answer:
            answer.raise_for_status()
            async for data in answer.content.iter_chunked(CHUNK):
                count += len(data)
        tell("file", size=count, last=time.monotonic_ns())

    async def connect_proxy(self, destination, host, port):
        return await self.loop.create_connection(lambda: Incoming(destination, 0, lambda *_: None), host, port)


async def obey_lines(client):
    reader = asyncio.StreamReader()
    await client.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            await client.obey(line.decode())
    finally:
        client.loop.stop()


def main():
    role, jid, password, host, port = sys.argv[1:]
    client = {"sender": Sender, "receiver": Receiver}[role](jid, password)
    client.connect((host, int(port)), use_ssl=False, force_starttls=False, disable_starttls=True)
    obeying = client.loop.create_task(obey_lines(client))  # the loop itself holds tasks weakly
    client.loop.run_forever()
    obeying.result()


if __name__ == "__main__":
    main()
