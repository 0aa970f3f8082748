"""A stand-in for the Alohub service: a real HTTP server on this machine that follows the contract."""

import asyncio
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from attrs import define, field
from yarl import URL

from alohub_async.client import AlohubClient
from alohub_async.config import Endpoint
from alohub_async.rate_limits import RateLimiter
from alohub_async.testing.data import RecordTable, WireQueue
from alohub_async.testing.expectations import mismatch, table
from alohub_async.testing.faults import Fault, Status
from alohub_async.testing.moves import Change
from alohub_async.testing.request_log import RequestFilter, Requests
from alohub_async.testing.server import Server
from alohub_async.testing.service import Service
from alohub_async.testing.settings import SandboxSettings, read_scopes
from alohub_async.validation import check_count, check_share, check_text, validator

_KEY_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@define(kw_only=True, eq=False)
class Sandbox(SandboxSettings):
    """The three inbound-queue endpoints on 127.0.0.1, with seeded queues, limits, faults and a request log.

        async with Sandbox(queues=250) as sandbox:
            sandbox.fail(next=2, status=502)
            async with sandbox.client() as client:
                queues = await client.queues.list_inbound().collect()
            assert len(sandbox.requests.of(status=502)) == 2

    Both ways of access are served: the gateway's paths (`/v1/…`) and the backend's (`/api/v1/…`).

    `async with` serves in the running event loop and uses its clock, so a test with a fast-forwarded loop gets
    fast-forwarded windows. Plain `with` serves in a thread of its own, with or without event loops in the test. In both
    cases everything but `start`, `close` and `run_forever` may be used from any thread.

    Attributes:
        host: The address to listen on.
        port: The port; 0 takes a free one, see `url`.
    """

    _given: int | Iterable[Mapping[str, object]] = field(default=250, alias="queues", repr=False)
    host: str = field(default="127.0.0.1", validator=validator(check_text, pattern=".+", allowed="an address"))
    port: int = field(default=0, validator=validator(check_count, least=0, most=65535))
    _service: Service = field(init=False, repr=False)
    _server: Server = field(init=False, repr=False)
    _rng: random.Random = field(init=False, repr=False)
    _api_key: str = field(init=False, repr=False)
    _foreign_queue_id: int = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        table = RecordTable.of(self._given, seed=self.seed)
        self._foreign_queue_id = table.free_id()
        foreign = RecordTable.of([{"callinId": self._foreign_queue_id, "callinName": "Công ty khác"}])
        self._service = Service(self, {self.tenant_id: table, self.foreign_tenant_id: foreign})
        self._server = Server(self._service, self._rng)
        self._api_key = self.add_key(scopes=self.scopes)

    # Access

    @property
    def url(self) -> URL:
        """Where the sandbox listens: `http://127.0.0.1:…`, without a path.

        Raises:
            RuntimeError: The sandbox is not running.
        """
        url = self._server.url
        if url is None:
            raise RuntimeError("the sandbox is not running; use `with Sandbox() as sandbox:` or `async with`")
        return url

    @property
    def api_key(self) -> str:
        """The key of the sandbox's tenant, generated for this sandbox."""
        return self._api_key

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point `AlohubClient.from_env()` and the `alohub` command here, key included.

        Raises:
            RuntimeError: The sandbox is not running.
        """
        return {
            "ALOHUB_BASE_URL": str(self.url),
            "ALOHUB_API_KEY": self.api_key,
            "ALOHUB_TENANT_ID": self.tenant_id,
        }

    @property
    def foreign_tenant_id(self) -> str:
        """Another tenant, with one queue."""
        return f"{self.tenant_id}9"

    @property
    def foreign_queue_id(self) -> int:
        """The id of the other tenant's queue: NOT_FOUND to `api_key`."""
        return self._foreign_queue_id

    def add_key(self, *, scopes: Collection[str] = ("queue",), tenant_id: str | None = None) -> str:
        """Make another key.

        Args:
            scopes: Its scopes; without `queue`, every call is answered with 403.
            tenant_id: Its tenant: the sandbox's tenant by default, or `foreign_tenant_id`.
        """
        owner = self.tenant_id if tenant_id is None else tenant_id
        if owner not in self._service.tables:
            raise ValueError(f"tenant_id must be {self.tenant_id!r} or {self.foreign_tenant_id!r}; {owner!r} was given")
        granted = read_scopes(scopes)
        with self._service.lock:
            key = "sk_live_" + "".join(self._rng.choices(_KEY_LETTERS, k=24))
            self._service.grant(key, tenant_id=owner, scopes=granted)
        return key

    def revoke_key(self, key: str) -> None:
        """Revoke a key."""
        with self._service.lock:
            self._service.keys.pop(key, None)

    def client(self, *, direct: bool = False, **options: Any) -> AlohubClient:
        """A client of this sandbox.

        Args:
            direct: Use the backend's paths with `Authorization` instead of the gateway's with `X-Api-Key`.
            options: `AlohubClient`'s own; they win over the sandbox's key, tenant id, endpoint and window.
        """
        endpoint = (Endpoint.direct if direct else Endpoint)(self.url, allow_http=True)
        defaults: dict[str, Any] = {
            "tenant_id": None if direct else self.tenant_id,
            "endpoint": endpoint,
            "rate_limiter": RateLimiter(window=self.window),
        }
        return AlohubClient(options.pop("api_key", self.api_key), **{**defaults, **options})

    # Requests

    @property
    def requests(self) -> Requests:
        """Every transmission so far, in order of arrival. It is a list; `requests.of(page=3)` selects some of it."""
        with self._service.lock:
            return self._service.log.requests()

    def clear(self) -> None:
        """Empty the request log."""
        with self._service.lock:
            self._service.log.clear()

    def assert_requested(self, method: str, path: str, *, times: int | None = None, json: object = None) -> None:
        """Check that a request came.

        Args:
            method: The method.
            path: A literal path, or a template: `/v1/queues/inbound/{id}`.
            times: The expected number of such requests, failed attempts included; None for one or more.
            json: Only requests with this body; None for any.

        Raises:
            AssertionError: It was not so; the message has a table of what came instead.
        """
        __tracebackhide__ = True  # pytest then shows the line of the test
        self._expect(RequestFilter(method=method, path=path, json=json), times)

    def assert_no_429(self) -> None:
        """Check that no request was refused for the rate limit.

        Raises:
            AssertionError: Some were; the message has a table of all that came.
        """
        __tracebackhide__ = True
        self._expect(RequestFilter(status=429), 0)

    def assert_all_faults_met(self) -> None:
        """Check that every scripted fault has happened. A fault for all requests must be healed first.

        Raises:
            AssertionError: Some did not; the message names them and has a table of all that came.
        """
        __tracebackhide__ = True
        with self._service.lock:
            left, requests = self._service.faults.left(), self.requests
        if left:
            raise AssertionError("\n".join(["faults that no request has met:", *left, table(requests)]))

    def _expect(self, wanted: RequestFilter, times: int | None) -> None:
        __tracebackhide__ = True
        why = mismatch(self.requests, wanted, times=times)
        if why is not None:
            raise AssertionError(why)

    # Queues

    @property
    def queues(self) -> Sequence[WireQueue]:
        """The tenant's queues as they are stored now, under their wire names, in the list's order; not a copy."""
        return self._table.rows

    @property
    def _table(self) -> RecordTable:
        return self._service.tables[self.tenant_id]

    def set_detail(self, queue_id: int, changes: Mapping[str, object]) -> None:
        """Make a queue's detail differ from the list, which stays as it is.

        An update changes the list; these fields of the detail stay, which makes an update look as if it was not taken.

        Args:
            queue_id: The id of a queue in the list.
            changes: The differing fields, by wire name: `{"timeWait": "90"}`. `{}` removes the difference.

        Raises:
            ValueError: No such queue in the list.
        """
        with self._service.lock:
            self._require_listed(queue_id)
            self._table.set_detail(queue_id, dict(changes))

    def hide_detail(self, queue_id: int) -> None:
        """Keep a queue in the list only: its detail and its update are answered with NOT_FOUND, until `set_detail`.

        Raises:
            ValueError: No such queue in the list.
        """
        with self._service.lock:
            self._require_listed(queue_id)
            self._table.set_detail(queue_id, None)

    def _require_listed(self, queue_id: int) -> None:
        if self._table.find(queue_id) is None:
            raise ValueError(f"queue_id must be that of a queue in the list; {queue_id!r} was given")

    # A list that moves

    def insert_queue(
        self,
        queue: Mapping[str, object] | None = None,
        *,
        index: int = 0,
        before_page: int | None = None,
        after_page: int | None = None,
    ) -> int:
        """Add a queue to the list: now, or once during a walk.

        Args:
            queue: The queue, by wire name; None generates one.
            index: Its place, as for `list.insert`.
            before_page: Right before this page is read the next time, counted from 0.
            after_page: Right after that, so that the page shows the list as it was.

        Returns:
            Its id; a seeded one's is new, and never that of a removed queue.

        Raises:
            ValueError: Both pages, or a negative one.
            TypeError: A queue without an id.
        """
        with self._service.lock:
            row = self._table.fresh() if queue is None else dict(queue)
            queue_id = row.get("callinId")
            if not isinstance(queue_id, int):
                raise TypeError(f"queue must have an int as its callinId; {queue_id!r} was given")
            self._move(lambda moved: moved.insert(index, row), before_page, after_page)
            return queue_id

    def remove_queue(self, queue_id: int, *, before_page: int | None = None, after_page: int | None = None) -> None:
        """Remove a queue from the list: now, or once during a walk. If it is gone by then, nothing happens.

        Args:
            queue_id: Its id.
            before_page: As for `insert_queue`.
            after_page: As for `insert_queue`.

        Raises:
            ValueError: No such queue now, both pages, or a negative one.
        """
        with self._service.lock:
            self._require_listed(queue_id)
            self._move(lambda moved: moved.remove(queue_id), before_page, after_page)

    def move_at_random(self, *, seed: int = 0, chance: float = 0.5, most: int = 3) -> None:
        """From now on, add and remove queues at random places before pages are read; the same for the same seed.

        Args:
            seed: Any number.
            chance: The probability that the list moves before a page is read, from 0 to 1.
            most: The largest number of queues added or removed at a time, 1 or more.

        Raises:
            ValueError: A number out of range.
        """
        check_count("seed", seed, least=None)
        check_share("chance", chance, ends=True)
        check_count("most", most, least=1)
        with self._service.lock:
            self._service.moves.add_random(seed=seed, chance=chance, most=most)

    @property
    def moves_left(self) -> int:
        """The number of scripted moves that have not happened yet."""
        with self._service.lock:
            return self._service.moves.waiting()

    def stop_moving(self) -> None:
        """Remove the scripted moves that have not happened yet, and stop the random ones."""
        with self._service.lock:
            self._service.moves.clear()

    def _move(self, change: Change, before_page: int | None, after_page: int | None) -> None:
        page = after_page if before_page is None else before_page
        if page is None:
            change(self._table)
        elif page < 0 or (before_page is not None and after_page is not None):
            raise ValueError(
                "give before_page or after_page, 0 or more, and not both;"
                f" {before_page!r} and {after_page!r} were given"
            )
        else:
            self._service.moves.add(change, when="after" if before_page is None else "before", page=page)

    # Faults

    def fail(
        self,
        fault: Fault | None = None,
        *,
        next: int | None = 1,  # noqa: A002 (reads as it should: fail(next=3, status=502))
        status: int | None = None,
        retry_after: str | None = None,
        method: str | None = None,
        path: str | None = None,
        page: int | None = None,
    ) -> None:
        """Script a fault for the next matching requests. Faults are used in the order in which they were scripted.

        `fail(next=3, status=502)`, `fail(status=429, retry_after="2.5")`, `fail(DropConnection(), method="PUT")`.

        Args:
            fault: The fault; see `alohub_async.testing.Fault`. By default `Status(status or 500)`.
            next: The number of requests that it affects; None for all until `heal()`.
            status: Short for `Status(status)`: an error in the contract's shape.
            retry_after: With it, the `Retry-After` header, verbatim.
            method: Only requests of this method.
            path: Only this path, or this template (`/v1/queues/inbound/{id}`), with or without the prefix `/api`.
            page: Only list requests for this page.

        Raises:
            ValueError: A fault together with a status or retry_after, or `next` below 1.
        """
        if fault is not None and (status is not None or retry_after is not None):
            raise ValueError("status and retry_after are parts of a Status fault; pass either them or a fault")
        if next is not None and next < 1:
            raise ValueError(f"next must be 1 or more, or None for all; {next!r} was given")
        chosen = fault or Status(500 if status is None else status, retry_after=retry_after)
        with self._service.lock:
            self._service.faults.add(chosen, wanted=RequestFilter(method=method, path=path, page=page), times=next)

    @property
    def faults_left(self) -> int:
        """The number of scripted faults that have not happened yet."""
        with self._service.lock:
            return self._service.faults.waiting()

    def heal(self) -> None:
        """Remove the scripted faults that have not happened yet."""
        with self._service.lock:
            self._service.faults.clear()

    # Life

    async def start(self) -> None:
        """Start listening.

        Raises:
            RuntimeError: It is listening already.
            OSError: The port is taken.
        """
        await self._server.start(self.host, self.port)

    async def close(self) -> None:
        """Stop listening and close all connections; no error if it is not running. The request log stays."""
        if self._server.in_thread:
            await asyncio.to_thread(self._server.stop_thread)
        else:
            await self._server.close()

    async def run_forever(self) -> None:
        """Serve until cancelled or closed; starts the sandbox if it is not running."""
        if self._server.url is None:
            await self.start()
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __enter__(self) -> Self:
        self._server.start_thread(self.host, self.port)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop_thread()
