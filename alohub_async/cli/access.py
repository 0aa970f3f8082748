"""API access for commands: the shared options, the API key, the client and the event loop."""

import asyncio
import getpass
import inspect
import logging
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import attrs
from platformdirs import user_config_path
from typer import Option

from alohub_async.cli.errors import KEY_VARIABLE, CommandError, ExitCode, describe
from alohub_async.cli.output import message_line, write_stderr
from alohub_async.client import AlohubClient
from alohub_async.config import Endpoint, Environment
from alohub_async.emitter import Event
from alohub_async.errors import AlohubError
from alohub_async.events import (
    AttemptFinished,
    AttemptStarted,
    BudgetSeen,
    CallEvent,
    LimitReached,
    RateLimitWaited,
    RetryScheduled,
)
from alohub_async.http.retries import RetryPolicy
from alohub_async.options import PoolOptionsDict
from alohub_async.plurals import counted
from alohub_async.pool import AlohubPool
from alohub_async.tenant import Tenant, TenantsFile, read_tenants
from alohub_async.validation import check_seconds, nearest

T = TypeVar("T")
TENANTS_VARIABLE: Final = "ALOHUB_TENANTS"
LONG_WAIT: Final = 1.0  # seconds; a longer wait is reported
# Nothing else uses the sandbox of a command, so limits would only slow it down.
_NO_LIMITS: Final[Mapping[str, Any]] = {"tenant_limit": None, "route_limit": None}

_option = partial(Option, rich_help_panel="Access")
_url = _option(metavar="URL", help="Base URL of the API, without /v1.  [default: $ALOHUB_BASE_URL]")
_env = _option(help="The vendor's gateway.  [default: $ALOHUB_ENV, or production]")
_direct = _option("--direct", help="The base URL is the backend itself: path prefix /api, key in header Authorization.")
_allow_http = _option("--allow-http", help="Allow http:// URLs; the key is sent unencrypted.")
_tenant_id = _option(metavar="ID", help="Tenant id.  [default: $ALOHUB_TENANT_ID, or none]")
_tenants = _option(metavar="FILE", help="File of tenants.  [default: $ALOHUB_TENANTS, or its usual place]")
_tenant = _option(metavar="NAME", help="The tenant of this name in the file of tenants.")
_deadline = _option(metavar="SECONDS", help="Time limit for the whole command, including waits.")
_retries = _option(metavar="N", help="Maximum number of retries per request.  [default: 3]")
_ca_file = _option(metavar="FILE", help="Trust only the certificate authorities of this PEM file.")
_quiet = _option("--quiet", "-q", help="Show no progress, and no waits.")
_verbose = _option(
    "--verbose", "-v", count=True, show_default=False, help="Log each call and retry; -vv also each request and budget."
)


