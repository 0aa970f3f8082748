"""A key that is repeated everywhere is shown nowhere: errors, tracebacks with locals, log, files, pages, output."""

import asyncio
import json
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from alohub_async import AlohubClient, AlohubError, InboundQueueUpdate, RetryPolicy, Timeouts
from alohub_async.cli.app import run as run_command
from tests.support import FIRST, LIST, QUEUE, RawServer, Step, http
from tests.torture.canary import FORMS, KEY, revealed, reveals
from tests.torture.harness import Torture
from tests.torture.world import World, tried

_CALLS: Final[Mapping[str, Callable[[AlohubClient], Coroutine[Any, Any, object]]]] = {
    "list": lambda client: client.queues.list_inbound().collect(),
    "repair": lambda client: client.queues.list_inbound(consistency="repair").collect(),
    "details": lambda client: client.queues.list_inbound(details=True).collect(),
    "get": lambda client: client.queues.get_inbound(FIRST),
    "get many": lambda client: _unwrapped(client.queues.get_many_inbound([FIRST])),
    "update": lambda client: client.queues.update_inbound(FIRST, max_wait=1),
    "update many": lambda client: _unwrapped(
        client.queues.update_many_inbound({FIRST: InboundQueueUpdate(max_wait=1)})
    ),
    "edit": lambda client: client.queues.edit_inbound(FIRST, InboundQueueUpdate(max_wait=1)),
    "request": lambda client: client.request("GET", LIST, params={"a": 1}),
    "paginate": lambda client: client.paginate(LIST).collect(),
}
_POINTS: Final = 22  # of each call in the short mode


async def _unwrapped(outcomes: Any) -> None:
    async for outcome in outcomes:
        outcome.unwrap()


def _failure(text: str, **more: object) -> bytes:
    return json.dumps({"success": "0", "error_code": "FAIL", "error_message": text, **more}).encode()


def _raw(body: bytes) -> bytes:
    """Put bytes that are JSON escapes already into a failure."""
    return b'{"success": "0", "error_code": "FAIL", "error_message": "' + body + b'"}'


def _head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, *headers, "Content-Length: 0", "", ""]).encode("latin-1")


PLACES: Final[Mapping[str, Callable[[str], Sequence[Step]]]] = {
    "message": lambda key: [http(_failure(f"the key {key} is wrong"), status=400)],
    "message of a success": lambda key: [http(_failure(f"the key {key} is wrong"))],
    "raw message": lambda key: [http(_raw(key.encode()), status=400)],
    "code": lambda key: [http({"success": "0", "error_code": key, "error_message": "no"}, status=403)],
    "page": lambda key: [http(f"<html>{key}</html>".encode(), status=502)],
    "page of a success": lambda key: [http(f"<html>{key}</html>".encode())],
    "cut in a page": lambda key: [http(b"x" * 480 + key.encode() + b"y" * 4000, status=401)],
    "end of a long page": lambda key: [http(b"<" * 4080 + key.encode(), status=500)],
    "name in an object": lambda key: [http({key: 1})],
    "name in a record": lambda key: [http({"success": "1", "data": [{key: [key]}]})],
    "value in a record": lambda key: [http({"success": "1", "data": [{**QUEUE, "strategy": key}]})],
    "value of a detail": lambda key: [http({**QUEUE, "timeWait": key, "strategy": [key]})],
    "total": lambda key: [http({"success": "1", "totalRecord": key, "data": key})],
    "success": lambda key: [http({"success": key, "error_code": "SUCCESS"})],
    "status line": lambda key: [_head(f"HTTP/1.1 500 {key}")],
    "broken status line": lambda key: [_head(f"HTTP/{key} 500 no"), "close"],
    "no HTTP": lambda key: [f"{key}\r\n\r\n".encode(), "close"],
    "header": lambda key: [_head("HTTP/1.1 500 no", f"X-Echo: {key}")],
    "header of 8 KB": lambda key: [_head("HTTP/1.1 500 no", f"X-Echo: {'a' * 7900}{key}")],
    "header of 9 KB": lambda key: [_head("HTTP/1.1 500 no", f"X-Echo: {'a' * 9000}{key}"), "close"],
    "name of a header": lambda key: [_head("HTTP/1.1 500 no", f"{key.replace(':', '')}: x"), "close"],
    "broken header": lambda key: [_head("HTTP/1.1 500 no", f"{key}"), "close"],
    "request id": lambda key: [_head("HTTP/1.1 500 no", f"X-Request-ID: {key}")],
    "type": lambda key: [_head("HTTP/1.1 200 yes", f"Content-Type: {key}")],
    "encoding": lambda key: [_head("HTTP/1.1 200 yes", f"Content-Encoding: {key}")],
    "transfer": lambda key: [_head("HTTP/1.1 200 yes", f"Transfer-Encoding: {key}"), "close"],
    "location": lambda key: [_head("HTTP/1.1 302 there", f"Location: http://127.0.0.1/{key}")],
    "cookie": lambda key: [_head("HTTP/1.1 500 no", f"Set-Cookie: a={key}")],
    "time to wait": lambda key: [_head("HTTP/1.1 429 no", f"Retry-After: {key}")],
    "limit": lambda key: [_head("HTTP/1.1 429 no", f"X-RateLimit-Limit: {key}", f"RateLimit: {key};w={key}")],
    "limit of a success": lambda key: [_head("HTTP/1.1 200 yes", f"X-RateLimit-Remaining-Tenant: {key}")],
    "length": lambda key: [f"HTTP/1.1 200 yes\r\nContent-Length: {key}\r\n\r\n".encode(), "close"],
    "chunk": lambda key: [f"HTTP/1.1 200 yes\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n".encode(), "close"],
    "unread body": lambda key: [f"HTTP/1.1 200 yes\r\nContent-Length: 999\r\n\r\n{key}".encode(), "close"],
    "stalled body": lambda key: [f"HTTP/1.1 200 yes\r\nContent-Length: 999\r\n\r\n{key}".encode(), 100.0],
    "nothing": lambda _: ["close"],
}
"""Where an answer repeats a text."""


