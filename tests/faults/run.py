#!/usr/bin/python3
"""Does to the gateway what the world will do: see README.md.

    run.py [--list] [--build PRESET] [--rounds N] [--seed N] [--from N] [--count N] [--minutes N] [--dry] [NAME ...]
"""
import argparse
import sys
import time
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS)]

import failing  # noqa: E402
import fuzzed  # noqa: E402
import hostile  # noqa: E402
import kill  # noqa: E402
import soak  # noqa: E402
import table  # noqa: E402

# name: (what does it, the build it is done to where none is asked for)
CASES = {"kill": (kill.kill, "release"), "alloc": (failing.alloc, "dev"), "syscalls": (failing.syscalls, "dev"),
         "hostile": (hostile.hostile, "release"), "soak": (soak.soak, "release"), "fuzz": (fuzzed.fuzz, "fuzz")}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--list", action="store_true", help="name the cases")
    arguments.add_argument("--build", help="the preset whose program is treated so, instead of the case's own")
    arguments.add_argument("--rounds", type=int, default=5, help="of kill")
    arguments.add_argument("--seed", type=int, help="of kill and soak; without one a new one is taken and told")
    arguments.add_argument("--from", type=int, default=1, dest="first", help="the first point of alloc and syscalls")
    arguments.add_argument("--count", type=int, default=50, help="how many points of alloc and syscalls")
    arguments.add_argument("--minutes", type=float, default=3, help="of soak")
    arguments.add_argument("--only", action="append", help="this row of hostile; may be given again")
    arguments.add_argument("--quick", action="store_true", help="hostile: hardly a bystander, and nothing is kept")
    arguments.add_argument("--verbose", action="store_true", help="a line for each point")
    arguments.add_argument("--dry", action="store_true", help="leave docs/reliability.* as they are")
    arguments.add_argument("names", nargs="*", metavar="NAME")
    options = arguments.parse_args()
    if options.list:
        for name, (case, build) in CASES.items():
            print(f"{name:10} {case.__doc__} ({build} build)")
        return 0
    unknown = set(options.names) - set(CASES)
    if unknown:
        sys.exit(f"there is no case {', '.join(sorted(unknown))}; --list names them")
    passed = failed = 0
    for name in options.names or CASES:
        began, (case, build) = time.monotonic(), CASES[name]
        one = argparse.Namespace(**{**vars(options), "build": options.build or build})
        try:
            slices, faults = case(one)
            if not options.dry and not options.quick:
                table.add(name, one.build, slices)
            passed, failed = passed + (not faults), failed + bool(faults)
            verdict = "FAILED" if faults else "ok    "
        except Exception:
            traceback.print_exc()
            failed += 1
            verdict = "FAILED"
        print(f"{verdict} {name} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
