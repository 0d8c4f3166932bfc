"""The program by itself: how soon it is there, and what it does when there is nothing to do."""
import os
import signal
import socket
import subprocess
import time

from measure import Row, cpu_ns, ours, wake_ups
from rig import BUILD, DOMAIN, LOOPBACK, PASSWORD, Ports, now_ns, run


def answers(port, path):
    """Whether that path is answered with 200; asked as often as it takes."""
    try:
        with socket.create_connection((LOOPBACK, port), 5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wait_for(port, path, since):
    """Milliseconds; asks every 0.2 ms, since nobody tells."""
    while not answers(port, path):
        if now_ns() - since > 30e9:
            raise AssertionError(f"no {path} within 30 s")
        time.sleep(0.0002)
    return (now_ns() - since) / 1e6


def start_once(rig, server):
    """(ms to /livez, ms from there to /readyz)"""
    state = rig.path("state")
    state.mkdir()
    port = Ports.take()
    settings = {"XMPP_JID": f"gateway@{DOMAIN}/start", "XMPP_PASSWORD": PASSWORD, "XMPP_SERVER": LOOPBACK,
                "XMPP_PORT": str(server.port), "XMPP_TLS": "off", "HTTP_LISTEN": f"{LOOPBACK}:{port}",
                "SERVER_STATE_DIR": str(state)}
    environment = {**os.environ, **{"JIDPOST_" + key: value for key, value in settings.items()}}
    with open(rig.path("start.log"), "wb") as log:
        began = now_ns()
        # setpriv: it ends with us; without a preexec_fn, Python starts it by vfork(2)
        program = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", str(BUILD / "release" / "jidpost"), "serve"],
                                   env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        live = wait_for(port, "/livez", began)
        ready = wait_for(port, "/readyz", began)
    finally:
        program.send_signal(signal.SIGTERM)
        program.wait(20)
    return live, ready - live


def start(rig):
    """From exec to the first answers, with an empty state directory."""
    server = rig.server("prosody")
    live = Row("start", "exec to /livez", "ms", ours(most=50))
    ready = Row("start", "from there to /readyz, beyond the server's login time", "ms", ours(most=20))
    whole = Row("start", "from there to /readyz, beside the server's login time", "ms", None, "bare login, same SASL")
    for _ in range(rig.runs):
        login = run("iq_meter", LOOPBACK, server.port, PASSWORD, f"carol@{DOMAIN}/login", "--logins", 5)["p50_us"] / 1e3
        to_live, to_ready = start_once(rig, server)
        live.add(to_live)
        ready.add(max(to_ready - login, 0))
        whole.add(to_ready, login)
    return [live, ready, whole]


def idle(rig):
    """Logged in, a recipient online, nothing to do."""
    wakes = Row("idle", "wake-ups a second, all threads", "1/s", ours(most=10))
    busy = Row("idle", "processor", "%", ours(most=0.05))
    gateway, recipient = rig.gateway("prosody"), rig.recipient("prosody")
    rig.warm(gateway, recipient)
    seconds = rig.size(20, 3)
    time.sleep(rig.size(5, 1))  # what the transfer left to do is done
    pid = gateway.process.pid
    for _ in range(rig.runs):
        woken, spent, began = wake_ups(pid), cpu_ns(pid), now_ns()
        time.sleep(seconds)
        took = (now_ns() - began) / 1e9
        wakes.add((wake_ups(pid) - woken) / took)
        busy.add((cpu_ns(pid) - spent) / 1e9 / took * 100)
    return [wakes, busy]
