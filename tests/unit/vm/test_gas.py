"""Gas: charged before the work, exact, and a run that stops anywhere leaves nothing."""

from collections.abc import Callable

import msgspec
import pytest

from carbonnode.chain.transaction import Call
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome, Status
from carbonnode.vm.state import Environment

Run = Callable[..., Outcome]

SWEPT = {
    "writes": 'm[1] = 1\nm[2] = m[1] + 1\ndel m[1]\nemit("E", a=1)\nreturn m[2]',
    "loop": "s = 0\nfor i in range(20):\n    s += i\nm[0] = s\nreturn s",
    "comprehension": "l = [i * i for i in range(30) if i % 2 == 0]\nm[0] = sum(l)\nreturn sorted(l)[3]",
    "calls": 'm[5] = 1\nx = try_call(ctx.self, "inner", 3)\ny = call(ctx.self, "inner", 4)\nschedule(5, "inner", (1,))\nreturn y',
    "failing": 'm[5] = 1\nx = try_call(ctx.self, "fail")\nm[6] = 2\nreturn 1',
    "sizes": 'l = [0] * 500\nk = l + l\nt = "ab" * 900\nu = t + t\nx = u.find("zz")\nm[1] = len(k)\nreturn len(",".join(["a"] * 50))',
    "dict": "d = {}\nfor i in range(15):\n    d[i] = i\nfor k in d:\n    m[k] = d[k]\nreturn len(d)",
}
TOP = "m = Map(int, int)\n"
TOP += '@export\ndef inner(a: int) -> int:\n    m[a] = a\n    emit("I", a=a)\n    return a\n@export\ndef fail() -> int:\n    m[9] = 9\n    abort("no")\n'


def install(body: str) -> Environment:
    lines = "\n".join("    " + line for line in body.split("\n"))
    contract = compile_contract("a", f"{TOP}@export\ndef go() -> int:\n{lines}\n".encode())
    return Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)


