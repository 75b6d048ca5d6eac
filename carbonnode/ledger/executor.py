"""The block executor: executes ordered batches in memory, finalises certified ones into the state, answers questions about certified heights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from carbonnode.chain import values
from carbonnode.chain.batch import Batch, SkipOrder
from carbonnode.chain.codec import decode
from carbonnode.chain.genesis import Genesis, Parameters
from carbonnode.chain.header import Header
from carbonnode.chain.ports import KV
from carbonnode.chain.service import ContractAbi, MethodAbi
from carbonnode.chain.transaction import Call, Transaction
from carbonnode.chain.values import Value
from carbonnode.errors import ConfigError, InvalidBlock, InvariantViolation, RemoteError, StorageError
from carbonnode.ledger import layout
from carbonnode.ledger.block_run import CLOCK_OFFSET, BlockRun, Parent, Surroundings
from carbonnode.ledger.code import CompiledContracts, ContractCode, contract_of
from carbonnode.ledger.dry_run import dry_run
from carbonnode.ledger.epochs import Epochs
from carbonnode.ledger.garbage import Garbage
from carbonnode.ledger.genesis_block import run_genesis
from carbonnode.ledger.history import MAX_UNDO_BYTES, PastState
from carbonnode.ledger.recent_ids import RecentIds
from carbonnode.ledger.results import DryRun, ExecutedBlock, LedgerStatus, NextEpoch, ViewResult
from carbonnode.ledger.state import CACHE_BYTES, FinalState, WorkingState
from carbonnode.ledger.store import StateStore
from carbonnode.ledger.tree_proof import StateProof, build_proof
from carbonnode.vm.contract import Contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.state import SYSTEM_SENDER, Absent, Environment

FLUSH_BLOCKS: Final = 8
_MAX_OUTCOME: Final = 1 << 30
_MAX_PAST: Final = 16
"""Past states at hand."""
ReadState = FinalState | PastState


@dataclass(frozen=True, slots=True)
class _Executed:
    """An executed block that isn't finalised."""

    block: ExecutedBlock
    ids: list[bytes]


