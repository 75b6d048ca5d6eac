"""Every operator, built-in and method on every kind of operand: the outcome is a value within the limits, Python's own where Python has one, or a code.

Each pair is tried twice: with types that inference sees (guards in line) and with types that it can't see (guards in helpers). Both must agree.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.vm import codes
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.limits import INT_LIMIT, MAX_CONTAINER, MAX_TEXT_BYTES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Environment
from carbonnode.vm.words import BUILTINS, METHODS

PROBES = [
    "0", "1", "-1", "2 ** 256", "-(2 ** 256)", "2 ** 61", "True", "None", "''", "'a'", "'\\u00e9'", "'x' * 4096", "b''", "b'ab'",
    "()", "(1, 'a')", "((1,), 2)", "(3,) * 4096", "[]", "[2, 1]", "[[1], [2]]", "[0] * 4096", "{}", "{'a': 1, 7: 2}",
]  # fmt: skip
TYPED = ["0", "7", "-1", "2 ** 256", "True", "'a'", "'x' * 4096", "b'ab'", "(1, 'a')", "[2, 1]", "{'a': 1}", "None"]
BINARY = ["+", "-", "*", "//", "%", "**", "<<", ">>", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
UNARY = ["-{}", "+{}", "~{}", "not {}"]
NAMES = sorted(set(BUILTINS) - {"range", "enumerate", "emit", "call", "try_call", "schedule", "abort", "require"})
KNOWN = frozenset(codes.MEANING)
LOOSE = "def loose(x):\n    return x\n"


def within(value: Any, depth: int = 0) -> bool:
    """Whether a value is one that the VM may hold."""
    kind = type(value)
    if kind is int:
        return bool(-INT_LIMIT <= value <= INT_LIMIT)
    if kind is str:
        return len(value.encode()) <= MAX_TEXT_BYTES
    if kind is bytes:
        return len(value) <= MAX_TEXT_BYTES
    if kind is tuple:
        return depth < 3 and len(value) <= MAX_CONTAINER and all(within(item, depth + 1) for item in value)
    return kind is bool or value is None


def run(contract: Contract, method: str) -> Outcome:
    state = MemoryState()
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
    outcome = Machine(SCHEDULES[1]).execute(state, env, bytes(32), (Call("a", method, ()),), 5_000_000)
    assert not state.data
    return outcome


def exports(expressions: list[str], top: str = "") -> Contract:
    """A contract with one export for each expression; what it makes is left in a tuple of one."""
    lines = [f"@export\ndef e{number}() -> tuple:\n    return ({text},)\n" for number, text in enumerate(expressions)]
    return compile_contract("a", (top + "".join(lines)).encode())


def outcomes(expressions: list[str]) -> Iterator[tuple[str, Outcome]]:
    for start in range(0, len(expressions), 300):
        part = expressions[start : start + 300]
        contract = exports(part, LOOSE)
        for number, text in enumerate(part):
            yield text, run(contract, f"e{number}")


def told(outcome: Outcome) -> str:
    return f"{outcome.code} {outcome.values!r}"


def judge(text: str, outcome: Outcome) -> None:
    """A value within the limits, or a code of the VM's own."""
    if outcome.ok:
        assert within(outcome.values[0]), text
    else:
        assert outcome.code in KNOWN, (text, outcome.code)


@pytest.mark.parametrize("operator", BINARY)
def test_an_operator_gives_pythons_value_or_a_code(operator: str) -> None:
    pairs = list(itertools.product(PROBES, PROBES))
    for (a, b), (text, outcome) in zip(pairs, outcomes([f"loose({a}) {operator} loose({b})" for a, b in pairs]), strict=True):
        judge(text, outcome)
        left, right = eval(a), eval(b)  # noqa: S307  # the oracle is Python itself
        if outcome.ok and type(left) is type(right) and operator not in ("in", "not in"):
            expected = eval(f"left {operator} right")  # noqa: S307  # the same
            expected = tuple(expected) if isinstance(expected, list) else expected
            assert repr(outcome.values[0]).replace("[", "(").replace("]", ")") == repr((expected,)).replace("[", "(").replace("]", ")"), text
        if type(left) is int and type(right) is int and operator in ("+", "-", "*", "&", "|", "^"):
            expected = eval(f"left {operator} right")  # noqa: S307  # the same
            assert told(outcome) == (f" (({expected},),)" if -INT_LIMIT <= expected <= INT_LIMIT else "vm.overflow ()"), text


