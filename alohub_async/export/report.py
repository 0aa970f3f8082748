"""What an export tells: while it runs, and when it is done."""

import attrs

from alohub_async.pagination import Consistency


@attrs.frozen(kw_only=True)
class ExportProgress:
    """How far an export has come.

    Attributes:
        number: Of the pass over the list, from 1.
        written: Queues of this pass that are safe in the journal.
        total: Queues in the whole list, as last told; None if the server does not tell.
        seconds: Since the export was begun, those of earlier runs included.
        rate: Queues a second in this run, over all passes.
        free: Requests of the tenant's budget that may go now; None if it is not known or unlimited.
        limit: That budget; None likewise.
        waiting: Whether requests wait for the rate limit.
    """

    number: int
    written: int
    total: int | None
    seconds: float
    rate: float
    free: int | None
    limit: int | None
    waiting: bool


@attrs.frozen(kw_only=True)
class ExportReport:
    """What came of an export; also beside the file, as `….report.json`.

    Requests, 429s and waits are those of the client's rate limiter while the export ran, in all its runs; so they are
    the export's own if nobody else used the limiter meanwhile.

    Attributes:
        path: The file.
        complete: Whether all queues are in it: proven with `consistency="repair"`, as far as can be told with `detect`.
        reason: Why it is complete, or why it is not known to be.
        expected: Queues in the list as the server last told; None if it does not tell.
        written: Queues in the file.
        duplicates: Queues that came again within a pass and were left out.
        gone: Queues that were listed and gone when their details were asked for.
        totals: The totals that pages told, in order, without repetition; more than one means that the list moved.
        passes: Walks over the list.
        consistency: As asked.
        requests: Transmissions.
        denied: 429s among them.
        waited: Seconds that requests waited for the rate limit, in all.
        seconds: The export took, without the time between its runs.
        resumed: How often it was begun again after it was cut off.
        size: Of the file, in bytes.
        sha256: Of the file, in hexadecimal.
    """

    path: str
    complete: bool
    reason: str
    expected: int | None
    written: int
    duplicates: int
    gone: int
    totals: tuple[int, ...]
    passes: int
    consistency: Consistency
    requests: int
    denied: int
    waited: float
    seconds: float
    resumed: int
    size: int
    sha256: str
