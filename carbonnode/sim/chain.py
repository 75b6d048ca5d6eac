"""What execution means in the simulator: a block is a pure function of its parent and its batch, as in the ledger."""

from dataclasses import dataclass

from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.hashing import ZERO_HASH, tagged_hash
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.consensus.config import EpochConfig
from carbonnode.sim.keys import SimSigner

SHORT_WINDOW = 4
"""The window where the validator set changes: an epoch then begins five blocks after it is decided."""


@dataclass(frozen=True)
class Block:
    """An executed height. `applied` are the transactions that took effect here; `seen` all up to here; `epoch` its own, `following` that of the next height.

    `decided` is an epoch that is decided and hasn't begun by the next height.
    """

    height: int
    header_hash: bytes
    parent: bytes
    digest: bytes
    applied: tuple[bytes, ...]
    seen: frozenset[bytes]
    epoch: EpochConfig
    following: EpochConfig
    decided: EpochConfig | None


class Execution:
    """The deterministic ledger that all nodes share the code of. `plans`: transactions that change the validator set (to node numbers)."""

    def __init__(self, first: EpochConfig, members: dict[int, Validator]) -> None:
        self.members = members
        self.numbers = {member.consensus_key: number for number, member in members.items()}
        self._blocks: dict[tuple[bytes, bytes], Block] = {}
        self.plans: dict[bytes, tuple[int, ...]] = {}
        self.genesis = Block(0, tagged_hash(b"sim genesis", first.validators.hash), ZERO_HASH, ZERO_HASH, (), frozenset(), first, first, None)

    def run(self, parent: Block, batch: Batch) -> Block:
        """The block of `batch` on `parent`."""
        key = (parent.header_hash, batch.digest)
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = self._run(parent, batch)
        return block

    def _run(self, parent: Block, batch: Batch) -> Block:
        height = parent.height + 1
        applied = tuple(h for h in batch.wire_hashes if h not in parent.seen)
        epoch = parent.following
        decided = parent.decided
        for wire_hash in applied:
            if decided is None and wire_hash in self.plans:
                members = tuple(self.members[number] for number in self.plans[wire_hash])
                first = height + epoch.parameters.window + 1
                decided = EpochConfig(epoch.epoch + 1, first, ValidatorSet(members), epoch.parameters)
        following = epoch
        if decided is not None and decided.first_height == height + 1:
            following, decided = decided, None
        header_hash = tagged_hash(b"sim header", parent.header_hash, batch.digest, *applied)
        return Block(height, header_hash, parent.header_hash, batch.digest, applied, parent.seen | set(applied), epoch, following, decided)


def members(count: int) -> dict[int, Validator]:
    """Validators by node number."""
    return {number: Validator(f"node-{number}", "super", SimSigner(number).public_key, SimSigner(number, b"transport").public_key) for number in range(count)}


def parameters(window: int = 8) -> Parameters:
    """Epoch parameters with a short window and short time-outs, so that a short run meets every edge."""
    return Parameters(window=window, max_timeout_ms=8_000, max_block_transactions=20, epoch_blocks=16)
