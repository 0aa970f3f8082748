"""Rate-limit headers: one `RateLimit` per scope, from the names and spellings in use.

The vendor documents four headers on every answer (limit and remaining, of the tenant and of the route, per 10 s), but
its page does not show their names. So the usual names are recognised, in any case, with or without `X-` and hyphens:

| header | scope |
|---|---|
| `X-RateLimit-Limit-Tenant`, `-Remaining-Tenant`, `-Reset-Tenant`, `-Used-Tenant`; the same with `Route` | as named |
| `X-RateLimit-Tenant-Limit`, `X-Tenant-RateLimit-Limit` and so on; the same with `Route` | as named |
| `X-RateLimit-Limit`, `-Remaining`, `-Reset`, `-Used` | tenant |
| each with its window: `-Limit-10`, `-Limit-10s`, `-Limit-5m`, `-Limit-Minute`, `-Limit-Tenant-10` | as above |
| `RateLimit-Limit: 100, 100;w=10, 1000;w=3600`, `-Remaining`, `-Reset`, `-Policy` (IETF draft, to 06) | tenant |
| `RateLimit: limit=100, remaining=50, reset=5` with `RateLimit-Policy: 100;w=10` (IETF draft 07) | tenant |
| `RateLimit-Policy: "default";q=100;w=10` with `RateLimit: "default";r=50;t=5` (IETF draft, from 08) | tenant |

Unscoped headers count as the tenant's, from which every request spends: this may cost time, but no 429s. Beside the
tenant's own, only those with a window count. A number may be `1,000`, `100;w=10` or `100/10s`; a reset is seconds, a
moment since the epoch, or a date. Of several limits (`50, 20`, or a header that occurs twice), each has what remains at
its position or under its policy's name; where none fits, the lowest rate has it. A limit that is not said is the last
one under that name, a window that of an equal limit. A limit of which nothing is said to remain is left out.
"""

import functools
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

import attrs

from alohub_async.errors import ConfigurationError
from alohub_async.printable import printable
from alohub_async.rate_limits.status import RateLimit
from alohub_async.secret import redacted, repr_of_fields
from alohub_async.validation import check_seconds, check_text

Scope: TypeAlias = Literal["tenant", "route"]
Limits: TypeAlias = dict[Scope, RateLimit]
_Said: TypeAlias = dict[str, float]  # limit, remaining, used, reset, window; `other` if these are not of requests

