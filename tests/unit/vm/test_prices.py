"""What attackers found to take much longer than it paid for. Each is held against a plain loop, so that a slow or busy machine judges nothing else."""

import time
from functools import cache

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Status
from carbonnode.vm.state import Environment

GAS = 400_000
MOST = 8
"""Times the time for a gas of the plain loop. What stands here took 10 to 200 times as long, and takes less than three times now."""
LONG = "T = (" + "1," * 4096 + ")\n"
FAILING = "@export\ndef bad() -> int:\n    {}\n    return 1\n"
PLAIN = ("", "n = 0", "n += 1")
TRY = 'x = try_call(ctx.self, "bad")'
# Declarations, what stands before the loop, its body.
ATTACKS = {
    "a short tuple looked for among long ones": (LONG, "l = [T] * 4096", "x = (1,) in l"),
    "a long tuple looked for in nothing": (LONG, "l = []", "x = T in l"),
    "keys of a Map whose hashes are equal": ("m = Map(int, int)\n", "p = 2 ** 61 - 1", "for i in range(4000):\n            x = m.get(p * i, 0)"),
    "pairs of them": ("m = Map(int, str, int)\n", "p = 2 ** 61 - 1", 'for i in range(4000):\n            x = m.get((p * i, "a"), 0)'),
    "a key that is too long": ("m = Map(str, str, str, int)\n" + FAILING.format('z = "\\x00" * 4096\n    x = m.get((z, z, z), 0)'), "", TRY),
    "a long key beside which is the next": (
        "m = Map(str, str, str, int)\n" + FAILING.format('z = "\\x00" * 4096\n    x = m.next(z, z, None)'),
        "",
        TRY,
    ),
    "a dict of deleted keys": (
        "",
        "d = {}\n    for i in range(3000):\n        d[str(i)] = i\n    for k in d:\n        del d[k]",
        "for k in d:\n            pass",
    ),
    "a dict of popped keys": (
        "",
        "d = {}\n    for i in range(3000):\n        d[i] = i\n    for k in d:\n        x = d.pop(k)",
        "x = list(d)",
    ),
    "sorting a short tuple with a long one": (LONG + FAILING.format("x = sorted([(1,), T])"), "", TRY),
    "the least of a short tuple and a long one": (LONG + FAILING.format("x = min((1,), T)"), "", TRY),
    "a tuple that holds more than can be stored": (LONG + "U = (T, 1)\nv = Var(tuple)\n" + FAILING.format("v.set(U)"), "", TRY),
    "ordering wide texts": ("", 'a = "\\u0100" * 2046 + "a"\n    b = "\\u0100" * 2046 + "b"', "x = a < b and a < b and a < b and b < a"),
    "ordering a wide text and a narrow one": ("", 'a = "a" * 4000 + "\\u0100"\n    b = "a" * 4001', "x = b < a and b < a and b < a and a < b"),
    "the least of wide texts": ("", 'l = ["a" * 4000 + "\\u0100", "a" * 4001] * 100', "x = min(l)"),
    "ordering tuples of wide texts": ("", 'a = ("a" * 4000 + "\\u0100", 1)\n    b = ("a" * 4001, 1)', "x = a < b"),
    "looking through a text of 2,499 for half of it": ("", 't = "a" * 2499\n    p = "a" * 1240 + "b" + "aa"', "x = t.find(p)"),
    "splitting it so": ("", 't = "a" * 2499\n    p = "a" * 1240 + "b" + "aa"', "x = t.split(p)"),
    "looking through a text of 4,096 for half of it": ("", 't = "a" * 4096\n    p = "a" * 2096 + "b" + "aa"', "x = p in t"),
    "a wide text times nothing": ("", 's = "\\U0001f600" + "a" * 4090', "x = s * 0"),
    "showing a long name of no rounding": (FAILING.format('x = muldiv(1, 1, 1, "\\U000e0001" * 1000)'), "", TRY),
    "looking through a text of 2,499": ("", 't = "a" * 2499\n    p = "a" * 625 + "b" + "a" * 625', "x = p in t"),
}


def nanoseconds_per_gas(declared: str, before: str, body: str) -> float:
    start = f"    {before}\n" if before else ""
    source = f"{declared}@export\ndef go() -> int:\n{start}    while True:\n        {body}\n"
    contract = compile_contract("a", source.encode())
    env = Environment(time_ms=1, height=1, chain_id=bytes(32), resolve={"a": contract}.get)
    machine, least = Machine(SCHEDULES[max(SCHEDULES)]), float("inf")
    machine.execute(MemoryState(), env, bytes(32), (Call("a", "go", ()),), 200)
    for _ in range(3):
        started = time.process_time_ns()
        outcome = machine.execute(MemoryState(), env, bytes(32), (Call("a", "go", ()),), GAS)
        least = min(least, (time.process_time_ns() - started) / GAS)
        assert outcome.status is Status.OUT_OF_GAS
    return least


@cache
def plain() -> float:
    return nanoseconds_per_gas(*PLAIN)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_pays_for_its_time(name: str) -> None:
    assert nanoseconds_per_gas(*ATTACKS[name]) < MOST * plain()
