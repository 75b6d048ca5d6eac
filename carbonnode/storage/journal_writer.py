"""Group commit: one writer gathers every waiting persist, appends them as one frame, syncs once, and releases them all.

The sync runs in a thread of its own, so the event loop keeps gathering the next group meanwhile (design, section 4).
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from carbonnode.errors import StorageError
from carbonnode.storage.journal import VoteJournal
from carbonnode.storage.journal_format import Record


class GroupCommit:
    """`await persist(records)` returns when they are durable, in the order of the calls. Start it inside the loop, `close` it at the end."""

    def __init__(self, journal: VoteJournal) -> None:
        self._journal = journal
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._waiting: list[tuple[Sequence[Record], asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None
        self._closed = False
        self._begun = 0.0
        self.groups = 0
        """Frames written."""
        self.records = 0
        """Records written."""

    @property
    def pending_s(self) -> float:
        """How long the write at hand has taken so far; 0 if none is: a disk that doesn't answer is seen here first."""
        return time.monotonic() - self._begun if self._begun else 0.0

    def persist(self, records: Sequence[Record]) -> "asyncio.Future[None]":
        """Queue records; the future resolves when they are durable, or fails with `DiskFull`, `StorageError` or what else the journal raised."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(StorageError("the vote journal is closed: the node is stopping", code="closed"))
            return future
        self._waiting.append((records, future))
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._drain())
        return future

    async def cut_below(self, height: int) -> int:
        """`VoteJournal.cut_below` between two groups."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.cut_below, height)

    async def rewrite(self, records: Sequence[Record]) -> None:
        """`VoteJournal.rewrite` between two groups."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.rewrite, records)

    async def close(self) -> None:
        """Write what waits, then stop. The journal stays open: it is its opener's to close."""
        self._closed = True
        if self._running is not None:
            await self._running
        self._thread.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            records = [record for part, _ in group for record in part]
            self._begun = time.monotonic()
            try:
                await loop.run_in_executor(self._thread, self._journal.append, records)
            except Exception as error:  # noqa: BLE001 - whoever waits for these records must hear of it, whatever it is
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            finally:
                self._begun = 0.0
            self.groups += 1
            self.records += len(records)
            for _, future in group:
                if not future.done():
                    future.set_result(None)
