"""What the cases found, run after run: kept in docs/reliability.json and made into docs/reliability.md, by each run or by this file alone.

A slice is what one run of a case adds, {"case": name, "build": preset, "on": day, "revision": commit, facts}. Counts of
slices are added up; a slice with the same "row" as an earlier one, or at least its "points", takes its place."""
import collections
import datetime
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT, PAGE = ROOT / "docs" / "reliability.json", ROOT / "docs" / "reliability.md"

HEAD = """<!-- made by scripts/faults from docs/reliability.json -->
# What jidpost stands

Everything here was done to the real program, with a real Prosody and real recipients, by `scripts/faults`; nothing is
written by hand. `scripts/faults --list` names the cases, [tests/faults](../tests/faults/README.md) says how they work.
"""


def git(*arguments):
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True).stdout.strip()


def revision():
    """The commit, and "+" where the tree differs from it in more than what we write ourselves."""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/reliability.*")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def load():
    return json.loads(KEPT.read_text()) if KEPT.exists() else []


def superseded(one, by):
    """Whether `by` is the newer version of a slice: of the same row, or of at least its points."""
    if one["case"] != by["case"]:
        return False
    if "points" in by:
        return by["points"][0] <= one["points"][0] and one["points"][1] <= by["points"][1]
    return "row" in by and one["row"] == by["row"]


def add(case, build, slices):
    """Writes both files anew."""
    kept = load()
    stamp = {"case": case, "build": build, "on": datetime.date.today().isoformat(),
             "revision": revision()}
    for facts in slices:
        one = {**stamp, **facts}
        kept = [other for other in kept if not superseded(other, by=one)] + [one]
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text("[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in kept) + "\n]\n")
    PAGE.write_text(page(kept))


def rows(head, lines):
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in [head, ["---"] * len(head), *lines])


def total(slices, key):
    return sum(one.get(key, 0) for one in slices)


def of(kept, case):
    return [one for one in kept if one["case"] == case]


def when(slices):
    days = sorted({one["on"] for one in slices})
    revisions = list(dict.fromkeys(one["revision"] for one in slices))
    builds = sorted({one["build"] for one in slices})
    return (f"{', '.join(builds)} build; {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "")
            + f"; revision {', '.join(revisions)}")


def kill_part(slices):
    counts = [(what, total(slices, key)) for what, key in (
        ("rounds", "rounds"), ("kill -9", "kills"), ("uploads begun", "uploads"), ("answered 2xx", "accepted"),
        ("of these delivered, each byte compared", "delivered"), ("of these failed, saying why", "failed"),
        ("delivered again, since the kill came before that was committed", "given twice"),
        ("rounds in which a promise was lost, a state untrue, a part given as a whole, a file left in the spool or the "
         "store damaged", "broken"))]
    slowest = max(one["slowest settled s"] for one in slices)
    return ("## kill -9 at random moments\n\nOn one state, under mixed load: four recipients (direct, through the proxy, one that closes "
            "first), sizes from 0 to 6 MiB, modes auto, spool and stream, waited for and not, uploads cut off half-way; "
            "killed again while it recovers. After each restart every promise is held against what the recipients have, "
            "and the store's own check runs on the files as the kill left them. Uploads in parts are not among them: "
            "tests/e2e/test_tus.py kills the gateway between and in their pieces, and around their last byte, at each "
            "of its runs.\n\n"
            + rows(("what", "how many"), counts)
            + f"\nSlowest: ready {max(one['slowest ready s'] for one in slices)} s after the restart, the last "
            f"transfer settled after {slowest} s. Seeds: {', '.join(str(one['seed']) for one in slices)}. {when(slices)}.\n"
            + "".join(f"\nBroken at revision {one['revision']}, seed {one['seed']}, round {one['rounds']}: {one['fault']}\n"
                      for one in slices if "fault" in one))


def points_part(title, text, slices):
    sides = ("program", "libraries")
    outcomes = sorted({outcome for one in slices for side in sides for outcome in one["outcomes"][side]})
    counts = [(outcome, *(sum(one["outcomes"][side].get(outcome, 0) for one in slices) for side in sides))
              for outcome in outcomes if outcome != "not reached"]
    deaths = collections.Counter()
    for one in slices:
        deaths.update(one["deaths"])
    done = ", ".join(f"{first}–{last}" for first, last in sorted(one["points"] for one in slices))
    told = (f"## {title}\n\n{text}\n\n" + rows(("outcome", "calls of the program", "calls of its libraries"), counts)
            + f"\n{total(slices, 'tried')} points tried: {done} of {slices[-1]['of']}, of which the first "
            f"{slices[-1]['own']} are the program's own. {when(slices)}.\n")
    if deaths:
        told += ("\nNot survived inside libraries:\n\n" + rows(("what", "points"), deaths.most_common()))
    return told


