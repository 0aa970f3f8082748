"""`Secret`, a value that nothing shows, and the one redactor of all errors and log lines."""

import re
from binascii import b2a_base64
from collections.abc import Callable
from typing import Any, Final, Generic, NoReturn, Self, TypeVar, final
from weakref import WeakValueDictionary

T = TypeVar("T")

_SHOWN: Final = "[redacted]"
_MIN_LENGTH: Final = 4  # characters; a shorter "key" would also match ordinary words
_MIN_ENCODED: Final = 8  # characters of which Base64 or hex is searched for
_PART: Final = 10  # characters that a text must begin a key with, if it was cut there
_ESCAPE: Final = re.compile(r"%[0-9a-f]{2}|\\|&(?:\#|amp;|lt;|gt;|quot;)", re.IGNORECASE)  # as in `_escaped`
_LIKE_A_KEY: Final = re.compile(r"\bsk_[a-z]+_\w+")  # the vendor's page: sk_live_…; it may be one of somebody else


@final
class Secret(Generic[T]):
    """A value that no repr, format, pickle or traceback with locals shows; two of the same text are one object.

    As long as a secret text is there, it is struck out of every error and log line of this package.

    Attributes:
        revealed: The value. Keep it in no variable: a traceback may show that.
    """

    __slots__ = ("__weakref__", "_beginnings", "_pattern", "revealed")

    revealed: T  # no method: each request would call it
    _beginnings: list[str]
    _pattern: re.Pattern[str] | None

    def __new__(cls, value: T) -> Self:
        """Make a secret, or return the one of the same text."""
        self = super().__new__(cls)
        self.revealed, self._beginnings, self._pattern = value, [], None
        return _KNOWN.setdefault(value, self) if isinstance(value, str) else self

    def beginnings(self) -> list[str]:
        """The first characters of the secret, which is a text: plain or encoded, in lower case."""
        if not self._beginnings:
            self._beginnings = [form[:_PART].lower() for form in _forms(str(self.revealed))]
        return self._beginnings

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where a text has the secret: whole or cut, in any case, plain or encoded."""
        lower = text.lower()
        lower += lower.replace("-", "+").replace("_", "/")  # Base64 for URLs
        if not _ESCAPE.search(text) and not any(beginning in lower for beginning in self.beginnings()):
            return []
        if self._pattern is None:
            plain, *encoded = _forms(str(self.revealed))
            forms = [_pattern(plain, _escaped), *(_pattern(form, _in_base64) for form in encoded)]
            self._pattern = re.compile("|".join(forms), re.IGNORECASE)
        return [match.span() for match in self._pattern.finditer(text)]

    def end(self, text: str) -> int:
        """How many characters at the end of a text may begin the secret, if they are too few for `spans`."""
        beginnings = (form[:length] for form in self.beginnings() for length in range(_PART - 1, 0, -1))
        last = text[-_PART:].lower()
        return next((len(each) for each in beginnings if last.endswith(each)), 0)

    def __repr__(self) -> str:
        return "Secret('[redacted]')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied, so that it does not leave the process; make a new one")


def hide(value: Any) -> Secret[Any]:
    """The value as a secret, if it is not one already."""
    return value if hasattr(value, "revealed") else Secret(value)


_KNOWN: Final[WeakValueDictionary[str, Any]] = WeakValueDictionary()


def redacted(text: str, *, cut: bool = False) -> str:
    """The text without any secret that is in use, or a key of the vendor; a lone surrogate is escaped.

    Where a text was `cut`, even one character that a secret begins with is struck out.
    """
    references = _KNOWN.valuerefs()  # a list, so threads may add to it meanwhile
    secrets = [known for each in references if (known := each()) is not None and len(known.revealed) >= _MIN_LENGTH]
    if cut and (end := max((secret.end(text) for secret in secrets), default=0)):
        text = text[:-end]
    # All are searched for before any is struck out: a part of one may begin another.
    found = [match.span() for match in _LIKE_A_KEY.finditer(text)]
    found = sorted([*found, *(span for secret in secrets for span in secret.spans(text))])
    if found:
        parts, at = list[str](), 0
        for begin, end in found:
            if begin >= at:
                parts += text[at:begin], _SHOWN
            at = max(at, end)
        text = "".join((*parts, text[at:]))
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def repr_of_fields(self: Any) -> str:
    """A `__repr__` of attrs classes for tracebacks that show variables: also before `__init__` has set all fields."""
    import attrs

    fields: Any = attrs.fields(self.__class__)
    shown = [f"{field.name}={getattr(self, field.name, ...)!r}" for field in fields if field.repr]
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def cleaned(value: Any) -> Any:
    """The value of an error's attribute: redacted if it is text, or a mapping of texts; otherwise as it is."""
    if not hasattr(value, "items"):
        return redacted(value) if isinstance(value, str) else value
    pairs = [*value.items()]
    clean = [(cleaned(name), cleaned(text)) for name, text in pairs]
    return value if clean == pairs else type(value)(clean)


def _forms(key: str) -> list[str]:
    """The key, and what of its Base64 and its hex is the same whatever stands before and after it."""
    if len(key) < _MIN_ENCODED:
        return [key]
    data = key.encode(errors="replace")
    encoded = [b2a_base64(bytes(skip) + data)[-(-skip * 8 // 6) : (skip + len(data)) * 8 // 6] for skip in range(3)]
    return [key, *(form.decode() for form in encoded), data.hex()]


def _pattern(form: str, one: Callable[[str], str]) -> str:
    """An expression for a text that may be cut, and whose characters may be written in several ways."""
    return "".join(f"{one(char)}{'?' if at >= _PART else ''}" for at, char in enumerate(form))


def _in_base64(char: str) -> str:
    return {"+": "(?:[+-]|%(?:25)*2b)", "/": r"(?:\\*/|_|%(?:25)*2f)"}.get(char, char)


def _escaped(char: str) -> str:
    """One character: plain, or escaped as in URLs, JSON, Python, or HTML, once or repeatedly."""
    number, named = ord(char), {"&": "|amp;", "<": "|lt;", ">": "|gt;", '"': "|quot;"}.get(char, "")
    in_html = rf"&(?:amp;)*(?:\#(?:0*{number}|x0*{number:x});{named})"
    return rf"(?:%(?:25)*{number:02x}|\\+(?:u00|x){number:02x}|{in_html}|\\*{re.escape(char)})"
