"""Rules: functions that check the audited queues, each with a severity and a docstring."""

import enum
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Concatenate, Final, ParamSpec

import attrs

from alohub_async.errors import AlohubError, NotFoundError
from alohub_async.models import InboundQueue, wire_names
from alohub_async.pagination import Drift

P = ParamSpec("P")

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
    """A queue as returned by the list and by `get_inbound`.

    Attributes:
        listed: The record in the list.
        detail: The record that `get_inbound` returned; None if it was not requested or failed.
        error: The error of `get_inbound`; None if it was not requested or did not fail.
    """

    listed: InboundQueue
    detail: InboundQueue | None = None
    error: AlohubError | None = None

    @property
    def queue(self) -> InboundQueue:
        """The record that rules check: the detail if there is one, else the record in the list."""
        return self.detail or self.listed

    @property
    def gone(self) -> bool:
        """Whether the list has the queue, but `get_inbound` did not find it."""
        return isinstance(self.error, NotFoundError)

    def lacks(self, field: str) -> bool:
        """Whether the API sent no value or a blank one. A value that does not fit its type counts as a value."""
        value = getattr(self.queue, field)
        if isinstance(value, str):
            return not value.strip()
        return value is None and WIRE_NAMES[field] not in self.queue.extra

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
    """

    queues: tuple[AuditedQueue, ...]
    complete: bool = True
    total: int | None = None
    drift: Drift = attrs.field(factory=Drift)
    details: bool = True


@attrs.frozen
class Rule:
    """A rule, made with `@rule` or `@list_rule`.

    Attributes:
        id: The name of the function, with hyphens.
        severity: The severity of its findings.
        doc: The docstring of the function.
        options: The options by name: the keyword arguments of the function.
        needs: The module of an optional package that the rule imports; None if there is none.
    """

    id: str
    severity: Severity
    doc: str
    options: Mapping[str, object] = attrs.field(hash=False)
    needs: str | None
    _find: Callable[..., Iterable[Finding]] = attrs.field(repr=False)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.partition("\n")[0].removesuffix(".")

    def check(self, audited: AuditedList) -> Iterator[Finding]:
        """Run the rule; yields its findings."""
        try:
            for finding in self._find(audited, **self.options):
                yield attrs.evolve(finding, rule=self.id, severity=self.severity)
        except Exception as error:
            error.add_note(f"in the audit rule {self.id}")
            raise


def rule(
    severity: Severity, *, needs: str | None = None
) -> Callable[[Callable[Concatenate[AuditedQueue, P], Iterable[Finding]]], Rule]:
    """Make a rule from a function that checks one queue.

        @rule(Severity.WARNING)
        def long_wait(queue: AuditedQueue, *, seconds: int = 300) -> Iterator[Finding]:
            \"\"\"The maximum wait is very long.\"\"\"
            if (queue.queue.max_wait or 0) > seconds:
                yield queue.finding(f"callers may wait {queue.queue.max_wait} s", field="max_wait")

    The id of this rule is `long-wait`. Settings can change its severity and `seconds`.

    Args:
        severity: The severity of its findings, unless the settings change it.
        needs: The module of an optional package that the rule imports.
    """

    def make(function: Callable[Concatenate[AuditedQueue, P], Iterable[Finding]]) -> Rule:
        check: Callable[..., Iterable[Finding]] = function

        def find(audited: AuditedList, **options: object) -> Iterator[Finding]:
            for queue in audited.queues:
                yield from check(queue, **options)

        return _make_rule(function, severity, needs, find)

    return make


def list_rule(
    severity: Severity, *, needs: str | None = None
) -> Callable[[Callable[Concatenate[AuditedList, P], Iterable[Finding]]], Rule]:
    """Make a rule from a function that checks the whole list; otherwise like `rule`."""
    return lambda function: _make_rule(function, severity, needs, function)


def _make_rule(
    function: Callable[..., object], severity: Severity, needs: str | None, find: Callable[..., Iterable[Finding]]
) -> Rule:
    name: str = getattr(function, "__name__", "")
    doc = inspect.getdoc(function)
    if not doc:
        raise TypeError(f"the rule {name} needs a docstring; reports show its first line")
    _, *options = inspect.signature(function).parameters.values()
    invalid = [
        option.name for option in options if option.kind is not option.KEYWORD_ONLY or option.default is option.empty
    ]
    if invalid:
        raise TypeError(f"the options of rule {name} must be keyword-only, with defaults; check {', '.join(invalid)}")
    defaults: dict[str, Any] = {option.name: option.default for option in options}
    return Rule(name.replace("_", "-"), severity, doc, defaults, needs, find)
