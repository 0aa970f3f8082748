"""What a client does about memory."""

import platform
import subprocess
import sys
from typing import Final

import pytest

CODE: Final = """
import asyncio, resource, socket

def faults():
    ours, theirs = socket.socketpair()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        theirs.send(b"x" * 4096)
        ours.recv(256 * 1024)  # as asyncio does
    ours.close(), theirs.close()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
from alohub_async.transport import Transport

async def main():
    transport = Transport(session=None, max_connections=1)
    await transport.connections()
    print(before, faults())
    await transport.aclose()

asyncio.run(main())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only there, blocks are given back each time")
def test_memory_that_is_read_into_is_kept() -> None:
    """Once a client has connections, the system is not asked for each block anew: its memory is there already."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)  # noqa: S603  (our own code)
    before, after = map(int, done.stdout.split())
    assert before > 100
    assert after < 10
