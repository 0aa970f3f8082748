"""Time and memory of an audit, and its own work: `python -m benchmarks.audit`.

The server is the sandbox in another process, without rate limits, as these would determine the result. For its own work
see `bare.py`.
"""

import argparse
import asyncio
import resource
import sys
import time

from alohub_async import AlohubClient
from alohub_async.audit import audit_inbound, html_page, junit_xml
from benchmarks.bare import print_own_work
from benchmarks.prefetch import server


def peak() -> float:
    """The peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(url: str, key: str, *, details: bool) -> None:
    """Run one audit and print its time and memory."""
    async with AlohubClient(key, endpoint=url) as client:
        await client.queues.list_inbound().first()
        peak_before, started = peak(), time.perf_counter()
        report = await audit_inbound(client, details=details)
        audited, peak_after = time.perf_counter(), peak()
        sizes = len(html_page(report).encode()), len(junit_xml(report))
        written = time.perf_counter()
    print(f"{report.headline()}; details: {details}")
    print(f"  {audited - started:.2f} s, peak {peak_after:.0f} MB ({peak_before:.0f} MB before)")
    print(f"  HTML {sizes[0] / 1e6:.1f} MB and JUnit {sizes[1] / 1e6:.1f} MB in {written - audited:.2f} s")


def main() -> int:
    """Measure one audit per process, as a process does not return its memory; return 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queues", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that compare an audit with the bare loop")
    parser.add_argument("--no-details", dest="details", action="store_false")
    chosen = parser.parse_args()
    with server(queues=chosen.queues) as (url, key):
        asyncio.run(measure(url, key, details=chosen.details))
        if not (chosen.details and chosen.rounds):
            return 0
        ok = print_own_work(url, key, audit_inbound, queues=chosen.queues, passes=1, rounds=chosen.rounds)
        return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