@pytest.mark.parametrize("name", SWEPT)
def test_a_run_stopped_at_any_gas_limit_leaves_the_state_untouched(name: str) -> None:
    env, machine = install(SWEPT[name]), Machine(SCHEDULES[1])
    state = MemoryState({b"c/a\0m\0\x81\x05": 50})
    before = dict(state.data)
    calls = (Call("a", "go", ()),)
    full = machine.execute(MemoryState(before), env, bytes(32), calls, 1_000_000)
    assert full.ok
    step = max(1, full.gas_used // 1500)
    for limit in [*range(0, full.gas_used, step), full.gas_used - 1]:
        outcome = machine.execute(state, env, bytes(32), calls, limit)
        assert (outcome.status, outcome.gas_used, outcome.values, outcome.events) == (Status.OUT_OF_GAS, limit, (), ())
        assert state.data == before
    outcome = machine.execute(state, env, bytes(32), calls, full.gas_used)
    assert (outcome.status, outcome.gas_used) == (Status.OK, full.gas_used)


ENDLESS = {
    "while": "while True:\n    pass",
    "while with continue": "while True:\n    continue",
    "for": "for i in range(10 ** 60):\n    pass",
    "comprehension": "x = [i for i in range(10 ** 60) if i < 0]",
    "nested comprehension": "x = [1 for i in range(4096) if len([j for j in range(4096)]) < 0]",
    "comprehension in a source": "x = [1 for i in [j for j in range(10 ** 60) if j < 0]]",
    "nested loops": "for i in range(4000):\n    for j in range(4000):\n        for k in range(4000):\n            pass",
    "in list": "l = [i for i in range(4096)]\nwhile True:\n    x = 5000 in l",
    "slices": "l = [0] * 4096\nwhile True:\n    x = l[1:]",
    "sorted": "l = [i * 7919 % 4096 for i in range(4096)]\nwhile True:\n    x = sorted(l)",
    "text": 't = "a" * 2000\nwhile True:\n    x = t + t',
    "find": 't = "a" * 4000\nq = "a" * 63 + "b" + "a" * 63\nwhile True:\n    x = t.find(q)',
    "hash": 't = b"a" * 4000\nwhile True:\n    x = hash(t)',
    "verify": 't = b"a" * 4000\nwhile True:\n    x = verify_signature(t[:32], t, t[:64])',
    "power": "while True:\n    x = 2 ** 255",
    "fixed": 'while True:\n    x = fixed_pow(4, 1, 1, 2, 10 ** 60, "floor")',
    "reads": "while True:\n    x = m.get(5, 0)",
    "steps": "while True:\n    x = m.next(None)",
    "try_call": 'while True:\n    x = try_call(ctx.self, "fail")',
    "jobs": "while True:\n    x = len(m.get(5, 0) * [1])",
    "dict snapshot": "d = {}\nfor i in range(4096):\n    d[i] = 1\nwhile True:\n    for k in d:\n        break",
    "join": 'l = ["a"] * 2000\nwhile True:\n    x = "".join(l)',
    "split": 't = "a," * 2000\nwhile True:\n    x = t.split(",")',
    "unpack": "while True:\n    a, b, c = (1, 2, 3)",
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.timeout(20)
def test_what_never_ends_runs_out_of_gas_soon(name: str) -> None:
    env, machine, state = install(ENDLESS[name] + "\nreturn 1"), Machine(SCHEDULES[1]), MemoryState()
    outcome = machine.execute(state, env, bytes(32), (Call("a", "go", ()),), 2_000_000)
    assert outcome.status is Status.OUT_OF_GAS
    assert not state.data


def test_try_call_neither_stops_out_of_gas_nor_gives_gas_back(bench: "object") -> None:
    source = '@export\ndef spin() -> int:\n    while True:\n        pass\n@export\ndef go() -> int:\n    try_call(ctx.self, "spin")\n    return 1\n'
    bench.install("a", source)  # type: ignore[attr-defined]
    outcome = bench.call("a", "go", gas=100_000)  # type: ignore[attr-defined]
    assert (outcome.status, outcome.gas_used) == (Status.OUT_OF_GAS, 100_000)


def test_the_same_call_costs_the_same_on_any_machine(run: Run) -> None:
    body = SWEPT["comprehension"].replace("m[0] = sum(l)\n", "")
    assert {run(body, returns="int").gas_used for _ in range(3)} == {run(body, returns="int").gas_used}


def test_the_first_schedule_stands_as_it_was_published() -> None:
    """Gas is in receipts: a number that changes is a new version of the schedule."""
    assert list(SCHEDULES) == [1]
    fields = msgspec.structs.asdict(SCHEDULES[1])
    assert fields == PUBLISHED


PUBLISHED = {
    "version": 1,
    "transaction": 100,
    "call": 60,
    "function": 4,
    "loop_turn": 2,
    "loop": 12,
    "statement": 1,
    "operator": 5,
    "division": 7,
    "power": 16,
    "unary": 4,
    "comparison": 5,
    "membership": 8,
    "subscript": 4,
    "item_write": 12,
    "slice": 24,
    "display": 2,
    "display_item": 1,
    "dict_display": 9,
    "builtin": 6,
    "method": 12,
    "search": 32,
    "conversion": 24,
    "local_call": 2,
    "context": 1,
    "read": 120,
    "write": 1000,
    "delete": 1000,
    "step": 500,
    "emit": 250,
    "event_field": 8,
    "addressed": 1000,
    "schedule": 2000,
    "digest": 50,
    "signature": 4000,
    "fixed_exp": 4000,
    "fixed_pow": 20000,
    "muldiv": 40,
    "attempt": 120,
    "per_item": 1,
    "per_text_shift": 4,
    "per_memory_shift": 9,
    "per_value_shift": 3,
    "per_read_item": 24,
    "per_value_item": 6,
    "per_large_integer": 30,
    "per_result_item": 16,
    "per_sorted_item": 2,
    "per_pair": 10,
    "per_piece": 4,
    "per_probe_shift": 2,
    "sized": 8,
    "choice": 24,
    "repeat": 20,
    "compared_tuple": 30,
    "searched_tuple": 20,
    "nested": 30,
}


def test_golden_gas_of_a_contract() -> None:
    """The charge of this contract under schedule 1, on every version of Python and every machine."""
    env = install(SWEPT["calls"])
    outcome = Machine(SCHEDULES[1]).execute(MemoryState(), env, bytes(32), (Call("a", "go", ()),), 1_000_000)
    assert outcome.gas_used == 5950
