"""`alohub doctor`: checks the access to the API, and says of each part what was found and what to do."""

import asyncio
import ssl
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import attrs
import typer
from rich.text import Text
from typer import Option

from alohub_async import errors
from alohub_async.cli.access import Access, with_access
from alohub_async.cli.errors import KEY_VARIABLE, CommandError, ExitCode, describe
from alohub_async.cli.output import one_line, print_rich, table_with_heading, write_json
from alohub_async.client import AlohubClient
from alohub_async.http.network import Network, network_of, read_ssl
from alohub_async.rate_limits.headers import HeaderReader
from alohub_async.rate_limits.limiter import WINDOW
from alohub_async.rate_limits.status import ScopeStatus
from alohub_async.resources.inbound_queues import INBOUND_QUEUES

DOCTOR_EPILOG: Final = """\b
Example: alohub doctor --json > doctor.json
Behind a proxy: HTTPS_PROXY=http://proxy:3128 alohub doctor --ca-file ca.pem"""
_State: TypeAlias = Literal["ok", "note", "FAILED"]
_STYLES: Final = {"ok": "green", "note": "bold yellow", "FAILED": "bold red"}
_VERDICTS: Final[dict[_State, str]] = {  # the worst last
    "ok": "The access works; there is nothing to do.",
    "note": "The access works; look at each note.",
    "FAILED": "The access does not work: see FAILED.",
}
_PATH: Final = INBOUND_QUEUES.path
_SLOW: Final = 1.0  # seconds
_SKEW: Final = 30.0  # seconds of difference between the clocks
_EXPIRES_SOON: Final = 14  # days
_NOTHING: Final = "nothing"
_BLAMED: Final[tuple[tuple[type[Exception], str, str], ...]] = (  # by error: what is wrong, and what to do
    (errors.AuthenticationError, "key", f"set {KEY_VARIABLE} to the key of this tenant and environment"),
    (errors.PermissionDeniedError, "key", "ask for a key with the scope 'queue'"),
    (errors.RateLimitError, "limits", "wait; other programs use up the budget of this tenant"),
    (errors.RateLimitWaitError, "limits", "wait; other programs use up the budget of this tenant"),
    (errors.ConfigurationError, "settings", "correct this setting"),
    (errors.APITimeoutError, "connection", "check address, firewall and HTTPS_PROXY; or a longer --deadline"),
    (errors.APIConnectionError, "connection", "check address and HTTPS_PROXY; for an authority of your own, --ca-file"),
    (errors.NotFoundError, "service", "check --base-url and --direct: it has no such list"),
    (errors.InternalServerError, "service", "try again later; if it stays, ask the vendor"),
)


@attrs.frozen
class _Check:
    """What was found about a part of the access, and what to do."""

    check: str
    state: _State
    found: str
    do: str = _NOTHING


@with_access
def doctor_command(
    *, as_json: Annotated[bool, Option("--json", help="Output a JSON object.")] = False, access: Access
) -> None:
    """Check the access to the API: key, address, proxy, certificate, clock, limits.

    It lists one queue, twice. Each line says what was found and what to do. The
    exit code is that of the failure, such as 4 for a wrong key.
    """
    checks: list[_Check] = []
    code = int(ExitCode.OK)
    try:
        access.run(lambda client: _examine(client, access, checks), sandbox={})
    except (errors.AlohubError, CommandError) as error:
        code, line = describe(error)
        cause = error.__cause__ if isinstance(error, CommandError) and error.__cause__ else error
        usual = ("key" if code == int(ExitCode.DENIED) else "settings", "see alohub doctor --help")
        part, advice = next(((part, do) for kind, part, do in _BLAMED if isinstance(cause, kind)), usual)
        checks.append(_Check(part, "FAILED", line, advice))
    if as_json:
        write_json({"ok": not code, "exit_code": code, "checks": [attrs.asdict(check) for check in checks]})
    else:
        _print(checks)
    if code:
        raise typer.Exit(code)


