"""The composition root: a node directory becomes a running node.

`run_node` is what `carbonnode start` calls. It ends on SIGTERM or SIGINT (exit status 0) or with the error that made it impossible to go on (1).
"""

import asyncio
import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import uvloop

from carbonnode.api.server import ApiServer
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import CarbonnodeError, ConfigError
from carbonnode.identity import NodeIdentity, NodeKeys, TrustStore, make_verifier
from carbonnode.network import Limits, Network, NetworkConfig, PeerAddress
from carbonnode.node.backup import BackupIndex, back_up, restore
from carbonnode.node.clock import SystemClock
from carbonnode.node.config import ApiSection, NetworkSection, NodeConfig, NodeSection, PeerSection
from carbonnode.node.directory import VOTED, NodeDirectory
from carbonnode.node.executor_client import ExecutorClient, ExecutorOptions
from carbonnode.node.logs import LogFile, Logger, make_logger
from carbonnode.node.membership import Membership, OwnKeys, replaced_keys
from carbonnode.node.metrics import NodeMetrics
from carbonnode.node.next_keys import NextKeys, lay_down, take
from carbonnode.node.peering import Peering
from carbonnode.node.recorder import FileRecorder
from carbonnode.node.relay import UserRelay
from carbonnode.node.rollback import RollbackReport, roll_back_node
from carbonnode.node.sandbox import gaps
from carbonnode.node.service import ValidatorService
from carbonnode.node.snapshot_admin import SnapshotInfo, SnapshotVerdict, create_snapshot, list_snapshots, verify_snapshots
from carbonnode.node.snapshot_desk import SnapshotDesk
from carbonnode.node.snapshot_install import recover
from carbonnode.node.startup import align_stores
from carbonnode.node.store_check import StoreReport, check_store
from carbonnode.node.user_node import UserNode
from carbonnode.node.user_service import UserService
from carbonnode.node.user_store import UserStore
from carbonnode.node.validator import Stores, Surroundings, ValidatorNode
from carbonnode.node.watch import watch_node, watch_user
from carbonnode.node.workers import make_exception_handler
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.datadir import DataDirectory
from carbonnode.storage.journal import VoteJournal
from carbonnode.storage.leveldb import LevelKV
from carbonnode.storage.space import SpaceGuard
from carbonnode.vm.interpreter import require_plain_interpreter

SWITCH_INTERVAL_S = 0.0005
"""Threads that verify signatures get the interpreter back this often (measured: 1.8x beside a busy loop)."""
STOP_PATIENCE_S = 60.0
"""A stop takes a second as a rule, and as long as the disk needs for one flush; supervisors kill after 90 s."""
GC_THRESHOLDS = (1_000, 20, 100)
"""Small: what a block leaves is plain tuples, which the first pass stops tracking. Measured on four validators under 21,600 orders,
processor time: the longest pause 14 ms, 198 ms in all; with (50_000, 20, 50) 75 ms and 203 ms, and all validators, whose work is the same, paused together."""


def run_node(directory: Path, environment: Mapping[str, str] | None = None) -> int:
    """Run the node of `directory` until it is told to stop; returns the exit status. Errors are logged and told on stderr."""
    given = os.environ if environment is None else environment
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        require_plain_interpreter()
        while True:
            process = NodeProcess(NodeDirectory(directory), given)
            try:
                status = uvloop.run(process.run())
            finally:
                faulthandler.cancel_dump_traceback_later()
            if not process.again:
                return status
    except CarbonnodeError as error:
        print(f"carbonnode: {error}", file=sys.stderr)  # noqa: T201 - the operator's terminal
        return 1


def verify_node_store(directory: Path, *, repair: bool = False) -> StoreReport:
    """Check the data of a stopped node, and mend it with `repair`. Raises `StorageError` if the node runs."""
    node = NodeDirectory(directory)
    return check_store(node.data_path, node.genesis(), repair=repair)


def node_snapshots(directory: Path) -> list[SnapshotInfo]:
    """The snapshots in a node's directory. Raises `StorageError`."""
    return list_snapshots(_validator(directory).data_path)


def make_snapshot(directory: Path) -> SnapshotInfo:
    """Make a snapshot of a stopped node's state. Raises `StorageError` if the node runs."""
    node = _validator(directory)
    return create_snapshot(node.data_path, node.genesis(), node.config().storage.reserve_bytes)


