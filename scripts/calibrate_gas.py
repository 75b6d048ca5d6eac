"""Nanoseconds per gas of every kind of operation, each in a loop of its own. `python scripts/calibrate_gas.py`

The schedule is sound when no operation is much cheaper in gas than in time: the worst may cost at most 3 times the median of ns per gas.
"""

import argparse
import statistics
import sys
import time

from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Call
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Environment

HEAD = """
m = Map(int, int)
t = Map(str, int, tuple)
w = Map(str, str)
v = Var(int)
def helper(a: int, b: int) -> int:
    return a + b
def loose(a):
    return a
@export
def ping(a: int) -> int:
    return a
@export
def go() -> int:
    n = 3
    big = 2 ** 200
    any_n = loose((7, "x"))[0]
    any_s = loose((7, "x"))[1]
    text = "abcdefgh" * 500
    short = "abc"
    data = text.encode()
    small = [3, 1, 2]
    items = [i * 7919 % 4096 for i in range(4000)]
    texts = ["abcdefgh" for i in range(400)]
    row = ("org", "name", 5, 6, 7, 8, b"xyz")
    rows = [(i * 7919 % 4096, 5, "x") for i in range(1000)]
    d = {"a": 1}
    key = "k" * 100
    long_row = (1,) * 4000
    for j in range(50):
        m[j] = j
        t["a", j] = row
    w["x"] = text
    t["long", 1] = long_row
    x = 0
    z = 0
    e = [0]
    for i in range(COUNT):
        BODY
    return 1
"""

OPERATIONS = {
    "empty turn": ("pass", 20000),
    "int +": ("x = i + n", 20000),
    "int *": ("x = i * n", 20000),
    "int //": ("x = i // n", 20000),
    "int * big": ("x = big * i // big", 20000),
    "int **": ("x = n ** 3", 20000),
    "int <<": ("x = i << 3", 20000),
    "any +": ("z = any_n + i", 20000),
    "any -": ("z = any_n - i", 20000),
    "compare int": ("x = i if i < n else n", 20000),
    "compare any": ("if any_n == i:\n            x = 1", 20000),
    "compare any <": ("if any_n < i:\n            x = 1", 20000),
    "compare tuple": ("if row == row:\n            x = 1", 10000),
    "call helper": ("x = helper(i, n)", 20000),
    "tuple": ("z = (i, n, short)", 20000),
    "tuple index": ("z = row[3]", 20000),
    "unpack": ("a, b, c = rows[0]", 20000),
    "list display": ("z = [i, n, short]", 20000),
    "dict display": ('z = {"a": i, "b": n}', 20000),
    "list set": ("e[0] = i", 20000),
    "dict set": ("d[short] = i", 20000),
    "dict get": ('z = d.get("a", 0)', 20000),
    "dict in": ('if "a" in d:\n            x = 1', 20000),
    "append": ("e = [0]\n        e.append(i)", 20000),
    "pop": ("e.append(1)\n        e.pop()", 20000),
    "insert front": ("items.insert(0, 1)\n        items.pop(0)", 3000),
    "len": ("x = len(row)", 20000),
    "min of two": ("x = min(i, n)", 20000),
    "str of int": ("z = str(i)", 20000),
    "str of big": ("z = str(big)", 10000),
    "int of str": ('x = int("123456")', 20000),
    "text + short": ('z = short + "x"', 20000),
    "text + long": ("z = text + short", 3000),
    "text *": ("z = short * 1000", 3000),
    "text slice": ("z = text[1:]", 3000),
    "text ==": ("if text == any_s:\n            x = 1", 20000),
    "find miss": ('x = text.find("ba")', 1000),
    "find hard": ('x = ("a" * 4000).find("a" * 63 + "b" + "a" * 63)', 50),
    "text in": ('if "zz" in text:\n            x = 1', 1000),
    "split": ('z = text.split("h")', 300),
    "join": ('z = ",".join(texts)', 300),
    "strip": ('z = "   abc  ".strip()', 10000),
    "upper": ("z = text.upper()", 3000),
    "encode": ("z = text.encode()", 3000),
    "decode": ("z = data.decode()", 3000),
    "hex": ("z = data[:2000].hex()", 3000),
    "hash short": ('z = hash(b"abc")', 10000),
    "hash long": ("z = hash(data)", 1000),
    "verify": ('z = verify_signature(KEY, b"message", SIGNATURE)', 100),
    "list slice": ("z = items[1:]", 1000),
    "list +": ("z = small + small", 10000),
    "list + long": ("z = items + small", 1000),
    "list *": ("z = small * 1000", 1000),
    "comprehension": ("z = [q for q in small]", 10000),
    "comprehension long": ("z = [q for q in items]", 100),
    "in list": ("if 5000 in items:\n            x = 1", 100),
    "in texts": ('if "q" in texts:\n            x = 1', 1000),
    "sum": ("x = sum(items)", 100),
    "max of list": ("z = max(items)", 100),
    "sorted": ("z = sorted(items)", 50),
    "sorted rows": ("z = sorted(rows)", 50),
    "tuple of list": ("z = tuple(items)", 500),
    "loop over list": ("for q in items:\n            pass", 100),
    "loop over dict": ("for q in d:\n            pass", 5000),
    "muldiv": ('x = muldiv(i, 7, 3, "half_up")', 10000),
    "fixed_exp": ('x = fixed_exp(0 - 7 - i, 3, 10 ** 18, "half_up")', 100),
    "fixed_exp worst": ('x = fixed_exp(0 - 7 - i, 3, 2 ** 250, "half_up")', 100),
    "fixed_pow": ('x = fixed_pow(1015, 1000, i + 1, 7, 10 ** 6, "half_up")', 100),
    "fixed_pow worst": ('x = fixed_pow(4, 1, 1, 2, 2 ** 250, "half_up")', 100),
    "read int": ("x = m[7]", 10000),
    "get int": ("x = m.get(7, 0)", 10000),
    "get missing": ("x = m.get(i + 100, 0)", 3000),
    "has": ("if 7 in m:\n            x = 1", 10000),
    "read row": ('z = t["a", 7]', 10000),
    "read long row": ('z = t["long", 1]', 1000),
    "read text": ('z = w["x"]', 1000),
    "write int": ("m[7] = i", 10000),
    "write new": ("m[i + 1000] = i", 3000),
    "write row": ('t["a", 7] = row', 10000),
    "write long row": ('t["long", 1] = long_row', 100),
    "write text": ('w["x"] = text', 1000),
    "write key": ("w[key + str(i)] = short", 3000),
    "delete": ("m[7] = 1\n        del m[7]", 5000),
    "var": ("v.set(v.get() + 1)", 10000),
    "next": ("z = m.next(7)", 5000),
    "next row": ('z = t.next("a", 7)', 5000),
    "emit": ('emit("E", to="someone", a=i, b=short)', 1000),
    "call self": ('x = call("bench", "ping", i)', 5000),
    "try_call": ('z = try_call("bench", "ping", short)', 2000),
    "ctx": ("z = ctx.sender", 20000),
    "schedule": ('schedule(5, "ping", (i,))', 60),
}


