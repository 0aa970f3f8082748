"""The options of clients, calls and walks: each is declared, checked and documented once.

A method takes them as keywords, `**options: Unpack[CallOptionsDict]`, so that editors and type checkers know each one;
the attrs class beside each `TypedDict` checks and documents them. `UNSET` means "the client's", `None` means "none".
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from ssl import SSLContext
from typing import Any, Final, Literal, Self, TypeAlias, TypedDict, cast, get_args

import attrs
from yarl import URL

from alohub_async import validation
from alohub_async.config import Endpoint, check_header_value
from alohub_async.emitter import Listener, read_listeners
from alohub_async.errors import ConfigurationError, DeadlineExceededError, InvalidArgumentError
from alohub_async.http.network import read_proxy, read_ssl
from alohub_async.http.requests import encode_json
from alohub_async.http.retries import RetryPolicy
from alohub_async.http.timeouts import Timeouts
from alohub_async.http.transport import USER_AGENT, Session, is_ours
from alohub_async.pagination import MAX_PAGE_SIZE, MAX_PAGES, Consistency
from alohub_async.rate_limits.limiter import RateLimiter
from alohub_async.rate_limits.priorities import Priority
from alohub_async.secret import Secret, repr_of_fields
from alohub_async.unset import UNSET, UnsetType

DEFAULT_PAGE_SIZE: Final = 100
"""Records a page where neither the caller nor a token says. The API's own default is 20 (the vendor's page)."""

DEFAULT_CONCURRENCY: Final = 16
_64_MIB: Final[int | None] = 1 << 26
_MAX_CONCURRENCY: Final = 1000  # ours, against typing errors: the rate limit decides

ListMethod: TypeAlias = Literal["GET", "POST"]
"""The methods of `paginate`."""

_seconds: Final = partial(validation.validator, validation.check_seconds, optional=True)
_count: Final = partial(validation.validator, validation.check_count)
_priority: Final = validation.validator(validation.check_choice, allowed=get_args(Priority))
_flag: Final = partial(validation.validator, validation.check_flag)
_positive: Final = _count(least=1, error=ConfigurationError)
_is_a_mapping: Final = validation.validator(validation.check_instance, kind=cast("type", Mapping))
_text: Final = partial(validation.validator, validation.check_text)
_name: Final = _text(pattern=r"[A-Za-z0-9_.-]+", allowed="a name, such as 'limit'")
_key: Final = _text(pattern="(?s:.+)", allowed="a string, or None", optional=True)
_consistency: Final[Any] = validation.validator(validation.check_choice, allowed=get_args(Consistency))
_method: Final[Any] = validation.validator(validation.check_choice, allowed=get_args(ListMethod))
_header_value: Final = validation.validator(check_header_value)
_is_a: Final = partial(validation.validator, validation.check_instance, error=ConfigurationError)


class CallOptionsDict(TypedDict, total=False):
    """Keywords of every call; see `CallOptions`."""

    deadline: float | UnsetType | None
    max_rate_limit_wait: float | UnsetType | None
    priority: Priority | UnsetType


@attrs.frozen(kw_only=True, repr=False, eq=False)
class CallOptions:
    """How a call is made. What is `UNSET` is the client's. The other classes of options add to it.

    Attributes:
        deadline: Seconds, above 0; None for no end. Attempts, backoff and waits for the rate limit all count. A
            deadline that is given to a call covers everything the call does: all requests of a walk, of many calls or
            of a job, from the first one on. A deadline that comes from the client covers each single request.
        max_rate_limit_wait: Most seconds that a request may wait for the rate limit, 0 or more; None for no bound. A
            request that would wait longer raises `RateLimitWaitError` at once.
        priority: Which requests go first while several wait for the rate limit.

    Raises:
        InvalidArgumentError: A value out of range, or an unknown name.
    """

    deadline: float | UnsetType | None = attrs.field(default=UNSET, validator=_seconds())
    max_rate_limit_wait: float | UnsetType | None = attrs.field(default=UNSET, validator=_seconds(zero=True))
    priority: Priority | UnsetType = attrs.field(default=UNSET, validator=_priority)

    __repr__ = repr_of_fields

    @classmethod
    def of(cls, given: Mapping[str, Any], *also: str) -> Self:
        """Make options of a call's keywords; for an unknown name, `also` names of the method may be suggested."""
        validation.check_names(given, [*attrs.fields_dict(cls)], also)
        return cls(**given)

    def keywords(self) -> CallOptionsDict:
        """The same options as keywords of a call."""
        return {"deadline": self.deadline, "max_rate_limit_wait": self.max_rate_limit_wait, "priority": self.priority}


