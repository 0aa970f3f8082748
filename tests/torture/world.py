"""A loop, a folder and a look at what is left of both: each point has its own."""

import asyncio
import gc
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import looptime
from attrs import define, field

from alohub_async import AlohubClient

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")

MEGABYTE: Final = 1 << 20
_LONGEST: Final = 50_000.0  # seconds of the loop's clock: a point that takes longer hangs
_MEMORY: Final = Path("/", "dev", "shm")  # writing there waits for no disk
_PATIENCE: Final = 50
_FD: Final = Path("/proc/self/fd")


class _Threads(ThreadPoolExecutor):
    """An executor that knows what it runs."""

    def __init__(self) -> None:
        super().__init__(max_workers=2)
        self.work: list[Future[Any]] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        future = super().submit(fn, *args, **kwargs)
        self.work.append(future)
        return future


@define(eq=False)
class World:
    """Where a point is tried.

    Attributes:
        folder: Empty at the beginning.
        wrong: What was found to be wrong, each in one line.
    """

    folder: Path
    wrong: list[str] = field(init=False, factory=list[str])
    _threads: _Threads = field(init=False, factory=_Threads)

    def check(self, right: object, wrong: str) -> None:
        """Note what is wrong unless it is right."""
        if not right:
            self.wrong.append(wrong)

    def check_threads(self) -> None:
        """Check that no thread works for a call that has ended."""
        self.check(all(work.done() for work in self._threads.work), "a thread still works after the call has ended")

    def check_folder(self, allowed: Iterable[str]) -> None:
        """Check that the folder has no other files."""
        left = {path.name for path in self.folder.iterdir()} - {*allowed}
        self.check(not left, f"left in the folder: {sorted(left)}")

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use this world's threads, and note what the loop reports."""
        loop.set_default_executor(self._threads)
        loop.set_exception_handler(self._reported)

    def _reported(self, _: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "reset by peer" not in str(error):  # of a server of ours, whose client has gone
            self.wrong.append(f"the loop reports: {context['message']} {error!r}"[:500])


def tried(point: Callable[[World], Coroutine[Any, Any, None]], *, real_time: bool = False) -> list[str]:
    """Try a point in a loop of its own, whose clock runs ahead while nothing happens; return what is wrong.

    With `real_time` the clock is real: for servers that are not in this loop.
    """
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=_MEMORY if _MEMORY.exists() else None))
    before, world = _open_files(), World(folder)
    try:
        make_loop = asyncio.new_event_loop if real_time else lambda: looptime.new_event_loop(end=_LONGEST)
        with asyncio.Runner(loop_factory=make_loop) as runner:
            world.enter(runner.get_loop())
            runner.run(_ended(world, point(world), rounds=5 if real_time else 50))
        for _ in range(_PATIENCE):
            if not _open_files() - before:
                break
            time.sleep(0.001)  # a server in another thread closes its side
        else:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ResourceWarning)
                gc.collect()
            left = [os_file for os_file in _open_files() - before if not os_file.startswith("/dev")]
            world.check(not left and not caught, f"left open: {left} {[str(each.message) for each in caught]}")
    finally:
        shutil.rmtree(folder)
    return world.wrong


async def _ended(world: World, point: Coroutine[Any, Any, None], *, rounds: int) -> None:
    task = asyncio.ensure_future(point)
    await asyncio.wait([task])
    for _ in range(rounds):
        await asyncio.sleep(0)
    left = [str(other.get_coro()) for other in asyncio.all_tasks() - {asyncio.current_task()}]
    world.check(not left, f"tasks run after everything is closed: {left}")
    error = task.exception()
    if error is not None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        world.wrong.append(f"the point itself failed in {where.name}: {error!r}")


def _open_files() -> set[str]:
    """Return the open files and sockets of this process."""
    found: set[str] = set()
    for name in _FD.iterdir() if _FD.exists() else ():
        with suppress(OSError):  # the folder itself is closed by now
            found.add(str(name.readlink()))
    return found


@contextmanager
def bounded(world: World, *, seconds: float, megabytes: float) -> Generator[None]:
    """Check what a block costs: time of this thread's processor, and memory at its peak."""
    _reset_peak()
    memory, started = _peak(), time.thread_time()
    yield
    spent, grown = time.thread_time() - started, (_peak() - memory) / MEGABYTE
    world.check(spent <= seconds, f"it took {spent:.1f} s of the processor, more than {seconds:.1f}")
    world.check(grown <= megabytes, f"it took {grown:.0f} MiB of memory, more than {megabytes:.0f}")


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux: the peak is that of the whole run


def _peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@asynccontextmanager
async def within(world: World, seconds: float, what: str) -> AsyncGenerator[None]:
    """Check that a block ends within so many seconds of the loop's clock."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        world.wrong.append(f"{what} did not end within {seconds:.0f} s")


def check_idle(world: World, client: AlohubClient) -> None:
    """Check that no request of this client waits or holds a permit."""
    limits = client.rate_limits
    for name, scope in {"tenant": limits.tenant, **limits.routes}.items():
        held = scope.in_flight, scope.waiting
        world.check(held == (0, 0), f"{name}: {held[0]} permits are held, {held[1]} requests wait")
