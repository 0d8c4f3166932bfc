"""The relay for others, beside the servers' own and a bare loop of splice(2): how fast, for how much, and what it holds."""
import json
import os
import subprocess
from fcntl import fcntl
from pathlib import Path

from gateway import as_component
from lab import FILES, PROXY, Ejabberd, Prosody
from measure import GIB, MIB, Row, memory, ours, ratio
from rig import DOMAIN, LOOPBACK, PASSWORD, PROGRAMS, Process, settle

KIB = 1024
UNPRIVILEGED_PIPES = 64 * MIB  # pipe-user-pages-soft, as Linux has it
RELAY = {"PROXY_ALLOW": f"*@{DOMAIN}", "PROXY_MAX_STREAMS": "4096", "PROXY_MAX_STREAMS_PER_REQUESTER": "4096",
         "PROXY_HOURLY_BYTES": "100000G", "SOCKS5_MAX_STREAMS": "8192", "SOCKS5_PENDING_PER_PEER": "4096"}


USERS = tuple(f"user{number}" for number in range(40))  # as proxy_streams.c has them


class LargeBuffers(Ejabberd):
    """With the buffers that its documentation recommends for speed."""

    def configuration(self):
        return super().configuration().replace("max_connections: infinity",
                                               "max_connections: infinity, recbuf: 1048576, sndbuf: 1048576")


class Relay:
    """One of those that are measured. xmpp_port 0: it joins every two connections without a word."""

    def __init__(self, name, pid, xmpp_port, jid, port):
        self.name = name
        self.pid, self.xmpp_port, self.jid, self.port = pid, xmpp_port, jid, port


class Streams:
    """tests/bench/proxy_streams.c: so many open through a relay."""

    def __init__(self, rig, relay, count):
        argv = [LOOPBACK, relay.xmpp_port, PASSWORD, f"user*@{DOMAIN}/hold", relay.jid, relay.port, count, relay.pid]
        self.process = Process([str(PROGRAMS / "proxy_streams"), *map(str, argv)], rig.path("streams.log"),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.name, self.count = relay.name, count
        self.told()

    def told(self):
        line = self.process.popen.stdout.readline()
        if not line:
            raise AssertionError(f"proxy_streams: {self.process.tail()}")
        return json.loads(line)

    def flood(self, total):
        """(GB/s, processor seconds per GiB) of that many bytes, in equal shares."""
        self.process.popen.stdin.write(f"{max(total // self.count, 1)}\n".encode())
        self.process.popen.stdin.flush()
        told = self.told()
        if told["lost"] and self.name != "prosody":  # which loses some of what comes while it is busy, now and then
            raise AssertionError(f"{self.name} lost {told['lost']} of {told['bytes']} bytes")
        return told["bytes"] / told["wall_ns"], told["cpu_ns"] / 1e9 / told["bytes"] * GIB

    def end(self):
        self.process.popen.stdin.close()
        self.process.popen.wait(20)
        self.process.popen.stdout.close()


def pipes_of(pid):
    """(how many, what they take in all), of which each has two descriptors."""
    sizes = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(entry).startswith("pipe:"):
                fd = os.open(entry, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                sizes[os.readlink(entry)] = fcntl(fd, 1032)  # F_GETPIPE_SZ
                os.close(fd)
        except OSError:
            continue  # it was closed meanwhile
    return len(sizes), sum(sizes.values())


def bare_loop(rig):
    process = Process([str(PROGRAMS / "splice_loop")], rig.path("splice.log"), stdout=subprocess.PIPE)
    rig.going.append(process.kill)
    return Relay("splice", process.pid, 0, "-", json.loads(process.popen.stdout.readline())["port"])


def server(rig, kind):
    made = kind(rig.path(kind.name), strangers=USERS)
    rig.going.append(made.kill)
    return made.start()


def all_relays(rig):
    prosody, ejabberd = server(rig, Prosody), server(rig, LargeBuffers)
    rig.servers["prosody"] = prosody  # the gateway's, too
    gateway = rig.gateway("prosody", **{**RELAY, **as_component(prosody)})
    gateway.wait_ready()
    return [Relay("jidpost", gateway.process.pid, prosody.port, FILES, gateway.socks5_port), bare_loop(rig),
            *(Relay(one.name, one.process.pid, one.port, PROXY, one.proxy_port) for one in (ejabberd, prosody))]


def measure(rig, relay, count, total):
    streams = Streams(rig, relay, count)
    streams.flood(max(total // 16, count))  # every socket has found its pace
    settle(relay.pid)
    measured = streams.flood(total)
    pipes = pipes_of(relay.pid)
    streams.end()
    settle(relay.pid)
    return measured, pipes


def rows_for(count):
    def row(what, unit, reach, peer):
        return Row("relay", f"{count} streams: {what}", unit, reach, peer)

    return {"splice": (row("throughput", "GB/s", ratio(least=0.9), "bare splice loop"),
                       row("processor time per GiB, that or 0.25 s", "CPU-s/GiB", None, "bare splice loop")),
            "ejabberd": (row("throughput", "GB/s", None, "ejabberd, buffers of 1 MiB"),
                         row("processor time per GiB", "CPU-s/GiB", ratio(most=1 / 2), "ejabberd, buffers of 1 MiB")),
            "prosody": (row("throughput", "GB/s", None, "Prosody"),
                        row("processor time per GiB", "CPU-s/GiB", ratio(most=1 / 50), "Prosody"))}


def idle_memory(rig, relay, count):
    """Anonymous bytes for each stream that is open and silent, beyond eight of them."""
    first = Streams(rig, relay, 8)
    before = memory(relay.pid)[1]
    more = Streams(rig, relay, count)
    each = (memory(relay.pid)[1] - before) / count
    more.end()
    first.end()
    settle(relay.pid)
    return each


def relay(rig):
    """Others' streams through the gateway, a bare loop of splice(2), ejabberd's and Prosody's proxy65."""
    counts = rig.size([1, 8, 100, 1000], [1, 100])
    totals = {"jidpost": rig.size(4 * GIB, 64 * MIB), "splice": rig.size(4 * GIB, 64 * MIB),
              "ejabberd": rig.size(512 * MIB, 16 * MIB), "prosody": rig.size(64 * MIB, 4 * MIB)}
    relays = all_relays(rig)
    rows = {count: rows_for(count) for count in counts}
    many = counts[-1]
    pipes = Row("relay", f"{many} streams: pipes", "", None)
    pipe_bytes = Row("relay", f"{many} streams: what its pipes take, beside what an unprivileged user's may", "MiB",
                     ratio(most=1), "limit")
    each = Row("relay", f"for each of {many} streams that are open and idle, whole program", "bytes", None)
    each.add(idle_memory(rig, relays[0], many))  # once: a second time it would use what it has already
    for _ in range(rig.runs):
        for count in counts:
            told = {one.name: measure(rig, one, count, totals[one.name]) for one in relays}
            for name, (speed, cost) in rows[count].items():
                speed.add(told["jidpost"][0][0], told[name][0][0])
                cost.add(told["jidpost"][0][1], told[name][0][1])
            if count == many:
                pipes.add(told["jidpost"][1][0])
                pipe_bytes.add(told["jidpost"][1][1] / MIB, UNPRIVILEGED_PIPES / MIB)
    for count in counts:  # 0.25 s or 1.3 x the loop's, whichever is more
        cost = rows[count]["splice"][1]
        cheap = all(value <= 0.25 for value in cost.ours)
        cost.reach = ours(most=0.25) if cheap else ratio(most=1.3)
    return [row for group in rows.values() for pair in group.values() for row in pair] + [pipes, pipe_bytes, each]
