"""No error, log line, repr, pickle or traceback shows the API key."""

import asyncio
import base64
import copy
import cProfile
import html
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from rich.pretty import pretty_repr

from alohub_async import (
    AlohubClient,
    AlohubError,
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    ConfigurationError,
    DeadlineExceededError,
    Endpoint,
    InboundQueueUpdate,
    NotFoundError,
    Queues,
    RateLimitHeaders,
    Resource,
    RetryPolicy,
    Secret,
    Timeouts,
    errors,
)
from alohub_async.config import read_environment
from alohub_async.export.run import ExportOptions
from alohub_async.http.redaction import excerpt_of
from alohub_async.http.requests import build_request
from alohub_async.http.responses import Response, decode_response
from alohub_async.options import BulkOptions, CallOptions, ClientOptions, PageOptions, WalkOptions
from alohub_async.secret import redacted
from tests.routes import LIST_INBOUND
from tests.support import CALLS, LIST, RawServer, Step, deaf_endpoint, http, queue
from tests.twins import pickled

KEY: Final = "sk_live_0123456789/+=&'<abc"
ONCE: Final = RetryPolicy(max_retries=0)


def _bytes_escaped(text: str) -> str:
    return "".join(f"\\x{ord(char):02x}" for char in text)


ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "plain": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON with slashes escaped": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON escapes": lambda text: "".join(f"\\u{ord(char):04X}" for char in text),
    "HTML": html.escape,
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "HTML numbers": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "URL": lambda text: quote(text, safe=""),
    "URL in lower case": lambda text: quote(text, safe="").lower(),
    "URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "URL, each character": lambda text: "".join(f"%{ord(char):02x}" for char in text),
    "repr of bytes": lambda text: repr(text.encode()),
    "bytes": _bytes_escaped,
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64 of more": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "Base64 for URLs": lambda text: base64.urlsafe_b64encode(f"a:{text}?".encode()).decode(),
    "Base64 in a URL": lambda text: quote(base64.b64encode(f"ab{text}".encode()).decode(), safe=""),
    "hex": lambda text: text.encode().hex().upper(),
}


LEAKS: Final = {*(encode(KEY) for encode in ENCODINGS.values()), KEY[:10], KEY[-10:], "live%5f0123", "live_0123"}


def _leaks(text: str) -> list[str]:
    """What a text has of the key: an encoding of the whole, or some characters in a row."""
    lower = text.lower()
    return [leak for leak in LEAKS if leak in text or leak in lower]


# The redactor


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=15)
@given(
    key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=80),
    before=st.text("xyz %&\\", max_size=20),
    after=st.text("xyz %&\\", max_size=20),
)
def test_key_is_struck_out_in_every_encoding(encoding: str, key: str, before: str, after: str) -> None:
    """Wherever it stands; nothing but a few bits at the edges of a Base64 group is left."""
    secret = Secret(key)
    encoded = ENCODINGS[encoding](key)
    clean = redacted(f"{before}{encoded}{after}")
    assert "[redacted]" in clean
    assert len(clean) <= len(before) + len(after) + len("[redacted]") + 16
    assert secret.revealed == key


@given(st.integers(10, len(KEY)), st.sampled_from(["plain", "URL, each character", "JSON escapes", "HTML numbers"]))
def test_key_that_is_cut_is_struck_out(length: int, encoding: str) -> None:
    """A message may quote the first bytes of a line only."""
    secret = Secret(KEY)
    assert redacted(f"got {ENCODINGS[encoding](KEY[:length])}") == "got [redacted]"
    assert secret.revealed == KEY


@given(st.text())
def test_other_text_stays_as_it_is(text: str) -> None:
    """As long as it can be printed."""
    secret = Secret(KEY)
    assert redacted(text) == text.encode(errors="backslashreplace").decode()
    assert secret.revealed == KEY


def test_short_key_is_not_struck_out() -> None:
    """A "key" of three letters may be part of ordinary words, which stay readable."""
    secret = Secret("que")
    assert redacted("no such queue") == "no such queue"
    assert secret.revealed == "que"


