"""The guide says what the VM does: its example runs, and it names every code, built-in, method, rounding and cost."""

import re
from pathlib import Path

from carbonnode.chain.transaction import Call
from carbonnode.vm import codes
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.state import Environment
from carbonnode.vm.words import BUILTINS, CONTEXT, METHODS, ROUNDINGS

GUIDE = (Path(__file__).resolve().parent.parent.parent.parent / "docs" / "contracts.md").read_text("utf-8")


def test_the_example_of_the_guide_works() -> None:
    found = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    contract = compile_contract("till", found.group(1).encode())
    state, machine = MemoryState(), Machine(SCHEDULES[1])
    env = Environment(time_ms=0, height=1, chain_id=bytes(32), resolve={"till": contract}.get)
    assert machine.init(state, env, bytes(32), contract, ("ann", 500), 10_000).ok
    moved = machine.execute(state, env, bytes(32), (Call("till", "transfer", ("ann", "bob", 20)),), 10_000)
    assert moved.values == (480,)
    assert machine.view(state, env, "till", "balance", ("bob",), 10_000).values == (20,)
    assert machine.execute(state, env, bytes(32), (Call("till", "transfer", ("ann", "bob", 999)),), 10_000).code == "till.funds"


def test_the_guide_names_everything_a_contract_can_meet() -> None:
    words = set(re.findall(r"[a-z_.-]+", GUIDE))
    for name in (*codes.MEANING, *ROUNDINGS):
        assert f"`{name}`" in GUIDE, name
    for name in (*BUILTINS, *METHODS):
        assert name in words, name
    for name in CONTEXT:
        assert f"ctx.{name}" in GUIDE, name


def test_the_costs_in_the_guide_are_those_of_the_schedule() -> None:
    schedule = SCHEDULES[1]
    for text in (
        f"a read {schedule.read}, a write or delete {schedule.write}",
        f"a step of `next` {schedule.step}, an event {schedule.emit}",
        f"a signature check {schedule.signature:,}",
        f"an exponential {schedule.fixed:,}",
    ):
        assert text in GUIDE, text
