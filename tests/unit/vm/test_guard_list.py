"""Line by line: every built-in, method and storage operation refuses the types it can't take, and pays for the size of what it works on."""

import time

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.vm.contract import ContractRefused, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Environment
from carbonnode.vm.words import BUILTINS, METHODS, STORAGE_METHODS

PROBES = {
    "int": "7",
    "str": "'ab'",
    "bytes": "b'ab'",
    "bool": "True",
    "None": "None",
    "tuple": "(1, 2)",
    "list": "[1, 2]",
    "dict": "{'a': 1}",
    "nest": "[[1], {}]",
}
ANY = " ".join(PROBES)
SIZES = "list tuple nest"
SCALARS = "int str bytes bool None"
# What stands between the braces, how it looks when it is right, and the types that are right in each place. The first word is the name it is the test of.
TYPES = {
    "len": ("x = len({})", ["[1]"], [f"str bytes dict {SIZES}"]),
    "range": ("for i in range({}, {}, {}):\n        x = i", ["0", "3", "1"], ["int", "int", "int"]),
    "enumerate": ("for i, y in enumerate({}):\n        x = i", ["[1]"], [f"dict {SIZES}"]),
    "min": ("x = min({})", ["[1]"], ["list tuple"]),
    "min of two": ("x = min({}, {})", ["1", "2"], ["int", "int"]),
    "max": ("x = max({})", ["[1]"], ["list tuple"]),
    "max of two": ("x = max({}, {})", ["'a'", "'b'"], ["str", "str"]),
    "abs": ("x = abs({})", ["1"], ["int"]),
    "sum": ("x = sum({})", ["[1]"], ["list tuple"]),
    "sorted": ("x = sorted({})", ["[1]"], ["list tuple"]),
    "int": ("x = int({})", ["1"], ["int bool str"]),
    "str": ("x = str({})", ["1"], ["int bool str"]),
    "bool": ("x = bool({})", ["1"], [ANY]),
    "list": ("x = list({})", ["[1]"], [f"dict {SIZES}"]),
    "tuple": ("x = tuple({})", ["[1]"], [f"dict {SIZES}"]),
    "emit": ("emit('E', a={}, b={})", ["1", "2"], [SCALARS, SCALARS]),
    "emit to": ("emit('E', to={})", ["'a'"], ["str"]),
    "call": ("x = call({}, {}, 1)", ["ctx.self", "'ping'"], ["str", "str"]),
    "schedule": ("schedule({}, {}, {})", ["5", "'ping'", "(1,)"], ["int", "str", SIZES]),
    "hash": ("x = hash({})", ["b'a'"], ["bytes"]),
    "verify_signature": ("x = verify_signature({}, {}, {})", ["b'a'", "b'a'", "b'a'"], ["bytes"] * 3),
    "muldiv": ("x = muldiv({}, {}, {}, 'up')", ["1", "2", "3"], ["int"] * 3),
    "fixed_exp": ("x = fixed_exp({}, {}, {}, 'up')", ["1", "2", "3"], ["int"] * 3),
    "fixed_pow": ("x = fixed_pow({}, {}, {}, {}, {}, 'up')", ["3", "2", "1", "2", "9"], ["int"] * 5),
    "append": ("{}.append({})", ["[1]", "1"], ["list nest", ANY]),
    "insert": ("{}.insert({}, {})", ["[1]", "0", "1"], ["list nest", "int", ANY]),
    "extend": ("{}.extend({})", ["[1]", "[2]"], ["list nest", SIZES]),
    "pop": ("x = {}.pop()", ["[1]"], ["list nest"]),
    "pop at": ("x = {}.pop({})", ["[1]", "0"], ["list nest dict", "int"]),
    "pop of a dict": ("x = {}.pop({}, {})", ["{'a': 1}", "'a'", "0"], ["dict", "int str bytes", ANY]),
    "get": ("x = {}.get({}, {})", ["{'a': 1}", "'a'", "0"], ["dict", "int str bytes", ANY]),
    "keys": ("x = {}.keys()", ["{}"], ["dict"]),
    "items": ("x = {}.items()", ["{}"], ["dict"]),
    "values": ("x = {}.values()", ["{}"], ["dict"]),
    "join": ("x = {}.join({})", ["','", "['a']"], ["str", ""]),
    "split": ("x = {}.split({})", ["'a,b'", "','"], ["str", "str"]),
    "startswith": ("x = {}.startswith({})", ["'ab'", "'a'"], ["str", "str"]),
    "endswith": ("x = {}.endswith({})", ["b'ab'", "b'a'"], ["bytes", "bytes"]),
    "find": ("x = {}.find({})", ["'ab'", "'a'"], ["str", "str"]),
    "strip": ("x = {}.strip({})", ["'ab'", "'a'"], ["str", "str"]),
    "strip of white": ("x = {}.strip()", ["'ab'"], ["str"]),
    "upper": ("x = {}.upper()", ["'a'"], ["str"]),
    "lower": ("x = {}.lower()", ["'a'"], ["str"]),
    "encode": ("x = {}.encode()", ["'a'"], ["str"]),
    "decode": ("x = {}.decode()", ["b'a'"], ["bytes"]),
    "hex": ("x = {}.hex()", ["b'a'"], ["bytes"]),
    "get of a Map": ("x = m.get({}, {})", ["'a'", "0"], ["str", ANY]),
    "item of a Map": ("m['a'] = 1\n    x = m[{}]", ["'a'"], ["str"]),
    "item set in a Map": ("m[{}] = {}", ["'a'", "1"], ["str", "int"]),
    "item deleted from a Map": ("m['a'] = 1\n    del m[{}]", ["'a'"], ["str"]),
    "in a Map": ("x = {} in m", ["'a'"], ["str"]),
    "keys of two parts": ("n[{}, {}] = {}", ["1", "b'a'", "(1,)"], ["int", "bytes", "tuple"]),
    "next": ("x = m.next({})", ["'a'"], ["str None"]),
    "next of two parts": ("x = n.next({}, {})", ["1", "b'a'"], ["int", "bytes None"]),
    "prev": ("x = m.prev({})", ["'a'"], ["str None"]),
    "set": ("v.set({})", ["1"], ["int"]),
    "get of a Var": ("x = v.get({})", ["1"], [ANY]),
    "subscript": ("x = {}[{}]", ["[1]", "0"], [f"str bytes dict {SIZES}", "int"]),
    "slice": ("x = {}[{}:{}]", ["[1]", "0", "1"], [f"str bytes {SIZES}", "int None", "int None"]),
    "item set": ("z = {}\n    z[{}] = {}", ["[1]", "0", "1"], ["list dict nest", "int", ANY]),
    "item deleted": ("z = {}\n    del z[{}]", ["[1]", "0"], ["list dict nest", "int"]),
    "key of a dict": ("x = {{{}: {}}}", ["'a'", "1"], ["int str bytes", ANY]),
    "loop": ("for i in {}:\n        x = i", ["[1]"], [f"dict {SIZES}"]),
    "comprehension": ("x = [i for i in {}]", ["[1]"], [f"dict {SIZES}"]),
    "in": ("x = {} in {}", ["'a'", "{}"], [f"{SCALARS} tuple", f"str dict {SIZES}"]),
}
# These say it by a code of their own, or by what they give.
CODES = {
    "abort": ("abort({})", "vm.bad-code"),
    "require": ("require(1 > 2, {})", "vm.bad-code"),
    "try_call": ("x = try_call({}, 'ping', 1)\n    require(x[0], x[1][3:])", "type"),
    "try_call of a method": ("x = try_call(ctx.self, {}, 1)\n    require(x[0], x[1][3:])", "type"),
    "rounding": ("x = muldiv(7, 3, 2, {})", "vm.type"),
    "rounding of an exponential": ("x = fixed_exp(0, 3, 2, {})", "vm.type"),
    "rounding of a power": ("x = fixed_pow(7, 3, 0, 2, 1, {})", "vm.type"),
}
TOP = "m = Map(str, int)\nn = Map(int, bytes, tuple)\nv = Var(int)\ndef loose(x):\n    return x\n@export\ndef ping(a: int) -> int:\n    return a\n"


