"""The sandbox's faults: each kind, and the requests that it happens to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from attrs import evolve, frozen

from alohub_async import AlohubError, RetryPolicy
from alohub_async.testing import (
    Answer,
    BadJson,
    Delay,
    DropConnection,
    EmptyBody,
    Failure,
    Fault,
    HtmlPage,
    JsonAnswer,
    RecordedRequest,
    Sandbox,
    Status,
    TruncatedBody,
)
from tests.testing.raw import LIST, Raw, open_raw

UPDATE = {"max_wait_sec": "77"}


@pytest.fixture(name="raw")
async def _raw() -> AsyncIterator[Raw]:
    async with open_raw(queues=45, tenant_limit=100) as raw:
        yield raw


def _updated(raw: Raw) -> bool:
    return raw.sandbox.queues[0]["timeWait"] == "77"


async def _left(raw: Raw) -> int:
    """Requests left in the tenant's window, after a request that asks for it."""
    return int((await raw.get()).limits["X-RateLimit-Remaining-Tenant"])


# Kinds


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_INPUT"),
        (401, "UNAUTHORIZED"),
        (403, "INSUFFICIENT_SCOPE"),
        (404, "NOT_FOUND"),
        (429, "RATE_LIMIT_EXCEEDED"),
        (500, "FAIL"),
    ],
)
async def test_status_has_the_documented_form(raw: Raw, status: int, code: str) -> None:
    """A scripted status has the documented code and headers, happens `next` times, and nothing is processed."""
    raw.sandbox.fail(next=2, status=status)
    for _ in range(2):
        reply = await raw.put(raw.first_id, UPDATE)
        assert reply.problem == (status, code)
        assert "X-RateLimit-Remaining-Tenant" in reply.limits
        assert not _updated(raw)
    assert (await raw.put(raw.first_id, UPDATE)).status == 200
    assert [request.status for request in raw.sandbox.requests] == [status, status, 200]


async def test_status_is_charged_unless_429(raw: Raw) -> None:
    """A scripted error counts as a request, a scripted 429 does not."""
    raw.sandbox.fail(status=500)
    raw.sandbox.fail(status=429)
    await raw.get()
    await raw.get()
    assert await _left(raw) == 98


