"""Small files: how soon one arrives, and how many a second, beside what the XMPP server can do at best."""
import statistics

from measure import Row, ours, percentile, ratio
from rig import DOMAIN, LOOPBACK, PASSWORD, now_ns, put_many, run

KIB = 1024
MANY = {"DELIVERY_PARALLEL": "256", "DELIVERY_PER_RECIPIENT_PARALLEL": "256", "SOCKS5_PENDING_PER_PEER": "1024"}


def pings(server, window, seconds):
    """Round trips between two clients of that server."""
    return run("iq_meter", LOOPBACK, server.port, PASSWORD, f"carol@{DOMAIN}/a", f"dave@{DOMAIN}/b", window, seconds)


def arrivals(requests, told):
    """Milliseconds from the first byte of each upload to the last one at the recipient."""
    last = {stream["name"]: stream["last"] for stream in told["streams"]}
    return [(last[f"{number}.bin"] - began) / 1e6 for number, began, _, _ in requests]


def one_by_one(gateway, recipient, path, count):
    recipient.expect(count)
    return arrivals(put_many(gateway, recipient.jid, count, 1, path, wait=30), recipient.done())


def slixmpp_times(sender, receiver, path, count):
    times = []
    for _ in range(count):
        with receiver.news:
            receiver.events.clear()
        began = now_ns()
        sender.command(f"s5b {path} {receiver.jid}")
        times.append((receiver.wait("file", 30, size=KIB)["last"] - began) / 1e6)
        sender.wait("sent")
    return times


def latency_on(rig, server):
    path, count = rig.file(KIB), rig.size(400, 40)
    safe, fast = (rig.gateway(server, how, SPOOL_DURABILITY=how) for how in ("power", "process"))
    recipient = rig.recipient(server)
    sender, receiver = rig.slixmpp(server, "bob", "sender"), rig.slixmpp(server, "erin", "receiver")
    rows = {
        "over": Row("latency", f"1 KiB to the last byte ({server}): p50 beyond the floor", "ms", ours(most=1)),
        "p50": Row("latency", f"1 KiB ({server}): p50, beside the floor of 2 round trips", "ms", None, "ping × 2"),
        "tail": Row("latency", f"1 KiB ({server}): p99, beside p50", "ms", ratio(most=3), "our p50"),
        "fast": Row("latency", f"1 KiB ({server}), durability process: p50 beyond the floor", "ms"),
        "slixmpp": Row("latency", f"1 KiB ({server}): p50, beside slixmpp's S5B", "ms", ratio(most=1 / 3),
                       "slixmpp, S5B by proxy65"),
    }
    for gateway in (safe, fast):
        rig.warm(gateway, recipient)
    slixmpp_times(sender, receiver, path, 2)
    for _ in range(rig.runs):
        round_trip = pings(rig.server(server), 1, rig.size(2, 1))["p50_us"] / 1000
        times = one_by_one(safe, recipient, path, count)
        floor = round_trip * recipient.done()["questions"] / count
        quick = one_by_one(fast, recipient, path, count)
        theirs = slixmpp_times(sender, receiver, path, rig.size(20, 5))
        p50 = statistics.median(times)
        rows["over"].add(p50 - floor)
        rows["p50"].add(p50, floor)
        rows["tail"].add(percentile(times, 0.99), p50)
        rows["fast"].add(statistics.median(quick) - floor)
        rows["slixmpp"].add(p50, statistics.median(theirs))
    for one in (safe, fast, recipient, sender, receiver):
        one.kill()
    return list(rows.values())


def latency(rig):
    """One file of 1 KiB after the other over a warm connection, until the recipient holds its last byte."""
    return latency_on(rig, "prosody") + latency_on(rig, "ejabberd")


def rate_on(rig, server):
    path, count = rig.file(KIB), rig.size(4000, 200)
    row = Row("rate", f"1 KiB transfers a second, 64 in flight ({server})", "1/s", ratio(least=0.6))
    fast = Row("rate", f"the same, durability process ({server})", "1/s")
    row.peer = fast.peer = "IQ ceiling ÷ IQs each"
    recipient = rig.recipient(server)
    gateways = [(row, rig.gateway(server, "power", **MANY)),
                (fast, rig.gateway(server, "process", **MANY, SPOOL_DURABILITY="process"))]
    for _, gateway in gateways:
        rig.warm(gateway, recipient)
    for _ in range(rig.runs):
        ceiling = pings(rig.server(server), 64, rig.size(3, 1))["per_s"]
        for one, gateway in gateways:
            recipient.expect(count)
            requests = put_many(gateway, recipient.jid, count, 64, path, wait=60)
            told = recipient.done()
            wall = max(stream["last"] for stream in told["streams"]) - min(began for _, began, _, _ in requests)
            one.add(count / wall * 1e9, ceiling / (told["questions"] / count))
    for one in (recipient, *(gateway for _, gateway in gateways)):
        one.kill()
    return [row, fast]


def rate(rig):
    """1 KiB transfers a second with 64 under way, beside what the server's IQ round trips allow."""
    return rate_on(rig, "prosody") + rate_on(rig, "ejabberd")
