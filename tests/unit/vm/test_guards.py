"""Every limit and guard of the design, each with the code that it ends in."""

from collections.abc import Callable

import pytest

from carbonnode.vm.outcome import Outcome, Status

Run = Callable[..., Outcome]
TOP = "def loose(x):\n    return x\nm = Map(str, int)\nt = Map(int, tuple)\nw = Map(str, str)\nv = Var(int)\nf = Var(bool)\nb2 = Map(bytes, int, bool)\n"
BIG = "2 ** 256"

ABORTS = [
    # Integers within +-2^256, inferred or not.
    (f"x = {BIG}\nx = x + 1", "vm.overflow"),
    (f"x = {BIG}\nx += 1", "vm.overflow"),
    (f"x = ({BIG}) + 1", "vm.overflow"),
    (f"x = loose({BIG}) + 1", "vm.overflow"),
    (f"x = loose({BIG}) * -2", "vm.overflow"),
    (f"x = [y + 1 for y in [{BIG}]]", "vm.overflow"),
    (f"x = [y + 1 for y in range({BIG}, {BIG} + 1)]", "vm.overflow"),
    (f"x = -({BIG}) - 1", "vm.overflow"),
    (f"x = ~({BIG})", "vm.overflow"),
    (f"x = ({BIG}) | 1", "vm.overflow"),
    (f"x = ({BIG}) ^ 1", "vm.overflow"),
    ("x = 2 ** 257", "vm.overflow"),
    ("x = 3 ** (10 ** 60)", "vm.overflow"),
    ("x = 1 << 257", "vm.overflow"),
    ("x = 1 << 10 ** 30", "vm.overflow"),
    (f"x = sum([{BIG}, 1])", "vm.overflow"),
    (f"x = muldiv({BIG}, 2, 1, 'floor')", "vm.overflow"),
    ("x = int('1' + '0' * 77 + '0')", "vm.overflow"),
    ("m['a'] = 2 ** 256\nm['a'] += 1", "vm.overflow"),
    ("x = 2 ** -1", "vm.value"),
    ("x = 1 << -1", "vm.value"),
    ("x = 1 >> -1", "vm.value"),
    ("x = 1 // 0", "vm.zero-division"),
    ("x = 1 % 0", "vm.zero-division"),
    ("x = muldiv(1, 1, 0, 'floor')", "vm.zero-division"),
    # Exact types.
    ("x = True + 1", "vm.type"),
    ("x = -True", "vm.type"),
    ("x = loose(1) + True", "vm.type"),
    ("x = 1 & True", "vm.type"),
    ("x = 'a' + 1", "vm.type"),
    ("x = '%d' % 1", "vm.type"),
    ("x = loose('%d') % 1", "vm.type"),
    ("x = [1] + (2,)", "vm.type"),
    ("x = 'a' - 'b'", "vm.type"),
    ("x = 1 == '1'", "vm.type"),
    ("x = 1 == True", "vm.type"),
    ("x = loose(None) == 1", "vm.type"),
    ("x = [1] == [1]", "vm.type"),
    ("x = ((1,),) == ((1,),)", "vm.type"),
    ("x = (1, 'a') < (1, 2)", "vm.type"),
    ("x = {} == {}", "vm.type"),
    ("x = abs(True)", "vm.type"),
    ("x = len(5)", "vm.type"),
    ("x = sorted([1, 'a'])", "vm.type"),
    ("x = sorted([[1]])", "vm.type"),
    ("x = sorted([1, True])", "vm.type"),
    ("x = sorted([(1, None), (1, None)])", "vm.type"),
    ("x = min(1, True)", "vm.type"),
    ("x = max([])", "vm.value"),
    ("x = sum([True])", "vm.type"),
    ("x = str(b'a')", "vm.type"),
    ("x = int(b'1')", "vm.type"),
    ("x = [1].upper()", "vm.type"),
    ("x = 'a'.append(1)", "vm.type"),
    ("x = loose(5)[0]", "vm.type"),
    ("x = [1, 2][True]", "vm.type"),
    ("x = [1][None]", "vm.type"),
    ("x = [1, 2, 3][True:]", "vm.type"),
    ("for c in 'abc':\n    pass", "vm.type"),
    ("for i in range(True):\n    pass", "vm.type"),
    ("x = hash('text')", "vm.type"),
    ("x = 'a' in b'a'", "vm.type"),
    ("x = 5 in 5", "vm.type"),
    ("x = [[1]] in [[1]]", "vm.type"),
    # Keys and values of storage.
    ("m[1] = 1", "vm.type"),
    ("m['a'] = True", "vm.type"),
    ("m['a'] = 'x'", "vm.type"),
    ("v.set(True)", "vm.type"),
    ("f.set(1)", "vm.type"),
    ("t[True] = ()", "vm.type"),
    ("t[1] = (1, [2])", "vm.type"),
    ("t[1] = ({},)", "vm.type"),
    ("t[1] = (((1,),),)", "vm.type"),
    ("t[1] = [1]", "vm.type"),
    ("x = m['none']", "vm.key"),
    ("del m['none']", "vm.key"),
    ("m['none'] += 1", "vm.key"),
    ("m['k' * 600] = 1", "vm.limit"),
    ("x = b2.next('a', None)", "vm.type"),
    ("x = b2.next(b'a', True)", "vm.type"),
    ("t[1] = ('x' * 3000, 'y' * 3000)", "vm.limit"),
    ("t[1] = tuple([(1, 2, 3) for i in range(4000)])", "vm.limit"),
    # Sizes.
    ("x = 'a' * 4097", "vm.limit"),
    ("x = '\\u4e2d' * 1366", "vm.limit"),
    ("x = '\\u4e2d' * 1365 + 'ab'", "vm.limit"),
    ("x = b'a' * 4096 + b'b'", "vm.limit"),
    ("x = [0] * 4097", "vm.limit"),
    ("x = [0] * 4096\nx.append(1)", "vm.limit"),
    ("x = [0] * 4096\nx.insert(0, 1)", "vm.limit"),
    ("x = [0] * 4096\nx.extend([1])", "vm.limit"),
    ("x = [0] * 4096\nx += [1]", "vm.limit"),
    ("x = (0,) * 4096 + (1,)", "vm.limit"),
    ("x = [i for i in range(4097)]", "vm.limit"),
    ("x = [i for i in range(5000) if i >= 0]", "vm.limit"),
    ("x = [i for i in range(10 ** 70)]", "vm.limit"),
    ("d = {}\nfor i in range(4097):\n    d[i] = 1", "vm.limit"),
    ("d = {2 ** 61 - 1: 1}", "vm.limit"),
    ("d = {loose(2 ** 61 - 1): 1}", "vm.limit"),
    ("d = {}\nd[-(2 ** 61)] = 1", "vm.limit"),
    ("d = {True: 1}", "vm.type"),
    ("d = {(1, 2): 1}", "vm.type"),
    ("x = {}[(1, 2)]", "vm.type"),
    ("x = (1, 2) in {}", "vm.type"),
    ("x = ('x' * 4000).split('x')[0].join(['ab'] * 4000)", "vm.limit"),
    ("x = ('a,' * 2048 + ',').split(',')", "vm.limit"),
    ("x = (b'a' * 2049).hex()", "vm.limit"),
    ("x = 'a'.strip('x' * 65)", "vm.limit"),
    # Text that depends on Unicode's tables, or isn't UTF-8.
    ("x = '\\u00e9'.upper()", "vm.value"),
    ("x = '\\u00e9'.strip()", "vm.value"),
    ("x = int('\\u0661')", "vm.value"),
    ("x = int(' 1')", "vm.value"),
    ("x = int('1_0')", "vm.value"),
    ("x = int('+1')", "vm.value"),
    ("x = int('')", "vm.value"),
    ("x = int('-')", "vm.value"),
    ("x = int('1' * 80)", "vm.value"),
    ("x = b'\\xff'.decode()", "vm.value"),
    ("x = 'abc'.split('')", "vm.value"),
    # Python's own.
    ("x = [1][5]", "vm.index"),
    ("x = 'abc'[9]", "vm.index"),
    ("x = [].pop()", "vm.index"),
    ("x = {}['a']", "vm.key"),
    ("x = {}.pop('a')", "vm.key"),
    ("a, b = [1]", "vm.value"),
    ("a, b = 5", "vm.type"),
    ("for i in range(1, 2, 0):\n    pass", "vm.value"),
    ("l = [1]\nl.insert(1 << 100, 2)", "vm.overflow"),
    ("if 1 > 2:\n    y = 1\nx = y", "vm.unbound"),
    ("if 1 > 2:\n    y = 1\nx = [y for i in range(2)]", "vm.unbound"),
    ("x = muldiv(1, 2, 3, 'sideways' + '')", "vm.value"),
    ("x = fixed_exp(1, 0, 1, 'floor')", "vm.value"),
    ("x = fixed_exp(401, 1, 1, 'floor')", "vm.value"),
    ("x = fixed_pow(0, 1, 1, 1, 1, 'floor')", "vm.value"),
    # Codes.
    ("abort('')", "vm.bad-code"),
    ("abort('vm.type')", "vm.bad-code"),
    ("abort('x' * 65)", "vm.bad-code"),
    ("abort('caf\\u00e9')", "vm.bad-code"),
    ("require(1 > 2, 'no.' + 'luck')", "no.luck"),
    ("require([], 'empty')", "empty"),
    # Calls.
    ("call('nobody', 'go')", "vm.no-contract"),
    ("call(ctx.self, 'nothing')", "vm.no-method"),
    ("call(ctx.self, 'loose', 1)", "vm.no-method"),
    ("call(ctx.self, 'go', 1)", "vm.arguments"),
    ("call(5, 'go')", "vm.type"),
    ("schedule(1, 'nothing', ())", "vm.no-method"),
    ("schedule(-1, 'go', ())", "vm.value"),
    ("schedule(1, 'go', (1,))", "vm.arguments"),
    ("schedule('1', 'go', ())", "vm.type"),
    ("emit('E', x=[1])", "vm.type"),
    ("emit('E', x=(1,))", "vm.type"),
    ("emit('E', to=5)", "vm.type"),
    ("emit('E', to=None)", "vm.type"),
    ("for i in range(1025):\n    emit('E')", "vm.limit"),
    ("for i in range(65):\n    schedule(1, 'go', ())", "vm.limit"),
]


