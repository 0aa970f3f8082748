"""The rate limit: what the server reports (`headers`), what may go when (`bucket`), which goes next (`scheduler`)."""

from alohub_async.rate_limits.headers import RateLimitHeaders
from alohub_async.rate_limits.limiter import Permit, RateLimiter
from alohub_async.rate_limits.status import RateLimitStatus, ScopeStatus

__all__ = ["Permit", "RateLimitHeaders", "RateLimitStatus", "RateLimiter", "ScopeStatus"]
