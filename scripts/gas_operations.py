"""The operations that `calibrate_gas.py` measures: one body of a loop each. Names are what the table prints.

Bodies stand inside `go()` of `HEAD`. `loose(...)` hides a type from the inference, so that the slow, guarded path is taken: an attacker always can.
`COPIES` of a body stand in one turn, so that the price of the turn itself hides nothing.
"""

from typing import Final

COPIES: Final = 8

HEAD: Final = """
m = Map(int, int)
t = Map(str, int, tuple)
w = Map(str, str)
wide = Map(str, int, bytes, bool, int, int)
old = Map(int, int)
rows_of = Map(str, int, tuple)
texts_of = Map(int, str)
v = Var(int)
tv = Var(tuple)
def helper(a: int, b: int) -> int:
    return a + b
def loose(a):
    return a
def empty():
    pass
def thin(a: int) -> int:
    return a
def eight(a, b, c, d, e, f, g, h):
    return a
def sixteen(p0: int, p1: int, p2: int, p3: int, p4: int, p5: int, p6: int, p7: int,
            p8: int, p9: int, p10: int, p11: int, p12: int, p13: int, p14: int, p15: int):
    return p0
@export
def ping(a: int) -> int:
    return a
@export
def rest(a: tuple) -> tuple:
    return a
@export
def echo(a: str) -> str:
    return a
@export
def quiet() -> None:
    pass
@export
def fail() -> None:
    abort("no")
@view
def look(a: int) -> int:
    return a
@export
def go(start: int) -> int:
    n = 3
    big = 2 ** 200
    huge = 2 ** 256
    neg = 0 - 2 ** 255 - 12345
    any_n = loose((7, "x"))[0]
    any_big = loose((2 ** 250 + 1, "x"))[0]
    any_s = loose((7, "x" * 1))[1]
    any_true = loose((True, 1))[0]
    text = "abcdefgh" * 500
    any_text = "abcdefgh" * 500
    same_text = "abcdefgh" * 250 + "abcdefgh" * 250
    wide_text = "\\u4e2d" * 1300
    mixed_text = "\\U0001f600" + "a" * 4091
    mixed_copy = "\\U0001f600" + ("a" * 4092)[:4091]
    short_text = "a" * 2499
    half = "a" * 1240 + "baa"
    short = "abc"
    data = text.encode()
    small = [3, 1, 2]
    items = [i * 7919 % 4096 for i in range(4000)]
    up = [i for i in range(4000)]
    bigs = [2 ** 240 + i * 7919 % 4096 for i in range(1000)]
    texts = ["abcdefgh" for i in range(400)]
    long_texts = ["x" * 40 + str(i * 7919 % 4096) for i in range(1000)]
    row = ("org", "name", 5, 6, 7, 8, b"xyz")
    same = ("org", "name", 5, 6, 7, 8, b"xyz")
    rows = [(i * 7919 % 4096, 5, "x") for i in range(1000)]
    same_rows = [(5, 5, "x" * 20, i * 7919 % 4096) for i in range(1000)]
    long_tuple = (1,) * 4000
    other_tuple = (1,) * 3999 + (1,)
    deep = ((1, "a"), (2, "b"), 3)
    dicts = {"a": 1}
    d = {"a": 1, "b": 2}
    full = {}
    for i in range(2000):
        full[i] = i
    orbit = {}
    k = 0
    for j in range(4090):
        orbit[k] = j
        k = (k * 5 + 1) % 8192
    key = "k" * 100
    for j in range(50):
        m[j] = j
        t["a", j] = row
    w["x"] = text
    t["long", 1] = long_tuple
    t["deep", 1] = deep
    v.set(1)
    tv.set(row)
    x = 0
    z = 0
    a = 0
    b = 0
    c = 0
    e = [0]
    for i in range(start, start + COUNT):
        BODY
    return 1
"""

