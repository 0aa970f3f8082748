"""Undoes the coding of a body (`Content-Encoding`) piece by piece: a small body may become a very large one."""

import functools
import importlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

_PIECE: Final = 1 << 18  # bytes at once
_MAX_MEMBERS: Final = 1000  # of one body; each costs time, even an empty one
_ZLIB_METHOD: Final = 8  # what a zlib header begins with; some servers send `deflate` without one
_WITH_GZIP_HEADER: Final = 16 + zlib.MAX_WBITS

Step: TypeAlias = Callable[[bytes], tuple[bytes, bytes, bool]]
"""Takes compressed bytes. Returns a piece, the bytes that are left, and whether the stream has ended."""


class DecodingError(Exception):
    """A body cannot be decoded; its text says why."""


class Decompressor:
    """Decodes one body with this `Content-Encoding`; raises `DecodingError` if it cannot."""

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower().removeprefix("x-")
        known = _codings().get(self._coding)
        if known is None:
            raise DecodingError(f"its Content-Encoding {coding!r:.60} is none of {', '.join(_codings())}")
        self._make, self._error = known
        self._step: Step | None = None
        self._members = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes of the body; no piece is much larger than 256 KiB."""
        more = bool(data)
        while more:
            if self._step is None:
                self._members += 1
                self._step = self._make(data)
            try:
                piece, data, ended = self._step(data)
            except self._error as exc:
                raise DecodingError(f"it is not encoded as its Content-Encoding {self._coding!r} says") from exc
            if ended:
                self._step = None
            if self._members > _MAX_MEMBERS:
                raise DecodingError(f"its Content-Encoding {self._coding!r} is applied to more than 1000 parts")
            # A full piece may not be the last one of the bytes taken so far.
            more = bool(data) or (len(piece) >= _PIECE and not ended)
            yield piece

    def finish(self) -> None:
        """Check that the body has not ended early."""
        if self._step is not None:
            raise DecodingError(f"it ends before its Content-Encoding {self._coding!r} does")


@functools.cache
def accept_encoding() -> Mapping[str, str]:
    """The header `Accept-Encoding`, where aiohttp's own would name more than can be decoded here."""
    known = _codings()
    return {"Accept-Encoding": ", ".join(known)} if "br" not in known and _brotli_library() else {}


@functools.cache
def _codings() -> Mapping[str, tuple[Callable[[bytes], Step], type[Exception]]]:
    """How to decode each coding, and the error of its library."""
    codings: dict[str, tuple[Callable[[bytes], Step], type[Exception]]] = {
        "gzip": (lambda _: _limited(zlib.decompressobj(_WITH_GZIP_HEADER)), zlib.error),
        "deflate": (_deflate, zlib.error),
    }
    brotli = _brotli_library()
    if hasattr(getattr(brotli, "Decompressor", None), "can_accept_more_data"):  # since 1.2: it can limit its output
        codings["br"] = (lambda _: _brotli(brotli), brotli.error)
    zstd = _first_of("compression.zstd", "backports.zstd")
    if zstd is not None:
        codings["zstd"] = (lambda _: _limited(zstd.ZstdDecompressor()), zstd.ZstdError)
    return codings


def _brotli_library() -> Any:
    return _first_of("brotlicffi", "brotli")


def _first_of(*names: str) -> Any:
    for name in names:
        with suppress(ImportError):
            return importlib.import_module(name)
    return None


def _deflate(data: bytes) -> Step:
    return _limited(zlib.decompressobj(zlib.MAX_WBITS if data[0] & 0xF == _ZLIB_METHOD else -zlib.MAX_WBITS))


def _limited(stream: Any) -> Step:
    """Step of a decompressor of zlib, or of zstd, which keeps the bytes that it has not consumed."""

    def step(data: bytes) -> tuple[bytes, bytes, bool]:
        piece = stream.decompress(data, _PIECE)
        return piece, stream.unused_data if stream.eof else getattr(stream, "unconsumed_tail", b""), stream.eof

    return step


def _brotli(library: Any) -> Step:
    stream = library.Decompressor()
    run = getattr(stream, "process", None) or stream.decompress

    def step(data: bytes) -> tuple[bytes, bytes, bool]:
        return run(data, output_buffer_limit=_PIECE), b"", stream.is_finished()

    return step
