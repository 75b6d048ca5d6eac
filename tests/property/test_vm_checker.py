"""The checker ends with a verdict on any bytes, and what it accepts compiles and runs to an outcome, without a warning and without a crash."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbonnode.chain.transaction import Call
from carbonnode.vm.checker import check
from carbonnode.vm.contract import ContractRefused, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.state import Environment

MACHINE = Machine(SCHEDULES[1])
TOKENS = [
    "m", "v", "w", "f", "go", "x", "y", "n", "l", "d", "0", "1", "2", "7", "256", "10**9", "'a'", "b'b'", "''", "True", "None", "(", ")", "[", "]",
    "{", "}", ",", ":", ".", "=", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "//", "%", "**", "<<", ">>", "&", "|", "^", "~", "not", "and",
    "or", "in", "is", "if", "else", "for", "while", "return", "break", "continue", "pass", "del", "def", "len", "range", "min", "max", "sum",
    "sorted", "str", "int", "bool", "abs", "hash", "enumerate", "list", "tuple", "append", "pop", "get", "keys", "items", "join", "split", "strip",
    "encode", "decode", "hex", "find", "ctx", "sender", "self", "time", "call", "try_call", "emit", "require", "abort", "schedule", "muldiv",
    "'floor'", "next", "prev", "set", "+=", "-=", "*=", "lambda", "class", "try", "import", "yield", "_a", "f'{x}'", "1.5", "/", ":=", ";", "@", "->",
    "*", "**", "async", "\\", "\n",
]
TOP = "m = Map(int, int)\nw = Map(str, tuple)\nv = Var(int)\nC = (1, 'c')\n"
TOP += "def f(a):\n    return a\n@export\ndef go() -> int:\n    x = 1\n    y = f(2)\n    l = [1, 2]\n"


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=40))
def test_token_soup_gets_a_verdict(words: list[str]) -> None:
    check((" ".join(words)).encode())
    check((TOP + "    x = " + " ".join(words) + "\n    return 1\n").encode())


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    check(data)


ATOMS = [
    "x", "y", "n", "l", "d", "t", "s", "b", "0", "1", "-3", "2 ** 255", "'ab'", "b'c'", "True", "None", "()", "(1, 'a')", "[]", "[3, 1]", "{}",
    "{'k': 1}", "C", "m.get(1, 0)", "v.get()", "ctx.time", "ctx.sender",
]
BINARY = [
    "+", "-", "*", "//", "%", "**", "<<", ">>", "&", "|", "^", "<", "<=", "==", "!=", ">", "in", "not in", "and", "or",
]
CALLS = [
    "len({})", "str({})", "int({})", "abs({})", "sorted({})", "sum({})", "min({}, {})", "max({})", "f({})", "list({})", "tuple({})", "hash({})",
    "bool({})", "{}[{}]", "{}[{}:{}]", "[q for q in {}]", "[q + {} for q in {} if q != {}]", "({}, {})", "[{}, {}]", "{{{}: {}}}",
    "({} if {} else {})", "not {}", "-{}", "~{}", "{}.get({}, {})", "{}.keys()", "{}.items()", "{}.upper()", "{}.encode()", "{}.split({})",
    "{}.join({})", "{}.find({})", "{}.strip()", "{}.pop()", "m.next({})", "w.get({}, {})", "({} in m)", "try_call(ctx.self, 'go', {})",
    "muldiv({}, {}, {}, 'floor')", "({} is None)", "{}.startswith({})", "{}.hex()",
]
STATEMENTS = [
    "x = {}", "y = {}", "n = {}", "l = {}", "t = {}", "s = {}", "x += {}", "l += {}", "y *= {}", "l.append({})", "l.extend({})", "l.insert({}, {})",
    "d[{}] = {}", "l[{}] = {}", "m[{}] = {}", "w[{}] = {}", "v.set({})", "m[{}] += {}", "d[{}] += {}", "del d[{}]", "a, b = {}", "emit('E', k={})",
    "require({}, 'no')", "for q in {}:\n        n = q", "if {}:\n        x = {}\n    else:\n        y = {}",
    "while {}:\n        x = {}\n        break", "for i, q in enumerate({}):\n        y = q", "for i in range({}):\n        x = i",
]


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(ATOMS))
    if draw(st.booleans()):
        return f"({draw(expressions(depth - 1))} {draw(st.sampled_from(BINARY))} {draw(expressions(depth - 1))})"
    form = draw(st.sampled_from(CALLS))
    return form.format(*[draw(expressions(depth - 1)) for _ in range(3)])


@st.composite
def programs(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        form = draw(st.sampled_from(STATEMENTS))
        lines.append("    " + form.format(*[draw(expressions(2)) for _ in range(3)]))
    body = "\n".join(lines)
    start = "    n = 5\n    d = {'k': 1}\n    t = (1, 2)\n    s = 'text'\n    b = b'bytes'\n"
    return TOP + start + body + "\n    return 1\n"


def run(source: bytes) -> tuple[object, dict[bytes, object]]:
    contract = compile_contract("a", source)
    env = Environment(time_ms=5, height=1, chain_id=b"", resolve={"a": contract}.get)
    state = MemoryState()
    outcome = MACHINE.execute(state, env, bytes(32), (Call("a", "go", ()),), 300_000)
    if not outcome.ok:
        assert not state.data
    return outcome, dict(state.data)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(programs())
def test_generated_programs_end_alike_every_time(source: str) -> None:
    try:
        first = run(source.encode())
    except ContractRefused:
        return
    assert run(source.encode()) == first


CONTRACTS = sorted((Path(__file__).resolve().parent.parent.parent / "contracts").glob("*.py"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_damaged_contracts_get_a_verdict(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(CONTRACTS)).read_bytes()
    start = data.draw(st.integers(0, len(source) - 1))
    end = data.draw(st.integers(start, min(len(source), start + 60)))
    put = " ".join(data.draw(st.lists(st.sampled_from(TOKENS), max_size=4))).encode()
    damaged = source[:start] + put + source[end:]
    report = check(damaged)
    if report.ok:
        compile_contract("a", damaged)


def test_the_shipped_contracts_are_accepted() -> None:
    assert CONTRACTS
    for path in CONTRACTS:
        report = check(path.read_bytes())
        assert report.ok, f"{path.name}: {report.errors[:3]}"
