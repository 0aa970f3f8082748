"""Which records were seen: by their ids, exactly, in little memory and little time.

Most lists come by id: the ids of a page rise, and go on behind those of the page before. Of such ids the gaps between
them are kept, a byte each: C code makes these, none of the ids can have been there before, and to know the page again
its gaps are enough. Only when a page does not go on like that (the list has moved, or has another order, or its pages
come out of order), each id becomes a bit, where it can be looked up.
"""

import hashlib
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import sub
from typing import Any, Final

_BITS: Final = 11  # 2048 ids a word: dense ids take about half a byte each in all, scattered ones 250
_SPAN: Final = 1 << _BITS
_MASK: Final = _SPAN - 1
_SPREAD: Final = 64  # a page whose ids lie further apart than so many a record is not dense
_DIGITS: Final = bytes.maketrans(b"\x00\x01", b"01")
_WIDEST: Final = 255  # a gap that a byte can tell
_PIECE: Final = 1 << 12  # gaps that are kept together
_NONE: Final = frozenset[int]()


class KeySet:
    """The keys of all records so far.

    An int or a string is an id; any other key is that of a record without one, which is never taken for another.

    Attributes:
        highest: Of the ids that are numbers; None if there are none.
        strings: The ids that are strings.
    """

    def __init__(self) -> None:
        self.highest: int | None = None
        self.strings: set[str] = set()
        self._words: dict[int, int] = {}  # numbers, each a bit
        self._run = bytearray()  # gaps between numbers behind all those, up to the highest
        self._pieces: list[bytes] = []  # the beginning of a long run

    @property
    def words(self) -> dict[int, int]:
        """The ids that are numbers, each a bit."""
        if self._run or self._pieces:
            self._end_run()
        return self._words

    def __contains__(self, key: Hashable) -> bool:
        if isinstance(key, int):
            return bool(self.words.get(key >> _BITS, 0) & 1 << (key & _MASK))
        return key in self.strings

    def __len__(self) -> int:
        return sum(word.bit_count() for word in self.words.values()) + len(self.strings)

    def __le__(self, other: "KeySet") -> bool:
        """Whether the other one has all of these."""
        others = other.words
        numbers = all(not word & ~others.get(at, 0) for at, word in self.words.items())
        return numbers and self.strings <= other.strings

    def update(self, other: "KeySet") -> None:
        """Add the other one's keys."""
        self._end_run()
        if other.highest is not None:
            self._put(other.words.items(), other.highest)
        self.strings |= other.strings

    def add_all(self, keys: Sequence[Any], gaps: bytes | None = None) -> frozenset[int]:
        """Add the keys of a page; the indexes of those that were there already.

        Args:
            keys: An int or a string is an id, see above.
            gaps: What `gaps_of` makes of them, if it is known.
        """
        gaps = gaps_of(keys) if gaps is None else gaps
        highest = self.highest
        if not gaps or (highest is not None and keys[0] <= highest):
            self._end_run()
            return _NONE if self._add_dense(keys) else self._add_each(keys)
        if highest is None or keys[0] - highest > _WIDEST:
            self._end_run()
            highest = keys[0] - 1
        self._run += bytes((keys[0] - highest,)) + gaps[1:]
        self.highest = keys[-1]
        if len(self._run) >= _PIECE:
            self._pieces.append(bytes(self._run))
            self._run.clear()
        return _NONE

    def _end_run(self) -> None:
        """Make bits of the run, its end first."""
        high = self.highest
        while high is not None and (self._run or self._pieces):
            first, *rest = self._run or self._pieces.pop()
            low = high - sum(rest)
            self._put(_words(accumulate(rest, initial=low), low, high), high)
            self._run.clear()
            high = low - first

    def _add_dense(self, keys: Sequence[Any]) -> bool:
        """Add them all at once if they are numbers close to each other, and none was there; else add none."""
        count = len(keys)
        if not count or not isinstance(keys[0], int):
            return False
        try:
            low, high = min(keys), max(keys)
            if high - low > _SPREAD * count:
                return False
            words = [*_words(keys, low, high)]
        except TypeError:  # others than numbers are among them
            return False
        if sum(word.bit_count() for _, word in words) < count:
            return False
        if any(word & self._words.get(at, 0) for at, word in words):
            return False
        self._put(words, high)
        return True

    def _add_each(self, keys: Sequence[Any]) -> frozenset[int]:
        words, repeated, highest = self._words, list[int](), self.highest
        for index, key in enumerate(keys):
            if isinstance(key, int):
                at, bit = key >> _BITS, 1 << (key & _MASK)
                word = words.get(at, 0)
                if word & bit:
                    repeated.append(index)
                else:
                    words[at] = word | bit
                    highest = key if highest is None or key > highest else highest
            elif isinstance(key, str):
                if key in self.strings:
                    repeated.append(index)
                self.strings.add(key)
        self.highest = highest
        return frozenset(repeated)

    def _put(self, words: Iterable[tuple[int, int]], highest: int) -> None:
        mine = self._words
        for at, word in words:
            mine[at] = mine.get(at, 0) | word
        if self.highest is None or highest > self.highest:
            self.highest = highest


def _words(numbers: Iterable[int], low: int, high: int) -> Iterator[tuple[int, int]]:
    """Bits for numbers between these two."""
    first = low >> _BITS
    base = first << _BITS
    flags = bytearray(high - base + 1)
    for number in numbers:
        flags[number - base] = 1
    digits = flags.translate(_DIGITS)
    for at in range(0, len(digits), _SPAN):
        yield first + (at >> _BITS), int(digits[at : at + _SPAN][::-1], 2)


def gaps_of(keys: Sequence[Any]) -> bytes:
    """How far each number is above the one before, 0 for the first; empty unless all are numbers that rise by 1 to 255.

    In Python that is one step for a whole page.
    """
    try:
        gaps = bytes(map(sub, keys, [keys[0], *keys]))
    except (IndexError, TypeError, ValueError):
        return b""
    return b"" if 0 in gaps[1:] else gaps


def fingerprint(keys: Sequence[Any], gaps: bytes | None = None) -> str:
    """A short string that stands for a page's keys, the same in another process.

    Args:
        keys: Those.
        gaps: What `gaps_of` makes of them, if it is known.
    """
    # Not of hash(): it takes -1 and -2 for one, and is another in the next process, where a token may go on.
    gaps = gaps_of(keys) if gaps is None else gaps
    if gaps:
        said = b"%d" % keys[0] + gaps
    else:
        try:
            said = b"ids " + array("Q", keys).tobytes()
        except (TypeError, OverflowError):
            said = repr(tuple(keys)).encode()
    return hashlib.blake2b(said, digest_size=8).hexdigest()
