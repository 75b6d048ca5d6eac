"""The dialect computes what Python computes, wherever it computes at all."""

from collections.abc import Callable

import pytest

from carbonnode.chain.values import Value
from carbonnode.vm.outcome import Outcome

Run = Callable[..., Outcome]

TOP = """
MS_A_DAY = 24 * 60 * 60 * 1000
NAMES = ("a", "b", ("c", -2 ** 5))
def loose(x):
    return x
def typed(a: int, b: str) -> tuple:
    return (b, a)
def nothing(a):
    pass
"""

EXPRESSIONS = [
    "(7 + 3, 7 - 3, 7 * 3, 7 // 3, -7 // 3, 7 % 3, -7 % 3, 2 ** 10, 1 << 8, 1000 >> 3)",
    "(6 & 3, 6 | 3, 6 ^ 3, ~6, -6, +6, not 6, True & False, True | False, True ^ True)",
    "(loose(7) + 3, loose(7) - 3, loose(7) * 3, loose(7) // 3, loose(7) % 3, loose(2) ** 10)",
    "(loose(6) & 3, loose(6) | 3, loose(6) ^ 3, ~loose(6), -loose(6), loose(1) << 4, loose(99) >> 2)",
    "(1 < 2, 2 <= 2, 3 > 4, 3 >= 3, 'a' < 'b', b'a' == b'a', 'x' != 'y', True == True)",
    "(loose(1) < 2, loose('b') > 'a', loose((1, 'a')) == (1, 'a'), (1, 2) < (1, 3), loose(1) is None, None is None)",
    "('ab' + 'cd', b'ab' + b'c', 'ab' * 3, 3 * 'ab', (1, 2) + (3,), (1, 2) * 2, 'abc'[1], 'abc'[-1], b'abc'[0])",
    "('abcdef'[1:3], 'abcdef'[:2], 'abcdef'[-2:], (1, 2, 3)[1:], b'abc'[1:], 'abc'[5:])",
    "(len('abc'), len((1, 2)), min(3, 1, 2), max((4, 9, 2)), abs(-5), sum((1, 2, 3)), sum(()))",
    "(int('42'), int('-7'), int(True), int(5), str(42), str('x'), str(True), bool(0), bool('a'), bool(()))",
    "('a,b,,c'.split(',')[2], '-'.join(['a', 'b']), ' x '.strip(), 'xax'.strip('x'), 'aB'.upper(), 'aB'.lower())",
    "('abc'.find('c'), 'abc'.find('z'), 'abc'.startswith('ab'), 'abc'.endswith('bc'), 'abc'.encode(), b'abc'.decode(), b'\\x00\\xff'.hex())",
    "('b' in 'abc', 'z' not in 'abc', 2 in (1, 2), 5 in (1, 2), 'k' in {'k': 1}, (1, 2) in [(1, 2)], None in (None,))",
    "(1 if 2 > 1 else 0, 0 or 5, 3 and 4, '' or 'x', not '')",
    "(MS_A_DAY, NAMES[2][1], NAMES[0], NAMES[2])",
    "(typed(1, 'x'), loose(None), nothing(1))",
    "tuple([x * x for x in range(5)]) + tuple([x for x in (3, 1, 2) if x > 1])",
    "tuple([a + b for a, b in [(1, 2), (3, 4)]]) + tuple([i * len(s) for i, s in enumerate(['a', 'bb'])])",
    "tuple(sorted([3, 1, 2])) + tuple(sorted(['b', 'a'])) + tuple(sorted([(2, 'x'), (1, 'z')]))",
    "tuple([x + y for x in [10, 20] if x > 5 for_y_in])".replace(" for_y_in", "").replace("x + y", "x + len([y for y in range(x)])"),
    "('\\u00e9'.encode(), len('\\u00e9'), '\\u4e2d' + '\\U0001f600', 'a\\tb\\n'[1])",
    "(0x_ff, 0b101, 0o17, 1_000)",
    "({1: 'a', 'k': 'b'}[1], {}.get('x', 3), {'a': 1}.get('a'), {'a': 1}.pop('a'), {'a': 1}.pop('b', 2))",
    "({'a': 1, 'b': 2}.keys()[1], {'a': 1}.values()[0], {'a': 1}.items()[0])",
    "(5 % -3, -5 // -2, 2 ** 0, 0 ** 0, (-1) ** 5, 1 ** 100000, (0 - 3) % 7)",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_has_pythons_value(run: Run, expression: str) -> None:
    namespace: dict[str, object] = {}
    exec(TOP, namespace)  # noqa: S102  # the oracle is Python itself
    expected = ("b", 1, ("a", 1)) if ".keys()" in expression else eval(expression, namespace)  # noqa: S307  # the same
    outcome = run(f"return {expression}", top=TOP)
    assert outcome.ok, (outcome.code, outcome.where)
    assert outcome.values[0] == expected
    assert repr(outcome.values[0]) == repr(expected)


BODIES: list[tuple[str, Value]] = [
    ("s = 0\nfor i in range(10):\n    s += i\nreturn s", 45),
    ("s = 0\nfor i in range(10, 0, -3):\n    s += i\nreturn s", 22),
    ("s = 0\ni = 0\nwhile True:\n    i += 1\n    if i % 2 == 0:\n        continue\n    if i > 9:\n        break\n    s += i\nreturn s", 25),
    ("l = [3, 1]\nl.append(2)\nl.insert(0, 9)\nl.extend((7, 8))\nl += [5]\ndel l[0]\nx = l.pop()\ny = l.pop(0)\nreturn x * 100 + y * 10 + len(l)", 534),
    ("d = {}\nd['a'] = 1\nd['b'] = 2\nd['a'] += 5\ndel d['b']\nn = 0\nfor k in d:\n    n += d[k]\nreturn n", 6),
    ("a, b = 1, 2\na, b = b, a\nreturn a * 10 + b", 21),
    ("l = [1, 2, 3]\nl[1] *= 10\nl[-1] = 7\nreturn l[0] + l[1] + l[2]", 28),
    ("m = [1]\nk = m\nk += [2]\nreturn len(m)", 2),
    ("x = 5\nx -= 2\nx *= 3\nx //= 2\nx **= 2\nx %= 9\nx <<= 3\nx >>= 1\nx |= 1\nx &= 29\nx ^= 2\nreturn x", 31),
    ("n = 0\nfor k, v in {'a': 1, 'b': 2}.items():\n    n += v * len(k)\nreturn n", 3),
    ("n = 0\nfor i, c in enumerate(['x', 'yy']):\n    n += i * len(c)\nreturn n", 2),
    ("l = [1, 2]\nfor x in l:\n    if len(l) < 5:\n        l.append(x)\nreturn len(l)", 5),
    ("if 1 > 2:\n    return 1\nelif 2 > 1:\n    return 2\nelse:\n    return 3", 2),
    ("x = 1\nif x is None:\n    x = 2\npass\nreturn x", 1),
    ("g = [[1], [2, 3]]\ng[1].append(4)\ng[0] += (9, 9)\nreturn len(g[0]) * 10 + len(g[1])", 33),
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_statements_do_what_python_does(run: Run, body: str, expected: Value) -> None:
    outcome = run(body, returns="int")
    assert (outcome.code, outcome.values) == ("", (expected,))


def test_augmented_assignment_evaluates_its_target_once(run: Run) -> None:
    top = "m = Map(int, int)\ncount = Var(int)\ndef key() -> int:\n    count.set(count.get() + 1)\n    return 3\n"
    outcome = run("m[3] = 10\nm[key()] += 5\nd = [0, 0, 0, 1]\nd[key()] += 1\nreturn (m[3], d[3], count.get())", top=top)
    assert outcome.values == ((15, 2, 2),)


def test_a_view_returns_lists_as_tuples(run: Run) -> None:
    assert run("return [1, [2, 'x'], (3,)]", returns="list").values == ((1, (2, "x"), (3,)),)


def test_docstrings_and_comments_cost_nothing(run: Run) -> None:
    plain = run("return 1", returns="int")
    documented = run('"""What it does.\n\n    In full."""\n# why\nreturn 1  # because', returns="int")
    assert plain.gas_used == documented.gas_used
