"""A machine on a state in memory, and a contract a test can call in one line."""

from collections.abc import Callable

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Environment

GAS = 5_000_000


class Bench:
    """A few installed contracts, one state, one machine."""

    def __init__(self) -> None:
        self.machine = Machine(SCHEDULES[1])
        self.state = MemoryState()
        self.contracts: dict[str, Contract] = {}
        self.env = Environment(time_ms=1_700_000_000_000, height=7, chain_id=b"\x07" * 32, resolve=self.contracts.get)
        self.sender = b"\x01" * 32

    def install(self, name: str, source: str) -> Contract:
        self.contracts[name] = compile_contract(name, source.encode())
        return self.contracts[name]

    def call(self, contract: str, method: str, *args: Value, gas: int = GAS) -> Outcome:
        return self.machine.execute(self.state, self.env, self.sender, (Call(contract, method, args),), gas)

    def view(self, contract: str, method: str, *args: Value, gas: int = GAS) -> Outcome:
        return self.machine.view(self.state, self.env, contract, method, args, gas)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def run() -> Callable[..., Outcome]:
    """Run a body as `go() -> tuple`, with optional lines at module level."""

    def run_body(body: str, *, top: str = "", returns: str = "tuple", gas: int = GAS) -> Outcome:
        bench = Bench()
        lines = "\n".join("    " + line for line in body.strip("\n").split("\n"))
        bench.install("a", f"{top}\n@export\ndef go() -> {returns}:\n{lines}\n")
        return bench.call("a", "go", gas=gas)

    return run_body