def hostile_part(slices):
    lines = [(one["what"], one["outcome"], one.get("normal", "–"), one.get("during", "–"), one.get("recovery", "–"))
             for one in slices]
    return ("## Hostile peers and a hostile world\n\nBystanders are small files to a well-behaved recipient, one after the other, while it lasts: "
            "milliseconds from the upload's first byte to `delivered`, p50 / p99.\n\n"
            + rows(("what", "outcome", "bystanders before", "bystanders during", "well again after"), lines)
            + f"\n{when(slices)}.\n")


def soak_part(slices):
    one = slices[-1]
    lines = [(row["name"], f"{row['mean']:,} {row['unit']}".strip(), f"{row['most']:,} {row['unit']}".strip(),
              f"{row['slope']:+,} ± {row['error']:,} {row['unit']}".strip(), f"{row['matters']:,} {row['unit']}".strip(),
              "**grows**" if row["grows"] else "–") for row in one["series"]]
    kinds = ", ".join(f"{count} {kind}" for kind, count in one["kinds"].items())
    ends = ", ".join(f"{count} {state}" for state, count in one["ends"].items())
    return ("## An hour's growth, from minutes\n\nModerate load: sizes to 4 MiB, modes auto, spool and stream, direct and "
            "through the proxy, waited for and not, with links that are fetched, offers that are declined, streams that break "
            f"and are tried again, held ones, cancelled ones; the XMPP session cut {one['cuts']} times. A sample every "
            f"5 s for {one['minutes']:g} minutes, the first {one['warm-up s']} s, at several times the pace, left out; slope by least squares, with its "
            "standard error (neighbouring samples being alike). A series fails if it grows by more than matters and by more "
            "than three times the error.\n\n"
            + rows(("what", "mean", "most", "slope in an hour", "matters from", "verdict"), lines)
            + f"\n{one['uploads']} uploads: {kinds}. Of those not waited for: {ends}. Seed {one['seed']}; "
            f"{one['samples']} samples. {when([one])}.\n")


def fuzz_part(slices):
    lines = [(f"`{one['row']}`", one["seconds"], f"{one['executions']:,}", one.get("finding", one["findings"]))
             for one in sorted(slices, key=lambda one: one["row"])]
    return ("## Parsers under a fuzzer\n\nlibFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer on whatever reads foreign "
            "bytes; the seeds are in [tests/fuzz/corpus](../tests/fuzz/corpus). `scripts/fuzz TARGET SECONDS` runs one, "
            "`scripts/faults fuzz` enters here what it said last.\n\n"
            + rows(("target", "seconds", "executions", "findings"), lines) + f"\n{when(slices)}.\n")


def page(kept):
    parts = [HEAD]
    if of(kept, "kill"):
        parts.append(kill_part(of(kept, "kill")))
    for case, title, text in POINTS:
        if of(kept, case):
            parts.append(points_part(title, text, of(kept, case)))
    if of(kept, "hostile"):
        parts.append(hostile_part(of(kept, "hostile")))
    for case, part in ("soak", soak_part), ("fuzz", fuzz_part):
        if of(kept, case):
            parts.append(part(of(kept, case)))
    return "\n".join(parts)


POINTS = (
    ("alloc", "Allocations that fail",
     "A whole transfer, and the n-th malloc, calloc, realloc or strdup that the running gateway makes fails, for each n "
     "on its own, for uploads in modes spool, auto (through the proxy) and stream and as a form. Afterwards the gateway "
     "must deliver the next file, have an empty spool and no descriptor more than before, and end without a leak. From one "
     "run to the next the numbers move by a few points. What libstrophe asks for counts as the program's, since it comes from "
     "there (xmpp/reserve.h). What the libraries make of it is theirs: the list says which "
     "calls the process does not survive."),
    ("syscalls", "System calls that fail",
     "The same with the n-th system call of those that touch files, sockets, epoll sets and eventfds, each with the error "
     "that is likeliest to be met (ENOSPC, EIO, EMFILE, ECONNRESET …). Left out are those for which the kernel has no error: "
     "to read or write an open eventfd, and to change what is in an epoll set."),
)

if __name__ == "__main__":
    PAGE.write_text(page(load()))
