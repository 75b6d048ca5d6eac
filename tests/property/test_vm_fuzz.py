"""The fuzzer finds nothing in a small run, and finds what is planted. `make fuzz MINUTES=60` is the long one."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from carbonnode.vm import rewrite_expressions, rewriter, runtime
from carbonnode.vm.memory_state import MemoryState
from scripts.fuzz_vm import Finding, Runner

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_agree_on_a_batch() -> None:
    command = [sys.executable, "scripts/fuzz_vm.py", "--seed", "42", "--batches", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 findings" in done.stdout


def no_inline_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Integers of known type are no longer held within the limits."""

    def anything(value: ast.expr) -> ast.Compare:
        return ast.Compare(left=value, ops=[ast.Eq()], comparators=[value])

    monkeypatch.setattr(rewrite_expressions, "within_limits", anything)
    monkeypatch.setattr(rewriter, "within_limits", lambda value: ast.Compare(left=value, ops=[ast.Eq()], comparators=[value]))


def no_rollback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a failed run wrote stays."""
    monkeypatch.setattr(MemoryState, "rollback", lambda _self, _mark: None)


def failed_calls_give_gas_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed `try_call` forgets what it cost."""
    plain = runtime.Runtime.try_call

    def generous(self: runtime.Runtime, name: object, method: object, *args: object) -> tuple[bool, object]:
        before = self.gas.cell_contents
        found = plain(self, name, method, *args)
        if not found[0]:
            self.gas.cell_contents = before
        return found

    monkeypatch.setattr(runtime.Runtime, "try_call", generous)


def search(seeds: int) -> None:
    runner = Runner()
    for seed in range(1, 1 + seeds):
        runner.batch(seed)


@pytest.mark.parametrize("plant", [no_rollback, failed_calls_give_gas_back], ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Finding):
        search(seeds=20)


def test_a_guard_that_is_missing_in_line_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    source = b"@export\ndef go() -> int:\n    x = 2 ** 256\n    x += 1\n    return x - x\n"
    Runner().pair([source, source])
    no_inline_guard(monkeypatch)
    with pytest.raises(Finding, match="inferred types change what happens"):
        Runner().pair([source, source])