def test_forgotten_key_is_not_struck_out() -> None:
    """The redactor keeps no key alive."""
    secret = Secret("another-key-1")
    assert redacted("another-key-1") == "[redacted]"
    del secret
    assert redacted("another-key-1") == "another-key-1"


@settings(max_examples=30)
@given(
    key=st.text("KLM", min_size=4, max_size=120),
    filler=st.text("xyz", max_size=30),
    repeats=st.integers(1, 200),
    start=st.integers(0, 520),
)
@example(key="KLM" * 40, filler="", repeats=200, start=0)
@example(key="KLM" * 240, filler="", repeats=20, start=3)
def test_no_part_of_the_key_is_left_where_the_excerpt_ends(key: str, filler: str, repeats: int, start: int) -> None:
    """The excerpt contains no part of the key, however often and wherever the body has it."""
    secret = Secret(key)
    excerpt = excerpt_of(("-" * start + (key + filler) * repeats).encode())
    assert not set("KLM") & set(excerpt)
    assert start >= 490 or "[redacted]" in excerpt  # from there on, it is cut itself
    assert secret.revealed == key


# The type


def test_secret_shows_nothing() -> None:
    """Not by its repr, text, format, variables or members, nor inside of other objects."""
    secret = Secret(KEY)
    shown = [f"{secret}", f"{secret!r}", f"{secret!s:>40}", f"{[secret]}", f"{(secret, {'key': secret})}"]
    shown += [repr(Secret({"X-Api-Key": KEY})), repr(dir(secret)), repr(getattr(secret, "__dict__", ""))]
    assert not [text for text in shown if _leaks(text)]
    assert secret.revealed == KEY


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_secret_does_not_leave_the_process(protocol: int) -> None:
    """It is refused by pickle, and so by process pools, task queues and caches."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret(KEY), protocol)
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.deepcopy({"key": Secret(KEY)})


def test_secrets_of_the_same_text_are_one() -> None:
    """So an unchanged key of a provider is recognised without a look at it."""
    assert Secret(KEY) is Secret(KEY)
    assert Secret(KEY) is not Secret(KEY.upper())
    assert Secret(7) is not Secret(7)


def test_line_of_the_log_costs_little_with_many_keys() -> None:
    """As in a pool of many tenants: an `&` between values is no escape, so no expression is made for each key."""
    keys = [Secret(f"sk_live_{number:024}") for number in range(50)]
    with cProfile.Profile() as profile:
        line = redacted("call finished: url=https://api.example/v1/queues/inbound?page=1&size=100 95% seconds=0.1")
    assert line.endswith("95% seconds=0.1")
    assert sum(entry.callcount for entry in profile.getstats()) / len(keys) < 80


def test_keys_that_begin_alike_are_both_struck_out() -> None:
    """The beginning of one does not hide the rest of another."""
    keys = [Secret(key) for key in ("sk_live_0123456789aaaa", "sk_live_0123456789bbbb", "sk_live_01", "sk_live_0123")]
    for key in keys:
        text = f"about {key.revealed}, and {key.revealed}"
        assert str(AlohubError(text)) == "about [redacted], and [redacted]"


# Errors


def _attributes(error: BaseException) -> str:
    return f"{error!r} {error} {vars(error)!r} {getattr(error, '__notes__', '')!r}"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "kind", [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, AlohubError)]
)
def test_every_error_redacts_what_it_is_given(kind: type[AlohubError], encoding: str) -> None:
    """Message, attributes, notes, and what its pickle has, whichever module makes it."""
    secret, text = Secret(KEY), f"about {ENCODINGS[encoding](KEY)}"
    error: Any = kind.__new__(kind)
    if issubclass(kind, APIStatusError):
        headers = CIMultiDict([("X-Echo", text), ("X-Echo", "two"), (text, "three")])
        error.__init__(text, status=418, error_code=text, request=text, request_id=text, headers=headers, body=text)
        assert error.headers.getall("x-echo")[1] == "two"
    else:
        AlohubError.__init__(error, text)
        error.body = error.anything = text
    error.resume_token = text
    error.add_note(text)
    assert "[redacted]" in str(error)
    for each in (error, pickled(error)):
        assert not _leaks(_attributes(each))
    assert not _leaks(repr(pickle.dumps(error)))
    assert secret.revealed == KEY


def test_error_keeps_what_is_no_secret() -> None:
    """Its headers are the same object, and its message the same text."""
    headers = CIMultiDict({"X-Queue": "Hỗ trợ"})
    error = NotFoundError("Không tìm thấy", status=404, headers=headers)
    assert error.headers is headers
    assert error.message == "Không tìm thấy"


def test_key_in_the_path_or_query_is_redacted() -> None:
    """A key passed as a parameter by mistake does not appear in an error."""
    secret = Secret(KEY)
    request = build_request(LIST_INBOUND, Endpoint.production(), params={"api_key": KEY})
    for response in (Response(404, CIMultiDict(), b""), Response(200, CIMultiDict(), b"<html>")):
        with pytest.raises((NotFoundError, APIResponseError)) as caught:
            decode_response(request, response, retry_after=None)
        assert not _leaks(_attributes(caught.value))
    assert secret.revealed == KEY


# A canary: the key through everything that a user can see


def _shown(error: BaseException) -> str:
    """Everything that logs, crash reporters and process pools take from an error."""
    parts = ["".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())]
    parts += [pretty_repr(frame.f_locals) for frame, _ in traceback.walk_tb(error.__traceback__)]  # as rich shows them
    link: BaseException | None = error
    while link is not None:
        parts += [
            _attributes(link),
            "".join(traceback.TracebackException.from_exception(link, capture_locals=True).format()),
        ]
        link = link.__cause__ or link.__context__
    if isinstance(error, AlohubError):
        parts.append(repr(pickle.dumps(error)))
    return "\n".join(parts)


async def _failed(client: AlohubClient, call: str) -> BaseException | None:
    """The error of a call, if it fails. Only frames of the client and this one are in its traceback."""
    try:
        await (_strange(client) if call == "strange" else CALLS[call](client))
    except (AlohubError, asyncio.CancelledError) as error:
        return error
    return None


async def _strange(client: AlohubClient) -> object:
    @attrs.frozen
    class Strange:
        id: int
        number: int = attrs.field(metadata={"wire": "callinNumber"})

    return await client.paginate(LIST, model=Strange).collect()


def _answers(echo: str) -> Iterator[bytes]:
    """Answers that repeat the key, each in a place of its own."""
    for status in (200, 400, 401, 403, 404, 418, 429, 500):
        body = {"success": "0", "error_code": f"BAD_{echo}", "error_message": f"the key {echo} is wrong", echo: echo}
        yield http(body, status=status, headers={"X-Request-Id": echo, "X-Echo": echo, "Retry-After": echo})
        yield http(f"<p>{echo}</p>".encode(), status=status)
    yield http({echo: {echo: echo}})  # an object's names
    yield http({"data": {echo: 1}, "totalRecord": echo})
    yield http({"data": [{echo: 1}, echo], "totalRecord": 2})
    yield http({"data": [echo], "totalRecord": 1})
    yield http([echo])
    yield http({"success": "1", **queue(strategy=echo, callinNumber={echo: echo})})  # fields that do not fit
    yield http({"success": "1", "data": [queue(strategy=echo, callinNumber={echo: echo})], "totalRecord": 1})
    limits = {"X-RateLimit-Limit": echo, "X-RateLimit-Remaining": echo, "RateLimit": echo, "Location": echo}
    yield http({}, status=302, headers=limits)
    yield f"HTTP/1.1 200 {echo}\r\nContent-Length: 2\r\n\r\n[]".encode()  # a status line
    yield f"HTTP/1.1 {echo}\r\n\r\n".encode()
    yield f"{echo}\r\n\r\n".encode()
    yield f"HTTP/1.1 200 OK\r\n{echo}\r\n\r\n".encode()  # headers that are none
    yield f"HTTP/1.1 200 OK\r\nX-{echo} : {echo}\r\n\r\n".encode()
    yield f"HTTP/1.1 200 OK\r\nContent-Length: {echo}\r\n\r\n".encode()
    yield f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{echo}\r\n".encode()
    yield f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(echo)}\r\n\r\n{echo}".encode()
    for pad in range(0, 40, 7):  # headers of more than aiohttp takes
        yield f"HTTP/1.1 200 OK\r\nX-Echo: {'-' * pad}{echo * 400}\r\n\r\n".encode()
    yield f"HTTP/1.1 200 OK\r\n{(echo + '-') * 400}: 1\r\n\r\n".encode()
    yield http(queue())[:-5]  # cut


@pytest.mark.parametrize("encodings", [("plain",), ("URL in lower case", "Base64", "JSON escapes")], ids=len)
@pytest.mark.looptime
async def test_nothing_shows_a_key_that_a_server_repeats(
    caplog: pytest.LogCaptureFixture, encodings: tuple[str, ...]
) -> None:
    """Whatever part of an answer has it: no error, frame, log line or pickle does, under any call."""
    caplog.set_level(logging.DEBUG, "alohub_async")
    in_each = zip(*(_answers(ENCODINGS[encoding](KEY)) for encoding in encodings), strict=True)
    answers = [each[number % len(encodings)] for number, each in enumerate(in_each)]
    count = 0
    for number, answer in enumerate(answers):

        def steps(_: int, answer: bytes = answer) -> Sequence[Step]:
            return [answer, "close"]

        async with RawServer(steps) as server:
            endpoint = (Endpoint.direct if number % 2 else Endpoint)(server.url)
            async with AlohubClient(KEY, endpoint=endpoint, retry=ONCE, strict=True) as client:
                for call in ("list", "get", "update", "strange"):
                    error = await _failed(client, call)
                    if error is not None:
                        count += 1
                        assert not _leaks(_shown(error)), (answer, call, _shown(error))
                assert not _leaks(repr((client, client.queues, client.rate_limits, client.endpoint)))
    assert count > 3 * len(answers)
    assert len(caplog.records) > len(answers)
    for record in caplog.records:
        assert not _leaks(f"{record.getMessage()} {vars(record)!r}"), record


async def _refused_url() -> str:
    async with RawServer(lambda _: ["close"]) as server:
        return server.url


@pytest.mark.parametrize("call", ["list", "get", "update"])
@pytest.mark.parametrize("provided", [False, True])
@pytest.mark.looptime
async def test_no_traceback_with_variables_shows_the_key(
    caplog: pytest.LogCaptureFixture, call: str, provided: Any
) -> None:
    """Whether nothing was sent, the time was over, or the task was cancelled: no frame holds the key as text."""
    caplog.set_level(logging.DEBUG, "alohub_async")
    key: Any = (lambda: KEY) if provided else Secret(KEY)
    shown: list[str] = []

    async def fail(url: str, *, cancel: bool = False, **options: Any) -> None:
        async with AlohubClient(key, endpoint=url, retry=RetryPolicy(max_retries=1, backoff=0), **options) as client:
            task = asyncio.ensure_future(_failed(client, call))
            await asyncio.sleep(1)
            if cancel:
                task.cancel()
            error = await task
            assert error is not None
            shown.append(_shown(error))

    await fail(await _refused_url())
    async with deaf_endpoint() as url:
        await fail(url, timeouts=Timeouts(connect=2))
    async with RawServer(lambda _: [1000.0]) as server:
        await fail(server.url, timeouts=Timeouts(total=2))
        await fail(server.url, deadline=5)
        await fail(server.url, cancel=True)
    async with RawServer(lambda _: [http(queue())[:-1], 1000.0]) as server:
        await fail(server.url, timeouts=Timeouts(read=3))
        await fail(server.url, cancel=True)
    async with RawServer(lambda _: ["close"]) as server:
        await fail(server.url)
    assert len(shown) == 8
    for text in [*shown, *(f"{record.getMessage()} {vars(record)!r}" for record in caplog.records)]:
        assert not _leaks(text), text


def _any_client(*given: Any, **options: Any) -> object:
    return AlohubClient(*given, **options)


def _refusal(make: Callable[[], object]) -> BaseException:
    """The error of a call without variables of its own."""
    with pytest.raises(AlohubError) as caught:
        make()
    return caught.value


@pytest.mark.parametrize(
    "make",
    [
        lambda: AlohubClient(f"{KEY}\n"),
        lambda: AlohubClient(Secret(f"{KEY}\n")),
        lambda: _any_client(KEY.encode()),
        lambda: _any_client([KEY]),
        lambda: _any_client(KEY, deadlin=3),
        lambda: AlohubClient(KEY, max_connections=0),
        lambda: AlohubClient(KEY, endpoint="http://pbx.example"),
        lambda: AlohubClient.from_env(f"{KEY}\n"),
        lambda: AlohubClient.from_env(KEY, endpoint="http://pbx.example"),
        AlohubClient.from_env,
        read_environment,
    ],
)
def test_no_error_of_the_configuration_shows_the_key(
    make: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a variable of its frames, such as the whole environment."""
    monkeypatch.setenv("ALOHUB_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("ALOHUB_ENV", "staging")
    error = _refusal(make)
    frames = [
        frame for frame, _ in traceback.walk_tb(error.__traceback__) if "alohub_async" in frame.f_code.co_filename
    ]
    text = _attributes(error) + "".join(pretty_repr(f.f_locals) for f in frames if "tests" not in f.f_code.co_filename)
    assert frames
    assert not _leaks(text), text


@pytest.mark.parametrize("provide", [lambda: f"{KEY}\n", lambda: [KEY], lambda: asyncio.sleep(0, f"{KEY} ")])
async def test_no_error_of_a_provided_key_shows_it(provide: Any) -> None:
    """A provider may return anything; the error says that it does not fit."""
    async with AlohubClient(provide, endpoint="http://127.0.0.1:9") as client:
        error = await _failed(client, "get")
    assert isinstance(error, ConfigurationError)
    assert not _leaks(_shown(error))


async def test_last_failure_stays_the_cause_of_a_deadline() -> None:
    """It is redacted as the error itself, and its frames are gone."""
    answer = http({"error_message": KEY}, status=503, headers={"Retry-After": "9"})
    async with RawServer(lambda _: [answer]) as server, AlohubClient(KEY, endpoint=server.url, deadline=5) as client:
        error = await _failed(client, "get")
    assert isinstance(error, DeadlineExceededError)
    assert isinstance(error.__cause__, APIStatusError)
    assert error.__cause__.message == "[redacted]"
    assert not _leaks(_shown(error))


async def test_connection_error_keeps_its_reason() -> None:
    """The cause of aiohttp is gone, so the message has its text."""
    async with AlohubClient(KEY, endpoint=await _refused_url(), retry=ONCE) as client:
        error = await _failed(client, "get")
    assert isinstance(error, APIConnectionError)
    assert "Connect call failed" in str(error)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(max_retries=-1),
        lambda: Timeouts(read=0),
        lambda: Endpoint("http://pbx.example"),
        lambda: RateLimitHeaders(tenant_limit="X-Limit"),
        lambda: InboundQueueUpdate(max_wait=-1),
        *(lambda kind=kind: kind(deadline=-1) for kind in (CallOptions, PageOptions, WalkOptions, BulkOptions)),
        lambda: ClientOptions(max_connections=0),
        lambda: ExportOptions(page_size=0),
    ],
)
def test_object_that_was_refused_can_be_shown(make: Callable[[], object]) -> None:
    """A traceback with variables shows it half-built: that must not end in another error."""
    error = _refusal(make)
    text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "self = " in text


@pytest.mark.parametrize("kind", [AlohubClient, Queues, Resource, RetryPolicy, Endpoint, ClientOptions, Secret])
def test_half_built_object_has_a_repr(kind: type[object]) -> None:
    """As a debugger may ask for it before `__init__`."""
    assert kind.__name__ in repr(object.__new__(kind))
