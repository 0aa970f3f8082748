"""Rate-limit headers: from the names and spellings in use to one `RateLimit` per scope.

The vendor documents four headers on every answer (limit and remaining, of the tenant and of the route, per 10 s), but
their names were lost from its page. So they are recognised, in any case and with or without `X-`:

| header | scope |
|---|---|
| `X-RateLimit-Limit-Tenant`, `-Remaining-Tenant`, `-Reset-Tenant`; the same with `Route` | as named |
| `X-RateLimit-Tenant-Limit`, `-Tenant-Remaining`, `-Tenant-Reset`; the same with `Route` | as named |
| `X-RateLimit-Limit`, `-Remaining`, `-Reset`, also with the window's seconds behind them (`-Limit-10`) | tenant |
| `RateLimit-Limit`, `-Remaining`, `-Reset` (IETF draft, to 06) | tenant |
| `RateLimit: limit=100, remaining=50, reset=5` (IETF draft 07) | tenant |
| `RateLimit-Policy: "default";q=100;w=10` with `RateLimit: "default";r=50;t=5` (IETF draft, from 08) | tenant |

Unscoped ones are taken for the tenant's, which every request spends from: to be too careful costs time, to be too bold
429s. A reset is seconds, or seconds since the epoch. Of a header sent twice, the first counts.
"""

import functools
import logging
import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast

import attrs

from alohub_async.errors import ConfigurationError
from alohub_async.rate_limits.snapshots import RateLimit

Scope: TypeAlias = Literal["tenant", "route"]
_Field: TypeAlias = Literal["limit", "remaining", "reset"]

_logger = logging.getLogger("alohub_async")

_NAME: Final = (
    r"(?:x-)?rate-?limit-(?:"
    r"(?P<field>limit|remaining|reset)(?:-(?P<scope>tenant|route)|-\d+)?"
    r"|(?P<first_scope>tenant|route)-(?P<last_field>limit|remaining|reset))"
)
_SCOPES: Final = 2  # tenant and route
_MAX_DIGITS: Final = 15
_NUMBER: Final = rf"\s*(-?[0-9]{{1,{_MAX_DIGITS}}}(?:\.[0-9]*)?)\s*(?:[;,].*)?"  # `100`, `4.75`, `100;w=10`
_EPOCH_FROM: Final = 1_000_000_000  # a reset this large is a moment (2001 or later), not a duration


@attrs.frozen(kw_only=True)
class RateLimitHeaders:
    """The names of the rate-limit headers, for a server whose names are not recognised.

    Attributes:
        tenant_limit: Requests a window, for the tenant.
        tenant_remaining: Requests left in it.
        route_limit: Requests a window, for the route.
        route_remaining: Requests left in it.

    Raises:
        ConfigurationError: Not a header name, or a limit without its remaining or the other way round.
    """

    tenant_limit: str | None = None
    tenant_remaining: str | None = None
    route_limit: str | None = None
    route_remaining: str | None = None

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if value is not None and not (
                isinstance(value, str) and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value)
            ):
                raise ConfigurationError(f"{name} must be the name of a header; {value!r} was given")
        if (self.tenant_limit is None) != (self.tenant_remaining is None) or (self.route_limit is None) != (
            self.route_remaining is None
        ):
            raise ConfigurationError("a scope needs both names, of its limit and of its remaining, or neither")


