"""The vote journal: opaque records, durable before any vote leaves (PBFT.md, durability).

Segments of a few MiB in one directory. At opening a torn tail is cut; damage in the middle stops the node with the name of the command that
repairs it, since a lost vote could become a second, different one.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from carbonnode.errors import DiskFull, StorageError
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.datadir import sync_directory
from carbonnode.storage.journal_format import SEGMENT_HEAD_BYTES, Record, Scan, encode_frame, scan, segment_head
from carbonnode.storage.space import FULL_ERRNOS, SpaceGuard

SEGMENT_BYTES = 4 * 1024 * 1024
REPAIR_COMMAND = "carbonnode verify-store --repair"
_SUFFIX = ".seg"


class _Segment:
    """A closed or current segment file: its path, first frame, highest height and size."""

    __slots__ = ("first_frame", "max_height", "path", "size")

    def __init__(self, path: Path, first_frame: int, max_height: int, size: int) -> None:
        self.path = path
        self.first_frame = first_frame
        self.max_height = max_height
        self.size = size


def segment_paths(directory: Path) -> list[Path]:
    """The segment files in order."""
    return sorted(path for path in directory.iterdir() if path.suffix == _SUFFIX)


class VoteJournal:
    """Append, read back at start, cut below a height. One process, one thread at a time."""

    def __init__(self, directory: Path, guard: SpaceGuard, crash: CrashPoints, sync: Callable[[int], None]) -> None:
        self._directory = directory
        self._guard = guard
        self._crash = crash
        self._sync = sync
        self._segments: list[_Segment] = []
        self._recovered: list[Record] = []
        self._file = -1
        self._next_frame = 0
        self._failed = ""
        self.cut_bytes = 0
        """Bytes of a torn tail that were cut at opening."""

    @classmethod
    def open(
        cls, directory: Path, guard: SpaceGuard | None = None, crash: CrashPoints | None = None, sync: Callable[[int], None] = os.fdatasync
    ) -> "VoteJournal":
        """Read all segments and get ready to append.

        Raises `StorageError`: the directory is missing, or a segment is damaged in its middle (the message names file, offset and command).
        """
        if not directory.is_dir():
            raise StorageError(f"{directory}: the vote journal is missing; {_advice()}", code="missing")
        journal = cls(directory, guard or SpaceGuard(directory), crash or CrashPoints(), sync)
        journal._load()
        return journal

    def records(self) -> tuple[Record, ...]:
        """What was on disk at opening, oldest first."""
        return tuple(self._recovered)

    def append(self, group: Sequence[Record]) -> None:
        """Write the records as one frame and sync: durable when this returns.

        Raises `DiskFull` with the journal unchanged, to be tried again when there is space; `StorageError` if the disk failed, after which nothing
        more is accepted: what the disk holds is then unknown until the next start.
        """
        if not group:
            return
        if self._failed:
            raise StorageError(self._failed, code="io")
        frame = encode_frame(self._next_frame, group)
        self._guard.check(len(frame))
        if self._segments[-1].size + len(frame) > SEGMENT_BYTES and self._segments[-1].size > SEGMENT_HEAD_BYTES:
            self._roll()
        self._crash.reach("persist.before")
        self._write(self._file, frame, self._segments[-1].size)
        self._crash.reach("persist.after")
        self._next_frame += 1
        segment = self._segments[-1]
        segment.size += len(frame)
        segment.max_height = max(segment.max_height, *(record.height for record in group))

    def cut_below(self, height: int) -> int:
        """Remove whole old segments whose records all belong to heights below `height`; returns how many. The newest always stays."""
        removed = 0
        while len(self._segments) > 1 and self._segments[0].max_height < height:
            self._segments.pop(0).path.unlink()
            removed += 1
        if removed:
            sync_directory(self._directory)
        return removed

    def rewrite(self, group: Sequence[Record]) -> None:
        """Start over with `group` as the whole content: written to a new segment and synced before the older ones are removed."""
        self._roll()
        old, self._segments = self._segments[:-1], self._segments[-1:]
        try:
            self.append(group)
        except StorageError:
            self._segments = old + self._segments
            raise
        for segment in old:
            segment.path.unlink()
        sync_directory(self._directory)

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments)

    def close(self) -> None:
        """Close the current segment."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _load(self) -> None:
        paths = segment_paths(self._directory)
        for index, path in enumerate(paths):
            data = path.read_bytes()
            found = scan(data)
            last = index == len(paths) - 1
            self._refuse_damage(path, data, found, last=last)
            if found.torn and found.end == 0:
                path.unlink()
                self.cut_bytes += len(data)
                continue
            if found.torn:
                self._cut(path, found.end)
                self.cut_bytes += len(data) - found.end
            first = int.from_bytes(data[8:16], "big")
            self._segments.append(_Segment(path, first, found.max_height, found.end))
            self._recovered += found.records
            self._next_frame = found.next_frame
        if self._segments:
            self._file = os.open(self._segments[-1].path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            # After a kill the last records may lie in the page cache only: votes are repeated from them, so they must be durable first.
            self._sync(self._file)
        else:
            self._roll()

    def _refuse_damage(self, path: Path, data: bytes, found: Scan, *, last: bool) -> None:
        gap = bool(self._segments) and not (found.torn and found.end == 0) and int.from_bytes(data[8:16], "big") != self._next_frame
        if gap:
            raise StorageError(f"{path}: a segment before it is missing, so votes are lost; {_advice()}", code="corrupt")
        if found.damaged or (found.torn and not last):
            raise StorageError(f"{path} is damaged at byte {found.end}, with sound records behind it; {_advice()}", code="corrupt")

    def _cut(self, path: Path, end: int) -> None:
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())

    def _roll(self) -> None:
        path = self._directory / f"{self._next_frame:016d}{_SUFFIX}"
        if self._segments and self._segments[-1].path == path:
            return
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        head = segment_head(self._next_frame)
        try:
            self._write(file, head, 0)
        except StorageError:
            os.close(file)
            path.unlink()
            raise
        sync_directory(self._directory)
        self.close()
        self._file = file
        self._segments.append(_Segment(path, self._next_frame, -1, len(head)))

    def _write(self, file: int, data: bytes, size: int) -> None:
        """Write behind `size` bytes and sync; on a full disk the file is cut back to that, so that the journal stays usable."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            self._sync(file)
        except OSError as error:
            if error.errno in FULL_ERRNOS:
                os.ftruncate(file, size)
                raise DiskFull(f"{self._directory}: no space is left for the vote journal: this node doesn't vote until there is") from None
            self._failed = f"{self._directory}: the disk failed while a vote was written ({error}): this node votes no more; check the disk, then restart"
            raise StorageError(self._failed, code="io") from None


def _advice() -> str:
    return (
        f"this node must not vote on a journal with holes: run `{REPAIR_COMMAND}`, which sets the journal aside and makes the node abstain until "
        "it may vote safely again"
    )