def run(body: str, *args: int, gas: int = 3_000_000) -> Outcome:
    parameter = "size: int" if args else ""
    contract = compile_contract("a", f"{TOP}@export\ndef go({parameter}) -> int:\n    {body}\n    return 1\n".encode())
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
    return Machine(SCHEDULES[max(SCHEDULES)]).execute(MemoryState(), env, bytes(32), (Call("a", "go", args),), gas)


def test_nothing_of_the_dialect_is_missing_here() -> None:
    assert {name.split(" ")[0] for name in (*TYPES, *CODES)} >= set(BUILTINS) | set(METHODS) | set(STORAGE_METHODS)
    assert {name for name, takes in [*BUILTINS.items(), *METHODS.items()] if takes.scans} <= set(SIZED)


@pytest.mark.parametrize("name", TYPES)
def test_a_wrong_type_is_refused_and_the_right_ones_arent(name: str) -> None:
    form, good, right = TYPES[name]
    assert run(form.format(*[f"loose({text})" for text in good])).ok
    for place, kinds in enumerate(right):
        for kind in set(PROBES) - set(kinds.split()):
            for hidden in (PROBES[kind], f"loose({PROBES[kind]})"):
                given = [f"loose({text})" for text in good]
                given[place] = f"({hidden})"
                try:
                    code = run(form.format(*given)).code
                except ContractRefused:
                    code = "vm.type" if hidden == PROBES[kind] else "refused"  # the checker sees it
                assert code == "vm.type", (name, place, kind, hidden)


