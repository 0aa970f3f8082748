"""The sandbox hides no mistakes: it refuses wrong scripts, reports its failures, and responds as real servers do."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from attrs import evolve, frozen

from alohub_async import AuthenticationError, PermissionDeniedError
from alohub_async.testing import (
    Answer,
    Delay,
    DropConnection,
    EmptyBody,
    Failure,
    Fault,
    HtmlPage,
    JsonAnswer,
    Sandbox,
    Status,
)
from tests.testing.raw import LIST, Raw, open_raw

DETAIL = f"{LIST}/{{id}}"
LIMIT_HEADERS = {f"X-RateLimit-{kind}-{scope}" for kind in ("Limit", "Remaining") for scope in ("Tenant", "Route")}


@pytest.fixture(name="raw")
async def _raw() -> AsyncIterator[Raw]:
    async with open_raw(queues=45) as raw:
        yield raw


# Wrong faults

_NESTED: Any = functools.reduce(lambda inner, _: [inner], range(100_000), list[Any]())


@pytest.mark.parametrize(
    ("fault", "script", "name"),
    [
        (None, {"status": 429, "retry_after": 1}, "retry_after"),
        (None, {"status": 429, "retry_after": "1\r\nX-More: 1"}, "retry_after"),
        (None, {"status": 1000}, "status"),
        (None, {"status": 99}, "status"),
        (None, {"status": 600}, "status"),
        (None, {"status": True}, "status"),
        (None, {"status": "502"}, "status"),
        (None, {"status": 502.0}, "status"),
        (None, {"next": 1.5}, "next"),
        (None, {"next": True}, "next"),
        (None, {"next": "2"}, "next"),
        (None, {"page": -1}, "page"),
        (None, {"page": "1"}, "page"),
        (None, {"page": True}, "page"),
        (None, {"page": 1, "method": "PUT"}, "page"),
        (None, {"page": 1, "path": DETAIL}, "page"),
        (None, {"page": 1, "path": f"{LIST}/1001226"}, "page"),
        (None, {"method": "GTE"}, "method"),
        (None, {"method": 1}, "method"),
        (None, {"path": "v1/queues/inbound"}, "path"),
        (None, {"path": "http://127.0.0.1/v1/queues/inbound"}, "path"),
        (None, {"path": f"{LIST}?page=1"}, "path"),
        (None, {"path": f"{LIST}#1"}, "path"),
        (None, {"path": f"{LIST}/{{queue_id}}"}, "path"),
        (None, {"path": ""}, "path"),
        (None, {"path": 1}, "path"),
        (None, {"json": {1, 2}}, "json"),
        (None, {"api_key": 5}, "api_key"),
        (None, {"api_key": Sandbox().api_key}, "api_key"),
        (None, {"tenant_id": "2026031"}, "tenant_id"),
        (None, {"when": "page 1"}, "when"),
        (None, {"after": -1}, "after"),
        (None, {"after": True}, "after"),
        (None, {"chance": 0}, "chance"),
        (None, {"chance": "0.5"}, "chance"),
        (None, {"seed": 0.5}, "seed"),
        (502, {}, "fault"),
        ("502", {}, "fault"),
        (False, {}, "fault"),
        (HtmlPage, {}, "fault"),
        (Answer(200), {}, "fault"),
    ],
)
def test_wrong_fault_is_refused(fault: Any, script: dict[str, Any], name: str) -> None:
    """`fail` raises a ValueError that names the wrong argument, and scripts nothing."""
    sandbox = Sandbox()
    with pytest.raises(ValueError, match=f"^{name} must be"):
        sandbox.fail(fault, **script)
    assert sandbox.faults_left == 0


def test_unknown_option_of_a_fault_is_refused() -> None:
    """A misspelt keyword raises a TypeError."""
    options: dict[str, Any] = {"stats": 502}
    with pytest.raises(TypeError, match="stats"):
        Sandbox().fail(**options)


@pytest.mark.parametrize(
    ("kind", "arguments", "name"),
    [
        (Status, {"error_code": 5}, "error_code"),
        (Status, {"error_message": b"x"}, "error_message"),
        (Failure, {"error_code": 0}, "error_code"),
        (Failure, {"camel_case": 1}, "camel_case"),
        (JsonAnswer, {"payload": {1, 2}}, "payload"),
        (JsonAnswer, {"payload": _NESTED}, "payload"),
        (JsonAnswer, {"payload": {}, "status": 1000}, "status"),
        (JsonAnswer, {"payload": {}, "status": 204}, "status"),
        (Status, {"status": 304}, "status"),
        (HtmlPage, {"status": 205}, "status"),
        (DropConnection, {"processed": "no"}, "processed"),
        (HtmlPage, {"status": "502"}, "status"),
        (EmptyBody, {"status": 1}, "status"),
        (Delay, {"seconds": -1}, "seconds"),
        (Delay, {"seconds": "1"}, "seconds"),
        (Delay, {"seconds": float("nan")}, "seconds"),
    ],
)
def test_wrong_part_of_a_fault_is_refused(kind: Any, arguments: dict[str, Any], name: str) -> None:
    """A fault checks its parts when it is made."""
    with pytest.raises(ValueError, match=f"^{name} must be"):
        kind(**arguments)


@frozen
class _Raises(Fault):
    def spoil(self, answer: Answer) -> Answer:
        del answer
        raise KeyError("mine")


@frozen
class _RaisesOSError(Fault):
    def spoil(self, answer: Answer) -> Answer:
        del answer
        raise ConnectionResetError("mine")


@frozen
class _NoAnswer(Fault):
    def spoil(self, answer: Answer) -> Any:
        del answer


@frozen
class _BadHeader(Fault):
    def spoil(self, answer: Answer) -> Answer:
        return answer.with_headers({"X-More": "a\r\nb"})


@frozen
class _BadDelay(Fault):
    def spoil(self, answer: Answer) -> Answer:
        late: Any = "1"
        return evolve(answer, delay=late)


@frozen
class _BadStatus(Fault):
    def spoil(self, answer: Answer) -> Answer:
        return evolve(answer, status=1000)


@pytest.mark.parametrize("fault", [_Raises(), _RaisesOSError(), _NoAnswer(), _BadHeader(), _BadDelay(), _BadStatus()])
def test_failure_of_the_server_is_raised_at_the_end(fault: Fault) -> None:
    """An error in a fault of the test's own is raised at the end of the block, even if the client has retried."""

    async def use(sandbox: Sandbox) -> None:
        async with sandbox.client() as client:
            await client.queues.list_inbound().first()

    def test(sandbox: Sandbox) -> None:
        with sandbox:
            sandbox.fail(fault)
            asyncio.run(use(sandbox))

    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="GET /v1/queues/inbound") as caught:
        test(sandbox)
    assert isinstance(caught.value.__cause__, Exception)
    with sandbox:
        pass


