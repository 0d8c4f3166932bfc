#!/usr/bin/python3
"""Measures the release build beside its peers, in the same run: see README.md.

    run.py [--list] [--runs N] [--quick] [--strict] [--json FILE] [--chart FILE.svg] [--dir DIR] [NAME ...]
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import bench_bytes
import bench_many
import bench_relay
import bench_rest
import bench_small
import chart
from measure import Row
from rig import Rig

BENCHES = {
    "send": bench_bytes.send,
    "upload": bench_bytes.upload,
    "cut-through": bench_bytes.cut_through,
    "10mib": bench_bytes.ten_mib,
    "latency": bench_small.latency,
    "rate": bench_small.rate,
    "streams": bench_many.streams,
    "memory": bench_many.footprint,
    "relay": bench_relay.relay,
    "start": bench_rest.start,
    "idle": bench_rest.idle,
}
VERDICTS = {True: "reached", False: "NOT REACHED", None: "shown"}


def number(value):
    """Three digits that count."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def spread(values):
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})" if values else "–"


def verdict(row):
    return row.note and "not measured" or VERDICTS[row.reached]


def cells(row):
    factor = row.ratio
    return [row.what, spread(row.ours), row.unit, spread(row.beside), row.peer or "–",
            "–" if factor is None else f"{number(factor)} ×", str(row.reach or "–"), verdict(row)]


def print_table(rows):
    lines = [["", "jidpost (min–max)", "unit", "beside", "which is", "ratio", "asked", ""], *map(cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    for note in dict.fromkeys(row.note for row in rows if row.note):
        of = [row.what for row in rows if row.note == note]
        print(f"\nnot measured: {'; '.join(of)}:\n    {note}")


def machine():
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"processor": model, "processors": os.cpu_count(), "kernel": platform.release(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)}


def revision():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True,
                          text=True)
    return done.stdout.strip() or None


def measure(name, bench, options):
    """The rows; a benchmark that breaks is a row too, and its files stay."""
    directory = Path(tempfile.mkdtemp(prefix=f"jidpost-bench-{name}-", dir=options.dir))
    rig = Rig(directory, options.runs, options.quick)
    began = time.monotonic()
    try:
        rows = bench(rig)
    except Exception:
        traceback.print_exc()
        print(f"the files of {name} are in {directory}", file=sys.stderr)
        return [Row(name, f"{name}: broken off", "", note="it broke; see above")], False
    finally:
        rig.close()
    shutil.rmtree(directory)
    print(f"{name}: {time.monotonic() - began:.0f} s, {options.runs} runs", file=sys.stderr, flush=True)
    return rows, True


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures jidpost beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks; all of them else")
    parser.add_argument("--list", action="store_true", help="their names")
    parser.add_argument("--runs", type=int, help="of each (5; 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how fast it is")
    parser.add_argument("--strict", action="store_true", help="what was not reached is a failure")
    parser.add_argument("--json", type=Path, help="all figures, into a file")
    parser.add_argument("--chart", type=Path, help="what is asked, as a picture (SVG), into a file")
    parser.add_argument("--dir", type=Path, help="where to write; on the disk that is to be measured (/tmp)")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no {unknown[0]}; --list names them")
    options.runs = options.runs or (2 if options.quick else 5)
    return options


def main():
    options = arguments()
    if options.list:
        for name, bench in BENCHES.items():
            print(f"{name:12} {bench.__doc__.splitlines()[0]}")
        return 0
    rows, whole = [], True
    for name, bench in BENCHES.items():
        if not options.names or name in options.names:
            more, went = measure(name, bench, options)
            rows += more
            whole = whole and went
    result = {"revision": revision(), "machine": machine(), "runs": options.runs, "quick": options.quick,
              "rows": [row.as_json() for row in rows]}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.chart:
        options.chart.write_text(chart.draw(result))
    print_table(rows)
    reached, missed = ([row for row in rows if row.reached is value] for value in (True, False))
    unmeasured = [row for row in rows if row.note]
    if options.quick:
        print("\nWith --quick: these figures say nothing about speed.")
    print(f"\n{len(reached)} reached, {len(missed)} not reached"
          + (f", {len(unmeasured)} not measured" if unmeasured else ""))
    return 0 if whole and not (options.strict and (missed or unmeasured)) else 1


if __name__ == "__main__":
    sys.exit(main())
