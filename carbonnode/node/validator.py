"""A validating node: everything wired together, from links to stores."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import encode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.receipt import Status
from carbonnode.chain.signing import Signer
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus import events as ev
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.evidence import Evidence
from carbonnode.consensus.messages import Message
from carbonnode.consensus.replica import Replica
from carbonnode.errors import RemoteError, StorageError
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.network import Channel, PeerIdentity
from carbonnode.network.flood import Flooder, pack_transactions, unpack_transactions
from carbonnode.node.admission import Admission
from carbonnode.node.arrivals import ArrivalLog
from carbonnode.node.bodies import BodyStore
from carbonnode.node.changes import ChangeFile
from carbonnode.node.config import NodeConfig
from carbonnode.node.driver import Driver, Recorder, decided, epoch_config
from carbonnode.node.fault_store import FaultStore
from carbonnode.node.feed import Feed
from carbonnode.node.history import Block, History, events_of
from carbonnode.node.intake import Intake
from carbonnode.node.logs import Logger
from carbonnode.node.membership import Membership, credible_height
from carbonnode.node.mempool import Entry, Mempool
from carbonnode.node.metrics import NodeMetrics
from carbonnode.node.organisations import Organisations
from carbonnode.node.peering import Peering
from carbonnode.node.persister import Persister
from carbonnode.node.pipeline import FinalBlock, Pipeline, sync_phase
from carbonnode.node.ports import Clock, ExecutorPort, Fatal, Sender
from carbonnode.node.resolver import Resolver
from carbonnode.node.skips import SkipDesk
from carbonnode.node.standstill import Standstill
from carbonnode.node.startup import align_stores, split_journal, stable_state
from carbonnode.node.sync import Syncer, serve_blocks
from carbonnode.node.wire import BulkKind, FetchBlocks, FetchTransactions, NodeTip, Raws, RequestKind, Tip, decode_payload, pack
from carbonnode.node.workers import start_worker
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.datadir import write_durably
from carbonnode.storage.journal import VoteJournal
from carbonnode.storage.journal_writer import GroupCommit

VERIFY_THREADS = 2
FETCH_TIMEOUT_S = 3.0
RELAY_MOST = 200
RELAY_CHUNK = 50
LINK_UP_MOST = 2_000
TICK_S = 0.5
"""How often a validator looks after transactions that wait too long."""
MALFORMED_POINTS = 10
VALIDATOR_ROLES = frozenset({"super", "coordination"})


@dataclass(slots=True)
class Stores:
    """What a validator keeps on disk, opened."""

    directory: Path
    blocks: BlockStore
    journal: VoteJournal
    voted: Path
    """A file beside the node's keys: there once they have voted."""


@dataclass(slots=True)
class Surroundings:
    """What a node is given by the composition root."""

    config: NodeConfig
    genesis: Genesis
    signer: Signer
    clock: Clock
    crash: CrashPoints
    log: Logger
    metrics: NodeMetrics
    on_fatal: Fatal
    recorder: Recorder | None = None
    alarms: list[str] = field(default_factory=list)