@pytest.mark.parametrize("name", CODES)
def test_a_wrong_type_of_a_code_or_name_is_refused(name: str) -> None:
    form, code = CODES[name]
    for kind in set(PROBES) - {"str"}:
        found = run(form.format(f"loose({PROBES[kind]})")).code
        assert found == code, (name, kind, found)


BOMB = """def bomb(kind):
    t = (1, 2)
    l = [1, 2]
    for i in range(24):
        t = (t, t)
        l = [l, l]
    return t if kind else l
"""
FORMS = [form for form, _, _ in TYPES.values()] + [form for form, _ in CODES.values()]
SIGNS = ("+", "-", "*", "//", "%", "**", "<<", ">>", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "in", "and", "or")
FORMS += [f"x = {{}} {sign} {{}}" for sign in SIGNS]
FORMS += [f"x = {sign}{{}}" for sign in ("-", "+", "~", "not ")]
FORMS += ["x = {} if {} else {}", "x, y = {}", "x = {}\n    x += {}", "x = {}[:{}]", "x = {} is None", "while {}:\n        break", "x = ({},) == ({},)"]
FORMS += ["x = sorted([{}, {}])", "x = {} in [{}, 1]", "x = ({}, 1) in [({}, 1)]", "x = max(({}, 1), ({}, 1))", "x = [{}] * 2", "return {}", "x = str({})"]
FORMS += ["fixed_exp({}, {}, {}, {})", "x = call(ctx.self, 'ping', {})", "x = try_call({}, {}, {})", "w.set({})", "w.set(({}, 1))"]
FORMS += ["schedule(0, 'ping', ({},))"]


@pytest.mark.parametrize("form", FORMS)
def test_nothing_walks_through_a_value_that_shares_itself(form: str) -> None:
    """Sixteen million tuples to hash, compare or show, though there are 24 in memory: wherever such a value is put, what happens takes no time."""
    top = f"w = Var(tuple)\n{BOMB}{TOP}"
    for place in range(form.count("{}")):
        for bomb in ("bomb(True)", "bomb(False)"):
            for other in ("loose(1)", "loose('ab')", bomb):
                body = form.format(*[bomb if number == place else other for number in range(form.count("{}"))])
                contract = compile_contract("a", f"{top}@export\ndef go() -> int:\n    {body}\n    return 1\n".encode())
                env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
                started = time.process_time()
                Machine(SCHEDULES[max(SCHEDULES)]).execute(MemoryState(), env, bytes(32), (Call("a", "go", ()),), 1_000_000)
                assert time.process_time() - started < 1, (body, place)