async def _break(error: type[Exception] | None = None) -> None:
    async with open_raw() as raw:
        raw.sandbox.fail(_Raises())
        await raw.get()
        if error is not None:
            raise error


async def test_failure_of_the_server_is_raised_by_async_with() -> None:
    """It is also raised at the end of `async with`."""
    with pytest.raises(RuntimeError, match="KeyError: 'mine'"):
        await _break()


async def test_failure_of_the_server_does_not_hide_that_of_the_test() -> None:
    """If the block fails itself, its error is raised with a note."""
    with pytest.raises(ZeroDivisionError) as caught:
        await _break(ZeroDivisionError)
    assert "KeyError: 'mine'" in caught.value.__notes__[0]


def test_stage_of_a_fault_is_checked() -> None:
    """A fault with an unknown stage would never happen, so it is refused."""

    @frozen
    class Late(Fault):
        @property
        def stage(self) -> Any:
            return "later"

    with pytest.raises(ValueError, match="stage must be"):
        Sandbox().fail(Late())


# Stop and start


async def _list(sandbox: Sandbox) -> int:
    async with sandbox.client() as client:
        return len(await client.queues.list_inbound().collect())


def test_restart_keeps_thread_and_address() -> None:
    """In a `with` block, a stopped sandbox restarts in its thread, at the same address, and ends with the block."""

    async def restart(sandbox: Sandbox) -> None:
        url = sandbox.url
        await sandbox.close()
        await sandbox.start()
        assert sandbox.url == url

    with Sandbox(queues=3) as sandbox:
        threads = {*threading.enumerate()}
        asyncio.run(restart(sandbox))
        assert {*threading.enumerate()} == threads
        assert asyncio.run(_list(sandbox)) == 3  # the loop of `restart` is closed
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.url


