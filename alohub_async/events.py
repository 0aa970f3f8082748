"""What happens in a client, as values: for the listeners of `AlohubClient(on_event=…)`, and for the log.

A listener is called in the task of the call, so it sees the caller's context variables. It must return quickly. If it
raises, the call goes on, and its first error is logged. Several are called in order, and in reverse when an attempt or
a call finishes. No event holds a key, a body or the name of a record.

The logger `alohub_async` has attempts and calls at DEBUG, retries at INFO, and at WARNING long waits for the rate limit
and lists that move. Each record has the fields of its event as attributes, such as `alohub_route`, for JSON formatters.
"""

import logging
from typing import Literal

import attrs

from alohub_async.emitter import Event
from alohub_async.routes import Route
from alohub_async.secret import redacted


def without_values(url: str) -> str:
    """A URL, or a path, without keys and the values of its query but `page` and `size`."""
    (url, _, query), shown = url.partition("?"), list[str]()
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        kept = name in {"page", "size"} and value.isdigit()
        shown.append(pair if kept else f"{redacted(name)}=REDACTED")
    return f"{redacted(url)}?{'&'.join(shown)}" if shown else redacted(url)


def _list_alone(listed: str) -> str:
    """Method, path and names in the query of a list, without the hash that tells apart what the body asks for."""
    return without_values(" ".join(listed.split(" ")[:2]))


class CallEvent(Event):
    """Something that happened in a call, which sends one request, in one or several attempts."""

    call: int  # a number that all events of the call have, and no other call of this process
    operation: str  # such as `get_inbound`; for others than the SDK's, made from method and path
    route: Route
    url: str  # without the values of its query but `page` and `size`
    tenant: str | None  # its name, as given to the client or its pool
    tenant_id: str | None  # as given to the client


class CallStarted(CallEvent):
    """A call begins."""


class AttemptStarted(CallEvent):
    """A request is sent."""

    resend_count: int  # attempts before this one


class BudgetSeen(CallEvent):
    """An answer reports a budget of the rate limit, in requests per window."""

    scope: Literal["tenant", "route"]
    limit: int
    remaining: int


class RateLimited(CallEvent):
    """The server refused an attempt with status 429."""

    retry_after: float | None  # seconds that it asks to wait


class AttemptFinished(CallEvent, level=logging.DEBUG, says="attempt finished", ends=True):
    """An attempt was answered, or failed."""

    resend_count: int  # attempts before this one
    seconds: float  # from sending the request to the end of its answer
    status: int | None  # of HTTP; None without a complete answer
    error: str | None  # name of the exception, if it failed


class RetryScheduled(CallEvent, level=logging.INFO, says="retrying"):
    """A call will be tried again; the wait begins now, and the rate limit may lengthen it."""

    seconds: float  # to wait
    reason: str  # name of the exception that the last attempt failed with
    attempts: int  # so far


class RateLimitWaited(CallEvent, level=logging.DEBUG, says="waited for the rate limit"):
    """A request waited for the rate limit, for a millisecond or more."""

    seconds: float


class CallFinished(CallEvent, level=logging.DEBUG, says="call finished", ends=True):
    """A call has a result, failed, or was cancelled. The parts of its time add up to the whole."""

    attempts: int  # requests sent
    seconds: float  # in all
    rate_limit_wait: float  # seconds
    connection_wait: float  # seconds that it waited for one of `max_connections`
    backoff: float  # seconds between attempts, apart from the rate limit's
    wire: float  # seconds of its attempts
    other: float  # seconds for the provider of the key, and for decoding
    error: str | None  # name of the exception, if it failed


class DriftNoticed(Event, level=logging.WARNING, says="records may be missing"):
    """A walk has ended, and records may be missing."""

    listed: str = attrs.field(converter=_list_alone)  # method, path and names in the query
    tenant: str | None
    tenant_id: str | None
    what: str  # was noticed


class LimitReached(Event, level=logging.WARNING, says="the rate limit is used up"):
    """Requests wait for the rate limit, and none may go for some seconds. It may come from a timer."""

    waiting: int
    seconds: float  # until the next one goes
    tenant: str | None = None  # as in `CallEvent`
    tenant_id: str | None = None


class SharedStoreLost(Event, level=logging.WARNING, says="the store of the shared rate limit does not answer"):
    """The store of a shared rate limit does not answer."""

    error: str  # what it did
    share: float  # of the budget, with which this process goes on; 0 if its requests fail
    tenant: str | None = None  # as in `CallEvent`
    tenant_id: str | None = None


class SharedStoreRegained(Event, level=logging.INFO, says="the store of the shared rate limit answers again"):
    """The store of a shared rate limit answers again."""

    seconds: float  # without it
    tenant: str | None = None  # as in `CallEvent`
    tenant_id: str | None = None