@frozen
class Repeated:
    """A point.

    Attributes:
        call: The call.
        place: Where the answer repeats the key.
        form: How the key is written there.
        options: Of the client.
    """

    call: str
    place: str
    form: str
    options: Mapping[str, Any]


@pytest.mark.parametrize("call", _CALLS)
def test_repeated_by_the_server(torture: Torture, call: str, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that repeats the key does not bring it into an error, a traceback or the log."""
    caplog.set_level(logging.DEBUG)

    def run(point: Repeated) -> Iterable[str]:
        caplog.clear()
        found = tried(lambda world: _run(world, point))
        return [*found, *(f"in the log: {line[:99]}" for line in caplog.messages if reveals(line))]

    modes: Mapping[str, Mapping[str, Any]] = {
        "lenient": {},
        "strict": {"strict": True},
        "deadline": {"deadline": 2.0, "retry": RetryPolicy()},
    }
    points = {
        f"canary/{call}/{place}/{form}/{mode}": Repeated(call, place, form, options)
        for place in PLACES
        for form in FORMS
        for mode, options in modes.items()
    }
    torture.try_points(points, run, short=_POINTS)


async def _run(world: World, point: Repeated) -> None:
    steps = PLACES[point.place](FORMS[point.form](KEY))
    options: dict[str, Any] = {"retry": RetryPolicy(max_retries=0), "timeouts": Timeouts(read=5), **point.options}
    async with (
        RawServer(lambda _: steps) as server,
        AlohubClient(KEY, endpoint=server.url, **options) as client,
    ):
        task = asyncio.ensure_future(_CALLS[point.call](client))
        await asyncio.wait([task])
        error = task.exception()
        world.check(not reveals(repr(client) + repr(client.rate_limits)), "repr of the client")
        if error is not None:
            world.check(isinstance(error, AlohubError), f"an error that is not ours: {error!r:.200}")
            world.wrong += revealed(error, with_locals=point.place not in _DATA)


_DATA: Final = frozenset({"value in a record", "name in a record", "value of a detail"})
"""Places of data: a value of a queue is shown as such, whatever it is."""

_BAD_KEYS: Final = (KEY + "\n", " " + KEY, KEY + "é", KEY + "\0", KEY.encode(), [KEY], KEY + "\x7f", "\ud800" + KEY)


def test_keys_that_are_refused(torture: Torture) -> None:
    """A key that cannot be sent is refused without showing it, whether given or provided."""

    async def run(world: World, key: Any, *, provided: bool) -> None:
        try:
            async with AlohubClient((lambda: key) if provided else key, endpoint="http://127.0.0.1:1") as client:
                await client.queues.get_inbound(FIRST)
        except AlohubError as error:
            world.wrong += revealed(error)
        else:
            world.check(right=False, wrong="it was taken")

    points = {
        f"canary/bad key/{'provided' if provided else 'given'}/{number}": (key, provided)
        for provided in (False, True)
        for number, key in enumerate(_BAD_KEYS)
    }
    torture.try_points(
        points, lambda point: tried(lambda world: run(world, point[0], provided=point[1])), short=len(points)
    )


_COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "list": ["queues", "list"],
    "list as JSON": ["queues", "list", "--output", "json"],
    "get": ["queues", "get", str(FIRST)],
    "update": ["queues", "update", str(FIRST), "--max-wait", "5"],
    "export": ["queues", "export", "queues.csv"],
    "audit": ["audit", "--html", "page.html", "--output", "json"],
}


def test_repeated_to_the_command(
    torture: Torture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command's output, its exports and its pages do not show the key either."""
    monkeypatch.setenv("ALOHUB_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(random, "random", lambda: 0.0)  # no delay before a retry

    def run(point: tuple[str, str]) -> Iterable[str]:
        command, place = point
        with _serving(PLACES[place](KEY)) as url:
            monkeypatch.setenv("ALOHUB_BASE_URL", url)
            code = run_command(_COMMANDS[command])
        out, err = capsys.readouterr()
        shown = {"stdout": out, "stderr": err}
        shown |= {path.name: path.read_text(errors="replace") for path in tmp_path.iterdir()}
        for path in tmp_path.iterdir():
            path.unlink()
        return [
            *([] if code in range(9) else [f"exit code {code}"]),
            *(["a traceback"] if "Traceback" in err else []),
            *(f"in {name}" for name, text in shown.items() if reveals(text) and place not in _DATA),
        ]

    points = {
        f"canary/command {command}/{place}": (command, place)
        for command in _COMMANDS
        for place in PLACES
        if place != "stalled body"
    }
    torture.try_points(points, run, short=12)


@contextmanager
def _serving(steps: Sequence[Step]) -> Generator[str]:
    """Serve in a thread: the command has a loop of its own."""
    started, stop = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with RawServer(lambda _: steps) as server:
            urls.append(server.url)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    started.wait()
    try:
        yield urls[0]
    finally:
        stop.set()
        thread.join()
