"""Print the table: `python -m benchmarks.limiter [--quick] [part ...]`."""

import argparse
import sys
import time

from benchmarks.limiter.cost import cost
from benchmarks.limiter.gateways import GATEWAYS
from benchmarks.limiter.rows import QUICK, Effort
from benchmarks.limiter.sockets import sockets
from benchmarks.limiter.table import WINDOWS

_PARTS = (*WINDOWS, *GATEWAYS, ("real sockets and real time", sockets))


def main() -> int:
    """Print the table part by part; return 0 if all required values were reached."""
    names = [part.__name__ for _, part in _PARTS] + [cost.__name__]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limiter", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer limits, seeds and windows")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"only these: {', '.join(names)}")
    arguments = parser.parse_args()
    chosen: list[str] = arguments.parts or names
    if unknown := set(chosen) - set(names):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    effort = QUICK if arguments.quick else Effort()
    started, missed = time.perf_counter(), 0
    parts = [(title, part(effort)) for title, part in _PARTS if part.__name__ in chosen]
    if cost.__name__ in chosen:
        parts.append(("cost on this machine", cost()))
    for title, rows in parts:
        print(f"\n{title}")
        for row in rows:
            print(row, flush=True)
            missed += row.ok is False
    print(f"\n{missed} missed; seeds {effort.rival_seeds}; {time.perf_counter() - started:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
