"""Our own attacks: every case of `cases/*.txt` ends as its head says, by rule or code, with the state untouched; here and by `carbonnode contract run`.

A case is a head, `### name ENDING code-or-value | where it comes from`, and a source. `--- name` begins another contract that is installed beside it.
`{{0c}}` stands for a byte. ENDING is one of REJECT, ABORT, OUT_OF_GAS, OK (whose value is a literal), or several with `_OR_`.
"""

import ast
import json
import re
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.cli.main import run as carbonnode
from carbonnode.vm.contract import Contract, ContractRefused, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Environment

FOLDER = Path(__file__).resolve().parent / "cases"
GAS = 1_000_000
MAX_SECONDS = 5
UNTOUCHED = {b"c/other\0v\0": 1}


class Case(NamedTuple):
    """One attack."""

    name: str
    endings: list[str]
    code: str
    sources: dict[str, bytes]


def cases() -> list[Case]:
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        for part in re.split(r"^### ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            head, _, body = part.partition("\n")
            name, ending, code = head.partition(" | ")[0].split(" ", 2)
            sources = re.split(r"^--- (\w+)\n", f"--- attack\n{body}", flags=re.MULTILINE)[1:]
            named = {key: in_bytes(text) for key, text in zip(sources[::2], sources[1::2], strict=True)}
            found.append(Case(name, ending.split("_OR_"), code, named))
    return found


def in_bytes(text: str) -> bytes:
    return re.sub(rb"\{\{([0-9a-f]{2})\}\}", lambda found: bytes.fromhex(found[1].decode()), text.encode())


CASES = cases()


def run(case: Case) -> tuple[str, str, Outcome | None, MemoryState]:
    """Ending, rule or code, outcome and state of a case."""
    state = MemoryState({**UNTOUCHED})
    contracts: dict[str, Contract] = {}
    try:
        for name, source in case.sources.items():
            contracts[name] = compile_contract(name, source)
    except ContractRefused as refusal:
        return "REJECT", refusal.errors[0].rule, None, state
    env = Environment(time_ms=1, height=1, chain_id=bytes(32), resolve=contracts.get)
    outcome = Machine(SCHEDULES[max(SCHEDULES)]).execute(state, env, bytes(32), (Call("attack", "go", ()),), GAS)
    return outcome.status.name, outcome.code, outcome, state


def test_there_are_many_and_each_has_its_own_name() -> None:
    assert len(CASES) >= 350
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_attack_ends_as_its_head_says(case: Case) -> None:
    start = time.perf_counter()
    ending, code, outcome, state = run(case)
    assert ending in case.endings, (ending, code)
    if ending == "OK":
        assert outcome is not None
        assert repr(outcome.values[0]) == repr(ast.literal_eval(case.code))
    else:
        assert code == case.code
        assert state.data == UNTOUCHED, "the state was touched"
    if outcome is not None and not outcome.ok:
        assert (outcome.gas_used, outcome.events, outcome.scheduled, outcome.values) == (GAS, (), (), ())
    assert time.perf_counter() - start < MAX_SECONDS


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_contract_run_says_the_same(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for name, source in case.sources.items():
        paths.append(tmp_path / f"{name}.py")
        paths[-1].write_bytes(source)
    assert carbonnode(["contract", "run", *map(str, paths), "--method", "go", "--gas", str(GAS), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outcome"] in case.endings
    if document["outcome"] != "OK":
        assert document["code"] == case.code
        assert (document["writes"], document["changes"], document["events"]) == (0, [], [])
