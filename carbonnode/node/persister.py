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
        self._waiting: deque[tuple[int, list[Record]]] = deque()
        """What isn't answered yet, tokens ascending."""
        self._writing = 0
        """Writes that the journal hasn't answered."""
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
        self._waiting.append((action.token, records))
        if not self.disk_full:
            self._write(action.token, records)

    def _write(self, token: int, records: list[Record], *, again: bool = False) -> None:
        """Hand records on to the journal, the last of them those of `token`; `again`: they are all that waits."""
        self._writing += 1
        future = self._journal.persist(records)
        future.add_done_callback(lambda done: self._written(done, token, again=again))

    def _written(self, future: "asyncio.Future[None]", token: int, *, again: bool) -> None:
        self._writing -= 1
        if future.cancelled():
            return
        error = future.exception()
        if error is not None and not isinstance(error, DiskFull):
            self._on_fatal(error)
            return
        if error is not None and not self.disk_full:
            self.disk_full = True
            self._on_full(str(error))
        elif error is None and (again or not self.disk_full):
            while self._waiting and self._waiting[0][0] <= token:
                self._on_durable(self._waiting.popleft()[0])
            if again:
                self._go_on()
                return
        # A group behind a failed one may be written all the same; it is written again, in order: records may repeat, never swap. So all are waited for.
        if self.disk_full and not self._writing and self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._write(self._waiting[-1][0], [record for _, records in self._waiting for record in records], again=True)

    def _go_on(self) -> None:
        if self._waiting:
            self._try_again()
        else:
            self.disk_full = False
            self._on_full("")

    def stop(self) -> None:
        """Forget what waits: it was never answered, so nothing depends on it."""
        if self._retry is not None:
            self._retry.cancel()
