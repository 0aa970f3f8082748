"""What an export reports: while it runs, and when it is done."""

from typing import Any

import attrs

from alohub_async.pagination import Consistency


@attrs.frozen(kw_only=True)
class ExportProgress:
    """How far an export has come.

    Attributes:
        number: Number of the pass over the list, from 1.
        written: Records of this pass that are safe in the journal.
        total: Records in the whole list, as reported last; None if the server does not say.
        seconds: Time since the export was started, earlier runs included, without the time between runs.
        rate: Records per second in this run, over all passes.
        free: Requests that the tenant's rate limit allows now; None if that is not known, or there is no limit.
        limit: The tenant's rate limit, in requests per window; None likewise.
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
    """The result of an export; also written beside the file, as `_….report.json`.

    Requests, 429s and waits are those of the client's rate limiter during all runs, other users of it included.

    Attributes:
        path: The file.
        tenant_id: The tenant, as given to the client; None if the key alone says it.
        address: The base URL of the API.
        finished: When the file was written, as ISO 8601 in UTC.
        sdk_version: The version of this package.
        details: The option as given.
        excel: The option as given.
        complete: Whether all records are in it: proven with `consistency="repair"`, as far as is known with `detect`.
        reason: Why it is complete, or why it is not known to be.
        expected: Records in the list as the server reported last; None if it does not say.
        written: Records in the file.
        duplicates: Records that came again within a pass and were left out.
        gone: Records that were listed but did not exist any more when their details were requested.
        totals: The totals that pages reported, in order, without repetition; more than one means that the list moved.
        passes: Passes over the list.
        consistency: The option as given.
        requests: Requests sent, retries included.
        denied: How many of them were answered with 429.
        waited: Seconds during which requests waited for the rate limit; waits at the same time count once.
        seconds: Duration of the export, in seconds, without the time between its runs.
        resumed: How often it was resumed.
        size: Size of the file in bytes.
        sha256: SHA-256 of the file, in hexadecimal.
    """

    path: str
    tenant_id: str | None
    address: str
    finished: str
    sdk_version: str
    details: bool
    excel: bool
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

    def as_record(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {**attrs.asdict(self), "totals": [*self.totals]}
