"""Walking a list page by page: prefetching, resuming, and knowing whether the whole list came.

`Passes`, `PassesState` and `KeySet` are internal, but shared: an export proves its list whole with the same engine.
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
from alohub_async.pagination.repair import RepairingSource
from alohub_async.pagination.seen_keys import KeySet
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
    "PageToken",
    "Pager",
    "Passes",
    "PassesState",
    "RepairingSource",
    "StopReason",
    "WalkingSource",
]
