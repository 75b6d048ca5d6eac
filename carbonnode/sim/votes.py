"""What an honest node may say: a vote once, durable before it leaves, in no view it left, between the water marks, in its epoch; nobody else may say it."""

from collections.abc import Callable, Iterable

from carbonnode.chain.batch import NULL_BATCH
from carbonnode.consensus import actions as act
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.evidence import CHECKPOINT, COMMIT, PRE_PREPARE, PREPARE
from carbonnode.consensus.journal import Entered, Left, Prepared, Voted, decode_record
from carbonnode.consensus.messages import Checkpoint, Commit, Message, NewView, Prepare, PrePrepare, Suspect, ViewChange, batch_digest
from carbonnode.consensus.replica import Replica
from carbonnode.sim.world import World

_Vote = tuple[str, int, int, int]
"""Kind, epoch, view (0 for a checkpoint), height."""


def follows(message: NewView, proven: int) -> bool:
    """Whether a new view proposes what its VIEW-CHANGEs ask for; worked out here once more, without the code that is under test."""
    proofs = [proof for vc in message.view_changes for proof in vc.prepared if proof.height > proven]
    wanted: list[tuple[int, set[bytes]]] = []
    for height in range(proven + 1, max((proof.height for proof in proofs), default=proven) + 1):
        highest = max((proof.view for proof in proofs if proof.height == height), default=-1)
        wanted.append((height, {p.digest for p in proofs if (p.height, p.view) == (height, highest)} or {NULL_BATCH.digest}))
    said = message.proposals
    return len(said) == len(wanted) and all(p.height == height and p.digest in digests for p, (height, digests) in zip(said, wanted, strict=True))


