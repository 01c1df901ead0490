"""The run folders below one folder; a run is read again when a file of it has changed."""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secateur.board.rows import details_of, listing_of
from secateur.config.places import shown
from secateur.reports.collect import RunRecord, read_run, run_folders
from secateur.reports.reading import Reader
from secateur.runs.log import is_locked
from secateur.utils.text import printable

#: Bytes of the largest file of a run that is read.
LARGEST = 2**24
#: The folder is looked through at most so often, in seconds; and for at most this share of the time, reading left out.
PAUSE, SHARE = 1.0, 0.1
#: The parts of a run folder that are read.
PARTS = ("output", "models")


@dataclass
class Watched:
    """A run as it was last read."""

    run: RunRecord
    #: Names, times and sizes of its files.
    stamp: Any
    running: bool = False
    #: The error that a file of it could not be read for.
    problem: str = ""

    @property
    def version(self) -> int:
        """A number that is another one when the run has changed."""
        return zlib.crc32(repr((self.stamp, self.running)).encode(errors="replace"))


class Runs:
    """The runs below `root`, which is resolved; the methods may be called by several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.found: dict[str, Watched] = {}
        #: Folders that cannot be listed.
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._next = self._reading = 0.0
        #: What the listing was made of, and the listing.
        self._listing: tuple[Any, bytes] = (None, b"")

    def listing(self) -> bytes:
        """What the table shows, a row for each run, as JSON."""
        with self._lock:
            self._look()
            of = [(name, one.version) for name, one in self.found.items()], self.problems
            if self._listing[0] != of:
                content = {"folder": printable(shown(self.root)), **listing_of(self.found, self.problems)}
                self._listing = of, json.dumps(content, allow_nan=False).encode()
            return self._listing[1]

    def details(self, name: str) -> dict[str, Any] | None:
        """What is known of one run, by its name in the listing; None where there is no such run."""
        with self._lock:
            self._look()
            one = self.found.get(name)
        return details_of(name, one) if one else None

    def folder(self, name: str) -> Path | None:
        """The folder of a run by its name in the listing, where nothing in it leads elsewhere."""
        with self._lock:
            self._look()
            one = self.found.get(name)
        return one.run.folder if one and not _link_that_leads_out(one.run.folder, self.root) else None

    def _look(self) -> None:
        """Look through the folder, and read what has changed."""
        started, self._reading = time.monotonic(), 0.0
        if started < self._next:
            return
        reader = Reader(LARGEST)
        found = {}
        for folder in run_folders(self.root, reader) if self.root.is_dir() else []:
            name = printable(folder.relative_to(self.root).as_posix() if folder != self.root else folder.name)
            found[name] = self._watched(folder, self.found.get(name))
        self.found, self.problems = dict(sorted(found.items(), reverse=True)), reader.problems
        now = time.monotonic()
        self._next = now + max(PAUSE, (now - started - self._reading) / SHARE)

    def _watched(self, folder: Path, before: Watched | None) -> Watched:
        stamp = [*_stamp(folder)]
        one = before
        if before is None or before.stamp != stamp:
            started, reader = time.monotonic(), Reader(LARGEST)
            link = _link_that_leads_out(folder, self.root)
            if link:
                run = RunRecord(folder, status="damaged", reason=f"{link} is a link that leads out of the folder")
            else:
                run = read_run(folder, reader, tables=False)
            one = Watched(run, stamp, problem=printable(next(iter(reader.problems), "")))
            self._reading += time.monotonic() - started
        running = not one.run.results and is_locked(folder / "output" / "log.txt")
        return one if running == one.running else replace(one, running=running)


def _stamp(folder: Path) -> Iterator[tuple[Any, ...]]:
    """What changes when a file of a run changes: of each file in `PARTS` the name, the time and the size."""
    for part in PARTS:
        try:
            with os.scandir(folder / part) as files:
                for file in sorted(files, key=lambda file: file.name):
                    status = file.stat(follow_symlinks=False)
                    yield part, file.name, status.st_mtime_ns, status.st_size, status.st_mode
        except OSError as error:
            yield part, error.errno


def _link_that_leads_out(folder: Path, root: Path) -> str:
    """The first of the files of a run that is a link to something outside of `root`; "" where none is."""
    for part in PARTS:
        for path in _paths(folder / part):
            try:
                outside = path.is_symlink() and not path.resolve().is_relative_to(root)
            except (OSError, RuntimeError):  # a link to itself
                outside = True
            if outside:
                return printable(path.relative_to(folder).as_posix())
    return ""


def _paths(folder: Path) -> Iterator[Path]:
    yield folder
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return  # it is missing, or cannot be listed, which reading it says
