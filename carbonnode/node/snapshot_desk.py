"""Everything a validator has to do with snapshots, put around it as `relay` is: makes them, serves them, and takes one over when it is far behind."""

import asyncio
from pathlib import Path

from carbonnode.chain.codec import encode
from carbonnode.consensus import events as ev
from carbonnode.network import PeerIdentity
from carbonnode.node.config import StorageSection
from carbonnode.node.driver import epoch_config
from carbonnode.node.executor_client import ExecutorClient
from carbonnode.node.snapshot_fetch import SnapshotFetcher
from carbonnode.node.snapshot_install import SNAPSHOTS, Installation
from carbonnode.node.snapshot_keeper import SnapshotKeeper
from carbonnode.node.snapshot_transfer import StateTransfer
from carbonnode.node.validator import VALIDATOR_ROLES, ValidatorNode
from carbonnode.node.wire import FetchChunk, RequestKind, decode_payload
from carbonnode.storage.snapshots import SnapshotDirectory
from carbonnode.storage.space import SpaceGuard


class SnapshotDesk:
    """Make it when the node is connected, before it starts; `stop` it before the node."""

    def __init__(self, node: ValidatorNode, executor: ExecutorClient, state: Path, genesis_path: Path, settings: StorageSection) -> None:
        self._node = node
        around = node.around
        directory = SnapshotDirectory(state / SNAPSHOTS)
        self.keeper = SnapshotKeeper(executor, directory, settings.snapshot_blocks, node.history.changes_before, around.log, around.crash)
        installation = Installation(state.parent, around.genesis, around.crash)
        guard = SpaceGuard(state.parent, settings.reserve_bytes)
        fetcher = SnapshotFetcher(around.genesis, installation, node.sender.request, node, guard, around.crash)
        self.transfer = StateTransfer(
            fetcher=fetcher,
            installation=installation,
            executor=executor,
            blocks=node.stores.blocks,
            changes=node.changes,
            genesis_path=genesis_path,
            on_installed=self._installed,
            log=around.log,
            lag=settings.snapshot_lag,
        )
        node.pipeline.snapshots = self.keeper
        node.syncer.transfer = self.transfer
        node.peering.answers |= {
            RequestKind.SNAPSHOTS: (VALIDATOR_ROLES, self._offers),
            RequestKind.SNAPSHOT_PROOF: (VALIDATOR_ROLES, self._proof),
            RequestKind.SNAPSHOT_CHUNK: (VALIDATOR_ROLES, self._chunk),
        }

    async def stop(self) -> None:
        """Give up what is being written."""
        await self.keeper.stop()

    async def _installed(self, height: int) -> None:
        """The stores stand at `height` by another way than executing: what was remembered of the old state goes."""
        node = self._node
        await self.keeper.forget()
        node.history.reset()
        node.organisations.forget()
        current, upcoming = await node.executor.epochs()
        epoch = epoch_config(current)
        following = None if upcoming is None else epoch_config(upcoming)
        if following is not None and following.first_height <= height + 1:
            epoch, following = following, None
        node.rebase(epoch, following)
        node.changes.complete(node.stores.blocks, epoch.validators)
        node.history.validator_changes = node.changes.changes
        pool = node.pool
        pool.parameters = epoch.parameters
        pool.settle(height, (), [tx.id for tx in pool.first_waiting(len(pool)) if node.history.executed(tx.id)])
        dropped = pool.take_dropped()
        if dropped:
            node.driver.put(ev.RequestsDropped(now_ms=node.driver.now, wire_hashes=dropped))
        node.bodies.drop_below(height)
        node.resolver.give_up_to(height)
        node.around.metrics.height.set(height)

    # -- answers --------------------------------------------------------------------------------------------------------------------------

    async def _offers(self, _peer: PeerIdentity, _payload: bytes) -> bytes:
        return encode(await asyncio.get_running_loop().run_in_executor(None, self.keeper.offers))

    async def _proof(self, _peer: PeerIdentity, payload: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(None, self.keeper.proof, decode_payload(payload, FetchChunk))

    async def _chunk(self, _peer: PeerIdentity, payload: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(None, self.keeper.chunk, decode_payload(payload, FetchChunk))
