"""A chain without a network: contracts on a state in memory, one transaction a block. For calculators, `contract run` and tests of contracts."""

import heapq
from collections.abc import Sequence
from typing import Final

import msgspec

from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.errors import ContractError
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.interpreter import require_plain_interpreter
from carbonnode.vm.keys import storage_key
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import EmittedEvent, Outcome, ScheduledCall
from carbonnode.vm.state import SYSTEM_SENDER, Environment

DEFAULT_GAS: Final = 2_000_000_000
"""Gas of a local transaction or view unless another limit is asked for: ample, the caller waits for it anyway."""
JOB_GAS: Final = 8_000_000
"""Gas of a scheduled call, as a genesis gives it by default."""
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


class Snapshot(msgspec.Struct, frozen=True):
    """Everything of a `LocalChain` at one moment: a value to restore it from, any number of times."""

    data: dict[bytes, Value]
    contracts: dict[str, Contract]
    versions: dict[str, tuple[Contract, ...]]
    events: tuple[LocalEvent, ...]
    jobs: tuple[tuple[int, int, ScheduledCall], ...]
    time_ms: int
    height: int


def key_of(name: str) -> bytes:
    """A stand-in public key of 32 bytes for a name: local senders sign nothing."""
    return blake2b_256(b"local sender\0" + name.encode())