async def test_restart_in_a_running_loop_ends_with_the_block() -> None:
    """It is so if the test itself runs in an event loop."""
    with Sandbox(queues=3) as sandbox:
        await sandbox.close()
        await sandbox.start()
        port = sandbox.url.port
        assert await _list(sandbox) == 3
        with pytest.raises(RuntimeError, match="already running"):
            await sandbox.start()
    async with Sandbox(port=port or 0):
        pass


async def test_restart_keeps_address_in_a_loop() -> None:
    """In `async with` as well, a client finds the restarted sandbox."""
    async with Sandbox(queues=3) as sandbox, sandbox.client() as client:
        await sandbox.close()
        await sandbox.start()
        assert len(await client.queues.list_inbound().collect()) == 3


async def test_another_loop_cannot_start_it() -> None:
    """A sandbox of `async with` cannot be started or closed from another event loop."""
    async with Sandbox(queues=3) as sandbox:
        with pytest.raises(RuntimeError, match="event loop"):
            await asyncio.to_thread(lambda: asyncio.run(sandbox.close()))
        await sandbox.close()
        with pytest.raises(RuntimeError, match="event loop"):
            await asyncio.to_thread(lambda: asyncio.run(sandbox.start()))


# Keys


async def test_each_sandbox_has_its_own_key() -> None:
    """A key of one sandbox is wrong in another one with the same settings."""
    async with Sandbox(seed=1) as one, Sandbox(seed=1) as two:
        assert one.api_key != two.api_key
        assert one.queues == two.queues
        async with two.client(api_key=one.api_key) as client:
            with pytest.raises(AuthenticationError):
                await client.queues.get_inbound(1001226)


async def test_scripted_path_needs_a_key_and_a_scope() -> None:
    """A path served by a fault is answered 401 and 403 like the others, and the fault is not used up."""
    async with Sandbox() as sandbox:
        sandbox.fail(JsonAnswer({"success": "1", "data": []}), path="/v1/teams")
        async with sandbox.client(api_key="sk_live_wrong") as client:
            with pytest.raises(AuthenticationError):
                await client.request("GET", "/v1/teams")
        async with sandbox.client(api_key=sandbox.add_key(scopes=())) as client:
            with pytest.raises(PermissionDeniedError):
                await client.request("GET", "/v1/teams")
        async with sandbox.client() as client:
            await client.request("GET", "/v1/teams")
        sandbox.assert_all_faults_met()


async def test_scripted_path_can_have_its_own_scope() -> None:
    """`JsonAnswer(scope=…)` names the scope of a path that the sandbox does not have."""
    async with Sandbox() as sandbox:
        sandbox.fail(JsonAnswer([], scope="team"), path="/v1/teams")
        async with sandbox.client() as client:
            with pytest.raises(PermissionDeniedError):
                await client.request("GET", "/v1/teams")
        async with sandbox.client(api_key=sandbox.add_key(scopes={"team"})) as client:
            assert (await client.request("GET", "/v1/teams")).payload == []


