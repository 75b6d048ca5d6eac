"""Speed of the contract VM: transfer, placing an order, a taker that fills five, a loop of 10^5, and deployment. `python scripts/bench_vm.py`

Times are processor time, the best of several rounds on a state in memory. Then blocks of 500 as a node runs them, per transaction: in the VM alone, and with
overlay, receipts, events, salts, state tree and the write to LevelDB; the last kind are orders through the shipped contracts.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from carbonnode.chain import values
from carbonnode.chain.codec import encode
from carbonnode.chain.merkle import leaf_hash
from carbonnode.chain.ports import KV
from carbonnode.chain.receipt import Receipt
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.ledger import layout, salts
from carbonnode.ledger.events import EventNumbers
from carbonnode.ledger.state import WorkingState
from carbonnode.ledger.store import StateStore
from carbonnode.local.chain import key_of
from carbonnode.local.market import LocalMarket
from carbonnode.local.ruleset import load
from carbonnode.storage import leveldb
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.rewriter import compile_program
from carbonnode.vm.state import Environment

BLOCK = 500
MIDDLE_FEN = 6_196
Item = tuple[bytes, Call]
"""Sender and call of a transaction."""

TRANSFER = b"""
balances = Map(bytes, int)

@export
def mint(to: bytes, amount: int) -> None:
    require(amount > 0, "amount")
    balances[to] = balances.get(to, 0) + amount

@export
def transfer(to: bytes, amount: int) -> int:
    require(amount > 0, "amount")
    left = balances.get(ctx.sender, 0) - amount
    require(left >= 0, "funds")
    balances[ctx.sender] = left
    balances[to] = balances.get(to, 0) + amount
    emit("Moved", to="someone", amount=amount)
    return left
"""

BOOK = b"""
asks = Map(int, tuple)
cash = Map(bytes, int)
units = Map(bytes, int)
reserved = Map(bytes, int)
arrivals = Var(int)
traded = Var(int)

@export
def fund(who: bytes, fen: int, tonnes: int) -> None:
    cash[who] = cash.get(who, 0) + fen
    units[who] = units.get(who, 0) + tonnes

@export
def sell(price: int, quantity: int) -> int:
    require(price > 0 and quantity > 0, "order")
    left = units.get(ctx.sender, 0) - quantity
    require(left >= 0, "units")
    units[ctx.sender] = left
    reserved[ctx.sender] = reserved.get(ctx.sender, 0) + quantity
    number = arrivals.get() + 1
    arrivals.set(number)
    asks[price << 40 | number] = (ctx.sender, price, quantity)
    emit("Placed", to="owner", price=price, quantity=quantity, order=number)
    emit("Depth", side="S", price=price, quantity=quantity)
    return number

@export
def buy(limit: int, quantity: int) -> int:
    require(limit > 0 and quantity > 0, "order")
    left = quantity
    rank = asks.next(None)
    while left > 0 and rank is not None and rank >> 40 <= limit:
        owner, price, offered = asks[rank]
        part = min(left, offered)
        cost = part * price
        funds = cash.get(ctx.sender, 0) - cost
        require(funds >= 0, "cash")
        cash[ctx.sender] = funds
        cash[owner] = cash.get(owner, 0) + cost
        reserved[owner] -= part
        units[ctx.sender] = units.get(ctx.sender, 0) + part
        emit("Filled", to="maker", price=price, quantity=part)
        emit("Trade", price=price, quantity=part)
        left -= part
        if part == offered:
            del asks[rank]
        else:
            asks[rank] = (owner, price, offered - part)
        rank = asks.next(rank)
    traded.set(traded.get() + quantity - left)
    return left
"""

LOOP = b"""
@view
def total(n: int) -> int:
    s = 0
    for i in range(n):
        s = s + i * 3
    return s