def check_snapshots(directory: Path, height: int | None) -> list[SnapshotVerdict]:
    """Check one snapshot of a node, or all. Raises `StorageError` if it isn't there."""
    node = _validator(directory)
    return verify_snapshots(node.data_path, node.genesis(), height)


def back_up_node(directory: Path, destination: Path, *, keys: bool, passphrase: str | None) -> BackupIndex:
    """Back up a stopped node, sealed if there is a passphrase. Raises `StorageError` if it runs, `ConfigError` if something is at `destination`."""
    return back_up(NodeDirectory(directory), destination, keys=keys, passphrase=passphrase)


def restore_node(source: Path, directory: Path, passphrase: Callable[[], str]) -> tuple[BackupIndex, StoreReport | None]:
    """Restore a node's directory; `passphrase` is asked for if the backup is sealed.

    Raises `StorageError` for a damaged backup, `KeystoreError` for a wrong passphrase, `ConfigError` if data is there.
    """
    return restore(source, NodeDirectory(directory), passphrase)


def roll_back(directory: Path, height: int) -> RollbackReport:
    """Take a stopped node's data back to `height`. Raises `StorageError` if the node runs or it can't be done."""
    node = _validator(directory)
    return roll_back_node(node.data_path, node.genesis(), height)


def next_keys(directory: Path, passphrase: Callable[[str], str], certificate: Path | None, *, now: bool = False) -> NextKeys:
    """Make a validator's next keys, lay their certificate down, or take them (`node.next_keys`)."""
    node = _validator(directory)
    made = lay_down(node, passphrase, certificate)
    if now:
        take(node)
    return made


def _validator(directory: Path) -> NodeDirectory:
    node = NodeDirectory(directory)
    if node.config().node.role == "user":
        raise ConfigError(f"{directory} is a user node's directory: it holds no state of the ledger; remove its data and it fetches everything again")
    return node


