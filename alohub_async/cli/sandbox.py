"""`alohub sandbox`: runs the sandbox server until Ctrl-C."""

import asyncio
import errno
import re
import shlex
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

from typer import Option

from alohub_async.cli.errors import CommandError, ExitCode
from alohub_async.cli.output import one_line, write
from alohub_async.plurals import counted
from alohub_async.testing.request_log import row_of
from alohub_async.testing.windows import HeadersOn, RetryAfterStyle, WindowKind
from alohub_async.validation import refuse

if TYPE_CHECKING:
    from alohub_async.testing import RecordedRequest, Sandbox

SANDBOX_EPILOG: Final = """\b
Example: alohub sandbox --port 8080 --queues 1000 --tenant-limit 20
Show requests, fail the next three: alohub sandbox --log --fail 502:3
Many tenants: alohub sandbox --tenants 100"""

_headers_help = f"Responses with limit headers: {', '.join(get_args(HeadersOn))}."
_retry_help = f"Retry-After of a 429: {', '.join(get_args(RetryAfterStyle))}."
_fail = Option(metavar="STATUS:N", help="Let the next N requests fail with a status, such as 502:3. May be repeated.")
_limit = partial(Option, rich_help_panel="Limits")
_page_size_cap = Option(metavar="N", min=1, help="Maximum page size of the server.  [default: none]")
_window_kind = _limit(metavar="KIND", help=f"Algorithm: {', '.join(get_args(WindowKind))}.")


def sandbox_command(
    *,
    host: Annotated[str, Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 for a free port.")] = 8080,
    queues: Annotated[int, Option(metavar="N", min=0, max=1_000_000, help="Number of queues, of each tenant.")] = 250,
    tenants: Annotated[int, Option(metavar="N", min=1, max=100_000, help="Number of tenants.")] = 1,
    seed: Annotated[int, Option(metavar="N", help="Seed of the generated queues.")] = 0,
    latency: Annotated[float, Option(metavar="SECONDS", min=0, help="Delay of each response.")] = 0,
    page_size_cap: Annotated[int | None, _page_size_cap] = None,
    log: Annotated[bool, Option("--log", help="Print each answered request.")] = False,
    fail: Annotated[list[str] | None, _fail] = None,
    tenant_limit: Annotated[int, _limit(metavar="N", min=0, help="Requests of a tenant per window.")] = 100,
    route_limit: Annotated[int, _limit(metavar="N", min=0, help="Requests of each route per window.")] = 50,
    no_limits: Annotated[bool, _limit("--no-limits", help="No rate limits and no rate limit headers.")] = False,
    window: Annotated[float, _limit(metavar="SECONDS", min=0.001, max=86_400, help="Length of the window.")] = 10,
    window_kind: Annotated[WindowKind, _window_kind] = "first-request",
    count_denied: Annotated[bool, _limit("--count-denied", help="Count denied requests, too.")] = False,
    burst_limit: Annotated[int | None, _limit(metavar="N", min=0, help="Requests of a tenant per second.")] = None,
    off_by_one: Annotated[bool, _limit("--off-by-one", help="Let remaining leave out the request itself.")] = False,
    limit_headers_on: Annotated[HeadersOn, _limit(metavar="WHEN", help=_headers_help)] = "always",
    retry_after: Annotated[RetryAfterStyle, _limit(metavar="HOW", help=_retry_help)] = "right",
) -> None:
    """Run a local sandbox of the Alohub API.

    It has made-up queues, rate limits and an API key of its own. Press Ctrl-C to stop it.
    With --tenants, it prints how to use its tenants; each has queues, a key and limits.
    """
    from alohub_async.testing import Sandbox

    tenant, route = (None, None) if no_limits else (tenant_limit, route_limit)
    limits: Any = {"tenant_limit": tenant, "route_limit": route, "window": window, "window_kind": window_kind}
    limits |= {"count_denied": count_denied, "burst_limit": burst_limit, "off_by_one": off_by_one}
    answers: Any = {"latency": latency, "page_size_cap": page_size_cap, "limit_headers_on": limit_headers_on}
    answers |= {"retry_after": retry_after, "on_answer": _log if log else None}
    try:
        sandbox = Sandbox(host=host, port=port, queues=queues, seed=seed, tenants=tenants, **answers, **limits)
        for script in fail or []:
            if re.fullmatch(r"[2-5]\d\d:[1-9]\d{0,8}", script, re.ASCII) is None:
                raise refuse("--fail", "a status and a number of requests, such as 502:3", script)
            sandbox.fail(status=int(script[:3]), next=int(script[4:]))
    except ValueError as exc:
        raise CommandError(str(exc)) from exc
    with suppress(KeyboardInterrupt):  # on Windows, where the event loop cannot handle signals
        asyncio.run(_serve(sandbox))


def _log(request: "RecordedRequest") -> None:
    write(one_line(" ".join(row_of(request)).rstrip()) + "\n")


async def _serve(sandbox: "Sandbox") -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await sandbox.start()
    except OSError as exc:
        host, port = sandbox.host, sandbox.port
        message = f"cannot listen on {host}, port {port}: {exc.strerror or exc}"
        if exc.errno == errno.EADDRINUSE:
            message = f"port {port} of {host} is in use; choose another one with --port (0 for a free port)"
        raise CommandError(message, ExitCode.FAILED) from exc
    try:
        with TemporaryDirectory(prefix="alohub-sandbox-") as folder:
            write(_greeting(sandbox) + (_write_tenants(sandbox, Path(folder)) if sandbox.tenants > 1 else ""))
            await stop.wait()
    finally:
        await sandbox.close()


def _write_tenants(sandbox: "Sandbox", folder: Path) -> str:
    """Write a file of tenants and a script that sets their keys, and return how to use them."""
    file, script = folder / "tenants.toml", folder / "keys.sh"
    path = shlex.quote(str(file))
    tables, variables = list[str](), [f"export ALOHUB_TENANTS={path}\n"]
    for number, (tenant_id, key) in enumerate(sandbox.tenant_keys.items(), 1):
        name = f"t{number:0{len(str(sandbox.tenants))}}"
        variable = f"ALOHUB_KEY_{name.upper()}"
        values = f'api_key_env = "{variable}"\ntenant_id = "{tenant_id}"\nbase_url = "{sandbox.url}"\n'
        tables.append(f"[tenants.{name}]\n{values}")
        variables.append(f"export {variable}={key}\n")
    file.write_text("\n".join(tables), encoding="utf-8")
    script.write_text("".join(variables), encoding="utf-8")
    export = f". {shlex.quote(str(script))}\nalohub queues export --tenants {path} out\n"
    return f"\nAll {sandbox.tenants:,} tenants, until the sandbox stops:\n\n{export}"


def _greeting(sandbox: "Sandbox") -> str:
    limits = (sandbox.tenant_limit, sandbox.route_limit)
    tenant, route = ("no limit" if limit is None else str(limit) for limit in limits)
    size, of = counted(len(sandbox.queues), "queue"), "the tenant"
    if sandbox.tenants > 1:
        size, of = f"{sandbox.tenants:,} tenants, each with {size},", "a tenant"
    return (
        f"Sandbox with {size} listening on {sandbox.url}; press Ctrl-C to stop it.\n"
        f"Requests per {sandbox.window:g} s ({sandbox.window_kind}): {tenant} for {of}, {route} for each route.\n"
        f"API key: {sandbox.api_key}\n\n"
        f"export {' '.join(f'{name}={value}' for name, value in sandbox.env.items())}\n"
    )