@pytest.mark.parametrize(("body", "code"), ABORTS)
def test_a_guard_stops_the_call_with_its_code(run: Run, body: str, code: str) -> None:
    outcome = run(f"{body}\nreturn 1", top=TOP, returns="int")
    assert (outcome.status, outcome.code) == (Status.ABORT, code), outcome
    assert outcome.gas_used == 5_000_000
    assert not outcome.values
    assert not outcome.events


ALLOWED = [
    ("x = 2 ** 256\nreturn x", 1 << 256),
    ("return -(2 ** 256)", -(1 << 256)),
    ("return 2 ** 256 - 1 + 1", 1 << 256),
    ("return (0 - 2 ** 256) // -1", 1 << 256),
    ("return len([0] * 4096)", 4096),
    ("return len('\\u4e2d' * 1365)", 1365),
    ("d = {}\nfor i in range(4096):\n    d[i] = 1\nd[7] = 2\nreturn len(d)", 4096),
    ("return len({2 ** 61 - 2: 1, -(2 ** 61 - 2): 1})", 2),
    ("return 1 >> 10 ** 30", 0),
    ("return (-5) >> 10 ** 30", -1),
    ("return 0 << 10 ** 30", 0),
    ("m['k' * 300] = 4\nreturn m['k' * 300]", 4),
    ("t[1] = ((1, 'a'), None, (2, b'b'))\nreturn len(t[1])", 3),
    ("return int('-' + '9' * 77)", -(10**77 - 1)),
]


