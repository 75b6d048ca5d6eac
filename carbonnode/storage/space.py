"""Disk space: refuse to write while some is still reserved, so that a full disk never tears a store (PBFT.md, last paragraph)."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from carbonnode.errors import DiskFull

DEFAULT_RESERVE_BYTES = 64 * 1024 * 1024
_CHECK_EVERY_BYTES = 4 * 1024 * 1024
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write on the file system of `path`."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


class SpaceGuard:
    """Raises `DiskFull` before a write when less than `reserve_bytes` would remain.

    The file system is asked at the first write, then after every 4 MiB written, and at every write while space is short: recovery is noticed
    at once and needs no restart.
    """

    def __init__(self, path: Path, reserve_bytes: int = DEFAULT_RESERVE_BYTES, free: Callable[[Path], int] = free_bytes) -> None:
        self._path = path
        self._reserve = reserve_bytes
        self._free = free
        self._allowance = 0

    def check(self, size: int) -> None:
        """Account for `size` bytes about to be written. Raises `DiskFull`."""
        self._allowance -= size
        if self._allowance > 0:
            return
        available = self._free(self._path)
        if available - size < self._reserve:
            self._allowance = 0
            raise DiskFull(
                f"{self._path}: {available // 1024} KiB are free and {self._reserve // 1024} KiB are kept in reserve: nothing more is written and "
                "this node doesn't vote; free space on this file system and it resumes by itself"
            )
        self._allowance = min(_CHECK_EVERY_BYTES, available - self._reserve - size)
