"""Where a pager gets its pages from."""

from typing import TypeAlias, TypeVar

from alohub_async.pagination.repair import RepairingSource
from alohub_async.pagination.walking import WalkingSource

T = TypeVar("T")

PageSource: TypeAlias = WalkingSource[T] | RepairingSource[T]
"""Delivers the pages of one list to a pager, which calls `next` and `look` one at a time.

An error or a cancellation does not change the position: the next call tries the same page again.
"""
