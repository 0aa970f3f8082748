"""The journal of an export: everything that came, in order of arrival, so that a killed export loses nothing.

It is a file beside the target, in JSON Lines, that is only ever appended to. The first line identifies the export. Then
follow, for each page, its records (in a later pass of an export with details: the keys of records that are in the
journal already), and a checkpoint. The checkpoint has the state of the export, and a checksum of everything before it.
So what was half-written when the export was killed, or did not reach the disk, is detected and cut off: the export
resumes from the last intact checkpoint.
"""

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, cast

from alohub_async.errors import FileError
from alohub_async.export.exported import Key, key_from_json, key_to_json
from alohub_async.export.locks import open_locked
from alohub_async.export.state import State
from alohub_async.files import file_error, json_text, sync_folder
from alohub_async.pagination import KeySet, Passes

KeyOf: TypeAlias = Callable[[Mapping[str, Any]], Key]
"""Returns the identity key of a record's JSON object."""

_VERSION: Final = 1
_TORN: Final = 4096  # most bytes of a header that was half-written
_BATCH: Final = 4096  # keys added at a time


def journal_path(target: Path) -> Path:
    """Return the path of the journal of a target."""
    return target.with_name(f"{target.name}.part")


class Journal:
    """An open journal, locked.

    Attributes:
        path: Its path.
        header: Identifies the export; empty if nothing was written yet.
        state: The state at the last checkpoint.
        passes: The passes over the list up to there. The export continues them, and stores their state with `add`.
    """

    def __init__(self, file: BinaryIO, path: Path, key_of: KeyOf) -> None:
        """Read the file, and cut off a tail that is not intact.

        Raises:
            FileError: It is not a journal.
        """
        self.path: Path = path
        self.header: Mapping[str, Any] = {}
        self.state: State = State()
        self.passes: Passes = Passes()
        self._key_of = key_of
        self._file = file
        self._hash = hashlib.blake2b(digest_size=16)
        self._starts: list[int] = []  # of each pass, in bytes
        self._end = 0
        self._load()

    def _load(self) -> None:
        self._file.seek(0)
        header = self._file.readline()
        found = _decoded(header)
        if found.get("journal") == _VERSION:
            self.header = found
            self._note(header)
            self._starts = [self._end]
            self._load_pages()
        elif found or os.fstat(self._file.fileno()).st_size > _TORN:
            raise FileError(f"{self.path} is not a journal of an export by this version; move it away", path=self.path)
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def _load_pages(self) -> None:
        keys: list[Key] = []
        hasher = self._hash.copy()
        end = self._end
        for line in self._file:
            entry = _decoded(line)
            if "checkpoint" in entry:
                if entry.get("sum") != hasher.hexdigest():
                    return
                hasher.update(line)
                end += len(line)
                self._hash, self._end = hasher.copy(), end
                state = State.from_json(entry["checkpoint"])
                self.passes.restore(keys, state.passes)
                self._set_state(state)
                keys = []
                continue
            hasher.update(line)
            end += len(line)
            if "seen" in entry:
                keys += map(key_from_json, entry["seen"])
            elif "id" in entry:
                keys.append(self._key_of(entry))
            else:
                return

    def _note(self, data: bytes) -> None:
        self._hash.update(data)
        self._end += len(data)

    def _set_state(self, state: State) -> None:
        if state.passes.number > self.state.passes.number:
            self._starts.append(self._end)
        self.state = state

    @property
    def empty(self) -> bool:
        """Whether no page has come yet."""
        return self.state.passes.number == 1 and self.state.token is None and not self.state.ended

    def differences(self, wanted: Mapping[str, Any]) -> str:
        """Return in words how the export of this journal differs from another one; "" if it does not."""
        found = {name: self.header.get(name) for name in wanted}
        return ", ".join(
            "the API key is another" if name == "key" else f"{name} was {found[name]!r}, and is {value!r} now"
            for name, value in wanted.items()
            if found[name] != value
        )

    def begin(self, header: Mapping[str, Any]) -> None:
        """Start anew, whatever the journal contains.

        Raises:
            FileError: It cannot be written.
        """
        try:
            self._file.truncate(0)
            self._file.seek(0)
            self._hash, self._end = hashlib.blake2b(digest_size=16), 0
            self.state, self.passes = State(), Passes()
            self.header = {"journal": _VERSION, **header}
            self._append(json_text(self.header).encode())
            sync_folder(self.path.parent)
        except OSError as exc:
            raise file_error(self.path, exc, doing="write") from exc
        self._starts = [self._end]

    def add(self, records: Sequence[Mapping[str, Any]], known: Sequence[Key], state: State) -> None:
        """Append a page and a checkpoint. Both are safe on the disk when this returns.

        Args:
            records: New records, or newer versions of known ones.
            known: Keys that came, too, whose records are in the journal already.
            state: The state of the export after this page.

        Raises:
            FileError: It cannot be written; a half-written page is cut off when the export is resumed.
        """
        text = "".join(map(json_text, records))
        if known:
            text += json_text({"seen": [*map(key_to_json, known)]})
        data = text.encode()
        hasher = self._hash.copy()
        hasher.update(data)
        checkpoint = json_text({"checkpoint": state.to_json(), "sum": hasher.hexdigest()}).encode()
        try:
            self._append(data + checkpoint)
        except OSError as exc:
            raise file_error(self.path, exc, doing="write") from exc
        self._set_state(state)

    def _append(self, data: bytes) -> None:
        handle, left = self._file.fileno(), memoryview(data)  # no buffer, which would write again when it is closed
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
        self._note(data)

    def records(self) -> Iterator[dict[str, Any]]:
        """Iterate over all records, each once, as it was seen last.

        The records of the last pass come first, in its order, then those that only earlier passes brought.
        """
        yielded = KeySet(with_anonymous=True)
        ends = [*self._starts[1:], self._end]
        for start, end in reversed([*zip(self._starts, ends, strict=True)]):
            keys: list[Key] = []
            of_pass = KeySet(with_anonymous=True)
            for record in self._records(start, end):
                key = self._key_of(record)
                if key not in yielded:
                    keys.append(key)
                    yield record
                if len(keys) >= _BATCH:
                    of_pass.add_all(keys)
                    keys.clear()
            of_pass.add_all(keys)
            yielded.update(of_pass)

    def _records(self, start: int, end: int) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end:
                line = file.readline()
                start += len(line)
                record = json.loads(line)
                if "id" in record:
                    yield record

    def remove(self) -> None:
        """Remove the journal: the export is done."""
        if os.name == "nt":
            self._file.close()  # an open file could not be removed
        self.path.unlink()
        sync_folder(self.path.parent)


def _decoded(line: bytes) -> dict[str, Any]:
    """Return the entry of a line; an empty one if the line is not intact."""
    try:
        entry: Any = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        entry = None
    return cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}


@contextmanager
def open_journal(target: Path, key_of: KeyOf) -> Generator[Journal]:
    """Lock and read the journal of a target; create it if it does not exist.

    Raises:
        FileError: Another export uses the journal, it cannot be opened, or it is not a journal.
    """
    path = journal_path(target)
    with open_locked(path, target=target) as file:
        try:
            journal = Journal(file, path, key_of)
        except OSError as exc:
            raise file_error(path, exc, doing="read") from exc
        yield journal
