"""Generated contracts, half of them broken, through checker and machine: `python scripts/fuzz_vm.py --seed 1 --programs 10000`

Prints one digest over every verdict, outcome, event and state. One seed gives one digest: run it under other hash seeds
(`PYTHONHASHSEED`), other versions of Python, with `-W error -bb`, and compare. Each program that succeeds runs again under smaller gas limits: the
state must stay untouched. Anything that isn't an outcome stops the run and prints the program.
"""

import argparse
import hashlib
import random
import time
from collections import Counter

from carbonnode.chain.transaction import Call
from carbonnode.vm.contract import ContractRefused, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Environment

GAS = 300_000
TOP = "m = Map(int, int)\nw = Map(str, tuple)\nv = Var(int)\nC = (1, 'c')\ndef f(a):\n    return a\n@export\ndef go() -> int:\n"
START = "    x = 1\n    y = f(2)\n    l = [1, 2]\n    n = 5\n    d = {'k': 1}\n    t = (1, 2)\n    s = 'text'\n    b = b'bytes'\n"
TOKENS = [
    "m", "v", "w", "f", "go", "x", "y", "n", "l", "d", "0", "1", "2", "7", "256", "10**9", "'a'", "b'b'", "''", "True", "None", "(", ")", "[", "]",
    "{", "}", ",", ":", ".", "=", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "//", "%", "**", "<<", ">>", "&", "|", "^", "~", "not", "and",
    "or", "in", "is", "if", "else", "for", "while", "return", "break", "continue", "pass", "del", "def", "len", "range", "min", "max", "sum",
    "sorted", "str", "int", "bool", "abs", "hash", "enumerate", "list", "tuple", "append", "pop", "get", "keys", "items", "join", "split", "strip",
    "encode", "decode", "hex", "find", "ctx", "sender", "self", "time", "call", "try_call", "emit", "require", "abort", "schedule", "muldiv",
    "'floor'", "next", "prev", "set", "+=", "-=", "*=", "lambda", "class", "try", "import", "yield", "_a", "f'{x}'", "1.5", "/", ":=", ";", "@", "->",
    "*", "**", "async", "\\", "\n",
]
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


class Author:
    """Writes programs from one seeded source."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def expression(self, depth: int) -> str:
        """A dialect expression; its types needn't fit."""
        choose = self.random
        if depth == 0 or choose.random() < 0.3:
            return choose.choice(ATOMS)
        if choose.random() < 0.5:
            return f"({self.expression(depth - 1)} {choose.choice(BINARY)} {self.expression(depth - 1)})"
        return choose.choice(CALLS).format(*[self.expression(depth - 1) for _ in range(3)])

    def program(self) -> bytes:
        """A program of the dialect, or one beside it."""
        choose = self.random
        lines = [choose.choice(STATEMENTS).format(*[self.expression(2) for _ in range(3)]) for _ in range(choose.randint(1, 6))]
        if choose.random() < 0.2:
            lines.append("x = " + " ".join(choose.choice(TOKENS) for _ in range(choose.randint(1, 12))))
        return (TOP + START + "".join(f"    {line}\n" for line in lines) + "    return 1\n").encode()


class Runner:
    """Runs programs and folds what became of them into one digest."""

    def __init__(self, author: Author) -> None:
        self.author = author
        self.machine = Machine(SCHEDULES[1])
        self.digest = hashlib.sha256()
        self.endings: Counter[str] = Counter()

    def one(self, source: bytes) -> None:
        """One program."""
        try:
            contract = compile_contract("a", source)
        except ContractRefused as refusal:
            self.note(f"REJECT {refusal.errors[0].rule}", refusal.errors[0].rule)
            return
        env = Environment(time_ms=5, height=1, chain_id=b"", resolve={"a": contract}.get)
        state = MemoryState()
        outcome = self.run(state, env, GAS)
        self.note(f"{outcome.status.name} {outcome.code}", repr((outcome, sorted(state.data.items()))))
        if not outcome.ok and state.data:
            raise SystemExit("a failed call changed the state")
        if outcome.ok:
            for _ in range(3):
                limit = self.author.random.randrange(outcome.gas_used)
                state = MemoryState()
                if self.run(state, env, limit).ok or state.data:
                    raise SystemExit(f"gas limit {limit} left something behind")

    def run(self, state: MemoryState, env: Environment, gas: int) -> Outcome:
        """One run."""
        return self.machine.execute(state, env, bytes(32), (Call("a", "go", ()),), gas)

    def note(self, ending: str, all_of_it: str) -> None:
        """Count an ending, and fold it in."""
        self.endings[ending] += 1
        self.digest.update(all_of_it.encode("utf-8", "surrogatepass"))


def main() -> None:
    """Run, and print the digest and how programs ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--programs", type=int, default=5_000)
    parser.add_argument("--minutes", type=int, default=0, help="go on for so long instead, with seeds that follow; the digest then depends on the machine")
    options = parser.parse_args()
    seed, end, ran = options.seed, time.monotonic() + 60 * options.minutes, 0
    while True:
        runner = Runner(Author(seed))
        for _ in range(options.programs):
            source = runner.author.program()
            try:
                runner.one(source)
            except BaseException:
                print(source.decode("latin-1"))
                raise
        ran += options.programs
        print(f"seed {seed}: {runner.digest.hexdigest()}")
        seed += 1
        if time.monotonic() >= end:
            break
    for ending, count in runner.endings.most_common():
        print(f"{count:7} {ending}")
    print(f"{ran} programs")


if __name__ == "__main__":
    main()