HEAD_STORING: Final = (
    HEAD[: HEAD.index("    n = 3\n")]
    + """
    n = 3
    big = 2 ** 200
    any_n = loose((7, "x"))[0]
    short = "abc"
    key = "k" * 100
    text = "abcdefgh" * 500
    wide_text = "\\u4e2d" * 1300
    row = ("org", "name", 5, 6, 7, 8, b"xyz")
    long_tuple = (1,) * 4000
    deep = ((1, "a"), (2, "b"), 3)
    for j in range(50):
        m[j] = j
    t["a", 7] = row
    t["a", 8] = row
    t["deep", 1] = deep
    t["long", 1] = long_tuple
    w["x"] = text
    v.set(1)
    tv.set(row)
    x = 0
    z = 0
    for i in range(start, start + COUNT):
        BODY
    return 1
"""
)

# name: (body, turns). What stands in "memory" runs on a state in memory; no block is closed.
COMPUTING: Final[dict[str, tuple[str, int]]] = {
    "int +": ("x = i + n", 3000),
    "int + big": ("x = big + big", 3000),
    "int -": ("x = i - n", 3000),
    "int *": ("x = i * n", 3000),
    "int * big": ("x = big * i", 3000),
    "int //": ("x = i // n", 3000),
    "int // big": ("x = neg // 12345678901234567", 3000),
    "int %": ("x = i % n", 3000),
    "int % big": ("x = neg % (2 ** 127 + 5)", 2000),
    "int **": ("x = n ** 3", 3000),
    "int ** big": ("x = n ** 160", 3000),
    "int ** odd": ("x = 12345678901 ** 7", 3000),
    "int ** bits": ("x = 7 ** 91", 3000),
    "int ** ones": ("x = n ** 159", 3000),
    "int <<": ("x = n << 3", 3000),
    "int << big": ("x = n << 250", 3000),
    "int >>": ("x = big >> 3", 3000),
    "int &": ("x = big & neg", 3000),
    "int |": ("x = neg | big", 3000),
    "int ^": ("x = neg ^ big", 3000),
    "int -x": ("x = -i", 3000),
    "int ~": ("x = ~i", 3000),
    "any +": ("z = any_n + i", 3000),
    "any + big": ("z = any_big + big", 3000),
    "any -": ("z = any_n - i", 3000),
    "any *": ("z = any_n * i", 3000),
    "any * big": ("z = any_big * n", 3000),
    "any //": ("z = any_big // n", 3000),
    "any %": ("z = any_big % n", 3000),
    "any &": ("z = any_n & any_n", 3000),
    "any |": ("z = any_n | any_n", 3000),
    "any ^": ("z = any_big ^ any_n", 3000),
    "any -x": ("z = -any_n", 3000),
    "any ~": ("z = ~any_n", 3000),
    "any +=": ("any_n += n\n        any_n = 7", 3000),
    "name": ("x = i", 5000),
    "name of a constant": ("x = 12345", 5000),
    "not": ("x = not n", 5000),
    "and or": ("x = n and i or n", 5000),
    "and chain": ("x = " + " and ".join(["n"] * 60), 300),
    "or chain": ("x = " + " or ".join(["0"] * 30 + ["n"]), 300),
    "elif chain": ("if 0:\n            x = 1\n" + "        elif x is None:\n            x = 2\n" * 30 + "        else:\n            x = 3", 300),
    "comprehension conditions": ("z = [q for q in small" + " if n" * 60 + "]", 300),
    "conditional chain": ("x = " + "n if x is None else " * 25 + "n", 300),
    "not chain": ("x = " + "not " * 40 + "n", 300),
    "minus chain": ("x = " + "-" * 40 + "n", 300),
    "tuple chain": ("z = (" + "n, " * 200 + ")", 300),
    "list chain": ("z = [" + "n, " * 200 + "]", 300),
    "constant tuple": ("z = (" + "1, " * 200 + ")", 300),
    "dict chain": ("z = {" + ", ".join(f"{i}: n" for i in range(100)) + "}", 300),
    "index chain": ("z = [[[[[[n]]]]]][0][0][0][0][0][0]", 300),
    "unpack many": ("a, b, c, x, a, b, c, x, a, b = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", 300),
    "pass": ("pass", 3000),
    "conditional": ("x = i if n else n", 5000),
    "if": ("if n:\n            x = i\n        else:\n            x = n", 5000),
    "compare int": ("x = i < n", 3000),
    "compare any": ("x = any_n == i", 3000),
    "compare any !=": ("x = any_n != i", 3000),
    "compare any <": ("x = any_n < i", 3000),
    "compare any text": ("x = any_s < any_s", 3000),
    "compare text": ("x = text == any_text", 500),
    "compare text made": ("x = text == same_text", 500),
    "compare any text made": ("x = loose(text) == loose(same_text)", 500),
    "compare text const": ('x = short == "abd"', 3000),
    "compare texts short": ("x = short == text", 3000),
    "compare mixed": ("x = mixed_text == mixed_copy", 500),
    "compare any mixed": ("x = loose(mixed_text) == loose(mixed_copy)", 500),
    "compare tuple of mixed": ("x = (mixed_text,) * 300 == (mixed_copy,) * 300", 20),
    "compare tuple of texts": ("x = (any_s, short, any_s, short) == (short, short, any_s, short)", 1000),
    "compare tuple": ("x = row == same", 1000),
    "compare tuple one": ("x = (1,) == (1,)", 1000),
    "compare tuple <": ("x = row < same", 1000),
    "compare tuple long": ("x = long_tuple == other_tuple", 10),
    "compare tuple < long": ("x = long_tuple < other_tuple", 10),
    "is none": ("x = any_n is None", 3000),
    "call helper": ("x = helper(i, n)", 3000),
    "call loose": ("z = loose(i)", 3000),
    "call sixteen casts": ("z = sixteen(" + ", ".join(["any_n"] * 16) + ")", 1000),
    "call empty": ("empty()", 3000),
    "call thin": ("x = thin(i)", 3000),
    "call thin cast": ("x = thin(any_n)", 3000),
    "call eight": ("z = eight(i, i, i, i, i, i, i, i)", 3000),
    "tuple": ("z = (i, n, short)", 3000),
    "tuple of none": ("z = ()", 3000),
    "tuple index": ("z = row[3]", 3000),
    "any index": ("z = row[any_n - 4]", 3000),
    "text index": ("z = text[7]", 3000),
    "dict index": ('z = d["a"]', 3000),
    "unpack": ("a, b, c = small", 3000),
    "unpack tuple": ("a, b, c = (i, n, i)", 3000),
    "list display": ("z = [i, n, short]", 3000),
    "list display none": ("z = []", 3000),
    "dict display": ('z = {"a": i, "b": n}', 3000),
    "dict display none": ("z = {}", 3000),
    "dict display int": ("z = {n: i, any_n: n}", 3000),
    "list set": ("e[0] = i", 3000),
    "any set": ("e[any_n - 7] = i", 3000),
    "list add to": ("e[0] += n", 3000),
    "dict set": ("d[short] = i", 3000),
    "dict set int": ("d[any_n] = i", 3000),
    "dict add to": ('d["a"] += n', 3000),
    "dict del": ("d[short] = i\n        del d[short]", 3000),
    "dict get": ('z = d.get("a", 0)', 3000),
    "dict get any": ("z = loose(d).get(any_n)", 3000),
    "dict get fresh": ("z = d.get(text[1:], 0)", 500),
    "dict pop": ('z = d.pop("zz", 0)', 3000),
    "dict in": ('x = "a" in d', 3000),
    "dict in any": ("x = any_n in d", 3000),
    "dict in orbit": ("x = 10115302 in orbit", 50),
    "dict get orbit": ("z = orbit.get(316702910, 0)", 50),
    "dict set orbit": ("orbit[10115302] = 1\n        del orbit[10115302]", 50),
    "dict display long": ("z = {" + ", ".join(f"{k}: n" for k in range(400)) + "}", 20),
    "dict keys": ("z = d.keys()", 3000),
    "dict keys long": ("z = full.keys()", 50),
    "dict values": ("z = full.values()", 50),
    "dict items": ("z = d.items()", 3000),
    "dict items long": ("z = full.items()", 50),
    "dict list": ("z = list(full)", 50),
    "append": ("z = [0]\n        z.append(i)", 3000),
    "append only": ("e.append(i)", 400),
    "pop": ("e.append(1)\n        e.pop()", 3000),
    "extend": ("e.extend((1, 2))\n        e.pop()\n        e.pop()", 2000),
    "insert front": ("up.insert(0, 1)\n        up.pop(0)", 400),
    "del front": ("up.append(1)\n        del up[0]", 400),
    "pop middle": ("up.pop(100)\n        up.append(1)", 400),
    "len": ("x = len(row)", 3000),
    "len of text": ("x = len(text)", 3000),
    "abs": ("x = abs(i)", 3000),
    "abs any": ("x = abs(any_n)", 3000),
    "bool": ("x = bool(row)", 3000),
    "min of two": ("x = min(i, n)", 3000),
    "min of any": ("x = min(any_n, i, n)", 3000),
    "max of eight": ("x = max(any_n, i, n, n, n, n, n, n)", 3000),
    "max of list": ("z = max(items)", 20),
    "max of bigs": ("z = max(bigs)", 50),
    "max of rows": ("z = max(rows)", 20),
    "max of texts": ("z = max(long_texts)", 50),
    "sum short": ("x = sum(small)", 3000),
    "sum": ("x = sum(items)", 20),
    "sum of bigs": ("x = sum(bigs)", 50),
    "str of int": ("z = str(i)", 3000),
    "str of any": ("z = str(any_n)", 3000),
    "str of text": ("z = str(short)", 3000),
    "str of big": ("z = str(neg)", 2000),
    "int of str": ('x = int("123456")', 3000),
    "int of long str": ('x = int("-" + "7" * 77)', 2000),
    "int of int": ("x = int(any_n)", 3000),
    "text + short": ('z = short + "x"', 3000),
    "text + long": ('z = text + "x"', 500),
    "text + wide": ("z = wide_text + wide_text[:50]", 500),
    "text + half": ("z = text[:2000] + any_text[:2000]", 500),
    "text *": ("z = short * 1000", 500),
    "text * short": ("z = short * 2", 3000),
    "wide * nothing": ("z = mixed_text * 0", 500),
    "mixed * once": ("z = mixed_text * 1", 300),
    "text * wide": ('z = "\\u4e2d" * 1300', 500),
    "text slice": ("z = text[1:]", 1000),
    "text slice short": ("z = short[1:]", 3000),
    "wide slice": ("z = wide_text[1:]", 500),
    "find short": ('x = short.find("c")', 3000),
    "find miss": ('x = text.find("ba")', 100),
    "find one": ('x = text.find("z")', 100),
    "find hard": ('x = ("a" * 4000).find("a" * 63 + "b" + "a" * 63)', 8),
    "find half": ('x = ("a" * 4000).find("b" + "a" * 63)', 8),
    "find periodic": ('x = ("ab" * 2000).find("ab" * 20 + "b")', 8),
    "find half of it": ("x = short_text.find(half)", 8),
    "find half of a wide text": ('x = (short_text[1:] + "\\U0001f601").find(half)', 8),
    "find half of a long text": ('x = ("a" * 4096).find("a" * 2096 + "baa")', 4),
    "find two-way": ('x = ("a" * 4096).find("b" + "a" * 1000)', 8),
    "find wide": ('x = wide_text.find("\\u4e2e")', 100),
    "find long": ('x = ("a" * 4096).find("a" * 2000 + "b" + "a" * 2000)', 8),
    "text in": ('x = "zz" in text', 100),
    "text in short": ('x = "c" in short', 3000),
    "startswith": ('x = text.startswith("abc")', 3000),
    "startswith mixed": ("x = mixed_text.startswith(mixed_copy)", 500),
    "decode mixed": ("z = d.get(mixed_text.encode().decode(), 0)", 100),
    "slice mixed": ("z = d.get(mixed_text[:4000], 0)", 300),
    "join mixed": ('z = "a".join([mixed_text[:100]] + texts[:300])', 50),
    "in mixed texts": ('x = mixed_text in [mixed_copy + ""] * 1000', 10),
    "startswith long": ("x = text.startswith(same_text)", 500),
    "endswith": ('x = text.endswith("fgh")', 3000),
    "split short": ('z = short.split("b")', 3000),
    "split": ('z = text.split("h")', 30),
    "split none": ('z = text.split("zz")', 100),
    "split half of it": ("z = short_text.split(half)", 8),
    "split pairs": ('z = text.split("ab")', 30),
    "split every": ('z = ("a" * 2000).split("a")', 30),
    "split hard": ('z = ("a" * 4000).split("a" * 63 + "b" + "a" * 63)', 8),
    "join": ('z = ",".join(texts)', 50),
    "join short": ('z = ",".join([short, short])', 3000),
    "join nothing": ("z = short.join([])", 3000),
    "join wide": ('z = "\\u4e2d".join(texts[:300])', 50),
    "strip": ('z = "   abc  ".strip()', 3000),
    "strip long": ('z = (" " * 4000).strip()', 50),
    "strip many": ('z = ("x" * 4000).strip("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")', 20),
    "upper": ("z = text.upper()", 200),
    "upper short": ("z = short.upper()", 3000),
    "lower": ("z = text.lower()", 200),
    "encode": ("z = text.encode()", 500),
    "encode short": ("z = short.encode()", 3000),
    "encode wide": ("z = wide_text.encode()", 300),
    "decode": ("z = data.decode()", 500),
    "decode short": ('z = b"abc".decode()', 3000),
    "decode wide": ("z = wide_text.encode().decode()", 200),
    "hex": ("z = data[:2000].hex()", 300),
    "hex short": ('z = b"abc".hex()', 3000),
    "hash short": ('z = hash(b"abc")', 2000),
    "hash long": ("z = hash(data)", 200),
    "verify": ('z = verify_signature(KEY, b"message", SIGNATURE)', 8),
    "verify long": ("z = verify_signature(KEY, data, SIGNATURE)", 8),
    "verify nonsense": ('z = verify_signature(b"", b"", b"")', 500),
    "list slice": ("z = items[1:]", 50),
    "list slice short": ("z = small[1:]", 3000),
    "slice of nothing": ("z = items[1:2]", 50),
    "list +": ("z = small + small", 3000),
    "list + long": ("z = items + small", 50),
    "list +=": ("e += (1, 2)\n        e.pop()\n        e.pop()", 2000),
    "tuple + long": ("z = long_tuple + (1,)", 50),
    "list *": ("z = small * 1000", 50),
    "list * short": ("z = small * 2", 3000),
    "comprehension": ("z = [q for q in small]", 2000),
    "comprehension none": ("z = [q for q in []]", 2000),
    "comprehension long": ("z = [q for q in items]", 10),
    "comprehension filter": ("z = [q for q in items if q == 5]", 10),
    "comprehension range": ("z = [q for q in range(1000)]", 10),
    "comprehension filter any": ("z = [q for q in range(1000) if any_n == 5]", 10),
    "comprehension nested": ("z = [[p for p in small] for q in range(100)]", 10),
    "comprehension pairs": ("z = [p for p, q in enumerate(items)]", 10),
    "comprehension tuples": ("z = [(q, q) for q in items]", 10),
    "comprehension lists": ("z = [[] for q in items]", 10),
    "in list": ("x = 5000 in items", 10),
    "in list found": ("x = 4999 in items", 10),
    "in list mixed": ('x = "b" in [1, 2, 3, 4, 5, 6, 7, "a"]', 1000),
    "in long mixed": ('x = "b" in ["a", 2] * 1000', 10),
    "in short list": ("x = 1 in small", 3000),
    "in texts": ('x = "q" in texts', 50),
    "in alike texts": ('x = "x" * 40 in long_texts', 50),
    "in made texts": ("x = text in [same_text[1:]] * 1000", 10),
    "in rows of texts": ("x = (text, text, 1) in [(same_text, same_text, 2)] * 500", 10),
    "in rows": ('x = (1, 2, "x") in rows', 10),
    "in long tuple": ("x = 5 in long_tuple", 10),
    "sorted": ("z = sorted(items)", 5),
    "sorted sorted": ("z = sorted(up)", 5),
    "sorted short": ("z = sorted(small)", 2000),
    "sorted rows": ("z = sorted(rows)", 5),
    "sorted alike rows": ("z = sorted(same_rows)", 5),
    "sorted texts": ("z = sorted(long_texts)", 5),
    "sorted made texts": ("z = sorted([same_text[:4000] + str(q) for q in range(60)])", 5),
    "sorted rows of texts": ("z = sorted([(same_text[:4000] + str(q), q) for q in range(60)])", 5),
    "max of made texts": ("z = max([text, same_text] * 300)", 10),
    "compare tuples of texts": ("x = (text,) * 300 == (same_text,) * 300", 20),
    "sorted bigs": ("z = sorted(bigs)", 5),
    "sorted two rows": ("z = sorted([(n, short), (i, any_s)])", 2000),
    "max of two rows": ("z = max((n, short), (i, any_s))", 2000),
    "max of two texts": ("z = max(short, any_s)", 2000),
    "list of nothing": ("z = list()", 3000),
    "list of no tuple": ("z = list(())", 3000),
    "tuple of nothing": ("z = tuple(())", 3000),
    "slice of large bounds": ("z = small[-huge:huge]", 1000),
    "tuple of list": ("z = tuple(items)", 50),
    "list of tuple": ("z = list(row)", 2000),
    "loop over list": ("for q in items:\n            pass", 10),
    "loop over dict": ("for q in d:\n            pass", 1000),
    "loop over long dict": ("for q in full:\n            pass", 10),
    "loop over one": ("for q in row[:1]:\n            pass", 1000),
    "loop over nothing": ("for q in range(0):\n            pass", 2000),
    "loop over large range": ("for q in range(huge - 1000, huge):\n            pass", 10),
    "loop unpack wide": ("for a, b, c, x in [wide_text[:4]] * 300:\n            pass", 10),
    "comprehension large range": ("z = [q for q in range(huge - 1000, huge)]", 10),
    "loop over range": ("for q in range(1000):\n            pass", 10),
    "loop enumerate": ("for p, q in enumerate(items):\n            pass", 10),
    "while": ("q = 0\n        while q < 100:\n            q = q + 1", 30),
    "break": ("for q in items:\n            break", 2000),
    "muldiv": ('x = muldiv(i, 7, 3, "half_up")', 1000),
    "muldiv big": ('x = muldiv(huge - 9, huge - 9, huge - 7, "half_even")', 1000),
    "fixed_exp": ('x = fixed_exp(0 - 7 - i, 3, 10 ** 18, "half_up")', 10),
    "fixed_exp worst": ('x = fixed_exp(0 - 7 - i, 3, 2 ** 250, "half_up")', 10),
    "fixed_exp far": ('x = fixed_exp(0 - 399, 1, 2 ** 256, "half_up")', 10),
    "fixed_exp high": ('x = fixed_exp(170 * 10 ** 60 + i, 10 ** 60, 1, "half_up")', 10),
    "fixed_pow": ('x = fixed_pow(1015, 1000, i + 1, 7, 10 ** 6, "half_up")', 10),
    "fixed_pow worst": ('x = fixed_pow(4, 1, 1, 2, 2 ** 250, "half_up")', 10),
    "fixed_exp near": ('x = fixed_exp(1, 2 ** 250, 10 ** 18, "floor")', 10),
    "fixed_exp nearest": ('x = fixed_exp(1, 2 ** 256, 2 ** 100, "floor")', 10),
    "fixed_pow near": ('x = fixed_pow(2 ** 64 - 1, 2 ** 64 - 2, 1, 2 ** 200, 2 ** 100, "floor")', 10),
    "fixed_pow exact": ('x = fixed_pow(2 ** 64 - 1, 2 ** 64 - 2, 4, 2, 2 ** 250, "floor")', 10),
    "fixed_pow fine": ('x = fixed_pow(2 ** 64 - 1, 2 ** 64 - 3, 2 ** 250, 2 ** 249 - 1, 2 ** 250, "half_up")', 10),
    "fixed_pow half": ('x = fixed_pow(9, 4, 1, 2, 10 ** 70 + 1, "half_even")', 10),
    "call self": ('x = call("bench", "ping", i)', 500),
    "call quiet": ('call("bench", "quiet")', 500),
    "call view": ('x = call("bench", "look", i)', 500),
    "call with row": ('z = call("bench", "rest", row)', 500),
    "call with deep": ('z = call("bench", "rest", deep)', 500),
    "call with long": ('z = call("bench", "rest", long_tuple)', 30),
    "call with text": ('z = call("bench", "echo", text)', 300),
    "call other": ('x = call("other", "ping", i)', 500),
    "try_call": ('z = try_call("bench", "ping", i)', 500),
    "try_call wrong": ('z = try_call("bench", "ping", short)', 500),
    "try_call abort": ('z = try_call("bench", "fail")', 500),
    "try_call nobody": ('z = try_call("nobody", "fail")', 500),
    "ctx": ("z = ctx.sender", 3000),
    "require": ('require(n, "no")', 3000),
    "require any": ('require(any_n < 100, "no")', 3000),
}

