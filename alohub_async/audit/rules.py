"""What a rule is: a small function over what was audited, with a severity and a docstring."""

import enum
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Concatenate, Final, ParamSpec

import attrs

from alohub_async.errors import AlohubError, NotFoundError
from alohub_async.models import InboundQueue
from alohub_async.pagination import Drift

P = ParamSpec("P")

WIRE_NAMES: Final[Mapping[str, str]] = {
    field.name: field.metadata["wire"] for field in attrs.fields(InboundQueue) if field.name != "extra"
}
"""The documented fields of a queue: attribute to wire name."""


class Severity(enum.IntEnum):
    """How bad a finding is; they compare."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    @property
    def label(self) -> str:
        """As configuration and reports write it, such as `"warning"`."""
        return self.name.lower()


@attrs.frozen
class Finding:
    """Something a rule has found.

    Attributes:
        message: What is wrong, in a few words.
        queue_id: The queue's id; None if it has none, or the finding is about the list as a whole.
        queue_name: The queue's name; None likewise.
        field: The attribute it is about, such as `"max_wait"`; None if it is about no single one.
        rule: Id of the rule; the audit fills it in.
        severity: As configured; the audit fills it in.
    """

    message: str
    queue_id: int | None = None
    queue_name: str | None = None
    field: str | None = attrs.field(default=None, kw_only=True)
    rule: str = attrs.field(default="", kw_only=True)
    severity: Severity = attrs.field(default=Severity.WARNING, kw_only=True)


@attrs.frozen
class AuditedQueue:
    """A queue as the list has it and as `get_inbound` says.

    Attributes:
        listed: As the list has it.
        detail: As `get_inbound` says; None if it was not asked, or there is an error.
        error: Why there is no detail; None if there is one, or it was not asked.
    """

    listed: InboundQueue
    detail: InboundQueue | None = None
    error: AlohubError | None = None

    @property
    def queue(self) -> InboundQueue:
        """What rules look at: the detail, else what was listed."""
        return self.detail or self.listed

    @property
    def gone(self) -> bool:
        """Whether it was listed, and there was no such queue when its detail was asked for."""
        return isinstance(self.error, NotFoundError)

    def lacks(self, field: str) -> bool:
        """Whether the API gives no value for this attribute, or blank text. One that did not fit is in `extra`."""
        value = getattr(self.queue, field)
        if isinstance(value, str):
            return not value.strip()
        return value is None and WIRE_NAMES[field] not in self.queue.extra

    def finding(self, message: str, *, field: str | None = None) -> Finding:
        """A finding about this queue."""
        return Finding(message, self.queue.id, self.queue.name, field=field)


@attrs.frozen(kw_only=True)
class AuditedList:
    """All that was audited.

    Attributes:
        queues: In the order of the list.
        complete: Whether the walk brought the whole list, as far as can be told; see `Pager.complete`.
        total: Queues in the list, as the server last told; None if it does not tell.
        drift: What the walk noticed of the list moving under it.
        details: Whether details were asked for.
    """

    queues: tuple[AuditedQueue, ...]
    complete: bool = True
    total: int | None = None
    drift: Drift = attrs.field(factory=Drift)
    details: bool = True


@attrs.frozen
class Rule:
    """A rule; made by `@rule` and `@list_rule`.

    Attributes:
        id: The function's name, with hyphens.
        severity: Of its findings.
        doc: The function's docstring.
        options: Its settings, by name: the function's keyword arguments.
        needs: Module of an optional package that it imports; None if it needs none.
    """

    id: str
    severity: Severity
    doc: str
    options: Mapping[str, object] = attrs.field(hash=False)
    needs: str | None
    _find: "Callable[[AuditedList, Mapping[str, object]], Iterable[Finding]]" = attrs.field(repr=False)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return self.doc.partition("\n")[0].removesuffix(".")

    def check(self, audited: AuditedList) -> Iterator[Finding]:
        """What it finds."""
        try:
            for finding in self._find(audited, self.options):
                yield attrs.evolve(finding, rule=self.id, severity=self.severity)
        except Exception as error:
            error.add_note(f"in the audit's rule {self.id}")
            raise


def rule(
    severity: Severity, *, needs: str | None = None
) -> Callable[[Callable[Concatenate[AuditedQueue, P], Iterable[Finding]]], Rule]:
    """Make a rule of a function that looks at one queue at a time.

        @rule(Severity.WARNING)
        def long_wait(queue: AuditedQueue, *, seconds: int = 300) -> Iterator[Finding]:
            \"\"\"Callers may wait very long.\"\"\"
            if (queue.queue.max_wait or 0) > seconds:
                yield queue.finding(f"callers may wait {queue.queue.max_wait} s", field="max_wait")

    Its id is `long-wait`, and configuration can set its severity and `seconds`.

    Args:
        severity: Of its findings, unless configured otherwise.
        needs: Module of an optional package that it imports.
    """

    def make(function: Callable[Concatenate[AuditedQueue, P], Iterable[Finding]]) -> Rule:
        each: Callable[..., Iterable[Finding]] = function

        def find(audited: AuditedList, options: Mapping[str, object]) -> Iterator[Finding]:
            for queue in audited.queues:
                yield from each(queue, **options)

        return _make_rule(function, severity, needs, find)

    return make


def list_rule(
    severity: Severity, *, needs: str | None = None
) -> Callable[[Callable[Concatenate[AuditedList, P], Iterable[Finding]]], Rule]:
    """Make a rule of a function that looks at all queues together; else as `rule`."""

    def make(function: Callable[Concatenate[AuditedList, P], Iterable[Finding]]) -> Rule:
        whole: Callable[..., Iterable[Finding]] = function

        def find(audited: AuditedList, options: Mapping[str, object]) -> Iterable[Finding]:
            return whole(audited, **options)

        return _make_rule(function, severity, needs, find)

    return make


def _make_rule(
    function: Callable[..., object],
    severity: Severity,
    needs: str | None,
    find: Callable[[AuditedList, Mapping[str, object]], Iterable[Finding]],
) -> Rule:
    name: str = getattr(function, "__name__", "")
    doc = inspect.getdoc(function)
    if not doc:
        raise TypeError(f"the rule {name} needs a docstring: its first line is what reports say")
    _, *options = inspect.signature(function).parameters.values()
    if unfit := [option.name for option in options if option.kind is not option.KEYWORD_ONLY or not _has(option)]:
        raise TypeError(f"the rule {name} must take its options by keyword, with defaults; see {', '.join(unfit)}")
    defaults: dict[str, Any] = {option.name: option.default for option in options}
    return Rule(name.replace("_", "-"), severity, doc, defaults, needs, find)


def _has(option: inspect.Parameter) -> bool:
    return option.default is not option.empty
