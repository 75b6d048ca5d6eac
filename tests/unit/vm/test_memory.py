"""Memory that a contract makes is paid for: no way of making it gets much more than 16 bytes for one gas.

So the gas limit of a transaction bounds what it can hold: 64 million gas are about a gigabyte, whatever it does.
"""

import gc
import tracemalloc

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.state import Environment

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
