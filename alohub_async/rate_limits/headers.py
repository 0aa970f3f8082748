"""Rate-limit headers: one `RateLimit` per scope, from the names and spellings in use.

The vendor documents four headers on every answer (limit and remaining, of the tenant and of the route, per 10 s), but
its page does not show their names. So the usual names are recognised, in any case and with or without `X-`:

| header | scope |
|---|---|
| `X-RateLimit-Limit-Tenant`, `-Remaining-Tenant`, `-Reset-Tenant`; the same with `Route` | as named |
| `X-RateLimit-Tenant-Limit`, `-Tenant-Remaining`, `-Tenant-Reset`; the same with `Route` | as named |
| `X-RateLimit-Limit`, `-Remaining`, `-Reset`, also followed by the window's seconds (`-Limit-10`) | tenant |
| `RateLimit-Limit`, `-Remaining`, `-Reset` (IETF draft, to 06) | tenant |
| `RateLimit: limit=100, remaining=50, reset=5` (IETF draft 07) | tenant |
| `RateLimit-Policy: "default";q=100;w=10` with `RateLimit: "default";r=50;t=5` (IETF draft, from 08) | tenant |

Unscoped headers count as the tenant's, from which every request spends: this may cost time, but no 429s. A reset is a
number of seconds, or a moment since the epoch. If a header occurs twice, the first counts.
"""

import functools
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, cast

import attrs

from alohub_async.errors import ConfigurationError
from alohub_async.rate_limits.status import RateLimit
from alohub_async.secret import repr_of_fields
from alohub_async.validation import refuse

Scope: TypeAlias = Literal["tenant", "route"]

_logger = logging.getLogger("alohub_async")

_NAME: Final = (
    r"(?:x-)?rate-?limit-(?:"
    r"(?P<field>limit|remaining|reset)(?:-(?P<scope>tenant|route)|-\d+)?"
    r"|(?P<first_scope>tenant|route)-(?P<last_field>limit|remaining|reset))"
)
_MAX_DIGITS: Final = 15
_NUMBER: Final = rf"\s*(-?[0-9]{{1,{_MAX_DIGITS}}}(?:\.[0-9]*)?)\s*(?:[;,].*)?"  # `100`, `4.75`, `100;w=10`
_DIGITS: Final = re.compile(rf"[0-9]{{1,{_MAX_DIGITS}}},[0-9]{{1,{_MAX_DIGITS}}},[0-9]{{1,9}}")  # `_EPOCH_FROM` has ten
_EPOCH_FROM: Final = 1e9  # a number this large is a moment (2001 or later), not a duration
_EPOCH_UNTIL: Final = 1e11


@attrs.frozen(kw_only=True)
class RateLimitHeaders:
    """The names of the rate-limit headers, for a server whose names are not recognised.

    Attributes:
        tenant_limit: Requests per window, for the tenant.
        tenant_remaining: Requests left in the window.
        route_limit: Requests per window, for the route.
        route_remaining: Requests left in the window.

    Raises:
        ConfigurationError: A value is no header name, or a scope has only one of its two names.
    """

    tenant_limit: str | None = None
    tenant_remaining: str | None = None
    route_limit: str | None = None
    route_remaining: str | None = None

    __repr__ = repr_of_fields

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            is_text = isinstance(value, str)
            if value is not None and not (is_text and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value)):
                raise refuse(name, "the name of a header", value, wrong_type=not is_text, error=ConfigurationError)
        scopes = (self.tenant_limit, self.tenant_remaining), (self.route_limit, self.route_remaining)
        if any((limit is None) != (remaining is None) for limit, remaining in scopes):
            raise ConfigurationError("a scope needs both names, or neither: of its limit, and of what remains")


class _Names(NamedTuple):
    """The headers of one scope."""

    scope: Scope
    limit: str
    remaining: str
    reset: str | None = None


