"""Making a proposal's transactions available: from the pool, from what is being verified, else fetched by wire hash from peers.

A verdict is given only when it is certain: "bad" means that the bytes themselves are wrong. While transactions are only missing, fetching goes on
until the height is final.
"""

import asyncio
from collections.abc import Awaitable, Callable

from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.transaction import Transaction
from carbonnode.errors import CarbonnodeError, InvalidTransaction
from carbonnode.node.admission import Admission
from carbonnode.node.bodies import Body, BodyStore
from carbonnode.node.mempool import Mempool
from carbonnode.node.workers import start_worker

Fetch = Callable[[str, list[bytes]], Awaitable[list[bytes]]]
"""`fetch(peer, wire_hashes)`: raw transactions in order, b"" where the peer lacks one. May raise `CarbonnodeError`."""
Peers = Callable[[], list[str]]
"""Validators to ask, the likeliest first (the primary)."""
Done = Callable[[int, bytes, bool, bool], None]
"""`(height, digest, ok, full)`."""

FLOOD_GRACE_S = 0.03
"""How long a missing transaction may still be on its way before it is asked for."""
RETRY_S = 0.1
ORDINARY_BYTES = 512
FETCH_MOST = 1_000


def batch_is_full(transactions: list[Transaction], parameters: Parameters) -> bool:
    """Whether no further transaction of ordinary size fits: by count, bytes, or gas (that of the batch's mean)."""
    count = len(transactions)
    if count == 0:
        return False
    size = sum([len(tx.raw) for tx in transactions])
    gas = sum([tx.body.gas_limit for tx in transactions])
    return (
        count >= parameters.max_block_transactions
        or size + max(ORDINARY_BYTES, size // count) > parameters.max_block_bytes
        or gas + gas // count > parameters.max_block_gas
    )


class Resolver:
    """Runs one task for each batch that isn't complete at once."""

    def __init__(
        self, pool: Mempool, admission: Admission, bodies: BodyStore, chain_id: bytes, fetch: Fetch, peers: Peers, done: Done
    ) -> None:
        self._pool = pool
        self._admission = admission
        self._bodies = bodies
        self._chain_id = chain_id
        self._fetch = fetch
        self._peers = peers
        self._done = done
        self._tasks: dict[tuple[int, bytes], asyncio.Task[None]] = {}
        """By height and digest: one batch may stand at several heights, and each is waited for."""
        self.fetched = 0

    def resolve(self, height: int, digest: bytes, batch: Batch) -> None:
        """Begin; the answer comes through `done`, perhaps before this returns."""
        body = self._bodies.get(digest)
        if body is not None:
            self._bodies.add(Body(height, batch, body.transactions, body.full))
            self._pool.assign(height, batch)
            self._done(height, digest, True, body.full)
            return
        if (height, digest) in self._tasks:
            return
        limits = self._pool.parameters
        if len(batch.wire_hashes) > limits.max_block_transactions:
            self._done(height, digest, False, False)
            return
        if not self._pool.missing(batch):
            self._complete(height, digest, batch)
            return
        task = start_worker(self._gather(height, digest, batch), f"resolve-{height}")
        self._tasks[height, digest] = task
        task.add_done_callback(lambda _: self._tasks.pop((height, digest), None))

    def give_up_to(self, height: int) -> None:
        """Stop looking for batches of heights that are final."""
        for (own, _), task in list(self._tasks.items()):
            if own <= height:
                task.cancel()

    async def stop(self) -> None:
        """End all tasks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _complete(self, height: int, digest: bytes, batch: Batch) -> None:
        transactions = self._pool.transactions(batch.wire_hashes)
        limits = self._pool.parameters
        size = sum([len(tx.raw) for tx in transactions])
        gas = sum([tx.body.gas_limit for tx in transactions])
        ok = size <= limits.max_block_bytes and gas <= limits.max_block_gas
        full = ok and batch_is_full(transactions, limits)
        if ok:
            self._bodies.add(Body(height, batch, transactions, full))
            self._pool.assign(height, batch)
        self._done(height, digest, ok, full)

    async def _gather(self, height: int, digest: bytes, batch: Batch) -> None:
        await self._await_flood(batch)
        attempt = 0
        while missing := self._pool.missing(batch):
            wanted = [h for h in missing if not self._admission.is_verifying(h)][:FETCH_MOST]
            peers = self._peers()
            if not wanted or not peers:
                await self._admission.progress(RETRY_S)
                continue
            peer = peers[attempt % len(peers)]
            attempt += 1
            if not await self._fetch_from(peer, wanted):
                self._done(height, digest, False, False)
                return
        self._complete(height, digest, batch)

    async def _await_flood(self, batch: Batch) -> None:
        """Most of the time the rest is on its way or being verified: wait for it as long as it comes."""
        left = len(self._pool.missing(batch))
        while left:
            await self._admission.progress(FLOOD_GRACE_S)
            now = len(self._pool.missing(batch))
            if now == left and not any(self._admission.is_verifying(h) for h in self._pool.missing(batch)):
                return
            left = now

    async def _fetch_from(self, peer: str, wanted: list[bytes]) -> bool:
        """Ask one peer and take in what it has. False only if a transaction that the batch names can't ever be valid."""
        try:
            raws = await self._fetch(peer, wanted)
        except CarbonnodeError:
            await asyncio.sleep(RETRY_S)
            return True
        found: list[Transaction] = []
        for wire_hash, raw in zip(wanted, raws, strict=False):
            try:
                tx = Transaction.decode(raw) if raw else None
            except InvalidTransaction:
                # Bytes that aren't a transaction have no wire hash: the peer answered wrongly, the batch isn't to blame.
                continue
            if tx is None or tx.wire_hash != wire_hash:
                continue
            if tx.body.chain_id != self._chain_id:
                return False
            found.append(tx)
        if not found:
            await asyncio.sleep(RETRY_S)
            return True
        if not await self._admission.verify(found):
            return False
        self.fetched += len(found)
        for tx in found:
            self._pool.add_proposed(tx)
        return True
