"""What execution means in the simulator: a block is a pure function of its parent and its batch, as in the ledger.

Headers, state tree and transactions have the production's form, so that snapshots are made and verified by its code; what stands in the state is ours.
"""

from dataclasses import dataclass
from typing import Final

from carbonnode.chain import values
from carbonnode.chain.batch import Batch
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.genesis import Genesis, Parameters
from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.chain.header import PROTOCOL_VERSION, Header
from carbonnode.chain.merkle import leaf_hash, tree_head
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.consensus.config import EpochConfig
from carbonnode.ledger.epochs import Epoch
from carbonnode.ledger.layout import EPOCH
from carbonnode.ledger.salts import SALT_BYTES
from carbonnode.ledger.snapshot import PlacedLeaf, place, tree_leaves
from carbonnode.ledger.tree import fresh_root
from carbonnode.sim.keys import SimSigner

SHORT_WINDOW = 4
"""The window where the validator set changes: an epoch then begins five blocks after it is decided."""
VALIDITY_BLOCKS: Final = 3
"""Blocks whose ids come with a snapshot."""
NEXT_EPOCH: Final = b"sim/next"
SEEN: Final = b"sim/seen/"
_BUCKETS: Final = 64
_SALT: Final = bytes(SALT_BYTES)

Leaves = dict[bytes, PlacedLeaf]
"""A state, by key."""


@dataclass(frozen=True)
class Block:
    """An executed height. `applied` are the transactions that took effect here; `seen` all up to here; `epoch` its own, `following` that of the next height.

    `decided` is an epoch that is decided and hasn't begun by the next height. `leaves` are the state after it.
    """

    height: int
    header_hash: bytes
    parent: bytes
    digest: bytes
    applied: tuple[bytes, ...]
    seen: frozenset[bytes]
    epoch: EpochConfig
    following: EpochConfig
    decided: EpochConfig | None
    header: Header
    leaves: Leaves


class Execution:
    """The deterministic ledger that all nodes share the code of. `plans`: transactions that change the validator set (to node numbers)."""

    def __init__(self, first: EpochConfig, members: dict[int, Validator], network: str = "sim") -> None:
        self.members = members
        self.numbers = {member.consensus_key: number for number, member in members.items()}
        self.founding = Genesis(network=network, time_ms=0, validators=first.validators.validators, ca_roots=(), contracts=(), parameters=first.parameters)
        self.transactions: dict[bytes, Transaction] = {}
        """What clients sent, by wire hash."""
        self.batches: dict[bytes, bytes] = {}
        """Encoded batches that were executed, by digest."""
        self.by_hash: dict[bytes, Block] = {}
        self._blocks: dict[tuple[bytes, bytes], Block] = {}
        self.plans: dict[bytes, tuple[int, ...]] = {}
        leaves: Leaves = {}
        _put_epochs(leaves, first, None)
        header = self._header(0, ZERO_HASH, Batch(0, ()), (), first, first, leaves)
        self.genesis = Block(0, header.hash, ZERO_HASH, ZERO_HASH, (), frozenset(), first, first, None, header, leaves)
        self.by_hash[self.genesis.header_hash] = self.genesis

    def send(self, transaction: Transaction) -> bytes:
        """Make a client's transaction known; its wire hash."""
        self.transactions[transaction.wire_hash] = transaction
        return transaction.wire_hash

    def ids(self, block: Block) -> tuple[bytes, ...]:
        """Ids of what took effect in a block."""
        return tuple(self.transactions[wire_hash].id for wire_hash in block.applied)

    def run(self, parent: Block, batch: Batch) -> Block:
        """The block of `batch` on `parent`."""
        key = (parent.header_hash, batch.digest)
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = self._run(parent, batch)
            self.by_hash[block.header_hash] = block
            self.batches[batch.digest] = batch.encoded
        return block

    def _run(self, parent: Block, batch: Batch) -> Block:
        height = parent.height + 1
        applied = tuple(h for h in batch.wire_hashes if h not in parent.seen)
        epoch = parent.following
        decided = parent.decided
        for wire_hash in applied:
            if decided is None and wire_hash in self.plans:
                members = tuple(self.members[number] for number in self.plans[wire_hash])
                first = height + epoch.parameters.window + 1
                decided = EpochConfig(epoch.epoch + 1, first, ValidatorSet(members), epoch.parameters)
        following = epoch
        if decided is not None and decided.first_height == height + 1:
            following, decided = decided, None
        leaves = dict(parent.leaves)
        upcoming = decided if following is epoch else following
        if epoch is not parent.epoch or upcoming is not parent.decided:
            _put_epochs(leaves, epoch, upcoming)
        _put_seen(leaves, applied)
        header = self._header(height, parent.header_hash, batch, applied, epoch, following, leaves)
        return Block(height, header.hash, parent.header_hash, batch.digest, applied, parent.seen | set(applied), epoch, following, decided, header, leaves)

    def _header(
        self, height: int, parent: bytes, batch: Batch, applied: tuple[bytes, ...], epoch: EpochConfig, following: EpochConfig, leaves: Leaves
    ) -> Header:
        return Header(
            version=PROTOCOL_VERSION,
            chain_id=self.founding.chain_id,
            epoch=epoch.epoch,
            height=height,
            parent=parent,
            batch_digest=batch.digest,
            time_ms=batch.time_ms,
            transactions_root=tree_head([leaf_hash(wire_hash) for wire_hash in applied]),
            receipts_root=ZERO_HASH,
            events_root=ZERO_HASH,
            state_root=state_root(leaves),
            validators_hash=epoch.validators.hash,
            next_validators_hash=following.validators.hash,
            parameters_hash=epoch.parameters.hash,
            skip_orders=(),
        )


