"""Speed of the contract VM: transfer, placing an order, a taker that fills five, a loop of 10^5, and deployment. `python scripts/bench_vm.py`

Times are the best of several rounds on a state in memory: ratios say more than absolutes on a shared machine.
"""

import argparse
import time
from collections.abc import Callable

import msgspec

from carbonnode.chain.transaction import Call
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.rewriter import compile_program
from carbonnode.vm.state import Environment

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
        start = time.perf_counter()
        for _ in range(times):
            action()
        found = min(found, time.perf_counter() - start)
    return found / times * 1e6


def measure() -> dict[str, dict[str, float]]:
    """All figures, by name: microseconds, gas, the bar."""
    bench = Bench()
    owner, other, maker = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
    bench.run(owner, "transfer", "mint", owner, 10**15)
    for who in (owner, maker):
        bench.run(owner, "book", "fund", who, 10**15, 10**12)
    found: dict[str, dict[str, float]] = {}

    def note(name: str, microseconds: float, bar: float) -> None:
        found[name] = {"us": round(microseconds, 2), "gas": bench.gas, "ns_per_gas": round(microseconds * 1e3 / max(bench.gas, 1), 1), "bar_us": bar}

    note("transfer", best(lambda: bench.run(owner, "transfer", "transfer", other, 5), 500, 7), 12)
    note("place", best(lambda: bench.run(maker, "book", "sell", 100, 5), 500, 7), 40)

    def taker() -> float:
        for _ in range(5):
            bench.run(maker, "book", "sell", 50, 10)
        start = time.perf_counter()
        bench.run(owner, "book", "buy", 50, 50)
        return time.perf_counter() - start

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
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    found = measure()
    if options.json:
        print(msgspec.json.encode(found).decode())
        return
    for name, figures in found.items():
        print(f"{name:16}" + "  ".join(f"{key} {value:>10}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