class VoteChecks:
    """Remembers all that honest nodes ever said, across their crashes."""

    def __init__(self, world: World, honest: Callable[[int], bool]) -> None:
        self.world = world
        self.honest = honest
        self.epochs: dict[int, EpochConfig] = {world.execution.genesis.following.epoch: world.execution.genesis.following}
        self.ends: dict[int, int] = {}
        """The last height of an epoch, once the next one is decided."""
        self._given: dict[tuple[int, _Vote], bytes] = {}
        self._said: dict[tuple[int, type, int, int], Message] = {}
        self._waiting: dict[tuple[int, int], tuple[int, list[bytes]]] = {}
        """By node and token: the stable height at which they were given, and the records."""
        self.prepared: dict[int, tuple[int, int]] = {}
        """Height and view of the prepared certificate that a node kept last."""
        self._unjudged: list[tuple[int, int, Voted]] = []
        self._durable: set[tuple[int, _Vote, bytes]] = set()
        self._left: dict[tuple[int, int], int] = {}
        self._gone: dict[tuple[int, int], int] = {}
        self._highest_view: dict[int, int] = {}
        self._lost: dict[int, int] = {}
        self._offered: dict[tuple[int, int, int], list[NewView]] = {}
        self._proved: set[tuple[int, int, int]] = set()

    # ---- durability

    def recovered(self, node: int, journal: Iterable[bytes]) -> None:
        """Records read back at a start are durable."""
        for data in journal:
            self._note_durable(node, data)

    def persisting(self, node: int, action: act.Persist, replica: Replica) -> None:
        """Records handed to the disk: the moment at which a vote is given, though it may be sent only after a crash, from below those marks."""
        records = [record.data for record in action.records]
        self._waiting[node, action.token] = (replica.stable, records)
        for record in map(decode_record, records):
            if isinstance(record, Entered) and self.honest(node):
                self._holds_the_start(node, record.message, replica)

    def _holds_the_start(self, node: int, message: NewView, replica: Replica) -> None:
        """Who proves a view holds the state it starts from, at the moment when it signs that: a loss of power may take the blocks, not the promise."""
        key = (node, message.epoch, message.view)
        if self.member(message.epoch, message.signer) != node or key in self._proved:
            return
        self._proved.add(key)
        proven = self._proven(message)
        if proven > replica.stable:
            self.world.violation(f"node {node} leads view {message.view} without the stable state of height {proven}")

    def durable(self, node: int, token: int) -> None:
        """All up to a token are on disk."""
        for key in [key for key in self._waiting if key[0] == node and key[1] <= token]:
            stable, records = self._waiting.pop(key)
            self._between_marks(node, stable, records)
            for data in records:
                self._note_durable(node, data)

    def _between_marks(self, node: int, stable: int, records: list[bytes]) -> None:
        decoded = [decode_record(data) for data in records]
        # What a NEW-VIEW proposes again was prepared once, before a loss of power took blocks: it may lie up to two windows above what is left.
        again = {(entered.message.view, p.height, p.digest) for entered in decoded if isinstance(entered, Entered) for p in entered.message.proposals}
        for record in decoded:
            if isinstance(record, Voted) and self.honest(node):
                if record.kind == PRE_PREPARE and (record.view, record.height, record.digest) in again:
                    continue
                self._unjudged.append((node, stable, record))
        self.judge_marks()

    def judge_marks(self) -> None:
        """Hold votes against the marks of their epochs; those of an epoch that begins with a block which is final nowhere yet wait for it."""
        waiting = []
        for node, stable, record in self._unjudged:
            config = self.epochs.get(record.epoch)
            if config is None:
                waiting.append((node, stable, record))
                continue
            high = stable + config.parameters.window
            if record.height > high or record.height > self.ends.get(record.epoch, record.height):
                vote = (record.kind, record.epoch, record.view, record.height)
                self.world.violation(f"node {node} votes above its high water mark {high}, or its epoch's last height: {vote}")
        self._unjudged = waiting

    def _note_durable(self, node: int, data: bytes) -> None:
        record = decode_record(data)
        if isinstance(record, Voted):
            self._durable.add((node, (record.kind, record.epoch, record.view, record.height), record.digest))
        elif isinstance(record, Left):
            key = (node, record.message.epoch)
            self._left[key] = max(self._left.get(key, 0), record.message.view)
        elif isinstance(record, Prepared):
            self.prepared[node] = (record.proof.height, record.proof.view)

    def crashed(self, node: int) -> None:
        """What waited for the disk waits no more; it may have reached it."""
        for key in [key for key in self._waiting if key[0] == node]:
            self._between_marks(node, *self._waiting.pop(key))

    def lost_disk(self, node: int) -> None:
        """A node forgot all it ever said: it must be silent until nothing can contradict that."""
        voted = max((vote[3] for number, vote in self._given if number == node), default=0)
        self._lost[node] = max(self._lost.get(node, 0), voted)

    # ---- saying

    def sending(self, node: int, message: Message, replica: Replica) -> None:
        """A node sends; its own votes are held against all it ever said."""
        if not self.honest(node):
            return
        for vote, digest in self._votes_in(message):
            if self.member(vote[1], message.signer) == node:  # type: ignore[union-attr]  # only signed messages hold votes
                self._own_vote(node, vote, digest, message)
        if isinstance(message, ViewChange | NewView | Suspect) and self.member(message.epoch, message.signer) == node:
            self._own_view(node, message, replica)

    def _own_vote(self, node: int, vote: _Vote, digest: bytes, message: Message) -> None:
        kind, epoch, view, height = vote
        before = self._given.setdefault((node, vote), digest)
        if before != digest:
            self.world.violation(f"double vote: node {node} signed {before.hex()[:8]} and {digest.hex()[:8]} for {vote}")
        if isinstance(message, NewView):
            return  # some of its proposals are below what is certified: nothing rests on them
        if (node, vote, digest) not in self._durable:
            self.world.violation(f"sent before durable: node {node}, {vote}")
        if kind != CHECKPOINT and view < self._gone.get((node, epoch), 0):
            self.world.violation(f"node {node} votes in view {view}, which it left: {vote}")
        if height <= self._lost.get(node, 0):
            self.world.violation(f"node {node} lost its disk, and votes where it may have voted before: {vote}")

    def _own_view(self, node: int, message: ViewChange | NewView | Suspect, replica: Replica) -> None:
        key = (node, message.epoch)
        said = self._said.setdefault((node, type(message), message.epoch, message.view), message)
        new = said is message
        # Its own NEW-VIEW of a time before the loss may come back to it, and be handed on like anybody's.
        handed_on = isinstance(message, NewView) and not new and said == message
        if replica.stable < self._lost.get(node, 0) and not handed_on:
            self.world.violation(f"node {node} lost its disk, and takes part in a view change all the same")
        if isinstance(message, NewView) and new:  # said again, it may come from a node whose power loss took blocks
            self._own_new_view(node, message)
        if isinstance(message, ViewChange):
            if self._left.get(key, 0) < message.view:
                self.world.violation(f"VIEW-CHANGE sent before durable: node {node}, view {message.view}")
            if message.view > self._highest_view.get(message.epoch, 0) + 1:
                self.world.violation(f"node {node} jumps to view {message.view}, which no honest node is near")
            self._gone[key] = max(self._gone.get(key, 0), message.view)
            self.reached(message.epoch, message.view)

    def _own_new_view(self, node: int, message: NewView) -> None:
        """A new view starts from what its VIEW-CHANGEs prove."""
        if not follows(message, self._proven(message)):
            self.world.violation(f"node {node} leads view {message.view} with other batches than were prepared last")

    def _proven(self, message: NewView) -> int:
        return max((vc.stable.height for vc in message.view_changes if vc.stable is not None), default=self.epochs[message.epoch].base)

    def entered(self, node: int, epoch: int, view: int, *, active: bool) -> None:
        """A node enters a view: by a NEW-VIEW that says what its VIEW-CHANGEs ask for, or by its own."""
        if epoch not in self.epochs:
            self.world.violation(f"node {node} enters view {view} of epoch {epoch}, which hasn't begun")
            return
        offered = self._offered.get((node, epoch, view))
        if active and offered and not any(follows(message, self._proven(message)) for message in offered):
            self.world.violation(f"node {node} enters view {view} by a NEW-VIEW that doesn't follow from its VIEW-CHANGEs")
        self.reached(epoch, view)

    def reached(self, epoch: int, view: int) -> None:
        """An honest node is in a view, or on its way to it."""
        self._highest_view[epoch] = max(self._highest_view.get(epoch, 0), view)

    # ---- hearing

    def heard(self, node: int, message: Message) -> None:
        """A signed message was accepted: what it says in an honest node's name, that node must have said."""
        if not self.honest(node):
            return
        for vote, digest in self._votes_in(message):
            signer = self.member(vote[1], message.signer)  # type: ignore[union-attr]  # only signed messages hold votes
            if signer is not None and self.honest(signer) and self._given.get((signer, vote)) != digest:
                self.world.violation(f"node {node} takes a vote for node {signer}'s that it never gave: {vote}")
        if isinstance(message, ViewChange | NewView | Suspect):
            signer = self.member(message.epoch, message.signer)
            if isinstance(message, NewView):
                self._offered.setdefault((node, message.epoch, message.view), []).append(message)  # judged when it is entered: its epoch may not have begun
            if signer is not None and self.honest(signer) and (signer, type(message), message.epoch, message.view) not in self._said:
                self.world.violation(f"node {node} takes a {type(message).__name__} to view {message.view} for node {signer}'s that it never sent")

    def unsigned(self, node: int, source: int, message: Message) -> None:
        """A signature didn't verify: the link's peer is blamed for it, so no honest one may ever send such a message."""
        if self.honest(node) and self.honest(source):
            self.world.violation(f"node {node} can't verify the {type(message).__name__} that the honest node {source} sent")

    @staticmethod
    def _votes_in(message: Message) -> list[tuple[_Vote, bytes]]:
        if isinstance(message, PrePrepare):
            return [((PRE_PREPARE, message.epoch, message.view, message.height), batch_digest(message.batch))]
        if isinstance(message, Prepare | Commit):
            kind = PREPARE if isinstance(message, Prepare) else COMMIT
            return [((kind, message.epoch, message.view, message.height), message.digest)]
        if isinstance(message, Checkpoint):
            return [((CHECKPOINT, message.epoch, 0, message.height), message.header_hash)]
        if isinstance(message, NewView):
            return [((PRE_PREPARE, message.epoch, message.view, p.height), p.digest) for p in message.proposals]
        return []

    def member(self, epoch: int, index: int) -> int | None:
        """The number of the node with this index in an epoch; None for an epoch that nobody entered yet."""
        config = self.epochs.get(epoch)
        if config is None or not 0 <= index < len(config.validators):
            return None
        return self.world.execution.numbers[config.validators[index].consensus_key]