# These run as a block of a node: a state over LevelDB with cold caches, and the block closed at the end (salts, tree, receipts, write to the disk's cache).
STORING: Final[dict[str, tuple[str, int]]] = {
    "read int": ("x = m[7]", 2000),
    "get int": ("x = m.get(7, 0)", 2000),
    "get missing": ("x = m.get(i + 100000, 0)", 600),
    "get cold": ("x = old.get(i % 20000, 0)", 600),
    "read cold row": ('z = rows_of["r", i % 4000]', 600),
    "read cold long row": ('z = rows_of["long", i % 60]', 60),
    "read cold big row": ('z = rows_of["big", i % 20]', 20),
    "read cold short big row": ('z = rows_of["bigs", i % 2000]', 1000),
    "write big row": ('t["long", i + 2] = tuple([big + q for q in range(1000)])', 30),
    "write short big row": ('t["long", i + 2] = (big, big, big, big, big, big, big, big)', 600),
    "emit wide big": ('emit("E", ' + ", ".join(f"a{k}=big" for k in range(30)) + ")", 300),
    "read cold text": ("z = texts_of[i % 200]", 200),
    "has": ("x = 7 in m", 2000),
    "has missing": ("x = i + 200000 in m", 600),
    "read row": ('z = t["a", 7]', 2000),
    "read deep row": ('z = t["deep", 1]', 2000),
    "read long row": ('z = t["long", 1]', 50),
    "read text": ('z = w["x"]', 2000),
    "read wide key": ('z = wide.get((short, i, b"x", True, i), 0)', 600),
    "read long key": ("z = w.get(key * 4 + str(i), short)", 600),
    "write int": ("m[7] = i", 1000),
    "write new": ("m[i + 1000000] = i", 600),
    "write cold": ("old[i % 20000] = i", 600),
    "write big": ("m[i + 1000000] = big", 600),
    "write row": ('t["a", i + 100] = row', 600),
    "write deep row": ('t["b", i + 100] = deep', 600),
    "write long row": ('t["long", i + 2] = long_tuple', 30),
    "write text": ('w["x" + str(i)] = text', 400),
    "write wide text": ('w["x" + str(i)] = wide_text', 400),
    "write key": ("w[key * 4 + str(i)] = short", 400),
    "write wide key": ('wide[short, i, b"x", True, i] = i', 400),
    "delete": ("m[i + 1000] = 1\n        del m[i + 1000]", 600),
    "delete cold": ("del old[i % 20000]", 600),
    "var": ("v.set(v.get() + 1)", 1000),
    "var of a row": ("z = tv.get()", 2000),
    "next": ("z = m.next(7)", 1500),
    "next row": ('z = t.next("a", 7)', 1500),
    "next walk": ("z = old.next(i)", 1000),
    "next of new": ("m[i + 1000000] = 1\n        z = rows_of.next(str(i), None)", 400),
    "next elsewhere": ("z = rows_of.next(str(i), None)", 400),
    "prev elsewhere": ("z = rows_of.prev(str(i), None)", 400),
    "emit": ('emit("E", a=i, b=short)', 900),
    "emit bare": ('emit("E")', 900),
    "emit wide": ('emit("E", ' + ", ".join(f"a{k}=i" for k in range(30)) + ")", 900),
    "emit to": ('emit("E", to="someone", a=i, b=short)', 900),
    "emit to many": ('emit("E", to="someone" + str(i), a=i, b=short)', 900),
    "emit text": ('emit("E", a=text)', 300),
    "emit big": ('emit("E", a=big)', 900),
    "schedule": ('schedule(5, "ping", (i,))', 60),
    "schedule row": ('schedule(5 + i, "rest", (row,))', 60),
}
