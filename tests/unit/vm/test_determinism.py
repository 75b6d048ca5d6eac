"""One source, one call, one result: whatever the hash seed, locale, time zone and version of Python; and interpreters with other flags are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = """
m = Map(str, int)
t = Map(int, tuple)
@export
def go(n: int) -> list:
    d = {}
    for i in range(n):
        d[str(i * 7919 % 101)] = i
        d[str(i).encode()] = i
        d[i * 13 % 17] = i
    for k in d:
        m[str(d[k])] = d[k]
    t[n] = (sum(d.values()), "\\u4e2d", b"\\xff", 2 ** 255, None)
    emit("Done", to="x", n=n, text="caf\\u00e9".encode().hex())
    schedule(ctx.time + 5, "go", (1,))
    k = m.next(None)
    found = []
    while k is not None:
        found.append(k + "=" + str(m[k]))
        k = m.next(k)
    x = try_call("nobody", "go")
    return found + [x[1], len(d), str(hash(b"a").hex()).upper(), "TITLE I".lower()]
"""
PROGRAM = """
import hashlib, json, sys
sys.path.insert(0, sys.argv[1])
from carbonnode.chain.receipt import Receipt
from carbonnode.chain.codec import encode
from carbonnode.chain.values import to_wire, encode_value
from carbonnode.chain.transaction import Call
from carbonnode.ledger.tree import commit, fresh_root, key_hash, make_leaf
from carbonnode.vm.checker import check
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.state import Environment
source = sys.stdin.read().encode()
contract = compile_contract("a", source)
env = Environment(time_ms=5, height=1, chain_id=b"", resolve={"a": contract}.get)
state, found = MemoryState(), []
for n in (3, 40, 0):
    outcome = Machine(SCHEDULES[1]).execute(state, env, bytes(32), (Call("a", "go", (n,)),), 2_000_000)
    receipt = Receipt(bytes(32), int(outcome.status), outcome.code, outcome.gas_used, 0, len(outcome.events), tuple(to_wire(v) for v in outcome.values))
    found.append([outcome.gas_used, encode(receipt).hex(), repr(outcome.events), repr(outcome.scheduled)])
leaves = [make_leaf(key_hash(key), commit(b"", encode_value(value))) for key, value in state.data.items()]
print(json.dumps([fresh_root(leaves).hex(), found]))
"""
RUNS = [
    {"PYTHONHASHSEED": "0"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Shanghai"},
    {"PYTHONHASHSEED": "4294967295", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0", "PYTHONINTMAXSTRDIGITS": "640"},
    {"PYTHONHASHSEED": "77", "LC_ALL": "zh_CN.GB18030", "PYTHONDEVMODE": "1"},
]


def answer(python: str, environment: dict[str, str], *flags: str) -> object:
    """State root, gas, receipts, events and jobs of the program."""
    done = subprocess.run(
        [python, *flags, "-c", PROGRAM, str(ROOT)], input=SOURCE, env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def test_roots_gas_and_receipts_are_equal_under_every_environment() -> None:
    first, *others = [answer(sys.executable, environment) for environment in RUNS]
    for environment, other in zip(RUNS[1:], others, strict=True):
        assert other == first, environment


@pytest.mark.parametrize(("flags", "environment"), [(["-O"], {}), (["-OO"], {}), (["-b"], {}), (["-bb"], {}), ([], {"PYTHONOPTIMIZE": "1"})])
def test_contract_run_refuses_other_flags(flags: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("@export\ndef go() -> int:\n    return 1\n")
    command = [sys.executable, *flags, "-m", "carbonnode", "contract", "run", str(path), "--method", "go", "--json"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "interpreter-flags"
    assert "start it without" in done.stderr


@pytest.mark.parametrize("flag", ["-O", "-bb"])
def test_the_daemon_refuses_other_flags(flag: str, tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from carbonnode.app import run_node; sys.exit(run_node(Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, flag, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert (done.returncode, "start it without" in done.stderr) == (1, True)


@pytest.mark.parametrize("flag", ["-O", "-bb"])
def test_the_executor_refuses_other_flags(flag: str) -> None:
    command = [sys.executable, flag, "-m", "carbonnode.node.executor_process"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert (done.returncode, "start it without" in done.stderr) == (1, True)