class PageOptionsDict(CallOptionsDict, total=False):
    """Keywords of everything that walks a list; see `PageOptions`."""

    page_size: int | None
    prefetch: int
    max_passes: int


@attrs.frozen(kw_only=True, repr=False, eq=False)
class PageOptions(CallOptions):
    """How the pages of a list are fetched.

    Attributes:
        page_size: Records a page, 1 to 10,000; None for 100, or for a token's own. The API documents no maximum; if the
            server caps the size, the walk follows. It is not the number of records you get: that is all of them.
        prefetch: Most pages in flight, 0 to 100, once the first page has told how many there are; 0 fetches each page
            when it is needed. Beside the page at hand, at most twice as many are in flight or in memory, so that one
            slow page does not idle the others; a slow consumer stops the fetching there.
        max_passes: Most passes over the list that `consistency="repair"` makes, 2 to 100.
    """

    page_size: int | None = attrs.field(default=None, validator=_count(least=1, most=MAX_PAGE_SIZE, optional=True))
    prefetch: int = attrs.field(default=4, validator=_count(least=0, most=100))
    max_passes: int = attrs.field(default=5, validator=_count(least=2, most=100))


class WalkOptionsDict(PageOptionsDict, total=False):
    """Keywords of `list_inbound` and `paginate`; see `WalkOptions`."""

    token: str | None
    ordered: bool
    consistency: Consistency


class ListingOptionsDict(TypedDict, total=False):
    """Keywords of `paginate`; see `ListingOptions`."""

    params: Mapping[str, str | int] | None
    key: str | None
    method: ListMethod
    json: Mapping[str, Any] | None
    safe: bool
    first_page: int
    page_name: str
    size_name: str


class PagerOptionsDict(ListingOptionsDict, WalkOptionsDict, total=False):
    """Keywords of `paginate`; see `ListingOptions` and `WalkOptions`."""


def _copy(value: Any) -> Any:
    return {} if value is None else {**cast("Mapping[str, Any]", value)} if isinstance(value, Mapping) else value


def _body(value: Any) -> Any:
    return json.loads(encode_json(_copy(value))) if isinstance(value, Mapping) else _copy(value)


@attrs.frozen(kw_only=True, repr=False, eq=False)
class ListingOptions:
    """How the API is asked for the pages of a list.

    Attributes:
        params: The query, apart from page and size.
        key: Wire name of the field that identifies a record. Without it, a record that comes again is not left out.
        method: `GET`, or `POST`: then page and size are in the JSON body, not in the query.
        json: The body of a `POST`, apart from page and size.
        safe: That a `POST` only reads, as the vendor's do that return lists. Without it a `POST` is refused: its pages
            are requested several at once, and again after a failure, like those of a `GET`.
        first_page: The number of the first page, at most 1,000,000. `Page.number` and errors always count from 0.
        page_name: The name of the page's number.
        size_name: The name of the page's size, such as `limit`.
    """

    params: Mapping[str, str | int] = attrs.field(default=None, converter=_copy, validator=_is_a_mapping)
    key: str | None = attrs.field(default=None, validator=_key)
    method: ListMethod = attrs.field(default="GET", validator=_method)
    json: Mapping[str, Any] = attrs.field(default=None, converter=_body, validator=_is_a_mapping)
    safe: bool = attrs.field(default=False, validator=_flag())
    first_page: int = attrs.field(default=0, validator=_count(least=0, most=MAX_PAGES))
    page_name: str = attrs.field(default="page", validator=_name)
    size_name: str = attrs.field(default="size", validator=_name)

    __repr__ = repr_of_fields

    def __attrs_post_init__(self) -> None:
        names = {self.page_name, self.size_name}
        if len(names) == 1:
            raise InvalidArgumentError(f"page_name and size_name must differ; {self.page_name!r} was given for both")
        for what, given in (("params", self.params), ("json", self.json)):
            if reserved := names & given.keys():
                advice = "the pager sets them; use page_size or token"
                raise InvalidArgumentError(f"{what} must not hold {sorted(reserved)}: {advice}")
        if self.method == "GET" and self.json:
            raise InvalidArgumentError('json is the body of a POST; pass method="POST", or the values in params')
        if self.method == "POST" and not self.safe:
            why = "pages are requested several at once, and again after a failure"
            raise InvalidArgumentError(f"safe=True is needed for a POST, to say that it only reads: {why}")


