"""`audit_inbound`: gets the list and the details of every queue, then runs the rules."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias, Unpack

import attrs

from alohub_async.audit.builtin import DEFAULT_RULES, OF_AGENTS
from alohub_async.audit.config import check_needs, configure, read_config
from alohub_async.audit.report import AuditReport, make_report
from alohub_async.audit.rules import AuditedList, AuditedQueue, Rule
from alohub_async.client import AlohubClient
from alohub_async.errors import AlohubError, NotFoundError, PermissionDeniedError
from alohub_async.models import InboundQueue
from alohub_async.options import DEFAULT_CONCURRENCY, BulkOptions, CallOptions, PageOptionsDict
from alohub_async.pagination import Consistency
from alohub_async.resources.bulk import COMMON_ERRORS
from alohub_async.resources.paging import LookUp
from alohub_async.validation import check_flag

_AGENTS: Final = "/v1/agents"


@attrs.frozen(kw_only=True)
class AuditProgress:
    """How far an audit has come.

    Attributes:
        done: Queues whose details came or failed; without details, queues that were listed.
        total: Queues in the whole list, as reported last; None if the server does not say.
        seconds: Time since the audit was started.
        rate: Queues per second.
        free: Requests that the tenant's rate limit allows now; None if that is not known, or there is no limit.
        limit: The tenant's rate limit, in requests per window; None likewise.
        waiting: Whether requests wait for the rate limit.
    """

    done: int
    total: int | None
    seconds: float
    rate: float
    free: int | None
    limit: int | None
    waiting: bool


OnProgress: TypeAlias = Callable[[AuditProgress], object]
"""Is called with the progress of an audit."""


class _Collected:
    """The details of queues, each looked up once, and the progress."""

    def __init__(self, client: AlohubClient, on_progress: OnProgress | None, *, details: bool, agents: bool) -> None:
        self._details, self._agents = details, agents  # whether they are wanted
        self.found: dict[int | None, InboundQueue | AlohubError | None] = {}  # by id
        self.agents: dict[int | None, int | None] = {}  # active ones, by id
        self.agents_errors: list[AlohubError] = []
        self.total: Callable[[], int | None] = lambda: None  # as the list's pages report it
        self._client = client
        self._on_progress = on_progress
        self._now = asyncio.get_running_loop().time
        self._started = self._now()

    def looking_up(self, look_up: LookUp[InboundQueue]) -> LookUp[InboundQueue]:
        """Look up a queue once; what concerns it alone is no error of the walk."""
        found = self.found

        async def collect(queue_id: int, options: CallOptions) -> tuple[None, int]:
            if self._agents and queue_id not in self.agents:
                self.agents[queue_id] = await self._count_agents(queue_id, options)
            if self._details and queue_id not in found:
                try:
                    found[queue_id], _ = await look_up(queue_id, options)
                except COMMON_ERRORS:
                    raise
                except AlohubError as error:
                    found[queue_id] = error
                self.report(len(found))
            return None, 0

        return collect

    async def _count_agents(self, queue_id: int, options: CallOptions) -> int | None:
        """The number of a queue's active agents; what concerns agents alone is no error of the walk."""
        if any(isinstance(error, PermissionDeniedError) for error in self.agents_errors[:1]):
            return None
        active = {"queue_id": queue_id, "status": 1}
        try:
            return await self._client.paginate(_AGENTS, params=active, page_size=1, **options.keywords()).count()
        except PermissionDeniedError as error:
            self.agents_errors.insert(0, error)
        except COMMON_ERRORS:
            raise
        except AlohubError as error:
            self.agents_errors.append(error)
        return None

    def report(self, done: int) -> None:
        """Report the progress."""
        if self._on_progress is None:
            return
        tenant, seconds = self._client.tenant_rate_limit, self._now() - self._started
        now = AuditProgress(
            done=done,
            total=self.total(),
            seconds=seconds,
            rate=done / seconds if seconds else 0.0,
            free=tenant.free,
            limit=tenant.limit,
            waiting=tenant.waiting > 0,
        )
        self._on_progress(now)


async def audit_inbound(
    client: AlohubClient,
    *,
    rules: Iterable[Rule] = DEFAULT_RULES,
    config: Mapping[str, object] | str | Path | None = None,
    details: bool = True,
    agents: bool = False,
    consistency: Consistency = "detect",
    concurrency: int = DEFAULT_CONCURRENCY,
    on_progress: OnProgress | None = None,
    **options: Unpack[PageOptionsDict],
) -> AuditReport:
    """Audit all inbound queues: get the list and the details of each queue, and run rules on them.

    Details are requested while the list is walked. If some of them fail, each failure is a finding; if all fail, the
    first error is raised. With a strict client, a value that does not fit its documented type is an error instead.

    Args:
        client: The client to use; its rate limiter applies.
        rules: The rules to run.
        config: The settings of the rules: a table for `configure`, or the path of a TOML file for `read_config`.
        details: Whether to request the details of each queue; without them, an audit needs far fewer requests.
        agents: Whether to count the active agents of each queue, one request for each. It needs the scope `agent`.
        consistency: How to treat a list that changes during the walk; see `list_inbound`.
        concurrency: Maximum number of requests for details at the same time, 1 to 1,000.
        on_progress: Called at the beginning, and after each queue.
        options: See `PageOptions`. A deadline covers the whole audit.

    Raises:
        ConfigurationError: The settings are not valid, or an optional package that a rule needs is missing.
        InvalidArgumentError: Another argument is not valid.
        AlohubError: The list, or the details of every queue, could not be retrieved.
    """
    check_flag("details", details)
    check_flag("agents", agents)
    settings = {} if config is None else read_config(Path(config)) if isinstance(config, str | Path) else config
    enabled = configure(rules, settings)
    enabled = tuple(rule for rule in enabled if agents or rule.id not in OF_AGENTS)
    check_needs(enabled)
    started, collected = datetime.now(UTC), _Collected(client, on_progress, details=details, agents=agents)
    pager = client.queues.inbound.list(
        details=collected.looking_up if details or agents else False,
        at_once=BulkOptions(concurrency=concurrency).concurrency,
        consistency=consistency,
        **options,
    )
    collected.total = lambda: pager.total
    collected.report(0)
    queues: list[AuditedQueue] = []
    async for page in pager.pages():
        for queue in page.items:
            found = collected.found.get(queue.id)
            detail, error = (None, found) if isinstance(found, AlohubError) else (found, None)
            queues.append(AuditedQueue(queue, detail, error, collected.agents.get(queue.id)))
            if not details:
                collected.report(len(queues))
    found_errors = [found for found in collected.found.values() if isinstance(found, AlohubError)]
    errors = [error for error in found_errors if not isinstance(error, NotFoundError)]
    if errors and len(errors) == len(collected.found):
        raise errors[0]
    audited = AuditedList(
        queues=tuple(queues),
        complete=pager.complete,
        total=pager.total,
        drift=pager.drift,
        details=details,
        agents_errors=tuple(collected.agents_errors),
    )
    address = str(client.endpoint.base_url)
    return make_report(audited, enabled, started=started, tenant_id=client.tenant_id, address=address)
