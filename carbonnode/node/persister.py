"""A replica's records on their way to the journal: group commit, in order, and patience while the disk is full.

While it is full nothing is answered, so the replica holds back every vote by itself; when space is back the records are written in their old
order and voting goes on (PBFT.md, last paragraph).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from carbonnode.consensus.actions import Persist
from carbonnode.errors import DiskFull
from carbonnode.node.bodies import BodyStore
from carbonnode.node.ports import Fatal
from carbonnode.storage.journal_format import Record
from carbonnode.storage.journal_writer import GroupCommit

RETRY_S = 0.5


class Persister:
    """`on_durable(token)` is called on the loop, tokens ascending."""

    def __init__(
        self,
        journal: GroupCommit,
        bodies: BodyStore,
        on_durable: Callable[[int], None],
        on_fatal: Fatal,
        on_full: Callable[[str], None] = lambda _why: None,
    ) -> None:
        """`on_full` hears why votes are held back, and "" when they no longer are."""
        self._journal = journal
        self._bodies = bodies
        self._on_durable = on_durable
        self._on_fatal = on_fatal
        self._on_full = on_full
        self._stalled: deque[tuple[int, list[Record]]] = deque()
        self._retry: asyncio.TimerHandle | None = None
        self.disk_full = False
        """Whether votes are held back for want of space."""

    def persist(self, action: Persist) -> None:
        """Make an action's records durable, with the bodies of the batches it names in front of them."""
        records: list[Record] = []
        for digest in action.bodies:
            body = self._bodies.need(digest)
            if not body.durable:
                body.durable = True
                records.append(Record(body.height, body.record()))
        records.extend([Record(record.height, record.data) for record in action.records])
        if self._stalled:
            self._stalled.append((action.token, records))
            return
        self._write(action.token, records)

    def _write(self, token: int, records: list[Record]) -> None:
        future = self._journal.persist(records)
        future.add_done_callback(lambda done: self._written(done, token, records))

    def _written(self, future: "asyncio.Future[None]", token: int, records: list[Record]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None and not self._stalled:
            self._on_durable(token)
            return
        if error is None or isinstance(error, DiskFull):
            # A group behind a failed one may have been written already; it is written again, in order: records may repeat, never swap.
            self._stalled.append((token, records))
            if not self.disk_full:
                self.disk_full = True
                self._on_full(str(error))
            if self._retry is None:
                self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._try_again)
            return
        self._on_fatal(error)

    def _try_again(self) -> None:
        self._retry = None
        waiting = sorted(self._stalled, key=lambda item: item[0])
        everything = [record for _, records in waiting for record in records]
        future = self._journal.persist(everything)
        future.add_done_callback(lambda done: self._tried_again(done, len(waiting)))

    def _tried_again(self, future: "asyncio.Future[None]", count: int) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, DiskFull):
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._try_again)
            return
        if error is not None:
            self._on_fatal(error)
            return
        for token in sorted([self._stalled.popleft()[0] for _ in range(count)]):
            self._on_durable(token)
        if self._stalled:
            self._try_again()
        else:
            self.disk_full = False
            self._on_full("")

    def stop(self) -> None:
        """Forget what is stalled: it was never answered, so nothing depends on it."""
        if self._retry is not None:
            self._retry.cancel()
