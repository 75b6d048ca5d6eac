"""What must hold after every step, whatever the faults, and what is counted on the way.

Agreement, validity, no double vote, persist before send, prefix order, equal roots, at-most-once execution, bounded memory.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate
from carbonnode.chain.hashing import tagged_hash
from carbonnode.consensus import actions as act
from carbonnode.consensus.evidence import CHECKPOINT, COMMIT, PRE_PREPARE, PREPARE, Evidence, verify_evidence
from carbonnode.consensus.journal import Left, Voted, decode_record
from carbonnode.consensus.messages import Checkpoint, Commit, Message, NewView, Prepare, PrePrepare, ViewChange, batch_digest
from carbonnode.consensus.proofs import check_certificate
from carbonnode.consensus.replica import Replica
from carbonnode.errors import PeerViolation
from carbonnode.sim.chain import Block
from carbonnode.sim.world import World

_Vote = tuple[str, int, int, int]


class Checks:
    """Watches the honest nodes. Every method is told something the moment it happens."""

    def __init__(self, world: World, honest: Callable[[int], bool]) -> None:
        self.world = world
        self.honest = honest
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
        self._given: dict[tuple[int, _Vote], bytes] = {}
        self._waiting: dict[tuple[int, int], list[bytes]] = {}
        self._durable: set[tuple[int, _Vote, bytes]] = set()
        self._left: dict[tuple[int, int], int] = {}
        self._epochs = {world.execution.genesis.following.epoch: world.execution.genesis.following}

    @property
    def top(self) -> int:
        """The highest height certified at any honest node."""
        return self.chain[-1].height

    # ---- votes

    def recovered(self, node: int, journal: Iterable[bytes]) -> None:
        """Records read back at a start are durable."""
        for data in journal:
            self._note_durable(node, data)

    def persisting(self, node: int, action: act.Persist) -> None:
        """Records handed to the disk."""
        self._waiting[node, action.token] = [record.data for record in action.records]

    def durable(self, node: int, token: int) -> None:
        """All up to a token are on disk."""
        for key in [key for key in self._waiting if key[0] == node and key[1] <= token]:
            for data in self._waiting.pop(key):
                self._note_durable(node, data)

    def _note_durable(self, node: int, data: bytes) -> None:
        record = decode_record(data)
        if isinstance(record, Voted):
            self._durable.add((node, (record.kind, record.epoch, record.view, record.height), record.digest))
        elif isinstance(record, Left):
            key = (node, record.message.epoch)
            self._left[key] = max(self._left.get(key, 0), record.message.view)

    def sending(self, node: int, message: Message) -> None:
        """An honest node sends: its own votes must be single, durable, and of no view it left."""
        if not self.honest(node):
            return
        for vote, digest, own in self._votes_in(node, message):
            if not own:
                continue
            before = self._given.setdefault((node, vote), digest)
            if before != digest:
                self.world.violation(f"double vote: node {node} signed {before.hex()[:8]} and {digest.hex()[:8]} for {vote}")
            if (node, vote, digest) not in self._durable:
                self.world.violation(f"sent before durable: node {node}, {vote}")
        if isinstance(message, ViewChange) and self._own(node, message.epoch, message.signer) and self._left.get((node, message.epoch), 0) < message.view:
            self.world.violation(f"VIEW-CHANGE sent before durable: node {node}, view {message.view}")

    def _votes_in(self, node: int, message: Message) -> list[tuple[_Vote, bytes, bool]]:
        if isinstance(message, PrePrepare):
            vote = (PRE_PREPARE, message.epoch, message.view, message.height)
            return [(vote, batch_digest(message.batch), self._own(node, message.epoch, message.signer))]
        if isinstance(message, Prepare | Commit):
            kind = PREPARE if isinstance(message, Prepare) else COMMIT
            return [((kind, message.epoch, message.view, message.height), message.digest, self._own(node, message.epoch, message.signer))]
        if isinstance(message, Checkpoint):
            return [((CHECKPOINT, message.epoch, 0, message.height), message.header_hash, self._own(node, message.epoch, message.signer))]
        if isinstance(message, NewView) and self._own(node, message.epoch, message.signer):
            floor = min((p.height for p in message.proposals), default=0)
            return [((PRE_PREPARE, message.epoch, message.view, p.height), p.digest, p.height > max(floor, self.top)) for p in message.proposals]
        return []

    def _own(self, node: int, epoch: int, signer: int) -> bool:
        config = self._epochs.get(epoch)
        members = self.world.execution.members
        return config is not None and 0 <= signer < len(config.validators) and config.validators[signer] == members[node]

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
        if set(block.applied) & parent.seen:
            self.world.violation(f"a transaction was applied twice, at height {block.height}")
        self._check_certificate(block, certificate)
        self.chain.append(block)
        self._epochs[block.following.epoch] = block.following
        self.world.note(f"height {block.height} is certified: {block.header_hash.hex()[:8]}, {len(block.applied)} transactions")

    def _check_certificate(self, block: Block, certificate: Certificate) -> None:
        if (certificate.height, certificate.header_hash) != (block.height, block.header_hash):
            self.world.violation(f"the certificate of height {block.height} names another block")
        try:
            check_certificate(certificate, block.epoch, self.world.chain_id, self.world.ring.verify)
        except PeerViolation as error:
            self.world.violation(f"height {block.height} has a bad certificate: {error}")

    def wrong_root(self, block: Block) -> bytes:
        """The header hash of a faulty executor."""
        return tagged_hash(b"sim wrong root", block.header_hash)

    # ---- the rest

    def stepped(self, node: int, replica: Replica) -> None:
        """After each step of an honest replica: memory is bounded."""
        state = replica.state()
        validators = len(self.chain[-1].following.validators)
        bound = 64 + 8 * 32 * (validators + 4) * 4
        if self.honest(node) and state.held > bound:
            self.world.violation(f"node {node} holds {state.held} entries, more than {bound}")

    def evidence(self, node: int, evidence: Evidence) -> None:
        """Evidence must hold, and never name an honest node."""
        config = self._epochs.get(evidence.epoch)
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

    def view_entered(self, node: int, epoch: int, view: int) -> None:
        """Count the views that honest nodes entered."""
        if self.honest(node) and view > 0:
            if (epoch, view) not in self.views:
                self.world.note(f"view {view} of epoch {epoch} begins")
            self.views.add((epoch, view))

    def alarm(self, node: int, code: str) -> None:
        """Alarms of honest nodes; some mean that the replica itself is wrong."""
        if not self.honest(node):
            return
        self.alarms[code] += 1
        self.world.note(f"n{node} alarm {code}")
        if code in ("nondeterminism", "divergence") and node not in self.trusted_wrong:
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

    def unsigned(self, node: int, source: int, message: Message) -> None:
        """A signature didn't verify: the link's peer is blamed for it, so no honest one may ever send such a message."""
        if self.honest(node) and self.honest(source):
            self.world.violation(f"node {node} can't verify the {type(message).__name__} that the honest node {source} sent")
