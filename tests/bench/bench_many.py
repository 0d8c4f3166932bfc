"""Many streams at once: what they cost, whether each gets its share, and what one costs the memory."""
import statistics
import subprocess

from measure import GIB, MIB, Row, memory, ours, percentile, ratio, tcp_queued
from rig import DOMAIN, LOOPBACK, PASSWORD, PROGRAMS, Prober, Process, loop_turns, put_many, settle

KIB = 1024
UNLIMITED = {"DELIVERY_PARALLEL": "16384", "DELIVERY_PER_RECIPIENT_PARALLEL": "16384", "SOCKS5_MAX_STREAMS": "32768",
             "SOCKS5_PENDING_PER_PEER": "16384", "SPOOL_MAX_FILES": "50000", "SPOOL_DURABILITY": "process",
             "DELIVERY_STALL_TIMEOUT": "600s", "DELIVERY_CONNECT_TIMEOUT": "600s", "SPOOL_MAX_BYTES": "20G"}


def hold_streams(gateway, recipient, count, size, path):
    """That many streams, each with a whole file before it its reader asleep. Returns how much is still to be sent."""
    recipient.expect(count, hold=True, gateway=gateway)
    put_many(gateway, recipient.jid, count, min(64, count), path)
    recipient.all_open()
    settle()
    return size * count - tcp_queued(gateway.socks5_port)


def release_streams(gateway, recipient, left):
    """Lets them go together, and looks at the gateway until the last byte is there."""
    prober = Prober(gateway)
    recipient.go()
    told = recipient.done(600)
    answers = prober.stop()
    times = [(stream["last"] - told["go"]) / 1e6 for stream in told["streams"]]
    return {"speed": left / max(times) / 1e6, "cost": told["cpu"] / 1e9 / left * GIB, "slowest": max(times),
            "median": statistics.median(times), "livez": percentile(answers, 0.99)}


