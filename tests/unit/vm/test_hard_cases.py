"""Sources made to be expensive for the checker, and runs made to be deep: both stay within bounds that no host decides."""

import sys
import time
from collections.abc import Callable

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.vm.checker import check
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.limits import MAX_CALL_CHAIN, MAX_CALL_DEPTH, MAX_SOURCE_BYTES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Environment

Run = Callable[..., Outcome]


def backwards(count: int) -> str:
    lines = "".join(f"        a{i} = a{i + 1} + 1\n" for i in range(count))
    return f"@export\ndef go() -> int:\n    a{count} = 1\n    for i in range(2):\n{lines}        a{count} = a0\n    return 1\n".replace(
        "    for i", "".join(f"    a{i} = 1\n" for i in range(count)) + "    for i", 1
    )


def many_functions(count: int) -> str:
    return "".join(f"def f{i}(a):\n    return a\n" for i in range(count)) + "@export\ndef go() -> int:\n    return 1\n"


SOURCES = {
    "types that settle backwards": backwards(900),
    "many functions": many_functions(500),
    "one long list": "X = (" + "1, " * 9000 + ")\n@export\ndef go() -> int:\n    return 1\n",
    "many strings": "@export\ndef go() -> int:\n" + "    x = 'a' 'b' 'c'\n" * 3000 + "    return 1\n",
    "long and": "@export\ndef go() -> bool:\n    x = 1\n    return " + " and ".join(["x == 1"] * 4000) + "\n",
    "many calls": "def f(a):\n    return a\n@export\ndef go() -> int:\n" + "    x = f(f(f(f(f(1)))))\n" * 900 + "    return 1\n",
    "many comments": "#\n" * 30000 + "@export\ndef go() -> int:\n    return 1\n",
    "quotes": "'" * 60000,
    "triple quotes": "'''" * 20000,
    "escapes": "x = '" + "\\x41" * 1000 + "'\n",
    "brackets": "(" * 60000,
    "backslashes": "\\" * 60000,
    "newlines": "\n" * 65000,
    "indents": "".join(" " * i + "if 1:\n" for i in range(300)),
    "digits": "1" * 60000,
    "names": "a" * 60000,
    "dots": "a" + ".a" * 20000,
    "nots": "not " * 16000,
    "colons": ":" * 60000,
    "operators": "1" + "+1" * 15000,
}


@pytest.mark.parametrize("name", SOURCES)
def test_no_source_takes_long_to_check_and_compile(name: str) -> None:
    source = SOURCES[name].encode()
    assert len(source) <= MAX_SOURCE_BYTES
    start = time.process_time()
    if check(source).ok:
        compile_contract("a", source)
    assert time.process_time() - start < 4


def test_types_given_up_on_are_still_guarded() -> None:
    source = backwards(60).replace("    return 1\n", "    x = a0\n    for i in range(300):\n        x = x + x\n    return x\n")
    contract = compile_contract("a", source.encode())
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
    outcome = Machine(SCHEDULES[1]).execute(MemoryState(), env, bytes(32), (Call("a", "go", ()),), 1_000_000)
    assert outcome.code == "vm.overflow"


def test_the_deepest_run_stays_far_below_the_recursion_limit() -> None:
    contracts = {}
    for depth in range(MAX_CALL_DEPTH):
        last = f'call("c{depth + 1}", "go")' if depth < MAX_CALL_DEPTH - 1 else "0"
        helpers = "".join(f"def f{i}(a):\n    return [[f{i + 1}(x) for x in [a]][0] for y in [a]][0]\n" for i in range(MAX_CALL_CHAIN - 2))
        end = f"def f{MAX_CALL_CHAIN - 2}(a):\n    return [[{last} for x in [a]][0] for y in [a]][0] + 1\n"
        source = f"{helpers}{end}@export\ndef go() -> int:\n    return f0(1)\n"
        contracts[f"c{depth}"] = compile_contract(f"c{depth}", source.encode())
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve=contracts.get)
    machine = Machine(SCHEDULES[1])
    frames = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        frames, frame = frames + 1, frame.f_back
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + 750)
    try:
        outcome = machine.execute(MemoryState(), env, bytes(32), (Call("c0", "go", ()),), 1_000_000)
    finally:
        sys.setrecursionlimit(before)
    assert outcome.values == (MAX_CALL_DEPTH,)


def test_values_made_deep_are_never_walked(run: Run) -> None:
    deep = "t = (1, 2)\nfor i in range(4000):\n    t = (t, t)\n"
    uses = ["return t", "m[1] = t\nreturn ()", "return (t == t,)", "return (t in (t,),)", "return (hash(t),)"]
    uses += ["call(ctx.self, 'go', t)\nreturn ()", "emit('E', x=t)\nreturn ()", "return sorted([t])[0]", "return ({t: 1}[t],)"]
    for use in uses:
        outcome = run(deep + use, top="m = Map(int, tuple)\n")
        assert outcome.code in ("vm.type", "vm.arguments"), use


def test_a_list_inside_itself_ends_with_a_code(run: Run) -> None:
    for use in ("return l", "return [l == l]", "return sorted(l)", "return l + [len(l)]", "for x in l:\n    l.append(x)\nreturn l"):
        assert run("l = [1]\nl.append(l)\n" + use, returns="list").code in ("vm.type", "vm.limit"), use
