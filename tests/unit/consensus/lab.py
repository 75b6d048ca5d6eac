"""A laboratory: one real replica, and everything the other members of its network could say to it, correctly signed or not."""

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate, checkpoint_bytes
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.hashing import ZERO_HASH, blake2b_256
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus import messages as msg
from carbonnode.consensus.config import EpochConfig, StableState, Tuning
from carbonnode.consensus.replica import Replica
from carbonnode.sim.chain import members
from carbonnode.sim.keys import KeyRing, SimSigner

WALL = 1_700_000_000_000


class Lab:
    """A network of `count` signers; replica `index` of it is real."""

    def __init__(self, count: int = 4, window: int = 8) -> None:
        self.count = count
        self.chain_id = b"c" * 32
        self.ring = KeyRing()
        self.signers = [SimSigner(number) for number in range(count + 4)]
        for signer in self.signers:
            self.ring.add(signer)
        people = members(count + 4)
        self.validators = ValidatorSet(tuple(people[i] for i in range(count)))
        self.people = people
        self.parameters = Parameters(window=window)
        self.epoch = EpochConfig(0, 1, self.validators, self.parameters)

    def replica(
        self,
        index: int = 1,
        *,
        journal: tuple[bytes, ...] = (),
        stable: StableState | None = None,
        lost_votes: bool = False,
        epoch: EpochConfig | None = None,
        next_epoch: EpochConfig | None = None,
        tuning: Tuning | None = None,
        auto_execute: bool = True,
    ) -> "Driven":
        """A started replica behind an obliging driver."""
        replica = Replica.restore(
            signer=self.signers[index],
            chain_id=self.chain_id,
            epoch=epoch or self.epoch,
            next_epoch=next_epoch,
            stable=stable or StableState(0, ZERO_HASH, None),
            journal=journal,
            lost_votes=lost_votes,
            tuning=tuning,
            verifier=self.ring.verify,
        )
        return Driven(replica, auto_execute=auto_execute)

    def batch(self, *names: str, time_ms: int = WALL) -> Batch:
        """A batch of named transactions."""
        return Batch(time_ms, tuple(blake2b_256(name.encode()) for name in names))

    # ---- what others say

    def pre_prepare(self, height: int, batch: Batch, view: int = 0, signer: int | None = None) -> msg.PrePrepare:
        who = view % self.count if signer is None else signer
        signature = self.signers[who].sign(msg.pre_prepare_bytes(self.chain_id, 0, view, height, batch.digest))
        return msg.PrePrepare(0, view, height, batch.encoded, who, signature)

    def prepare(self, signer: int, height: int, digest: bytes, view: int = 0) -> msg.Prepare:
        return msg.Prepare(0, view, height, digest, signer, self.signers[signer].sign(msg.prepare_bytes(self.chain_id, 0, view, height, digest)))

    def commit(self, signer: int, height: int, digest: bytes, view: int = 0) -> msg.Commit:
        return msg.Commit(0, view, height, digest, signer, self.signers[signer].sign(msg.commit_bytes(self.chain_id, 0, view, height, digest)))

    def checkpoint(self, signer: int, height: int, header_hash: bytes, epoch: int = 0) -> msg.Checkpoint:
        return msg.Checkpoint(epoch, height, header_hash, signer, self.signers[signer].sign(checkpoint_bytes(self.chain_id, epoch, height, header_hash)))

    def suspect(self, signer: int, view: int = 0) -> msg.Suspect:
        return msg.Suspect(0, view, signer, self.signers[signer].sign(msg.suspect_bytes(self.chain_id, 0, view)))

    def certificate(self, height: int, header_hash: bytes, signers: tuple[int, ...] = (0, 2, 3)) -> Certificate:
        signed = checkpoint_bytes(self.chain_id, 0, height, header_hash)
        return Certificate(0, height, header_hash, tuple((i, self.signers[i].sign(signed)) for i in signers))

    def proof(self, height: int, digest: bytes, view: int = 0, signers: tuple[int, ...] | None = None) -> msg.PreparedProof:
        primary = view % self.count
        backups = signers if signers is not None else tuple(i for i in range(self.count) if i != primary)[: self.validators.quorum - 1]
        proposal = self.signers[primary].sign(msg.pre_prepare_bytes(self.chain_id, 0, view, height, digest))
        signed = msg.prepare_bytes(self.chain_id, 0, view, height, digest)
        return msg.PreparedProof(0, view, height, digest, proposal, tuple((i, self.signers[i].sign(signed)) for i in backups))

    def view_change(self, signer: int, view: int, prepared: tuple[msg.PreparedProof, ...] = (), stable: Certificate | None = None) -> msg.ViewChange:
        unsigned = msg.ViewChange(0, view, stable, prepared, signer, bytes(64))
        return msg.ViewChange(0, view, stable, prepared, signer, self.signers[signer].sign(msg.view_change_bytes(self.chain_id, unsigned)))

    def new_view(self, view: int, changes: tuple[msg.ViewChange, ...], proposals: tuple[tuple[int, bytes], ...]) -> msg.NewView:
        who = view % self.count
        signed = tuple(
            msg.Reproposal(height, digest, self.signers[who].sign(msg.pre_prepare_bytes(self.chain_id, 0, view, height, digest)))
            for height, digest in proposals
        )
        unsigned = msg.NewView(0, view, changes, signed, who, bytes(64))
        return msg.NewView(0, view, changes, signed, who, self.signers[who].sign(msg.new_view_bytes(self.chain_id, unsigned)))