def measure_streams(rig, recipient, count, total):
    size = max(total // count, rig.size(2 * MIB, 64 * KIB))
    gateway = rig.gateway("prosody", **UNLIMITED)
    try:
        rig.warm(gateway, recipient)
        measured = release_streams(gateway, recipient, hold_streams(gateway, recipient, count, size, rig.file(size)))
        gateway.stop()
    finally:
        gateway.kill()
    turns = loop_turns(gateway).values()
    return {**measured, "turn": max(line["longest_cpu_us"] for line in turns) / 1000,
            "timer": max(line["latest_timer_ms"] for line in turns)}


def streams(rig):
    """N streams at once with equal shares of the same bytes, beside eight; none so small that the kernel has it before
    the clock starts."""
    few, counts = 8, rig.size([100, 1000, 8000], [100, 400])
    total = rig.size(4 * GIB, 128 * MIB)
    most = counts[-1]

    def asked(count, limit):
        return limit if count == most else None

    rows = {count: {
        "cost": Row("streams", f"{count} streams: processor time per GiB", "CPU-s/GiB", asked(count, ratio(most=1.5)),
                    f"{few} streams"),
        "speed": Row("streams", f"{count} streams: throughput", "GB/s", asked(count, ratio(least=0.8)),
                     f"{few} streams"),
        "share": Row("streams", f"{count} streams: the slowest, beside the median", "ms", ratio(most=2),
                     "median stream"),
        "turn": Row("streams", f"{count} streams: longest turn of a loop, processor time", "ms", ours(most=25)),
        "timer": Row("streams", f"{count} streams: latest timer", "ms", ours(most=50)),
        "livez": Row("streams", f"{count} streams: /livez p99 meanwhile", "ms", ours(most=20)),
    } for count in counts}
    recipient = rig.recipient("prosody")
    for _ in range(rig.runs):
        base = measure_streams(rig, recipient, few, total)
        for count in list(counts):
            row = rows[count]
            try:
                measured = measure_streams(rig, recipient, count, total)
            except AssertionError as broken:
                counts.remove(count)
                for one in row.values():
                    one.note = str(broken)[:600]
                continue
            for name in ("cost", "speed"):
                row[name].add(measured[name], base[name])
            row["share"].add(measured["slowest"], measured["median"])
            for name in ("turn", "timer", "livez"):
                row[name].add(measured[name])
    return [row for group in rows.values() for row in group.values()]


def held_memory(rig, recipient, count):
    """(anonymous at rest, resident for each stream beyond eight of them)"""
    gateway = rig.gateway("prosody", **UNLIMITED)
    pid = gateway.process.pid
    rest, path, resident = memory(pid)[1], rig.file(256 * KIB), []
    try:
        for streams_open in (8, count):
            hold_streams(gateway, recipient, streams_open, 256 * KIB, path)
            resident.append(memory(pid)[0])
            recipient.go()
            recipient.done(600)
        gateway.stop()
    except AssertionError as broken:
        return rest, broken
    finally:
        gateway.kill()
    return rest, (resident[1] - resident[0]) / (count - 8)


def waiting_memory(rig, recipient, count):
    """Resident bytes for each transfer whose turn it is not, behind one whose reader sleeps."""
    gateway = rig.gateway("prosody", **{**UNLIMITED, "DELIVERY_PER_RECIPIENT_PARALLEL": "1"})
    hold_streams(gateway, recipient, 1, 16 * MIB, rig.file(16 * MIB))
    path = rig.file(KIB)
    put_many(gateway, recipient.jid, 8, 8, path)
    before = memory(gateway.process.pid)[0]
    put_many(gateway, recipient.jid, count, 8, path)
    after = memory(gateway.process.pid)[0]
    gateway.kill()
    return (after - before) / count


def server_memory(rig, name, count):
    server = rig.new_server(name)  # a second time it would use what it has already
    before, rest = memory(server.process.pid)
    holder = HeldProxy(rig, server, count)
    after = memory(server.process.pid)[0]
    holder.end()
    server.stop()
    return rest, (after - before) / count


class HeldProxy:
    """tests/bench/proxy_streams.c: that many streams open through the server's own proxy."""

    def __init__(self, rig, server, count):
        self.process = Process([str(PROGRAMS / "proxy_streams"), LOOPBACK, str(server.port), PASSWORD,
                                f"carol@{DOMAIN}/hold", f"proxy.{DOMAIN}", str(server.proxy_port), str(count)],
                               rig.path("proxy.log"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if not self.process.popen.stdout.readline():
            raise AssertionError(f"proxy_streams: {self.process.tail()}")

    def end(self):
        self.process.popen.stdin.close()
        self.process.popen.wait(20)
        self.process.popen.stdout.close()


def footprint(rig):
    """What the program weighs at rest, with each open stream and each transfer that waits."""
    count = rig.size(8000, 400)
    rest = {name: Row("memory", f"anonymous memory at rest, beside {name}", "MiB",
                      ours(most=10) if name == "prosody" else None, name) for name in ("prosody", "ejabberd")}
    stream = {name: Row("memory", f"for each of {count} open streams, beside {name}'s proxy65", "KiB",
                        ours(most=4) if name == "prosody" else None, name) for name in ("prosody", "ejabberd")}
    waits = Row("memory", f"for each of {count} transfers that wait", "KiB", ours(most=4))
    recipient = rig.recipient("prosody")
    for _ in range(rig.runs):
        at_rest, each = held_memory(rig, recipient, count)
        for name in ("prosody", "ejabberd"):
            server_rest, server_each = server_memory(rig, name, rig.size(1000, 100))
            rest[name].add(at_rest / MIB, server_rest / MIB)
            if isinstance(each, AssertionError):
                stream[name].note = str(each)[:600]
            else:
                stream[name].add(each / KIB, server_each / KIB)
        waits.add(waiting_memory(rig, recipient, count) / KIB)
    return [*rest.values(), *stream.values(), waits]
