"""What a process costs, and what is made of the figures of several runs."""
import re
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30


def cpu_ns(*pids):
    """User and system time of those processes so far, their ended threads included."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)  # clock_getcpuclockid(3)


def memory(pid):
    """(resident, anonymous) bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE).group(1)) * 1024
                 for name in ("Rss", "Anonymous"))


def wake_ups(pid):
    """How often its threads so far waited for something and were woken."""
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", path.read_text(), re.MULTILINE).group(1))
               for path in Path(f"/proc/{pid}/task").glob("*/status"))


def tcp_queued(port):
    """Bytes that left a program which listens there and did not yet reach the program at the other end."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        local, remote = (int(parts[at].rpartition(":")[2], 16) for at in (1, 2))
        sent, received = (int(number, 16) for number in parts[4].split(":"))
        total += (sent if local == port else 0) + (received if remote == port else 0)
    return total


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@dataclass
class Reach:
    """What is asked: the ratio (of ours to the peer's) or our own value, at least or at most so much."""
    of: str  # "ratio", "ours"
    least: float = None
    most: float = None

    def __str__(self):
        sign, limit = ("≥", self.least) if self.least is not None else ("≤", self.most)
        return f"{sign} {limit:.3g}" + (" ×" if self.of == "ratio" else "")

    def met(self, value):
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


def ratio(**limit):
    return Reach("ratio", **limit)


def ours(**limit):
    return Reach("ours", **limit)


@dataclass
class Row:
    """A figure of each run, and the peer's of the same run. reach None: only shown. note: why there are no figures."""
    bench: str
    what: str
    unit: str
    reach: Reach = None
    peer: str = ""
    ours: list = field(default_factory=list)
    beside: list = field(default_factory=list)
    note: str = ""

    def add(self, value, beside=None):
        self.ours.append(value)
        if beside is not None:
            self.beside.append(beside)

    @property
    def ratio(self):
        """The median of the runs' ratios: what drifts from run to run is in both."""
        if not self.ours or len(self.ours) != len(self.beside):
            return None
        return statistics.median(one / other if other else float("inf")
                                 for one, other in zip(self.ours, self.beside))

    @property
    def reached(self):
        """None: nothing was asked, or nothing measured."""
        if not self.reach or not self.ours:
            return None
        return self.reach.met(self.ratio if self.reach.of == "ratio" else statistics.median(self.ours))

    def as_json(self):
        return {"bench": self.bench, "what": self.what, "unit": self.unit, "peer": self.peer, "ours": self.ours,
                "beside": self.beside, "median": statistics.median(self.ours) if self.ours else None,
                "beside_median": statistics.median(self.beside) if self.beside else None, "ratio": self.ratio,
                "asked": str(self.reach) if self.reach else None, "reached": self.reached, "note": self.note}
