import errno
import os
from pathlib import Path

import pytest

from carbonnode.errors import DiskFull, StorageError
from carbonnode.storage import journal as journal_module
from carbonnode.storage.journal import VoteJournal, segment_paths
from carbonnode.storage.journal_format import FRAME_HEAD_BYTES, SEGMENT_HEAD_BYTES, Record, encode_frame, scan, segment_head
from carbonnode.storage.space import SpaceGuard


def record(number: int, height: int | None = None) -> Record:
    return Record(number if height is None else height, b"vote %d " % number * 5)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.mkdir()
    return path


def write(directory: Path, numbers: range) -> None:
    with VoteJournal.open(directory) as journal:
        for number in numbers:
            journal.append([record(number), record(number + 1000, number)])


def read(directory: Path) -> list[Record]:
    with VoteJournal.open(directory) as journal:
        return list(journal.records())


def expected(numbers: range) -> list[Record]:
    return [item for number in numbers for item in (record(number), record(number + 1000, number))]


def test_reads_back_what_was_appended_over_restarts(directory: Path) -> None:
    write(directory, range(3))
    write(directory, range(3, 6))
    assert read(directory) == expected(range(6))


def test_an_append_is_synced_once(directory: Path) -> None:
    synced: list[int] = []
    with VoteJournal.open(directory, sync=synced.append) as journal:
        before = len(synced)
        journal.append([record(1), record(2), record(3)])
        assert len(synced) == before + 1


def test_every_torn_tail_is_cut_and_appending_goes_on(directory: Path) -> None:
    write(directory, range(3))
    (path,) = segment_paths(directory)
    whole = path.read_bytes()
    second_end = len(segment_head(0)) + 2 * len(encode_frame(0, [record(0), record(1000, 0)]))
    for size in range(second_end, len(whole)):
        path.write_bytes(whole[:size])
        with VoteJournal.open(directory) as journal:
            assert list(journal.records()) == expected(range(2))
            assert journal.cut_bytes == size - second_end
            journal.append([record(2), record(1002, 2)])
        assert read(directory) == expected(range(3))


@pytest.mark.parametrize("tail", [bytes(500), b"\xff" * 30, b"\xc5CNJ\x00\x00\x00\x05"])
def test_garbage_at_the_tail_is_cut(directory: Path, tail: bytes) -> None:
    write(directory, range(2))
    (path,) = segment_paths(directory)
    with path.open("ab") as file:
        file.write(tail)
    assert read(directory) == expected(range(2))


def test_every_flipped_byte_in_the_middle_is_refused_with_the_command(directory: Path) -> None:
    write(directory, range(3))
    (path,) = segment_paths(directory)
    whole = path.read_bytes()
    last_frame = len(whole) - len(encode_frame(2, [record(2), record(1002, 2)]))
    for place in range(last_frame):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match="carbonnode verify-store --repair") as caught:
            VoteJournal.open(directory)
        assert caught.value.code == "corrupt"
        assert path.read_bytes() == damaged


def test_a_flipped_byte_in_the_last_frame_reads_as_its_tear(directory: Path) -> None:
    write(directory, range(3))
    (path,) = segment_paths(directory)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert read(directory) == expected(range(2))


def test_segments_roll_and_old_ones_are_cut_below_a_height(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 300)
    write(directory, range(20))
    before = segment_paths(directory)
    assert len(before) > 5
    with VoteJournal.open(directory) as journal:
        removed = journal.cut_below(10)
        assert removed > 0
        left = segment_paths(directory)
        assert left == before[removed:]
    kept = read(directory)
    assert kept == expected(range(20))[-len(kept) :]
    assert [item for item in kept if item.height >= 10] == [item for item in expected(range(20)) if item.height >= 10]


def test_cutting_never_removes_the_newest_segment(directory: Path) -> None:
    write(directory, range(3))
    with VoteJournal.open(directory) as journal:
        assert journal.cut_below(1_000) == 0
    assert read(directory) == expected(range(3))


def test_a_missing_middle_segment_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 300)
    write(directory, range(20))
    segment_paths(directory)[3].unlink()
    with pytest.raises(StorageError, match="segment before it is missing"):
        VoteJournal.open(directory)


def test_a_torn_segment_that_is_not_the_last_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 300)
    write(directory, range(20))
    path = segment_paths(directory)[2]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StorageError, match=path.name):
        VoteJournal.open(directory)


@pytest.mark.parametrize("size", [0, 5, SEGMENT_HEAD_BYTES - 1])
def test_a_segment_torn_at_its_birth_is_dropped(directory: Path, size: int) -> None:
    write(directory, range(3))
    (directory / f"{3:016d}.seg").write_bytes(segment_head(3)[:size])
    assert read(directory) == expected(range(3))
    write(directory, range(3, 4))
    assert read(directory) == expected(range(4))


def test_rewrite_leaves_only_the_new_content(directory: Path) -> None:
    write(directory, range(5))
    with VoteJournal.open(directory) as journal:
        journal.rewrite([record(50), record(51)])
        journal.append([record(52)])
    assert read(directory) == [record(50), record(51), record(52)]
    assert len(segment_paths(directory)) == 1


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="vote journal is missing"):
        VoteJournal.open(tmp_path / "none")


def test_short_space_refuses_and_resumes(directory: Path) -> None:
    free = [10_000]
    with VoteJournal.open(directory, SpaceGuard(directory, 5_000, lambda _path: free[0])) as journal:
        journal.append([record(0)])
        free[0] = 5_000
        journal_full = [Record(1, b"x" * 6_000)]
        with pytest.raises(DiskFull):
            journal.append(journal_full)
        free[0] = 50_000
        journal.append([record(1)])
    assert read(directory) == [record(0), record(1)]


def test_no_space_in_the_middle_of_a_write_leaves_no_trace(directory: Path) -> None:
    fail = [False]

    def sync(file: int) -> None:
        if fail[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fdatasync(file)

    with VoteJournal.open(directory, sync=sync) as journal:
        journal.append([record(0)])
        fail[0] = True
        with pytest.raises(DiskFull):
            journal.append([record(1)])
        fail[0] = False
        journal.append([record(2)])
    assert read(directory) == [record(0), record(2)]


def test_a_failed_sync_ends_all_voting(directory: Path) -> None:
    def sync(_file: int) -> None:
        if armed:
            raise OSError(errno.EIO, "Input/output error")

    armed = False
    with VoteJournal.open(directory, sync=sync) as journal:
        journal.append([record(0)])
        armed = True
        with pytest.raises(StorageError, match="the disk failed"):
            journal.append([record(1)])
        armed = False
        with pytest.raises(StorageError, match="votes no more"):
            journal.append([record(2)])


def test_scan_rejects_frames_that_jump_in_number() -> None:
    data = segment_head(7) + encode_frame(7, [record(1)]) + encode_frame(9, [record(2)])
    found = scan(data)
    assert found.damaged
    assert found.records == (record(1),)


def test_scan_rejects_a_record_longer_than_its_frame() -> None:
    frame = bytearray(encode_frame(0, [record(1)]))
    frame[FRAME_HEAD_BYTES + 11] += 1
    assert scan(segment_head(0) + bytes(frame)).torn
