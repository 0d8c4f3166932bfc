"""Large files: into the spool, out of it, through the gateway while they come; and beside what users do today."""
import statistics

from measure import GIB, MIB, Row, cpu_ns, ratio, tcp_queued
from rig import BUFFERS, DOMAIN, curl, gateway_url, now_ns, run, settle

FAST = {"SPOOL_DURABILITY": "process"}
AWAY = f"dave@{DOMAIN}"  # a contact who is not there


def send(rig):
    """One file over one stream, from a spool that has it already, beside nothing but sendfile."""
    size = rig.size(GIB, 64 * MIB)
    path = rig.file(size)
    speed = Row("send", f"{size // MIB} MiB over one stream: throughput", "GB/s", ratio(least=0.9), "sendfile loop")
    cost = Row("send", "the same: processor time per GiB", "CPU-s/GiB", ratio(most=1.2), "sendfile loop")
    gateway, recipient = rig.gateway("prosody", **FAST), rig.recipient("prosody")
    rig.warm(gateway, recipient)
    rig.verify("prosody", gateway, path)
    for _ in range(3 * rig.runs):  # short, and as fast as the two ends happen to share a processor
        recipient.expect(1, hold=True, gateway=gateway)
        curl(path, gateway_url(gateway, recipient.jid, "file.bin"))
        recipient.all_open()
        settle()
        left = size - tcp_queued(gateway.socks5_port)
        recipient.go()
        told = recipient.done()
        settle(gateway.process.pid)
        alone = run("sendfile_loop", path)
        speed.add(left / (told["streams"][0]["last"] - told["go"]), alone["bytes"] / alone["wall_ns"])
        cost.add(told["cpu"] / 1e9 / left * GIB, alone["cpu_ns"] / 1e9 / size * GIB)
    return [speed, cost]


class Upload:
    """One way of taking an upload, measured: (GB/s, CPU-s per GiB)."""

    def __init__(self, gateway, **query):
        self.gateway, self.query = gateway, query

    def measure(self, path):
        size = path.stat().st_size
        before = cpu_ns(self.gateway.process.pid)
        seconds, transfer = curl(path, gateway_url(self.gateway, AWAY, "file.bin", hold="1h", **self.query))
        spent = cpu_ns(self.gateway.process.pid) - before
        kept = [file.stat().st_size for file in (self.gateway.state / "spool").rglob("*") if file.is_file()]
        if kept != [size]:
            raise AssertionError(f"the spool has files of {kept} bytes: {transfer}")
        answer = self.gateway.request("DELETE", "/v1/transfers/" + transfer["id"])
        if answer.status // 100 != 2:
            raise AssertionError(f"not cancelled: {answer}")
        settle(self.gateway.process.pid)
        return size / seconds / 1e9, spent / 1e9 / size * GIB


def nginx_upload(web, path, buffer):
    before = cpu_ns(web.process.pid)
    seconds, _ = curl(path, web.url(buffer))
    spent = cpu_ns(web.process.pid) - before
    web.remove(buffer)
    settle(web.process.pid)
    size = path.stat().st_size
    return size / seconds / 1e9, spent / 1e9 / size * GIB


def best_buffer(web, path, runs):
    """The setting with which nginx is quickest."""
    speeds = {buffer: [] for buffer in BUFFERS}
    for _ in range(runs):
        for buffer in BUFFERS:
            speeds[buffer].append(nginx_upload(web, path, buffer)[0])
    return max(BUFFERS, key=lambda buffer: statistics.median(speeds[buffer]))


