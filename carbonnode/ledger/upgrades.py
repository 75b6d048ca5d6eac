"""Contract code by vote: what a decision installs, whether it may, and how it takes effect (docs/adr/0017).

An upgrade runs the new source's `migrate(old_version)`, an installation its `@init`; a hook that fails, or an invariant that doesn't hold after it,
leaves the old code in place. A rollback brings the source of an earlier version back under a new number and runs no hook.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.receipt import Status
from carbonnode.chain.values import Value
from carbonnode.errors import ContractError, InvariantViolation
from carbonnode.ledger.code import ContractCode
from carbonnode.ledger.invariants import check_invariants
from carbonnode.ledger.membership import NotApplicable
from carbonnode.ledger.state import WorkingState
from carbonnode.vm.contract import Contract, is_contract_name
from carbonnode.vm.keys import storage_key
from carbonnode.vm.limits import MAX_SOURCE_BYTES, MAX_TEXT_BYTES
from carbonnode.vm.machine import Machine
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import SYSTEM_SENDER, Environment

RULES: Final = "rules"
CODE_KINDS: Final = frozenset({"contract", "rollback"})
GOVERNING: Final = {"decided": (("int",), "tuple"), "details": (("int",), "tuple"), "submitted": (("int",), "tuple"), "code": (("str", "int"), "str")}
"""Storage of the contract `rules` that the ledger reads: a version without it could never be replaced again."""
_MAX_PARTS: Final = MAX_SOURCE_BYTES // MAX_TEXT_BYTES + 64

Decision = tuple[object, ...]
Environments = Callable[[], Environment]


class Planned(NamedTuple):
    """What a decision installs: under which name, and the arguments of `@init`."""

    name: str
    source: str
    args: tuple[Value, ...]


class Upgrades:
    """Judges decisions about code and carries them out."""

    def __init__(self, state: WorkingState, code: ContractCode, invariants: tuple[tuple[str, str], ...]) -> None:
        self._state = state
        self._code = code
        self._invariants = invariants

    def judge(self, decision: Decision) -> str:
        """Empty if the decision can be carried out as things stand, else a stable code."""
        try:
            self._judged(decision)
        except NotApplicable as error:
            return error.code
        return ""

    def carry_out(self, decision: Decision, machine: Machine, environment: Environments, gas: int, view_gas: int) -> tuple[str, Outcome | None]:
        """Put the code in place and run its hook. Returns a code, empty if it holds, and the hook's outcome if there is one.

        What fails leaves nothing behind. `environment` makes the block's surroundings anew, with the code as it is then.
        """
        try:
            planned, contract = self._judged(decision)
        except NotApplicable as error:
            return error.code, None
        state = self._state
        mark = state.mark()
        old_version = self._code.version(planned.name)
        self._code.install(planned.name, planned.source)
        outcome = self._run_hook(decision, planned, contract, old_version, machine, environment(), gas)
        if outcome is not None and not outcome.ok:
            state.rollback(mark)
            return f"epoch.hook-failed: {outcome.code}", outcome
        try:
            check_invariants(machine, state, environment(), self._invariants, view_gas)
        except InvariantViolation:
            state.rollback(mark)
            return "epoch.invariant-broken", None if outcome is None else Outcome(Status.ABORT, "chain.invariant", outcome.gas_used)
        return "", outcome

    def _run_hook(
        self, decision: Decision, planned: Planned, contract: Contract, old_version: int, machine: Machine, env: Environment, gas: int
    ) -> Outcome | None:
        if decision[1] != "contract":
            return None
        if old_version == 0:
            return None if contract.abi.init is None else machine.init(self._state, env, SYSTEM_SENDER, contract, planned.args, gas)
        return None if contract.abi.migrate is None else machine.migrate(self._state, env, contract, old_version, gas)

    def _judged(self, decision: Decision) -> tuple[Planned, Contract]:
        """What the decision installs, checked. Raises `NotApplicable`."""
        planned = self._planned(decision)
        name = planned.name
        if not is_contract_name(name):
            raise NotApplicable(f"{name!r} can't be a contract's name", code="epoch.code-name")
        present = self._code.resolve(name)
        if present is not None and present.source == planned.source.encode():
            raise NotApplicable(f"contract {name} has this source already", code="epoch.code-same")
        try:
            contract = self._code.compiled(name, planned.source)
        except ContractError as error:
            raise NotApplicable(str(error), code="epoch.code-refused") from None
        _check_storage(present, contract)
        for holder, view in self._invariants:
            if holder == name and view not in contract.abi.views:
                raise NotApplicable(f"{name} needs the view {view}, which is an invariant of the chain", code="epoch.code-invariant")
        expected = () if present is not None or contract.abi.init is None else contract.abi.init.parameters
        if len(planned.args) != len(expected):
            raise NotApplicable(f"{name} takes {len(expected)} arguments when it is installed", code="epoch.code-arguments")
        return planned, contract

    def _planned(self, decision: Decision) -> Planned:
        _, kind, subject, key, value, note = decision
        name = str(subject)
        if kind == "rollback":
            source = self._code.former(name, value) if type(value) is int else None
            if source is None:
                raise NotApplicable(f"contract {name} never had a version {value} that was replaced", code="epoch.code-version")
            return Planned(name, source, ())
        source = self._uploaded(str(note))
        if blake2b_256(source.encode()).hex() != key:
            raise NotApplicable(f"the source uploaded for {name} isn't the one with the hash {key}", code="epoch.code-missing")
        args = self._state.get(storage_key(RULES, "details", (value,))) if type(value) is int else ()
        return Planned(name, source, args if type(args) is tuple else ())

    def _uploaded(self, upload: str) -> str:
        parts: list[str] = []
        while len(parts) < _MAX_PARTS and type(part := self._state.get(storage_key(RULES, "code", (upload, len(parts))))) is str:
            parts.append(part)
        return "".join(parts)


def _check_storage(present: Contract | None, following: Contract) -> None:
    """What lies in the state stays readable: a name that both versions have keeps its types, and `rules` can still be governed."""
    shapes = {shape.name: (shape.keys, shape.value) for shape in following.abi.storage}
    for shape in () if present is None else present.abi.storage:
        if shapes.get(shape.name, (shape.keys, shape.value)) != (shape.keys, shape.value):
            raise NotApplicable(f"the storage {shape.name} of {following.name} changes its types: give it another name", code="epoch.code-storage")
    if following.name == RULES and present is not None and any(shapes.get(name) != shape for name, shape in GOVERNING.items()):
        raise NotApplicable("the contract rules needs the storage that decisions are read from", code="epoch.code-governing")