class HeaderReader:
    """Reads the headers of one server; it remembers which names that server uses."""

    def __init__(self, names: RateLimitHeaders | None) -> None:
        """Make a reader.

        Args:
            names: Read these alone; None recognises them.
        """
        self._names: dict[Scope, dict[_Field, str]] = {}
        self._fixed = names is not None
        self._reported = False
        if names is not None:
            if names.tenant_limit is not None and names.tenant_remaining is not None:
                self._names["tenant"] = {"limit": names.tenant_limit, "remaining": names.tenant_remaining}
            if names.route_limit is not None and names.route_remaining is not None:
                self._names["route"] = {"limit": names.route_limit, "remaining": names.route_remaining}

    def read(self, headers: Mapping[str, str], *, wall_clock: float) -> dict[Scope, RateLimit]:
        """What an answer says; a scope it says nothing usable about is left out.

        Args:
            headers: Of the answer, case-insensitive.
            wall_clock: Seconds since the epoch, for a reset given as a moment.
        """
        found = self._read_named(headers, wall_clock)
        if self._fixed or len(found) == _SCOPES:
            return found
        # An answer of the gateway's own may name one scope alone, so what was recognised before may not be all.
        names = _recognise(headers)
        if names != self._names:
            self._names = names
            found = self._read_named(headers, wall_clock)
        return found if found or "RateLimit" not in headers else self._read_draft(headers)

    def _read_named(self, headers: Mapping[str, str], wall_clock: float) -> dict[Scope, RateLimit]:
        found: dict[Scope, RateLimit] = {}
        for scope, names in self._names.items():
            told, left = headers.get(names["limit"]), headers.get(names["remaining"])
            limit: float | None = _digits(told)
            remaining: float | None = _digits(left)
            if limit is None:
                limit = self._number(names["limit"], told)
            if remaining is None:
                remaining = self._number(names["remaining"], left, least=None)
            if limit is None or remaining is None:
                continue
            reset = self._number(names["reset"], headers.get(names["reset"])) if "reset" in names else None
            if reset is not None and reset >= _EPOCH_FROM:
                reset = max(0.0, reset - wall_clock)
            usable = max(0, int(min(limit, remaining)))
            found[scope] = RateLimit(int(limit), usable, None if reset is None else float(reset))
        return found

    def _number(self, name: str, text: str | None, *, least: int | None = 0) -> float | None:
        number = _digits(text)
        if text is None or number is not None:
            return number
        match = re.fullmatch(_NUMBER, text)
        if match is None or (least is not None and float(match[1]) < least):
            self._report(name, text)
            return None
        return float(match[1])

    def _read_draft(self, headers: Mapping[str, str]) -> dict[Scope, RateLimit]:
        """The two fields of the later drafts, or the one of draft 07; see the table above."""
        policy, state = headers.get("RateLimit-Policy", ""), headers["RateLimit"]
        limit = _parameter("q", policy) or _parameter("limit", state)
        remaining = _parameter("r|remaining", state)
        reset = _parameter("t|reset", state)
        if limit is None or remaining is None:
            self._report("RateLimit", state)
            return {}
        most = int(limit[1])
        return {"tenant": RateLimit(most, min(int(remaining[1]), most), float(reset[1]) if reset else None)}

    def _report(self, name: str, text: str) -> None:
        if not self._reported:
            self._reported = True
            _logger.warning("ignoring rate-limit headers that make no sense, such as %s: %.40r", name, text)


@functools.lru_cache(maxsize=1024)  # the limits are the same on each answer, and what remains comes again
def _digits(text: str | None) -> int | None:
    if text is None or len(text) > _MAX_DIGITS or not text.isascii() or not text.isdigit():
        return None
    return int(text)


def _parameter(names: str, text: str) -> re.Match[str] | None:
    return re.search(rf"(?:^|[;,\s])(?:{names})=([0-9]{{1,{_MAX_DIGITS}}})(?![0-9])", text)


def _recognise(headers: Mapping[str, str]) -> dict[Scope, dict[_Field, str]]:
    names: dict[Scope, dict[_Field, str]] = {}
    unscoped: dict[_Field, str] = {}
    for name in headers:
        match = re.fullmatch(_NAME, name, re.IGNORECASE)
        if match is None:
            continue
        field = cast("_Field", (match["field"] or match["last_field"]).lower())
        scope = cast("Scope | None", (match["scope"] or match["first_scope"] or "").lower() or None)
        (unscoped if scope is None else names.setdefault(scope, {})).setdefault(field, name)
    names.setdefault("tenant", unscoped)
    return {scope: found for scope, found in names.items() if "limit" in found and "remaining" in found}
