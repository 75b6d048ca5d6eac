"""Admission: raw bytes from clients and peers become pool entries; every signature is verified once, in a thread, many at a time.

libsodium releases the GIL, so the loop goes on while a chunk is verified. What is being verified is known by wire hash, so that the same
bytes from two sides cost one verification; a cached verdict never counts for other bytes (PBFT.md, 15).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from carbonnode.chain.service import PENDING, REFUSED, SubmitResult
from carbonnode.chain.transaction import Transaction
from carbonnode.errors import InvalidTransaction
from carbonnode.node.mempool import Entry, Mempool
from carbonnode.node.workers import start_worker

OnAdmitted = Callable[[list[Entry], list[Entry]], None]
"""`(admitted, to_relay)`: entries that came in with one chunk, and those among them that this node has to spread."""

_SETTLED = {"known": PENDING, "executed": "final"}
"""Refusal codes that aren't failures: the transaction is where the client wants it."""


def verify_chunk(transactions: Sequence[Transaction]) -> list[bool]:
    """Verdicts on the signatures, in order; runs in a thread."""
    return [tx.verify_signature() for tx in transactions]


class _Submission:
    """One call of `submit`: answers in order, and the future that completes with the last one."""

    __slots__ = ("answers", "done", "left")

    def __init__(self, size: int, done: "asyncio.Future[None]") -> None:
        self.answers: list[SubmitResult | None] = [None] * size
        self.left = size
        self.done = done

    def answer(self, index: int, result: SubmitResult) -> None:
        self.answers[index] = result
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


class _Job:
    """A transaction on its way through verification, and who waits for the verdict."""

    __slots__ = ("relay", "tx", "waiters")

    def __init__(self, tx: Transaction, relay: bool) -> None:
        self.tx = tx
        self.relay = relay
        self.waiters: list[tuple[_Submission, int]] = []


class Admission:
    """Feeds the pool. `threads` runs verification; `on_admitted` hears of what came in, once per chunk."""

    def __init__(self, pool: Mempool, threads: Executor, chunk: int, on_admitted: OnAdmitted, *, max_waiting: int = 50_000) -> None:
        self._pool = pool
        self._threads = threads
        self._chunk = chunk
        self._on_admitted = on_admitted
        self._max_waiting = max_waiting
        self._queue: deque[_Job] = deque()
        self._verifying: dict[bytes, _Job] = {}
        self._pump_task: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._stopped = False
        self.verified = 0
        self.refused: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """Transactions whose signature isn't verified yet."""
        return len(self._verifying)

    def is_verifying(self, wire_hash: bytes) -> bool:
        """Whether these signed bytes are on their way into the pool."""
        return wire_hash in self._verifying

    async def progress(self, timeout_s: float) -> None:
        """Return when a chunk was admitted, or after `timeout_s`."""
        try:
            await asyncio.wait_for(self._progress.wait(), timeout_s)
        except TimeoutError:
            return

    async def submit(self, raws: Sequence[bytes]) -> list[SubmitResult]:
        """Admit transactions of a client; one answer each, in order."""
        if not raws:
            return []
        submission = _Submission(len(raws), asyncio.get_running_loop().create_future())
        for index, raw in enumerate(raws):
            self._take(raw, submission, index)
        self._start()
        await submission.done
        return [answer for answer in submission.answers if answer is not None]

    def offer(self, raws: Sequence[bytes]) -> int:
        """Admit what another validator flooded; nobody is answered. Returns how many were malformed (the peer's fault)."""
        malformed = 0
        for raw in () if self._stopped else raws:
            try:
                tx = Transaction.decode(raw)
            except InvalidTransaction:
                malformed += 1
                continue
            if tx.wire_hash in self._verifying or tx.wire_hash in self._pool:
                continue
            try:
                self._check(tx)
            except InvalidTransaction as error:
                self._count(error.code)
                continue
            self._enqueue(_Job(tx, relay=False))
        self._start()
        return malformed

    async def verify(self, transactions: Sequence[Transaction]) -> bool:
        """Whether all these signatures verify; for transactions that a proposal names."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(transactions), self._chunk):
            part = transactions[start : start + self._chunk]
            verdicts = await loop.run_in_executor(self._threads, verify_chunk, part)
            self.verified += len(part)
            if not all(verdicts):
                return False
        return True

    def _check(self, tx: Transaction) -> None:
        if self._stopped:
            raise InvalidTransaction("the node stops: submit to another one", code="stopping")
        if len(self._verifying) >= self._max_waiting:
            raise InvalidTransaction(f"{len(self._verifying)} transactions wait for verification: send again later", code="mempool-full")
        self._pool.check(tx)

    def _take(self, raw: bytes, submission: _Submission, index: int) -> None:
        tx: Transaction | None = None
        try:
            tx = Transaction.decode(raw)
            job = self._verifying.get(tx.wire_hash)
            if job is None:
                self._check(tx)
                job = _Job(tx, relay=True)
                self._enqueue(job)
            job.waiters.append((submission, index))
        except InvalidTransaction as error:
            submission.answer(index, self._refusal(b"" if tx is None else tx.id, error))

    def _refusal(self, tx_id: bytes, error: InvalidTransaction) -> SubmitResult:
        settled = _SETTLED.get(error.code)
        if settled == PENDING:
            return SubmitResult(tx_id, self._pool.status(tx_id))
        if settled is not None:
            return SubmitResult(tx_id, settled)
        self._count(error.code)
        return SubmitResult(tx_id, REFUSED, error.code, str(error))

    def _count(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1

    def _enqueue(self, job: _Job) -> None:
        self._queue.append(job)
        self._verifying[job.tx.wire_hash] = job

    def _start(self) -> None:
        if self._queue and (self._pump_task is None or self._pump_task.done()):
            self._pump_task = start_worker(self._pump(), "admission")

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        queue = self._queue
        while queue:
            jobs = [queue.popleft() for _ in range(min(self._chunk, len(queue)))]
            verdicts = await loop.run_in_executor(self._threads, verify_chunk, [job.tx for job in jobs])
            self.verified += len(jobs)
            self._finish(jobs, verdicts)

    def _finish(self, jobs: list[_Job], verdicts: list[bool]) -> None:
        admitted: list[Entry] = []
        relay: list[Entry] = []
        for job, good in zip(jobs, verdicts, strict=True):
            tx = job.tx
            del self._verifying[tx.wire_hash]
            try:
                if not good:
                    raise InvalidTransaction("the signature doesn't verify: it isn't the sender's over these bytes", code="signature")
                entry = self._pool.add(tx)
                result = SubmitResult(tx.id, PENDING)
                admitted.append(entry)
                if job.relay:
                    relay.append(entry)
            except InvalidTransaction as error:
                result = self._refusal(tx.id, error)
            for submission, index in job.waiters:
                submission.answer(index, result)
        if admitted:
            self._on_admitted(admitted, relay)
        self._progress.set()
        self._progress.clear()

    async def stop(self) -> None:
        """Refuse what waits and end the pump."""
        self._stopped = True
        self._queue.clear()
        if self._pump_task is not None:
            await asyncio.gather(self._pump_task, return_exceptions=True)  # why it died was told when it did
        for job in self._verifying.values():
            for submission, index in job.waiters:
                submission.answer(index, SubmitResult(job.tx.id, REFUSED, "stopping", "the node stops: submit to another one"))
        self._verifying.clear()
