"""Which records were seen: by their ids, exactly, in little memory."""

import hashlib
from collections.abc import Hashable, Sequence
from typing import Final

_BITS: Final = 9  # 512 ids a word: dense ids take 2 to 3 bytes each in all, and scattered ones still only about 200
_MASK: Final = (1 << _BITS) - 1


class KeySet:
    """The keys of all records so far.

    An int or a string is an id; any other key is that of a record without one, which is never taken for another.
    """

    def __init__(self) -> None:
        self._words: dict[int, int] = {}
        self._strings: set[str] = set()

    def add_all(self, keys: Sequence[Hashable]) -> frozenset[int]:
        """Add the keys of a page; the indexes of those that were there already."""
        words, repeated = self._words, list[int]()
        for index, key in enumerate(keys):
            if isinstance(key, int):
                at, bit = key >> _BITS, 1 << (key & _MASK)
                word = words.get(at, 0)
                if word & bit:
                    repeated.append(index)
                else:
                    words[at] = word | bit
            elif isinstance(key, str):
                if key in self._strings:
                    repeated.append(index)
                self._strings.add(key)
        return frozenset(repeated)


def fingerprint(keys: Sequence[Hashable]) -> str:
    """A short string that stands for a page's keys, the same in another process."""
    # Of their spelling: hash() takes -1 and -2 for one, and is another in the next process, where a token may go on.
    return hashlib.blake2b(repr(tuple(keys)).encode(), digest_size=8).hexdigest()
