"""The one place that events come from: a line in the log, and a call of each listener.

It is apart from the events themselves, which are imported when the first one is made.
"""

import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, TypeAlias, cast, dataclass_transform

import attrs

from alohub_async.errors import ConfigurationError
from alohub_async.routes import Route
from alohub_async.secret import redacted
from alohub_async.validation import refuse

LOGGER: Final = logging.getLogger("alohub_async")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
class Event:
    """Something that happened in a client; its subclasses are frozen attrs classes."""

    level: ClassVar[int] = logging.NOTSET  # of the log; this one is not logged
    text: ClassVar[str] = ""  # of the log
    ends: ClassVar[bool] = False  # what an earlier event began; then the first listener is called last

    def __init_subclass__(cls, *, level: int = logging.NOTSET, says: str = "", ends: bool = False) -> None:
        made: Any = attrs.frozen(cls, kw_only=True, slots=False)
        cls.level, cls.ends = level, ends
        cls.text = f"{says}: {' '.join(f'{name}=%({name})s' for name in attrs.fields_dict(made))}"


Listener: TypeAlias = Callable[[Event], object]
"""Called with each event; what it returns is ignored."""


def read_listeners(value: Any) -> tuple[Listener, ...]:
    """The listeners that `on_event` names: none, one, or a list of several."""
    several = not callable(value) and isinstance(value, list | tuple | None)
    listeners: list[Any] = [*cast("list[Any]", value or ())] if several else [value]
    for each in listeners:
        if not callable(each) or any(map(inspect.iscoroutinefunction, (each, type(each).__call__))):
            allowed = "a callable that is no coroutine function, or several"
            raise refuse("on_event", allowed, each, error=ConfigurationError)
    return tuple(listeners)


class Emitter:
    """Emits the events of a client."""

    def __init__(self, listeners: tuple[Listener, ...] = (), *, name: str = "", tenant_id: str | None = None) -> None:
        self.listeners: tuple[Listener, ...] = listeners
        self.whose: tuple[str | None, str | None] = redacted(name) or None, tenant_id  # the tenant's name and id
        self.failed: set[int] = set()  # listeners that raised, by `id`

    def __call__(self, event: Event) -> None:
        """Log an event, and call the listeners."""
        emit_once([self], event)


def whose(emitters: Iterable[Emitter]) -> dict[str, Any]:
    """The fields of an event that say whose it is; None if the clients are of several tenants."""
    found = {each.whose for each in emitters}
    tenant, tenant_id = found.pop() if len(found) == 1 else (None, None)
    return {"tenant": tenant, "tenant_id": tenant_id}


def emit_once(emitters: Iterable[Emitter], event: Event) -> None:
    """Emit an event of what several clients may share: one line in the log, and one call of each listener."""
    if event.level and LOGGER.isEnabledFor(event.level):
        values = {name: _plain(value) for name, value in vars(event).items()}
        extra = {f"alohub_{name}": value for name, value in values.items()}
        LOGGER.log(event.level, event.text, values, extra={"alohub_event": type(event).__name__, **extra})
    called = {id(listener): (listener, each) for each in emitters for listener in each.listeners}
    for key, (listener, emitter) in reversed(called.items()) if event.ends else called.items():
        try:
            listener(event)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # nobody can cancel or close a listener: the error is its own
            if key not in emitter.failed:
                emitter.failed.add(key)
                LOGGER.warning("a listener of events raised %s", type(error).__name__, exc_info=True)


def _plain(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else str(value) if isinstance(value, Route) else value