@attrs.frozen(kw_only=True, repr=False, eq=False)
class WalkOptions(PageOptions):
    """How a list is walked.

    Attributes:
        token: Continue where `pager.token` or `error.resume_token` stood.
        ordered: False yields pages as they arrive.
        consistency: What to do about a list that changes during the walk.

    Offset pagination shifts records when others before them are added or removed. Every mode yields a record once. Then

    - `detect`: if the list does not change, all records are yielded. If it does, some may be missing; `pager.drift`
      reports what was noticed (totals that changed, records that came again). A record that is removed and one that is
      added between two requests leave no trace, so nothing noticed is no proof.
    - `raise`: as `detect`, but `PageDriftError` as soon as something is noticed. Its token continues all the same.
    - `repair`: the list is gathered first, in at least two passes, until a pass brings exactly as many records as the
      list had when that pass began, all of them known before. These are yielded, by id, as they were seen last: the
      list at that moment. If the list did not hold still for one of `max_passes` passes, all that were seen are
      yielded, and `pager.drift.settled` is False. It takes twice the requests, and memory for the whole list. It
      relies on the API never giving an id twice.

    Offset pagination cannot guarantee records that were added or removed during the walk, nor that all records it shows
    existed at one moment, unless that was proven.
    """

    token: str | None = None
    ordered: bool = attrs.field(default=True, validator=_flag())
    consistency: Consistency = attrs.field(default="detect", validator=_consistency)


class BulkOptionsDict(CallOptionsDict, total=False):
    """Keywords of `get_many_inbound` and `update_many_inbound`; see `BulkOptions`."""

    concurrency: int
    ordered: bool
    stop_on_error: bool


@attrs.frozen(kw_only=True, repr=False, eq=False)
class BulkOptions(CallOptions):
    """How many calls are made at once.

    Attributes:
        concurrency: Most calls in flight, or done and not yielded yet; 1 to 1,000.
        ordered: True yields the outcomes in the order of the arguments, False as they complete.
        stop_on_error: Raise the first failure and start no more calls; a wrong key or a missing scope always does.
    """

    concurrency: int = attrs.field(default=DEFAULT_CONCURRENCY, validator=_count(least=1, most=_MAX_CONCURRENCY))
    ordered: bool = attrs.field(default=False, validator=_flag())
    stop_on_error: bool = attrs.field(default=False, validator=_flag())


class CopyOptionsDict(CallOptionsDict, total=False):
    """Keywords of `AlohubClient.with_options`; see `ClientOptions`."""

    timeouts: Timeouts | None
    retry: RetryPolicy | None
    strict: bool
    max_response_bytes: int | None


class AnyLoopOptionsDict(CopyOptionsDict, total=False):
    """Keywords of what makes clients in an event loop of its own; see `ClientOptions`."""

    endpoint: Endpoint | str | None
    proxy: str | URL | Secret[URL] | None
    trust_env: bool
    ssl: SSLContext | str | os.PathLike[str] | None
    max_connections: int
    user_agent: str | None
    on_event: Listener | Sequence[Listener] | None


class PoolOptionsDict(AnyLoopOptionsDict, total=False):
    """Keywords of `AlohubPool`; see `ClientOptions`."""

    session: Session | None


class ClientOptionsDict(PoolOptionsDict, total=False):
    """Keywords of `AlohubClient` and `AlohubClient.from_env`; see `ClientOptions`."""

    tenant_id: str | None
    tenant_name: str | None
    rate_limiter: RateLimiter | None


def _endpoint(value: Endpoint | str | None) -> Endpoint:
    return Endpoint.production() if value is None else Endpoint(value) if isinstance(value, str) else value


def _timeouts(value: Timeouts | None) -> Timeouts:
    return Timeouts() if value is None else value


def _retry(value: RetryPolicy | None) -> RetryPolicy:
    return RetryPolicy() if value is None else value


def _rate_limiter(value: RateLimiter | None) -> RateLimiter:
    return RateLimiter() if value is None else value


def _user_agent(value: str | None) -> str:
    return USER_AGENT if value is None else value


