"""How a command gets at the API: the options all of them share, the key, the client, and the one event loop."""

import asyncio
import enum
import getpass
import inspect
import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Annotated, Any, TypeAlias, TypeVar

import attrs
import typer

from alohub_async.cli.errors import CommandError, ExitCode, without_key
from alohub_async.cli.output import complain, one_line
from alohub_async.client import AlohubClient
from alohub_async.config import Endpoint, read_environment
from alohub_async.http.retries import RetryPolicy

T = TypeVar("T")

_PANEL = "Access"


class Env(enum.StrEnum):
    """The vendor's gateways."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


SandboxOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--sandbox", help="Use a throw-away sandbox inside this process; no key needed.", rich_help_panel=_PANEL
    ),
]
BaseUrlOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="URL", help="What comes before /v1. Else ALOHUB_BASE_URL.", rich_help_panel=_PANEL),
]
EnvOption: TypeAlias = Annotated[
    Env | None,
    typer.Option(help="The vendor's gateway. Else ALOHUB_ENV, else production.", rich_help_panel=_PANEL),
]
DirectOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--direct",
        help="The base URL is the backend itself: prefix /api, key in Authorization.",
        rich_help_panel=_PANEL,
    ),
]
AllowHttpOption: TypeAlias = Annotated[
    bool,
    typer.Option("--allow-http", help="Send the key readable, over plain http://.", rich_help_panel=_PANEL),
]
TenantOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--tenant-id", metavar="ID", help="Else ALOHUB_TENANT_ID, else none is sent.", rich_help_panel=_PANEL),
]
DeadlineOption: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Give up after this time in all, waits included.", rich_help_panel=_PANEL),
]
RetriesOption: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Attempts after a failed first one; 3 if not given.", rich_help_panel=_PANEL),
]
VerboseOption: TypeAlias = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Tell on stderr what is sent and tried again.", rich_help_panel=_PANEL),
]


@attrs.frozen(kw_only=True)
class Access:
    """The shared options of one command line, as given; see each option's help."""

    sandbox: SandboxOption = False
    base_url: BaseUrlOption = None
    env: EnvOption = None
    direct: DirectOption = False
    allow_http: AllowHttpOption = False
    tenant_id: TenantOption = None
    deadline: DeadlineOption = None
    retries: RetriesOption = None
    verbose: VerboseOption = False

    def run(self, work: Callable[[AlohubClient], Awaitable[T]]) -> T:
        """Make a client, do the work with it in an event loop, close all.

        Raises:
            CommandError: Options that do not go together, or no key.
            AlohubError: What the work raises.
        """
        make = self._sandbox() if self.sandbox else self._service()

        async def work_with_client() -> T:
            async with make as client:
                return await work(client)

        return self.run_alone(work_with_client)

    def run_alone(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do work that makes its clients itself."""
        with _logging_to_stderr(verbose=self.verbose):
            return asyncio.run(work())

    @property
    def retry(self) -> RetryPolicy:
        """When a failed attempt is repeated."""
        return RetryPolicy() if self.retries is None else RetryPolicy(max_retries=self.retries)

    def _sandbox(self) -> AbstractAsyncContextManager[AlohubClient]:
        if self.base_url is not None or self.env is not None or self.tenant_id is not None:
            raise CommandError(
                "--sandbox brings its own address and tenant; leave out --base-url, --env and --tenant-id"
            )
        return _open_sandbox(direct=self.direct, retry=self.retry)

    def _service(self) -> AbstractAsyncContextManager[AlohubClient]:
        settings = read_environment({**os.environ, "ALOHUB_BASE_URL": ""})  # which `_endpoint` reads, with --allow-http
        endpoint = self._endpoint() or settings.endpoint or Endpoint.production()
        return AlohubClient(
            settings.api_key or _ask_for_key(),
            tenant_id=settings.tenant_id if self.tenant_id is None else self.tenant_id,
            endpoint=endpoint,
            retry=self.retry,
        )

    def _endpoint(self) -> Endpoint | None:
        """What the options say, or ALOHUB_BASE_URL; None leaves it to ALOHUB_ENV. An option wins over a variable."""
        if self.base_url is not None and self.env is not None:
            raise CommandError("give either --base-url or --env, not both")
        url = self.base_url
        if url is None and self.env is None:
            url = os.environ.get("ALOHUB_BASE_URL") or None
        if self.direct and url is None:
            raise CommandError("--direct needs the backend's address: give --base-url, or set ALOHUB_BASE_URL")
        if url is not None:
            make = Endpoint.direct if self.direct else Endpoint
            return make(url, allow_http=self.allow_http)
        if self.env is not None:
            return Endpoint.production() if self.env is Env.PRODUCTION else Endpoint.development()
        return None


def with_access(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options behind its own; it gets them as one argument, `access`.

    Typer reads a command's options from its signature, so this is where they are written out.
    """
    fields = attrs.fields(Access)
    own = [each for each in inspect.signature(command).parameters.values() if each.name != "access"]
    shared = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields
    ]

    def with_shared_options(**given: Any) -> None:
        access = Access(**{field.name: given.pop(field.name) for field in fields})
        command(access=access, **given)

    with_shared_options.__doc__ = command.__doc__
    vars(with_shared_options)["__signature__"] = inspect.Signature([*own, *shared])
    with_shared_options.__annotations__ = {each.name: each.annotation for each in [*own, *shared]}
    return with_shared_options


@asynccontextmanager
async def _open_sandbox(*, direct: bool, retry: RetryPolicy) -> AsyncGenerator[AlohubClient]:
    from alohub_async.testing import Sandbox

    # Its windows would only make it slow: nobody else has to be kept from it.
    async with (
        Sandbox(tenant_limit=None, route_limit=None) as sandbox,
        sandbox.client(direct=direct, retry=retry) as client,
    ):
        yield client


def _ask_for_key() -> str:
    message = "there is no API key: set ALOHUB_API_KEY, run in a terminal to be asked for it, or try --sandbox"
    if not sys.stdin.isatty():
        raise CommandError(message, ExitCode.DENIED)
    try:
        key = getpass.getpass("Alohub API key: ", stream=sys.stderr).strip()
    except EOFError:
        key = ""
    if not key:
        raise CommandError(message, ExitCode.DENIED)
    return key


class _StderrHandler(logging.Handler):
    """Each record of the SDK's log as one line like the command's own."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(without_key(one_line(record.getMessage())))


@contextmanager
def _logging_to_stderr(*, verbose: bool) -> Generator[None]:
    """Show the SDK's warnings, such as that the rate limit is used up; with `verbose` all it tells."""
    logger = logging.getLogger("alohub_async")
    handler, level, propagate = _StderrHandler(), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
