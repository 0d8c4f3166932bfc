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
    for _ in range(rig.runs):
        recipient.expect(1, hold=True, gateway=gateway)
        curl(path, gateway_url(gateway, recipient.jid, "file.bin"))
        recipient.all_open()
        settle()
        left = size - tcp_queued(gateway.socks5_port)
        recipient.go()
        told = recipient.done()
        alone = run("sendfile_loop", path)
        speed.add(left / (told["streams"][0]["last"] - told["go"]), alone["bytes"] / alone["wall_ns"])
        cost.add(told["cpu"] / 1e9 / left * GIB, alone["cpu_ns"] / 1e9 / size * GIB)
    return [speed, cost]


class Upload:
    """One way of taking an upload, measured: (GB/s, CPU-s per GiB)."""

    def __init__(self, gateway, **query):
        self.gateway, self.query = gateway, query

    def measure(self, path):
        before = cpu_ns(self.gateway.process.pid)
        seconds, transfer = curl(path, gateway_url(self.gateway, AWAY, "file.bin", **self.query))
        spent = cpu_ns(self.gateway.process.pid) - before
        answer = self.gateway.request("DELETE", "/v1/transfers/" + transfer["id"])
        if answer.status // 100 != 2:
            raise AssertionError(f"not cancelled: {answer}")
        settle()
        size = path.stat().st_size
        return size / seconds / 1e9, spent / 1e9 / size * GIB


def nginx_upload(web, path, buffer):
    before = cpu_ns(web.process.pid)
    seconds, _ = curl(path, web.url(buffer))
    spent = cpu_ns(web.process.pid) - before
    web.remove(buffer)
    settle()
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
    for _ in range(rig.runs):
        beside = nginx_upload(web, path, buffer)
        for (_, way, _, _), (speed, cost) in zip(ways, rows):
            measured = way.measure(path)
            speed.add(measured[0], beside[0])
            cost.add(measured[1], beside[1])
    return [row for pair in rows for row in pair]


def deliver(gateway, recipient, path, **query):
    """Seconds from before curl starts until the recipient holds the last byte."""
    recipient.expect(1)
    began = now_ns()
    curl(path, gateway_url(gateway, recipient.jid, "file.bin", **query))
    return (recipient.done()["streams"][0]["last"] - began) / 1e9


def cut_through(rig):
    """curl to the recipient's last byte, the offer going out while the upload comes, beside curl into nginx alone."""
    size = rig.size(GIB, 64 * MIB)
    path = rig.file(size)
    row = Row("cut-through", f"{size // MIB} MiB, curl to the recipient's last byte", "s", ratio(most=1.3),
              "curl into nginx")
    gateway, recipient = rig.gateway("prosody", **FAST), rig.recipient("prosody")
    rig.warm(gateway, recipient)
    recipient.expect(1)
    answer = gateway.put(recipient.jid, b"x", wait=10, mode="auto")
    if answer.status != 200:
        row.note = f"?mode=auto: {answer.json.get('detail', answer.status)}"
        return [row]
    recipient.done()
    web = rig.nginx()
    buffer = best_buffer(web, path, 1)
    for _ in range(rig.runs):
        mine = deliver(gateway, recipient, path, mode="auto")
        settle()
        began = now_ns()
        curl(path, web.url(buffer))
        row.add(mine, (now_ns() - began) / 1e9)
        web.remove(buffer)
        settle()
    return [row]


def beside_slixmpp(rig, server, way, row, path):
    gateway, recipient = rig.gateway(server, **FAST), rig.recipient(server)
    sender, receiver = rig.slixmpp(server, "bob", "sender"), rig.slixmpp(server, "carol", "receiver")
    size = path.stat().st_size
    rig.warm(gateway, recipient)
    for counted in [False] + [True] * rig.runs:  # the first of each warms up
        mine = deliver(gateway, recipient, path)
        with receiver.news:
            receiver.events.clear()
        began = now_ns()
        sender.command(f"{way} {path} {receiver.jid}")
        theirs = receiver.wait("file", 120, size=size)["last"] - began
        if counted:
            row.add(mine, theirs / 1e9)
    for one in (gateway, recipient, sender, receiver):
        one.kill()
    return row


def ten_mib(rig):
    """What a user would pick instead: a logged-in slixmpp script."""
    path = rig.file(10 * MIB)
    return [beside_slixmpp(rig, "prosody", "http",
                           Row("10mib", "10 MiB, curl to the last byte (Prosody)", "s", ratio(most=1 / 50),
                               "slixmpp, HTTP upload"), path),
            beside_slixmpp(rig, "ejabberd", "s5b",
                           Row("10mib", "10 MiB, curl to the last byte (ejabberd)", "s", ratio(most=1 / 2),
                               "slixmpp, S5B by proxy65"), path)]
