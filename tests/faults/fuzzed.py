"""What the fuzzers found: read from what libFuzzer said of the last scripts/fuzz, so that nothing is run twice."""
import re
from pathlib import Path

from peers import BUILD

TARGETS = Path(__file__).resolve().parent.parent / "fuzz"
DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
FINDING = re.compile(r"^==\d+==\s*ERROR: (.*)$|^SUMMARY: (.*)$|runtime error: (.*)$", re.MULTILINE)


def read(name, log):
    """The row of one target; an interrupted run has none."""
    text = log.read_text(errors="replace")
    done, executed = DONE.search(text), EXECUTED.search(text)
    finding = FINDING.search(text)
    if not (done and executed) and not finding:
        return None
    return {"row": name, "seconds": int(done.group(2)) if done else 0, "executions": int(executed.group(1)) if executed else 0,
            "findings": 1 if finding else 0,
            **({"finding": next(group for group in finding.groups() if group)[:200]} if finding else {})}


def fuzz(options):
    """what scripts/fuzz found, from its logs; it runs nothing"""
    rows, faults = [], []
    for source in sorted(TARGETS.glob("*_fuzz.c")):
        log = BUILD / "fuzz" / f"{source.stem}.log"
        row = read(source.stem, log) if log.exists() else None
        if row is None:
            print(f"  {source.stem}: no log of a whole run; scripts/fuzz {source.stem} SECONDS makes one")
            continue
        print(f"  {row}")
        rows.append(row)
        faults += [source.stem] * row["findings"]
    return rows, faults
