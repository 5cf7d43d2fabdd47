#!/usr/bin/env python3
"""Figures of test runs: what was tried, and how much of it ended in a crash or a loss.

  tests/figures.py BUILD...     prints what is in the folder figures of these builds

Tests leave theirs in $NACRE_FIGURES, where that is set, a file for each; packaging/test sets it.
"""

import os
import pathlib
import re
import sys

KINDS = {"fuzz": ("inputs tried", "crashes"), "faults": ("faults injected", "crashes, losses"),
         "load": ("machines, devices, ...", "crashes, losses")}


def record(kind, name, tried, failed=0):
    """Keeps the figures of one test, if anybody wants them."""
    if folder := os.environ.get("NACRE_FIGURES"):
        path = pathlib.Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{kind}.{name}").write_text(f"{tried} {failed}\n")


def tell(kind, name, tried, words):
    """Keeps the figures of a case that has passed, and says them."""
    print(f"  {name}: {tried} {words}", flush=True)
    record(kind, name, tried)


def failed(module, name):
    """A case of that module has failed: where it is one of faults or of load, that is its figure."""
    if found := re.match(r"(faults?)_(cycles)?|load_", module):
        record("faults" if found[1] and not found[2] else "load", name, 0, 1)


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    rows = [(*path.name.split(".", 1), pathlib.Path(build).name, *map(int, path.read_text().split()))
            for build in sys.argv[1:] for path in sorted(pathlib.Path(build, "figures").glob("*"))]
    for kind, (tried, lost) in KINDS.items():
        mine = [row[1:] for row in rows if row[0] == kind]
        print(f"\n{kind:52} {'build':8} {tried:>22} {lost:>16}")
        for name, build, count, bad in [*mine, (f"{len(mine)} in all", "", sum(row[2] for row in mine),
                                                sum(row[3] for row in mine))]:
            print(f"{name:52} {build:8} {count:22,} {bad:16,}")


if __name__ == "__main__":
    main()
