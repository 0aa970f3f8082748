"""Walking lists page by page, ahead of who wants the records, and knowing whether all of them came."""

from alohub_async.pagination.page import MAX_PAGE_SIZE, Consistency, Drift, Estimate, FetchedPage, Page, StopReason
from alohub_async.pagination.pager import Forecast, Pager
from alohub_async.pagination.token import PageToken

__all__ = [
    "MAX_PAGE_SIZE",
    "Consistency",
    "Drift",
    "Estimate",
    "FetchedPage",
    "Forecast",
    "Page",
    "PageToken",
    "Pager",
    "StopReason",
]
