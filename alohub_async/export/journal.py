"""The journal of an export: everything that came, in order of arrival, so that a killed export loses nothing.

It is a log beside the target. The first line identifies the export. Then follows a line for each page: its records (in
a later pass of an export with details: the keys of records that are in the journal already), and the state of the
export after it. An export resumes behind the last page; a page that was half-written when it was killed is cut off.
"""

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alohub_async.export.exported import Key, key_from_json, key_to_json
from alohub_async.export.locks import open_locked
from alohub_async.export.log import Log, Mark
from alohub_async.export.state import State
from alohub_async.files import check_target, side_path
from alohub_async.pagination import KeySet, Passes

_KIND: Final = "export_journal"


def journal_path(target: Path) -> Path:
    """Return the path of the journal of a target: beside the file, where the target is a link to one."""
    return side_path(Path(os.path.realpath(target)), ".part")


class Journal:
    """An open journal, locked. A `FileError` says that it is damaged, of another version, or cannot be written."""

    def __init__(self, log: Log, pool: Executor, key_of: Callable[[Mapping[str, Any]], Key], *, restart: bool) -> None:
        """Read the log, and cut off a page that was not written to its end."""
        self.path: Path = log.path
        self.thread: Executor = pool  # does the work that waits for the disk; it has ended before the file is closed
        self.header: Mapping[str, Any] = {}  # identifies the export; empty if the journal is new, or to be discarded
        self.state: State = State()  # after the last page
        self.passes: Passes = Passes()  # up to there; the export continues them, and stores their state with `add`
        self._key_of = key_of
        self._log = log
        self._starts = list[Mark]()  # of each pass
        if not restart:
            self._load()

    def _load(self) -> None:
        log = self._log
        entries = log.read(log.start)
        self.header, log.end = next(entries, (self.header, log.start))
        self._starts = [log.end]
        for entry, mark in entries:
            try:
                keys = [*map(self._key_of, entry["records"]), *map(key_from_json, entry["seen"])]
                state = State.from_json(entry["state"])
            except (KeyError, TypeError, ValueError, AttributeError) as exc:
                raise log.unusable("is of another version") from exc
            self.passes.restore(keys, state.passes)
            log.end = mark
            self._set_state(state)
        log.cut(log.end)

    def _set_state(self, state: State) -> None:
        if state.passes.number > self.state.passes.number:
            self._starts.append(self._log.end)
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
        """Start anew, whatever the journal contains."""
        self._log.cut(self._log.start)
        self.state, self.passes = State(), Passes()
        self.header = {_KIND: 1, **header}
        self._log.append(self.header)
        self._starts = [self._log.end]

    def add(self, records: Sequence[Mapping[str, Any]], known: Sequence[Key], state: State) -> None:
        """Append a page, and the state after it. It is safe on the disk when this returns.

        The records are new, or newer than known ones. The records of the `known` keys are in the journal already.
        """
        self._log.append({"records": records, "seen": [*map(key_to_json, known)], "state": state.to_json()})
        self._set_state(state)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Iterate over all records once, as seen last: first those of the last pass, in its order, then the others.

        Those that had gone when the last pass proved the list whole are left out.
        """
        yielded = KeySet(with_anonymous=True)
        ends = [*self._starts[1:], self._log.end]
        for start, end in reversed([*zip(self._starts, ends, strict=True)]):
            of_pass = KeySet(with_anonymous=True)
            for entry, _ in self._log.read(start, end.position):
                keyed = [(self._key_of(record), record) for record in entry["records"]]
                new = [pair for pair in keyed if pair[0] not in yielded and self.passes.holds(pair[0])]
                of_pass.add_all([key for key, _ in new])
                yield from (record for _, record in new)
            yielded.update(of_pass)

    def remove(self) -> None:
        """Remove the journal: the export is done."""
        self._log.remove()


@contextmanager
def open_journal(target: Path, key_of: Callable[[Mapping[str, Any]], Key], *, restart: bool) -> Generator[Journal]:
    """Lock and read the journal of a target; create it if it does not exist."""
    path = journal_path(target)
    check_target(target)  # before the list is walked
    with open_locked(path, target=target) as file, ThreadPoolExecutor(1, "alohub-export") as thread:
        yield Journal(Log(file, path, _KIND), thread, key_of, restart=restart)
