import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest

from carbonnode.errors import StorageError
from carbonnode.storage.journal import VoteJournal
from carbonnode.storage.journal_format import Record
from carbonnode.storage.journal_writer import GroupCommit


def record(number: int) -> Record:
    return Record(number, b"%d" % number)


@pytest.mark.asyncio
async def test_waiting_persists_share_one_sync(tmp_path: Path) -> None:
    gate, entered = threading.Event(), threading.Event()
    syncs: list[int] = []

    def sync(file: int) -> None:
        syncs.append(file)
        if len(syncs) > 1:
            entered.set()
            gate.wait(10)

    with VoteJournal.open(tmp_path, sync=sync) as journal:
        group = GroupCommit(journal)
        first = group.persist([record(0)])
        await asyncio.to_thread(entered.wait, 10)
        others = [group.persist([record(number)]) for number in range(1, 50)]
        assert not first.done()
        assert group.pending_s > 0  # the disk doesn't answer
        gate.set()
        await asyncio.gather(first, *others)
        assert group.groups == 2
        assert len(syncs) == 3
        assert group.pending_s == 0
        await group.close()
    with VoteJournal.open(tmp_path) as journal:
        assert list(journal.records()) == [record(number) for number in range(50)]


@pytest.mark.asyncio
async def test_nothing_is_released_before_the_sync_and_in_order(tmp_path: Path) -> None:
    gate, entered = threading.Event(), threading.Event()
    done: list[int] = []

    def note(number: int, _future: object) -> None:
        done.append(number)

    def sync(_file: int) -> None:
        entered.set()
        gate.wait(10)

    gate.set()
    with VoteJournal.open(tmp_path, sync=sync) as journal:
        group = GroupCommit(journal)
        gate.clear()
        entered.clear()
        for number in range(5):
            group.persist([record(number)]).add_done_callback(partial(note, number))
        await asyncio.to_thread(entered.wait, 10)
        assert done == []
        gate.set()
        await group.close()
    await asyncio.sleep(0)
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.asyncio
async def test_a_failure_reaches_everyone_who_waited(tmp_path: Path) -> None:
    def sync(_file: int) -> None:
        if armed:
            raise OSError(5, "Input/output error")

    armed = False
    with VoteJournal.open(tmp_path, sync=sync) as journal:
        group = GroupCommit(journal)
        armed = True
        results = await asyncio.gather(*[group.persist([record(number)]) for number in range(3)], return_exceptions=True)
        assert all(isinstance(result, StorageError) for result in results)
        await group.close()


@pytest.mark.asyncio
async def test_a_failure_that_nobody_foresaw_reaches_them_too_and_later_records_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the replica would wait for its own vote for ever, and be mute while it seems to live."""
    with VoteJournal.open(tmp_path) as journal:
        group = GroupCommit(journal)

        def fail(_records: object) -> None:
            raise RuntimeError("a fault of ours")

        with monkeypatch.context() as patch:
            patch.setattr(journal, "append", fail)
            results = await asyncio.gather(*[group.persist([record(number)]) for number in range(3)], return_exceptions=True)
        assert [str(result) for result in results] == ["a fault of ours"] * 3
        await group.persist([record(4)])
        await group.close()


@pytest.mark.asyncio
async def test_a_closed_writer_refuses(tmp_path: Path) -> None:
    with VoteJournal.open(tmp_path) as journal:
        group = GroupCommit(journal)
        await group.close()
        with pytest.raises(StorageError, match="closed"):
            await group.persist([record(1)])
