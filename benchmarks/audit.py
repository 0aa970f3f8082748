"""How long an audit takes, and how much memory: `python -m benchmarks.audit`.

The server is the sandbox in a process of its own, without limits: with them, they alone decide.
"""

import argparse
import asyncio
import resource
import time

from alohub_async import AlohubClient
from alohub_async.audit import audit_inbound, html_page, junit_xml
from benchmarks.prefetch import server


def peak() -> float:
    """The most memory this process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(url: str, key: str, *, details: bool) -> None:
    """Audit once, and print what it took."""
    async with AlohubClient(key, endpoint=url) as client:
        await client.queues.list_inbound().first()
        before, started = peak(), time.perf_counter()
        report = await audit_inbound(client, details=details)
        gathered, most = time.perf_counter(), peak()
        sizes = len(html_page(report).encode()), len(junit_xml(report))
        written = time.perf_counter()
    print(f"{report.headline()}; details: {details}")
    print(f"  {gathered - started:.2f} s, {most:.0f} MB at most ({before:.0f} before)")
    print(f"  HTML {sizes[0] / 1e6:.1f} MB and JUnit {sizes[1] / 1e6:.1f} MB in {written - gathered:.2f} s")


def main() -> None:
    """Measure with details or without: one audit a process, for memory once had is never given back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queues", type=int, default=5000)
    parser.add_argument("--no-details", dest="details", action="store_false")
    given = parser.parse_args()
    with server(queues=given.queues) as (url, key):
        asyncio.run(measure(url, key, details=given.details))


if __name__ == "__main__":
    main()
