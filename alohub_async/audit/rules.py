"""Rules: functions that check the audited queues, each with a severity and a docstring."""

import enum
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Concatenate, Final, ParamSpec

import attrs

from alohub_async.errors import AlohubError, NotFoundError
from alohub_async.models import InboundQueue, wire_names
from alohub_async.pagination import Drift
from alohub_async.plurals import counted

P = ParamSpec("P")

_logger: Final = logging.getLogger(__name__)
_MAX_ERROR: Final = 200  # characters

WIRE_NAMES: Final[Mapping[str, str]] = wire_names(InboundQueue)
"""Wire names of the documented fields of a queue, by attribute."""


class Severity(enum.IntEnum):
    """The severity of a finding. Severities can be compared."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    @property
    def label(self) -> str:
        """The name in settings and reports, such as `"warning"`."""
        return self.name.lower()


@attrs.frozen
class Finding:
    """A finding of a rule.

    Attributes:
        message: A short description of the problem.
        queue_id: The id of the queue; None if it has no id, or if the finding concerns the whole list.
        queue_name: The name of the queue; None as for `queue_id`.
        field: The attribute concerned, such as `"max_wait"`; None if there is no single one.
        rule: The id of the rule, set by the audit.
        severity: The configured severity, set by the audit.
    """

    message: str
    queue_id: int | None = None
    queue_name: str | None = None
    field: str | None = attrs.field(default=None, kw_only=True)
    rule: str = attrs.field(default="", kw_only=True)
    severity: Severity = attrs.field(default=Severity.WARNING, kw_only=True)


@attrs.frozen
class AuditedQueue:
    """A queue as returned by the list (`listed`) and by `get_inbound` (`detail`, or the `error` if it failed).

    If the details were not requested, both are None. `agents` is the number of its active agents, if that is known.
    `queue` is the record that rules check: the detail if there is one, else the record in the list.
    """

    listed: InboundQueue
    detail: InboundQueue | None = None
    error: AlohubError | None = None
    agents: int | None = None
    queue: InboundQueue = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "queue", self.detail or self.listed)

    @property
    def gone(self) -> bool:
        """Whether the list has the queue, but `get_inbound` did not find it."""
        return isinstance(self.error, NotFoundError)

    def lacks(self, field: str) -> bool:
        """Whether the API sent no value or a blank one. A value that does not fit its type counts as a value."""
        value = getattr(self.queue, field)
        if value is None:
            return WIRE_NAMES[field] not in self.queue.extra
        return isinstance(value, str) and not value.strip()

    def finding(self, message: str, *, field: str | None = None) -> Finding:
        """A finding about this queue."""
        return Finding(message, self.queue.id, self.queue.name, field=field)


@attrs.frozen(kw_only=True)
class AuditedList:
    """The audited queues, and the state of the walk over the list.

    Attributes:
        queues: The queues, in the order of the list.
        complete: Whether the list is complete as far as is known; see `Pager.complete`.
        total: The number of queues that the server reported last; None if it reported none.
        drift: The changes of the list that the walk noticed.
        details: Whether details were requested.
        agents_errors: Why active agents could not be counted: the first error for a scope that is missing, or one for
            each queue.
    """

    queues: tuple[AuditedQueue, ...]
    complete: bool = True
    total: int | None = None
    drift: Drift = attrs.field(factory=Drift)
    details: bool = True
    agents_errors: tuple[AlohubError, ...] = ()


@attrs.frozen
class Rule:
    """A rule, made with `@rule` or `@list_rule`.

    Attributes:
        id: The name of the function, with hyphens.
        severity: The severity of its findings.
        doc: The docstring of the function.
        options: The options by name: the keyword arguments of the function.
        needs: The module of an optional package that the rule imports; None if there is none.
        each: Whether the function checks one queue; else it checks the whole list.
    """

    id: str
    severity: Severity
    doc: str
    options: Mapping[str, object] = attrs.field(hash=False)
    needs: str | None
    each: bool
    _find: Callable[..., Iterable[Finding]] = attrs.field(repr=False)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.partition("\n")[0].removesuffix(".")

    def check(self, audited: AuditedList) -> Iterator[Finding]:
        """Run the rule; yields its findings, and an error if it raised for a queue, or for the list."""
        failures: list[tuple[AuditedQueue | AuditedList, str]] = []
        for part in audited.queues if self.each else (audited,):
            try:
                for found in self._find(part, **self.options):
                    yield self._finding(found, self.severity)
            except Exception as error:
                if not failures:
                    _logger.warning("the audit rule %s raised %s", self.id, type(error).__name__, exc_info=True)
                failures.append((part, f"{type(error).__name__}: {error}"[:_MAX_ERROR]))
        if failures:
            part, text = failures[0]
            failed = Finding(f"the rule failed: {text}")
            if isinstance(part, AuditedQueue):
                others = f", and for {counted(len(failures) - 1, 'other queue')}" if len(failures) > 1 else ""
                failed = part.finding(f"the rule failed for this queue{others}: {text}")
            yield self._finding(failed, Severity.ERROR)

    def _finding(self, found: Any, severity: Severity) -> Finding:
        message, name, field = found.message, found.queue_name, found.field
        if not (isinstance(message, str) and isinstance(name, str | None) and isinstance(field, str | None)):
            raise TypeError("message, queue_name and field of a finding must be text")
        return Finding(message, found.queue_id, name, field=field, rule=self.id, severity=severity)


def rule(
    severity: Severity, *, needs: str | None = None
) -> Callable[[Callable[Concatenate[AuditedQueue, P], Iterable[Finding]]], Rule]:
    """Make a rule from a function that checks one queue.

        @rule(Severity.WARNING)
        def long_wait(queue: AuditedQueue, *, seconds: int = 300) -> Iterator[Finding]:
            \"\"\"The maximum wait is very long.\"\"\"
            if (queue.queue.max_wait or 0) > seconds:
                yield queue.finding(f"callers may wait {queue.queue.max_wait} s", field="max_wait")

    Its id is `long-wait`; settings can change severity and `seconds`. It `needs` an optional module that it imports.
    """
    return lambda function: _make_rule(function, severity, needs, each=True)


def list_rule(
    severity: Severity, *, needs: str | None = None
) -> Callable[[Callable[Concatenate[AuditedList, P], Iterable[Finding]]], Rule]:
    """Make a rule from a function that checks the whole list; otherwise like `rule`."""
    return lambda function: _make_rule(function, severity, needs, each=False)


def _make_rule(find: Callable[..., Iterable[Finding]], severity: Severity, needs: str | None, *, each: bool) -> Rule:
    name: str = getattr(find, "__name__", "")
    doc = inspect.getdoc(find)
    if not doc:
        raise TypeError(f"the rule {name} needs a docstring; reports show its first line")
    if inspect.iscoroutinefunction(find) or inspect.isasyncgenfunction(find):
        raise TypeError(f"the rule {name} must be a plain function; async def was used")
    _, *options = inspect.signature(find).parameters.values()
    invalid = [each.name for each in options if each.kind is not each.KEYWORD_ONLY or each.default is each.empty]
    if invalid:
        raise TypeError(f"the options of rule {name} must be keyword-only, with defaults; check {', '.join(invalid)}")
    defaults: dict[str, Any] = {option.name: option.default for option in options}
    return Rule(name.replace("_", "-"), severity, doc, defaults, needs, each, find)
