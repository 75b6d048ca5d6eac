"""A certified toy chain made in this process: real executor, real block store over memory, certificates of four signers."""

from collections.abc import Sequence

from carbonnode.chain.batch import Batch, SkipOrder
from carbonnode.chain.certificate import Certificate, sign_checkpoint
from carbonnode.chain.genesis import ContractSource, Genesis
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.service import ContractAbi
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import Value
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.results import DryRun, ExecutedBlock, LedgerStatus, NextEpoch, ViewResult
from carbonnode.node.executor_client import VIEW_GAS_IDLE
from carbonnode.node.pipeline import FinalBlock
from carbonnode.storage.blocks import BlockStore, StoredBlock

SIGNERS = tuple(KeySigner(bytes([number + 1]) * 32) for number in range(4))
NAMES = ("super-1", "super-2", "coordination-1", "coordination-2")
CONTRACT = '''"""Notes for an organisation, and public ones."""

count = Var(int)


@export
def note(to: str, text: str) -> int:
    n = count.get(0) + 1
    count.set(n)
    if to == "":
        emit("Note", text=text)
    else:
        emit("Note", to=to, text=text)
    return n


@view
def written() -> int:
    return count.get(0)
'''


def make_genesis() -> Genesis:
    """Four validators and the contract."""
    validators = tuple(
        Validator(name, name.split("-")[0], signer.public_key, bytes([number + 101]) * 32)
        for number, (name, signer) in enumerate(zip(NAMES, SIGNERS, strict=True))
    )
    return Genesis(network="kit", time_ms=1_000_000, validators=validators, ca_roots=("none",), contracts=(ContractSource("notes", CONTRACT),))


class LocalExecutor:
    """`node.ports.ExecutorPort` in this process."""

    def __init__(self, genesis: Genesis, kv: MemoryKV | None = None) -> None:
        self.kv = kv or MemoryKV()
        self.ledger = BlockExecutor(self.kv, genesis, flush_blocks=4)
        self.executions: list[int] = []
        self.confinement: tuple[str, ...] = ("none: in this process",)
        self.held_bytes = 0

    async def execute(self, height: int, batch: Batch, transactions: Sequence[bytes], skip_orders: Sequence[SkipOrder] = ()) -> ExecutedBlock:
        self.executions.append(height)
        return self.ledger.execute(height, batch, transactions, skip_orders)

    async def finalise(self, height: int) -> int:
        return self.ledger.finalise(height)

    async def flush(self) -> int:
        return self.ledger.flush()

    async def discard_above(self, height: int) -> None:
        self.ledger.discard_above(height)

    async def status(self) -> LedgerStatus:
        return self.ledger.status()

    async def genesis_block(self) -> ExecutedBlock:
        return self.ledger.genesis_block()

    async def epochs(self) -> tuple[NextEpoch, NextEpoch | None]:
        return self.ledger.epochs()

    async def query(self, contract: str, view: str, args: tuple[Value, ...], sender: bytes, height: int | None = None) -> ViewResult:
        return self.ledger.query(contract, view, args, sender, height)

    async def estimate(self, calls: Sequence[Call], sender: bytes) -> DryRun:
        return self.ledger.estimate(calls, sender, gas=VIEW_GAS_IDLE)

    async def abi(self, name: str, height: int | None = None) -> ContractAbi | None:
        return self.ledger.abi(name, height)

    async def contracts(self) -> tuple[str, ...]:
        return self.ledger.contracts()


def certify(genesis: Genesis, block: ExecutedBlock, signers: Sequence[int] = (0, 1, 2)) -> Certificate:
    """A certificate by the validators with these numbers."""
    header = block.header
    votes = tuple(
        (number, sign_checkpoint(SIGNERS[number], genesis.chain_id, header.epoch, header.height, block.header_hash)) for number in signers
    )
    return Certificate(header.epoch, header.height, block.header_hash, votes)


class Chain:
    """Grows block by block; `blocks` holds it, `finals` are the blocks above 0."""

    def __init__(self, genesis: Genesis | None = None) -> None:
        self.genesis = genesis or make_genesis()
        self.executor = LocalExecutor(self.genesis)
        self.blocks = BlockStore(MemoryKV())
        self.finals: list[FinalBlock] = []
        self._nonce = 0
        zero = self.executor.ledger.genesis_block()
        self.zero = zero
        batch = Batch(zero.header.time_ms, ())
        self.blocks.put(StoredBlock(zero.header, zero.header_hash, batch.encoded, (), zero.encoded, None), ())

    def note(self, to: str = "", text: str = "hello", sender: str = "alice") -> Transaction:
        """A signed call."""
        self._nonce += 1
        signer = KeySigner(sender.encode().ljust(32, b"\0"))
        body = Body(self.genesis.chain_id, signer.public_key, self._nonce.to_bytes(16, "big"), 500, 100_000, (Call("notes", "note", (to, text)),))
        return Transaction.sign(body, signer)

    def batch(self, *transactions: Transaction) -> Batch:
        """A batch for the next height."""
        return Batch(1_000_000 + 1_000 * (self.blocks.height + 1), tuple(tx.wire_hash for tx in transactions))

    def grow(self, *transactions: Transaction) -> FinalBlock:
        """Execute, certify, store and finalise a block."""
        height = self.blocks.height + 1
        batch = self.batch(*transactions)
        outcome = self.executor.ledger.execute(height, batch, [tx.raw for tx in transactions])
        stored = StoredBlock(
            outcome.header, outcome.header_hash, batch.encoded, tuple(tx.raw for tx in transactions), outcome.encoded, certify(self.genesis, outcome)
        )
        self.blocks.put(stored, tuple(tx.id for tx in transactions))
        self.executor.ledger.finalise(height)
        final = FinalBlock(stored, outcome, batch, transactions)
        self.finals.append(final)
        return final
