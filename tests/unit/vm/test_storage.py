"""Maps, Vars and ordered walks, over the state that the ledger gives."""

from collections.abc import Callable

import pytest

from carbonnode.local.chain import LocalChain
from carbonnode.vm.keys import storage_key
from carbonnode.vm.outcome import Outcome

Run = Callable[..., Outcome]
TOP = """
m = Map(str, int)
p = Map(str, int, bytes, tuple)
o = Map(int, int)
flag = Map(bool, str)
v = Var(int)
s = Var(str)
t = Var(tuple)
f = Var(bool)
b = Var(bytes)
"""


def test_a_var_that_was_never_set_is_the_zero_of_its_type(run: Run) -> None:
    assert run("return (v.get(), s.get(), t.get(), f.get(), b.get(), v.get(5), s.get(None))", top=TOP).values == ((0, "", (), False, b"", 5, None),)


def test_a_map_gives_defaults_membership_and_deletes(run: Run) -> None:
    body = 'm["a"] = 1\nm["a"] += 4\nx = m.get("a", 0)\ny = m.get("b", 7)\nz = m.get("b")\n'
    body += 'h = "a" in m\ndel m["a"]\nreturn (x, y, z, h, "a" in m, "a" not in m)'
    assert run(body, top=TOP).values == ((5, 7, None, True, False, True),)


def test_keys_of_several_parts(run: Run) -> None:
    body = 'p["a", -1, b"x"] = (1, "q")\np["a", -1, b"x"] += (2,)\nk = p["a", -1, b"x"]\nreturn k + (("a", -1, b"x") in p, p.get(("a", 0, b"x"), 3))'
    assert run(body, top=TOP).values == ((1, "q", 2, True, 3),)


def test_next_and_prev_walk_in_the_order_of_the_last_part(run: Run) -> None:
    body = """
for k in [5, -3, 2 ** 200, 0, -(2 ** 100), 255, 256]:
    o[k] = k
up = []
k = o.next(None)
while k is not None:
    up.append(k)
    k = o.next(k)
down = []
k = o.prev(None)
while k is not None:
    down.append(k)
    k = o.prev(k)
del o[255]
return tuple(up) + tuple(down) + (o.next(6), o.prev(256), o.next(2 ** 200), o.prev(-(2 ** 100)))
"""
    values = run(body, top=TOP).values[0]
    assert isinstance(values, tuple)
    ordered = (-(2**100), -3, 0, 5, 255, 256, 2**200)
    assert values == (*ordered, *ordered[::-1], 256, 5, None, None)


def test_next_stays_below_its_prefix(run: Run) -> None:
    body = """
p["a", 1, b"x"] = ()
p["a", 1, b"y"] = ()
p["a", 2, b"z"] = ()
p["b", 1, b"w"] = ()
return (p.next("a", 1, None), p.next("a", 1, b"x"), p.next("a", 1, b"y"), p.prev("b", 1, None), p.next("b", 2, None), p.prev("a", 2, b"z"))
"""
    assert run(body, top=TOP).values == ((b"x", b"y", None, b"w", None, None),)


def test_a_name_that_is_the_beginning_of_another_shares_nothing(run: Run) -> None:
    top = "m = Map(str, int)\nmm = Map(str, int)\n"
    assert run('mm["m"] = 1\nmm["z"] = 1\nm["k"] = 2\nreturn (m.next(None), m.prev(None), m.next("k"), "m" in m)', top=top).values == (("k", "k", None, False),)


def test_values_lie_under_documented_keys(bench: "object") -> None:
    bench.install("a", TOP + '@export\ndef go() -> None:\n    m["k"] = 5\n    v.set(6)\n    flag[True] = "y"\n')  # type: ignore[attr-defined]
    assert bench.call("a", "go").ok  # type: ignore[attr-defined]
    data = bench.state.data  # type: ignore[attr-defined]
    assert data == {storage_key("a", "m", ("k",)): 5, storage_key("a", "v"): 6, storage_key("a", "flag", (True,)): "y"}
    assert storage_key("a", "m", ("k",)) == b"c/a\0m\0\xb2k\0\x01"


def test_a_value_of_another_type_left_by_an_old_version_is_refused(bench: "object") -> None:
    bench.state.put(storage_key("a", "m", ("k",)), "text")  # type: ignore[attr-defined]
    bench.install("a", TOP + '@export\ndef go() -> int:\n    return m["k"]\n')  # type: ignore[attr-defined]
    assert bench.call("a", "go").code == "vm.type"  # type: ignore[attr-defined]


def test_remembered_addresses_stay_right_when_there_are_many(run: Run) -> None:
    top = "o = Map(int, int)\n"
    body = "for j in range(2):\n    for i in range(4096):\n        o[i * 3] = o.get(i * 3, 0) + i\nn = 0\nfor i in range(4096):\n    n += o[i * 3]\nreturn n"
    assert run(body, top=top, returns="int", gas=50_000_000).values == (2 * sum(range(4096)),)


def test_a_text_with_zero_bytes_stays_out_of_its_neighbours_walk(run: Run) -> None:
    top = "p = Map(str, int, int)\n"
    body = 'p["a", 1] = 1\np["a\\x00", 2] = 2\np["a\\x00b", 3] = 3\n'
    body += 'return (p.next("a", None), p.next("a", 1), p.prev("a", None), p.next("a\\x00", None), p.next("a\\x00", 2))'
    assert run(body, top=top).values == ((1, None, 1, 2, None),)


DROPPED = "@export\ndef go() -> int:\n    return 1\n"
REDECLARED = {
    "a Var became a Map": ("m = Var(int)\n", "m.set(5)", "m = Map(str, int)\n", "m.next(None)"),
    "keys of one part became keys of two": ("m = Map(str, int)\n", 'm["a"] = 5', "m = Map(str, str, int)\n", 'm.next("a", None)'),
    "keys of two parts became keys of one": ("m = Map(str, int, int)\n", 'm["a", 2] = 5', "m = Map(str, int)\n", "m.prev(None)"),
    "texts became integers": ("m = Map(str, int)\n", 'm["a"] = 5', "m = Map(int, int)\n", "m.prev(None)"),
    "values became tuples": ("m = Map(str, int)\n", 'm["a"] = 5', "m = Map(str, tuple)\n", 'm.get("a", ())'),
}


@pytest.mark.parametrize("name", REDECLARED)
def test_a_name_that_was_dropped_and_comes_back_with_other_types_reads_as_a_failure(name: str) -> None:
    before, write, after, read = REDECLARED[name]
    chain = LocalChain()
    chain.deploy("a", f"{before}@export\ndef go() -> int:\n    {write}\n    return 1\n")
    assert chain.call("a", "go") == 1
    chain.upgrade("a", DROPPED)
    chain.upgrade("a", f"{after}@export\ndef go() -> int:\n    x = {read}\n    return 1\n")
    assert chain.refusal("a", "go") == "vm.type"
