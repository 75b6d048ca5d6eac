"""The fuzzer's author: contracts written by a grammar of the dialect, mostly well typed, and hostile ones beside it. One seed, one sequence."""

import random
import re
from typing import Final

KINDS: Final = ("int", "str", "bytes", "bool", "tuple", "list", "dict")
_LEAVES: Final[dict[str, tuple[str, ...]]] = {
    "int": (
        "0",
        "1",
        "2",
        "7",
        "-3",
        "255",
        "10 ** 18",
        "2 ** 255",
        "2 ** 256",
        "-(2 ** 256)",
        "2 ** 61 - 2",
        "2 ** 64",
        "LIMIT",
        "ctx.time",
        "ctx.height",
        "v.get()",
    ),
    "str": ("''", "'a'", "'text'", "'a,b,,c'", "' x '", "'\\u00e9'", "'\\u4e2d' * 5", "'-12'", "'12'", "ctx.self", "ctx.caller", "NAME", "'x' * 300"),
    "bytes": ("b''", "b'a'", "b'\\x00\\xff'", "ctx.sender", "ctx.chain", "b'ab' * 9"),
    "bool": ("True", "False"),
    "tuple": ("()", "(1, 'a')", "(1, 2, 3)", "ROW", "('k', b'b', None, True)", "((1, 2), (3,))"),
    "list": ("[]", "[3, 1, 2]", "['b', 'a']", "[(2, 'x'), (1, 'y')]", "[0] * 50", "[[1], [2]]", "[None, 1]"),
    "dict": ("{}", "{'k': 1}", "{1: 'a', 2: 'b'}", "{b'x': (1,), 'y': [2]}"),
}
_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "int": (
        "({int} + {int})",
        "({int} - {int})",
        "({int} * {int})",
        "({int} // {int})",
        "({int} % {int})",
        "({int} ** {int})",
        "({int} << {int})",
        "({int} >> {int})",
        "({int} & {int})",
        "({int} | {int})",
        "({int} ^ {int})",
        "-{int}",
        "~{int}",
        "+{int}",
        "len({str})",
        "len({list})",
        "len({dict})",
        "len({tuple})",
        "abs({int})",
        "min({int}, {int})",
        "max({int}, {int}, {int})",
        "sum([{int}, {int}])",
        "sum({list})",
        "int({str})",
        "int({bool})",
        "muldiv({int}, {int}, {int}, 'half_up')",
        "muldiv({int}, {int}, {int}, loose({any}))",
        "peek({int})",
        "m.get({int}, {int})",
        "m[{int}]",
        "v.get()",
        "{str}.find({str})",
        "{dict}.get({str}, {int})",
        "{dict}.get({int}, {int})",
        "{dict}.pop({int}, {int})",
        "{dict}[{int}]",
        "{list}[{int}]",
        "{tuple}[{int}]",
        "({int} if {bool} else {int})",
        "loose({int})",
        "typed({int}, {str})",
        "{bytes}[{int}]",
        "n.get(({str}, {int}), {int})",
        "({int} or {int})",
        "fixed_exp({int}, 7, 1000, 'floor')",
        "min({list})",
        "{list}.pop()",
        "call('b', 'number', {int})",
        "call(ctx.self, 'number', {int})",
        "h0({int})",
        "h1({int}, {str})",
    ),
    "str": (
        "({str} + {str})",
        "({str} * {int})",
        "({int} * {str})",
        "str({int})",
        "str({bool})",
        "{str}[{int}:{int}]",
        "{str}[:{int}]",
        "{str}.upper()",
        "{str}.lower()",
        "{str}.strip()",
        "{str}.strip({str})",
        "{str}.join([{str}, {str}])",
        "{str}.join({list})",
        "{bytes}.hex()",
        "{bytes}.decode()",
        "{str}.split({str})[{int}]",
        "w.get({str}, {str})",
        "w[{str}]",
        "({str} if {bool} else {str})",
        "loose({str})",
        "max({str}, {str})",
        "{str}[{int}]",
        "({str} and {str})",
    ),
    "bytes": (
        "({bytes} + {bytes})",
        "{str}.encode()",
        "hash({bytes})",
        "{bytes}[{int}:{int}]",
        "({bytes} * {int})",
        "loose({bytes})",
        "({bytes} if {bool} else {bytes})",
    ),
    "bool": (
        "({int} < {int})",
        "({int} == {int})",
        "({str} == {str})",
        "({str} != 'text')",
        "({str} >= {str})",
        "({tuple} == {tuple})",
        "({bytes} != {bytes})",
        "({int} in {list})",
        "({str} in {dict})",
        "({int} in {dict})",
        "({any} in {dict})",
        "({any} in {list})",
        "({any} == {any})",
        "({any} < {any})",
        "({str} in {str})",
        "({tuple} in {list})",
        "({int} in m)",
        "(({str}, {int}) in n)",
        "({int} not in m)",
        "not {bool}",
        "({bool} and {bool})",
        "({bool} or {int})",
        "({int} is None)",
        "(loose({int}) is not None)",
        "{str}.startswith({str})",
        "{bytes}.endswith({bytes})",
        "bool({list})",
        "({bool} & {bool})",
        "({tuple} < {tuple})",
        "(loose({int}) <= {int})",
        "verify_signature({bytes}, {bytes}, {bytes})",
    ),
    "tuple": (
        "({int}, {str})",
        "({int}, {bytes}, {bool}, None)",
        "({tuple} + {tuple})",
        "tuple({list})",
        "t.get({str}, {tuple})",
        "t[{str}]",
        "{tuple}[{int}:{int}]",
        "loose({tuple})",
        "({int}, {tuple})",
        "try_call('b', 'number', {int})",
        "try_call('b', 'go')",
        "try_call(ctx.self, 'number', {any})",
        "({tuple} * {int})",
        "try_call('nobody', 'go')",
        "({tuple} if {bool} else {tuple})",
        "try_call('b', 'back', {int})",
    ),
    "list": (
        "[{int}, {int}]",
        "[{str}]",
        "[{any}, {any}]",
        "({list} + {list})",
        "({list} * {int})",
        "sorted({list})",
        "[q for q in {list}]",
        "[q + {int} for q in range({int})]",
        "[q * q for q in range(9) if q != {int}]",
        "[p for p, q in enumerate({list})]",
        "list({tuple})",
        "{dict}.keys()",
        "{dict}.values()",
        "{dict}.items()",
        "{str}.split({str})",
        "{list}[{int}:{int}]",
        "[[q] for q in {tuple}]",
        "[[p for p in range(q)] for q in range({int} % 7)]",
        "loose({list})",
    ),
    "dict": ("{{str}: {int}}", "{{int}: {str}, {str}: {any}}", "loose({dict})", "{{any}: {int}}"),
}
_EFFECTS: Final = (
    "m[{int}] = {int}",
    "m[{int}] += {int}",
    "del m[{int}]",
    "n[{str}, {int}] = {int}",
    "w[{str}] = {str}",
    "t[{str}] = {tuple}",
    "v.set({int})",
    "b1[{bytes}] = {bool}",
    "l1.append({any})",
    "l1.extend({list})",
    "l1.insert({int}, {any})",
    "d1[{str}] = {any}",
    "d1[{int}] = {int}",
    "del d1[{str}]",
    "l1[{int}] = {any}",
    "l1[{int}] += {int}",
    "del l1[{int}]",
    "emit('E', k={int})",
    "emit('E', to={str}, k={str}, x={bytes})",
    "emit('F', k={any})",
    "require({bool}, 'no')",
    "schedule({int}, 'number', ({int},))",
    "schedule(5, 'go', ())",
    "i1, i2 = i2, i1",
    "i1, s1 = ({int}, {str})",
    "i1, i2 = {tuple}",
    "x1 = {any}",
    "x1 = n.next({str}, {int})",
    "x1 = m.prev({int})",
    "x1 = m.next(None)",
    "x1 = {any}\n    i1 = loose(x1)",
    "call('b', 'go')",
    "d1[{str}] = d1",
    "l1.append(l1)",
    "abort({str})",
    "x1 = try_call('b', 'spin')",
)
_BLOCKS: Final = (
    "if {bool}:\n        {s}\n    else:\n        {s}",
    "for i1 in range({int}):\n        {s}",
    "for i1 in range(3):\n        {s}\n        {s}",
    "for x1 in {list}:\n        {s}",
    "for x1 in l1:\n        l1.append(x1)\n        if len(l1) > {int}:\n            break",
    "for x1 in d1:\n        d1[str(i1)] = 1\n        i1 += 1",
    "for i1, x1 in enumerate({list}):\n        {s}",
    "while {bool}:\n        {s}\n        break",
    "i2 = 0\n    while i2 < 4:\n        i2 += 1\n        {s}",
    "while i1 < {int}:\n        i1 = i1 * 2 + 1\n        {s}",
)
_TOP: Final = """
m = Map(int, int)
n = Map(str, int, int)
w = Map(str, str)
t = Map(str, tuple)
b1 = Map(bytes, bool)
v = Var(int)
LIMIT = 10 ** 12
NAME = "name"
ROW = (1, "two", b"three", (4, None))


def loose(a):
    return a


def typed(a: int, b: str) -> int:
    return a + len(b)

"""
_LOCALS: Final = """    i1 = 3
    i2 = loose(8)
    s1 = "text"
    y1 = b"bytes"
    b2 = True
    t1 = (1, "a")
    l1 = [5, 6]
    d1 = {"k": 1, 2: "b"}
    x1 = loose(1)
"""
_NAMES: Final = {"int": ("i1", "i2"), "str": ("s1",), "bytes": ("y1",), "bool": ("b2",), "tuple": ("t1",), "list": ("l1",), "dict": ("d1",)}
_HOSTILE: Final = (
    "x1 = ().__class__",
    "x1 = (q for q in l1)",
    "x1 = lambda: 1",
    "import os",
    "x1 = f'{i1}'",
    "x1 = [*l1]",
    "x1 = {**d1}",
    "global m",
    "try:\n        pass\n    except E:\n        pass",
    "x1 = ctx.__dict__",
    "x1 = m",
    "x1 = len",
    "x1 = getattr(ctx, 's')",
    "class K:\n        pass",
    "x1 = (i1 := 5)",
    "x1 = 1.5",
    "x1 = i1 / 2",
    "x1 = 'a' 'b'",
    "x1 = 1 < 2 < 3",
    "x1 = i1 is i2",
    "match i1:\n        case 1:\n            pass",
    "def g():\n        return 1",
    "x1 = l1[::2]",
    "l1[0:1] = [1]",
    "for len in l1:\n        pass",
    "x1 = '\\ud800'",
    "x1 = 5;y = 2",
    "x1 = go()",
    "x1 = 1 if 1 else 2 if 2 else 3",
    "x1 = 0x_ff + 0b1 + 0o7",
    "x1 = 1__0",
    "x1 = 9" + "9" * 90,
    "x1 = [" * 40 + "]" * 40,
    "x1 = " + "not " * 90 + "1",
    "x1 = " + "-" * 63 + "1",
    "x1 = {q: 1 for q in l1}",
    "x1 = {1, 2}",
    "del x1",
    "x1 = y1.x",
    "async def g():\n        pass",
    "with m:\n        pass",
    "raise E",
    "x1: int = 1",
    "x1 = \\\n    5",
    "type X = int",
    "x1 = m.items()",
    "x1 = sorted(l1, key=len)",
    "x1 = call(*l1)",
    "emit('E', **d1)",
    "yield 1",
    "x1 = await go()",
    "x1 = '%s' % 1",
    "print(1)",
    "x1 = __import__('os')",
    "x1 = (1,\n  2,\n 3)",
    "x1 = range(5)",
    "x1 = enumerate(l1)",
)
_TOKENS: Final = (
    "m",
    "v",
    "go",
    "i1",
    "l1",
    "0",
    "1",
    "256",
    "'a'",
    "b'b'",
    "''",
    "None",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ".",
    "=",
    "==",
    "<",
    "+",
    "-",
    "*",
    "//",
    "%",
    "**",
    "<<",
    "&",
    "~",
    "not",
    "and",
    "in",
    "is",
    "if",
    "else",
    "for",
    "while",
    "return",
    "break",
    "pass",
    "del",
    "def",
    "lambda",
    "class",
    "_a",
    "1.5",
    "/",
    ":=",
    ";",
    "@",
    "->",
    "\\",
    "\n",
    "\n    ",
    "\t",
    "\r",
    "\x00",
    "\x0c",
    "\xe9",
    "\ufeff",
    "\uff45",
    "#",
)