_logger = logging.getLogger("alohub_async")

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "mo": 2_678_400.0, "y": 31_622_400.0}
_UNIT: Final = r"s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?|w(?:eeks?)?|mo(?:nths?)?|y(?:ears?)?"
_NAME: Final = re.compile(  # without `x` and `ratelimit`
    r"(?:-|(?P<scope>tenant|route)|(?P<kind>limit|remaining|reset|used|policy)"
    rf"|(?:per-?)?(?P<window>[0-9]{{1,8}}(?:{_UNIT})?(?![a-z0-9])|second|minute|hour|day|week|month|year))*"
)
_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{0,15})?"
_AMOUNT: Final = re.compile(rf"(-?{_NUMBER})(?:\s?/\s?([0-9]{{0,9}}\s?[a-z]+))?")
_DURATION: Final = re.compile(rf"({_NUMBER})?\s?({_UNIT})?")
_DIGITS: Final = re.compile(r"[0-9]{1,15},[0-9]{1,15},[0-9]{1,9}")  # `_EPOCH_FROM` has ten
_QUOTED: Final = r'"(?:[^"\\]|\\.?)*(?:"|$)'
_MEMBER: Final = re.compile(rf"((?:{_QUOTED})|[^\",;]*)((?:;(?:{_QUOTED}|[^\",;])*)*)(?:,|$|(?=.))", re.DOTALL)
_PARAMETER: Final = re.compile(rf";\s*([a-z]+)\s*=\s*({_QUOTED}|[^\";]*)")
_THOUSANDS: Final = re.compile(r"(?<![0-9.,=])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9.]|,[0-9])")
_SHORT: Final = {"q": "limit", "r": "remaining", "t": "reset", "w": "window"}  # of the drafts
_EPOCH_FROM: Final = 1e9  # a number this large is a moment (2001 or later), not a duration
_EPOCH_UNTIL: Final = 1e11
_MAX_TEXT: Final = 1024  # characters of a value
_MAX_NAMES: Final = 4096  # characters of an answer's names, if they are to be remembered
_MAX_KEPT: Final = 64
_WORDS: Final = "rate|limit|quota|throttl|remaining|reset|retry|burst"
_LIMITING: Final = re.compile(rf"(?i:ratelimit|(?<![a-z])(?:{_WORDS}))|Limit|Quota|Remaining|Reset")
_HEADER: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_check_header: Final = partial(check_text, pattern=_HEADER, allowed="the name of a header", optional=True)
_SECRET: Final = re.compile("auth|cookie|key|secret|session|token", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class RateLimitHeaders:
    """The names of the rate-limit headers, for a server whose names are not recognised.

    Attributes:
        tenant_limit: Requests per window, for the tenant.
        tenant_remaining: Requests left in the window.
        tenant_window: Seconds of that window; by default what the value says, or those of the limiter.
        route_limit: Requests per window, for the route.
        route_remaining: Requests left in the window.
        route_window: Seconds of that window.

    Raises:
        ConfigurationError: A value is not allowed, or a scope has only one of its two names.
    """

    tenant_limit: str | None = None
    tenant_remaining: str | None = None
    tenant_window: float | None = None
    route_limit: str | None = None
    route_remaining: str | None = None
    route_window: float | None = None

    __repr__ = repr_of_fields

    def __attrs_post_init__(self) -> None:
        for scope in get_args(Scope):
            limit, remaining, window = (getattr(self, f"{scope}_{word}") for word in ("limit", "remaining", "window"))
            for name, value in (f"{scope}_limit", limit), (f"{scope}_remaining", remaining):
                _check_header(name, value, error=ConfigurationError)
            check_seconds(f"{scope}_window", window, optional=True, error=ConfigurationError)
            if (limit is None) != (remaining is None) or (limit is None and window is not None):
                raise ConfigurationError("a scope needs both names, or neither: of its limit, and of what remains")


class _Family(NamedTuple):
    """Headers whose names differ in their kind alone: `limit`, `remaining`, `reset`, `used`, `policy` or `state`."""

    scope: Scope | None
    name: str  # without the kind
    window: float | None  # seconds


_Names: TypeAlias = dict[_Family, dict[str, str]]  # by kind
_Usual: TypeAlias = tuple[Scope, str, str, str, str | None, float | None]  # scope, label, three names, window
_Plan: TypeAlias = tuple[_Names, list[_Usual] | None]  # what names say, and the counters if they say nothing else


class HeaderReader:
    """Reads the headers of one server: only the given names, or the usual ones."""

    def __init__(self, names: RateLimitHeaders | None, window: float = 10.0) -> None:
        windows = {scope: getattr(names, f"{scope}_window", None) for scope in get_args(Scope)}
        given = {
            (getattr(names, f"{scope}_{kind}", None) or "").lower(): (_Family(scope, scope, window), kind)
            for scope, window in windows.items()
            for kind in ("limit", "remaining")
        }
        self._meaning: Callable[[str], tuple[_Family, str] | None] = _meaning if names is None else given.get
        self._window = window  # where none is said
        self._plans: dict[tuple[object, ...], _Plan] = {}  # by the names of an answer, and their number
        self._known: dict[str, RateLimit] = {}  # the last of each
        self._reported = set[str]()

    def read(self, headers: Mapping[str, str], *, wall_clock: Callable[[], float], denied: bool = False) -> Limits:
        """What an answer says, which is a 429 if `denied`. A scope of which it says nothing usable is missing."""
        key = *headers, len(headers)  # a multidict's names do not show that one occurs twice, but its length does
        try:
            families, usual = self._plans[key]
        except KeyError:
            families, usual = self._plan(key, [name for name, _ in headers.items()])
        if usual is not None and self._reported and not denied:
            found: Limits = {}
            for scope, label, limit, remaining, reset, window in usual:
                counter = _usual(headers[limit], headers[remaining], headers[reset] if reset else None, window)
                if counter is None:
                    break
                self._known[label] = counter
                found[scope] = _tightest((found[scope], counter), self._window) if scope in found else counter
            else:
                return found
        return self._read_unusual(headers, families, wall_clock, denied=denied)

    def _plan(self, key: tuple[object, ...], names: list[str]) -> _Plan:
        if len(self._plans) >= _MAX_KEPT or len(self._known) >= _MAX_KEPT:
            self._plans.clear()
            self._known.clear()
        families: _Names = {}
        meanings = [(name, meaning) for name in names if (meaning := self._meaning(name.lower())) is not None]
        for name, (family, kind) in meanings:
            families.setdefault(family, {}).setdefault(kind, name)
        own = any(family.scope == "tenant" for family in families)
        counters = {family: kinds for family, kinds in families.items() if family.scope or family.window or not own}
        usual: list[_Usual] = [
            (scope or "tenant", f"{name} 0", kinds["limit"], kinds["remaining"], kinds.get("reset"), window)
            for (scope, name, window), kinds in sorted(counters.items(), key=lambda item: item[0].window is None)
            if {"limit", "remaining"} <= kinds.keys() <= {"limit", "remaining", "reset"}
        ]
        complete = len(usual) == len(counters) and sum(map(len, families.values())) == len(meanings)
        plan = families, usual if complete else None
        if sum(map(len, names)) <= _MAX_NAMES:
            self._plans[key] = plan
        return plan

    def _read_unusual(
        self, headers: Mapping[str, str], families: _Names, wall_clock: Callable[[], float], *, denied: bool
    ) -> Limits:
        getall: Callable[[str], list[str]] = getattr(headers, "getall", lambda name: [headers[name]])
        parts: dict[Scope | None, dict[str, _Said]] = {"tenant": {}, None: {}, "route": {}}
        understood = set[str]()
        for family, names in families.items():
            kinds = _join(parts[family.scope], family, {kind: ", ".join(getall(name)) for kind, name in names.items()})
            understood |= {names[kind] for kind in kinds}
        tenant, unscoped, route = (self._counters(part, wall_clock) if part else [] for part in parts.values())
        tenant += [each for each in unscoped if each.window is not None or not tenant]
        every = zip(get_args(Scope), (tenant, route), strict=True)
        found: Limits = {scope: _tightest(tuple(each), self._window) for scope, each in every if each}
        occasion = "denied" if denied else "first" if len(understood) == sum(map(len, families.values())) else "unread"
        if occasion not in self._reported:
            self._reported |= {"first", occasion}
            _report(headers, understood if found else set(), logging.DEBUG if occasion == "first" else logging.WARNING)
        return found

    def _counters(self, parts: dict[str, _Said], wall_clock: Callable[[], float]) -> list[RateLimit]:
        counted = {label: said for label, said in parts.items() if "other" not in said}
        of_limits = (said for said in counted.values() if "limit" in said and "remaining" not in said)
        alone = [(said["limit"], said.get("window")) for said in of_limits]
        found = list[RateLimit]()
        for label, said in counted.items():
            limit, left, reset, window = (said.get(key) for key in ("limit", "remaining", "reset", "window"))
            known = self._known.get(label)
            if limit is not None and left is None and "used" in said:
                left = max(0.0, limit - said["used"])
            if limit is None and left is not None:
                fitting = [each for each in alone if None in {window, each[1]} or window == each[1]]
                if not fitting and (known is not None or ("=" in label and left > 0)):
                    fitting = [(left, window) if known is None else (max(left, known.limit), known.window)]
                fitting.sort(key=lambda each: each[0] / (each[1] or self._window))
                limit, said_by = fitting[0] if fitting else (None, None)
                window = window or said_by
            if limit is None:
                continue
            window = window or max((each[1] or 0.0 for each in alone if each[0] == limit), default=0.0) or None
            if reset is not None:
                moment = moment_of(reset)
                reset = min(reset if moment is None else max(0.0, moment - wall_clock()), _EPOCH_FROM)
            counter = RateLimit(int(limit), min(int(left or 0), int(limit)), reset, window)
            if known is not None or len(self._known) < _MAX_KEPT:
                self._known[label] = counter
            found += [counter] if left is not None else []
        return found


@functools.lru_cache(maxsize=4096)
def _tightest(counters: tuple[RateLimit, ...], assumed: float) -> RateLimit:
    """The counter with the lowest rate, and the others; of one window, that of which less remains."""
    every = [each for counter in counters for each in (counter._replace(also=()), *counter.also)]
    said = {each.limit: each.window for each in sorted(every, key=lambda each: each.window or 0.0)}
    windows: dict[float, RateLimit] = {}
    for each in sorted(every, key=lambda each: (each.remaining, each.limit, each.reset is None)):
        window = each.window or said[each.limit]
        windows.setdefault(window or assumed, each._replace(window=window))
    first, *others = sorted(windows, key=lambda window: (windows[window].limit / window, window))
    return windows[first]._replace(also=tuple(windows[other] for other in others))


def _report(headers: Mapping[str, str], understood: set[str], level: int) -> None:
    """Log the headers that look like a limit and were not understood."""
    shown = list[str]()
    for name, text in headers.items():
        if name not in understood and _LIMITING.search(name) and name.lower() != "retry-after":
            value = "…" if _SECRET.search(name) else redacted(text[:_MAX_TEXT], cut=len(text) > _MAX_TEXT)
            shown.append(f"{printable(name, 40)}: {printable(value, 40)!r}")
    if shown:
        _logger.log(level, "rate-limit headers that were not understood: %s", ", ".join(shown[:_MAX_KEPT]))


def _meaning(name: str) -> tuple[_Family, str] | None:
    """The family and the kind of one of the usual names, in lower case."""
    plain = name.replace("_", "-").replace("rate-limit", "ratelimit")
    before, word, after = plain.partition("ratelimit")
    match = _NAME.fullmatch(before.removeprefix("x") + after) if word and len(name) <= _MAX_KEPT else None
    window = _duration(match["window"]) if match and match["window"] else None
    if match is None or (window is not None and not 0 < window <= _UNITS["y"]):
        return None
    kind = match["kind"] or ("state" if plain == word else "limit")
    return _Family(cast("Scope | None", match["scope"]), f"{before}#{after.replace(kind, '').strip('-')}", window), kind


def _join(parts: dict[str, _Said], family: _Family, texts: Mapping[str, str]) -> list[str]:
    """Add what the headers of a family say, by kind, to what is known; return the kinds that are readable."""
    short = {kind: text for kind, text in texts.items() if len(text) <= _MAX_TEXT}
    whole = {kind: _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text) for kind, text in short.items()}
    if any(re.search(",[0-9]", text) for text in whole.values()):  # several, joined without a space
        whole = short
    lists = {kind: members for kind, text in whole.items() if (members := _members(kind, text))}
    readable, limits = [*lists], lists.get("limit", ())
    alone = len(limits) > 1 == len(lists.get("remaining", limits[:1])) and "window" not in limits[0][1]
    if alone and all("window" in said for _, said in limits[1:]):
        # The drafts to 06: the limit that counts, and all policies.
        lists |= {"limit": limits[:1], "policy": limits[1:] + lists.get("policy", ())}
    for kind, members in lists.items():
        place = family.name if len(members) == len(lists.get("limit", members)) else f"{family.name} {kind}"
        for at, (name, said) in enumerate(members):
            part = parts.setdefault(f"{family.scope}={name}" if kind in {"policy", "state"} else f"{place} {at}", {})
            for key, number in said.items() if family.window is None else [*said.items(), ("window", family.window)]:
                part[key] = (max if key in {"reset", "window"} else min)(number, part.get(key, number))
    return readable


