"""Async client for the Alohub cloud call centre API.

async with AlohubClient("sk_live_…", tenant_id="20260310") as client:
    async for queue in client.queues.list_inbound():
        print(queue.id, queue.name)
"""

from typing import TYPE_CHECKING

from alohub_async._lazy import lazy_names
from alohub_async._version import __version__

if TYPE_CHECKING:
    from alohub_async.client import AlohubClient
    from alohub_async.config import ApiKey, Endpoint, Environment, KeyHeader
    from alohub_async.errors import (
        AlohubError,
        APIConnectionError,
        APIResponseError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ClientClosedError,
        ConfigurationError,
        ConflictError,
        DeadlineExceededError,
        FileError,
        InternalServerError,
        InvalidArgumentError,
        InvalidArgumentTypeError,
        NotFoundError,
        PageDriftError,
        PermissionDeniedError,
        RateLimitError,
        RateLimitWaitError,
        RequestFailedError,
    )
    from alohub_async.http.responses import ApiResponse
    from alohub_async.http.retries import RetryPolicy
    from alohub_async.http.timeouts import Timeouts
    from alohub_async.models import InboundQueue, InboundQueueUpdate, QueueStrategy, UpdateResult
    from alohub_async.pagination import Consistency, Drift, Estimate, Page, Pager, StopReason
    from alohub_async.rate_limits import RateLimiter, RateLimitHeaders, RateLimitStatus, ScopeStatus
    from alohub_async.rate_limits.priorities import Priority
    from alohub_async.resources import Edit, Outcome, Outcomes, Queues
    from alohub_async.routes import Route
    from alohub_async.unset import UNSET, UnsetType

__all__ = [
    "UNSET",
    "APIConnectionError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AlohubClient",
    "AlohubError",
    "ApiKey",
    "ApiResponse",
    "AuthenticationError",
    "BadRequestError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "Consistency",
    "DeadlineExceededError",
    "Drift",
    "Edit",
    "Endpoint",
    "Environment",
    "Estimate",
    "FileError",
    "InboundQueue",
    "InboundQueueUpdate",
    "InternalServerError",
    "InvalidArgumentError",
    "InvalidArgumentTypeError",
    "KeyHeader",
    "NotFoundError",
    "Outcome",
    "Outcomes",
    "Page",
    "PageDriftError",
    "Pager",
    "PermissionDeniedError",
    "Priority",
    "QueueStrategy",
    "Queues",
    "RateLimitError",
    "RateLimitHeaders",
    "RateLimitStatus",
    "RateLimitWaitError",
    "RateLimiter",
    "RequestFailedError",
    "RetryPolicy",
    "Route",
    "ScopeStatus",
    "StopReason",
    "Timeouts",
    "UnsetType",
    "UpdateResult",
    "__version__",
]

if not TYPE_CHECKING:  # type checkers take the imports above, and flag names that are not there
    __getattr__ = lazy_names(
        __name__,
        {
            "client": ("AlohubClient",),
            "config": ("ApiKey", "Endpoint", "Environment", "KeyHeader"),
            "http.timeouts": ("Timeouts",),
            "http.retries": ("RetryPolicy",),
            "http.responses": ("ApiResponse",),
            "rate_limits.priorities": ("Priority",),
            "unset": ("UNSET", "UnsetType"),
            "errors": (
                "AlohubError",
                "APIConnectionError",
                "APIResponseError",
                "APIStatusError",
                "APITimeoutError",
                "AuthenticationError",
                "BadRequestError",
                "ClientClosedError",
                "ConfigurationError",
                "ConflictError",
                "DeadlineExceededError",
                "FileError",
                "InternalServerError",
                "InvalidArgumentError",
                "InvalidArgumentTypeError",
                "NotFoundError",
                "PageDriftError",
                "PermissionDeniedError",
                "RateLimitError",
                "RateLimitWaitError",
                "RequestFailedError",
            ),
            "models": ("InboundQueue", "InboundQueueUpdate", "QueueStrategy", "UpdateResult"),
            "pagination": ("Consistency", "Drift", "Estimate", "Page", "Pager", "StopReason"),
            "rate_limits": ("RateLimiter", "RateLimitHeaders", "RateLimitStatus", "ScopeStatus"),
            "resources": ("Edit", "Outcome", "Outcomes", "Queues"),
            "routes": ("Route",),
        },
    )


def __dir__() -> list[str]:
    return sorted(__all__)