@pytest.mark.parametrize("retry_after", ["7", "2.5", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"])
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_verbatim(raw: Raw, status: int, retry_after: str) -> None:
    """Retry-After is sent as it was given."""
    raw.sandbox.fail(status=status, retry_after=retry_after)
    assert (await raw.get()).headers["Retry-After"] == retry_after


async def test_status_with_its_own_code_and_message(raw: Raw) -> None:
    """Code and message of a scripted status can be chosen."""
    raw.sandbox.fail(Status(400, error_code="X1", error_message="Lý do"))
    assert (await raw.get()).json == {"success": "0", "error_code": "X1", "error_message": "Lý do"}


@pytest.mark.parametrize(
    ("fault", "payload"),
    [
        (Failure(), {"success": "0", "error_code": "0", "error_message": "Thao tác thất bại"}),
        (Failure("NOT_FOUND", "Không"), {"success": "0", "error_code": "NOT_FOUND", "error_message": "Không"}),
        (Failure("E", "M", camel_case=True), {"success": "0", "errorCode": "E", "errorMessage": "M"}),
    ],
)
async def test_failure_under_200(raw: Raw, fault: Fault, payload: dict[str, str]) -> None:
    """A failure with HTTP 200 has its error only in the body, in either spelling. Nothing is processed."""
    raw.sandbox.fail(fault)
    reply = await raw.put(raw.first_id, UPDATE)
    assert (reply.status, reply.json) == (200, payload)
    assert "X-RateLimit-Remaining-Route" in reply.limits
    assert not _updated(raw)


async def test_any_payload(raw: Raw) -> None:
    """Any JSON can be sent with any status."""
    raw.sandbox.fail(JsonAnswer({"message": "no Route matched"}, 404))
    reply = await raw.get()
    assert (reply.status, reply.json) == (404, {"message": "no Route matched"})


async def test_dropped_before_it_was_processed(raw: Raw) -> None:
    """A dropped connection sends nothing; the request is in the log, but neither processed nor counted.

    It is dropped twice because aiohttp's client repeats a PUT.
    """
    raw.sandbox.fail(DropConnection(), next=2)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await raw.put(raw.first_id, UPDATE)
    assert not _updated(raw)
    assert [request.status for request in raw.sandbox.requests] == [None, None]
    assert await _left(raw) == 99


async def test_dropped_after_it_was_processed(raw: Raw) -> None:
    """A connection dropped after processing sends nothing, but the update took effect and was counted."""
    raw.sandbox.fail(DropConnection(processed=True), next=2)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await raw.put(raw.first_id, UPDATE)
    assert _updated(raw)
    assert await _left(raw) == 97


async def test_truncated_body(raw: Raw) -> None:
    """A truncated body is shorter than its Content-Length. The request took effect."""
    raw.sandbox.fail(TruncatedBody())
    with pytest.raises(aiohttp.ClientPayloadError):
        await raw.put(raw.first_id, UPDATE)
    assert _updated(raw)
    assert raw.sandbox.requests[0].status == 200


async def test_bad_json(raw: Raw) -> None:
    """Bad JSON is a complete response of JSON type that cannot be decoded."""
    raw.sandbox.fail(BadJson())
    reply = await raw.get()
    assert (reply.status, int(reply.headers["Content-Length"])) == (200, len(reply.text.encode()))
    with pytest.raises(ValueError, match="line 1"):
        _ = reply.json


@pytest.mark.parametrize("status", [502, 503, 504, 200])
async def test_html_page(raw: Raw, status: int) -> None:
    """An HTML page is sent in front of the service: not counted, no rate-limit headers."""
    raw.sandbox.fail(HtmlPage(status))
    reply = await raw.get()
    assert (reply.status, reply.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert reply.text.startswith("<html>")
    assert not reply.limits
    assert await _left(raw) == 99


@pytest.mark.parametrize("status", [200, 204, 502])
async def test_empty_body(raw: Raw, status: int) -> None:
    """An empty body is sent in front of the service, too."""
    raw.sandbox.fail(EmptyBody(status))
    reply = await raw.put(raw.first_id, UPDATE)
    assert (reply.status, reply.text, reply.limits) == (status, "", {})
    assert not _updated(raw)


@pytest.mark.looptime
async def test_delay(raw: Raw) -> None:
    """A delayed response is the usual one, later. The update took effect before the delay."""
    raw.sandbox.fail(Delay(30))
    start = asyncio.get_running_loop().time()
    sending = asyncio.create_task(raw.put(raw.first_id, UPDATE))
    await asyncio.sleep(1)
    assert _updated(raw)
    assert (await sending).status == 200
    assert asyncio.get_running_loop().time() - start == pytest.approx(30)


@pytest.mark.looptime
async def test_close_does_not_wait_for_a_delayed_response(raw: Raw) -> None:
    """Closing the sandbox closes the connections that still wait."""
    raw.sandbox.fail(Delay(3600))
    sending = asyncio.create_task(raw.get())
    await asyncio.sleep(1)
    await asyncio.wait_for(raw.sandbox.close(), 1)
    with pytest.raises(aiohttp.ClientError):
        await sending


@pytest.mark.looptime
@pytest.mark.parametrize("fault", [None, DropConnection(), TruncatedBody()])
async def test_client_that_closed_the_connection(
    raw: Raw, fault: Fault | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A request of a client that closed the connection is processed and recorded, and no error is logged."""
    raw.sandbox.latency = 4.0
    if fault is not None:
        raw.sandbox.fail(fault)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(raw.put(raw.first_id, UPDATE), 1)
    await asyncio.sleep(10)
    assert len(raw.sandbox.requests) == 1
    assert _updated(raw) == (fault != DropConnection())
    assert not caplog.records


async def test_own_subclass_of_fault(raw: Raw) -> None:
    """A subclass of Fault works like the other kinds."""

    @frozen
    class Teapot(Fault):
        def spoil(self, answer: Answer) -> Answer:
            return evolve(answer, status=418)

    raw.sandbox.fail(Teapot())
    assert (await raw.get()).status == 418


# Script


async def test_faults_happen_in_order(raw: Raw) -> None:
    """Faults happen in the order of the script. Later requests succeed."""
    raw.sandbox.fail(next=2, status=500)
    raw.sandbox.fail(HtmlPage())
    raw.sandbox.fail()
    assert raw.sandbox.faults_left == 4
    assert [(await raw.get()).status for _ in range(5)] == [500, 500, 502, 500, 200]
    assert raw.sandbox.faults_left == 0


async def test_faults_match_requests(raw: Raw) -> None:
    """A fault waits for a request with its method, path or template, and page. Other requests do not get it."""
    fail, detail = raw.sandbox.fail, f"{LIST}/{raw.first_id}"
    fail(status=501, method="put")
    fail(status=502, page=1)
    fail(status=503, path=detail)
    fail(status=504, path=f"/api{LIST}/{{id}}", method="GET")
    assert [(await raw.get()).status, (await raw.get(page=1)).status, (await raw.get(page=1)).status] == [200, 502, 200]
    assert [(await raw.get(detail)).status for _ in range(3)] == [503, 504, 200]
    assert [(await raw.put(raw.first_id, UPDATE)).status for _ in range(2)] == [501, 200]


async def test_options_may_be_none(raw: Raw) -> None:
    """None stands for the default of `status`, for no `Retry-After`, and for any request."""
    raw.sandbox.fail(HtmlPage(), status=None, retry_after=None, method=None, path=None, page=None)
    raw.sandbox.fail(status=None)
    assert [(await raw.get()).status for _ in range(3)] == [502, 500, 200]


async def test_fault_until_healed(raw: Raw) -> None:
    """With next=None a fault happens to every matching request, until `heal`."""
    raw.sandbox.fail(next=None, status=503)
    assert {(await raw.get()).status for _ in range(5)} == {503}
    assert raw.sandbox.faults_left == 1
    raw.sandbox.heal()
    assert (await raw.get()).status == 200
    assert raw.sandbox.faults_left == 0


async def test_service_faults_wait_for_an_admitted_request(raw: Raw) -> None:
    """A wrong key or a refused request does not use up a fault of the service, but one in front of it."""
    raw.sandbox.fail(status=500)
    assert (await raw.send("GET", LIST, headers={})).status == 401
    raw.sandbox.tenant_limit = 0
    assert (await raw.get()).problem == (429, "RATE_LIMIT_EXCEEDED")
    raw.sandbox.tenant_limit = 100
    assert (await raw.get()).status == 500
    raw.sandbox.fail(HtmlPage())
    assert (await raw.send("GET", LIST, headers={})).status == 502


async def test_fault_can_serve_another_endpoint(raw: Raw) -> None:
    """A payload scripted for a path that the sandbox does not have is served there."""
    raw.sandbox.fail(JsonAnswer({"success": "1", "data": [1]}), path="/v1/teams")
    assert (await raw.get("/v1/teams")).json["data"] == [1]
    assert (await raw.get("/v1/teams")).status == 404


async def test_faults_match_keys_tenants_bodies_and_predicates(raw: Raw) -> None:
    """A fault waits for a request with its key, tenant or body, or for one that a function chooses."""
    sandbox = raw.sandbox
    keys = [sandbox.api_key, sandbox.add_key(), sandbox.add_key(tenant_id=sandbox.foreign_tenant_id)]
    sandbox.fail(status=501, api_key=keys[1])
    sandbox.fail(status=502, tenant_id=sandbox.foreign_tenant_id)
    sandbox.fail(status=503, json=UPDATE)
    sandbox.fail(status=504, when=lambda request: request.query.get("size") == "7")

    async def get(key: str) -> int:
        return (await raw.send("GET", LIST, headers={"X-Api-Key": key})).status

    assert [await get(key) for key in (*keys, *keys)] == [200, 501, 502, 200, 200, 200]
    assert (await raw.put(raw.first_id, {"max_wait_sec": "78"})).status == 200
    assert [(await raw.put(raw.first_id, UPDATE)).status for _ in range(2)] == [503, 200]
    assert [(await raw.get(size=size)).status for size in (6, 7, 7)] == [200, 504, 200]


async def test_faults_match_the_tenant_that_an_unknown_key_names(raw: Raw) -> None:
    """In front of the service, the tenant of a request with an unknown key is the one that it names."""
    raw.sandbox.fail(HtmlPage(), tenant_id=raw.sandbox.foreign_tenant_id)
    assert (await raw.send("GET", LIST, headers={"X-Api-Key": "no"})).status == 401
    headers = {"X-Api-Key": "no", "X-Tenant-ID": raw.sandbox.foreign_tenant_id}
    assert (await raw.send("GET", LIST, headers=headers)).status == 502


async def test_fault_after_a_number_of_requests(raw: Raw) -> None:
    """The first matching requests are spared, whatever happens to them. Other requests do not count."""
    raw.sandbox.fail(status=502)
    raw.sandbox.fail(status=500, after=2, next=2, path=LIST)
    await raw.get(f"{LIST}/{raw.first_id}")
    assert [(await raw.get()).status for _ in range(5)] == [200, 200, 500, 500, 200]


async def test_fault_by_chance(raw: Raw) -> None:
    """The same requests fail for the same seed, about as many as the chance says."""
    raw.sandbox.tenant_limit = raw.sandbox.route_limit = None
    found: list[list[int]] = []
    for seed in (1, 1, 2):
        raw.sandbox.fail(status=503, next=None, chance=0.3, seed=seed)
        found.append([(await raw.get(size=1)).status for _ in range(100)])
        raw.sandbox.heal()
    assert found[0] == found[1] != found[2]
    assert 15 <= found[0].count(503) <= 45


async def test_predicate_is_called_once_for_each_request(raw: Raw) -> None:
    """A predicate with a state of its own, such as a counter, sees each request once, wherever its fault happens."""
    seen: list[str] = []

    def third(request: RecordedRequest) -> bool:
        seen.append(request.path)
        return len(seen) % 3 == 0

    raw.sandbox.fail(status=400, next=2, when=third)
    raw.sandbox.fail(DropConnection(processed=True), method="PUT")
    paths = [LIST, "/v1/teams", LIST, f"{LIST}/1", LIST, LIST]
    assert [(await raw.get(path)).status for path in paths] == [200, 404, 400, 404, 200, 400]
    assert seen == paths


@pytest.mark.parametrize("result", [None, 1])
def test_predicate_that_returns_no_flag_is_a_failure(result: Any) -> None:
    """A predicate without a `return` would never match, so the block fails at its end."""

    def run() -> None:
        with Sandbox(queues=3) as sandbox:
            sandbox.fail(when=lambda _: result)
            with suppress(AlohubError):
                asyncio.run(_first(sandbox))

    with pytest.raises(RuntimeError, match="the result of when must be True or False"):
        run()


async def _first(sandbox: Sandbox) -> None:
    async with sandbox.client(retry=RetryPolicy(max_retries=0)) as client:
        await client.queues.list_inbound().first()


def test_fault_arguments_are_checked() -> None:
    """A fault together with a status, a `next` below 1, and an impossible status raise ValueError."""
    sandbox = Sandbox()
    with pytest.raises(ValueError, match="pass either"):
        sandbox.fail(HtmlPage(), status=503)
    with pytest.raises(ValueError, match="pass either"):
        sandbox.fail(HtmlPage(), retry_after="1")
    with pytest.raises(ValueError, match="next must be"):
        sandbox.fail(next=0)
    with pytest.raises(ValueError, match="status"):
        sandbox.fail(status=20)
    with pytest.raises(NotImplementedError):
        Fault().spoil(Answer(200))
