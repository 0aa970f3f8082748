"""Parts of a token: runs of pages."""

from alohub_async.pagination.token import as_runs


def test_pages_are_stored_as_runs() -> None:
    """The first and the last of each, so that a token stays short."""
    assert as_runs(set()) == ()
    assert as_runs({7}) == (7, 7)
    assert as_runs({6, 4, 9, 5, 11, 12}) == (4, 6, 9, 9, 11, 12)
