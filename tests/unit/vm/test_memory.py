"""Memory that a contract makes is paid for: no way of making it gets much more than 16 bytes for one gas.

So the gas limit of a transaction bounds what it can hold, whatever it does, and that of a block what it can leave in the state (docs/adr/0024).
"""

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from carbonnode.chain import values
from carbonnode.chain.transaction import Call
from carbonnode.vm import runtime
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.state import Absent, Environment
from carbonnode.vm.storage import MAX_ADDRESSES

MAX_BYTES_PER_GAS = 24
MADE = {
    "lists by display": "[i, i, i]",
    "empty lists": "[]",
    "empty dicts": "{}",
    "dicts of one": "{i: i}",
    "dicts of six": "{i: 1, 'a': 2, 'b': 3, 'c': 4, 'd': 5, 'e': 6}",
    "tuples": "(i, i)",
    "long lists": "[0] * 4000",
    "long tuples": "tuple(row)",
    "long lists by slice": "row[1:]",
    "long lists by adding": "row + [1]",
    "long lists by comprehension": "[j for j in row]",
    "lists of lists": "[[] for j in range(200)]",
    "lists of dicts": "[{1: 1} for j in range(200)]",
    "lists of large integers": "[big + j for j in range(200)]",
    "lists of pairs": "[(j, j) for j in range(200)]",
    "large integers": "big + i",
    "texts": "text + str(i)",
    "texts by slice": "text[i % 9:]",
    "texts by times": "'ab' * 2000",
    "texts by join": "','.join(words)",
    "wide texts": "wide + str(i)",
    "texts by upper": "text.upper()",
    "bytes by encode": "text.encode()",
    "wide texts decoded": "wide.encode().decode()",
    "texts by hex": "data.hex()",
    "texts by str": "str(big + i)",
    "split": "text.split('cd')",
    "split by a long separator": "('ab' + 'cdef' * 1 + 'ab' * 1000).split('abab')",
    "split of wide texts": "(wide[:1000] + ',' * 50).split(',')",
    "split everywhere": "('ab,' * 1000).split(',')",
    "keys": "d.keys()",
    "items": "d.items()",
    "values": "d.values()",
    "sorted": "sorted(row)",
    "hashes": "hash(str(i).encode())",
    "results of calls": "call(ctx.self, 'rows', 1)",
    "lists returned": "call(ctx.self, 'lists', 1)",
}
SOURCE = """
@export
def rows(a: int) -> tuple:
    return ((a, a), (a, a), (a, a))
@export
def lists(a: int) -> list:
    return [[a], [a], [a, a]]
@export
def go(count: int) -> int:
    big = 2 ** 250
    text = "abcd" * 900
    wide = "\\u4e2d" * 1300
    data = b"abcd" * 500
    row = [j for j in range(3000)]
    words = [str(j) for j in range(500)]
    d = {}
    for j in range(1500):
        d[j] = j
    held = []
    for i in range(count):
        held.append(MADE)
    return len(held)
"""


