"""Which records were seen: by their ids, exactly, in little memory and little time.

Most lists are sorted by id: the ids of a page rise, and continue behind those of the page before. Of such ids only the
gaps between them are stored, one byte each: C code computes them, none of the ids can have been there before, and the
gaps are enough to recognise the page. Only when a page does not continue like that (the list has moved, or has another
order, or its pages come out of order), each id becomes a bit, which can be looked up.
"""

import hashlib
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import sub
from typing import Any, Final
from zlib import crc32

_BITS: Final = 11  # 2048 ids in a word: dense ids take about half a byte each in all, scattered ones 250 bytes
_SPAN: Final = 1 << _BITS
_MASK: Final = _SPAN - 1
_SPREAD: Final = 64  # a page is dense if its ids are not further apart than this, on average
_DIGITS: Final = bytes.maketrans(b"\x00\x01", b"01")
_WIDEST: Final = 255  # the largest gap that fits into a byte
_PIECE: Final = 1 << 12  # gaps stored in one object
_NONE: Final = frozenset[int]()


class KeySet:
    """The keys of all records so far.

    An int or a string is an id. Any other key belongs to a record without an id; such a record is never reported as
    seen before, because another record may look the same. Such keys are stored, and count, only `with_anonymous`.
    """

    def __init__(self, *, with_anonymous: bool = False) -> None:
        self.highest: int | None = None  # of the numbers
        self.others: set[Hashable] = set()  # keys that are not numbers
        self._with_anonymous = with_anonymous
        self._words: dict[int, int] = {}  # numbers, one bit each
        self._count = 0  # of these
        self._run = bytearray()  # gaps between the numbers behind all those, up to the highest
        self._pieces: list[bytes] = []  # the beginning of a long run

    @property
    def words(self) -> dict[int, int]:
        """The ids that are numbers, one bit each."""
        if self._run or self._pieces:
            self._end_run()
        return self._words

    def __contains__(self, key: Hashable) -> bool:
        if isinstance(key, int):
            words = self.words if self._run or self._pieces else self._words
            return bool(words.get(key >> _BITS, 0) & 1 << (key & _MASK))
        return key in self.others

    def __bool__(self) -> bool:
        return self.highest is not None or bool(self.others)

    def __len__(self) -> int:
        self._end_run()
        return self._count + len(self.others)

    def __le__(self, other: "KeySet") -> bool:
        """Whether the other set has all keys of this one."""
        others = other.words
        numbers = all(not word & ~others.get(at, 0) for at, word in self.words.items())
        return numbers and self.others <= other.others

    def update(self, other: "KeySet") -> None:
        """Add the keys of another set."""
        self._end_run()
        if other.highest is not None:
            self._put(other.words.items(), other.highest)
        self.others |= other.others

    def add_all(self, keys: Sequence[Any], gaps: bytes | None = None) -> frozenset[int]:
        """Add the keys of a page; return the indexes of the ids that were seen before; `gaps` is `gaps_of(keys)`."""
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
        """Convert the run into bits, from its end."""
        high = self.highest
        while high is not None and (self._run or self._pieces):
            first, *rest = self._run or self._pieces.pop()
            low = high - sum(rest)
            self._put(_words(accumulate(rest, initial=low), low, high), high)
            self._run.clear()
            high = low - first

    def _add_dense(self, keys: Sequence[Any]) -> bool:
        """Add all keys at once if they are numbers close to each other, and none was seen; add none otherwise."""
        count = len(keys)
        if not count or not isinstance(keys[0], int):
            return False
        try:
            low, high = min(keys), max(keys)
            if high - low > _SPREAD * count:
                return False
            words = [*_words(keys, low, high)]
        except TypeError:  # not all of them are numbers
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
                    self._count += 1
                    highest = key if highest is None or key > highest else highest
            elif isinstance(key, str):
                if key in self.others:
                    repeated.append(index)
                self.others.add(key)
            elif self._with_anonymous:
                self.others.add(key)
        self.highest = highest
        return frozenset(repeated)

    def _put(self, words: Iterable[tuple[int, int]], highest: int) -> None:
        mine = self._words
        for at, word in words:
            before = mine.get(at, 0)
            mine[at] = before | word
            self._count += (word & ~before).bit_count()
        if self.highest is None or highest > self.highest:
            self.highest = highest


def _words(numbers: Iterable[int], low: int, high: int) -> Iterator[tuple[int, int]]:
    """Return words with a bit for each number, all of them from `low` to `high`."""
    first = low >> _BITS
    base = first << _BITS
    flags = bytearray(high - base + 1)
    for number in numbers:
        flags[number - base] = 1
    digits = flags.translate(_DIGITS)
    for at in range(0, len(digits), _SPAN):
        yield first + (at >> _BITS), int(digits[at : at + _SPAN][::-1], 2)


def gaps_of(keys: Sequence[Any]) -> bytes:
    """Return the distance of each number from the one before, 0 for the first; empty unless all rise by 1 to 255."""
    try:
        gaps = bytes(map(sub, keys, [keys[0], *keys]))
    except (IndexError, TypeError, ValueError):
        return b""
    return b"" if 0 in gaps[1:] else gaps


def fingerprint(keys: Sequence[Any], gaps: bytes | None = None) -> str:
    """Return a short string that identifies the keys of a page in every process; `gaps` is `gaps_of(keys)`."""
    # hash() will not do: it is the same for -1 and -2, and differs in the next process, where a token may be resumed.
    gaps = gaps_of(keys) if gaps is None else gaps
    if gaps:  # with the first id, a checksum of the gaps is enough
        return f"{keys[0]:x}-{crc32(gaps):x}"
    try:
        text = b"ids " + array("Q", keys).tobytes()
    except (TypeError, OverflowError):
        text = repr(tuple(keys)).encode()
    return hashlib.blake2b(text, digest_size=8).hexdigest()