class Meter:
    """Runs one body in a loop, and tells its time and gas without those of the set-up."""

    def __init__(self) -> None:
        self.machine = Machine(SCHEDULES[1])

    def run(self, body: str, count: int) -> tuple[float, int]:
        """Seconds and gas of `count` turns."""
        signer = KeySigner(bytes(32))
        body = body.replace("KEY", _literal(signer.public_key)).replace("SIGNATURE", _literal(signer.sign(b"message")))
        contract = compile_contract("bench", HEAD.replace("BODY", body).replace("COUNT", str(count)).encode())
        env = Environment(time_ms=0, height=1, chain_id=bytes(32), resolve={"bench": contract}.get)
        found = float("inf")
        outcome = Outcome(0, "", 0)  # type: ignore[arg-type]  # replaced in the loop
        for _ in range(4):
            state = MemoryState()
            start = time.perf_counter()
            outcome = self.machine.execute(state, env, bytes(32), (Call("bench", "go", ()),), 1_000_000_000)
            found = min(found, time.perf_counter() - start)
        if not outcome.ok:
            raise SystemExit(f"{body!r} ended as {outcome.code} at {outcome.where}")
        return found, outcome.gas_used

    def nanoseconds_per_gas(self, body: str, count: int) -> float:
        """The cost of a turn, loop included, as two runs differ."""
        few, few_gas = self.run(body, 1)
        many, many_gas = self.run(body, count + 1)
        return (many - few) / (many_gas - few_gas) * 1e9


def _literal(data: bytes) -> str:
    return 'b"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


def main() -> None:
    """Print the table; fail when the spread is too wide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spread", type=float, default=3.0, help="the worst may be this many times the median")
    options = parser.parse_args()
    meter = Meter()
    found = {name: meter.nanoseconds_per_gas(body, count) for name, (body, count) in OPERATIONS.items()}
    median = statistics.median(found.values())
    for name, cost in sorted(found.items(), key=lambda entry: -entry[1]):
        print(f"{name:20} {cost:8.1f} ns/gas {cost / median:6.2f}")
    worst = max(found.values()) / median
    print(f"median {median:.1f} ns/gas, worst {worst:.2f} times the median")
    if worst > options.spread:
        sys.exit(1)


if __name__ == "__main__":
    main()
