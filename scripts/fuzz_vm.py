"""Generated contracts through checker and machine, in two processes that must agree. `python scripts/fuzz_vm.py --minutes 60 --seed 1`

Each seed gives a batch of contracts: most by a grammar of the dialect, a third beside it. Two processes with other hash seeds and locales (one treats
warnings as errors) run each batch, with

- the same calls on two contracts that call one another: outcome, gas, events, jobs and state go into one digest a batch
- the same source compiled without any inferred types: every guard is then the slow one, and status, code, result and state must be the same
- every gas limit from 0 to the full cost: a run that stops says how much it lacked at that place, so all limits up to there stop there; the state must
  stay untouched, and the full limit must give what ample gas gave

Whatever differs, or ends as anything but an outcome, is printed with its program and ends the run with status 1.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from carbonnode.chain.transaction import Call  # noqa: E402
from carbonnode.chain.values import Value  # noqa: E402
from carbonnode.vm import rewriter  # noqa: E402
from carbonnode.vm.contract import Contract, ContractRefused, compile_contract  # noqa: E402
from carbonnode.vm.gas import SCHEDULES  # noqa: E402
from carbonnode.vm.inference import Inference  # noqa: E402
from carbonnode.vm.machine import Machine  # noqa: E402
from carbonnode.vm.memory_state import MemoryState  # noqa: E402
from carbonnode.vm.outcome import Outcome, Status  # noqa: E402
from carbonnode.vm.program import Type  # noqa: E402
from carbonnode.vm.state import Environment  # noqa: E402
from scripts.fuzz_author import Author  # noqa: E402

GAS = 400_000
BATCH = 50
MAX_STOPS = 250
SENDER = bytes(range(32))
CALLS: tuple[tuple[str, str, tuple[Value, ...]], ...] = (
    ("a", "go", ()),
    ("a", "number", (5,)),
    ("b", "go", ()),
    ("a", "look", (1, "x", (2, "y", (3, None)))),
    ("a", "number", ("wrong",)),
    ("a", "look", (1 << 256, "\u4e2d", (b"", True))),
)


class Finding(Exception):
    """Something that must not be; the text says what."""


class Untyped(Inference):
    """An inference that knows nothing."""

    def of(self, node: Any) -> Type:  # noqa: ARG002  # that is the point
        """Always `ANY`."""
        return Type.ANY


class Runner:
    """Runs programs and folds what became of them into one digest a batch."""

    def __init__(self) -> None:
        self.machine = Machine(SCHEDULES[max(SCHEDULES)])
        self.slow = Machine(SCHEDULES[max(SCHEDULES)])
        self.endings: Counter[str] = Counter()
        self.stops = 0

    def batch(self, seed: int) -> str:
        """The digest of a seed's batch. Raises `Finding` with the program."""
        author, digest = Author(seed), hashlib.sha256()
        for number in range(BATCH):
            sources = [author.contract(hostile=author.random.random() < 0.35), author.contract(hostile=False)]
            try:
                digest.update(repr(self.pair(sources)).encode("utf-8", "surrogatepass"))
            except Exception as problem:
                shown = "\n# ---- b\n".join(source.decode("utf-8", "replace") for source in sources)
                raise Finding(f"seed {seed}, program {number}: {type(problem).__name__}: {problem}\n{shown}") from problem
        return digest.hexdigest()

    def pair(self, sources: list[bytes]) -> list[object]:
        """What becomes of two contracts."""
        contracts: dict[str, Contract] = {}
        for name, source in zip(("a", "b"), sources, strict=True):
            try:
                contracts[name] = compile_contract(name, source)
            except ContractRefused as refusal:
                self.endings[f"REJECT {refusal.errors[0].rule}"] += 1
                if refusal.errors[0].rule == "compile":
                    raise Finding("the checker accepts what doesn't compile") from None
                return [name, [(error.line, error.column, error.rule) for error in refusal.errors]]
        untyped = {name: without_types(contract) for name, contract in contracts.items()}
        state, slow_state = MemoryState(), MemoryState()
        found: list[object] = []
        for contract, method, args in CALLS:
            before = dict(state.data)
            outcome = self.run(self.machine, contracts, state, contract, method, args, GAS)
            self.endings[f"{outcome.status.name} {outcome.code}"] += 1
            found.append((repr(outcome), sorted(state.data.items())))
            if not outcome.ok and state.data != before:
                raise Finding("a failed call changed the state")
            slowly = self.run(self.slow, untyped, slow_state, contract, method, args, 4 * GAS)
            self.compare(outcome, state, slowly, slow_state)
            slow_state = MemoryState(state.data)
            if outcome.ok:
                self.sweep(contracts, before, contract, method, args, outcome)
        return found

    @staticmethod
    def compare(outcome: Outcome, state: MemoryState, slowly: Outcome, slow_state: MemoryState) -> None:
        """Both compilations must have come to the same, unless gas ended one."""
        if Status.OUT_OF_GAS in (outcome.status, slowly.status) or "vm.out-of-gas" in (outcome.code, slowly.code):
            return
        one = (outcome.status, outcome.code, repr(outcome.values), outcome.events, outcome.scheduled, state.data)
        other = (slowly.status, slowly.code, repr(slowly.values), slowly.events, slowly.scheduled, slow_state.data)
        if one != other:
            raise Finding(f"inferred types change what happens:\n{one}\n{other}\n{outcome.where} {slowly.where}")

    def sweep(self, contracts: dict[str, Contract], before: dict[bytes, Value], contract: str, method: str, args: tuple[Value, ...], full: Outcome) -> None:
        """Stop at every place where gas can end."""
        limit = stops = 0
        while limit < full.gas_used:
            state = MemoryState(before)
            outcome = self.run(self.machine, contracts, state, contract, method, args, limit)
            if outcome.status is not Status.OUT_OF_GAS or outcome.gas_used != limit or outcome.events or outcome.scheduled or outcome.values:
                raise Finding(f"gas limit {limit} of {full.gas_used} ended as {outcome}")
            if state.data != before:
                raise Finding(f"gas limit {limit} of {full.gas_used} changed the state")
            lacked = -self.machine.gas_left
            if lacked <= 0:
                raise Finding(f"gas limit {limit} stopped with {-lacked} left")
            stops += 1
            # Beyond a few hundred places only some are tried.
            limit += lacked if stops < MAX_STOPS else max(lacked, (full.gas_used - limit) // 20)
        self.stops += stops
        state = MemoryState(before)
        outcome = self.run(self.machine, contracts, state, contract, method, args, full.gas_used)
        if (outcome.status, outcome.gas_used, repr(outcome.values)) != (full.status, full.gas_used, repr(full.values)):
            raise Finding(f"the full limit {full.gas_used} ended as {outcome}, ample gas as {full}")

    @staticmethod
    def run(machine: Machine, contracts: dict[str, Contract], state: MemoryState, contract: str, method: str, args: tuple[Value, ...], gas: int) -> Outcome:
        """One transaction."""
        env = Environment(time_ms=1_700_000_000_000, height=7, chain_id=b"\x07" * 32, resolve=contracts.get)
        if method == "look":
            return machine.view(state, env, contract, method, args, gas, sender=SENDER)
        return machine.execute(state, env, SENDER, (Call(contract, method, args),), gas)


def without_types(contract: Contract) -> Contract:
    """The same contract, compiled as if nothing were known of its types."""
    made = Contract(contract.name, contract.source, contract.program)
    with mock.patch.object(rewriter, "Inference", Untyped):
        for schedule in SCHEDULES.values():
            made.code(schedule)
    return made


def work() -> None:
    """The worker: a seed a line on its input, a JSON line about its batch on its output."""
    for line in sys.stdin:
        runner = Runner()
        try:
            digest = runner.batch(int(line))
            print(json.dumps({"digest": digest, "endings": runner.endings, "stops": runner.stops}), flush=True)
        except Finding as finding:
            print(json.dumps({"finding": str(finding)}), flush=True)


class Worker:
    """A worker process with a hash seed, locale and flags of its own."""

    def __init__(self, python: str, hash_seed: str, locale: str, *flags: str) -> None:
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "LC_ALL": locale}
        self.name = f"{python} {' '.join(flags)} PYTHONHASHSEED={hash_seed} LC_ALL={locale}"
        self.process = subprocess.Popen(
            [python, *flags, __file__, "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT, encoding="utf-8"
        )

    def ask(self, seed: int) -> None:
        """Hand it a seed."""
        assert self.process.stdin is not None
        print(seed, file=self.process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """What became of the batch."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the worker {self.name} ended: status {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        """Let it finish."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main() -> int:
    """Run, and print how programs ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="go on for so long")
    parser.add_argument("--batches", type=int, default=1, help="at least so many batches of 50 pairs")
    parser.add_argument("--python", default=sys.executable, help="the second process's interpreter, to compare versions")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work()
        return 0
    workers = [Worker(sys.executable, "1", "C"), Worker(options.python, "4711", "tr_TR.UTF-8", "-W", "error")]
    endings: Counter[str] = Counter()
    seed, batches, stops, start, findings = options.seed, 0, 0, time.monotonic(), 0
    while batches < options.batches or time.monotonic() < start + 60 * options.minutes:
        for worker in workers:
            worker.ask(seed)
        answers = [worker.answer() for worker in workers]
        problems = [f"{worker.name}: {answer['finding']}" for worker, answer in zip(workers, answers, strict=True) if "finding" in answer]
        if not problems and answers[0]["digest"] != answers[1]["digest"]:
            problems = [f"seed {seed}: {workers[0].name} and {workers[1].name} differ: {answers[0]} {answers[1]}"]
        for problem in problems[:1]:
            findings += 1
            print(f"FINDING {findings}\n{problem}", flush=True)
        if not problems:
            endings.update(answers[0]["endings"])
            stops += answers[0]["stops"]
        seed, batches = seed + 1, batches + 1
        if batches % 100 == 0:
            print(f"{time.monotonic() - start:7.0f} s  {batches * BATCH} pairs of contracts, {stops} gas limits, {findings} findings", flush=True)
    for worker in workers:
        worker.end()
    for ending, count in endings.most_common():
        print(f"{count:9} {ending}")
    minutes = (time.monotonic() - start) / 60
    print(f"{batches * BATCH} pairs of contracts (seeds {options.seed} to {seed - 1}) in {minutes:.1f} minutes, {stops} gas limits tried, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
