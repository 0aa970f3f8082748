"""Which records were seen: by their ids, exactly, in little memory and little time."""

import hashlib
from array import array
from collections.abc import Hashable, Sequence
from typing import Any, Final

_BITS: Final = 11  # 2048 ids a word: dense ids take about half a byte each in all, scattered ones 250
_MASK: Final = (1 << _BITS) - 1
_WORD: Final = (1 << (1 << _BITS)) - 1
_SPREAD: Final = 64  # a page whose ids lie further apart than so many a record is not dense
_DIGITS: Final = bytes.maketrans(b"\x00\x01", b"01")


class KeySet:
    """The keys of all records so far.

    An int or a string is an id; any other key is that of a record without one, which is never taken for another.

    Attributes:
        words: The ids that are numbers, each a bit.
        strings: Those that are strings.
    """

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.strings: set[str] = set()

    def __contains__(self, key: Hashable) -> bool:
        if isinstance(key, int):
            return bool(self.words.get(key >> _BITS, 0) & 1 << (key & _MASK))
        return key in self.strings

    def __len__(self) -> int:
        return sum(word.bit_count() for word in self.words.values()) + len(self.strings)

    def __le__(self, other: "KeySet") -> bool:
        """Whether the other one has all of these."""
        numbers = all(not word & ~other.words.get(at, 0) for at, word in self.words.items())
        return numbers and self.strings <= other.strings

    def update(self, other: "KeySet") -> None:
        """Add the other one's keys."""
        for at, word in other.words.items():
            self.words[at] = self.words.get(at, 0) | word
        self.strings |= other.strings

    def add_all(self, keys: Sequence[Hashable]) -> frozenset[int]:
        """Add the keys of a page; the indexes of those that were there already."""
        if self._add_dense(keys):
            return frozenset()
        words, repeated = self.words, list[int]()
        for index, key in enumerate(keys):
            if isinstance(key, int):
                at, bit = key >> _BITS, 1 << (key & _MASK)
                word = words.get(at, 0)
                if word & bit:
                    repeated.append(index)
                else:
                    words[at] = word | bit
            elif isinstance(key, str):
                if key in self.strings:
                    repeated.append(index)
                self.strings.add(key)
        return frozenset(repeated)

    def _add_dense(self, keys: Sequence[Any]) -> bool:
        """Add them all at once if they are numbers close to each other, and none was there; else add none."""
        count = len(keys)
        try:
            in_a_row = keys[-1] - keys[0] == count - 1 and keys == [*range(keys[0], keys[0] + count)]
            low, high = (keys[0], keys[-1]) if in_a_row else (min(keys), max(keys))
        except (IndexError, TypeError, ValueError):  # keys of different kinds, or none at all
            return False
        if not isinstance(low, int) or high - low > _SPREAD * count:
            return False
        first = low >> _BITS
        base = first << _BITS
        if in_a_row:
            mask = ((1 << count) - 1) << (low - base)  # bit n is the key base + n
        else:
            flags = bytearray(high - base + 1)
            for key in keys:
                flags[key - base] = 1
            flags.reverse()
            mask = int(flags.translate(_DIGITS), 2)
        if mask.bit_count() < count:
            return False
        words, last = self.words, high >> _BITS
        parts = [(first, mask)]
        if last > first:
            parts = [(at, mask >> ((at - first) << _BITS) & _WORD) for at in range(first, last + 1)]
        for at, part in parts:
            if at in words and words[at] & part:
                return False
        for at, part in parts:
            words[at] = words[at] | part if at in words else part
        return True


def fingerprint(keys: Sequence[Hashable]) -> str:
    """A short string that stands for a page's keys, the same in another process."""
    # Not of hash(): it takes -1 and -2 for one, and is another in the next process, where a token may go on.
    numbers: Any = keys
    try:
        said = array("q", numbers).tobytes()
    except (TypeError, OverflowError):
        said = repr(tuple(keys)).encode()
    return hashlib.blake2b(said, digest_size=8).hexdigest()