async def test_scripted_path_is_limited() -> None:
    """A scripted path counts for the tenant and has a limit of its own, also by a template."""
    async with open_raw(tenant_limit=5, route_limit=2) as raw:
        raw.sandbox.fail(JsonAnswer({}), path="/v1/teams/{id}", next=None)
        replies = [await raw.get(f"/v1/teams/{number}") for number in (1, 2, 3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert replies[1].limits == {
            "X-RateLimit-Limit-Tenant": "5",
            "X-RateLimit-Remaining-Tenant": "3",
            "X-RateLimit-Limit-Route": "2",
            "X-RateLimit-Remaining-Route": "0",
        }
        assert (await raw.get("/v1/teams")).status == 404


# Responses of gateways and of the contract


@pytest.mark.parametrize("status", [405, 408, 413, 425, 501, 502, 503, 504, 520, 524, 530])
async def test_gateway_status_has_a_page_of_its_own(raw: Raw, status: int) -> None:
    """A gateway sends an HTML page without limit headers, for any key. The service does not count the request."""
    raw.sandbox.fail(status=status, retry_after="3", next=2)
    for headers in (None, dict[str, str]()):
        reply = await raw.send("GET", LIST, headers=headers)
        assert (reply.status, reply.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
        assert "success" not in reply.text
        assert reply.limits == {"Retry-After": "3"}
    assert (await raw.get()).limits["X-RateLimit-Remaining-Tenant"] == "99"


async def test_service_may_send_a_gateway_status(raw: Raw) -> None:
    """With a code or a message it is the service's own error."""
    raw.sandbox.fail(Status(503, error_message="Bảo trì"))
    reply = await raw.get()
    assert (reply.problem, reply.json["error_message"]) == ((503, "FAIL"), "Bảo trì")
    assert reply.limits.keys() == LIMIT_HEADERS


async def test_scripted_429_is_like_a_real_one(raw: Raw) -> None:
    """By default a scripted 429 has `Retry-After`, and no budget left."""
    raw.sandbox.fail(status=429)
    reply = await raw.get()
    assert reply.problem == (429, "RATE_LIMIT_EXCEEDED")
    assert reply.limits.keys() == LIMIT_HEADERS | {"Retry-After"}
    assert (reply.limits["Retry-After"], reply.limits["X-RateLimit-Remaining-Tenant"]) == ("1", "0")
    assert (await raw.get()).limits["X-RateLimit-Remaining-Tenant"] == "99"


async def test_scripted_429_may_be_odd(raw: Raw) -> None:
    """It can be sent without `Retry-After`, with budget left, or without limit headers."""
    raw.sandbox.fail(Status(429, retry_after=None))
    raw.sandbox.fail(status=429, retry_after=None)
    raw.sandbox.fail(Status(429, budget_left=True))
    raw.sandbox.fail(Status(429, limit_headers=False))
    first, second, third, fourth = [(await raw.get()).limits for _ in range(4)]
    assert first.keys() == second.keys() == LIMIT_HEADERS
    assert (third["Retry-After"], third["X-RateLimit-Remaining-Tenant"]) == ("1", "100")
    assert fourth.keys() == {"Retry-After"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
async def test_scripted_error_may_lack_limit_headers(raw: Raw, status: int) -> None:
    """Each scripted error can be sent with or without limit headers."""
    raw.sandbox.fail(Status(status))
    raw.sandbox.fail(Status(status, limit_headers=False))
    assert (await raw.get()).limits.keys() == LIMIT_HEADERS
    assert (await raw.get()).limits == {}


async def test_limit_headers_of_401_and_404_are_a_setting() -> None:
    """By the contract every response has them; a gateway may leave them out where it counts nothing."""
    for style, names in (("always", LIMIT_HEADERS), ("counted", set[str]())):
        async with open_raw(limit_headers_on=style) as raw:
            replies = [await raw.send("GET", LIST, headers={}), await raw.get("/v1/other"), await raw.get(f"{LIST}/1")]
            assert [reply.status for reply in replies] == [401, 404, 404]
            assert [reply.limits.keys() for reply in replies] == [names, names, LIMIT_HEADERS]
            assert replies[2].limits["X-RateLimit-Remaining-Tenant"] == "99"


# Expectations that cannot fail


@pytest.mark.parametrize(
    "path",
    ["v1/queues/inbound", f"{LIST}?page=1", f"{LIST}/{{queue_id}}", f"{LIST}/", "/v1/queue/inbound", "/v1/queues", "/"],
)
def test_path_that_never_matches_is_refused(path: str) -> None:
    """`assert_requested` refuses a path that no request to the sandbox can have."""
    with pytest.raises(ValueError, match=r"^path must be"):
        Sandbox().assert_requested("GET", path, times=0)


@pytest.mark.parametrize("method", ["", "GTE", "get ", None, 5])
def test_method_that_never_matches_is_refused(method: Any) -> None:
    """`assert_requested` refuses an unknown method."""
    with pytest.raises(ValueError, match=r"^method must be"):
        Sandbox().assert_requested(method, LIST, times=0)


@pytest.mark.parametrize("times", [-1, True, 1.0, "0"])
def test_times_must_be_a_number(times: Any) -> None:
    """`assert_requested` refuses a number of times that is none."""
    with pytest.raises(ValueError, match=r"^times must be"):
        Sandbox().assert_requested("GET", LIST, times=times)


@pytest.mark.parametrize(
    "wanted", [{"page": -1}, {"page": "1"}, {"status": 1000}, {"status": "200"}, {"path": "v1"}, {"method": "FETCH"}]
)
def test_filter_that_never_matches_is_refused(wanted: dict[str, Any]) -> None:
    """`requests.of` refuses it, too."""
    [name] = wanted
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Sandbox().requests.of(**wanted)


def test_path_that_never_matches_is_refused_by_a_filter() -> None:
    """A count of such requests, or one of another sandbox's key, would always be 0."""
    sandbox = Sandbox()
    with pytest.raises(ValueError, match=r"^path must be"):
        sandbox.requests.of(path="/v1/queue/inbound")
    with pytest.raises(ValueError, match=r"^api_key must be"):
        sandbox.requests.of(method="GET").of(api_key=Sandbox().api_key)


async def test_body_is_compared_as_json(raw: Raw) -> None:
    """1, true and 1.0 are equal in Python, but not to the service."""
    await raw.put(raw.first_id, {"strategy": 1})
    for other in (True, 1.0):
        raw.sandbox.assert_requested("PUT", DETAIL, json={"strategy": other}, times=0)
    raw.sandbox.assert_requested("PUT", DETAIL, json={"strategy": 1}, times=1)


@pytest.mark.parametrize("name", ["page", "size"])
async def test_repeated_parameter_is_invalid(raw: Raw, name: str) -> None:
    """Servers differ in which of the values they take. The log keeps both."""
    async with raw.session.get(
        raw.sandbox.url.with_path(LIST).with_query([(name, "1"), (name, "2")]),
        headers={"X-Api-Key": raw.sandbox.api_key},
    ) as response:
        assert response.status == 400
    assert raw.sandbox.requests[0].query.getall(name) == ["1", "2"]


async def test_requested_and_scripted_paths_can_be_expected(raw: Raw) -> None:
    """A path that was requested or scripted can be expected, and methods that a path does not have."""
    raw.sandbox.fail(JsonAnswer([]), path="/v1/teams", page=2)
    raw.sandbox.assert_requested("GET", "/v1/teams", times=0)
    raw.sandbox.assert_requested("DELETE", DETAIL, times=0)
    assert (await raw.get("/v1/teams", page=2)).json == []
    await raw.get("/v1/groups")
    raw.sandbox.assert_requested("GET", "/v1/teams", times=1)
    raw.sandbox.assert_requested("GET", "/v1/groups", times=1)
    raw.sandbox.fail(JsonAnswer([]), path="/v1/groups/{id}")
    raw.sandbox.assert_requested("GET", "/v1/groups/7", times=0)
    await raw.get("/v1/teams/7")
    raw.sandbox.assert_requested("GET", "/v1/teams/{id}", times=1)


@pytest.mark.parametrize(
    "move", [{"before_page": True}, {"before_page": 1.5}, {"after_page": "1"}, {"after_page": -1}, {"index": "0"}]
)
def test_move_that_never_happens_is_refused(move: dict[str, Any]) -> None:
    """A move at a page that is none is refused."""
    [name] = move
    with pytest.raises(ValueError, match=f"{name} "):
        Sandbox().insert_queue(**move)


# Access and updates


@pytest.mark.parametrize(
    ("style", "accepted"),
    [
        ("either", [{"X-Api-Key"}, {"Authorization"}, {"X-Api-Key", "Authorization"}]),
        ("x-api-key", [{"X-Api-Key"}, {"X-Api-Key", "Authorization"}]),
        ("authorization", [{"Authorization"}, {"X-Api-Key", "Authorization"}]),
        ("both", [{"X-Api-Key", "Authorization"}]),
    ],
)
async def test_key_header_of_the_gateway_is_a_setting(style: str, accepted: list[set[str]]) -> None:
    """The gateway can refuse one of the key headers, or require both. The backend reads Authorization only."""
    async with open_raw(gateway_key=style) as raw:
        for names in ({"X-Api-Key"}, {"Authorization"}, {"X-Api-Key", "Authorization"}):
            reply = await raw.send("GET", LIST, headers=dict.fromkeys(names, raw.sandbox.api_key))
            assert reply.status == (200 if names in accepted else 401)
        reply = await raw.send("GET", f"/api{LIST}", headers={"Authorization": raw.sandbox.api_key})
        assert reply.status == 200


async def test_gateway_takes_one_key_header_by_default(raw: Raw) -> None:
    """A client that sends the key to the gateway in another header is seen at once."""
    assert (await raw.send("GET", LIST, headers={"Authorization": raw.sandbox.api_key})).status == 401


@pytest.mark.parametrize(
    ("access", "statuses"), [("any", [200, 200]), ("gateway", [200, 404]), ("backend", [404, 200])]
)
async def test_way_of_access_is_a_setting(access: str, statuses: list[int]) -> None:
    """The sandbox can be only a gateway or only a backend; the paths of the other way are unknown."""
    async with open_raw(access=access) as raw:
        key = {"X-Api-Key": raw.sandbox.api_key, "Authorization": raw.sandbox.api_key}
        assert [(await raw.send("GET", path, headers=key)).status for path in (LIST, f"/api{LIST}")] == statuses


@pytest.mark.parametrize(
    "body",
    [
        {"moh_file_id": "   "},
        {"moh_file_id": "\u3000"},
        {"moh_file_id": "a\x00.wav"},
        {"moh_file_id": "a\n.wav"},
        {"moh_file_id": "a\u202e.wav"},
        {"moh_file_id": "x" * 10_000},
        {"moh_file_id": "../a.wav"},
        {"moh_file_id": "a\\b.wav"},
        {"moh_file_id": ".."},
        {"max_wait_sec": "9" * 100},
        {"max_wait_sec": "٣"},
        {"max_wait_sec": " 5"},
        '{"strategy": 1, "strategy": 2}',
        '{"max_wait_sec": "1", "max_wait_sec": "1"}',
        '{"strategy": NaN}',
        "[" * 100_000,
    ],
)
@pytest.mark.usefixtures("no_garbage")
async def test_value_that_no_service_takes_is_invalid(raw: Raw, body: object) -> None:
    """Impossible file names, waits that fit no integer, duplicate keys and malformed JSON give 400."""
    before = dict(raw.sandbox.queues[0])
    assert (await raw.put(raw.first_id, body)).problem == (400, "INVALID_INPUT")
    assert raw.sandbox.queues[0] == before


@pytest.mark.parametrize(
    "body", [{"moh_file_id": "nhạc chờ tết (2).wav"}, {"moh_file_id": "x" * 255}, {"max_wait_sec": "9" * 18}]
)
async def test_unusual_values_are_valid(raw: Raw, body: object) -> None:
    """Long but possible values are accepted."""
    assert (await raw.put(raw.first_id, body)).status == 200


# Settings


@pytest.mark.parametrize(
    "settings",
    [
        {"queues": True},
        {"queues": 1.5},
        {"queues": None},
        {"queues": "abc"},
        {"queues": ""},
        {"queues": [1]},
        {"queues": {"callinId": 1}},
        {"queues": [{"callinId": 1, "callinName": b"x"}]},
        {"check_at_end": 1},
        {"on_answer": "print"},
        {"seed": 1.5},
        {"seed": True},
        {"tenant_id": "2026\n0310"},
        {"tenant_id": "20260310\r\nX-More: 1"},
        {"tenant_id": ""},
        {"tenant_id": "thuê"},
        {"tenant_id": 20260310},
        {"scopes": "queue"},
        {"scopes": [1]},
        {"scopes": None},
        {"tenant_limit": True},
        {"route_limit": 1.0},
        {"window": True},
        {"window": "10"},
        {"window": float("nan")},
        {"window_kind": ["aligned"]},
        {"count_denied": 1},
        {"page_size_cap": True},
        {"page_size_cap": 1.5},
        {"latency": True},
        {"latency": "1"},
        {"latency": None},
        {"latency": (1, 2, 3)},
        {"latency": (1, None)},
        {"latency": [1, 2]},
        {"host": 127},
        {"host": ""},
        {"port": "80"},
        {"port": 65536},
        {"port": True},
        {"gateway_key": "bearer"},
        {"access": "x"},
        {"limit_headers_on": "sometimes"},
        {"limit_headers_percent": 101},
        {"limit_headers_percent": 0.5},
        {"off_by_one": 1},
        {"burst_limit": -1},
        {"retry_after": None},
    ],
)
def test_wrong_setting_is_refused(settings: dict[str, Any]) -> None:
    """A setting of a wrong type or value raises a ValueError that names it."""
    [name] = settings
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Sandbox(**settings)


@pytest.mark.parametrize("name", ["tenant_limit", "latency", "page_size_cap", "total_style"])
def test_changed_setting_is_checked(name: str) -> None:
    """A wrong value is also refused while the sandbox runs."""
    with pytest.raises(ValueError, match=f"^{name} must be"):
        setattr(Sandbox(), name, "wrong")


def test_wrong_key_and_detail_are_refused() -> None:
    """`add_key`, `set_detail` and `remove_queue` check their arguments."""
    sandbox = Sandbox()
    wrong: Any = "queue"
    with pytest.raises(ValueError, match=r"^scopes must be"):
        sandbox.add_key(scopes=wrong)
    with pytest.raises(ValueError, match=r"^changes must be"):
        sandbox.set_detail(1001226, wrong)
    with pytest.raises(ValueError, match=r"^queue_id must be"):
        sandbox.remove_queue(wrong)
    with pytest.raises(ValueError, match=r"^queue must be"):
        sandbox.insert_queue(wrong)
    with pytest.raises(ValueError, match=r"^queue must be"):
        sandbox.insert_queue({"callinId": True})
    with pytest.raises(ValueError, match=r"^queue must be"):
        sandbox.insert_queue({"callinId": 5, "callinName": {"a"}})
    with pytest.raises(ValueError, match=r"^changes must be"):
        sandbox.set_detail(1001226, {"timeWait": b"90"})
    with pytest.raises(ValueError, match=r"^name must be"):
        sandbox.records(wrong)


def test_unknown_key_cannot_be_revoked() -> None:
    """A misspelt key, or one of another sandbox, would stay valid. The message does not show it."""
    with pytest.raises(ValueError, match=r"^key must be") as caught:
        Sandbox().revoke_key(Sandbox().api_key)
    assert "sk_live" not in str(caught.value)


async def test_client_that_hangs_up_is_no_failure_of_the_server(raw: Raw) -> None:
    """A connection closed by the client raises nothing at the end."""
    raw.sandbox.fail(Delay(0.05))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(raw.get(), 0.01)
    await asyncio.sleep(0.1)
    with pytest.raises(aiohttp.ClientError):
        await raw.session.get(raw.sandbox.url.with_port(1))