@functools.lru_cache(maxsize=1024)
def _members(kind: str, text: str) -> tuple[tuple[str, _Said], ...]:
    """The members of a list, each with its name and what it says; none at all if one is unreadable."""
    if kind == "reset" and (moment := timestamp_of(text)) is not None:
        return (("", {"reset": max(moment, _EPOCH_FROM)}),)
    text = text.lower()
    if re.match(r"\s*[a-z]+\s*=", text):  # as in draft 07
        text = ";" + text.replace(",", ";")
    found = [(name.strip(), parameters) for name, parameters in _MEMBER.findall(text) if name.strip() or parameters]
    if len(found) > _MAX_KEPT:
        return ()
    members = [(name.strip('"'), _said(kind, name, _PARAMETER.findall(rest))) for name, rest in found]
    return tuple(members) if all(said for _, said in members) else ()


def _said(kind: str, name: str, parameters: list[tuple[str, str]]) -> _Said:
    """What a member says in numbers; nothing if it is unreadable. Of equal parameters the smallest counts."""
    parameters.sort(key=lambda pair: (len(pair[1]), pair[1]), reverse=True)
    texts = {_SHORT.get(key, key): text.strip('" ') for key, text in parameters}
    main = {"state": "remaining", "policy": "limit"}.get(kind, kind)
    if kind == "reset":
        texts["reset"] = name
    elif (amount := _AMOUNT.fullmatch(name)) is not None:
        texts["limit" if kind == "state" else main] = re.sub("^-.*", "0" if kind == "remaining" else "", amount[1])
        texts.setdefault("window", amount[2] or "")
    numbers = {key: _duration(text) for key, text in texts.items() if key in {*_SHORT.values(), "used"}}
    said = {key: number for key, number in numbers.items() if number is not None}
    if not 0 < said.get("window", 1.0) <= _UNITS["y"]:
        del said["window"]
    if main not in said or numbers.keys() - said.keys() - {"window"}:
        return {}
    return said if texts.get("qu", "requests") == "requests" else said | {"other": 1.0}


