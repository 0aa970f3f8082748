"""`alohub sandbox`: a stand-in for the service, until Ctrl-C."""

import asyncio
import enum
import errno
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alohub_async.cli.errors import CommandError, ExitCode
from alohub_async.cli.output import write

if TYPE_CHECKING:
    from alohub_async.testing import Sandbox

_LIMITS: Final = "Limits"


class Kind(enum.StrEnum):
    """The sandbox's `WindowKind`, here so that help and completion need not load a web server."""

    ALIGNED = "aligned"
    FIRST_REQUEST = "first-request"
    SLIDING_LOG = "sliding-log"
    SLIDING_COUNTER = "sliding-counter"
    TOKEN_BUCKET = "token-bucket"  # noqa: S105 (no password)


def sandbox_command(
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0 takes a free one.")] = 8080,
    queues: Annotated[int, typer.Option(metavar="N", min=0, help="How many queues there are.")] = 250,
    seed: Annotated[int, typer.Option(metavar="N", help="The same number gives the same queues and key.")] = 0,
    latency: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long each request is on its way.")] = 0,
    page_size_cap: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The largest page it gives; none if not given.")
    ] = None,
    tenant_limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="Requests the tenant has in a window.", rich_help_panel=_LIMITS)
    ] = 100,
    route_limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="Requests each route has in a window.", rich_help_panel=_LIMITS)
    ] = 50,
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="No rate limit, and no headers of it.", rich_help_panel=_LIMITS)
    ] = False,
    window: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.001, max=86_400, help="The window's length.", rich_help_panel=_LIMITS),
    ] = 10,
    window_kind: Annotated[
        Kind, typer.Option(metavar="KIND", help=f"How the window counts: {', '.join(Kind)}.", rich_help_panel=_LIMITS)
    ] = Kind.FIRST_REQUEST,
    count_denied: Annotated[
        bool, typer.Option("--count-denied", help="Count refused requests too.", rich_help_panel=_LIMITS)
    ] = False,
) -> None:
    """Run a stand-in for the Alohub service, until Ctrl-C."""
    from alohub_async.testing import Sandbox

    try:
        sandbox = Sandbox(
            host=host,
            port=port,
            queues=queues,
            seed=seed,
            latency=latency,
            page_size_cap=page_size_cap,
            tenant_limit=None if no_limits else tenant_limit,
            route_limit=None if no_limits else route_limit,
            window=window,
            window_kind=window_kind.value,
            count_denied=count_denied,
        )
    except ValueError as exc:
        raise CommandError(str(exc)) from exc
    with suppress(KeyboardInterrupt):  # where signals cannot be handled in the loop
        asyncio.run(_serve(sandbox))


async def _serve(sandbox: "Sandbox") -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await sandbox.start()
    except OSError as exc:
        raise _not_listening(sandbox, exc) from exc
    try:
        write(_greeting(sandbox))
        await stop.wait()
    finally:
        await sandbox.close()


def _not_listening(sandbox: "Sandbox", error: OSError) -> CommandError:
    if error.errno == errno.EADDRINUSE:
        why = f"port {sandbox.port} of {sandbox.host} is in use; choose another with --port (0 takes a free one)"
    else:
        why = f"cannot listen on {sandbox.host}, port {sandbox.port}: {error.strerror or error}"
    return CommandError(why, ExitCode.FAILED)


def _greeting(sandbox: "Sandbox") -> str:
    limits = f"{_told(sandbox.tenant_limit)} for the tenant, {_told(sandbox.route_limit)} for each route"
    return (
        f"The sandbox listens on {sandbox.url} with {len(sandbox.queues)} queues; Ctrl-C stops it.\n"
        f"Requests in {sandbox.window:g} s ({sandbox.window_kind}): {limits}.\n"
        f"Its key: {sandbox.api_key}\n\n"
        f"export {' '.join(f'{name}={value}' for name, value in sandbox.env.items())}\n"
    )


def _told(limit: int | None) -> str:
    return "no limit" if limit is None else str(limit)
