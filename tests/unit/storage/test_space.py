"""The reserve of disk space: asked for at every write, since others write too."""

from pathlib import Path

import pytest

from carbonnode.errors import DiskFull
from carbonnode.storage.space import SpaceGuard, free_bytes


def test_a_disk_that_somebody_else_fills_is_noticed_at_the_next_write(tmp_path: Path) -> None:
    free = [10_000]
    guard = SpaceGuard(tmp_path, 5_000, lambda _path: free[0])
    guard.check(100)
    free[0] = 5_050
    with pytest.raises(DiskFull, match="4 KiB are free and 4 KiB are kept in reserve"):
        guard.check(100)
    guard.check(50)
    free[0] = 10_000
    guard.check(100)


def test_free_bytes_are_the_file_systems(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