def _duration(text: str) -> float | None:
    """A number, or seconds: `10`, `10s`, `minute`."""
    match = _DURATION.fullmatch(text)
    if match is None or not match[0]:
        return None
    unit = match[2] or "s"
    return float(match[1] or 1) * (_UNITS.get(unit[:2]) or _UNITS[unit[0]])


@functools.lru_cache(maxsize=4096)  # limits are the same on every answer, and the values of `remaining` repeat
def _usual(limit: str, remaining: str, reset: str | None, window: float | None) -> RateLimit | None:
    """Read plain digits, which almost all answers have; None for any other spelling."""
    if not _DIGITS.fullmatch(f"{limit},{remaining},{'0' if reset is None else reset}"):
        return None
    said = int(limit), int(remaining), None if reset is None else float(reset), window, ()
    # As `RateLimit(*said)`, with one call less.
    return tuple[Any, ...].__new__(RateLimit, said) if said[1] <= said[0] else None


def moment_of(number: float) -> float | None:
    """The moment that a number means if it is too large for a duration: epoch seconds, ms, µs or ns; otherwise None."""
    moments = (number / unit for unit in (1.0, 1e3, 1e6, 1e9))
    return next((moment for moment in moments if _EPOCH_FROM <= moment < _EPOCH_UNTIL), None)


def timestamp_of(text: str) -> float | None:
    """The moment of a date as in HTTP; None for other text."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    # HTTP dates are always GMT, and `parsedate_to_datetime` returns a naive datetime for "-0000".
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