class BlockExecutor:
    """One chain's ledger over the state database `kv`, which this object alone writes.

    Blocks are executed on top of one another before they are certified; `finalise` makes them part of the state in order. Finalised blocks are
    flushed to the database every `flush_blocks` heights, or by `flush` alone if that is 0: what a crash loses is executed again from the blocks.
    """

    def __init__(
        self,
        kv: KV,
        genesis: Genesis,
        *,
        flush_blocks: int = FLUSH_BLOCKS,
        cache_bytes: int = CACHE_BYTES,
        begin: Callable[[bytes], None] = lambda _: None,
        collect: Callable[[], object] = lambda: None,
    ) -> None:
        """Open the state, or make it from genesis where there is none yet. `begin` hears what runs next (`block_run.Surroundings`); `collect` frees what
        only the garbage collector can.

        Raises `ConfigError` if the state belongs to another chain, or if genesis doesn't execute; `StorageError` if the state is damaged.
        """
        self._genesis = genesis
        self._store = StateStore(kv)
        self._state = WorkingState(self._store, cache_bytes)
        self._compiled = CompiledContracts()
        code = ContractCode(self._state, self._compiled)
        self._machines: dict[tuple[int, bool], Machine] = {}
        self._garbage = Garbage(collect)
        self._around = Surroundings(
            genesis.chain_id,
            self._state,
            code,
            Epochs(self._state, code, genesis.invariants),
            lambda version: self._machine(version, views=False),
            genesis.invariants,
            self._garbage,
            begin,
        )
        self._executed: list[_Executed] = []
        self._past: dict[int, PastState] = {}
        self._flush_blocks = flush_blocks
        tip = self._store.tip
        if tip is None:
            self._make_genesis()
        elif tip.chain_id != genesis.chain_id:
            raise ConfigError(
                f"the state database holds the chain {tip.chain_id.hex()[:16]}..., genesis is the chain {genesis.chain_id.hex()[:16]}...: use the genesis "
                "file this directory was made with"
            )
        self._header = self._stored_header(self.height)
        self._recent = RecentIds(self._store, self._parameters().validity_blocks)

    # Where it stands.

    @property
    def height(self) -> int:
        """The last finalised height."""
        return -1 if self._store.tip is None else self._store.tip.height

    @property
    def executed(self) -> int:
        """The last executed height."""
        return self._executed[-1].block.header.height if self._executed else self.height

    @property
    def header(self) -> Header:
        """The header of the last finalised height."""
        return self._header

    def status(self) -> LedgerStatus:
        """Where the ledger stands."""
        tip = self._store.tip
        if tip is None:
            raise InvariantViolation("the ledger has no genesis block")
        oldest = max(self._store.base, tip.height - self._parameters().undo_blocks)
        return LedgerStatus(tip.chain_id, tip.height, tip.header_hash, tip.state_root, self.executed, self._store.flushed, oldest)

    def epochs(self) -> tuple[NextEpoch, NextEpoch | None]:
        """The epoch that holds in the newest state, and the one decided to follow it; without executed blocks above the final ones, that is final."""
        upcoming = self._around.epochs.upcoming()
        return self._around.epochs.current()[0].as_next(), None if upcoming is None else upcoming.as_next()

    def genesis_block(self) -> ExecutedBlock:
        """Block 0, for the node's block store."""
        raw = self._store.genesis_outcome()
        if raw is None:
            raise StorageError("the state database lacks block 0: remove the state directory, it's rebuilt from the blocks", code="corrupt")
        return decode(raw, ExecutedBlock, max_bytes=_MAX_OUTCOME)

    # Blocks.

    def execute(self, height: int, batch: Batch, transactions: Sequence[bytes], skip_orders: Sequence[SkipOrder] = ()) -> ExecutedBlock:
        """Execute a batch on top of height - 1, in memory.

        `transactions` are those that the batch names, in its order (of a block from the store: those that it kept). Idempotent: the same height and
        digest give the same answer until the block is finalised. Raises `InvariantViolation` for another digest at an executed height, and
        `InvalidBlock` for a height that doesn't follow.
        """
        if height <= self.executed:
            return self._again(height, batch)
        if height != self.executed + 1:
            raise InvalidBlock(f"block {height} can't be executed: block {self.executed} is the last one executed here", code="gap")
        parent = self._executed[-1].block if self._executed else None
        header, header_hash = (self._header, self._tip_hash()) if parent is None else (parent.header, parent.header_hash)
        run = BlockRun(self._around, Parent(header.height, header_hash, header.time_ms), batch, skip_orders)
        kept = self._kept(height, transactions)
        block = run.run(kept)
        ids = [tx.id for _, tx in kept]
        self._recent.add(height, ids)
        self._executed.append(_Executed(block, ids))
        return block

    def _again(self, height: int, batch: Batch) -> ExecutedBlock:
        for done in self._executed:
            if done.block.header.height == height:
                if done.block.header.batch_digest == batch.digest:
                    return done.block
                raise InvariantViolation(f"block {height} was executed with another batch: the order of a height changed, which consensus must never do")
        raise InvalidBlock(f"block {height} is final already: the state stands at {self.height}", code="finalised")

    def _kept(self, height: int, transactions: Sequence[bytes]) -> list[tuple[int, Transaction]]:
        """Those that belong to the block: of this chain, within their validity, not executed before."""
        parameters = self._parameters()
        chain_id, recent, latest = self._genesis.chain_id, self._recent, height + parameters.validity_blocks
        kept: list[tuple[int, Transaction]] = []
        seen: set[bytes] = set()
        for index, raw in enumerate(transactions):
            tx = Transaction.decode(raw)
            body, tx_id = tx.body, tx.id
            if tx_id in recent or tx_id in seen or body.chain_id != chain_id:
                continue
            if not height <= body.valid_until <= latest or body.gas_limit > parameters.max_transaction_gas:
                continue
            seen.add(tx_id)
            kept.append((index, tx))
        return kept

    def discard_above(self, height: int) -> None:
        """Drop executed blocks above `height`. Raises `InvalidBlock` if final blocks lie above it."""
        if height < self.height:
            raise InvalidBlock(f"blocks above {height} can't be dropped: {self.height} is final", code="finalised")
        self._state.discard_above(height)
        while self._executed and self._executed[-1].block.header.height > height:
            self._recent.discard(self._executed.pop().ids)

    def finalise(self, height: int) -> int:
        """The executed block of `height`, certified by now, becomes part of the state; returns the height that is on disk.

        Finalising a final height again changes nothing. Raises `InvalidBlock` if the block wasn't executed here.
        """
        if height <= self.height:
            return self._store.flushed
        if not self._executed or self._executed[0].block.header.height != height:
            raise InvalidBlock(f"block {height} can't be finalised: it isn't the next executed one", code="gap")
        done = self._executed[0]
        layer = self._state.finalise(height)
        self._executed.pop(0)
        self._absorb(done, layer.records, layer.nodes)
        if self._flush_blocks and height - self._store.flushed >= self._flush_blocks:
            self.flush()
        return self._store.flushed

    def _absorb(self, done: _Executed, records: dict[bytes, bytes | None], nodes: dict[bytes, bytes | None]) -> None:
        header = done.block.header
        self._store.absorb(records, nodes, header, done.block.header_hash, b"".join(done.ids))
        self._header = header
        self._past.clear()
        parameters = self._parameters()
        outdated = header.height - parameters.undo_blocks - 1
        self._store.prune(layout.UNDO, outdated)
        if outdated != 0:
            self._store.prune(layout.HEADER, outdated)
        if header.height > 0:
            self._recent.prune(header.height - parameters.validity_blocks)

    @property
    def held_bytes(self) -> int:
        """About the memory that blocks take which aren't on disk: executed ones, and finalised ones since the last flush."""
        return self._state.pending_weight + self._store.new_weight

    def flush(self) -> int:
        """Write everything finalised to the database and sync it; returns the height that is on disk then."""
        self._store.flush(sync=True)
        return self._store.flushed

    # Questions about certified state.

    def query(
        self, contract: str, view: str, args: Sequence[Value], sender: bytes = SYSTEM_SENDER, height: int | None = None, *, gas: int | None = None
    ) -> ViewResult:
        """Run a view on the state of a certified height, the last by default. `gas` lowers the chain's cap for views.

        Raises `RemoteError` (`pruned`, `not-found`) for other heights.
        """
        state, header = self._state_at(height)
        env = self._environment(state, header, header.height)
        parameters = self._parameters()
        machine = self._machine(parameters.gas_schedule, views=True)
        limit = parameters.view_gas if gas is None else min(gas, parameters.view_gas)
        self._garbage.before(limit)
        outcome = machine.view(state, env, contract, view, args, limit, sender=sender)
        self._garbage.after(outcome.gas_used)
        value = values.to_wire(outcome.values[0]) if outcome.ok else None
        return ViewResult(header.height, int(outcome.status), outcome.code, value, outcome.gas_used)

    def estimate(self, calls: Sequence[Call], sender: bytes, *, gas: int) -> DryRun:
        """Run calls as a transaction of `sender` in the block after the last certified one, with at most `gas`; nothing is kept."""
        state, parameters = FinalState(self._state), self._parameters()
        limit = min(gas, parameters.max_transaction_gas)
        self._garbage.before(limit)
        env = self._environment(state, self._header, self._header.height + 1)
        machine = self._machine(parameters.gas_schedule, views=True)
        found = dry_run(machine, state, env, sender, calls, gas=limit, most=parameters.max_transaction_gas)
        self._garbage.after(found.gas_used)
        return found

    def value(self, key: bytes, height: int | None = None) -> Value | None:
        """The value under a state key at a certified height, None where there is none."""
        stored = self._state_at(height)[0].get(key)
        return None if isinstance(stored, Absent) else stored

    def prove(self, key: bytes, height: int | None = None) -> StateProof:
        """A proof of the key's value, or of its absence, under the state root of a certified height."""
        state, header = self._state_at(height)
        if isinstance(state, PastState):
            return state.prove(key)
        return build_proof(key, header.height, self._store.record(key), self._store.node)

    def abi(self, name: str, height: int | None = None) -> ContractAbi | None:
        """A contract's interface at a certified height, None if there is none of that name."""
        contract = self._contract(self._state_at(height)[0], name)
        if contract is None:
            return None
        abi = contract.abi
        methods = [*abi.exports.values(), *abi.views.values(), *[hook for hook in (abi.init, abi.migrate) if hook is not None]]
        return ContractAbi(
            name,
            contract.source_hash,
            tuple(MethodAbi(m.name, m.kind.value, tuple((p.name, p.type) for p in m.parameters), m.returns, m.doc) for m in methods),
            abi.doc,
            self._version(height, name),
        )

    def contracts(self) -> tuple[str, ...]:
        """Names of the contracts installed in the certified state, sorted."""
        state, names = FinalState(self._state), []
        key = state.next_key(layout.CODE, None)
        while key is not None:
            names.append(key[len(layout.CODE) :].decode("ascii"))
            key = state.next_key(layout.CODE, key)
        return tuple(names)

    def _state_at(self, height: int | None) -> tuple[ReadState, Header]:
        if height is None or height == self.height:
            return FinalState(self._state), self._header
        if height > self.height or height < 0:
            raise RemoteError(f"height {height} isn't certified: the last one is {self.height}", code="not-found")
        found = self._past.get(height)
        if found is None:
            header = self._store.header(height)
            if header is None or self._store.undo(height + 1) is None:
                oldest = self.status().oldest_queryable
                raise RemoteError(f"the state at height {height} is pruned: this node answers from {oldest} on", code="pruned")
            found = PastState(self._store, self._state, header)
            if found.size + sum([past.size for past in self._past.values()]) > MAX_UNDO_BYTES or len(self._past) >= _MAX_PAST:
                self._past.clear()
            self._past[height] = found
        return found, found.header

    # Inside.

    def _make_genesis(self) -> None:
        block = run_genesis(self._around, self._genesis)
        layer = self._state.finalise(0)
        self._store.put_genesis_outcome(block.encoded)
        self._store.absorb(layer.records, layer.nodes, block.header, block.header_hash, b"")
        self._store.flush(sync=True)

    def _environment(self, state: ReadState, header: Header, height: int) -> Environment:
        """What contracts see who read `state`, that of `header`, as of `height`."""
        offset = state.get(CLOCK_OFFSET)
        market_ms = max(0, header.time_ms + (offset if type(offset) is int else 0))
        return Environment(market_ms, height, self._genesis.chain_id, lambda name: self._contract(state, name))

    def _machine(self, version: int, *, views: bool) -> Machine:
        machine = self._machines.get((version, views))
        if machine is None:
            machine = self._machines[version, views] = Machine(SCHEDULES[version])
        return machine

    def _contract(self, state: ReadState, name: str) -> Contract | None:
        return contract_of(state.get(layout.code_key(name)), name, self._compiled) if name.isascii() else None

    def _version(self, height: int | None, name: str) -> int:
        stored = self._state_at(height)[0].get(layout.code_key(name))
        return stored[0] if type(stored) is tuple else 0

    def _parameters(self) -> Parameters:
        return self._around.epochs.current()[0].parameters

    def _tip_hash(self) -> bytes:
        return b"" if self._store.tip is None else self._store.tip.header_hash

    def _stored_header(self, height: int) -> Header:
        header = self._store.header(height)
        if header is None:
            raise StorageError(
                f"the state database lacks the header of its own height {height}: remove the state directory, it's rebuilt from the blocks", code="corrupt"
            )
        return header
