"""What waits to be ordered: a bounded pool with priority lanes, quotas per account, expiry, and the status of what passed through it.

A plain data structure without IO, used from the daemon's loop only. Entries are keyed by wire hash (exact signed bytes); ids serve people and
de-duplication. An entry is *free* (may be proposed), *assigned* to a height (it stands in a proposal there), or gone. Signatures are checked
before an entry comes in (`admission`).
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.transaction import Body, Transaction
from carbonnode.errors import InvalidTransaction
from carbonnode.node.config import MempoolSection

LANE_GOVERNANCE, LANE_ORDERS, LANE_REST = 0, 1, 2
LANES = (LANE_GOVERNANCE, LANE_ORDERS, LANE_REST)
LANE_NAMES = ("governance", "orders", "rest")
LANE_OF_CONTRACT = {
    "rules": LANE_GOVERNANCE,
    "identity": LANE_GOVERNANCE,
    "compliance": LANE_GOVERNANCE,
    "arbitration": LANE_GOVERNANCE,
    "surveillance": LANE_GOVERNANCE,
    "matching": LANE_ORDERS,
    "auction": LANE_ORDERS,
    "execution": LANE_ORDERS,
}
_SHARE_PERCENT = (100, 95, 80)
"""How full the pool may be for a lane to be admitted: under load the ordinary lanes are shed first (business downgrade)."""
_REST_PER_BLOCK_PERCENT = 10
"""Room in a block that the last lane keeps while orders wait."""
_EXPIRED_KEPT = 100_000
_COMPACT_SLACK = 1_024
_BATCH_ENTRY_BYTES = 34


class Status:
    """What is known of a transaction; texts as in the interface."""

    PENDING = "pending"
    ORDERED = "ordered"
    FINAL = "final"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(slots=True, eq=False)
class Entry:
    """A transaction in the pool. `height` is 0 while free; `order` counts arrivals."""

    tx: Transaction
    id: bytes
    wire_hash: bytes
    sender: bytes
    size: int
    gas: int
    valid_until: int
    lane: int
    order: int
    height: int = 0
    queued: bool = False
    gone: bool = False
    admitted: bool = True
    """False for one that came inside a proposal and that admission would refuse: it never waits, and is forgotten with the proposal."""


def lane_of(body: Body) -> int:
    """The lane of a transaction: that of its most ordinary call, so that nothing rides along in front."""
    return max([LANE_OF_CONTRACT.get(call.contract, LANE_REST) for call in body.calls])


class Mempool:
    """See the module's text. `executed(id)` says whether an id stands in a stored block, `executed_lately(id)` the same of the last blocks, for nothing."""

    def __init__(
        self,
        settings: MempoolSection,
        parameters: Parameters,
        chain_id: bytes,
        executed: Callable[[bytes], bool],
        executed_lately: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._settings = settings
        self.parameters = parameters
        self._chain_id = chain_id
        self._executed = executed
        self._executed_lately = executed_lately or executed
        self._entries: dict[bytes, Entry] = {}
        self._by_id: dict[bytes, bytes] = {}
        self._accounts: dict[bytes, int] = {}
        self._lanes: tuple[deque[Entry], ...] = tuple(deque() for _ in LANES)
        self._free = [0, 0, 0]
        self._compact_at = [_COMPACT_SLACK] * len(LANES)
        self._assigned: dict[int, list[Entry]] = {}
        self._expiry: dict[int, list[Entry]] = {}
        self._expired: OrderedDict[bytes, None] = OrderedDict()
        self._arrivals = 0
        self._watermark = 0
        self.bytes = 0
        self.height = 0
        self.shed = 0
        self.compactions = 0
        """Times that a queue was walked through to drop what left the pool."""
        self._dropped: list[bytes] = []

    # -- what stands in it --------------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, wire_hash: bytes) -> bool:
        return wire_hash in self._entries

    @property
    def waiting(self) -> int:
        """Free entries: what a primary could propose now."""
        return sum(self._free)

    def lane_sizes(self) -> tuple[int, ...]:
        """Free entries per lane."""
        return tuple(self._free)

    def get(self, wire_hash: bytes) -> Transaction | None:
        """The transaction with this wire hash, if it is here."""
        entry = self._entries.get(wire_hash)
        return None if entry is None else entry.tx

    def find(self, tx_id: bytes) -> Entry | None:
        """The entry with this id, if it is here."""
        wire_hash = self._by_id.get(tx_id)
        return None if wire_hash is None else self._entries.get(wire_hash)

    def status(self, tx_id: bytes) -> str:
        """pending, ordered, expired or unknown; final is the block store's to say."""
        entry = self.find(tx_id)
        if entry is not None:
            return Status.ORDERED if entry.height else Status.PENDING
        return Status.EXPIRED if tx_id in self._expired else Status.UNKNOWN

    # -- admission ----------------------------------------------------------------------------------------------------------------------

    def check(self, tx: Transaction) -> None:
        """Everything but the signature. Raises `InvalidTransaction` with the code that the sender gets."""
        body = tx.body
        if body.chain_id != self._chain_id:
            raise InvalidTransaction(f"the transaction is for chain {body.chain_id.hex()[:16]}, this is {self._chain_id.hex()[:16]}", code="wrong-chain")
        if tx.id in self._by_id:
            raise InvalidTransaction("the transaction waits here already", code="known")
        if body.valid_until <= self.height:
            raise InvalidTransaction(f"valid until height {body.valid_until}, the chain is at {self.height}: sign it anew", code="expired")
        limits = self.parameters
        latest = self.height + limits.validity_blocks + limits.window
        if body.valid_until > latest:
            raise InvalidTransaction(f"valid until height {body.valid_until}, at most {latest} is accepted: sign with a nearer height", code="valid-until")
        if body.gas_limit > limits.max_transaction_gas or body.gas_limit > limits.max_block_gas:
            raise InvalidTransaction(f"gas limit {body.gas_limit} exceeds the {limits.max_transaction_gas} of this chain", code="gas-limit")
        if len(tx.raw) > limits.max_block_bytes:
            raise InvalidTransaction(f"{len(tx.raw)} bytes don't fit into a block of {limits.max_block_bytes}", code="too-large")
        if self._executed(tx.id):
            raise InvalidTransaction("the transaction was executed before: ask for its status by id", code="executed")
        self._check_room(tx, body)

    def _check_room(self, tx: Transaction, body: Body) -> None:
        if self._accounts.get(body.sender, 0) >= self._settings.per_account:
            self.shed += 1
            raise InvalidTransaction(f"{self._settings.per_account} transactions of this account wait already: send later", code="quota")
        share = _SHARE_PERCENT[lane_of(body)]
        full = len(self._entries) * 100 >= self._settings.max_transactions * share
        if full or (self.bytes + len(tx.raw)) * 100 > self._settings.max_bytes * share:
            self.shed += 1
            raise InvalidTransaction(f"the pool holds {len(self._entries)} transactions and sheds load: send again later", code="mempool-full")

    def add(self, tx: Transaction) -> Entry:
        """Take in a checked transaction with a verified signature. Checks again what may have changed meanwhile. Raises `InvalidTransaction`.

        One that was executed while its signature was verified (a proposal brought it sooner than the flood) must not come in: it would wait for ever,
        and the primary would be blamed for it.
        """
        if tx.id in self._by_id:
            raise InvalidTransaction("the transaction waits here already", code="known")
        if self._executed_lately(tx.id):
            raise InvalidTransaction("the transaction was executed before: ask for its status by id", code="executed")
        self._check_room(tx, tx.body)
        return self._admit(tx)

    def add_proposed(self, tx: Transaction) -> Entry:
        """Take in a transaction with a verified signature that a proposal names; admission rules don't apply to it (design, section 3).

        If it could still be executed it waits like any other, without regard to quotas, so that it isn't lost when the proposal is.
        """
        known = self._entries.get(tx.wire_hash)
        if known is not None:
            return known
        limits, body = self.parameters, tx.body
        latest = self.height + limits.validity_blocks + limits.window
        may_wait = self.height < body.valid_until <= latest and body.gas_limit <= limits.max_transaction_gas
        if may_wait and body.chain_id == self._chain_id and tx.id not in self._by_id and not self._executed(tx.id):
            return self._admit(tx)
        entry = self._insert(tx, admitted=False)
        self._expiry.setdefault(self.height + 2 * limits.window, []).append(entry)
        return entry

    def _admit(self, tx: Transaction) -> Entry:
        entry = self._insert(tx, admitted=True)
        self._accounts[entry.sender] = self._accounts.get(entry.sender, 0) + 1
        self._enqueue(entry)
        self._expiry.setdefault(entry.valid_until, []).append(entry)
        return entry

    def _insert(self, tx: Transaction, *, admitted: bool) -> Entry:
        body = tx.body
        self._arrivals += 1
        entry = Entry(
            tx, tx.id, tx.wire_hash, body.sender, len(tx.raw), body.gas_limit, body.valid_until, lane_of(body), self._arrivals, admitted=admitted
        )
        self._entries[entry.wire_hash] = entry
        self._by_id.setdefault(entry.id, entry.wire_hash)
        self.bytes += entry.size
        return entry

    def _enqueue(self, entry: Entry) -> None:
        lane = self._lanes[entry.lane]
        self._free[entry.lane] += 1
        entry.queued = True
        lane.append(entry)
        if len(lane) > self._compact_at[entry.lane]:
            # Backups never take from the queue: drop what left the pool meanwhile. What is proposed and not settled yet stays, and that may be most of
            # it when execution is behind: so the next time is when the queue has doubled, or every arrival would walk through all of it.
            kept = [e for e in lane if not e.gone]
            lane.clear()
            lane.extend(kept)
            self._compact_at[entry.lane] = 2 * len(kept) + _COMPACT_SLACK
            self.compactions += 1

    # -- proposals ----------------------------------------------------------------------------------------------------------------------

    def build(self, height: int, time_ms: int, most: int | None = None) -> Batch:
        """A batch of free transactions for `height` within the block limits, by lane and arrival; they are assigned to the height."""
        limits = self.parameters
        room = limits.max_block_transactions if most is None else min(most, limits.max_block_transactions)
        picker = _Picker(room, limits.max_block_bytes, limits.max_block_gas)
        self._pick(LANE_GOVERNANCE, picker, room, height)
        reserved = min(self._free[LANE_REST], room * _REST_PER_BLOCK_PERCENT // 100)
        self._pick(LANE_ORDERS, picker, room - reserved, height)
        self._pick(LANE_REST, picker, room, height)
        chosen = picker.chosen
        self._assigned.setdefault(height, []).extend(chosen)
        return Batch(time_ms, tuple([entry.wire_hash for entry in chosen]))

    def _pick(self, lane: int, picker: "_Picker", upto: int, height: int) -> None:
        queue = self._lanes[lane]
        while queue and len(picker.chosen) < upto:
            entry = queue[0]
            if entry.gone or entry.height:
                queue.popleft()
                entry.queued = False
                continue
            if entry.valid_until < height:
                queue.popleft()
                self._forget(entry, expired=True)
                continue
            if entry.size + _BATCH_ENTRY_BYTES > self.parameters.max_block_bytes or entry.gas > self.parameters.max_block_gas:
                # Blocks became smaller while it waited: no block can hold it any more, and those behind it must not wait for that.
                queue.popleft()
                self._forget(entry, expired=True)
                continue
            if not picker.take(entry):
                return
            queue.popleft()
            entry.queued = False
            entry.height = height
            self._free[lane] -= 1

    def waiting_longer(self, most: int) -> list[Transaction]:
        """Transactions that were free at the last call too, and still are; at most `most`, oldest first."""
        late: list[Transaction] = []
        for lane in self._lanes:
            for entry in lane:
                if len(late) >= most or entry.order > self._watermark:
                    break
                if not entry.gone and not entry.height:
                    late.append(entry.tx)
        self._watermark = self._arrivals
        return late

    def first_waiting(self, most: int) -> list[Transaction]:
        """Free transactions, at most `most` of each lane, oldest first."""
        return [entry.tx for lane in self._lanes for entry, _ in zip(lane, range(most), strict=False) if not entry.gone and not entry.height]

    def missing(self, batch: Batch) -> list[bytes]:
        """Wire hashes of the batch whose transactions aren't here."""
        entries = self._entries
        return [h for h in batch.wire_hashes if h not in entries]

    def assign(self, height: int, batch: Batch) -> None:
        """A proposal for `height` names these: they aren't proposed elsewhere meanwhile. Replaces an earlier assignment of the height."""
        self.release(height)
        taken: list[Entry] = []
        for wire_hash in batch.wire_hashes:
            entry = self._entries.get(wire_hash)
            if entry is None or entry.height:
                continue
            if entry.admitted:
                self._free[entry.lane] -= 1
            entry.height = height
            taken.append(entry)
        self._assigned[height] = taken

    def release(self, height: int) -> None:
        """The proposal for `height` is void: its transactions may be proposed again, in their old order."""
        for entry in reversed(self._assigned.pop(height, ())):
            entry.height = 0
            if entry.gone:
                continue
            if not entry.admitted:
                self._forget(entry, expired=False)
                continue
            self._free[entry.lane] += 1
            if entry.valid_until <= self.height:
                # Its time ran out while the proposal waited: no block can hold it any more, and no primary is to blame for leaving it out.
                self._forget(entry, expired=True)
                continue
            if not entry.queued:
                entry.queued = True
                self._lanes[entry.lane].appendleft(entry)

    def assigned_heights(self) -> list[int]:
        """Heights that hold assignments."""
        return sorted(self._assigned)

    def transactions(self, wire_hashes: Sequence[bytes]) -> list[Transaction]:
        """The transactions of a resolved batch, in order. Raises `KeyError` if one isn't here."""
        entries = self._entries
        return [entries[h].tx for h in wire_hashes]

    # -- what became of them ------------------------------------------------------------------------------------------------------------

    def settle(self, height: int, batch_hashes: Iterable[bytes], executed_ids: Iterable[bytes]) -> None:
        """The block of `height` is certified and stored: its transactions leave, and what can't be valid any more expires."""
        entries, executed = self._entries, tuple(executed_ids)
        for wire_hash in batch_hashes:
            entry = entries.get(wire_hash)
            if entry is not None:
                # The ledger drops what a batch brings too late: it was ordered, and expired all the same.
                self._forget(entry, expired=entry.admitted and entry.valid_until < height and entry.id not in executed)
        for tx_id in executed:
            twin = self._by_id.get(tx_id)
            if twin is not None:
                # The same body under another signature: it can't execute a second time.
                self._dropped.append(twin)
                self._forget(entries[twin], expired=False)
        # What was set aside for this height and isn't in its block may be proposed again.
        self.release(height)
        for past in range(self.height, height + 1):
            for entry in self._expiry.pop(past, ()):
                if not entry.gone and not entry.height:
                    self._forget(entry, expired=entry.admitted)
        self.height = max(self.height, height)

    def take_dropped(self) -> tuple[bytes, ...]:
        """Wire hashes of what left without being ordered since the last call: nobody is to blame for it."""
        dropped, self._dropped = self._dropped, []
        return tuple(dropped)

    def _forget(self, entry: Entry, *, expired: bool) -> None:
        entry.gone = True
        if self._entries.pop(entry.wire_hash, None) is None:
            return
        self.bytes -= entry.size
        if self._by_id.get(entry.id) == entry.wire_hash:
            del self._by_id[entry.id]
        if entry.admitted:
            left = self._accounts[entry.sender] - 1
            if left:
                self._accounts[entry.sender] = left
            else:
                del self._accounts[entry.sender]
            if not entry.height:
                self._free[entry.lane] -= 1
        if expired:
            self._dropped.append(entry.wire_hash)
            self._expired[entry.id] = None
            if len(self._expired) > _EXPIRED_KEPT:
                self._expired.popitem(last=False)


class _Picker:
    """Counts what fits into a block."""

    def __init__(self, transactions: int, size: int, gas: int) -> None:
        self.chosen: list[Entry] = []
        self._room = transactions
        self._bytes = size
        self._gas = gas

    def take(self, entry: Entry) -> bool:
        """Whether the entry fits; if so it is chosen."""
        if len(self.chosen) >= self._room or entry.size + _BATCH_ENTRY_BYTES > self._bytes or entry.gas > self._gas:
            return False
        self._bytes -= entry.size + _BATCH_ENTRY_BYTES
        self._gas -= entry.gas
        self.chosen.append(entry)
        return True
