"""The driver: gives events to the replica one at a time and carries its actions out, in order, over journal, network, executor and stores.

The replica itself holds back whatever must not overtake a persist; the driver answers `Persisted` only after fdatasync. All of it runs on the
daemon's loop; what takes time (disk, executor, fetching) is started here and comes back as an event.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from carbonnode.chain.genesis import Parameters
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.evidence import Evidence
from carbonnode.consensus.messages import Message, Suspect, ViewChange, encode_message
from carbonnode.errors import InvariantViolation
from carbonnode.ledger.results import ExecutedBlock, NextEpoch
from carbonnode.network import Channel
from carbonnode.node.bodies import Body, BodyStore
from carbonnode.node.mempool import Mempool
from carbonnode.node.persister import Persister
from carbonnode.node.pipeline import Pipeline
from carbonnode.node.ports import Clock, Fatal, Sender
from carbonnode.node.resolver import Resolver, batch_is_full
from carbonnode.storage.crashpoints import CrashPoints

VIOLATION_POINTS = 20


class ReplicaPort(Protocol):
    """The state machine."""

    def step(self, event: ev.AnyEvent) -> tuple[act.AnyAction, ...]:
        """One event in, actions out."""
        ...

    def index_of(self, name: str) -> int | None:
        """A validator's index in the epoch that the replica is in."""
        ...

    @property
    def parameters(self) -> Parameters:
        """Those of the epoch that the replica is in."""
        ...


class Observer(Protocol):
    """Hears what the driver does, for logs, metrics and status; it must not fail nor block."""

    def view_entered(self, epoch: int, view: int, primary: int) -> None:
        """A view began."""
        ...

    def view_doubted(self, epoch: int, view: int, primary: int, *, left: bool) -> None:
        """This replica asks for the end of `view`; `left`: it has left it, with the views below."""
        ...

    def epoch_entered(self, config: EpochConfig, index: int | None) -> None:
        """An epoch began."""
        ...

    def alarm(self, code: str, detail: str) -> None:
        """An operator must hear of this."""
        ...

    def evidence(self, evidence: Evidence) -> None:
        """Proof of a validator's fault."""
        ...

    def blame(self, peer: str, points: int, why: str) -> None:
        """A validator broke the protocol."""
        ...

    def sync_wanted(self, height: int) -> None:
        """This node lags behind and must fetch blocks."""
        ...


class Recorder(Protocol):
    """Writes down every event and action."""

    def record(self, event: ev.AnyEvent, actions: tuple[act.AnyAction, ...]) -> None:
        """One step."""
        ...


def epoch_config(epoch: NextEpoch) -> EpochConfig:
    """The ledger's epoch as consensus is told it; epoch 0 holds from height 1 there."""
    validators = ValidatorSet(epoch.validators, epoch.parameters.profile)
    return EpochConfig(epoch.number, max(epoch.first_height, 1), validators, epoch.parameters)


def decided(upcoming: EpochConfig | None, height: int, current: EpochConfig) -> EpochConfig | None:
    """The epoch that waits, once nothing can change it any more: a window before its start. Nothing at or above that start can be in flight before.

    The window is that of the epoch in force at `height` (the ledger's rule), not of the one that waits: a vote may change it.
    """
    if upcoming is None or upcoming.first_height - height > current.parameters.window:
        return None
    return upcoming


