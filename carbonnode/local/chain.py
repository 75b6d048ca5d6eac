"""A chain without a network: contracts on a state in memory, one transaction a block. For calculators, `contract run` and tests of contracts."""

from collections.abc import Sequence
from typing import Final

import msgspec

from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.errors import ContractError
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.keys import storage_key
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import EmittedEvent, Outcome
from carbonnode.vm.state import SYSTEM_SENDER, Environment

DEFAULT_GAS: Final = 2_000_000_000
"""Gas of a local transaction or view unless another limit is asked for: ample, the caller waits for it anyway."""
DEFAULT_TIME_MS: Final = 1_735_689_600_000
"""2025-01-01T00:00:00Z."""
_CLOCK: Final = storage_key("rules", "clock_offset_ms")


class LocalRefusal(ContractError):
    """A local call didn't end OK; `code` is the contract's or the VM's, `outcome` has the rest."""

    def __init__(self, contract: str, method: str, outcome: Outcome) -> None:
        where = f" at {outcome.where}" if outcome.where else ""
        super().__init__(f"{contract}.{method} was refused with {outcome.code}{where} ({outcome.status.name})", code=outcome.code)
        self.outcome = outcome


class LocalEvent(msgspec.Struct, frozen=True):
    """An event with its audience ("" is public), as a node would deliver it."""

    height: int
    contract: str
    name: str
    to: str
    fields: dict[str, Value]


def key_of(name: str) -> bytes:
    """A stand-in public key of 32 bytes for a name: local senders sign nothing."""
    return blake2b_256(b"local sender\0" + name.encode())


class LocalChain:
    """Deploys and runs contracts. `time_ms` is block time and moves only when told to; every transaction is a block of its own."""

    def __init__(self, time_ms: int = DEFAULT_TIME_MS, *, gas_schedule: int = 1) -> None:
        self.state = MemoryState()
        self.time_ms = time_ms
        self.height = 0
        self.chain_id = blake2b_256(b"local chain")
        self.contracts: dict[str, Contract] = {}
        self.events: list[LocalEvent] = []
        schedule = SCHEDULES[gas_schedule]
        self._machine = Machine(schedule)
        # As on a node: views never share the gas cell of transactions.
        self._viewer = Machine(schedule)

    @property
    def market_time_ms(self) -> int:
        """Block time plus the offset that `rules` keeps, as contracts see it."""
        offset = self.state.get(_CLOCK)
        return self.time_ms + (offset if isinstance(offset, int) else 0)

    def deploy(self, name: str, source: bytes | str, args: Sequence[Value] = (), *, gas: int = DEFAULT_GAS) -> Outcome:
        """Check and install a contract, and run its `@init`. Raises `ContractRefused` for a source, `LocalRefusal` for a failing init."""
        contract = compile_contract(name, source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source)
        self.contracts[name] = contract
        outcome = self._machine.init(self.state, self._environment(), SYSTEM_SENDER, contract, tuple(args), gas)
        if not outcome.ok:
            raise LocalRefusal(name, "init", outcome)
        self._keep(outcome.events)
        return outcome

    def resolve(self, name: str) -> Contract | None:
        """The contract of a name."""
        return self.contracts.get(name)

    def execute(self, calls: Sequence[Call], *, sender: bytes = SYSTEM_SENDER, gas: int = DEFAULT_GAS) -> Outcome:
        """Run a transaction of these calls, all or none. Every outcome is returned."""
        outcome = self._machine.execute(self.state, self._environment(), sender, calls, gas)
        self._keep(outcome.events)
        self.height += 1
        return outcome

    def genesis(self, calls: Sequence[Call]) -> None:
        """Run calls as block 0, as the genesis sender. Raises `LocalRefusal` naming the first that fails."""
        for call in calls:
            outcome = self._machine.execute(self.state, self._environment(), SYSTEM_SENDER, (call,), DEFAULT_GAS)
            if not outcome.ok:
                raise LocalRefusal(call.contract, call.method, outcome)
            self._keep(outcome.events)
        self.height = 1

    def call(self, contract: str, method: str, *args: Value, sender: bytes = SYSTEM_SENDER, gas: int = DEFAULT_GAS) -> Value:
        """Run a transaction of one call and return its value. Raises `LocalRefusal`."""
        outcome = self.execute((Call(contract, method, args),), sender=sender, gas=gas)
        if not outcome.ok:
            raise LocalRefusal(contract, method, outcome)
        return outcome.values[0]

    def view(self, contract: str, method: str, *args: Value, sender: bytes = SYSTEM_SENDER, gas: int = DEFAULT_GAS) -> Value:
        """Answer a view. Raises `LocalRefusal`."""
        outcome = self.answer(contract, method, args, sender=sender, gas=gas)
        if not outcome.ok:
            raise LocalRefusal(contract, method, outcome)
        return outcome.values[0]

    def answer(self, contract: str, method: str, args: Sequence[Value], *, sender: bytes = SYSTEM_SENDER, gas: int = DEFAULT_GAS) -> Outcome:
        """Answer a view; every outcome is returned."""
        return self._viewer.view(self.state, self._environment(), contract, method, args, gas, sender=sender)

    def refusal(self, contract: str, method: str, *args: Value, sender: bytes = SYSTEM_SENDER) -> str:
        """The code with which a call is refused. Raises `ContractError` if it isn't refused; then its writes stay."""
        outcome = self.execute((Call(contract, method, args),), sender=sender)
        if outcome.ok:
            raise ContractError(f"{contract}.{method} was expected to be refused, and succeeded")
        return outcome.code

    def seen_by(self, audience: str) -> list[LocalEvent]:
        """The events of one organisation, or with "" the public ones."""
        return [event for event in self.events if event.to == audience]

    def _environment(self) -> Environment:
        return Environment(self.market_time_ms, self.height, self.chain_id, self.resolve)

    def _keep(self, events: Sequence[EmittedEvent]) -> None:
        for event in events:
            fields: dict[str, Value] = dict(event.fields)
            self.events.append(LocalEvent(self.height, event.contract, event.name, str(fields.pop("to", "")), fields))