def state_root(leaves: Leaves) -> bytes:
    """The root of the production's state tree over these leaves."""
    return fresh_root(tree_leaves(sorted(leaves.values())))


def restored(header: Header, header_hash: bytes, records: dict[bytes, bytes]) -> Block:
    """The block of `header` as a node knows it that holds nothing but the state after it: salted values by key."""
    height = header.height
    epoch = _epoch_of(records[EPOCH])
    following, decided = epoch or _missing(), _epoch_of(records[NEXT_EPOCH])
    own = following
    if decided is not None and decided.first_height <= height + 1:
        following, decided = decided, None
    joined = b"".join(record[SALT_BYTES:] for key, record in records.items() if key.startswith(SEEN))
    seen = frozenset(joined[at : at + 32] for at in range(0, len(joined), 32))
    leaves = {key: place(key, record) for key, record in records.items()}
    return Block(height, header_hash, header.parent, header.batch_digest, (), seen, own, following, decided, header, leaves)


def _missing() -> EpochConfig:
    raise LookupError("the state holds no epoch")


def _put(leaves: Leaves, key: bytes, value: bytes) -> None:
    leaves[key] = place(key, _SALT + value)


def _put_epochs(leaves: Leaves, epoch: EpochConfig, upcoming: EpochConfig | None) -> None:
    _put(leaves, EPOCH, _epoch_bytes(epoch))
    _put(leaves, NEXT_EPOCH, values.encode_value(None) if upcoming is None else _epoch_bytes(upcoming))


def _put_seen(leaves: Leaves, applied: tuple[bytes, ...]) -> None:
    buckets: dict[int, list[bytes]] = {}
    for wire_hash in applied:
        buckets.setdefault(wire_hash[0] % _BUCKETS, []).append(wire_hash)
    for bucket, hashes in buckets.items():
        key = SEEN + bytes((bucket,))
        before = leaves[key].record[SALT_BYTES:] if key in leaves else b""
        _put(leaves, key, before + b"".join(hashes))


def _epoch_bytes(epoch: EpochConfig) -> bytes:
    return values.encode_value(encode(Epoch(epoch.epoch, epoch.first_height, PROTOCOL_VERSION, epoch.parameters, epoch.validators.validators)))


def _epoch_of(record: bytes) -> EpochConfig | None:
    value = values.decode_value(record[SALT_BYTES:])
    if not isinstance(value, bytes):
        return None
    epoch = decode(value, Epoch)
    return EpochConfig(epoch.number, epoch.first_height, epoch.validator_set(), epoch.parameters)


def members(count: int) -> dict[int, Validator]:
    """Validators by node number."""
    return {number: Validator(f"node-{number}", "super", SimSigner(number).public_key, SimSigner(number, b"transport").public_key) for number in range(count)}


def parameters(window: int = 8) -> Parameters:
    """Epoch parameters with a short window and short time-outs, so that a short run meets every edge."""
    return Parameters(window=window, max_timeout_ms=8_000, max_block_transactions=20, epoch_blocks=16, validity_blocks=VALIDITY_BLOCKS)