class Driven:
    """A replica and a driver that syncs at once, resolves every batch, and executes to a header made of height and digest."""

    def __init__(self, replica: Replica, *, auto_execute: bool = True) -> None:
        self.replica = replica
        self.now = 1_000
        self.wall_error = 0
        self.log: list[act.AnyAction] = []
        self.durable: list[bytes] = []
        self.auto_persist = True
        self.auto_resolve = True
        self.auto_execute = auto_execute
        self.batches: list[Batch | None] = []
        self.full = False
        self.give(ev.Start(now_ms=self.now, wall_ms=WALL))

    def give(self, event: ev.AnyEvent) -> tuple[act.AnyAction, ...]:
        """One event; obliging answers follow at once. Gives all actions, those of the answers included."""
        first = len(self.log)
        pending: list[ev.AnyEvent] = [event]
        while pending:
            for action in self.replica.step(pending.pop(0)):
                self.log.append(action)
                answer = self._answer(action)
                if answer is not None:
                    pending.append(answer)
        return tuple(self.log[first:])

    def _answer(self, action: act.AnyAction) -> ev.AnyEvent | None:
        if isinstance(action, act.Persist) and self.auto_persist:
            self.durable += [record.data for record in action.records]
            return ev.Persisted(now_ms=self.now, token=action.token)
        if isinstance(action, act.ResolveBatch) and self.auto_resolve:
            return ev.BatchResolved(now_ms=self.now, height=action.height, digest=action.digest, ok=True, full=self.full)
        if isinstance(action, act.Execute) and self.auto_execute:
            return ev.Executed(now_ms=self.now, height=action.height, header_hash=header_hash(action.height, action.digest))
        if isinstance(action, act.RequestBatch):
            batch = self.batches.pop(0) if self.batches else (Batch(WALL + self.now - 1_000, ()) if action.allow_empty else None)
            return ev.BatchReady(now_ms=self.now, height=action.height, batch=batch, more=bool(self.batches))
        return None

    def receive(self, *messages: msg.Message, sender: int | None = None) -> tuple[act.AnyAction, ...]:
        """Messages of others; the link's peer is the signer unless said otherwise."""
        first = len(self.log)
        for message in messages:
            peer = sender if sender is not None else getattr(message, "signer", None)
            self.give(ev.Received(now_ms=self.now, wall_ms=WALL + self.now - 1_000 + self.wall_error, sender=peer, message=message))
        return tuple(self.log[first:])

    def wait(self, duration_ms: int) -> tuple[act.AnyAction, ...]:
        """Let time pass, firing the timers that the replica set, when they are due."""
        first = len(self.log)
        end = self.now + duration_ms
        while True:
            due = sorted((at, timer) for timer, at in self.replica._core.timers.items() if at <= end)
            if not due:
                break
            self.now = max(self.now, due[0][0])
            self.give(ev.TimerFired(now_ms=self.now, timer=due[0][1]))
        self.now = end
        return tuple(self.log[first:])

    def order(self, lab: Lab, height: int, batch: Batch, view: int = 0) -> bytes:
        """Let the others carry a batch through to its commit; gives its digest."""
        others = [i for i in range(lab.count) if i != self.replica.state().index]
        primary = view % lab.count
        if primary in others:
            self.receive(lab.pre_prepare(height, batch, view))
        self.receive(*[lab.prepare(i, height, batch.digest, view) for i in others if i != primary])
        self.receive(*[lab.commit(i, height, batch.digest, view) for i in others])
        return batch.digest

    def certify(self, lab: Lab, height: int, digest: bytes) -> bytes:
        """Let the others vote for the header that this driver's executor gives; gives its hash."""
        others = [i for i in range(lab.count) if i != self.replica.state().index]
        self.receive(*[lab.checkpoint(i, height, header_hash(height, digest)) for i in others])
        return header_hash(height, digest)


def header_hash(height: int, digest: bytes) -> bytes:
    """What the obliging executor computes."""
    return blake2b_256(b"header" + height.to_bytes(8, "big") + digest)


def sent(actions: tuple[act.AnyAction, ...] | list[act.AnyAction], kind: type) -> list[msg.Message]:
    """Messages of a kind that were sent or broadcast."""
    return [a.message for a in actions if isinstance(a, act.Send | act.Broadcast) and isinstance(a.message, kind)]


def of(actions: tuple[act.AnyAction, ...] | list[act.AnyAction], kind: type) -> list[act.AnyAction]:
    """Actions of a kind."""
    return [a for a in actions if isinstance(a, kind)]