_PLACE: Final = re.compile(r"\{(int|str|bytes|bool|tuple|list|dict|any|s)\}")


class Author:
    """Writes programs from one seeded source."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def expression(self, kind: str, depth: int) -> str:
        """An expression of a type, or now and then of another."""
        draw = self.random
        if kind == "any" or draw.random() < 0.02:
            kind = draw.choice(KINDS)
        place = draw.random()
        if depth <= 0 or place < 0.3:
            return draw.choice(_LEAVES[kind]) if place < 0.12 else draw.choice(_NAMES[kind])
        return self.fill(draw.choice(_FORMS[kind]), depth - 1)

    def fill(self, form: str, depth: int) -> str:
        """A form with expressions in its places."""
        return _PLACE.sub(lambda place: self.effect(depth) if place[1] == "s" else self.expression(place[1], depth), form)

    def effect(self, depth: int) -> str:
        """A statement on one line."""
        draw = self.random
        if draw.random() < 0.5:
            kind = draw.choice(KINDS)
            operator = "+=" if kind in ("int", "str", "list", "tuple") and draw.random() < 0.3 else "="
            return f"{draw.choice(_NAMES[kind])} {operator} {self.expression(kind, depth)}"
        return self.fill(draw.choice([form for form in _EFFECTS if "\n" not in form]), depth)

    def statement(self) -> str:
        """A statement, with blocks."""
        draw = self.random
        if draw.random() < 0.3:
            return self.fill(draw.choice(_BLOCKS), 2)
        return self.fill(draw.choice(_EFFECTS), 2) if draw.random() < 0.3 else self.effect(2)

    def body(self, most: int) -> str:
        """Statements in a function."""
        return _LOCALS + "".join(f"    {self.statement()}\n" for _ in range(self.random.randint(1, most)))

    def contract(self, *, hostile: bool) -> bytes:
        """A whole contract: helpers, exports, a view."""
        draw = self.random
        parts = [_TOP]
        # Helpers may not call themselves: what they'd call stands below them.
        parts.append("def h0(a: int) -> int:\n" + self.plain(self.body(2)) + f"    return {self.plain(self.expression('int', 2))}\n\n")
        parts.append("def h1(a, c):\n" + self.plain(self.body(2)) + f"    return {self.plain(self.expression('int', 2))}\n\n")
        parts.append(
            "@export\ndef go() -> "
            + (kind := draw.choice(("int", "str", "tuple", "list", "bool")))
            + ":\n"
            + self.body(6)
            + f"    return {self.expression(kind, 2)}\n\n"
        )
        parts.append("@export\ndef number(a: int) -> int:\n" + self.body(2) + "    return a\n\n")
        parts.append(
            "@export\ndef back(a: int) -> int:\n    v.set(a)\n    return call('a', 'number', a)\n\n"
            "@export\ndef spin() -> int:\n    m[9] = 9\n    while True:\n        v.set(v.get() + 1)\n\n"
        )
        parts.append("@view\ndef peek(a: int) -> int:\n    if a > 5:\n        return call(ctx.self, 'number', a)\n    return a\n\n")
        parts.append("@view\ndef look(a: int, s: str, t2: tuple) -> list:\n    l1 = [a, s]\n    for x1 in t2:\n        l1.append(x1)\n    return l1\n")
        text = "".join(parts)
        if hostile:
            text = self.damaged(text)
        return text.encode("utf-8", "surrogatepass")

    @staticmethod
    def plain(text: str) -> str:
        """A helper's code: it calls no other helper."""
        return text.replace("h0(", "abs(").replace("h1(", "min(")

    def damaged(self, text: str) -> str:
        """A source of the dialect with something wrong in it."""
        draw = self.random
        for _ in range(draw.randint(1, 2)):
            way = draw.randrange(5)
            place = draw.randrange(len(text))
            if way == 0:
                lines = text.split("\n")
                at = draw.choice([index for index, line in enumerate(lines) if line.startswith("    ") and not line.startswith("     ")] or [0])
                text = "\n".join([*lines[:at], "    " + draw.choice(_HOSTILE), *lines[at:]])
            elif way == 1:
                text = text[:place] + " " + draw.choice(_TOKENS) + " " + text[place:]
            elif way == 2:
                text = text[:place] + text[place + draw.randint(1, 8) :]
            elif way == 3:
                text = text[:place] + draw.choice(_TOKENS) + text[place + 1 :]
            else:
                other = draw.randrange(len(text))
                text = text[:place] + text[other : other + draw.randint(1, 60)] + text[place:]
        return text
