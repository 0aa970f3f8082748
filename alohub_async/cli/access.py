"""API access for commands: the shared options, the API key, the client and the event loop."""

import asyncio
import getpass
import inspect
import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Annotated, Any, TypeVar

import attrs
from typer import Option

from alohub_async.cli.errors import KEY_VARIABLE, CommandError, ExitCode
from alohub_async.cli.output import message_line, write_stderr
from alohub_async.client import AlohubClient
from alohub_async.config import Endpoint, Environment
from alohub_async.http.retries import RetryPolicy

T = TypeVar("T")

_option = partial(Option, rich_help_panel="Access")
_url = _option(metavar="URL", help="Base URL of the API, without /v1.  [default: $ALOHUB_BASE_URL]")
_env = _option(help="The vendor's gateway.  [default: $ALOHUB_ENV, or production]")
_direct = _option("--direct", help="The base URL is the backend itself: path prefix /api, key in header Authorization.")
_allow_http = _option("--allow-http", help="Allow http:// URLs; the key is sent unencrypted.")
_tenant = _option(metavar="ID", help="Tenant id.  [default: $ALOHUB_TENANT_ID, or none]")
_deadline = _option(metavar="SECONDS", help="Time limit for the whole command, including waits.")
_retries = _option(metavar="N", help="Maximum number of retries per request.  [default: 3]")


@attrs.frozen(kw_only=True)
class Access:
    """The shared options of one command line."""

    sandbox: Annotated[bool, _option("--sandbox", help="Use a temporary local sandbox; no API key needed.")] = False
    base_url: Annotated[str | None, _url] = None
    env: Annotated[Environment | None, _env] = None
    direct: Annotated[bool, _direct] = False
    allow_http: Annotated[bool, _allow_http] = False
    tenant_id: Annotated[str | None, _tenant] = None
    deadline: Annotated[float | None, _deadline] = None
    retries: Annotated[int | None, _retries] = None
    verbose: Annotated[bool, _option("--verbose", "-v", help="Log each request and retry to stderr.")] = False

    def run(self, work: Callable[[AlohubClient], Awaitable[T]]) -> T:
        """Open a client, run the work with it in an event loop, and close the client."""
        opening = self._sandbox() if self.sandbox else self._service()

        async def work_with_client() -> T:
            async with opening as client:
                return await work(client)

        return self.run_without_client(work_with_client)

    def run_without_client(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run work that opens its own clients, in an event loop."""
        with _logging_to_stderr(verbose=self.verbose):
            return asyncio.run(work())

    @property
    def retry(self) -> RetryPolicy:
        """The retry policy of clients."""
        return RetryPolicy() if self.retries is None else RetryPolicy(max_retries=self.retries)

    @asynccontextmanager
    async def _sandbox(self) -> AsyncGenerator[AlohubClient]:
        if self.base_url is not None or self.env is not None or self.tenant_id is not None:
            raise CommandError("--sandbox has its own URL and tenant; leave out --base-url, --env and --tenant-id")
        from alohub_async.testing import Sandbox

        # Without limits: nothing else uses this sandbox, so they would only slow the command down.
        sandbox = Sandbox(tenant_limit=None, route_limit=None)
        async with sandbox, sandbox.client(direct=self.direct, retry=self.retry) as client:
            yield client

    def _service(self) -> AbstractAsyncContextManager[AlohubClient]:
        if self.base_url is not None and self.env is not None:
            raise CommandError("give either --base-url or --env, not both")
        url = self.base_url or (None if self.env else os.environ.get("ALOHUB_BASE_URL"))
        if self.direct and not url:
            raise CommandError("--direct needs the URL of the backend: give --base-url, or set ALOHUB_BASE_URL")
        endpoint = make_endpoint(url, self.env, direct=self.direct, allow_http=self.allow_http)
        key = None if os.environ.get(KEY_VARIABLE) else _ask_for_key()
        return AlohubClient.from_env(key, tenant_id=self.tenant_id, endpoint=endpoint, retry=self.retry)


def make_endpoint(base_url: str | None, env: Environment | None, *, direct: bool, allow_http: bool) -> Endpoint | None:
    """The endpoint at a base URL, or else the vendor's gateway of that name; None if neither is given."""
    if base_url:
        return (Endpoint.direct if direct else Endpoint)(base_url, allow_http=allow_http)
    return getattr(Endpoint, env)() if env else None


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
    """Writes each log record of the SDK as one line, in the form of the command's own messages."""

    def emit(self, record: logging.LogRecord) -> None:
        write_stderr(message_line(record.getMessage()))


@contextmanager
def _logging_to_stderr(*, verbose: bool) -> Generator[None]:
    """Show the SDK's warnings, such as an exhausted rate limit; with `verbose` all of its log."""
    logger = logging.getLogger("alohub_async")
    handler, level = _StderrHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