class LocalChain:
    """Deploys and runs contracts. `time_ms` is block time and moves only when told to; every transaction is a block of its own.

    A sender is a key of 32 bytes, or any name, which stands for `key_of(name)`.
    """

    def __init__(self, time_ms: int = DEFAULT_TIME_MS, *, gas_schedule: int = 1) -> None:
        """Raises `ConfigError` under interpreter flags that no node runs with."""
        require_plain_interpreter()
        self.state = MemoryState()
        self.time_ms = time_ms
        self.height = 0
        self.chain_id = blake2b_256(b"local chain")
        self.contracts: dict[str, Contract] = {}
        self.versions: dict[str, tuple[Contract, ...]] = {}
        """Every version of each contract there has been, number 1 first."""
        self.events: list[LocalEvent] = []
        self.job_outcomes: list[tuple[ScheduledCall, Outcome]] = []
        """The scheduled calls that `advance` ran, each with how it ended."""
        self._jobs: list[tuple[int, int, ScheduledCall]] = []
        self._job_number = 0
        schedule = SCHEDULES[gas_schedule]
        self.machine = Machine(schedule)
        # As on a node: views never share the gas cell of transactions.
        self.viewer = Machine(schedule)

    @property
    def market_time_ms(self) -> int:
        """Block time plus the offset that `rules` keeps, as contracts see it."""
        return self.time_ms + self._offset_ms

    @property
    def _offset_ms(self) -> int:
        offset = self.state.get(_CLOCK)
        return offset if isinstance(offset, int) else 0

    def deploy(self, name: str, source: bytes | str, args: Sequence[Value] = (), *, gas: int = DEFAULT_GAS) -> Outcome:
        """Check and install a contract, and run its `@init`. Raises `ContractRefused` for a source, `LocalRefusal` for a failing init."""
        return self.install(compile_contract(name, _raw(source)), args, gas=gas)

    def install(self, contract: Contract, args: Sequence[Value] = (), *, gas: int = DEFAULT_GAS) -> Outcome:
        """Install a checked contract and run its `@init`. Raises `LocalRefusal`; the contract stays without what its init would have written."""
        self._set_code(contract)
        outcome = self.machine.init(self.state, self._environment(), SYSTEM_SENDER, contract, tuple(args), gas)
        if not outcome.ok:
            raise LocalRefusal(contract.name, "init", outcome)
        self._keep(outcome)
        return outcome

    def upgrade(self, name: str, source: bytes | str, *, gas: int = DEFAULT_GAS) -> None:
        """Make `source` a contract's next version and run its `migrate(old_version)`, as a decision by vote does. What fails leaves everything as it was.

        Raises `ContractRefused` for a source, `ContractError` if a storage it keeps changes its types, `LocalRefusal` if `migrate` fails.
        """
        contract, present = compile_contract(name, _raw(source)), self._present(name)
        shapes = {shape.name: (shape.keys, shape.value) for shape in contract.abi.storage}
        for shape in present.abi.storage:
            if shapes.get(shape.name, (shape.keys, shape.value)) != (shape.keys, shape.value):
                raise ContractError(f"the storage {shape.name} of {name} changes its types: give it another name", code="epoch.code-storage")
        if contract.abi.migrate is not None:
            environment = Environment(self.market_time_ms, self.height, self.chain_id, {**self.contracts, name: contract}.get)
            outcome = self.machine.migrate(self.state, environment, contract, len(self.versions[name]), gas)
            if not outcome.ok:
                raise LocalRefusal(name, "migrate", outcome)
            self._keep(outcome)
        self._set_code(contract)

    def rollback(self, name: str, version: int) -> None:
        """Bring the source of an earlier version back, under a new number; no hook runs. Raises `ContractError`."""
        present, versions = self._present(name), self.versions.get(name, ())
        if not 1 <= version <= len(versions) or versions[version - 1] is present:
            raise ContractError(f"contract {name} never had a version {version} that was replaced: it has had {len(versions)}", code="epoch.code-version")
        self._set_code(versions[version - 1])

    def _present(self, name: str) -> Contract:
        contract = self.resolve(name)
        if contract is None:
            raise ContractError(f"no contract {name!r} is installed: deploy it first", code="vm.no-contract")
        return contract

    def _set_code(self, contract: Contract) -> None:
        self.contracts[contract.name] = contract
        self.versions[contract.name] = (*self.versions.get(contract.name, ()), contract)

    def resolve(self, name: str) -> Contract | None:
        """The contract of a name."""
        return self.contracts.get(name)

    def execute(self, calls: Sequence[Call], *, sender: bytes | str = SYSTEM_SENDER, gas: int = DEFAULT_GAS) -> Outcome:
        """Run a transaction of these calls, all or none. Every outcome is returned."""
        outcome = self.machine.execute(self.state, self._environment(), _key(sender), calls, gas)
        self._keep(outcome)
        self.height += 1
        return outcome

    def genesis(self, calls: Sequence[Call]) -> None:
        """Run calls as block 0, as the genesis sender. Raises `LocalRefusal` naming the first that fails."""
        for call in calls:
            outcome = self.machine.execute(self.state, self._environment(), SYSTEM_SENDER, (call,), DEFAULT_GAS)
            if not outcome.ok:
                raise LocalRefusal(call.contract, call.method, outcome)
            self._keep(outcome)
        self.height = 1

    def call(self, contract: str, method: str, *args: Value, sender: bytes | str = SYSTEM_SENDER, gas: int = DEFAULT_GAS) -> Value:
        """Run a transaction of one call and return its value. Raises `LocalRefusal`."""
        outcome = self.execute((Call(contract, method, args),), sender=sender, gas=gas)
        if not outcome.ok:
            raise LocalRefusal(contract, method, outcome)
        return outcome.values[0]

    def view(self, contract: str, method: str, *args: Value, sender: bytes | str = SYSTEM_SENDER, gas: int = DEFAULT_GAS) -> Value:
        """Answer a view. Raises `LocalRefusal`."""
        outcome = self.answer(contract, method, args, sender=sender, gas=gas)
        if not outcome.ok:
            raise LocalRefusal(contract, method, outcome)
        return outcome.values[0]

    def answer(self, contract: str, method: str, args: Sequence[Value], *, sender: bytes | str = SYSTEM_SENDER, gas: int = DEFAULT_GAS) -> Outcome:
        """Answer a view; every outcome is returned."""
        return self.viewer.view(self.state, self._environment(), contract, method, args, gas, sender=_key(sender))

    def refusal(self, contract: str, method: str, *args: Value, sender: bytes | str = SYSTEM_SENDER) -> str:
        """The code with which a call is refused. Raises `ContractError` if it isn't refused; then its writes stay."""
        outcome = self.execute((Call(contract, method, args),), sender=sender)
        if outcome.ok:
            raise ContractError(f"{contract}.{method} was expected to be refused, and succeeded")
        return outcome.code

    def advance(self, ms: int) -> list[Outcome]:
        """Let time pass, and run the scheduled calls that fall due, each in a block at its time. Returns how they ended; failures don't stop it."""
        if ms < 0:
            raise ContractError(f"time can't go back by {-ms} ms: restore a snapshot instead")
        end, found = self.time_ms + ms, []
        while self._jobs and self._jobs[0][0] <= end + self._offset_ms:
            at_ms, _, job = heapq.heappop(self._jobs)
            self.time_ms = max(self.time_ms, at_ms - self._offset_ms)
            call = Call(job.contract, job.method, job.args)
            outcome = self.machine.execute(self.state, self._environment(), SYSTEM_SENDER, (call,), JOB_GAS, caller=job.contract)
            self._keep(outcome)
            self.height += 1
            self.job_outcomes.append((job, outcome))
            found.append(outcome)
        self.time_ms = end
        return found

    def snapshot(self) -> Snapshot:
        """Everything as it is now."""
        return Snapshot(
            dict(self.state.data), dict(self.contracts), dict(self.versions), tuple(self.events), tuple(self._jobs), self.time_ms, self.height
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, or forth to one taken later."""
        self.state = MemoryState(snapshot.data)
        self.contracts, self.versions = dict(snapshot.contracts), dict(snapshot.versions)
        self.events, self._jobs = list(snapshot.events), list(snapshot.jobs)
        self.time_ms, self.height = snapshot.time_ms, snapshot.height

    def seen_by(self, audience: str) -> list[LocalEvent]:
        """The events of one organisation, or with "" the public ones."""
        return [event for event in self.events if event.to == audience]

    def _environment(self) -> Environment:
        return Environment(self.market_time_ms, self.height, self.chain_id, self.resolve)

    def _keep(self, outcome: Outcome) -> None:
        for call in outcome.scheduled:
            self._job_number += 1
            # As on a node: never at once.
            heapq.heappush(self._jobs, (max(call.at_ms, self.market_time_ms + 1), self._job_number, call))
        self._tell(outcome.events)

    def _tell(self, events: Sequence[EmittedEvent]) -> None:
        for event in events:
            fields: dict[str, Value] = dict(event.fields)
            self.events.append(LocalEvent(self.height, event.contract, event.name, str(fields.pop("to", "")), fields))


def _raw(source: bytes | str) -> bytes:
    return source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source


def _key(sender: bytes | str) -> bytes:
    return key_of(sender) if isinstance(sender, str) else sender