# What it works on (its size is `size`), the operation, and the least that 4,000 more must cost.
TEXT, BYTES, LIST = 's = "a" * size', 'b = b"a" * size', "l = [1] * size"
DICT = "d = {}\n    for i in range(size):\n        d[str(i)] = i"
SIZED = {
    "min": (LIST, "x = min(l)", 4000),
    "max": (LIST, "x = max(l)", 4000),
    "sum": (LIST, "x = sum(l)", 4000),
    "sorted": (LIST, "x = sorted(l)", 4000),
    "list": (LIST, "x = list(l)", 4000),
    "tuple": (LIST, "x = tuple(l)", 4000),
    "hash": (BYTES, "x = hash(b)", 250),
    "verify_signature": (BYTES, "x = verify_signature(b, b, b)", 250),
    "extend": (LIST, "z = []\n    z.extend(l)", 4000),
    "keys": (DICT, "x = d.keys()", 4000),
    "values": (DICT, "x = d.values()", 4000),
    "items": (DICT, "x = d.items()", 4000),
    "join": ('l = [""] * size', 'x = "".join(l)', 4000),
    "split": (TEXT, 'x = s.split("b")', 250),
    "strip": (TEXT, 'x = s.strip("a")', 250),
    "upper": (TEXT, "x = s.upper()", 250),
    "lower": (TEXT, "x = s.lower()", 250),
    "find": (TEXT, 'x = s.find("b")', 250),
    "find of half": (TEXT + "\n    p = s[4:4 + size // 2]", "x = s.find(p)", 100_000),
    "find in bytes": (BYTES, 'x = b.find(b"b")', 250),
    "encode": (TEXT, "x = s.encode()", 250),
    "decode": (BYTES, "x = b.decode()", 250),
    "hex": ('b = b"a" * (size // 2)', "x = b.hex()", 250),
    "in a list": (LIST, "x = 2 in l", 4000),
    "in a text": (TEXT, 'x = "b" in s', 250),
    "an integer in a dict": ("d = {}\n    for i in range(size):\n        d[i] = i", "x = -1 in d", 1000),
    "an integer got from a dict": ("d = {}\n    for i in range(size):\n        d[i] = i", "x = d.get(-1, 0)", 1000),
    "a slice of a list": (LIST, "x = l[1:]", 3999),
    "a slice of a text": (TEXT, "x = s[1:]", 249),
    "lists added": (LIST, "x = l + []", 4000),
    "a list added to": (LIST, "z = []\n    z += l", 4000),
    "texts added": (TEXT, 'x = s + ""', 250),
    "a list times": ("l = [1]", "x = l * size", 4000),
    "a text times": ('s = "a"', "x = s * size", 250),
    "long texts compared": (TEXT + '\n    t = ("b" * size)[:size]', "x = s == t", 15),
    "tuples of long texts compared": (TEXT, "x = (s,) * 100 == (s,) * 100", 1500),
    "tuples compared": ("t = (1,) * size", "x = t == t", 8000),
    "tuples ordered": ("t = (1,) * size", "x = t < t", 8000),
    "wide texts ordered": ('s = "\\u0100" * (size // 2)', "x = s < s", 125),
    "a dict walked": (DICT, "for x in d:\n        break", 4000),
    "the front of a list": (LIST, "l.insert(0, 1)", 62),
    "the front popped": (LIST, "x = l.pop(0)", 62),
    "the front deleted": (LIST, "del l[0]", 62),
    "a dict rebuilt": ("d = {}\n    for i in range(1 + (size - 8) * 2048 // 4000):\n        d[str(i)] = i", 'del d["0"]', 8000),
    "a dict of integers rebuilt": ("d = {}\n    for i in range(1 + (size - 8) * 2048 // 4000):\n        d[i] = i", "del d[0]", 500_000),
    "a tuple passed": ("t = (1,) * size", 'x = call(ctx.self, "take", t)', 4000),
    "a tuple stored": ("t = (1,) * size", "w.set(t)", 4000 * 6),
    "a tuple read": ("t = (1,) * size\n    w.set(t)", "x = w.get()", 4000 * 24),
    "a text stored": (TEXT, "c.set(s)", 500),
    "a text read": (TEXT + "\n    c.set(s)", "x = c.get()", 500),
    "a text emitted": (TEXT, 'emit("E", a=s)', 500),
    "a text scheduled": (TEXT, 'schedule(5, "hear", (s,))', 500),
}
MORE = "w = Var(tuple)\nc = Var(str)\n@export\ndef take(t: tuple) -> int:\n    return 1\n@export\ndef hear(s: str) -> int:\n    return 1\n"


def gas_of(before: str, operation: str, size: int) -> int:
    contract = compile_contract("a", f"{MORE}{TOP}@export\ndef go(size: int) -> int:\n    {before}\n    {operation}\n    return 1\n".encode())
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
    outcome = Machine(SCHEDULES[max(SCHEDULES)]).execute(MemoryState(), env, bytes(32), (Call("a", "go", (size,)),), 5_000_000)
    assert outcome.ok, (outcome.code, outcome.where)
    return outcome.gas_used


@pytest.mark.parametrize("name", SIZED)
def test_what_is_worked_on_is_paid_for_by_its_size(name: str) -> None:
    before, operation, least = SIZED[name]
    small, large = [gas_of(before, operation, size) - gas_of(before, "pass", size) for size in (8, 4008)]
    assert large - small >= least, (small, large)
