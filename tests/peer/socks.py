"""SOCKS5 as XEP-0065 uses it, byte by byte: going somewhere, being gone to, and a relay between two who came."""
import hashlib
import queue
import socket
import threading

from lab import LOOPBACK

SECONDS = 15         # for what has no reason to take long
STREAM_SECONDS = 60  # for the bytes of a file
GREETING = b"\5\1\0"


def name(sid, requester, target):
    """XEP-0065 section 5.3.2: what both sides ask a streamhost for."""
    return hashlib.sha1((sid + requester + target).encode()).hexdigest()


def request(of):
    return b"\5\1\0\3\x28" + of.encode() + b"\0\0"


def exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError(f"the stream ended after {data!r}")
        data += more
    return data


def put(sock, data, split):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in [data[i:i + 1] for i in range(len(data))] if split else [data]:
        sock.sendall(piece)


def connect(address, of, split=False, source=""):
    """The stream of that name, as the strictest of clients takes it; ConnectionError: it is refused. split: every byte
    on its own. source: where it comes from."""
    sock = socket.create_connection(address, SECONDS, (source, 0) if source else None)
    try:
        put(sock, GREETING, split)
        if exactly(sock, 2) != b"\5\0":
            raise ConnectionError("another method")
        put(sock, request(of), split)
        reply = exactly(sock, 47)
        if reply != b"\5\0" + request(of)[2:]:
            raise ConnectionError(f"refused: {reply!r}")
    except OSError:
        sock.close()
        raise
    sock.settimeout(STREAM_SECONDS)
    return sock


def receive(sock, count=None):
    """All that comes until the other side has no more, or so many bytes of it; then our side closes too."""
    data = bytearray()
    with sock:
        while count is None or len(data) < count:
            more = sock.recv(1 << 20 if count is None else min(1 << 20, count - len(data)))
            if not more:
                break
            data += more
    return bytes(data)


def ended_empty(sock):
    """Whether it ends without a byte, gently or not."""
    try:
        return receive(sock) == b""
    except ConnectionResetError:
        return True


class Listener:
    """A streamhost that grants the names it is told, or any. asked: each name that somebody came for, in order. split:
    its own bytes come one at a time."""

    def __init__(self, *names, split=False):
        self.names, self.split = names, split
        self.asked, self.granted = [], queue.Queue()
        self.sockets = []
        self.listener = socket.create_server((LOOPBACK, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.listener.close()
        for sock in self.sockets:
            sock.close()

    def stream(self, seconds=SECONDS):
        """(name, socket) of the next one who was granted his name."""
        try:
            return self.granted.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"nobody came for a stream within {seconds} s; asked for: {self.asked}") from None

    def _serve(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self.sockets.append(sock)
            threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock):
        try:
            sock.settimeout(SECONDS)
            if exactly(sock, 3) != GREETING:
                raise ConnectionError("another greeting")
            put(sock, b"\5\0", self.split)
            asked = exactly(sock, 47)
            of = asked[5:45].decode()
            self.asked.append(of)
            granted = asked == request(of) and (not self.names or of in self.names)
            put(sock, (b"\5\0" if granted else b"\5\2") + asked[2:], self.split)
        except OSError:
            sock.close()
            return
        if granted:
            sock.settimeout(STREAM_SECONDS)
            self.granted.put((of, sock))
        else:
            sock.close()


class Relay(Listener):
    """A proxy's streamhost: join() lets bytes flow between the two who came for a name."""

    def join(self, of):
        (one, near), (other, far) = self.stream(), self.stream()
        assert [one, other] == [of, of], (of, one, other)
        for source, sink in (near, far), (far, near):
            threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