"""


def plain_loop(n: int) -> int:
    """The same loop as a plain Python function."""
    s = 0
    for i in range(n):
        s = s + i * 3
    return s


class Bench:
    """A machine and the contracts of the benchmark."""

    def __init__(self) -> None:
        self.machine = Machine(SCHEDULES[1])
        sources = {"transfer": TRANSFER, "book": BOOK, "loop": LOOP}
        self.contracts: dict[str, Contract] = {name: compile_contract(name, source) for name, source in sources.items()}
        self.env = Environment(time_ms=0, height=1, chain_id=bytes(32), resolve=self.contracts.get)
        self.state = MemoryState()
        self.gas = 0

    def run(self, sender: bytes, contract: str, method: str, *args: int | bytes) -> None:
        """One transaction that must succeed."""
        outcome = self.machine.execute(self.state, self.env, sender, (Call(contract, method, args),), 10_000_000)
        if not outcome.ok:
            raise SystemExit(f"{contract}.{method} ended as {outcome}")
        self.gas = outcome.gas_used


def best(action: Callable[[], object], times: int, rounds: int) -> float:
    """Microseconds a call, in the best round."""
    found = float("inf")
    for _ in range(rounds):
        start = time.thread_time()
        for _ in range(times):
            action()
        found = min(found, time.thread_time() - start)
    return found / times * 1e6


class RealMarket:
    """Orders by the shipped contracts: matching with identity, allowance, cash, execution and voucher behind it."""

    def __init__(self) -> None:
        rules = load("cn-national-2024").override({"always_open": 1, "t_plus": 0, "listing_limit": 10**6})
        self.market = LocalMarket(rules)
        self.book = self.market.vintage(2024)
        self.market.by("exchange", "matching", "open_book", self.book, MIDDLE_FEN)
        self.market.by("exchange", "matching", "open_day")
        self.owners = [f"BENCH-{number:03d}" for number in range(60)]
        for owner in self.owners:
            self.market.member(owner)
            self.market.fund(owner, cash_fen=10**11, iv=self.book, units_t=10**6)
        self.random = random.Random(1)

    def orders(self, count: int) -> list[Item]:
        """Orders of which about a third fill, as in `make bench`."""
        return [(key_of(self.random.choice(self.owners)), self.order(number)) for number in range(count)]

    def order(self, number: int) -> Call:
        """60 in a hundred cross the middle, the others wait behind it."""
        side = self.random.choice("BS")
        away = self.random.randint(0, 20) if self.random.random() < 0.6 else -self.random.randint(1, 200)
        price = MIDDLE_FEN + away if side == "B" else MIDDLE_FEN - away
        return Call("matching", "place", (self.book, side, price, self.random.randint(1, 20), f"b{number}"))


class Blocks:
    """Blocks of `BLOCK` transactions as a node runs them, on a LevelDB: overlay, salts, receipts, events, state tree, write."""

    def __init__(self, kv: KV, resolve: Callable[[str], Contract | None], data: Mapping[bytes, Value], time_ms: int) -> None:
        self.kv = kv
        self.machine = Machine(SCHEDULES[max(SCHEDULES)])
        self.state = WorkingState(StateStore(kv))
        self.env = Environment(time_ms=time_ms, height=1, chain_id=bytes(32), resolve=resolve)
        self.height = 0
        self.state.begin_block()
        for key, value in data.items():
            self.state.put(key, value)
        self.close(b"")

    def run(self, items: Sequence[Item]) -> tuple[float, float]:
        """Microseconds a transaction of one block: in the VM alone, and with everything."""
        self.state.begin_block()
        numbers, inside, started = EventNumbers(self.state), 0.0, time.thread_time()
        for index, (sender, call) in enumerate(items):
            start = time.thread_time()
            outcome = self.machine.execute(self.state, self.env, sender, (call,), 10_000_000)
            inside += time.thread_time() - start
            if not outcome.ok:
                raise SystemExit(f"{call} ended as {outcome.code} at {outcome.where}")
            seed = index.to_bytes(32, "big")
            salt, *event_salts = salts.leaf_salts(seed, 1 + len(outcome.events))
            for item, event_salt in zip(outcome.events, event_salts, strict=True):
                leaf_hash(event_salt + numbers.number(item, seed)[1])
            self.state.commit_transaction(0)
            returned = tuple([value if value is None else values.to_wire(value) for value in outcome.values])
            leaf_hash(salt + encode(Receipt(seed, int(outcome.status), outcome.code, outcome.gas_used, 0, len(outcome.events), returned)))
        numbers.write_heads()
        self.close(bytes(32))
        return inside / len(items) * 1e6, (time.thread_time() - started) / len(items) * 1e6

    def close(self, seed: bytes) -> None:
        """Seal the block, update the tree, write."""
        self.state.commit_transaction(0)
        self.height += 1
        self.state.seal_block(self.height, [seed.ljust(32, b"\0")])
        layer = self.state.finalise(self.height)
        puts = [(layout.VALUE + key, record) for key, record in layer.records.items() if record is not None]
        puts += [(layout.NODE + key, record) for key, record in layer.nodes.items() if record is not None]
        gone = [layout.VALUE + key for key, record in layer.records.items() if record is None]
        self.kv.write(puts, gone + [layout.NODE + key for key, record in layer.nodes.items() if record is None])


def toy_blocks(bench: Bench, count: int) -> dict[str, list[list[Item]]]:
    """Blocks of transfers between 1,000 accounts, and of orders that rest in the toy book."""
    draw = random.Random(2)
    accounts = [bytes([number % 256, number // 256]) * 16 for number in range(1000)]
    for account in accounts:
        bench.run(account, "transfer", "mint", account, 10**12)
        bench.run(account, "book", "fund", account, 10**12, 10**9)

    def transfer() -> Item:
        return draw.choice(accounts), Call("transfer", "transfer", (draw.choice(accounts), draw.randint(1, 9)))

    def place() -> Item:
        return draw.choice(accounts), Call("book", "sell", (draw.randint(5000, 7000), draw.randint(1, 20)))

    makers: dict[str, Callable[[], Item]] = {"transfer": transfer, "place": place}
    return {name: [[make() for _ in range(BLOCK)] for _ in range(count)] for name, make in makers.items()}


def measure_blocks(count: int) -> dict[str, dict[str, float]]:
    """Per transaction of a block of 500, in the best of `count` blocks: the VM alone, and with tree, overlay, receipts and the write."""
    found: dict[str, dict[str, float]] = {}
    bench, real = Bench(), RealMarket()
    blocks = toy_blocks(bench, count)
    kinds: list[tuple[str, Callable[[str], Contract | None], Mapping[bytes, Value], int, list[list[Item]]]] = [
        ("block of transfers", bench.contracts.get, bench.state.data, 0, blocks["transfer"]),
        ("block of orders", bench.contracts.get, bench.state.data, 0, blocks["place"]),
        ("block of real orders", real.market.resolve, real.market.state.data, real.market.market_time_ms, [real.orders(BLOCK) for _ in range(count)]),
    ]
    for name, resolve, data, time_ms, items in kinds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            leveldb.create(path)
            with leveldb.LevelKV.open(path) as kv:
                runner = Blocks(kv, resolve, data, time_ms)
                figures = [runner.run(block) for block in items]
        found[name] = {"vm_us": round(min(f[0] for f in figures), 2), "all_us": round(min(f[1] for f in figures), 2)}
    return found


def measure() -> dict[str, dict[str, float]]:
    """All figures, by name: microseconds, gas, the bar."""
    bench = Bench()
    owner, other, maker = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
    bench.run(owner, "transfer", "mint", owner, 10**15)
    for who in (owner, maker):
        bench.run(owner, "book", "fund", who, 10**15, 10**12)
    found: dict[str, dict[str, float]] = {}

    def note(name: str, microseconds: float, bar: float) -> None:
        per_gas = round(microseconds * 1e3 / bench.gas, 1) if bench.gas else 0
        found[name] = {"us": round(microseconds, 2), "gas": bench.gas, "ns_per_gas": per_gas, "bar_us": bar}

    note("transfer", best(lambda: bench.run(owner, "transfer", "transfer", other, 5), 500, 7), 12)
    note("place", best(lambda: bench.run(maker, "book", "sell", 100, 5), 500, 7), 40)

    def taker() -> float:
        for _ in range(5):
            bench.run(maker, "book", "sell", 50, 10)
        start = time.thread_time()
        bench.run(owner, "book", "buy", 50, 50)
        return time.thread_time() - start

    note("take five", min(taker() for _ in range(300)) * 1e6, 250)
    plain = best(lambda: plain_loop(100_000), 1, 9)
    note("loop 1e5", best(lambda: bench.run(owner, "loop", "total", 100_000), 1, 9), 6 * plain)
    found["loop 1e5"]["times_plain"] = round(found["loop 1e5"]["us"] / plain, 2)
    bench.gas = 0

    def deploy() -> None:
        compile_program("book", compile_contract("book", BOOK).program, SCHEDULES[1])

    note("check + compile", best(deploy, 3, 5), 20_000)
    return found


def main() -> None:
    """Print a table and write it as JSON; fail where a figure misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=8, help="blocks of 500 of each kind")
    parser.add_argument("--out", type=Path, default=Path("build/bench-vm.json"))
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    found = measure() | measure_blocks(options.blocks)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    if options.json:
        print(msgspec.json.encode(found).decode())
    else:
        for name, figures in found.items():
            print(f"{name:22}" + "  ".join(f"{key} {value:>10}" for key, value in figures.items()))
    missed = [name for name, figures in found.items() if figures.get("bar_us", figures.get("us", 0)) < figures.get("us", 0)]
    if missed:
        sys.exit(f"beyond the bar: {', '.join(missed)}")


if __name__ == "__main__":
    main()