class Driver:
    """Wire it with `attach` before `start`: its partners call back into it."""

    persister: Persister
    resolver: Resolver
    pipeline: Pipeline

    def __init__(
        self,
        *,
        replica: ReplicaPort,
        name: str,
        epoch: EpochConfig,
        sender: Sender,
        pool: Mempool,
        bodies: BodyStore,
        clock: Clock,
        crash: CrashPoints,
        observer: Observer,
        on_fatal: Fatal,
        recorder: Recorder | None = None,
    ) -> None:
        self._replica = replica
        self._name = name
        self.epoch = epoch
        self._sender = sender
        self._pool = pool
        self._bodies = bodies
        self.clock = clock
        self._crash = crash
        self._observer = observer
        self._on_fatal = on_fatal
        self._recorder = recorder
        self._events: deque[ev.AnyEvent] = deque()
        self._pumping = False
        self._started = False
        self._stopped = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._peers: dict[str, int] = {}
        self._others: tuple[str, ...] = ()
        self.view = 0
        self.primary = 0
        self.member = True
        """Whether this node votes in the current epoch."""
        self.steps = 0
        self._job_due = False
        self._doubted = (-1, -1, False)
        self._handlers: dict[type[act.AnyAction], Callable[[Any], None]] = {
            act.Persist: self._persist,
            act.Broadcast: self._broadcast,
            act.Send: self._send,
            act.SetTimer: self._set_timer,
            act.CancelTimer: self._cancel_timer,
            act.RequestBatch: self._request_batch,
            act.ResolveBatch: self._resolve,
            act.ReleaseBatch: self._release,
            act.Execute: self._execute,
            act.Finalise: self._finalise,
            act.DiscardOverlays: self._discard,
            act.RequestSync: self._sync,
            act.ReportEvidence: self._evidence,
            act.ViewEntered: self._view_entered,
            act.EpochEntered: self._epoch_entered,
            act.Alarm: self._alarm,
            act.Blame: self._blame,
        }
        self._use_epoch(epoch)

    def attach(self, persister: Persister, resolver: Resolver, pipeline: Pipeline) -> None:
        """Give the driver its partners."""
        self.persister = persister
        self.resolver = resolver
        self.pipeline = pipeline
        pipeline.use_window(self.epoch.epoch, self.epoch.parameters.window)

    def start(self) -> None:
        """The first event; what came over links that were up before waits for it: a replica that doesn't know the time yet would lose patience at once."""
        self._started = True
        self._events.appendleft(ev.Start(now_ms=self.now, wall_ms=self.clock.wall_ms()))
        self._pump()

    def stop(self) -> None:
        """No further event reaches the replica."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    @property
    def now(self) -> int:
        """Monotonic ms."""
        return self.clock.monotonic_ms()

    @property
    def primary_name(self) -> str:
        """The current primary's name."""
        return self.epoch.validators[self.primary].name

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the other validators of the epoch."""
        return self._others

    def index_of(self, name: str) -> int | None:
        """A validator's index by its node name, in the epoch that the replica is in: its `EpochEntered` may still wait for the disk."""
        return self._replica.index_of(name)

    # -- events in ----------------------------------------------------------------------------------------------------------------------

    def put(self, event: ev.AnyEvent) -> None:
        """Give an event to the replica, after those that wait, and carry out what it answers."""
        self._events.append(event)
        if self._started and not self._pumping:
            self._pump()

    def _pump(self) -> None:
        self._pumping = True
        try:
            while self._events and not self._stopped:
                event = self._events.popleft()
                actions = self._replica.step(event)
                self.steps += 1
                if self._recorder is not None:
                    self._recorder.record(event, actions)
                for action in actions:
                    self._handlers[type(action)](action)
        except Exception as error:  # noqa: BLE001 - a fault of ours in the middle of a step: nothing may go on
            self.stop()
            self._on_fatal(error)
        finally:
            self._pumping = False

    def received(self, sender: int | None, message: Message) -> None:
        """A verified message."""
        self.put(ev.Received(now_ms=self.now, wall_ms=self.clock.wall_ms(), sender=sender, message=message))

    def persisted(self, token: int) -> None:
        """Records are durable."""
        self.put(ev.Persisted(now_ms=self.now, token=token))

    def resolved(self, height: int, digest: bytes, ok: bool, full: bool) -> None:
        """The resolver's verdict."""
        self.put(ev.BatchResolved(now_ms=self.now, height=height, digest=digest, ok=ok, full=full))

    async def executed(self, outcome: ExecutedBlock) -> None:
        """The executor's answer."""
        height = outcome.header.height
        following = outcome.next_epoch
        upcoming = decided(None if following is None else epoch_config(following), height, self.epoch)
        self.put(ev.Executed(now_ms=self.now, height=height, header_hash=outcome.header_hash, next_epoch=upcoming))

    def job_due(self) -> None:
        """A scheduled call is due: a block is wanted though no transaction may wait."""
        self._job_due = True
        self.put(ev.WorkArrived(now_ms=self.now))

    def peer_reachable(self, name: str, reachable: bool) -> None:
        """A validator's link came up, or closed with its redial refused."""
        index = self._replica.index_of(name)
        if index is None:
            return
        if reachable:
            self.put(ev.PeerReachable(now_ms=self.now, peer=index))
        else:
            self.put(ev.PeerUnreachable(now_ms=self.now, peer=index))

    # -- actions out --------------------------------------------------------------------------------------------------------------------

    def _persist(self, action: act.Persist) -> None:
        self.persister.persist(action)

    def _broadcast(self, action: act.Broadcast) -> None:
        if isinstance(action.message, Suspect | ViewChange):
            self._tell_doubt(action.message)
        self._crash.reach("send.before")
        self._sender.broadcast(Channel.CONSENSUS, encode_message(action.message), self._others)
        self._crash.reach("send.after")

    def _tell_doubt(self, message: Suspect | ViewChange) -> None:
        """Tell of this replica's own mistrust, once a view though it is said again and again."""
        left = isinstance(message, ViewChange)
        view = message.view - 1 if left else message.view
        said = (message.epoch, view, left)
        if message.signer == self._peers.get(self._name) and said != self._doubted:
            self._doubted = said
            self._observer.view_doubted(message.epoch, view, self.epoch.validators.primary(view), left=left)

    def _send(self, action: act.Send) -> None:
        name = self.epoch.validators[action.to].name
        self._crash.reach("send.before")
        self._sender.send(name, Channel.CONSENSUS, encode_message(action.message))
        self._crash.reach("send.after")

    def _set_timer(self, action: act.SetTimer) -> None:
        old = self._timers.pop(action.timer, None)
        if old is not None:
            old.cancel()
        self._timers[action.timer] = asyncio.get_running_loop().call_later(action.delay_ms / 1000, self._fire, action.timer)

    def _fire(self, timer: str) -> None:
        self._timers.pop(timer, None)
        self.put(ev.TimerFired(now_ms=self.now, timer=timer))

    def _cancel_timer(self, action: act.CancelTimer) -> None:
        old = self._timers.pop(action.timer, None)
        if old is not None:
            old.cancel()

    def _request_batch(self, action: act.RequestBatch) -> None:
        empty_wanted = action.allow_empty or self._job_due
        self._job_due = False
        if not self._pool.waiting and not empty_wanted:
            self.put(ev.BatchReady(now_ms=self.now, height=action.height, batch=None, more=False))
            return
        self._pool.parameters = self._replica.parameters
        batch = self._pool.build(action.height, self.clock.wall_ms())
        transactions = self._pool.transactions(batch.wire_hashes)
        if not transactions and not empty_wanted:
            self.put(ev.BatchReady(now_ms=self.now, height=action.height, batch=None, more=False))
            return
        self._bodies.add(Body(action.height, batch, transactions, batch_is_full(transactions, self._pool.parameters)))
        self.put(ev.BatchReady(now_ms=self.now, height=action.height, batch=batch, more=self._pool.waiting > 0))

    def _resolve(self, action: act.ResolveBatch) -> None:
        # Its `EpochEntered` may still wait for the disk: a proposal of the new epoch must not be held to the limits of the old one.
        self._pool.parameters = self._replica.parameters
        self.resolver.resolve(action.height, action.digest, action.batch)

    def _release(self, action: act.ReleaseBatch) -> None:
        self._pool.release(action.height)

    def _execute(self, action: act.Execute) -> None:
        self.pipeline.execute(action.height, action.digest, action.batch)

    def _finalise(self, action: act.Finalise) -> None:
        self.pipeline.finalise(action.height, action.certificate)

    def _discard(self, action: act.DiscardOverlays) -> None:
        # Nothing is executed until a sync, which consensus asks for and which begins by dropping the overlays.
        self._observer.alarm("divergence", f"blocks executed from height {action.height} on differ from certified ones and are dropped")

    def _sync(self, action: act.RequestSync) -> None:
        self._observer.sync_wanted(action.height)

    def _evidence(self, action: act.ReportEvidence) -> None:
        self._observer.evidence(action.evidence)

    def _view_entered(self, action: act.ViewEntered) -> None:
        self.view, self.primary = action.view, action.primary
        self._observer.view_entered(action.epoch, action.view, action.primary)

    def _epoch_entered(self, action: act.EpochEntered) -> None:
        self._use_epoch(action.config)
        self.pipeline.use_window(action.config.epoch, action.config.parameters.window)
        self.view, self.primary = 0, action.config.validators.primary(0)
        self.member = action.index is not None
        self._observer.epoch_entered(action.config, action.index)

    def _alarm(self, action: act.Alarm) -> None:
        self._observer.alarm(action.code, action.detail)

    def _blame(self, action: act.Blame) -> None:
        if action.peer is not None:
            self._observer.blame(action.peer, VIOLATION_POINTS, f"{action.code}: {action.detail}")

    def _use_epoch(self, config: EpochConfig) -> None:
        if config.epoch < self.epoch.epoch:
            raise InvariantViolation(f"epoch {config.epoch} can't follow epoch {self.epoch.epoch}")
        self.epoch = config
        self._pool.parameters = config.parameters
        self._peers = {v.name: index for index, v in enumerate(config.validators.validators)}
        self._others = tuple(v.name for v in config.validators.validators if v.name != self._name)