def cost(made: str, count: int) -> tuple[int, int]:
    """Bytes at the most, and gas."""
    contract = compile_contract("a", SOURCE.replace("MADE", made).encode())
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
    machine = Machine(SCHEDULES[1])
    machine.execute(MemoryState(), env, bytes(32), (Call("a", "go", (0,)),), 10_000_000)
    gc.collect()
    tracemalloc.start()
    outcome = machine.execute(MemoryState(), env, bytes(32), (Call("a", "go", (count,)),), 1_000_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.ok, (outcome.code, outcome.where)
    return peak, outcome.gas_used


@pytest.mark.parametrize("name", MADE)
def test_what_is_held_was_paid_for(name: str) -> None:
    few, few_gas = cost(MADE[name], 20)
    many, many_gas = cost(MADE[name], 220)
    assert (many - few) / (many_gas - few_gas) <= MAX_BYTES_PER_GAS


class DecodingState(MemoryState):
    """Every read makes the value anew, as on a node whose caches are cold."""

    def get(self, key: bytes) -> values.Value | Absent:
        value = super().get(key)
        return value if isinstance(value, Absent) else values.decode_value(values.encode_value(value))


READ = {
    "a text in a tuple": "('ab' * 2040,)",
    "a wide text in a tuple": "(wide,)",
    "one wide character in a text": "('ab' * 2000 + '\\u4e2d',)",
    "several wide texts": "(wide, wide, wide)",
    "pairs": "tuple([(j, 300 + j) for j in range(1300)])",
    "tuples of one": "tuple([(j,) for j in range(2000)])",
    "tuples of eight": "tuple([(300 + j, 301, 302, 303, 304, 305, 306, 307) for j in range(450)])",
    "one long tuple inside": "(tuple([300 + j for j in range(4000)]),)",
    "large integers inside": "(tuple([big + j for j in range(4000)]),)",
    "integers": "tuple([j * j for j in range(4000)])",
    "large integers": "tuple([big + j for j in range(4000)])",
    "three integers": "(70000, 70001, 70002)",
}
KEPT = """
kept = Map(int, tuple)
numbers = Map(int, int)
@export
def fill(count: int) -> None:
    big = 2 ** 250
    wide = "\\u4e2d" * 1300
    value = VALUE
    for i in range(count):
        kept[i] = value
@export
def read(count: int) -> int:
    held = []
    for i in range(count):
        held.append(kept[i])
    return len(held)
@export
def test(key: int) -> bool:
    return key in kept
@export
def replace(key: int) -> None:
    kept[key] = ()
@export
def remove(key: int) -> None:
    del kept[key]
@export
def touch(count: int) -> int:
    found = 0
    for i in range(count):
        found += numbers.get(i, 1)
    return found
"""


def runner(made: str) -> Callable[[str, int], int]:
    """Runs a method, which must succeed: its gas."""
    contract = compile_contract("a", KEPT.replace("VALUE", made).encode())
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
    machine, state = Machine(SCHEDULES[1]), DecodingState()

    def run(method: str, argument: int) -> int:
        outcome = machine.execute(state, env, bytes(32), (Call("a", method, (argument,)),), 1_000_000_000)
        assert outcome.ok, (outcome.code, outcome.where)
        return outcome.gas_used

    return run


@pytest.mark.parametrize("name", READ)
def test_what_is_read_and_held_was_paid_for(name: str) -> None:
    run = runner(READ[name])
    run("fill", 12)
    run("read", 1)
    gc.collect()
    tracemalloc.start()
    few_gas = run("read", 2)
    few = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    many_gas = run("read", 12)
    many = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (many - few) / (many_gas - few_gas) <= MAX_BYTES_PER_GAS


@pytest.mark.parametrize("method", ["test", "replace", "remove"])
def test_a_long_tuple_that_is_touched_is_paid_for_like_a_read(method: str) -> None:
    """It is decoded, and its old form kept for as long as the block may be undone."""
    costs = {}
    for made in ("()", "(1, 2, 3, 4)", "(tuple([big + j for j in range(4000)]),)"):
        run = runner(made)
        run("fill", 1)
        costs[made] = run(method, 0)
    empty, short, long = costs.values()
    assert short == empty
    assert long - empty > 4000 * 20


def test_all_maps_of_a_machine_remember_addresses_in_one_room() -> None:
    names = [f"m{i}" for i in range(30)]
    source = "".join(f"{name} = Map(int, int)\n" for name in names)
    source += "@export\ndef go(n: int) -> int:\n    found = 0\n    for i in range(n):\n" + "".join(f"        found += {name}.get(i, 0)\n" for name in names)
    contract = compile_contract("a", (source + "    return found\n").encode())
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
    machine = Machine(SCHEDULES[1])
    assert machine.execute(MemoryState(), env, bytes(32), (Call("a", "go", (4_000,)),), 1_000_000_000).ok
    assert 0 < sum(map(len, machine._runtime.room._known)) <= MAX_ADDRESSES


def test_linked_contracts_are_bounded_by_their_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    filler = "".join(f"def f{i}(a: int) -> int:\n    return a\n" for i in range(500))
    source = (filler + "@export\ndef go() -> int:\n    return 1\n").encode()
    contracts = {f"c{i}": compile_contract(f"c{i}", source) for i in range(4)}
    monkeypatch.setattr(runtime, "MAX_LINKED_SOURCE", 2 * len(source))
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve=contracts.get)
    machine = Machine(SCHEDULES[1])
    for name in contracts:
        assert machine.execute(MemoryState(), env, bytes(32), (Call(name, "go"),), 1_000_000).values == (1,)
    held = sum(len(contracts[name].source) for name, _ in machine._runtime.linked)
    assert held == machine._runtime.linked_source
    assert held <= 3 * len(source)
