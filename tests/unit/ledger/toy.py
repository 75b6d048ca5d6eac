"""A small chain for ledger tests: one contract with balances, events, jobs and an order book, and helpers to make blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from carbonnode.chain import values
from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import ContractSource, Genesis, Parameters
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.ports import KV
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import Value
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.results import ExecutedBlock

TOY = '''"""A toy: balances that are conserved, a book, jobs."""
balances = Map(str, int)
supply = Var(int)
book = Map(int, int, str)
ticks = Var(int)
broken = Var(bool)


@init
def setup(amount: int) -> None:
    balances["bank"] = amount
    supply.set(amount)
    ticks.set(0)


@export
def pay(source: str, to: str, amount: int) -> int:
    have = balances.get(source, 0)
    require(amount > 0, "TOY-AMOUNT")
    require(have >= amount, "TOY-FUNDS")
    balances[source] = have - amount
    balances[to] = balances.get(to, 0) + amount
    if have == amount:
        del balances[source]
    emit("Paid", to=to, amount=amount)
    emit("Paid", to=source, amount=-amount)
    emit("Turnover", amount=amount)
    return have - amount


@export
def mint(amount: int) -> None:
    balances["bank"] = balances.get("bank", 0) + amount


@export
def list_order(price: int, number: int, owner: str) -> None:
    book[price, number] = owner


@export
def take_best(price: int) -> str:
    number = book.next(price, None)
    require(number is not None, "TOY-EMPTY")
    owner = book[price, number]
    del book[price, number]
    return owner


@export
def later(at_ms: int, amount: int) -> None:
    schedule(at_ms, "tick", (amount,))


@export
def tick(amount: int) -> None:
    require(ctx.caller == "toy", "TOY-NOT-A-JOB")
    require(amount >= 0, "TOY-NEGATIVE")
    ticks.set(ticks.get() + amount)
    emit("Ticked", amount=amount)


@export
def burn_gas() -> None:
    n = 0
    while True:
        n = n + 1


@view
def balance(owner: str) -> int:
    return balances.get(owner, 0)


@view
def best(price: int) -> int:
    number = book.next(price, None)
    if number is None:
        return -1
    return number


@view
def clock() -> tuple:
    return (ctx.time, ctx.height)


@view
def ticked() -> int:
    return ticks.get()


@view
def conserved() -> bool:
    return balances.get("bank", 0) <= supply.get()
'''
KEY = KeySigner(b"k" * 32)


def genesis(
    *, supply: int = 1_000_000, invariants: tuple[tuple[str, str], ...] = (("toy", "conserved"),), more: tuple[ContractSource, ...] = (), **parameters: int
) -> Genesis:
    signers = [KeySigner(bytes([number]) * 32) for number in range(1, 9)]
    validators = tuple(Validator(f"v{number}", "super", signers[number].public_key, signers[number + 4].public_key) for number in range(4))
    return Genesis(
        network="toy",
        time_ms=1_000_000,
        validators=validators,
        ca_roots=(),
        contracts=(ContractSource("toy", TOY), *more),
        calls=(Call("toy", "setup", (supply,)),),
        parameters=Parameters(**{"view_gas": 1_000_000, **parameters}),  # type: ignore[arg-type]
        invariants=invariants,
    )


@dataclass
class Chain:
    """An executor with a counter of nonces."""

    genesis: Genesis = field(default_factory=genesis)
    kv: KV = field(default_factory=MemoryKV)
    flush_blocks: int = 1
    sent: int = 0
    blocks: list[tuple[Batch, list[bytes]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.executor = BlockExecutor(self.kv, self.genesis, flush_blocks=self.flush_blocks)

    def tx(self, method: str, *args: Value, valid_until: int = 500, gas: int = 1_000_000, contract: str = "toy", chain_id: bytes | None = None) -> bytes:
        self.sent += 1
        call = Call(contract, method, args)
        body = Body(chain_id or self.genesis.chain_id, KEY.public_key, self.sent.to_bytes(16, "big"), valid_until, gas, (call,))
        return Transaction.sign(body, KEY).raw

    def batch(self, transactions: Sequence[bytes], time_ms: int = 0) -> Batch:
        return Batch(time_ms, tuple(Transaction.decode(raw).wire_hash for raw in transactions))

    def execute(self, *transactions: bytes, time_ms: int = 0) -> ExecutedBlock:
        batch = self.batch(transactions, time_ms)
        self.blocks.append((batch, list(transactions)))
        return self.executor.execute(self.executor.executed + 1, batch, transactions)

    def block(self, *transactions: bytes, time_ms: int = 0) -> ExecutedBlock:
        block = self.execute(*transactions, time_ms=time_ms)
        self.executor.finalise(block.header.height)
        return block

    def balance(self, owner: str, height: int | None = None) -> Value:
        result = self.executor.query("toy", "balance", (owner,), height=height)
        assert result.status == 0, result.code
        return values.from_wire(result.value)
