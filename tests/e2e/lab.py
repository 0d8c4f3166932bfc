"""The laboratory: processes that end for certain, ports that are really free, and two private XMPP servers.

Everything listens on loopback, writes below one temporary directory and is ended by its process id, also when a test
fails or the test program is killed. Each server has the same accounts, all with the password "secret":

    gateway alice bob carol dave    contacts of each other
    erin frank                      strangers with empty contact lists
"""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import textwrap
import threading
import time
import urllib.request
from pathlib import Path

DOMAIN = "localhost"
LOOPBACK = "127.0.0.1"
PASSWORD = "secret"
CONTACTS = ("gateway", "alice", "bob", "carol", "dave")
STRANGERS = ("erin", "frank")
COMPONENT = "fakeproxy." + DOMAIN
FILES = "files." + DOMAIN  # the gateway's own, in component mode; the secret of both is PASSWORD
PROXY = "proxy." + DOMAIN
UPLOAD = "upload." + DOMAIN
ROOMS = "rooms." + DOMAIN

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until(condition, seconds, what):
    """Polls condition, which cannot wake us, until it is true; its value is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Ports:
    """Ports that no other test takes and no outgoing connection can happen to use: below the ephemeral range, each
    claimed by an abstract Unix socket, which the kernel releases when the claiming process ends."""

    @staticmethod
    def take():
        for port in range(21000, 32000):
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                claim.bind(f"\0jidpost-e2e-port-{port}")
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((LOOPBACK, port))
            except OSError:
                claim.close()
                continue
            claim.detach()  # kept open until we end
            return port
        raise AssertionError("no free port between 21000 and 32000")


def accepts_connections(port, host=LOOPBACK):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


class Process:
    """A program we started. Only the main thread may start one: the kernel ends it with the thread that did."""

    def __init__(self, argv, log, environment=None, **options):
        self.name = os.path.basename(argv[0])
        self.log = Path(log)
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(argv, stdin=options.pop("stdin", subprocess.DEVNULL),
                                          stdout=options.pop("stdout", out), stderr=out, env=environment,
                                          preexec_fn=die_with_parent, **options)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def stop(self, number=signal.SIGTERM, seconds=20):
        """Sends the signal and returns the exit code; a program that does not end in time is killed and blamed."""
        if self.running():
            self.popen.send_signal(number)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {seconds} s of signal {number}") from None

    def kill(self):
        if self.running():
            self.popen.kill()
        self.popen.wait()

    def tail(self, lines=40):
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(text[-lines:])


class Cable:
    """A way to the server that can be cut and mended; cut, it refuses new connections and ends the old ones."""

    def __init__(self, server):
        self.target, self.port = server.port, Ports.take()
        self.listener, self.ends = None, []
        self.lock = threading.Lock()
        self.mend()

    def mend(self):
        self.listener = socket.create_server((LOOPBACK, self.port))
        threading.Thread(target=self._serve, args=(self.listener,), daemon=True).start()

    def cut(self):
        with self.lock:
            ends, self.ends = [self.listener, *self.ends], []
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def _serve(self, listener):
        while True:
            try:
                near = listener.accept()[0]
                far = socket.create_connection((LOOPBACK, self.target), 10)
                far.settimeout(None)
            except OSError:
                return
            with self.lock:
                self.ends += [near, far]
            for source, sink in (near, far), (far, near):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Authority:
    """A certificate authority of our own, with one certificate for the server."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.certificate = self.directory / "ca.crt"
        self.key = self.directory / "server.key"
        self.chain = self.directory / "server.crt"
        self._openssl("req", "-x509", *self._new_key("ca.key"), "-days", "2", "-subj", "/CN=jidpost test CA",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-out", "ca.crt")
        self._openssl("req", *self._new_key("server.key"), "-subj", f"/CN={DOMAIN}", "-out", "server.csr")
        (self.directory / "names").write_text(f"subjectAltName=DNS:{DOMAIN},DNS:{UPLOAD},DNS:{PROXY}\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "2", "-extfile", "names", "-out", "server.crt")

    @staticmethod
    def _new_key(name):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"openssl {arguments[0]}: {done.stderr}")


class Server:
    """What both servers have in common. proxy, starttls: whether there is a proxy65 and whether STARTTLS is offered;
    proxy_address: where the proxy is, since some clients never go to 127.0.0.1; contacts, strangers: who has an account;
    upload: the largest file that its upload service takes, None: it has none; rooms: settings of the rooms there are,
    None: there are none."""

    def __init__(self, directory, proxy=True, proxy_address=LOOPBACK, starttls=True, contacts=CONTACTS, strangers=STRANGERS,
                 upload=None, rooms=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.proxy, self.proxy_address, self.starttls = proxy, proxy_address, starttls
        self.contacts, self.accounts = contacts, contacts + strangers
        self.upload, self.upload_port = upload, Ports.take()
        self.rooms = rooms
        self.authority = Authority(self.directory / "tls")
        self.port, self.component_port, self.proxy_port = Ports.take(), Ports.take(), Ports.take()
        self.process = None
        self.set_up()

    def start(self):
        self.process = self.launch()
        wait_until(lambda: self.alive() and self.listens(), 60, f"{self.name} on {self.port}")
        self.started()
        return self

    def listens(self):
        return (accepts_connections(self.port) and accepts_connections(self.component_port)
                and (not self.proxy or accepts_connections(self.proxy_port, self.proxy_address))
                and (not self.upload or accepts_connections(self.upload_port)))

    def alive(self):
        if self.process.running():
            return True
        raise AssertionError(f"{self.name} ended:\n{self.process.tail()}")

    def stop(self):
        if self.process:
            self.process.stop(seconds=60)

    def kill(self):
        if self.process:
            self.process.kill()

    def started(self):
        pass


class Prosody(Server):
    name = "prosody"

    def set_up(self):
        accounts = self.directory / "data" / DOMAIN / "accounts"
        rosters = self.directory / "data" / DOMAIN / "roster"
        accounts.mkdir(parents=True)
        rosters.mkdir(parents=True)
        for user in self.accounts:
            (accounts / f"{user}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')
        for user in self.contacts:
            entries = "".join(f'["{other}@{DOMAIN}"] = {{ ["subscription"] = "both"; ["groups"] = {{}}; }};\n'
                              for other in self.contacts if other != user)
            (rosters / f"{user}.dat").write_text(
                f'return {{ [false] = {{ ["version"] = 1; ["pending"] = {{}}; }};\n{entries}}};\n')
        (self.directory / "prosody.cfg.lua").write_text(self.configuration())

    def configuration(self):
        text = f"""
            run_as_root = true
            pidfile = "{self.directory}/prosody.pid"
            data_path = "{self.directory}/data"
            interfaces = {{ "{LOOPBACK}" }}
            local_interfaces = {{ "{LOOPBACK}" }}
            c2s_ports = {{ {self.port} }}
            component_ports = {{ {self.component_port} }}
            proxy65_ports = {{ {self.proxy_port} }}
            proxy65_interfaces = {{ "{self.proxy_address}" }}
            http_ports = {{ {self.upload_port if self.upload else ''} }}
            http_interfaces = {{ "{LOOPBACK}" }}
            http_default_host = "{UPLOAD}"
            http_external_url = "http://{LOOPBACK}:{self.upload_port}/"
            https_ports = {{ }}
            ssl = {{ key = "{self.authority.key}"; certificate = "{self.authority.chain}" }}
            c2s_require_encryption = false
            allow_unencrypted_plain_auth = true
            authentication = "internal_plain"
            storage = "internal"
            modules_enabled = {{ "roster"; "saslauth"; "disco"; "carbons"; "pep"; "private"; "blocklist"; "version";
                "ping"; "presence"; "message"; "iq"; "offline"; "smacks"; "csi_simple";
                {'"tls";' if self.starttls else ''} }}
            modules_disabled = {{ "s2s"; "admin_socket"; "admin_shell" }}
            log = {{ info = "*console" }}
            VirtualHost "{DOMAIN}"
            Component "{COMPONENT}"
                component_secret = "{PASSWORD}"
            Component "{FILES}"
                component_secret = "{PASSWORD}"
        """
        if self.proxy:
            text += f"""
            Component "{PROXY}" "proxy65"
                proxy65_address = "{self.proxy_address}"
            """
        if self.upload:
            text += f"""
            Component "{UPLOAD}" "http_file_share"
                http_file_share_size_limit = {self.upload}
            """
        if self.rooms is not None:
            text += f"""
            Component "{ROOMS}" "muc"
                muc_room_locking = false
                {self.rooms}
            """
        return textwrap.dedent(text)

    def launch(self):
        return Process(["prosody", "-F", "--config", str(self.directory / "prosody.cfg.lua")],
                       self.directory / "prosody.log")


class Ejabberd(Server):
    """emulator: its schedulers wait for work asleep. As shipped they spin, and where two others want the two processors
    it is not up within a minute."""
    name = "ejabberd"
    emulator = ("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none")

    def set_up(self):
        self.api_port = Ports.take()
        (self.directory / "ejabberd.pem").write_text(self.authority.key.read_text() + self.authority.chain.read_text())
        (self.directory / "ejabberd.yml").write_text(self.configuration())
        self.new = True

    def configuration(self):
        text = f"""
            hosts: [{DOMAIN}]
            loglevel: 4
            certfiles: ["{self.directory}/ejabberd.pem"]
            auth_method: [internal]
            auth_password_format: plain
            disable_sasl_mechanisms: ["X-OAUTH2"]
            s2s_access: none
            acl: {{ local: {{ user_regexp: "" }} }}
            access_rules: {{ anyone: {{ allow: all }} }}
            shaper_rules: {{}}
            listen:
              - {{ port: {self.port}, ip: "{LOOPBACK}", module: ejabberd_c2s, access: anyone,
                  starttls: {str(self.starttls).lower()}, max_stanza_size: 1048576 }}
              - {{ port: {self.component_port}, ip: "{LOOPBACK}", module: ejabberd_service, access: anyone,
                  global_routes: false,  # else who comes as one of them is both
                  hosts: {{ {COMPONENT}: {{ password: {PASSWORD} }}, {FILES}: {{ password: {PASSWORD} }} }} }}
              - {{ port: {self.api_port}, ip: "{LOOPBACK}", module: ejabberd_http,
                  request_handlers: {{ /api: mod_http_api }} }}
              {self.upload_listener()}
            api_permissions: {{ tests: {{ from: [mod_http_api], who: all, what: "*" }} }}
            modules:
              mod_admin_extra: {{}}
              mod_blocking: {{}}
              mod_caps: {{}}
              mod_carboncopy: {{}}
              mod_disco: {{}}
              mod_offline: {{}}
              mod_ping: {{}}
              mod_privacy: {{}}
              mod_pubsub: {{ plugins: [flat, pep] }}
              mod_roster: {{}}
              mod_stream_mgmt: {{}}
              mod_version: {{}}
        """
        if self.proxy:
            text += f"""
              mod_proxy65: {{ host: {PROXY}, ip: "{self.proxy_address}", hostname: "{self.proxy_address}",
                              port: {self.proxy_port}, access: anyone, max_connections: infinity }}
            """
        if self.upload:
            text += f"""
              mod_http_upload: {{ host: {UPLOAD}, docroot: "{self.directory}/uploads", max_size: {self.upload},
                                  put_url: "https://{DOMAIN}:{self.upload_port}/upload", access: anyone }}
            """
        if self.rooms is not None:
            text += f"""
              mod_muc: {{ host: {ROOMS}, access: anyone, access_create: anyone }}
            """
        return textwrap.dedent(text)

    def upload_listener(self):
        if not self.upload:
            return ""
        return (f'- {{ port: {self.upload_port}, ip: "{LOOPBACK}", module: ejabberd_http, tls: true, '
                f'request_handlers: {{ /upload: mod_http_upload }} }}')

    def launch(self):
        # Not through ejabberdctl, which would leave an epmd behind and wants its own user.
        control = Path(shutil.which("ejabberdctl")).read_text()
        environment = dict(os.environ, HOME=str(self.directory), ERL_CRASH_DUMP="/dev/null",
                           ERL_LIBS=re.search("^ERL_LIBS='(.*)'", control, re.MULTILINE).group(1),
                           EJABBERD_CONFIG_PATH=str(self.directory / "ejabberd.yml"))
        return Process(["erl", *self.emulator, "-noinput", "-mnesia", "dir", f'"{self.directory}/mnesia"',
                        "-ejabberd", "config", f'"{self.directory}/ejabberd.yml"',
                        "log_path", f'"{self.directory}/ejabberd.log"', "-s", "ejabberd"],
                       self.directory / "console.log", environment)

    def api(self, command, **arguments):
        request = urllib.request.Request(f"http://{LOOPBACK}:{self.api_port}/api/{command}",
                                         json.dumps(arguments).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def started(self):
        wait_until(self.answers, 60, "ejabberd's API")
        if not self.new:
            return
        self.new = False
        for user in self.accounts:
            self.api("register", user=user, host=DOMAIN, password=PASSWORD)
        for user in self.contacts:
            for other in self.contacts:
                if user != other:
                    self.api("add_rosteritem", localuser=user, localhost=DOMAIN, user=other, host=DOMAIN, nick=other,
                             group="", subs="both")

    def answers(self):
        try:
            return self.api("status")
        except OSError:
            return self.alive() and None


SERVERS = {"prosody": Prosody, "ejabberd": Ejabberd}