class ValidatorNode:
    """Use: construct, `await open()`, give it a started network with `connect`, `start()`, at the end `await stop()`."""

    sender: Sender
    driver: Driver
    pool: Mempool
    admission: Admission
    pipeline: Pipeline
    syncer: Syncer
    resolver: Resolver
    skips: SkipDesk
    persister: Persister
    intake: Intake
    replica: Replica

    def __init__(self, around: Surroundings, stores: Stores, executor: ExecutorPort) -> None:
        self.around = around
        self.stores = stores
        self.executor = executor
        self.chain_id = around.genesis.chain_id
        self.history = History(stores.blocks)
        self.feed = Feed()
        self.bodies = BodyStore()
        self.organisations = Organisations(executor)
        self.threads = ThreadPoolExecutor(max_workers=VERIFY_THREADS, thread_name_prefix="verify")
        self.journal = GroupCommit(stores.journal)
        self.peering = Peering(self, self.blame, around.log)
        self.tips: dict[str, int] = {}
        self.faults = FaultStore(stores.directory / "evidence", around.genesis.chain_id)
        self.upcoming: EpochConfig | None = None
        self.tip_epoch: EpochConfig
        self.membership: Membership | None = None
        """Hears of every change of the voting set."""
        self.market_offset_ms = 0
        self.changes = ChangeFile(stores.directory)
        self.arrivals = ArrivalLog(stores.directory / "arrivals")
        self.on_peer: list[Callable[[PeerIdentity, bool], None]] = []
        """Called when a link comes up or goes down."""
        self.on_block: list[Callable[[FinalBlock], None]] = []
        """Called with every certified block, after the node's own bookkeeping."""
        self.standstill = Standstill(around.clock.monotonic_ms())
        self._seen_height = -1
        self._marked = False
        self._down: set[str] = set()
        self._followers: set[str] = set()
        self._unreachable: set[str] = set()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._flooder = Flooder(self._flood)
        self._job_timer: asyncio.TimerHandle | None = None

    # -- life ---------------------------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Bring the stores together and build the replica. Raises `StorageError` or `ConfigError` if that can't be."""
        around, blocks = self.around, self.stores.blocks
        replayed = await align_stores(blocks, self.executor)
        current, upcoming = await self.executor.epochs()
        epoch = epoch_config(current)
        if upcoming is not None and upcoming.first_height <= blocks.height + 1:
            epoch, upcoming = epoch_config(upcoming), None
        self.changes.complete(blocks, epoch.validators)
        self.history.validator_changes = self.changes.changes
        self.faults.set_changed(epoch.epoch, self.changes.changes)
        self.upcoming = decided(None if upcoming is None else epoch_config(upcoming), blocks.height, epoch)
        self.pool = Mempool(around.config.mempool, epoch.parameters, self.chain_id, self.history.executed, self.history.executed_lately)
        self.pool.height = blocks.height
        self.admission = Admission(self.pool, self.threads, around.config.mempool.verify_chunk, self._admitted)
        votes = split_journal(self.stores.journal.records(), blocks.height, self.bodies, self.pool)
        stable = stable_state(blocks)
        # A chain has grown here, yet nothing remembers what this key voted: the journal was lost or set aside (`verify-store --repair`).
        # So it does where blocks are gone too: the mark lies with the keys.
        # Who joined just now has nothing to remember.
        member_before = 0 < epoch.first_height <= blocks.height and epoch.validators.index_of(around.signer.public_key) is not None
        lost = not votes and (member_before or self._has_voted())
        self.replica = Replica.restore(
            signer=around.signer, chain_id=self.chain_id, epoch=epoch, stable=stable, journal=votes, next_epoch=self.upcoming, lost_votes=lost
        )
        around.log.info("stores ready", height=blocks.height, replayed=replayed, journal_records=len(votes), epoch=epoch.epoch)
        self._epoch = self.tip_epoch = epoch

    def connect(self, sender: Sender) -> None:
        """Wire everything to a network."""
        around = self.around
        self.sender = sender
        self.driver = Driver(
            replica=self.replica,
            name=around.config.node.name,
            epoch=self._epoch,
            sender=sender,
            pool=self.pool,
            bodies=self.bodies,
            clock=around.clock,
            crash=around.crash,
            observer=self,
            on_fatal=around.on_fatal,
            recorder=around.recorder,
        )
        self.persister = Persister(self.journal, self.bodies, self._persisted, around.on_fatal, self._disk_full)
        self.skips = SkipDesk(self.chain_id, around.signer, self._voting_set, self._send_skip_vote, self.alarm)
        self.skips.settle(self.stores.blocks.height)
        validators = self._epoch.validators
        self.pipeline = Pipeline(
            self.executor,
            self.stores.blocks,
            self.bodies,
            self.skips,
            self.driver.executed,
            self._final,
            self._durable,
            around.on_fatal,
            phase=sync_phase(validators.index_of(around.signer.public_key), len(validators)),
        )
        self.resolver = Resolver(
            self.pool, self.admission, self.bodies, self.chain_id, self._fetch_transactions, self._likely_peers, self.driver.resolved
        )
        self.syncer = Syncer(self.chain_id, self.stores.blocks, self.executor, self.pipeline, sender.request, self, around.on_fatal)
        self.intake = Intake(self.chain_id, self.replica.validators_of, self.threads, self._deliver, self.blame)
        self.driver.attach(self.persister, self.resolver, self.pipeline)
        self.peering.bulk |= {BulkKind.TRANSACTIONS: self._flooded, BulkKind.TIP: self._tip, BulkKind.SKIP_VOTE: self._skip_vote}
        self.peering.answers |= {
            RequestKind.TRANSACTIONS: (VALIDATOR_ROLES, self._answer_transactions),
            RequestKind.BLOCKS: (VALIDATOR_ROLES, self._answer_blocks),
            RequestKind.STATUS: (VALIDATOR_ROLES | {"user"}, self._answer_status),
        }

    def start(self) -> None:
        """Begin to take part."""
        self.pipeline.start()
        self.driver.start()
        self._ticker = start_worker(self._tick(), "ticker")

    async def stop(self) -> None:
        """Finish the block at hand, sync the journal, end all workers. The network and the executor are the composition root's to end."""
        self.driver.stop()
        self.persister.stop()
        for timer in (self._flush_timer, self._job_timer):
            if timer is not None:
                timer.cancel()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self.syncer.stop()
        await self.resolver.stop()
        await self.intake.stop()
        await self.admission.stop()
        await self.pipeline.stop()
        await self.journal.close()
        self.feed.close()
        self.arrivals.close()
        self.threads.shutdown()

    # -- transactions -------------------------------------------------------------------------------------------------------------------

    def _admitted(self, admitted: list[Entry], relay: list[Entry]) -> None:
        for entry in relay:
            self._flooder.offer(entry.wire_hash, entry.tx.raw)
        if self._flooder.waiting and self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(self.around.config.mempool.flood_ms / 1000, self._flush)
        self.arrivals.note(self.around.clock.wall_ms(), [entry.id for entry in admitted])
        driver = self.driver
        driver.put(ev.RequestsAdmitted(now_ms=driver.now, wire_hashes=tuple([entry.wire_hash for entry in admitted])))
        driver.put(ev.WorkArrived(now_ms=driver.now))

    def _flush(self) -> None:
        self._flush_timer = None
        self._flooder.flush()

    def _flood(self, body: bytes) -> None:
        self.sender.broadcast(Channel.BULK, pack(BulkKind.TRANSACTIONS, body), self.driver.others)

    def _flooded(self, peer: PeerIdentity, body: bytes) -> None:
        if peer.role not in VALIDATOR_ROLES:
            self.blame(peer.name, MALFORMED_POINTS, "only validators flood; a user node submits by request")
            return
        malformed = self.admission.offer(unpack_transactions(body))
        if malformed:
            self.blame(peer.name, MALFORMED_POINTS * malformed, f"{malformed} flooded transactions are malformed")

    async def _tick(self) -> None:
        """Tell the others where we stand; hand transactions that wait long to the primary again: a link may have dropped them (PBFT.md, 37)."""
        while True:
            await asyncio.sleep(TICK_S)
            self.sender.broadcast(Channel.BULK, self._tip_frame(), {*self.driver.others, *self._followers})
            self.skips.repeat()
            self.skips.watch(self.replica.header_votes)
            late = self.pool.waiting_longer(RELAY_MOST)
            primary = self.driver.primary_name
            if primary != self.around.config.node.name:
                self._hand_over(primary, late)
            self._follow()
            if self.membership is not None and not self.syncer.active:
                common = credible_height([self.tips[name] for name in self.driver.others if name in self.tips], self.driver.epoch.validators.faults)
                if common is not None and common <= self.stores.blocks.height:
                    self.membership.caught_up()
            self._watch_standstill()

    def _watch_standstill(self) -> None:
        driver, height = self.driver, self.stores.blocks.height
        if not self.standstill.look(driver.now, height, driver.epoch.parameters.idle_block_ms):
            return
        state = self.replica.state()
        self.around.log.warning(
            "no new block",
            seconds=self.standstill.standing_ms // 1000,
            height=height,
            ordered=state.ordered,
            view=state.view,
            primary=driver.primary_name,
            active=state.active,
            suspicion=state.suspicion,
            syncing=state.syncing,
            fetching=self.syncer.active,
            abstaining=state.abstaining,
            waiting=state.waiting_requests,
            pipeline=self.pipeline.state,
            disk_full=self.persister.disk_full,
            journal_s=round(self.journal.pending_s, 1),
            linked=sorted(self._followers),
            unheard=self.standstill.unheard(driver.others, driver.now),
        )

    def _hand_over(self, peer: str, transactions: list[Transaction]) -> None:
        for start in range(0, len(transactions), RELAY_CHUNK):
            body = pack_transactions([tx.raw for tx in transactions[start : start + RELAY_CHUNK]])
            self.sender.send(peer, Channel.BULK, pack(BulkKind.TRANSACTIONS, body))

    def _follow(self) -> None:
        """A node that doesn't vote hears no consensus: it learns from the others' tips that it lags."""
        height = self.stores.blocks.height
        ahead = max((height for name, height in self.tips.items() if name in self._followers), default=0)
        if not self.driver.member and ahead > height == self._seen_height and not self.syncer.active:
            self.driver.put(ev.PeersAhead(now_ms=self.driver.now, height=ahead))
        self._seen_height = height

    async def _fetch_transactions(self, peer: str, wire_hashes: list[bytes]) -> list[bytes]:
        answer = await self.sender.request(peer, RequestKind.TRANSACTIONS, encode(FetchTransactions(tuple(wire_hashes))), FETCH_TIMEOUT_S)
        return list(decode_payload(answer, Raws).items)

    async def _answer_transactions(self, _peer: PeerIdentity, payload: bytes) -> bytes:
        wanted = decode_payload(payload, FetchTransactions)
        found: list[bytes] = []
        for wire_hash in wanted.wire_hashes:
            tx = self.pool.get(wire_hash)
            found.append(tx.raw if tx is not None else self.bodies.find_raw(wire_hash) or b"")
        return encode(Raws(tuple(found)))

    def _likely_peers(self) -> list[str]:
        primary = self.driver.primary_name
        others = [name for name in self.driver.others if name != primary]
        return [primary, *others] if primary != self.around.config.node.name else others

    # -- consensus ----------------------------------------------------------------------------------------------------------------------

    def consensus_frames(self, peer: PeerIdentity, frames: list[bytes]) -> None:
        """`peering.LinkEvents`"""
        if peer.role not in VALIDATOR_ROLES:
            self.blame(peer.name, MALFORMED_POINTS, "a user node takes no part in consensus")
            return
        self.standstill.heard(peer.name, self.driver.now)
        self.intake.take(peer.name, frames)

    def _persisted(self, token: int) -> None:
        """Before the first vote leaves, a mark beside the keys says that they have voted: whoever loses the whole data directory then abstains."""
        if not self._marked:
            try:
                if not self._has_voted():
                    write_durably(self.stores.voted, self.chain_id.hex().encode() + b"\n")
            except OSError as error:
                text = f"{self.stores.voted} can't be written ({error.strerror}): without it no vote may leave; make room or mend the disk, then start the node"
                self.around.on_fatal(StorageError(text, code="disk"))
                return
            self._marked = True
        self.driver.persisted(token)

    def _disk_full(self, why: str) -> None:
        self.around.log.warning("votes are held back" if why else "votes go out again", why=why or "there is space on the disk again")

    def _has_voted(self) -> bool:
        """Whether the mark beside the keys is there, and is of this chain."""
        return self.stores.voted.exists() and self.stores.voted.read_text("ascii", errors="replace").strip() == self.chain_id.hex()

    def _deliver(self, peer: str, message: Message) -> None:
        self.driver.received(self.driver.index_of(peer), message)

    def blame(self, peer: str, points: int, why: str) -> None:
        """Score a peer's fault."""
        self.around.log.warning("peer at fault", peer=peer, points=points, why=why)
        self.sender.report(peer, points, why)

    def peer_up(self, peer: PeerIdentity) -> None:
        """`peering.LinkEvents`"""
        self._down.discard(peer.name)
        self._unreachable.discard(peer.name)
        if peer.role in VALIDATOR_ROLES:
            self._followers.add(peer.name)
        self.driver.peer_reachable(peer.name, reachable=True)
        for listener in self.on_peer:
            listener(peer, True)
        if peer.role in VALIDATOR_ROLES:
            self.sender.send(peer.name, Channel.BULK, self._tip_frame())
            # What it missed while it was away, as far as it still waits.
            self._hand_over(peer.name, self.pool.first_waiting(LINK_UP_MOST))

    def peer_down(self, peer: PeerIdentity, reason: str) -> None:  # noqa: ARG002 - only a refused redial tells a dead peer from a lost link
        """`peering.LinkEvents`"""
        self._down.add(peer.name)
        self._followers.discard(peer.name)
        for listener in self.on_peer:
            listener(peer, False)

    def redial_failed(self, name: str, outcome: str) -> None:
        """`peering.LinkEvents`: a closed link plus a refused redial is a dead peer; say it once per loss."""
        if outcome == "refused" and name in self._down:
            self._down.discard(name)
            self._unreachable.add(name)
            self.driver.peer_reachable(name, reachable=False)

    # -- what the driver reports --------------------------------------------------------------------------------------------------------

    def view_entered(self, epoch: int, view: int, primary: int) -> None:
        """`driver.Observer`"""
        self.around.metrics.view.set(view)
        if view:
            self.around.metrics.view_changes.inc()
        state = self.replica.state()
        self.around.log.info(
            "view entered", epoch=epoch, view=view, primary=self.driver.epoch.validators[primary].name, waiting=state.waiting_requests, pool=len(self.pool)
        )

    def view_doubted(self, epoch: int, view: int, primary: int, *, left: bool) -> None:
        """`driver.Observer`"""
        name = self.driver.epoch.validators[primary].name
        self.around.log.info("view left" if left else "primary suspected", epoch=epoch, view=view, primary=name)

    def epoch_entered(self, config: EpochConfig, index: int | None) -> None:
        """`driver.Observer`"""
        self.upcoming = None
        if self.membership is not None:
            self.membership.entered(config)
        # The replica's indices changed with the epoch: tell it again who is away.
        for name in self._unreachable:
            self.driver.peer_reachable(name, reachable=False)
        self.around.log.info("epoch entered", epoch=config.epoch, first_height=config.first_height, validators=len(config.validators), index=index)

    def _voting_set(self) -> tuple[int, ValidatorSet]:
        return self.driver.epoch.epoch, self.driver.epoch.validators

    def _send_skip_vote(self, body: bytes) -> None:
        self.sender.broadcast(Channel.BULK, pack(BulkKind.SKIP_VOTE, body), self.driver.others)

    def _skip_vote(self, peer: PeerIdentity, body: bytes) -> None:
        if peer.role not in VALIDATOR_ROLES:
            self.blame(peer.name, MALFORMED_POINTS, "a user node takes no part in consensus")
            return
        self.skips.receive(body)

    def alarm(self, code: str, detail: str) -> None:
        """`driver.Observer`"""
        self.around.metrics.alarms.labels(code).inc()
        self.around.alarms.append(f"{code}: {detail}")
        del self.around.alarms[:-20]
        self.around.log.error("alarm", code=code, detail=detail)

    def evidence(self, evidence: Evidence) -> None:
        """`driver.Observer`"""
        self.around.metrics.evidence.inc()
        path = self.faults.add(evidence, self.changes.changes)
        proof = "" if path is None else str(path)
        self.around.log.error("evidence", kind=evidence.kind, height=evidence.height, view=evidence.view, signer=evidence.signer, proof=proof)

    def sync_wanted(self, height: int) -> None:
        """`driver.Observer`"""
        self.around.log.info("sync", height=height, have=self.stores.blocks.height)
        self.syncer.want(height)

    # -- certified blocks ---------------------------------------------------------------------------------------------------------------

    def _final(self, block: FinalBlock) -> None:
        self.history.add(block)
        outcome = block.outcome
        self.pool.settle(block.height, block.batch.wire_hashes, [tx.id for tx in block.transactions])
        dropped = self.pool.take_dropped()
        if self.syncer.active:
            # Consensus didn't see this block ordered: it must not wait for what is in it.
            dropped += block.batch.wire_hashes
        if dropped:
            self.driver.put(ev.RequestsDropped(now_ms=self.driver.now, wire_hashes=dropped))
        self.bodies.drop_below(block.height)
        self.resolver.give_up_to(block.height)
        self.skips.settle(block.height)
        self.organisations.block_final(outcome.events)
        self.market_offset_ms = outcome.market_ms - outcome.header.time_ms
        self._watch_epoch(block)
        if self.membership is not None:
            self.membership.reached(block.height)
        self._watch_jobs(outcome)
        self._measure(block)
        self.feed.publish(events_of(Block(block.stored, outcome)))
        for listener in self.on_block:
            listener(block)
        self.around.log.debug("block", height=block.height, transactions=len(block.transactions), hash=block.outcome.header_hash)

    def _measure(self, block: FinalBlock) -> None:
        metrics, outcome = self.around.metrics, block.outcome
        metrics.height.set(block.height)
        metrics.blocks.inc()
        metrics.events.inc(len(outcome.events))
        metrics.gas.inc(outcome.gas_used)
        metrics.finality.observe(max(0, self.around.clock.wall_ms() - outcome.header.time_ms) / 1000)
        counts: dict[int, int] = {}
        for receipt in outcome.receipts[outcome.job_count :]:
            counts[receipt.status] = counts.get(receipt.status, 0) + 1
        for status, count in counts.items():
            metrics.transactions.labels(Status(status).name).inc(count)

    def _watch_epoch(self, block: FinalBlock) -> None:
        outcome = block.outcome
        if outcome.next_epoch is not None:
            self.upcoming = decided(epoch_config(outcome.next_epoch), outcome.header.height, self.tip_epoch)
            if self.membership is not None:
                self.membership.decided(self.upcoming)
        if self.upcoming is not None and self.upcoming.first_height <= block.height + 1:
            self.tip_epoch = self.upcoming
        header = outcome.header
        if header.next_validators_hash != header.validators_hash and self.upcoming is not None:
            self.changes.add(block.stored, self.upcoming.validators.validators)
            self.history.validator_changes = self.changes.changes
            self.faults.set_changed(self.upcoming.epoch, self.changes.changes)

    def _watch_jobs(self, outcome: ExecutedBlock) -> None:
        """Ask for a block when the first scheduled call is due, even if no transaction waits."""
        if self._job_timer is not None:
            self._job_timer.cancel()
            self._job_timer = None
        if outcome.next_job_ms is not None:
            due_ms = outcome.next_job_ms - self.market_offset_ms - self.around.clock.wall_ms()
            self._job_timer = asyncio.get_running_loop().call_later(max(due_ms, 50) / 1000, self._job_due)

    def _job_due(self) -> None:
        self._job_timer = None
        self.driver.job_due()

    async def _durable(self, height: int) -> None:
        removed = await self.journal.cut_below(height + 1)
        if removed:
            self.around.log.debug("journal cut", below=height + 1, segments=removed)

    # -- sync ---------------------------------------------------------------------------------------------------------------------------

    def sync_peers(self, height: int) -> list[str]:
        """`sync.SyncHost`: those who said that they hold `height` first, then those of whom nothing is known."""
        # The set that this node knows may be long gone: others that are linked and have a validator's role may hold the blocks as well.
        peers = [*self.driver.others, *sorted(self._followers.difference(self.driver.others))]
        return [name for name in peers if self.tips.get(name, -1) >= height] or peers

    def validators_at(self, height: int) -> ValidatorSet:
        """`sync.SyncHost`"""
        if self.upcoming is not None and height >= self.upcoming.first_height:
            return self.upcoming.validators
        return self.tip_epoch.validators

    def rebase(self, epoch: EpochConfig, following: EpochConfig | None) -> None:
        """The stores stand on another state now: `epoch` holds from the next height on, `following` is decided."""
        self.tip_epoch = epoch
        self.upcoming = decided(following, self.stores.blocks.height, epoch)

    async def synced(self, height: int, header_hash: bytes, certificate: Certificate | None) -> None:
        """`sync.SyncHost`"""
        current, upcoming = await self.executor.epochs()
        epoch = epoch_config(current)
        following = None if upcoming is None else epoch_config(upcoming)
        if following is not None and following.first_height <= height + 1:
            epoch, following = following, None
        self.upcoming = decided(following, height, epoch)
        self.around.log.info("synced", height=height)
        self.skips.settle(height)
        driver = self.driver
        changed = epoch if epoch.epoch != driver.epoch.epoch else None
        driver.put(
            ev.Synced(now_ms=driver.now, height=height, header_hash=header_hash, certificate=certificate, epoch=changed, next_epoch=self.upcoming)
        )

    async def _answer_blocks(self, _peer: PeerIdentity, payload: bytes) -> bytes:
        wanted = decode_payload(payload, FetchBlocks)
        return encode(await asyncio.get_running_loop().run_in_executor(None, serve_blocks, self.stores.blocks, wanted))

    async def _answer_status(self, _peer: PeerIdentity, _payload: bytes) -> bytes:
        return encode(NodeTip(*self.stores.blocks.tip, self.stores.blocks.first))

    def _tip_frame(self) -> bytes:
        return pack(BulkKind.TIP, encode(Tip(*self.stores.blocks.tip)))

    def _tip(self, peer: PeerIdentity, body: bytes) -> None:
        self.tips[peer.name] = decode_payload(body, Tip).height

    async def peer_height(self, name: str) -> int | None:
        """A peer's certified height, asked now; None if it doesn't answer."""
        try:
            answer = await self.sender.request(name, RequestKind.STATUS, b"", 1.0)
        except RemoteError:
            return None
        self.tips[name] = decode_payload(answer, NodeTip).height
        return self.tips[name]