@pytest.mark.parametrize(("body", "value"), ALLOWED)
def test_what_lies_just_within_a_limit_works(run: Run, body: str, value: int) -> None:
    outcome = run(body, top=TOP, returns="int")
    assert (outcome.code, outcome.values) == ("", (value,))


RETURNS = [("int", "True"), ("int", "'x'"), ("str", "1"), ("bool", "1"), ("tuple", "[1]"), ("list", "(1,)"), ("bytes", "'x'"), ("None", "1"), ("int", "None")]


@pytest.mark.parametrize(("kind", "value"), RETURNS)
def test_a_result_of_another_type_than_written_is_refused(run: Run, kind: str, value: str) -> None:
    assert run(f"return loose({value})", top=TOP, returns=kind).code == "vm.type"
    assert run(f"return {value}", top=TOP, returns=kind).code == "vm.type"


def test_a_function_with_a_result_type_must_return(run: Run) -> None:
    assert run("x = 1", returns="int").code == "vm.type"
    assert run("if 1 > 2:\n    return 5", returns="int").code == "vm.type"
    assert run("return", returns="int").code == "vm.type"
    assert run("x = 1", returns="None").values == (None,)


@pytest.mark.parametrize("value", ["{}", "[{}]", "[[[1]]]", "((1, (2, (3,))),)"])
def test_a_result_that_is_no_value_is_refused(run: Run, value: str) -> None:
    assert run(f"return [{value}]", returns="list").code == "vm.type"


def test_helpers_hold_their_annotations(run: Run) -> None:
    top = "def loose(x):\n    return x\ndef f(a: int) -> str:\n    return loose(a)\ndef g(a: int) -> int:\n    return a\n"
    assert run("return f(1)", top=top, returns="str").code == "vm.type"
    assert run("return g(loose('x'))", top=top, returns="int").code == "vm.type"
    assert run("return g(loose(True))", top=top, returns="int").code == "vm.type"
    assert run("return g(loose(4))", top=top, returns="int").values == (4,)


def test_a_list_extended_in_place_through_an_unknown_name_keeps_its_type(run: Run) -> None:
    """`x += (2,)` on a list leaves a list: inference must not take it for a tuple."""
    outcome = run("x = loose([1])\nx += (2,)\nfor q in x:\n    if len(x) < 4:\n        x.append(q)\nreturn len(x)", top=TOP, returns="int")
    assert outcome.values == (4,)