@pytest.mark.parametrize("operator", BINARY)
def test_inferred_types_change_no_operator(operator: str) -> None:
    # A comparison with a literal None is refused by the checker.
    pairs = [(a, b) for a, b in itertools.product(TYPED, TYPED) if operator not in ("==", "!=", "<", "<=", ">", ">=") or "None" not in (a, b)]
    seen = [f"{a} {operator} {b}" for a, b in pairs]
    hidden = [f"loose({a}) {operator} loose({b})" for a, b in pairs]
    for (text, one), (_, other) in zip(outcomes([_named(text) for text in seen]), outcomes(hidden), strict=True):
        judge(text, one)
        assert told(one) == told(other), text


def _named(text: str) -> str:
    # In brackets, so that `2 ** 256 ** -1` isn't read as one power.
    for probe in sorted(TYPED, key=len, reverse=True):
        if text.startswith(probe + " "):
            rest = text[len(probe) + 1 :]
            operator = next(word for word in sorted(BINARY, key=len, reverse=True) if rest.startswith(word + " "))
            return f"({probe}) {operator} ({rest[len(operator) + 1 :]})"
    raise AssertionError(text)


@pytest.mark.parametrize("form", UNARY)
def test_an_unary_operator_gives_pythons_value_or_a_code(form: str) -> None:
    for probe, (text, outcome) in zip(PROBES, outcomes([form.format(f"loose({probe})") for probe in PROBES]), strict=True):
        judge(text, outcome)
        value = eval(probe)  # noqa: S307  # the oracle is Python itself
        if type(value) is int:
            expected = eval(form.format("value"))  # noqa: S307  # the same
            assert told(outcome) == (f" (({expected},),)" if -INT_LIMIT <= expected <= INT_LIMIT else "vm.overflow ()"), text
        elif "not" not in form:
            assert outcome.code == "vm.type", text


def arguments(least: int, most: int, seed: str) -> list[tuple[str, ...]]:
    """All single arguments and pairs; of three and more a sample."""
    found: list[tuple[str, ...]] = []
    choose = random.Random(seed)
    for count in range(least, min(most, 6) + 1):
        if count <= 1:
            found += itertools.product(PROBES, repeat=count)
        else:
            found += [tuple(choose.choices(PROBES, k=count)) for _ in range(200)]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_gives_a_value_within_the_limits_or_a_code(name: str) -> None:
    takes = BUILTINS[name]
    roundings = name in ("muldiv", "fixed_exp", "fixed_pow")
    texts = []
    for args in arguments(takes.least, takes.most, name):
        given = [f"loose({arg})" for arg in args]
        if roundings:
            given[-1] = "'half_even'"
        texts.append(f"{name}({', '.join(given)})")
    for text, outcome in outcomes(texts):
        judge(text, outcome)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_gives_a_value_within_the_limits_or_a_code(name: str) -> None:
    takes = METHODS[name]
    given = arguments(takes.least + 1, takes.most + 1, name)
    texts = [f"loose({args[0]}).{name}({', '.join(f'loose({arg})' for arg in args[1:])})" for args in given]
    for text, outcome in outcomes(texts):
        judge(text, outcome)


def test_subscripts_and_slices_give_a_value_within_the_limits_or_a_code() -> None:
    pairs = list(itertools.product(PROBES, PROBES))
    texts = [f"loose({a})[loose({b})]" for a, b in pairs] + [f"loose({a})[loose({b}):]" for a, b in pairs] + [f"loose({a})[:loose({b})]" for a, b in pairs]
    for text, outcome in outcomes(texts):
        judge(text, outcome)


def test_every_kind_of_conversion_agrees_with_and_without_types() -> None:
    forms = ["str({})", "int({})", "bool({})", "abs({})", "len({})", "min({}, {})", "max({}, 3)", "list({})", "tuple({})"]
    forms += ["({})[0]", "({})[:1]", "[q for q in {}]", "({}).get(7, 1)", "({}).get('a')", "7 in ({})", "'a' in ({})", "({}) is None"]
    forms += ["({}).upper()", "({}).pop()", "sorted({})", "sum({})", "hash({})"]
    forms += ["({})['a']", "{{{}: 1}}.keys()", "[{}].pop()", "-({})", "~({})"]
    pairs = [(form, probe) for form in forms for probe in PROBES]
    seen = outcomes([form.format(*[probe] * 2) for form, probe in pairs])
    hidden = outcomes([form.format(*[f"loose({probe})"] * 2) for form, probe in pairs])
    for (text, one), (_, other) in zip(seen, hidden, strict=True):
        judge(text, one)
        assert told(one) == told(other), text
