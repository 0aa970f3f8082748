"""The journal of an export: all that came, in the order in which it came, so that being killed loses nothing.

A file beside the target, JSON Lines, only ever added to: first what the export is of; then for each page its records
(in a later pass of an export with details: the keys of those that were had already), and a checkpoint. That has the
state of the export and a checksum of all before it, so whatever was half-written when the export was cut off, or did
not reach the disk, is found and cut off: the export goes on from the last checkpoint that is whole.
"""

import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import attrs

from alohub_async.errors import FileError
from alohub_async.export.locks import open_locked
from alohub_async.export.state import Key, Seen, State, key_of
from alohub_async.files import file_error, json_text, queue_of, sync_folder
from alohub_async.models import InboundQueue
from alohub_async.pagination.seen_keys import KeySet

_VERSION: Final = 1
_TORN: Final = 4096  # bytes that a header which was half-written may have
_BATCH: Final = 4096  # keys added at a time


def journal_path(target: Path) -> Path:
    """Where the journal of a target is."""
    return target.with_name(f"{target.name}.part")


class Journal:
    """An open journal, locked.

    Attributes:
        path: Where it is.
        header: What the export is of; empty if nothing was written yet.
        state: As of the last checkpoint.
        seen: The keys up to there.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        """Read what is there, and cut off what is not whole.

        Raises:
            FileError: It is something else.
        """
        self.path: Path = path
        self.header: Mapping[str, Any] = {}
        self.state: State = State()
        self.seen: Seen = Seen()
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
            raise FileError(f"{self.path} is no journal of this version's exports; move it away", path=self.path)
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
                self._take(keys, State.read(entry["checkpoint"]))
                keys = []
                continue
            hasher.update(line)
            end += len(line)
            if "seen" in entry:
                keys += entry["seen"]
            elif "id" in entry:
                keys.append(key_of(entry))
            else:
                return

    def _note(self, data: bytes) -> None:
        self._hash.update(data)
        self._end += len(data)

    def _take(self, keys: Sequence[Key], state: State) -> None:
        self.seen.now.add_all(keys)
        if state.number > self.state.number:
            self.seen.turn()
            self._starts.append(self._end)
        self.state = state

    @property
    def empty(self) -> bool:
        """Whether nothing came yet."""
        return self.state.number == 1 and self.state.token is None and not self.state.ended

    def differences(self, wanted: Mapping[str, Any]) -> str:
        """What this journal's export has other than wanted, in words; empty if it is that very export."""
        found = {name: self.header.get(name) for name in wanted}
        return ", ".join(
            "the API key is another" if name == "key" else f"{name} was {found[name]!r}, and is {value!r} now"
            for name, value in wanted.items()
            if found[name] != value
        )

    def begin(self, header: Mapping[str, Any]) -> None:
        """Begin anew, whatever was there.

        Raises:
            FileError: It cannot be written.
        """
        try:
            self._file.truncate(0)
            self._file.seek(0)
            self._hash, self._end = hashlib.blake2b(digest_size=16), 0
            self.state, self.seen = State(), Seen()
            self.header = {"journal": _VERSION, **header}
            self._append(json_text(self.header).encode())
            sync_folder(self.path.parent)
        except OSError as exc:
            raise file_error(self.path, exc, doing="write") from exc
        self._starts = [self._end]

    def add(
        self, records: Sequence[Mapping[str, Any]], keys: Sequence[Key], known: Sequence[Key], state: State
    ) -> None:
        """Add a page and where the export stands behind it, safe on the disk when this returns.

        Args:
            records: New ones, or newer ones of known queues.
            keys: What they are known by.
            known: Keys that came again, whose records are there already.
            state: Where the export stands with them.

        Raises:
            FileError: It cannot be written; what is half-written is cut off when the export goes on.
        """
        text = "".join(map(json_text, records)) + (json_text({"seen": known}) if known else "")
        data = text.encode()
        hasher = self._hash.copy()
        hasher.update(data)
        checkpoint = json_text({"checkpoint": attrs.asdict(state), "sum": hasher.hexdigest()}).encode()
        try:
            self._append(data + checkpoint)
        except OSError as exc:
            raise file_error(self.path, exc, doing="write") from exc
        self._take([*keys, *known], state)

    def _append(self, data: bytes) -> None:
        handle, left = self._file.fileno(), memoryview(data)  # no buffer that would try again when it is closed
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
        self._note(data)

    def queues(self) -> Iterator[InboundQueue]:
        """Each queue once, as it was seen last: those of the last pass in its order, then those only seen before."""
        handed_out = KeySet()
        ends = [*self._starts[1:], self._end]
        for start, end in reversed([*zip(self._starts, ends, strict=True)]):
            keys: list[Key] = []
            of_pass = KeySet()
            for record in self._records(start, end):
                key = key_of(record)
                if key not in handed_out:
                    keys.append(key)
                    yield queue_of(record)
                if len(keys) >= _BATCH:
                    of_pass.add_all(keys)
                    keys.clear()
            of_pass.add_all(keys)
            handed_out.update(of_pass)

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
        """The export is done."""
        if os.name == "nt":
            self._file.close()  # or it could not be removed
        self.path.unlink()
        sync_folder(self.path.parent)


def _decoded(line: bytes) -> dict[str, Any]:
    """The entry of a line; an empty one if the line is not whole."""
    try:
        entry: Any = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        entry = None
    return cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}


@contextmanager
def open_journal(target: Path) -> Generator[Journal]:
    """The journal of a target, locked and read, whether it is there already or not.

    Raises:
        FileError: Another export has it, it cannot be opened, or it is something else.
    """
    path = journal_path(target)
    with open_locked(path, target=target) as file:
        try:
            journal = Journal(file, path)
        except OSError as exc:
            raise file_error(path, exc, doing="read") from exc
        yield journal
