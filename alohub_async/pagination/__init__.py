"""Walking a list page by page: prefetching, resuming, and knowing whether the whole list came.

`Passes`, `PassesState` and `KeySet` are internal, but shared: an export proves its list whole with the same engine. The
module `repair` is imported only where a walk repairs: most do not.
"""

from alohub_async.pagination.page import (
    MAX_PAGE_SIZE,
    Consistency,
    Drift,
    Estimate,
    FetchedPage,
    Forecast,
    Page,
    StopReason,
)
from alohub_async.pagination.pager import Pager
from alohub_async.pagination.passes import Passes, PassesState
from alohub_async.pagination.seen_keys import KeySet
from alohub_async.pagination.source import PageSource
from alohub_async.pagination.token import PageToken
from alohub_async.pagination.walking import WalkingSource

__all__ = [
    "MAX_PAGE_SIZE",
    "Consistency",
    "Drift",
    "Estimate",
    "FetchedPage",
    "Forecast",
    "KeySet",
    "Page",
    "PageSource",
    "PageToken",
    "Pager",
    "Passes",
    "PassesState",
    "StopReason",
    "WalkingSource",
]
