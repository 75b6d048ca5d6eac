"""The order in which this validator first held each transaction: surveillance compares it with what primaries made of it.

Records of 40 bytes, appended: wall clock in ms (8, big-endian), id (32). Files of 16 MiB, the last eight are kept; what a crash loses of the
unsynced end is no evidence against anybody.
"""

from collections.abc import Iterator
from pathlib import Path

from carbonnode.storage.space import FULL_ERRNOS

RECORD_BYTES = 40
FILE_BYTES = 16 * 1024 * 1024
KEPT = 8
_STEM = "arrivals"


class ArrivalLog:
    """Appends in `directory`; one write for all transactions that came in together."""

    def __init__(self, directory: Path, file_bytes: int = FILE_BYTES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._file_bytes = file_bytes
        self._path = directory / f"{_STEM}.log"
        self._file = self._path.open("ab", buffering=0)
        self._size = self._path.stat().st_size
        self.lost = 0
        """Arrivals that found no space on the disk."""
        # A crash may have torn the last record: what follows must stay aligned.
        torn = self._size % RECORD_BYTES
        if torn:
            self._size -= torn
            self._file.truncate(self._size)

    def note(self, now_ms: int, ids: list[bytes]) -> None:
        """These arrived now, in this order."""
        stamp = now_ms.to_bytes(8, "big")
        data = b"".join([stamp + tx_id for tx_id in ids])
        try:
            written = self._file.write(data)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise
            written = 0
        if written < len(data):
            self._file.truncate(self._size)
            self.lost += len(ids)
            return
        self._size += written
        if self._size >= self._file_bytes:
            self._roll()

    def _roll(self) -> None:
        self._file.close()
        for number in range(KEPT - 1, 0, -1):
            older = self._directory / f"{_STEM}.{number}.log"
            if older.exists():
                older.replace(self._directory / f"{_STEM}.{number + 1}.log")
        self._path.replace(self._directory / f"{_STEM}.1.log")
        self._file = self._path.open("ab", buffering=0)
        self._size = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_arrivals(directory: Path) -> Iterator[tuple[int, bytes]]:
    """(ms, id) of what is kept, oldest first."""
    numbered = [directory / f"{_STEM}.{number}.log" for number in range(KEPT, 0, -1)]
    for path in [*numbered, directory / f"{_STEM}.log"]:
        if not path.exists():
            continue
        data = path.read_bytes()
        for at in range(0, len(data) - RECORD_BYTES + 1, RECORD_BYTES):
            yield int.from_bytes(data[at : at + 8], "big"), data[at + 8 : at + RECORD_BYTES]
