"""Epochs: the validators, parameters, protocol version and contract code that hold, and decided changes that wait (design, section 3).

The contract `rules` appends every adopted proposal to its storage `decided`: number -> (height, kind, subject, key, value, note). After each block the
ledger takes up new ones. Kinds that it acts on take effect at the first block of an epoch, which starts at the decided height, or where that lies
within the window at the next multiple of `epoch_blocks` beyond it:

- `chain`: consensus or execution parameter `key` becomes `value`
- `contract`: contract `subject` gets the source with the hash `key` (hex), whose parts lie in `rules` storage `code`: (hash, part) -> text
- `validators`: the voting set becomes the one encoded in `note` (hex of the canonical array of validators)

Other kinds are the contract's own affair. A decision that can't be carried out is recorded with a code and changes nothing: a vote must not stop
the chain.
"""

from typing import Final

from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.genesis import Genesis, Parameters
from carbonnode.chain.header import PROTOCOL_VERSION
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import CarbonnodeError, InvariantViolation
from carbonnode.ledger.code import ContractCode
from carbonnode.ledger.layout import DECIDED, EPOCH, OUTCOMES, PENDING
from carbonnode.ledger.results import NextEpoch
from carbonnode.ledger.state import WorkingState
from carbonnode.vm.keys import storage_key

RULES: Final = "rules"
ACTED_ON: Final = frozenset({"chain", "contract", "validators"})
_TEXT_PARAMETERS: Final = frozenset({"profile", "python"})
_MAX_VALIDATOR_BYTES: Final = 64 * 1024


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


def genesis_epoch(genesis: Genesis) -> Epoch:
    """Epoch 0, which holds from height 0."""
    return Epoch(0, 0, PROTOCOL_VERSION, genesis.parameters, genesis.validators.validators)


class Epochs:
    """The current epoch and those decided, kept in the state."""

    def __init__(self, state: WorkingState, code: ContractCode) -> None:
        self._state = state
        self._code = code
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
        return None if key is None else int.from_bytes(key[len(PENDING) : len(PENDING) + 8], "big")

    def upcoming(self) -> Epoch | None:
        """The next epoch as decided so far."""
        start = self.start_height()
        if start is None:
            return None
        epoch, _ = self.current()
        for number in self._pending_at(start):
            epoch = _changed(epoch, self._decision(number))
        return Epoch(epoch.number + 1, start, epoch.protocol_version, epoch.parameters, epoch.validators)

    def enter(self, height: int) -> bool:
        """At the first block of a decided epoch, before its jobs: put the changes into effect. Returns whether an epoch began."""
        if self.start_height() != height:
            return False
        following = self.upcoming()
        if following is None:
            raise InvariantViolation(f"the epoch at height {height} vanished")
        for number in self._pending_at(height):
            decision = self._decision(number)
            if decision[1] == "contract":
                self._code.install(str(decision[2]), self._source(str(decision[3])))
            self._state.delete(_pending_key(height, number))
        self.write(following)
        return True

    def take_up(self, height: int) -> None:
        """After the transactions of `height`: take up what `rules` decided in it."""
        state = self._state
        taken = state.get(DECIDED)
        number = first = taken if type(taken) is int else 0
        while type(state.get(storage_key(RULES, "decided", (number,)))) is tuple:
            decision = self._decision(number)
            if decision[1] in ACTED_ON:
                code = self._check(decision)
                state.put(OUTCOMES + number.to_bytes(8, "big"), code)
                if not code:
                    start = self._start_for(decision[0], height)
                    state.put(_pending_key(start, number), True)
            number += 1
        if number != first:
            state.put(DECIDED, number)

    def _start_for(self, wanted: object, height: int) -> int:
        parameters = self.current()[0].parameters
        start = wanted if type(wanted) is int else 0
        if start > height + parameters.window:
            return start
        return ((height + parameters.window) // parameters.epoch_blocks + 1) * parameters.epoch_blocks

    def _check(self, decision: tuple[object, ...]) -> str:
        """Empty if the decision can be carried out, else a stable code."""
        try:
            if decision[1] == "contract":
                return self._code.verdict(str(decision[2]), str(decision[3]), self._source(str(decision[3])))
            changed = _changed(self.current()[0], decision)
            changed.validator_set()
        except (CarbonnodeError, ValueError):
            return "epoch.malformed"
        return ""

    def _source(self, source_hash: str) -> str:
        parts: list[str] = []
        while type(part := self._state.get(storage_key(RULES, "code", (source_hash, len(parts))))) is str:
            parts.append(part)
        return "".join(parts)

    def _decision(self, number: int) -> tuple[object, ...]:
        stored = self._state.get(storage_key(RULES, "decided", (number,)))
        if type(stored) is not tuple or len(stored) != 6:
            raise InvariantViolation(f"decision {number} of the contract {RULES!r} isn't (height, kind, subject, key, value, note)")
        return stored

    def _pending_at(self, start: int) -> list[int]:
        prefix, numbers = PENDING + start.to_bytes(8, "big"), []
        key = self._state.next_key(prefix, None)
        while key is not None:
            numbers.append(int.from_bytes(key[len(prefix) :], "big"))
            key = self._state.next_key(prefix, key)
        return numbers


def _pending_key(start: int, number: int) -> bytes:
    return PENDING + start.to_bytes(8, "big") + number.to_bytes(8, "big")


def _changed(epoch: Epoch, decision: tuple[object, ...]) -> Epoch:
    """The epoch with one decision applied. Raises `ValueError` or a `CarbonnodeError` if it can't be."""
    _, kind, _, key, value, note = decision
    if kind == "chain":
        names = Parameters.__struct_fields__
        if key not in names or key in _TEXT_PARAMETERS or type(value) is not int or not 0 < value < 1 << 62:
            raise ValueError(f"parameter {key!r} can't become {value!r}")
        current = {name: getattr(epoch.parameters, name) for name in names}
        changed = Parameters(**{**current, str(key): value})
        if changed.epoch_blocks <= changed.window:
            raise ValueError("an epoch must be longer than the window")
        return Epoch(epoch.number, epoch.first_height, epoch.protocol_version, changed, epoch.validators)
    if kind == "validators":
        raw = bytes.fromhex(str(note))
        validators = decode(raw, tuple[Validator, ...], max_bytes=_MAX_VALIDATOR_BYTES)
        return Epoch(epoch.number, epoch.first_height, epoch.protocol_version, epoch.parameters, validators)
    return epoch
