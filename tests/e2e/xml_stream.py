"""An XML stream as XMPP has it, read from a socket element by element."""
import xml.etree.ElementTree as xml


def elements(sock):
    """The stream's id, then every complete element below the root, until the stream or the connection ends."""
    parser, root = xml.XMLPullParser(["start", "end"]), None
    depth = 0
    while True:
        try:
            data = sock.recv(65536)
        except OSError:
            return
        if not data:
            return
        parser.feed(data)
        for event, element in parser.read_events():
            if event == "start":
                depth += 1
                if depth == 1:
                    root = element
                    yield element.get("id")
            else:
                depth -= 1
                if depth == 0:
                    return
                if depth == 1:
                    root.clear()
                    yield element
