"""Runs the end-to-end tests: every test class is a program of its own, some side by side.

    run.py [--list] [--fast] [--jobs N] [PATTERN ...]     PATTERN: part of "file.Class.test"
"""
import argparse
import os
import re
import subprocess
import sys
import time
import unittest
from pathlib import Path

from results import RESULTS

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
SCRIPTED = TESTS / "peer"  # a package, since its files are named as ours are
LOGS = Path(os.environ.get("JIDPOST_BUILD", HERE.parent.parent / "build")) / "e2e"
SECONDS_EACH = 600
PROBLEM_LINES = 5  # of a failed test, told again below all others


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def discover(patterns, fast):
    """{file.Class: (class, [test names])}, the long ones first, so that the last to end is short."""
    sys.path.insert(0, str(HERE))
    found = [unittest.TestLoader().discover(str(HERE), "test_*.py"),
             unittest.TestLoader().discover(str(SCRIPTED), "test_*.py", str(TESTS))]
    classes = {}
    for test in flatten(unittest.TestSuite(found)):
        if isinstance(test, unittest.loader._FailedTest):
            sys.exit(str(test._exception))
        name = test.id()
        if fast and getattr(type(test), "slow", False):
            continue
        if not patterns or any(pattern in name for pattern in patterns):
            classes.setdefault(name.rpartition(".")[0], (type(test), []))[1].append(name)
    order = sorted(classes, key=lambda name: (not waits(classes[name][0]), -getattr(classes[name][0], "weight", 1)))
    return {name: classes[name] for name in order}


def waits(kind):
    """Whether it does little else, for a deadline that cannot be made short: then it takes no place from another."""
    return getattr(kind, "waits", False)


def problems(log):
    """Of each failed test in a log of unittest: its name, and the last lines of its trace without the carets."""
    return [(head.splitlines()[0], re.sub(r"\n +\^+$", "", trace.strip(), flags=re.M).splitlines()[-PROBLEM_LINES:])
            for head, trace in re.findall(r"^={70}\n(.+?)\n-{70}\n(.*?)(?=^={70}$|^-{70}$)", log,
                                          re.MULTILINE | re.DOTALL)]


class Run:
    def __init__(self, name, kind, tests):
        self.name, self.log, self.places = name, LOGS / f"{name}.log", 0 if waits(kind) else 1
        self.problems = []
        self.began = time.monotonic()
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(["/usr/bin/python3", "-m", "unittest", "-v", *tests], cwd=HERE,
                                            env=dict(os.environ, PYTHONPATH=str(TESTS)), stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out)

    def over(self):
        if self.process.poll() is None and time.monotonic() - self.began > SECONDS_EACH:
            self.process.terminate()
        return self.process.poll() is not None

    def report(self):
        """(passed, failed); a program that died without a word counts as one failure."""
        text = self.log.read_text(errors="replace")
        ran = int((re.findall(r"^Ran (\d+) test", text, re.MULTILINE) or ["0"])[-1])
        bad = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", text)))
        failed = min(bad, ran) or (0 if self.process.returncode == 0 else 1)
        seconds = time.monotonic() - self.began
        print(f"{'ok    ' if not failed else 'FAILED'} {self.name:55} {ran - min(failed, ran):3} of {ran:3} "
              f"{seconds:6.1f} s", flush=True)
        if failed:
            print(text[-20000:], flush=True)
            self.problems = problems(text) or [(self.name, [f"ended with code {self.process.returncode}"])]
        return max(ran - failed, 0), failed


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--list", action="store_true", help="name the tests")
    arguments.add_argument("--fast", action="store_true", help="leave out the slow classes")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments.add_argument("patterns", nargs="*")
    options = arguments.parse_args()
    classes = discover(options.patterns, options.fast)
    if options.list:
        print("\n".join(name for _, names in classes.values() for name in names))
        return 0
    if not classes:
        sys.exit(f"no test has {' or '.join(options.patterns)} in its name; --list names them")
    LOGS.mkdir(parents=True, exist_ok=True)
    RESULTS.unlink(missing_ok=True)
    waiting, running, told, passed, failed = list(classes.items()), [], [], 0, 0
    try:
        while waiting or running:
            while waiting and sum(run.places for run in running) < options.jobs:
                name, (kind, tests) = waiting.pop(0)
                running.append(Run(name, kind, tests))
            for run in [run for run in running if run.over()]:
                running.remove(run)
                good, bad = run.report()
                passed, failed = passed + good, failed + bad
                told += run.problems
            time.sleep(0.1)
    finally:
        for run in running:
            run.process.terminate()
            run.process.wait()
    for name, lines in told:
        print(name, *lines, sep="\n    ")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main())