async def _examine(client: AlohubClient, access: Access, checks: list[_Check]) -> None:
    """Append what is found, until something fails."""
    base = client.endpoint.base_url
    network = network_of(base, proxy=None, trust_env=True, ssl=read_ssl(access.ca_file))
    checks.append(_Check("address", "ok", str(base), "to use another: --env, --base-url or --tenant"))
    via = f"by {network.proxy}" if network.proxy else "none"
    checks.append(_Check("proxy", "ok", via, "to use another: HTTPS_PROXY, NO_PROXY"))
    ask: Any = {"params": {"page": 0, "size": 1}, "deadline": access.deadline}
    await client.request("GET", _PATH, **ask)  # opens the connection, and wakes up what sleeps
    asked = time.time()
    answer = await client.request("GET", _PATH, **ask)
    whose = f" for tenant {client.tenant_id}" if client.tenant_id else ""
    checks.append(_Check("key", "ok", f"accepted{whose}; it has the scope 'queue'"))
    checks.append(await _certificate(client, network))
    slow = answer.elapsed > _SLOW
    advice = "check the network, or whether the service is busy" if slow else _NOTHING
    checks.append(_Check("latency", "note" if slow else "ok", f"{answer.elapsed * 1000:.0f} ms", advice))
    checks.append(_clock(answer.headers.get("Date"), (asked + time.time()) / 2))
    checks.append(_headers(answer.headers))
    limits = client.rate_limits
    checks.append(_budget("tenant budget", limits.tenant))
    checks.append(_budget("route budget", limits.routes[f"GET {_PATH}"]))


async def _certificate(client: AlohubClient, network: Network) -> _Check:
    """Look at the server's certificate; that it is trusted is known by now."""
    base = client.endpoint.base_url
    if base.scheme != "https":
        return _Check("certificate", "note", "none: the key is sent unencrypted", "use https:// outside this machine")
    if network.proxy:
        return _Check("certificate", "ok", "trusted, seen through the proxy")
    try:
        context = network.ssl or ssl.create_default_context()
        _, writer = await asyncio.wait_for(asyncio.open_connection(base.host, base.port, ssl=context), timeout=10)
    except OSError as error:
        return _Check("certificate", "note", f"trusted; a second connection failed: {type(error).__name__}")
    found: Any = writer.get_extra_info("peercert")
    writer.transport.abort()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
    issuer = dict(pair for part in found["issuer"] for pair in part)
    by = issuer.get("organizationName") or issuer.get("commonName", "?")
    soon = (ends - datetime.now(UTC)).days < _EXPIRES_SOON
    advice = "ask the vendor to renew it" if soon else _NOTHING
    return _Check("certificate", "note" if soon else "ok", f"trusted until {ends:%Y-%m-%d}, issued by {by}", advice)


def _clock(date: str | None, now: float) -> _Check:
    try:
        ahead = now - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return _Check("clock", "note", "the answer has no date", "compare the clock yourself")
    wrong = abs(ahead) > _SKEW
    found = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's"
    return _Check("clock", "note" if wrong else "ok", found, "set this machine's clock" if wrong else _NOTHING)


def _headers(headers: Mapping[str, str]) -> _Check:
    """The limit headers that came, and how they are read."""
    came = ",\n".join(f"{name}: {value}" for name, value in headers.items() if "limit" in name.lower())
    read = HeaderReader(None).read(headers, wall_clock=time.time)
    if not came:
        advice = "ask the vendor; without them the SDK learns from refusals"
        return _Check("limit headers", "note", "none came", advice)
    budgets = [f"{scope} {each.limit} per {each.window or WINDOW:g} s" for scope, each in read.items()]
    if not budgets:
        return _Check("limit headers", "note", f"{came}: not understood", "name them in Python: RateLimitHeaders")
    return _Check("limit headers", "ok", f"{came};\nread as {', '.join(budgets)}")


def _budget(name: str, scope: ScopeStatus) -> _Check:
    if scope.limit is None or scope.free is None:
        return _Check(name, "note", "no limit known", "none: requests go at full speed")
    found = f"{scope.free} of {scope.limit} requests free now"
    return _Check(name, "ok", found) if scope.free else _Check(name, "note", found, f"wait {scope.next_due:.0f} s")


def _print(checks: list[_Check]) -> None:
    table = table_with_heading(["", "Check", "Found -> to do"], right=(), folded={"Found -> to do"})
    between = "\n" if sys.stdout.isatty() else " "
    for each in checks:
        lines = [*each.found.splitlines(), *([] if each.do == _NOTHING else [f"-> {each.do}"])]
        text = between.join(map(one_line, lines))
        table.add_row(Text(each.state, style=_STYLES[each.state]), Text(each.check), Text(text))
    worst = max(checks, key=lambda each: [*_VERDICTS].index(each.state))
    table.caption = Text(_VERDICTS[worst.state])
    print_rich(table)
