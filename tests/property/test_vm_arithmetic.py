"""Arithmetic in the VM is Python's within +-2^256 and an abort outside, whether the types of operands are inferred or looked at while running."""

from hypothesis import given, settings
from hypothesis import strategies as st

from carbonnode.chain.transaction import Call
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome, Status
from carbonnode.vm.state import Environment

LIMIT = 1 << 256
NUMBERS = st.one_of(st.integers(-9, 9), st.integers(-LIMIT, LIMIT), st.sampled_from([LIMIT, -LIMIT, LIMIT - 1, 1 - LIMIT, 1 << 255, 1 << 61]))
OPERATORS = ("+", "-", "*", "//", "%", "&", "|", "^", "**", "<<", ">>")


def operations() -> str:
    functions = []
    for index, operator in enumerate(OPERATORS):
        functions.append(f"@export\ndef typed{index}(a: int, b: int) -> int:\n    return a {operator} b\n")
        functions.append(f"@export\ndef named{index}(a: int, b: int) -> int:\n    c = a {operator} b\n    return c\n")
        functions.append(f"@export\ndef grown{index}(a: int, b: int) -> int:\n    a {operator}= b\n    return a\n")
        functions.append(f"@export\ndef loose{index}(a: tuple) -> int:\n    return a[0] {operator} a[1]\n")
        functions.append(f"@export\ndef inside{index}(a: int, b: int) -> int:\n    return [x {operator} b for x in [a] if a is not None][0]\n")
        functions.append(f"@export\ndef stored{index}(a: int, b: int) -> int:\n    m[0] = a\n    m[0] {operator}= b\n    return m[0]\n")
    return "m = Map(int, int)\n" + "".join(functions)


CONTRACT = compile_contract("a", operations().encode())
ENV = Environment(time_ms=0, height=0, chain_id=b"", resolve={"a": CONTRACT}.get)
MACHINE = Machine(SCHEDULES[1])


def run(method: str, *args: int | tuple[int, ...]) -> Outcome:
    return MACHINE.execute(MemoryState(), ENV, bytes(32), (Call("a", method, args),), 1_000_000)


def expected(operator: str, a: int, b: int) -> int | None:
    """Python's result, None where the VM must abort."""
    if operator in ("//", "%") and b == 0:
        return None
    if operator in ("**", "<<", ">>") and b < 0:
        return None
    if operator == "**" and abs(a) > 1 and b > 300:
        return None
    if operator == "<<" and b > 600:
        return 0 if a == 0 else None
    if operator == "**" and abs(a) <= 1:
        b = b % 2 + 2 * (b > 0)
    if operator == ">>":
        b = min(b, 1000)
    result = eval(f"a {operator} b", {"a": a, "b": b})  # noqa: S307  # the oracle is Python itself
    return result if -LIMIT <= result <= LIMIT else None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(OPERATORS), NUMBERS, NUMBERS)
def test_operators_agree_with_python_in_every_form(operator: str, a: int, b: int) -> None:
    index = OPERATORS.index(operator)
    wanted = expected(operator, a, b)
    for form in ("typed", "named", "grown", "inside", "stored", "loose"):
        outcome = run(f"{form}{index}", (a, b)) if form == "loose" else run(f"{form}{index}", a, b)
        if wanted is None:
            assert outcome.status is Status.ABORT, (form, outcome)
        else:
            assert outcome.values == (wanted,), (form, outcome)
            assert type(outcome.values[0]) is int


@settings(max_examples=100, deadline=None)
@given(st.lists(NUMBERS, max_size=20))
def test_sums_and_orders_agree_with_python(numbers: list[int]) -> None:
    source = "@export\ndef go(t: tuple) -> tuple:\n    return (sum(t), tuple(sorted(t)), max(t), min(list(t)))\n"
    contract = compile_contract("a", source.encode())
    env = Environment(time_ms=0, height=0, chain_id=b"", resolve={"a": contract}.get)
    outcome = MACHINE.execute(MemoryState(), env, bytes(32), (Call("a", "go", (tuple(numbers),)),), 1_000_000)
    if not numbers or abs(sum(numbers)) > LIMIT:
        assert outcome.status is Status.ABORT
    else:
        assert outcome.values == ((sum(numbers), tuple(sorted(numbers)), max(numbers), min(numbers)),)
