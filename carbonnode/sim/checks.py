"""What must hold after every step, whatever the faults, and what is counted on the way.

Agreement, validity, no double vote, persist before send, prefix order, equal roots, at-most-once execution, bounded memory.
"""

from collections import Counter
from collections.abc import Callable

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate, checkpoint_bytes
from carbonnode.chain.hashing import tagged_hash
from carbonnode.consensus import actions as act
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.evidence import Evidence, verify_evidence
from carbonnode.consensus.replica import Replica
from carbonnode.sim.chain import VALIDITY_BLOCKS, Block, state_root
from carbonnode.sim.disk import Decided
from carbonnode.sim.votes import VoteChecks
from carbonnode.sim.world import WALL_START_MS, World

_MEMORY_EVERY = 7
_TIME_SLACK_MS = 12 * 3_600_000
"""Pauses and clock jumps put batches hours off at most; the villains' times are a day off."""


class Checks(VoteChecks):
    """Watches the honest nodes. Every method is told something the moment it happens; what they say is watched by `VoteChecks`."""

    def __init__(self, world: World, honest: Callable[[int], bool]) -> None:
        super().__init__(world, honest)
        self.chain: list[Block] = [world.execution.genesis]
        self.orders: dict[int, bytes] = {}
        self.views: set[tuple[int, int]] = set()
        self.alarms: Counter[str] = Counter()
        self.blames: Counter[str] = Counter()
        self.proven_faulty: set[int] = set()
        self.trusted_wrong: set[int] = set()
        """Honest nodes whose executor the scenario made wrong: their headers aren't held against them."""
        self.abstainers: set[int] = set()
        self._next_order: dict[int, int] = {}
        self._steps = 0

    @property
    def top(self) -> int:
        """The highest height certified at any honest node."""
        return self.chain[-1].height

    # ---- order and blocks

    def started(self, node: int, block: Block) -> None:
        """A process starts from a block on its disk."""
        self._next_order[node] = block.height + 1

    def synced(self, node: int, block: Block) -> None:
        """A node took over certified blocks."""
        self._next_order[node] = block.height + 1

    def ordered(self, node: int, height: int, digest: bytes, batch: Batch) -> None:
        """The order of a height is fixed at a node: the same everywhere, valid, and each height once."""
        if not self.honest(node):
            return
        if height != self._next_order[node]:
            self.world.violation(f"node {node} executes height {height}, expected {self._next_order[node]}")
        self._next_order[node] = height + 1
        if batch.digest != digest:
            self.world.violation(f"node {node} executes another batch at height {height} than the one that was voted for")
        if height not in self.orders and batch.time_ms and abs(batch.time_ms - self.world.now - WALL_START_MS) > _TIME_SLACK_MS:
            self.world.violation(f"a batch was ordered at height {height} whose time is {batch.time_ms - self.world.now - WALL_START_MS} ms off")
        agreed = self.orders.setdefault(height, digest)
        if agreed != digest:
            self.world.violation(f"disagreement: node {node} ordered {digest.hex()[:8]} at height {height}, others {agreed.hex()[:8]}")
        if any(wire_hash in self.world.invalid for wire_hash in batch.wire_hashes):
            self.world.violation(f"an invalid transaction was ordered at height {height}")

    def finalised(self, node: int, block: Block, certificate: Certificate) -> None:
        """A block is final at a node: the same header everywhere, on top of the one before, with a certificate that holds."""
        if not self.honest(node):
            return
        if block.height <= self.top:
            if self.chain[block.height].header_hash != block.header_hash:
                self.world.violation(f"fork: node {node} finalised {block.header_hash.hex()[:8]} at height {block.height}")
            return
        parent = self.chain[-1]
        if block.height != parent.height + 1 or block.parent != parent.header_hash:
            self.world.violation(f"node {node} finalised height {block.height} on something else than height {parent.height}")
            return
        self._check_certificate(block, certificate)
        self._append(block)

    def _append(self, block: Block) -> None:
        if set(block.applied) & self.chain[-1].seen:
            self.world.violation(f"a transaction was applied twice, at height {block.height}")
        self.chain.append(block)
        self.epochs[block.following.epoch] = block.following
        if block.decided is not None:
            self.ends[block.decided.epoch - 1] = block.decided.base
        self.judge_marks()
        self.world.note(f"height {block.height} is certified: {block.header_hash.hex()[:8]}, {len(block.applied)} transactions")

    def _check_certificate(self, block: Block, certificate: Certificate) -> None:
        if (certificate.height, certificate.header_hash) != (block.height, block.header_hash):
            self.world.violation(f"the certificate of height {block.height} names another block")
        # Counted here once more, without a line of the code that is under test.
        validators = block.epoch.validators.validators
        count = len(validators)
        needed = next(q for q in range(count + 1) if 2 * q - count > (count - 1) // 3)
        signed = checkpoint_bytes(self.world.chain_id, block.epoch.epoch, block.height, block.header_hash)
        signers = {index for index, signature in certificate.votes if self.world.ring.verify(validators[index].consensus_key, signed, signature)}
        if certificate.epoch != block.epoch.epoch or len(signers) < needed or len(signers) != len(certificate.votes):
            self.world.violation(f"height {block.height} has a bad certificate: {len(signers)} good votes of {len(certificate.votes)}, {needed} needed")

    # ---- snapshots

    def installed(self, node: int, decided: Decided) -> None:
        """A node begins anew from a fetched state: the certified one of that height, leaf by leaf, with the ids of the blocks before it."""
        if not self.honest(node):
            return
        block = decided.block
        where = f"node {node} takes over a state of height {block.height}"
        true = self.world.execution.by_hash.get(block.header_hash)
        if true is None:
            self.world.violation(f"{where} whose header {block.header_hash.hex()[:8]} nobody ever made")
            return
        self._reach(node, true)
        if self.chain[block.height] is not true:
            self.world.violation(f"{where} that is of another chain: {block.header_hash.hex()[:8]}")
        self._check_certificate(true, decided.certificate)
        root, certified = state_root(block.leaves), true.header.state_root
        if root != certified or block.leaves != true.leaves:
            self.world.violation(f"{where} that isn't the certified one: root {root.hex()[:8]}, certified {certified.hex()[:8]}")
        if block.seen != true.seen or [_text(e) for e in (block.following, block.decided)] != [_text(e) for e in (true.following, true.decided)]:
            self.world.violation(f"{where} and reads it otherwise than those who executed it")
        lowest = max(1, block.height - VALIDITY_BLOCKS)
        if decided.ids != {height: self.world.execution.ids(self.chain[height]) for height in range(lowest, block.height + 1)}:
            self.world.violation(f"{where} with other ids than were executed")

    def _reach(self, node: int, block: Block) -> None:
        """A quorum may have certified blocks that no honest node holds yet: they belong to the chain all the same."""
        missing: list[Block] = []
        while block.height > self.top:
            missing.append(block)
            block = self.world.execution.by_hash[block.parent]
        if self.chain[block.height] is not block:
            self.world.violation(f"fork: node {node} takes over a state on {block.header_hash.hex()[:8]} at height {block.height}")
            return
        for one in reversed(missing):
            self._append(one)

    def accused(self, node: int, peer: int, why: str) -> None:
        """A node says that a peer lied about a snapshot."""
        if self.honest(node):
            self.blames["snapshot"] += 1
            self.world.note(f"n{node} refuses n{peer}'s: {why}")
            if self.honest(peer):
                self.world.violation(f"node {node} blames the honest node {peer}: {why}")

    # ---- the rest

    def wrong_root(self, block: Block) -> bytes:
        """The header hash of a faulty executor."""
        return tagged_hash(b"sim wrong root", block.header_hash)

    def stepped(self, node: int, replica: Replica) -> None:
        """After a step of an honest replica: memory is bounded (looked at now and then, as counting takes longer than a step)."""
        self._steps += 1
        if self._steps % _MEMORY_EVERY or not self.honest(node):
            return
        state = replica.state()
        parameters = self.chain[-1].following.parameters
        validators = len(self.world.execution.members)
        # Heights up to twice the window, with votes, batches, certificates; four windows of early messages a signer; evidence up to its own bound.
        bound = 2 * parameters.window * (validators + 8) + 2 * validators + 600
        if state.held - state.early > bound or state.most_early > 4 * parameters.window:
            self.world.violation(f"node {node} holds {state.held} entries, of them {state.early} early, {state.most_early} of one signer: more than {bound}")

    def evidence(self, node: int, evidence: Evidence) -> None:
        """Evidence must hold, and never name an honest node."""
        config = self.epochs.get(evidence.epoch)
        if not self.honest(node) or config is None:
            return
        if not verify_evidence(evidence, config.validators, self.world.chain_id, self.world.ring.verify):
            self.world.violation(f"node {node} reported evidence that doesn't hold")
        key = config.validators[evidence.signer].consensus_key
        accused = next(number for number, member in self.world.execution.members.items() if member.consensus_key == key)
        self.proven_faulty.add(accused)
        self.world.note(f"n{node} holds proof: n{accused} signed two of {evidence.kind} h{evidence.height} v{evidence.view}")
        if self.honest(accused) and accused not in self.abstainers:
            self.world.violation(f"evidence of {evidence.kind} against the honest node {accused}")

    def timer(self, node: int, delay_ms: int) -> None:
        """No timer runs longer than the cap and an idle block's pause: a long outage must not be followed by an hour of patience."""
        parameters = self.chain[-1].following.parameters
        if self.honest(node) and delay_ms > parameters.max_timeout_ms + parameters.idle_block_ms:
            self.world.violation(f"node {node} sets a timer of {delay_ms} ms")

    def view_entered(self, node: int, epoch: int, view: int, *, active: bool) -> None:
        """Count the views that honest nodes entered."""
        if self.honest(node) and view > 0:
            if (epoch, view) not in self.views:
                self.world.note(f"view {view} of epoch {epoch} begins")
            self.views.add((epoch, view))
            self.entered(node, epoch, view, active=active)

    def alarm(self, node: int, code: str) -> None:
        """Alarms of honest nodes; some mean that the replica itself is wrong."""
        if not self.honest(node):
            return
        self.alarms[code] += 1
        self.world.note(f"n{node} alarm {code}")
        if code in ("nondeterminism", "divergence", "no-quorum") and node not in self.trusted_wrong:
            self.world.violation(f"node {node} raised the alarm {code} without cause")

    def blamed(self, node: int, action: act.Blame) -> None:
        """A peer was refused: never an honest one, not even for what it handed on, or honest validators would ban each other."""
        if not self.honest(node):
            return
        self.blames[action.code] += 1
        self.world.note(f"n{node} refuses: {action.detail}")
        accused = next((number for number, member in self.world.execution.members.items() if member.name == action.peer), None)
        if accused is not None and self.honest(accused):
            self.world.violation(f"node {node} blames the honest node {accused}: {action.code}: {action.detail}")


def _text(epoch: EpochConfig | None) -> tuple[object, ...] | None:
    """An epoch in comparable form."""
    return None if epoch is None else (epoch.epoch, epoch.first_height, epoch.validators.hash, epoch.parameters)