class NodeProcess:
    """One run of a node."""

    def __init__(self, directory: NodeDirectory, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment
        self._clock = SystemClock.from_environment(environment)
        self._stop = asyncio.Event()
        self._fault: BaseException | None = None
        self._log: Logger | None = None
        self.again = False
        """Whether the node ended only to start again, with other keys."""

    async def run(self) -> int:
        """Start everything, wait for the end, stop everything."""
        config = self._directory.config()
        genesis = self._directory.genesis()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            log_file = LogFile(self._directory.log_path)
            stack.callback(log_file.close)
            log = self._log = make_logger(log_file, config.node.log_level, node=config.node.name)
            loop.set_exception_handler(make_exception_handler(self._fatal, lambda what, error: log.error("unforeseen", what=what, exc_info=error)))
            try:
                await self._run(config, genesis, log, stack)
            except CarbonnodeError as error:
                log.error("start failed", code=error.code, error=str(error))  # noqa: TRY400 - a typed error says it all; its trace says nothing more
                raise
            finally:
                end_anyway(STOP_PATIENCE_S)
            if self._fault is not None:
                log.error("stopped by a fault", error=repr(self._fault))
                print(f"carbonnode: {self._fault}", file=sys.stderr)  # noqa: T201 - the operator's terminal
                return 1
            log.info("stopped")
            return 0

    async def _run(self, config: NodeConfig, genesis: Genesis, log: Logger, stack: AsyncExitStack) -> None:
        data = stack.enter_context(self._directory.open_data(genesis))
        if self._directory.half_promoted:
            self._directory.promote_next()
        keys = self._directory.keys(config, self._environment)
        log.info("starting", role=config.node.role, chain=genesis.chain_id, pid=os.getpid())
        if self._clock.offset_ms:
            log.warning("the wall clock is set wrong on purpose", offset_ms=self._clock.offset_ms)
        if config.node.role == "user":
            await self._run_user(config, genesis, keys, data, log, stack)
        else:
            await self._run_validator(config, genesis, keys, data, log, stack)

    async def _run_validator(self, config: NodeConfig, genesis: Genesis, keys: NodeKeys, data: DataDirectory, log: Logger, stack: AsyncExitStack) -> None:
        crash = CrashPoints.from_environment(self._environment)
        reserve = config.storage.reserve_bytes
        recovered = recover(data.path, genesis)
        if recovered is not None:
            log.warning("an interrupted change of the state was finished", height=recovered.height)
        blocks = BlockStore(stack.enter_context(LevelKV.open(data.blocks, SpaceGuard(data.blocks, reserve))), crash)
        journal = stack.enter_context(VoteJournal.open(data.journal, SpaceGuard(data.journal, reserve), crash))
        executor = ExecutorClient(
            executor_options(config, data.state, self._directory.genesis_bytes()), lambda what: log.error("executor died", what=what)
        )
        await executor.start()
        stack.push_async_callback(executor.close)
        log.info("executor started", pid=executor.pid, confinement=executor.confinement)
        for gap in gaps(executor.confinement):
            log.warning("executor isn't confined by everything a kernel can offer", gap=gap)
        recorder = None
        if config.node.record:
            recorder = FileRecorder(self._directory.log_path.with_name("consensus.ndjson"))
            stack.callback(recorder.close)
        keys = await self._rotated(config, keys, blocks, executor, log)
        around = Surroundings(config, genesis, keys.consensus, self._clock, crash, log, NodeMetrics(), self._fatal, recorder)
        node = ValidatorNode(around, Stores(data.path, blocks, journal, self._directory.keys_path / VOTED), executor)
        await node.open()
        trust = self._directory.trust(config, genesis)
        own = OwnKeys(config.node.name, config.node.role, keys.consensus.public_key, keys.transport.public_key)
        membership = Membership(own, trust, log, ready=lambda: self._directory.next_member(config), rotate=self._start_again, alarm=node.alarm)
        membership.entered(node.tip_epoch)
        membership.decided(node.upcoming)
        identity = self._own_identity(config, keys, trust, self._clock)
        network = self._network(config, genesis, keys, trust, node.peering, log)
        node.connect(network)
        node.membership = membership
        relay = UserRelay(node)
        snapshots = SnapshotDesk(node, executor, data.state, self._directory.genesis_path, config.storage)
        watch_node(node, network, lambda: executor.restarts)
        network.set_request_handler(node.peering.on_request)
        host, port = await network.start()
        stack.push_async_callback(network.stop)
        network.on_fault(self._fatal)
        membership.attach(network)
        service = ValidatorService(node, network, self._directory.genesis_bytes(), identity.organisation)
        api = await ApiServer.start(service, host=config.api.host, port=config.api.port)
        stack.push_async_callback(api.stop)
        stack.push_async_callback(node.stop)
        stack.push_async_callback(relay.stop)
        stack.push_async_callback(snapshots.stop)
        node.start()
        log.info("started", listen=f"{host}:{port}", api=f"{config.api.host}:{api.port}", height=blocks.height)
        await self._until_stopped()

    async def _rotated(self, config: NodeConfig, keys: NodeKeys, blocks: BlockStore, executor: ExecutorClient, log: Logger) -> NodeKeys:
        """The keys to run with: those in `next/` once the validator set names them for the next block."""
        fresh = self._directory.next_member(config)
        if fresh is None:
            return keys
        await align_stores(blocks, executor)
        current, upcoming = await executor.epochs()
        due = upcoming if upcoming is not None and upcoming.first_height <= blocks.height + 1 else current
        if fresh not in due.validators:
            return keys
        self._directory.promote_next()
        log.info("keys rotated", epoch=due.number, consensus_key=fresh.consensus_key, transport_key=fresh.transport_key)
        return self._directory.keys(config, self._environment)

    def _start_again(self) -> None:
        self.again = True
        self._stop.set()

    def _own_identity(self, config: NodeConfig, keys: NodeKeys, trust: TrustStore, clock: SystemClock) -> NodeIdentity:
        """What this node's own certificate says, checked as every peer will check it."""
        identity = trust.verify(self._directory.certificate(), keys.transport.public_key, clock.wall_ms())
        if identity.name != config.node.name or identity.role != config.node.role:
            raise ConfigError(
                f"the certificate is of {identity.name} ({identity.role}), config.toml says {config.node.name} ({config.node.role}): correct the wrong one"
            )
        return identity

    def _network(self, config: NodeConfig, genesis: Genesis, keys: NodeKeys, trust: TrustStore, peering: Peering, log: Logger) -> Network:
        verify = make_verifier(trust, self._clock.wall_ms, lambda who: log.error("certificate expired", peer=who.name))
        return Network(network_config(config, genesis), keys.transport_seed, self._directory.certificate(), verify, peering)

    async def _run_user(self, config: NodeConfig, genesis: Genesis, keys: NodeKeys, data: DataDirectory, log: Logger, stack: AsyncExitStack) -> None:
        kv = stack.enter_context(LevelKV.open(data.blocks, SpaceGuard(data.blocks, config.storage.reserve_bytes)))
        clock, trust = self._clock, self._directory.trust(config, genesis)
        identity = self._own_identity(config, keys, trust, clock)
        store = UserStore(kv, genesis, identity.organisation)
        trust.set_validators(store.trail.validators.validators, names_bind=False)
        metrics = NodeMetrics()
        node = UserNode(genesis, store, log, metrics, self._fatal)
        network = self._network(config, genesis, keys, trust, node.peering, log)
        node.connect(network)
        watch_user(node, network)
        network.set_request_handler(node.peering.on_request)
        host, port = await network.start()
        stack.push_async_callback(network.stop)
        network.on_fault(self._fatal)

        def follow(validators: ValidatorSet) -> None:
            trust.set_validators(validators.validators, names_bind=False)
            network.set_peers(msgspec.structs.replace(network.config, peers=tuple(replaced_keys(network.config.peers, validators.validators))))

        node.on_validators = follow
        service = UserService(node, network, config, clock, self._directory.genesis_bytes())
        api = await ApiServer.start(service, host=config.api.host, port=config.api.port)
        stack.push_async_callback(api.stop)
        stack.push_async_callback(node.stop)
        node.start()
        log.info("started", listen=f"{host}:{port}", api=f"{config.api.host}:{api.port}", height=node.store.height)
        await self._until_stopped()

    async def _until_stopped(self) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await self._stop.wait()

    def _fatal(self, error: BaseException) -> None:
        if self._fault is None:
            self._fault = error
            if self._log is not None:  # at once: what can't end any more tells nothing
                self._log.error("fault", error=repr(error), exc_info=error)
        self._stop.set()


def end_anyway(patience_s: float) -> None:
    """End this process after so long, whatever its loop waits for then: it is made to survive that, and whoever supervises it starts another.

    Where all threads stood is written to stderr.
    """
    faulthandler.dump_traceback_later(patience_s, exit=True)


def executor_options(config: NodeConfig, state: Path, genesis: bytes) -> ExecutorOptions:
    """How to run the executor, by the node's settings."""
    section = config.executor
    return ExecutorOptions(
        state,
        genesis,
        reserve_bytes=config.storage.reserve_bytes,
        sandbox=section.sandbox,
        memory_bytes=section.memory_mb << 20,
        patience_s=section.patience_s,
    )


def network_config(config: NodeConfig, genesis: Genesis) -> NetworkConfig:
    """The network's settings from the node's."""
    section = config.network
    return NetworkConfig(
        node_name=config.node.name,
        chain_id=genesis.chain_id,
        host=section.host,
        port=section.port,
        peers=tuple(PeerAddress(name=p.name, host=p.host, port=p.port, transport_key=p.key) for p in section.peers),
        limits=Limits(),
        heartbeat_ms=section.heartbeat_ms,
        dead_after_ms=section.dead_after_ms,
        redial_max_ms=section.redial_max_ms,
    )


def create_node(
    directory: Path,
    *,
    name: str,
    role: str,
    genesis: bytes,
    certificate_pem: bytes,
    peers: Sequence[tuple[str, str, int, str]],
    peer_port: int,
    api_port: int,
    domains: Sequence[str],
) -> NodeConfig:
    """Make a node's directory around keys that lie in its `keys/` already. Peers are (name, host, port, transport key in hex).

    Raises `ConfigError` if a node is there already or something given is wrong, `StorageError` if its data is.
    """
    config = NodeConfig(
        node=NodeSection(name=name, role=role),
        network=NetworkSection(
            port=peer_port,
            peers=tuple(PeerSection(name=peer, host=host, port=port, transport_key=key) for peer, host, port, key in peers),
            domains=tuple(domains),
        ),
        api=ApiSection(port=api_port),
    )
    NodeDirectory(directory).create(config, genesis, certificate_pem)
    return config
