"""When passes over a list have proven it whole: the rule, see `repair.py` for why it holds."""


def settle(
    *, different: int, first_total: int | None, all_known: bool, agreed: bool, passes: int, max_passes: int
) -> bool | None:
    """Whether the list is proven whole; None if another pass may prove it.

    Args:
        different: Ids that the pass at hand brought, each counted once.
        first_total: The total its first page told; None if it told none.
        all_known: Whether all of them were known before the pass began.
        agreed: Whether it brought the same ids as the pass before, and nothing was seen to move in either.
        passes: Passes so far, with this one.
        max_passes: Most there may be.
    """
    if agreed or (all_known and different == first_total):
        return True
    return False if passes >= max_passes else None
