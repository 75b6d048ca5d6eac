"""Epochs: the validators, parameters, protocol version and contract code that hold, and decided changes that wait (design, section 3).

The contract `rules` appends every adopted proposal to its storage `decided`: number -> (height, kind, subject, key, value, note). After each block the
ledger takes up new ones. Kinds that it acts on take effect at the first block of an epoch, which starts at the decided height, or where that lies
within the window at the next multiple of `epoch_blocks` beyond it:

- `chain`: consensus or execution parameter `key` becomes `value`
- `contract`: contract `subject` gets the source with the hash `key` (hex), whose parts lie in `rules` storage `code`: (`note`, part) -> text;
  arguments of an `@init` lie in `details`: `value` -> tuple
- `rollback`: contract `subject` gets the source of its version `value` back
- `validators`: the voting set is changed as `details`: `value` -> tuple says (`ledger.membership`)

Other kinds are the contract's own affair. A decision that can't be carried out is recorded with a code and changes nothing: a vote must not stop
the chain. `rules` is told of each (`BlockRun`), also of proposals (storage `submitted`) that are checked before anybody votes on them.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.genesis import Genesis, Parameters
from carbonnode.chain.header import PROTOCOL_VERSION
from carbonnode.chain.limits import check_messages_fit
from carbonnode.chain.memory import check_memory
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import ConfigError, InvariantViolation
from carbonnode.ledger.code import ContractCode
from carbonnode.ledger.layout import CHECKED, DECIDED, EPOCH, OUTCOMES, PENDING, REPORTS
from carbonnode.ledger.membership import NotApplicable, TooMuchAtOnce, changed_set, check_size, check_step, replaces_all
from carbonnode.ledger.results import NextEpoch
from carbonnode.ledger.state import WorkingState
from carbonnode.ledger.upgrades import CODE_KINDS, RULES, Decision, Upgrades
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.keys import storage_key

ACTED_ON: Final = CODE_KINDS | {"chain", "validators"}
CHECKED_REPORT, SCHEDULED_REPORT, DONE_REPORT = "checked", "scheduled", "done"
REPORTS_A_BLOCK: Final = 8
_TEXT_PARAMETERS: Final = frozenset({"profile", "python"})
_POSTPONE_EPOCHS: Final = 16
"""How many epochs a change may wait for its turn when others fill the first ones."""


class Epoch(Wire, frozen=True):
    """What holds from `first_height` on."""

    number: int
    first_height: int
    protocol_version: int
    parameters: Parameters
    validators: tuple[Validator, ...]

    def validator_set(self) -> ValidatorSet:
        """The voting set."""
        return ValidatorSet(self.validators, self.parameters.profile)

    def as_next(self) -> NextEpoch:
        """For the node: consensus prepares for it."""
        return NextEpoch(self.number, self.first_height, self.protocol_version, self.parameters, self.validators)


class Report(NamedTuple):
    """What `rules` is told about a proposal (`checked`) or a decision (`scheduled`, `done`): its number, a code, a height."""

    what: str
    number: int
    code: str
    height: int


def genesis_epoch(genesis: Genesis) -> Epoch:
    """Epoch 0, which holds from height 0."""
    return Epoch(0, 0, PROTOCOL_VERSION, genesis.parameters, genesis.validators.validators)


class Epochs:
    """The current epoch and those decided, kept in the state."""

    def __init__(self, state: WorkingState, code: ContractCode, invariants: tuple[tuple[str, str], ...] = ()) -> None:
        self._state = state
        self.upgrades = Upgrades(state, code, invariants)
        self._cached: tuple[bytes, Epoch, bytes] | None = None

    def write(self, epoch: Epoch) -> None:
        """Make `epoch` the current one."""
        self._state.put(EPOCH, encode(epoch))

    def current(self) -> tuple[Epoch, bytes]:
        """The epoch that holds in the newest state, and its validator set's hash. Raises `InvariantViolation` before genesis."""
        raw = self._state.get(EPOCH)
        if type(raw) is not bytes:
            raise InvariantViolation("the state holds no epoch: it wasn't made from genesis")
        if self._cached is None or self._cached[0] != raw:
            epoch = decode(raw, Epoch)
            self._cached = (raw, epoch, epoch.validator_set().hash)
        return self._cached[1], self._cached[2]

    def start_height(self) -> int | None:
        """The height at which the next decided epoch starts, None if none waits."""
        key = self._state.next_key(PENDING, None)
        return None if key is None else _pending_of(key)[0]

    def upcoming(self) -> Epoch | None:
        """The next epoch as decided so far."""
        start = self.start_height()
        return None if start is None else self._projected(start)[0]

    # At the first block of an epoch.

    def enter(self, height: int) -> list[tuple[int, Decision]]:
        """At the first block of a decided epoch, before its jobs: what it changes holds. Returns the decisions about code, which the block carries out."""
        if self.start_height() != height:
            return []
        following, refused = self._projected(height)
        code: list[tuple[int, Decision]] = []
        for number in [number for start, number in self._pending() if start == height]:
            decision = self._decision(number)
            if decision[1] in CODE_KINDS:
                code.append((number, decision))
            else:
                self.settle(number, refused.get(number, ""), height)
            self._state.delete(_pending_key(height, number))
        self.write(following)
        return code

    def settle(self, number: int, code: str, height: int) -> None:
        """What became of a decision when its height came: empty if it holds."""
        self._state.put(OUTCOMES + number.to_bytes(8, "big"), code)
        self._report(DONE_REPORT, number, code, height)

    # After a block's transactions.

    def take_up(self, height: int) -> None:
        """After the transactions of `height`: take up what `rules` decided in it."""
        state = self._state
        taken = state.get(DECIDED)
        number = first = taken if type(taken) is int else 0
        while type(state.get(storage_key(RULES, "decided", (number,)))) is tuple:
            decision = self._decision(number)
            if decision[1] in ACTED_ON:
                code, start = self._place(decision, height)
                state.put(OUTCOMES + number.to_bytes(8, "big"), code)
                if code:
                    self._report(DONE_REPORT, number, code, height)
                else:
                    state.put(_pending_key(start, number), True)
                    self._report(SCHEDULED_REPORT, number, "", start)
            number += 1
        if number != first:
            state.put(DECIDED, number)

    def _place(self, decision: Decision, height: int) -> tuple[str, int]:
        """Empty and the height at which the decision will take effect, or the code of why it never can."""
        if decision[1] in CODE_KINDS:
            return self.upgrades.judge(decision), self._start_for(decision[0], height)
        start = self._start_for(decision[0], height)
        try:
            for _ in range(_POSTPONE_EPOCHS):
                try:
                    self._projected(start, decision)
                except TooMuchAtOnce:
                    start = self._start_for(start + 1, start)
                else:
                    return "", start
            self._projected(start, decision)
        except NotApplicable as error:
            return error.code, start
        return "", start

    def _start_for(self, wanted: object, height: int) -> int:
        parameters = self.current()[0].parameters
        start = wanted if type(wanted) is int else 0
        if start > height + parameters.window:
            return start
        return ((height + parameters.window) // parameters.epoch_blocks + 1) * parameters.epoch_blocks

    # Proposals, and what `rules` is told.

    def next_proposal(self) -> int | None:
        """The first proposal that wasn't judged yet: one a block, since compiling a source is work that nobody pays for."""
        done = self._state.get(CHECKED)
        number = done if type(done) is int else 0
        return number if type(self._state.get(storage_key(RULES, "submitted", (number,)))) is tuple else None

    def check_proposal(self, number: int, code: str | None = None) -> None:
        """Judge a proposal; with `code` it is judged already."""
        decision = _shaped(self._state.get(storage_key(RULES, "submitted", (number,))), f"proposal {number}")
        self._state.put(CHECKED, number + 1)
        if code is None:
            code = self.upgrades.judge(decision) if decision[1] in CODE_KINDS else self._verdict(decision)
        self._report(CHECKED_REPORT, number, code, 0)

    def _verdict(self, decision: Decision) -> str:
        epoch = self.current()[0]
        try:
            self._applied(epoch, epoch, decision)
        except NotApplicable as error:
            return error.code
        return ""

    def _report(self, what: str, number: int, code: str, height: int) -> None:
        self._state.put(REPORTS + number.to_bytes(8, "big") + what.encode(), (what, number, code, height))

    def take_reports(self) -> list[Report]:
        """What `rules` is to be told in this block."""
        found: list[Report] = []
        while len(found) < REPORTS_A_BLOCK and (key := self._state.next_key(REPORTS, None)) is not None:
            stored = self._state.get(key)
            if type(stored) is not tuple:
                raise InvariantViolation(f"the report {key.hex()} in the state isn't readable")
            self._state.delete(key)
            found.append(Report(*stored))
        return found

    # The set and the parameters as decided.

    def _projected(self, start: int, extra: Decision | None = None) -> tuple[Epoch, dict[int, str]]:
        """The epoch that begins at `start` by all that waits until then, and the codes of decisions that no longer apply.

        `extra` is put last. Raises what it raises, a `NotApplicable`.
        """
        epoch, refused = self.current()[0], {}
        waiting = [(first, number) for first, number in self._pending() if first <= start]
        if extra is not None and (not waiting or waiting[-1][0] != start):
            waiting.append((start, -1))
        for first, group in groupby(waiting, key=lambda entry: entry[0]):
            before = epoch
            for _, number in group:
                if number < 0:
                    continue
                try:
                    epoch = self._applied(before, epoch, self._decision(number))
                except NotApplicable as error:
                    refused[number] = error.code
            if first == start and extra is not None:
                epoch = self._applied(before, epoch, extra)
            epoch = Epoch(before.number + 1, first, epoch.protocol_version, epoch.parameters, epoch.validators)
        return epoch, refused

    def _applied(self, before: Epoch, epoch: Epoch, decision: Decision) -> Epoch:
        """`epoch`, which follows `before`, with one more decision. Raises `NotApplicable`."""
        _, kind, _, key, value, _ = decision
        parameters, validators = epoch.parameters, epoch.validators
        if kind == "chain":
            parameters = _changed_parameters(parameters, key, value)
        elif kind == "validators":
            changes = self._state.get(storage_key(RULES, "details", (value,))) if type(value) is int else ()
            validators = changed_set(validators, changes, parameters.profile)
            if replaces_all(changes):
                check_size(before.validators, validators)
            else:
                check_step(before.validators, validators)
        changed = Epoch(epoch.number, epoch.first_height, epoch.protocol_version, parameters, validators)
        _check_limits(changed)
        return changed

    def _decision(self, number: int) -> Decision:
        return _shaped(self._state.get(storage_key(RULES, "decided", (number,))), f"decision {number}")

    def _pending(self) -> Iterator[tuple[int, int]]:
        """(start, number) of decisions that wait, in order."""
        key = self._state.next_key(PENDING, None)
        while key is not None:
            yield _pending_of(key)
            key = self._state.next_key(PENDING, key)


def _pending_key(start: int, number: int) -> bytes:
    return PENDING + start.to_bytes(8, "big") + number.to_bytes(8, "big")


def _pending_of(key: bytes) -> tuple[int, int]:
    at = len(PENDING)
    return int.from_bytes(key[at : at + 8], "big"), int.from_bytes(key[at + 8 :], "big")


def _shaped(stored: object, what: str) -> Decision:
    if type(stored) is not tuple or len(stored) != 6:
        raise InvariantViolation(f"{what} of the contract {RULES!r} isn't (height, kind, subject, key, value, note)")
    return stored


def _check_limits(epoch: Epoch) -> None:
    parameters = epoch.parameters
    try:
        check_messages_fit(
            len(epoch.validators),
            epoch.validator_set().quorum,
            window=parameters.window,
            max_block_transactions=parameters.max_block_transactions,
            max_block_bytes=parameters.max_block_bytes,
        )
    except ConfigError as error:
        raise NotApplicable(str(error), code="epoch.messages-too-long") from None
    try:
        check_memory(parameters)
    except ConfigError as error:
        raise NotApplicable(str(error), code="epoch.memory") from None


def _changed_parameters(parameters: Parameters, key: object, value: object) -> Parameters:
    names = Parameters.__struct_fields__
    if key not in names or key in _TEXT_PARAMETERS or type(value) is not int or not 0 < value < 1 << 62:
        raise NotApplicable(f"parameter {key!r} can't become {value!r}")
    changed = Parameters(**{**{name: getattr(parameters, name) for name in names}, str(key): value})
    if changed.epoch_blocks <= changed.window:
        raise NotApplicable("an epoch must be longer than the window")
    if changed.validity_blocks < parameters.validity_blocks:
        # Ids are kept as long as the parameter says now: one that ran before with a later end would be forgotten before that end, and run again.
        raise NotApplicable("validity_blocks can't be lowered: transactions that ran could run again", code="epoch.validity-lowered")
    if changed.gas_schedule not in SCHEDULES:
        raise NotApplicable(f"this program has no gas schedule {changed.gas_schedule}")
    return changed
