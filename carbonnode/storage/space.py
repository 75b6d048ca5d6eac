"""Disk space: refuse to write while some is still reserved, so that a full disk never tears a store (PBFT.md, last paragraph)."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from carbonnode.errors import DiskFull

DEFAULT_RESERVE_BYTES = 64 * 1024 * 1024
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write on the file system of `path`."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


class SpaceGuard:
    """Raises `DiskFull` before a write when less than `reserve_bytes` would remain.

    The file system is asked at every write (4 us, beside an fdatasync): other programs fill disks too, in between. Recovery is noticed at once and
    needs no restart.
    """

    def __init__(self, path: Path, reserve_bytes: int = DEFAULT_RESERVE_BYTES, free: Callable[[Path], int] = free_bytes) -> None:
        self._path = path
        self._reserve = reserve_bytes
        self._free = free

    def check(self, size: int) -> None:
        """`size` bytes are about to be written. Raises `DiskFull`."""
        available = self._free(self._path)
        if available - size < self._reserve:
            raise DiskFull(
                f"{self._path}: {available // 1024} KiB are free and {self._reserve // 1024} KiB are kept in reserve: nothing more is written and "
                "this node doesn't vote; free space on this file system and it resumes by itself"
            )