def upload(rig):
    """curl -T into the spool, beside curl -T into nginx (dav)."""
    size = rig.size(GIB, 64 * MIB)
    path, web = rig.file(size), rig.nginx()
    fast, safe = rig.gateway("prosody", "fast", **FAST), rig.gateway("prosody", "safe", SPOOL_DURABILITY="power")
    buffer = best_buffer(web, path, rig.size(2, 1))
    peer = f"nginx dav, {buffer}"
    ways = [("process, no digest", Upload(fast), ratio(least=1.1), ratio(most=1.0)),
            ("process, digest", Upload(fast, digest="sha-256"), None, None),
            ("power, no digest", Upload(safe), None, None),
            ("power, digest", Upload(safe, digest="sha-256"), None, None)]
    rows = [(Row("upload", f"{size // MIB} MiB by curl, {name}: throughput", "GB/s", speed, peer),
             Row("upload", f"the same, {name}: processor time per GiB", "CPU-s/GiB", cost, peer))
            for name, _, speed, cost in ways]
    for turn in range(2 * rig.runs):
        beside = nginx_upload(web, path, buffer)
        for way in range(len(ways)):  # each comes right behind nginx in its turn
            at = (turn + way) % len(ways)
            measured = ways[at][1].measure(path)
            for row, figure, theirs in zip(rows[at], measured, beside):
                row.add(figure, theirs)
    return [row for pair in rows for row in pair]


def deliver(gateway, recipient, path, **query):
    """Seconds from before curl starts until the recipient holds the last byte."""
    recipient.expect(1)
    began = now_ns()
    curl(path, gateway_url(gateway, recipient.jid, "file.bin", **query))
    return (recipient.done()["streams"][0]["last"] - began) / 1e9


def understands(gateway, recipient, mode):
    """None, or why not."""
    recipient.expect(1)
    answer = gateway.put(recipient.jid, b"x", wait=10, mode=mode)
    if answer.status != 200:
        return f"?mode={mode}: {answer.json.get('detail', answer.status)}"
    recipient.done()
    return None


def cut_through(rig):
    """curl to the recipient's last byte, the offer going out while the upload comes, beside curl into nginx alone."""
    size = rig.size(GIB, 64 * MIB)
    path = rig.file(size)
    rows = {mode: Row("cut-through", f"{size // MIB} MiB, curl to the recipient's last byte, mode {mode}", "s", reach,
                      "curl into nginx") for mode, reach in (("auto", ratio(most=1.3)), ("stream", None))}
    gateway, recipient = rig.gateway("prosody", **FAST), rig.recipient("prosody")
    rig.warm(gateway, recipient)
    for mode, row in rows.items():
        row.note = understands(gateway, recipient, mode) or ""
    web = rig.nginx()
    buffer = best_buffer(web, path, 1)
    for _ in range(2 * rig.runs):
        began = now_ns()
        curl(path, web.url(buffer))
        beside = (now_ns() - began) / 1e9
        web.remove(buffer)
        for mode, row in rows.items():
            settle(web.process.pid, gateway.process.pid)
            if not row.note:
                row.add(deliver(gateway, recipient, path, mode=mode), beside)
    return list(rows.values())


def beside_slixmpp(rig, server, way, rows, path):
    """rows: by durability."""
    gateways = {how: rig.gateway(server, how, SPOOL_DURABILITY=how) for how in rows}
    recipient = rig.recipient(server)
    sender, receiver = rig.slixmpp(server, "bob", "sender"), rig.slixmpp(server, "carol", "receiver")
    size = path.stat().st_size
    for gateway in gateways.values():
        rig.warm(gateway, recipient)
    for counted in [False] + [True] * rig.runs:  # the first of each warms up
        mine = {how: deliver(gateway, recipient, path) for how, gateway in gateways.items()}
        with receiver.news:
            receiver.events.clear()
        began = now_ns()
        sender.command(f"{way} {path} {receiver.jid}")
        theirs = receiver.wait("file", 120, size=size)["last"] - began
        for how, row in rows.items():
            if counted:
                row.add(mine[how], theirs / 1e9)
    for one in (*gateways.values(), recipient, sender, receiver):
        one.kill()
    return list(rows.values())


def ten_mib(rig):
    """What a user would pick instead: a logged-in slixmpp script."""
    rows = []
    for server, way, limit, peer in (("prosody", "http", 1 / 50, "slixmpp, HTTP upload"),
                                     ("ejabberd", "s5b", 1 / 2, "slixmpp, S5B by proxy65")):
        rows += beside_slixmpp(rig, server, way, {
            "power": Row("10mib", f"10 MiB, curl to the last byte ({server})", "s", ratio(most=limit), peer),
            "process": Row("10mib", f"the same, durability process ({server})", "s", None, peer),
        }, rig.file(10 * MIB))
    return rows
