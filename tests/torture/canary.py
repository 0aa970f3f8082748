"""A key that must not be seen, the ways to write it, and every text that an error shows."""

import html
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Final
from urllib.parse import quote, quote_plus

KEY: Final = "sk_live_Can4ry+9/Q&\"xw<7vT'kJ%2Fz"
_WINDOW: Final = 9  # characters of the key, after its usual beginning, that reveal it

FORMS: Final[Mapping[str, Callable[[str], str]]] = {
    "plain": str,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON with slashes": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "JSON escapes": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "HTML": html.escape,
    "HTML numbers": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "HTML with another apostrophe": lambda key: html.escape(key).replace("&#x27;", "&#39;"),
    "URL": lambda key: quote(key, safe=""),
    "URL in lower case": lambda key: "".join(
        char if char.isalnum() or char == "_" else f"%{ord(char):02x}" for char in key
    ),
    "URL with slashes": quote,
    "form": quote_plus,
    "URL twice": lambda key: quote(quote(key, safe=""), safe=""),
    "twice": lambda key: key + key,
}
"""The ways in which an answer may repeat a key."""

_NO_REPR: Final = "it has no repr"

_SEEN: Final = frozenset(
    [
        *(KEY[start : start + _WINDOW] for start in range(len("sk_live_"), len(KEY) - _WINDOW + 1)),
        *(form(KEY) for form in FORMS.values()),
        repr(KEY)[1:-1],
    ]
)


def reveals(text: str) -> bool:
    """Return whether a text shows the key, or enough of it, in any form."""
    folded = text.lower()
    return any(seen.lower() in folded for seen in _SEEN)


def revealed(error: BaseException, *, with_locals: bool = True) -> Iterator[str]:
    """Yield where an error shows the key: its texts, its attributes, and tracebacks with local variables."""
    for each in _chain(error):
        name = type(each).__name__
        texts = [where for where, text in _texts(each) if reveals(text)]
        if texts:
            yield f"shown by {name}: {', '.join(texts)}"
        variables = dict.fromkeys(where for where, text in _locals(each.__traceback__) if reveals(text))
        if variables and with_locals:
            yield f"in the local variables of {name}: {', '.join(variables)}"
        broken = [where for where, text in _locals(each.__traceback__) if text.startswith(_NO_REPR)]
        if broken:
            yield f"no repr in the local variables of {name}: {', '.join(broken)}"


def _texts(error: BaseException) -> Iterable[tuple[str, str]]:
    yield "str", str(error)
    yield "repr", repr(error)
    yield "args", repr(error.args)
    for name, value in vars(error).items():
        yield name, repr(value)
    if type(error).__module__.startswith("alohub_async"):
        yield "pickle", pickle.dumps(error).decode("latin-1")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that a traceback shows with it."""
    yield error
    shown = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if shown is not None:
        yield from _chain(shown)


def _locals(trace: TracebackType | None) -> Iterator[tuple[str, str]]:
    """Yield the local variables of the frames that are not a test's."""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/tests/" not in code.co_filename:
            for name, value in trace.tb_frame.f_locals.items():
                yield f"{name} in {code.co_qualname}", _shown(value)
        trace = trace.tb_next


def _shown(value: object) -> str:
    try:
        return repr(value)
    except (AttributeError, TypeError, ValueError, LookupError, RuntimeError) as error:
        return f"{_NO_REPR}: {error!r}"
