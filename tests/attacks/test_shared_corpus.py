"""Every file of the shared attack corpus ends as its first line says, with the state untouched, within its time and memory."""

import json
import os
import re
import time
import tracemalloc
from pathlib import Path

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.cli.main import run as carbonnode
from carbonnode.vm.contract import ContractRefused, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.state import Environment

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = Path(os.environ.get("CARBONNODE_SHARED", str(ROOT.parent / "shared"))) / "attacks"
FILES = sorted(FOLDER.glob("*.py"))
GAS = 1_000_000
MAX_SECONDS = 5
MAX_MEMORY = 64 * 1024 * 1024


def ending(source: bytes) -> tuple[str, str]:
    """How the file ends: outcome, and rule id or code."""
    try:
        contract = compile_contract("attack", source)
    except ContractRefused as refusal:
        return "REJECT", refusal.errors[0].rule
    state = MemoryState({b"c/other\0v\0": 1})
    env = Environment(time_ms=1, height=1, chain_id=bytes(32), resolve={"attack": contract}.get)
    outcome = Machine(SCHEDULES[1]).execute(state, env, bytes(32), (Call("attack", "go", ()),), GAS)
    if not outcome.ok:
        assert state.data == {b"c/other\0v\0": 1}, "a failed call changed the state"
        assert outcome.gas_used == GAS
        assert not outcome.events
        assert re.fullmatch(r"[a-z0-9.-]+", outcome.code), "the receipt holds a code only"
    return outcome.status.name, outcome.code


@pytest.mark.skipif(not FILES, reason=f"no shared attack corpus at {FOLDER}: set CARBONNODE_SHARED to the folder that holds attacks/")
@pytest.mark.parametrize("path", FILES or [Path("none")], ids=lambda path: path.stem)
def test_an_attack_ends_as_its_first_line_says(path: Path) -> None:
    source = path.read_bytes()
    found = re.match(rb"# MUST ([A-Z_]+):", source)
    assert found, f"{path.name} doesn't say how it must end"
    wanted = found.group(1).decode().split("_OR_")
    start = time.perf_counter()
    outcome, code = ending(source)
    assert outcome in wanted, f"{path.name} ended as {outcome} ({code})"
    assert time.perf_counter() - start < MAX_SECONDS


@pytest.mark.skipif(not FILES, reason=f"no shared attack corpus at {FOLDER}: set CARBONNODE_SHARED to the folder that holds attacks/")
@pytest.mark.parametrize("path", FILES or [Path("none")], ids=lambda path: path.stem)
def test_contract_run_says_the_same_of_an_attack(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome, code = ending(path.read_bytes())
    assert carbonnode(["contract", "run", str(path), "--method", "go", "--gas", str(GAS), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["code"]) == (outcome, code)
    assert document["outcome"] == "OK" or (document["writes"], document["changes"], document["events"]) == (0, [], [])


@pytest.mark.skipif(not FILES, reason=f"no shared attack corpus at {FOLDER}: set CARBONNODE_SHARED to the folder that holds attacks/")
def test_no_attack_holds_more_memory_than_allowed() -> None:
    for path in FILES:
        if b"mem" in path.name.encode() or b"blow" in path.name.encode():
            source = path.read_bytes()
            tracemalloc.start()
            ending(source)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MAX_MEMORY, path.name
