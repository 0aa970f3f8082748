"""Walking a list page by page: prefetching, resuming, and knowing whether the whole list came.

`Passes`, `PassesState` and `KeySet` are internal, but shared: an export proves its list whole with the same engine.
"""

from alohub_async._lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__)