@attrs.frozen(kw_only=True)
class Access:
    """The shared options of one command line."""

    sandbox: Annotated[bool, _option("--sandbox", help="Use a temporary local sandbox; no API key needed.")] = False
    base_url: Annotated[str | None, _url] = None
    env: Annotated[Environment | None, _env] = None
    direct: Annotated[bool, _direct] = False
    allow_http: Annotated[bool, _allow_http] = False
    tenant_id: Annotated[str | None, _tenant_id] = None
    tenants: Annotated[Path | None, _tenants] = None
    tenant: Annotated[str | None, _tenant] = None
    deadline: Annotated[float | None, _deadline] = None
    retries: Annotated[int | None, _retries] = None
    ca_file: Annotated[Path | None, _ca_file] = None
    quiet: Annotated[bool, _quiet] = False
    verbose: Annotated[int, _verbose] = 0

    def run(self, work: Callable[[AlohubClient], Awaitable[T]], *, sandbox: Mapping[str, Any] = _NO_LIMITS) -> T:
        """Open a client, run the work with it in an event loop, and close the client."""
        tenant = None if self.tenants is None and self.tenant is None else self._one_tenant()

        async def work_with_client() -> T:
            async with opening as client:
                return await work(client)

        try:
            opening = self._client_of(tenant) if tenant else self._sandbox(sandbox) if self.sandbox else self._service()
            return self.run_without_client(work_with_client)
        except AlohubError as error:
            if tenant is None:
                raise
            code, line = describe(error, tenant=tenant)
            raise CommandError(f"tenant {tenant.name}: {line}", code) from error

    def run_without_client(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run work that opens its own clients, in an event loop."""
        with _logging_to_stderr(verbose=self.verbose):
            return asyncio.run(work())

    @property
    def options(self) -> PoolOptionsDict:
        """The options of clients that all commands have."""
        retry = RetryPolicy() if self.retries is None else RetryPolicy(max_retries=self.retries)
        reporter = _Reporter(self.verbose, quiet=self.quiet)
        return {"retry": retry, "trust_env": True, "ssl": self.ca_file, "on_event": reporter}

    @property
    def many(self) -> bool:
        """Whether the command is for all tenants of a file."""
        return self.tenants is not None and self.tenant is None

    def run_tenants(self, work: Callable[[AlohubPool], Awaitable[T]], *, hint: str = "") -> T:
        """Open a pool and run the work with it within the deadline; after an interruption, the hint says how on."""
        check_seconds("deadline", self.deadline, optional=True)

        async def work_with_pool() -> T:
            async with asyncio.timeout(self.deadline), self.pool() as pool:
                return await work(pool)

        try:
            return self.run_without_client(work_with_pool)
        except TimeoutError as exc:
            message = f"not done within the deadline of {self.deadline:g} s"
            raise CommandError(f"{message}; {hint}" if hint else message, ExitCode.TIMED_OUT) from exc
        except KeyboardInterrupt as exc:
            if not hint:
                raise
            raise CommandError(f"interrupted; {hint}", ExitCode.INTERRUPTED) from exc

    def pool(self) -> AlohubPool:
        """A pool for the tenants of the file."""
        return AlohubPool(**self.options)

    def read_tenants(self) -> TenantsFile:
        """The file of tenants; options that contradict it are refused."""
        if self.sandbox or self.direct or self.allow_http or self.base_url or self.env or self.tenant_id:
            raise CommandError("the file of tenants has the access options; leave them out on the command line")
        return read_tenants(self.tenants_path)

    @property
    def tenants_path(self) -> Path:
        """The file of tenants."""
        usual = user_config_path("alohub", appauthor=False) / "tenants.toml"
        path = self.tenants or Path(os.environ.get(TENANTS_VARIABLE) or usual)
        if path == usual and not path.exists():
            raise CommandError(f"no file of tenants: give --tenants, set {TENANTS_VARIABLE}, or write {usual}")
        return path

    def _one_tenant(self) -> Tenant:
        tenants = {tenant.name: tenant for tenant in self.read_tenants().tenants}
        if self.tenant is None:
            raise CommandError(f"this command is for one tenant; add --tenant and a name: {', '.join(tenants)}")
        if self.tenant not in tenants:
            raise CommandError(f"{self.tenants_path} has no tenant {self.tenant!r}; {nearest(self.tenant, tenants)}")
        return tenants[self.tenant]

    def _client_of(self, tenant: Tenant) -> AlohubClient:
        endpoint: Any = {"endpoint": tenant.endpoint(Endpoint.production())}
        return AlohubClient(tenant.key(), tenant_id=tenant.tenant_id, **endpoint, **self.options)

    @asynccontextmanager
    async def _sandbox(self, settings: Mapping[str, Any]) -> AsyncGenerator[AlohubClient]:
        if self.base_url is not None or self.env is not None or self.tenant_id is not None:
            raise CommandError("--sandbox has its own URL and tenant; leave out --base-url, --env and --tenant-id")
        from alohub_async.testing import Sandbox

        sandbox = Sandbox(**settings)
        async with sandbox, sandbox.client(direct=self.direct, **self.options) as client:
            yield client

    def _service(self) -> AbstractAsyncContextManager[AlohubClient]:
        if self.base_url is not None and self.env is not None:
            raise CommandError("give either --base-url or --env, not both")
        url = self.base_url or (None if self.env else os.environ.get("ALOHUB_BASE_URL"))
        if self.direct and not url:
            raise CommandError("--direct needs the URL of the backend: give --base-url, or set ALOHUB_BASE_URL")
        endpoint = getattr(Endpoint, self.env)() if self.env else None
        if url:
            endpoint = (Endpoint.direct if self.direct else Endpoint)(url, allow_http=self.allow_http)
        key = None if os.environ.get(KEY_VARIABLE) else _ask_for_key()
        options: Any = {**self.options, "endpoint": endpoint}
        return AlohubClient.from_env(key, tenant_id=self.tenant_id, **options)


def with_access(command: Callable[..., None]) -> Callable[..., None]:
    """Append the shared options to those of a command, whose signature Typer reads; it gets them as `access`."""
    shared = inspect.signature(Access).parameters
    options = [option for option in inspect.signature(command).parameters.values() if option.name != "access"]
    options += shared.values()

    def with_shared_options(**values: Any) -> None:
        access = Access(**{name: values.pop(name) for name in shared})
        command(access=access, **values)

    with_shared_options.__doc__ = command.__doc__
    vars(with_shared_options)["__signature__"] = inspect.Signature(options)
    with_shared_options.__annotations__ = {option.name: option.annotation for option in options}
    return with_shared_options


def _ask_for_key() -> str:
    key = ""
    if sys.stdin.isatty():
        with suppress(EOFError):
            key = getpass.getpass("Alohub API key: ", stream=sys.stderr).strip()
    if not key:
        raise CommandError("no API key: set ALOHUB_API_KEY, enter it in a terminal, or try --sandbox", ExitCode.DENIED)
    return key


class _StderrHandler(logging.Handler):
    """Writes each log record of the SDK as one line, unless the reporter has one of the same event."""

    def __init__(self, reported: type[Event] | None) -> None:
        super().__init__()
        self._reported = reported and reported.__name__

    def emit(self, record: logging.LogRecord) -> None:
        if self._reported is None or getattr(record, "alohub_event", None) != self._reported:
            write_stderr(message_line(record.getMessage()))


@contextmanager
def _logging_to_stderr(*, verbose: int) -> Generator[None]:
    """Show the SDK's warnings, such as an exhausted rate limit; with `verbose` all of its log."""
    logger = logging.getLogger("alohub_async")
    reported = AttemptFinished if verbose > 1 else None if verbose else LimitReached
    handler, level = _StderrHandler(reported), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@attrs.define
class _Reporter:
    """Writes long waits to stderr, unless the log has them; with `-vv` each request, and what its answer says."""

    verbose: int
    quiet: bool = attrs.field(kw_only=True)
    _until: float = attrs.field(default=0.0, init=False)  # when the last wait that was reported ends

    def __call__(self, event: Event) -> None:
        match event:
            case AttemptStarted() if self.verbose > 1:
                _trace(event, f"> {event.route.method} {event.url}")
            case BudgetSeen() if self.verbose > 1:
                _trace(event, f"< {event.scope} budget: {event.remaining} of {event.limit} requests left")
            case AttemptFinished() if self.verbose > 1:
                _trace(event, f"< {event.status or event.error} in {event.seconds:.3f} s")
            case LimitReached():
                waiting = counted(event.waiting, "request waits", "requests wait")
                self._report(f"the rate limit is used up: {waiting} {event.seconds:.1f} s", event.seconds)
            case RateLimitWaited():
                said = f"{event.operation} waited {event.seconds:.1f} s for the rate limit"
                self._report(said, event.seconds, over=True)
            case RetryScheduled():
                self._report(f"{event.reason}: {event.operation} is retried in {event.seconds:.1f} s", event.seconds)
            case _:
                pass

    def _report(self, what: str, seconds: float, *, over: bool = False) -> None:
        """Report a wait that begins now, or is over; of those at the same time only the first."""
        begins = time.monotonic() - (seconds if over else 0.0)
        if seconds > LONG_WAIT and begins >= self._until and not (self.quiet or self.verbose):
            self._until = begins + seconds
            write_stderr(what)


def _trace(event: CallEvent, what: str) -> None:
    write_stderr(message_line(f"[{event.call}] {what}"))
