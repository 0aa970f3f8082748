"""A stand-in for the Alohub service: a real HTTP server on this machine that follows the contract."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Final, Self, Unpack, cast

from attrs import define, field, fields_dict
from yarl import URL

from alohub_async import validation
from alohub_async.client import AlohubClient
from alohub_async.config import Endpoint
from alohub_async.errors import InvalidArgumentError
from alohub_async.rate_limits.limiter import RateLimiter
from alohub_async.testing.data import OtherRecords, RecordTable, WireQueue, copy_record
from alohub_async.testing.faults import Fault, FaultEntry, FaultOptions, Status
from alohub_async.testing.moves import Change
from alohub_async.testing.request_log import RequestFilter, Requests, assert_matching, mismatch, table
from alohub_async.testing.server import Server
from alohub_async.testing.service import KeyGrant, Service
from alohub_async.testing.settings import SandboxSettings, read_scopes
from alohub_async.testing.windows import make_window

_MAPPING: Final[Any] = Mapping  # an abstract class to type checkers


@define(kw_only=True, eq=False)
class Sandbox(SandboxSettings):
    """The three inbound-queue endpoints on 127.0.0.1, with seeded queues, limits, faults and a request log.

        async with Sandbox(queues=250) as sandbox:
            sandbox.fail(next=2, status=502)
            async with sandbox.client() as client:
                queues = await client.queues.list_inbound().collect()
            assert len(sandbox.requests.of(status=502)) == 2

    Both ways of access are served: the gateway's paths (`/v1/…`) and the backend's (`/api/v1/…`). It listens on the
    address `host` and on `port`; 0 for a free one, see `url`. `tenant_keys` has the key of each tenant, by tenant id.

    `async with` serves in the running event loop and uses its clock, so a test with a fast-forwarded loop gets
    fast-forwarded windows. Plain `with` serves in a separate thread, with or without event loops in the test. In both
    cases everything but `start` and `close` may be used from any thread. An error in the server itself,
    such as one of your own `Fault`, is raised at the end of the block; so is what was expected (see `expect`), and with
    `check_at_end` also what was scripted, and has not happened.
    """

    _given: Any = field(default=250, alias="queues", repr=False)
    host: str = field(
        default="127.0.0.1", validator=validation.validator(validation.check_text, pattern=".+", allowed="an address")
    )
    port: int = field(default=0, validator=validation.validator(validation.check_count, least=0, most=65535))
    _server: Server = field(init=False, repr=False)
    tenant_keys: Mapping[str, str] = field(init=False, repr=False)
    _expected: list[tuple[RequestFilter, int | None]] = field(init=False, repr=False)
    _at_first: dict[str, object] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        make_window(self.window_kind, 0, seconds=self.window)  # refuses a length that this kind cannot have
        queues = RecordTable.of(self._given, seed=self.seed)
        self._given = self._given if isinstance(self._given, int) else deepcopy(queues.rows)
        tenants = [self.tenant_id, *(f"{self.tenant_id}-{number}" for number in range(2, self.tenants + 1))]
        self.tenant_keys = {name: f"sk_live_{secrets.token_hex(12)}" for name in tenants}
        self._at_first = {name: getattr(self, name) for name in fields_dict(SandboxSettings)}
        self._server = Server(self._make_service(queues))

    def _make_service(self, queues: RecordTable) -> Service:
        self._expected = []
        foreign = RecordTable([{"callinId": queues.fresh()["callinId"], "callinName": "Công ty khác"}])
        tables = {self.tenant_id: queues, self.foreign_tenant_id: foreign}
        for number, name in enumerate([*self.tenant_keys][1:], 1):
            tables[name] = RecordTable.of(self._given, seed=self.seed + number)
        keys = {key: KeyGrant(name, self.scopes) for name, key in self.tenant_keys.items()}
        return Service(self, tables, keys=keys)

    @property
    def _service(self) -> Service:
        return self._server.service

    def reset(self) -> None:
        """Put everything back: settings, queues and other records, keys, budgets, faults, moves, expectations, log.

        An error in the server itself, which is otherwise raised at the end of the block, is raised now.
        """
        with self._service.lock:
            for name, value in self._at_first.items():
                object.__setattr__(self, name, value)
            self._server.service = self._make_service(RecordTable.of(self._given, seed=self.seed))
        self._server.raise_failure()

    @property
    def url(self) -> URL:
        """`http://127.0.0.1:…`, without a path. Raises a `RuntimeError` if the sandbox is not running."""
        if self._server.url is not None:
            return self._server.url
        raise RuntimeError("the sandbox is not running; use `with Sandbox() as sandbox:` or `async with`")

    @property
    def api_key(self) -> str:
        """The key of the sandbox's tenant. Each sandbox has another one."""
        return self.tenant_keys[self.tenant_id]

    @property
    def env(self) -> dict[str, str]:
        """The variables for `AlohubClient.from_env()` and the `alohub` command, including the key."""
        return {"ALOHUB_BASE_URL": str(self.url), "ALOHUB_API_KEY": self.api_key, "ALOHUB_TENANT_ID": self.tenant_id}

    @property
    def foreign_tenant_id(self) -> str:
        """Another tenant, with one queue."""
        return f"{self.tenant_id}9"

    @property
    def foreign_queue_id(self) -> int:
        """The id of the other tenant's queue: NOT_FOUND to `api_key`."""
        return cast("int", self._service.tables[self.foreign_tenant_id].rows[0]["callinId"])

    def add_key(self, *, scopes: Collection[str] = ("queue",), tenant_id: str | None = None) -> str:
        """Make another key, of the sandbox's own or another tenant; without the scope `queue` it gets 403s."""
        owner, granted = self.tenant_id if tenant_id is None else tenant_id, read_scopes(scopes)
        if owner not in self._service.tables:
            allowed = f"a tenant like {self.tenant_id!r} or {self.foreign_tenant_id!r}"
            raise validation.refuse("tenant_id", allowed, owner)
        key = f"sk_live_{secrets.token_hex(12)}"
        with self._service.lock:
            self._service.keys[key] = KeyGrant(owner, granted)
        return key

    def revoke_key(self, key: str) -> None:
        """Revoke a key."""
        with self._service.lock:
            if self._service.keys.pop(key, None) is None:
                raise InvalidArgumentError("key must be a valid key of this sandbox; another one was given")

    def client(self, *, direct: bool = False, **options: Any) -> AlohubClient:
        """A client of this sandbox; `direct` uses the backend's paths with `Authorization` instead of the gateway's.

        The options of `AlohubClient` win over the sandbox's key, tenant id, endpoint and window. The key is that of the
        tenant id, if the sandbox has that tenant.
        """
        tenant_id: Any = options.setdefault("tenant_id", None if direct else self.tenant_id)
        options.setdefault("endpoint", (Endpoint.direct if direct else Endpoint)(self.url, allow_http=True))
        options.setdefault("rate_limiter", RateLimiter(window=self.window))
        return AlohubClient(options.pop("api_key", self.tenant_keys.get(tenant_id, self.api_key)), **options)

    @property
    def requests(self) -> Requests:
        """A list of all transmissions, in order of arrival. `requests.of(page=3)` selects some of them."""
        with self._service.lock:
            requests = Requests(self._service.log.values())
        requests.check = partial(self._service.check_filter, times=0)
        return requests

    def clear(self) -> None:
        """Empty the request log."""
        with self._service.lock:
            self._service.log.clear()

    def assert_requested(self, method: str, path: str, *, times: int | None = None, json: object = None) -> None:
        """Assert that a request was received. The `AssertionError` has a table of the received requests.

        `path` is literal or a template: `/v1/queues/inbound/{id}`. `times` is the exact number of such requests,
        failed attempts included; None for at least one. `json` selects those with this body; None for any.
        """
        __tracebackhide__ = True  # pytest then shows the line of the test
        assert_matching(self.requests, self._wanted(method, path, times, json), times=times)

    def expect(self, method: str, path: str, *, times: int | None = None, json: object = None) -> None:
        """Assert the same as `assert_requested`, but at the end of the block or of the test."""
        wanted = self._wanted(method, path, times, json)
        with self._service.lock:
            self._expected.append((wanted, times))

    def _wanted(self, method: str, path: str, times: int | None, json: object) -> RequestFilter:
        validation.check_count("times", times, least=0, optional=True)
        validation.check_text("method", method, pattern="(?s:.+)", allowed="a method")
        wanted = RequestFilter(method=method, path=path, json=json)
        self._service.check_filter(wanted, times=times)
        return wanted

    def assert_no_429(self) -> None:
        """Assert that no request was refused for the rate limit."""
        __tracebackhide__ = True
        assert_matching(self.requests, RequestFilter(status=429), times=0)

    def assert_all_faults_met(self) -> None:
        """Assert that every scripted fault has happened. Heal faults for all requests first."""
        __tracebackhide__ = True
        with self._service.lock:
            left, requests = self._service.faults.left(), self.requests
        if left:
            raise AssertionError("\n".join(["faults that no request has met:", *left, table(requests)]))

    def unmet(self, *, expected_only: bool = False) -> str | None:
        """What was expected or scripted and has not happened, as a message; None if all has.

        A fault for all requests is met by the first, one by chance by the first that could have met it.
        """
        with self._service.lock:
            left = [] if expected_only else self._service.faults.left(unmet_only=True)
            moves, requests = 0 if expected_only else len(self._service.moves.scripted), self.requests
            lines = [problem for wanted, times in self._expected if (problem := mismatch(requests, wanted, times))]
        left += [f"{moves} x a move of the list, at a page that was not read"] if moves else []
        lines += [table(requests)] if lines else []
        lines += ["scripted, but not met by any request (see heal and stop_moving):", *left] if left else []
        return "\n".join(lines) or None

    @property
    def queues(self) -> Sequence[WireQueue]:
        """The tenant's queues as they are stored now, by wire name, in the list's order; not a copy."""
        return self._table.rows

    def records(self, name: OtherRecords) -> list[WireQueue]:
        """The tenant's agents, campaigns or calls as they are stored now, by wire name; change the list as you like."""
        with self._service.lock:
            return self._service.table(self.tenant_id, name).rows

    @property
    def _table(self) -> RecordTable:
        return self._service.tables[self.tenant_id]

    def set_detail(self, queue_id: int, changes: Mapping[str, object]) -> None:
        """Make the detail of a listed queue differ from the list, which is not changed.

        `changes` are the differing fields, by wire name: `{"timeWait": "90"}`. `{}` removes the difference. An update
        changes the list only, so these fields look as if the update was not taken.
        """
        validation.check_instance("changes", changes, _MAPPING)
        with self._service.lock:
            self._require_listed(queue_id)
            self._table.details[queue_id] = copy_record("changes", changes)

    def hide_detail(self, queue_id: int) -> None:
        """Respond to detail and update of a listed queue with NOT_FOUND, until `set_detail`."""
        with self._service.lock:
            self._require_listed(queue_id)
            self._table.details[queue_id] = None

    def _require_listed(self, queue_id: int) -> None:
        if self._table.find(queue_id) is None:
            raise validation.refuse("queue_id", "the id of a queue in the list", queue_id)

    def insert_queue(
        self,
        queue: Mapping[str, object] | None = None,
        *,
        index: int = 0,
        before_page: int | None = None,
        after_page: int | None = None,
    ) -> int:
        """Add a queue to the list at `index`, as `list.insert` does, and return its id.

        `queue` is by wire name; None generates one, with an id that no queue has or had. It is added now, or when a
        page (from 0) is read the next time: before it, or after it, so that the page shows the list as it was.
        """
        if queue is not None:
            validation.check_instance("queue", queue, _MAPPING)
        validation.check_count("index", index, least=None)
        with self._service.lock:
            row = self._table.fresh() if queue is None else copy_record("queue", queue)
            queue_id = row.get("callinId")
            if not isinstance(queue_id, int) or isinstance(queue_id, bool):
                raise validation.refuse("queue", "one with an int as its callinId", queue, wrong_type=True)
            self._move(lambda moved: moved.insert(index, row), before_page, after_page)
            return queue_id

    def remove_queue(self, queue_id: int, *, before_page: int | None = None, after_page: int | None = None) -> None:
        """Remove a queue from the list, now or as with `insert_queue`. If it is gone by then, nothing happens."""
        with self._service.lock:
            self._require_listed(queue_id)
            self._move(lambda moved: moved.remove(queue_id), before_page, after_page)

    def move_at_random(self, *, seed: int = 0, chance: float = 0.5, most: int = 3) -> None:
        """Before each page from now on, by `chance`, add or remove up to `most` queues; the same for the same seed."""
        validation.check_count("seed", seed, least=None)
        validation.check_share("chance", chance, ends=True)
        validation.check_count("most", most, least=1)
        with self._service.lock:
            self._service.moves.add_random(seed=seed, chance=chance, most=most)

    @property
    def moves_left(self) -> int:
        """The number of scripted moves that have not happened yet."""
        with self._service.lock:
            return len(self._service.moves.scripted)

    def stop_moving(self) -> None:
        """Remove the scripted moves that have not happened yet, and stop the random ones."""
        with self._service.lock:
            self._service.moves.clear()

    def _move(self, change: Change, before_page: int | None, after_page: int | None) -> None:
        validation.check_count("before_page", before_page, least=0, optional=True)
        validation.check_count("after_page", after_page, least=0, optional=True)
        if before_page is not None and after_page is not None:
            raise InvalidArgumentError(f"give before_page or after_page; {before_page} and {after_page} were given")
        page = after_page if before_page is None else before_page
        if page is None:
            change(self._table)
        else:
            self._service.moves.scripted.append(("after" if before_page is None else "before", page, change))

    def fail(self, fault: Fault | None = None, **options: Unpack[FaultOptions]) -> None:
        """Script a fault for the next matching requests. Faults happen in the order of the script.

        `fail(next=3, status=502)`, `fail(status=429, retry_after="2.5")`, `fail(DropConnection(), method="PUT")`.

        The fault is one of `alohub_async.testing.Fault`, by default `Status(status or 500)`; `status` and `retry_after`
        are those of `Status`. `next` is the number of requests that it happens to, by default 1; None for all until
        `heal()`. The first `after` matching requests are spared; of the others, it happens to each by `chance`, the
        same ones for the same `seed`. `method`, `path`, `page`, `json` (the body), `api_key`, `tenant_id` and `when` (a
        function of the `RecordedRequest`, called once for each) select the requests; see `RequestFilter`.
        """
        script: dict[str, Any] = {**options}
        timing = {name: script.pop(name) for name in ("next", "after", "chance", "seed") if name in script}
        status = {name: script.pop(name) for name in ("status", "retry_after") if name in script}
        if fault is not None and any(value is not None for value in status.values()):
            raise InvalidArgumentError("status and retry_after belong to a Status fault; pass either them or a fault")
        if status.get("status", 500) is None:
            del status["status"]
        chosen = Status(**status) if fault is None else validation.check_instance("fault", fault, Fault)
        wanted = RequestFilter(**script)
        with self._service.lock:
            self._service.check_filter(wanted)
            self._service.faults.add(FaultEntry(chosen, wanted, **timing))

    @property
    def faults_left(self) -> int:
        """The number of scripted faults that have not happened yet; one for all requests counts once."""
        with self._service.lock:
            return sum(1 if entry.next is None else entry.next for entry in self._service.faults.entries)

    def heal(self) -> None:
        """Remove the scripted faults that have not happened yet."""
        with self._service.lock:
            self._service.faults.entries.clear()

    async def start(self) -> None:
        """Start listening. A `with` block restarts its thread, at the same address."""
        await self._server.at_home(self._server.start(self.host, self.port))

    async def close(self) -> None:
        """Stop listening and close all connections; no error if it is not running. The request log stays."""
        await self._server.at_home(self._server.close())
        self._server.raise_failure()

    async def __aenter__(self) -> Self:
        await self.start()
        self._server.entered = True
        return self

    async def __aexit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        await self._server.at_home(self._server.close())
        self._leave(exc)

    def __enter__(self) -> Self:
        self._server.enter(self.host, self.port)
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        self._leave(exc)

    def _leave(self, error: BaseException | None) -> None:
        self._server.leave(error)
        if error is None and (problem := self.unmet(expected_only=not self.check_at_end)) is not None:
            raise AssertionError(problem)