class HeaderReader:
    """Reads the headers of one server: only these names, or the usual ones, and remembers which that server uses."""

    def __init__(self, names: RateLimitHeaders | None) -> None:
        self._fixed = names is not None
        self._names = () if names is None else tuple(_given(names))
        self._reported = False

    def read(self, headers: Mapping[str, str], *, wall_clock: Callable[[], float]) -> dict[Scope, RateLimit]:
        """What an answer says. A scope is missing if the answer says nothing usable about it."""
        found: dict[Scope, RateLimit] = {}
        try:
            for scope, limit, remaining, reset in self._names:
                usual = _usual(headers[limit], headers[remaining], headers[reset] if reset else None)
                if usual is None:
                    return self._read_unusual(headers, wall_clock)
                found[scope] = usual
        except KeyError:
            return self._read_unusual(headers, wall_clock)
        if self._fixed or ("tenant" in found and "route" in found):
            return found
        # A gateway's own answer may name only one scope, so the names recognised before may not be all.
        return found if found and self._names == _recognise(tuple(headers)) else self._read_unusual(headers, wall_clock)

    def _read_unusual(self, headers: Mapping[str, str], wall_clock: Callable[[], float]) -> dict[Scope, RateLimit]:
        found = self._read_named(headers, wall_clock)
        if self._fixed or ("tenant" in found and "route" in found):
            return found
        names = _recognise(tuple(headers))
        if names != self._names:
            self._names = names
            found = self._read_named(headers, wall_clock)
        return found if found or "RateLimit" not in headers else self._read_draft(headers)

    def _read_named(self, headers: Mapping[str, str], wall_clock: Callable[[], float]) -> dict[Scope, RateLimit]:
        found: dict[Scope, RateLimit] = {}
        for names in self._names:
            limit = self._number(names.limit, headers.get(names.limit))
            remaining = self._number(names.remaining, headers.get(names.remaining), least=None)
            if limit is None or remaining is None:
                continue
            reset = self._number(names.reset, headers.get(names.reset)) if names.reset else None
            if reset is not None and (moment := moment_of(reset)) is not None:
                reset = max(0.0, moment - wall_clock())
            usable = max(0, int(min(limit, remaining)))
            found[names.scope] = RateLimit(int(limit), usable, None if reset is None else float(reset))
        return found

    def _number(self, name: str, text: str | None, *, least: int | None = 0) -> float | None:
        if text is None:
            return None
        match = re.fullmatch(_NUMBER, text)
        if match is None or (least is not None and float(match[1]) < least):
            self._report(name, text)
            return None
        return float(match[1])

    def _read_draft(self, headers: Mapping[str, str]) -> dict[Scope, RateLimit]:
        """Read the two fields of the later drafts, or the one field of draft 07; see the table above."""
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
            _logger.warning("ignoring rate-limit headers with an unreadable value, such as %s: %.40r", name, text)


@functools.lru_cache(maxsize=4096)  # limits are the same on every answer, and the values of `remaining` repeat
def _usual(limit: str, remaining: str, reset: str | None) -> RateLimit | None:
    """Read plain digits, which almost all answers have; None for any other spelling."""
    if not _DIGITS.fullmatch(f"{limit},{remaining},{'0' if reset is None else reset}"):
        return None
    most, left = int(limit), int(remaining)
    return RateLimit(most, left, None if reset is None else float(reset)) if left <= most else None


def moment_of(number: float) -> float | None:
    """The moment that a number means if it is too large for a duration: epoch seconds, ms, µs or ns; otherwise None."""
    moments = (number / unit for unit in (1.0, 1e3, 1e6, 1e9))
    return next((moment for moment in moments if _EPOCH_FROM <= moment < _EPOCH_UNTIL), None)


def _parameter(names: str, text: str) -> re.Match[str] | None:
    return re.search(rf"(?:^|[;,\s])(?:{names})=([0-9]{{1,{_MAX_DIGITS}}})(?![0-9])", text)


def _given(names: RateLimitHeaders) -> Iterator[_Names]:
    if names.tenant_limit is not None and names.tenant_remaining is not None:
        yield _Names("tenant", names.tenant_limit, names.tenant_remaining)
    if names.route_limit is not None and names.route_remaining is not None:
        yield _Names("route", names.route_limit, names.route_remaining)


@functools.lru_cache(maxsize=64)  # all answers of a server have the same headers
def _recognise(headers: tuple[str, ...]) -> tuple[_Names, ...]:
    names: dict[Scope, dict[str, str]] = {}
    unscoped: dict[str, str] = {}
    for name in headers:
        match = re.fullmatch(_NAME, name, re.IGNORECASE)
        if match is None:
            continue
        field = (match["field"] or match["last_field"]).lower()
        scope = cast("Scope | None", (match["scope"] or match["first_scope"] or "").lower() or None)
        (unscoped if scope is None else names.setdefault(scope, {})).setdefault(field, name)
    names.setdefault("tenant", unscoped)
    return tuple(_Names(scope, **found) for scope, found in names.items() if {"limit", "remaining"} <= found.keys())