@attrs.frozen(kw_only=True, repr=False, eq=False)
class ClientOptions(CallOptions):
    """What a client is made of, besides its key. The options of calls are the defaults of the client's calls.

    By default, calls have no deadline, the rate limiter's `max_wait` bounds their waits, and they are `normal`.

    Attributes:
        timeouts: Seconds for each attempt; None for the defaults of `Timeouts`.
        retry: When a failed attempt is repeated; None for the defaults of `RetryPolicy`.
        strict: Raise `APIResponseError` for a value not of its documented type, instead of keeping it in `extra`.
        max_response_bytes: The most bytes of one response, decompressed; None for no limit. A longer one raises
            `APIResponseError` and is not tried again. Its records may take some 20 times as much memory.
        tenant_id: Sent as `X-Tenant-ID` if given; the gateway can add it by itself. `Endpoint.direct` leaves it out.
        tenant_name: The tenant's name in events, the log and spans; clients of an `AlohubPool` have that of the tenant.
        endpoint: Where the API is; a string stands for `Endpoint(string)`, None for `Endpoint.production()`.
        rate_limiter: Share one between all clients of a tenant in this process; None makes one for this client.
        session: An `aiohttp.ClientSession` to use, with its proxies and certificates; never closed. None makes one.
        proxy: URL of an HTTP proxy, with its user and password if it needs them. It never gets the key: `https` goes
            through it as a tunnel, and `http` is refused.
        trust_env: Take the proxy from `HTTPS_PROXY` (or `ALL_PROXY`) and `NO_PROXY`, and certificates from
            `SSL_CERT_FILE` and `SSL_CERT_DIR`, unless given here. They are read once, now.
        ssl: An `ssl.SSLContext`, or the path of a PEM file with the only authorities to trust; None trusts those that
            Python trusts.
        max_connections: Most requests in flight, 1 or more.
        user_agent: Sent as `User-Agent`; None for the SDK's own.
        on_event: Called with each event of the client's calls; one callable, or several. See `alohub_async.events`.

    Raises:
        ConfigurationError: A value that the client cannot work with.
        InvalidArgumentError: An option of calls that is out of range, or an unknown name.
    """

    timeouts: Timeouts = attrs.field(default=None, converter=_timeouts, validator=_is_a(kind=Timeouts))
    retry: RetryPolicy = attrs.field(default=None, converter=_retry, validator=_is_a(kind=RetryPolicy))
    strict: bool = attrs.field(default=False, validator=_flag(error=ConfigurationError))
    max_response_bytes: int | None = attrs.field(default=_64_MIB, validator=attrs.validators.optional(_positive))
    tenant_id: str | None = attrs.field(default=None, validator=attrs.validators.optional(_header_value))
    tenant_name: str | None = attrs.field(default=None, validator=attrs.validators.optional(_is_a(kind=str)))
    endpoint: Endpoint = attrs.field(default=None, converter=_endpoint, validator=_is_a(kind=Endpoint))
    rate_limiter: RateLimiter = attrs.field(default=None, converter=_rate_limiter, validator=_is_a(kind=RateLimiter))
    session: Session | None = attrs.field(default=None, validator=attrs.validators.optional(_is_a(kind=Session)))
    proxy: Secret[URL] | None = attrs.field(default=None, converter=read_proxy)
    trust_env: bool = attrs.field(default=False, validator=_flag(error=ConfigurationError))
    ssl: SSLContext | None = attrs.field(default=None, converter=read_ssl)
    max_connections: int = attrs.field(default=100, validator=_positive)
    user_agent: str = attrs.field(default=None, converter=_user_agent, validator=_header_value)
    on_event: tuple[Listener, ...] = attrs.field(default=None, converter=read_listeners)

    def __attrs_post_init__(self) -> None:
        its_own = self.session is not None and not is_ours(self.session)
        if its_own and (self.proxy or self.trust_env or self.ssl):
            raise ConfigurationError("a session has its own proxies and certificates: leave out proxy, trust_env, ssl")


class _Rest(float):
    """The seconds that are left of a deadline."""

    whole: float  # the deadline as it was given


def whole_deadline(seconds: float | None) -> str:
    """A deadline for a message, as it was given, even if only a rest of it was left."""
    return f"{getattr(seconds, 'whole', seconds) or 0.0:.2f} s"


class Deadline:
    """A time limit that several calls share, counted from the first of them."""

    def __init__(self, options: CallOptions, *, what: str) -> None:
        self._options = options  # of all the calls together; if their deadline is `UNSET`, each call has the client's
        self._what = what  # the calls do, for the error
        self._ends: float | None = None  # in the loop's seconds

    async def sleep(self, seconds: float) -> None:
        """Wait between two calls; raise at once if the time will be over by then."""
        left = self.next_call().deadline
        if left and seconds >= left:
            raise self._exceeded()
        await asyncio.sleep(seconds)

    def next_call(self) -> CallOptions:
        """The options of the next call: the time that is left, if any, is its deadline."""
        seconds = self._options.deadline
        if not seconds:
            return self._options
        now = asyncio.get_running_loop().time()
        self._ends = now + seconds if self._ends is None else self._ends
        if self._ends <= now:
            raise self._exceeded()
        left = _Rest(self._ends - now)
        left.whole = getattr(seconds, "whole", seconds)
        return attrs.evolve(self._options, deadline=left)

    def _exceeded(self) -> DeadlineExceededError:
        whole = whole_deadline(self._options.deadline or None)
        return DeadlineExceededError(f"{self._what}: not done within its deadline of {whole}", maybe_sent=False)
