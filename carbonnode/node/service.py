"""What a validator's HTTP API is given: `api.ports.NodeService` over a `ValidatorNode`."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from functools import partial

from carbonnode import __version__
from carbonnode.chain.receipt import Status
from carbonnode.chain.service import (
    EXPIRED,
    UNKNOWN,
    BlockInfo,
    ContractAbi,
    EventRecord,
    GasEstimate,
    Health,
    HealthCheck,
    NodeStatus,
    PeerStatus,
    ServiceRefusal,
    SubmitResult,
    TransactionStatus,
    VotingSet,
)
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.errors import CarbonnodeError, RemoteError
from carbonnode.ledger.results import ViewResult
from carbonnode.network import Network
from carbonnode.node.feed import BlockEvents
from carbonnode.node.turns import in_turns
from carbonnode.node.validator import ValidatorNode

MAX_BLOCKS = 100
MAX_EVENT_HEIGHTS = 1_000
MAX_BATCH = 2_000
MAX_WAIT_MS = 60_000
MAX_VIEWS_WAITING = 64
STATUSES_A_TURN = 16
FAULTS_NAMED = 20
"""Proofs of validators' faults that the status names."""
STALE_MS = 15_000
"""Without a certified block for this long a node isn't ready: an idle network makes one every few seconds."""


class ValidatorService:
    """See `api.ports.NodeService` for what each method promises."""

    def __init__(self, node: ValidatorNode, network: Network, genesis: bytes, organisation: str) -> None:
        self._node = node
        self._network = network
        self._genesis = genesis
        self._organisation = organisation
        self._views = 0

    @property
    def chain_id(self) -> bytes:
        """32 bytes."""
        return self._node.chain_id

    def now_ms(self) -> int:
        """Wall clock."""
        return self._node.around.clock.wall_ms()

    # -- the node -----------------------------------------------------------------------------------------------------------------------

    async def status(self) -> NodeStatus:
        """The node at a glance."""
        node = self._node
        around, driver, history = node.around, node.driver, node.history
        height, header_hash = node.stores.blocks.tip
        header = history.header(height)
        parameters = driver.epoch.parameters
        view = node.replica.state()
        return NodeStatus(
            name=around.config.node.name,
            role=around.config.node.role,
            entity=self._organisation,
            network=around.genesis.network,
            version=__version__,
            pid=os.getpid(),
            chain_id=node.chain_id,
            epoch=driver.epoch.epoch,
            height=height,
            header_hash=header_hash,
            state_root=header.state_root,
            block_time_ms=header.time_ms,
            time_ms=header.time_ms + node.market_offset_ms,
            view=driver.view,
            primary=driver.primary_name,
            syncing=node.syncer.active,
            mempool=len(node.pool),
            evidence=len(node.faults),
            oldest_height=max(node.stores.blocks.base, height - parameters.undo_blocks),
            validity_blocks=parameters.validity_blocks,
            max_transaction_gas=parameters.max_transaction_gas,
            test_clock=around.genesis.test_clock,
            peers=self._peers(),
            warnings=(*around.alarms, *self._standing_warnings(abstaining=view.abstaining)),
            confinement=node.executor.confinement,
        )

    def _standing_warnings(self, *, abstaining: bool) -> list[str]:
        proven = [f"evidence: a validator signed two different votes: {path}" for path in self._node.faults.files[:FAULTS_NAMED]]
        unreadable = [f"evidence: {path} isn't a readable proof: move it away" for path in self._node.faults.unreadable]
        standing_s = self._node.standstill.standing_ms // 1000
        still = [f"no new block for {standing_s} s: `carbonnode doctor` says which links are missing, the log what consensus waits for"] if standing_s else []
        return [*still, *(["abstaining: votes were lost"] if abstaining else []), *proven, *unreadable]

    def _peers(self) -> tuple[PeerStatus, ...]:
        roles = {v.name: v.role for v in self._node.driver.epoch.validators.validators}
        tips = self._node.tips
        return tuple(
            PeerStatus(p.name, p.role or roles.get(p.name, ""), p.connected, tips.get(p.name), round(p.rtt_ms) if p.rtt_ms >= 0 else None)
            for p in self._network.peers()
        )

    async def validators(self) -> VotingSet:
        """Who votes now, and next."""
        current, upcoming = self._node.tip_epoch, self._node.upcoming
        if upcoming is None or upcoming.epoch == current.epoch:
            return VotingSet(current.epoch, current.first_height, current.validators.validators)
        return VotingSet(current.epoch, current.first_height, current.validators.validators, upcoming.first_height, upcoming.validators.validators)

    async def health(self) -> Health:
        """Liveness and readiness."""
        node = self._node
        others = len(node.driver.others)
        connected = sum(1 for name in node.driver.others if self._network.is_connected(name))
        needed = node.driver.epoch.validators.quorum - 1
        age_ms = self.now_ms() - node.history.header(node.history.height).time_ms
        checks = (
            HealthCheck("peers", connected >= needed, f"{connected} of {others} other validators are connected, a quorum needs {needed}"),
            HealthCheck("sync", not node.syncer.active, f"at height {node.history.height}" + (f" of {node.syncer.target}" if node.syncer.active else "")),
            HealthCheck("progress", node.history.height == 0 or age_ms < STALE_MS, f"the last certified block is {age_ms} ms old"),
            HealthCheck("disk", not node.persister.disk_full, "space is short: free some, voting resumes by itself" if node.persister.disk_full else ""),
        )
        return Health(live=True, ready=all(check.ok for check in checks), checks=checks)

    async def metrics(self) -> bytes:
        """Prometheus text."""
        return self._node.around.metrics.render()

    async def genesis(self) -> bytes:
        """The genesis file."""
        return self._genesis

    # -- blocks and transactions --------------------------------------------------------------------------------------------------------

    async def block(self, height: int) -> BlockInfo:
        """A certified block."""
        return self._node.history.info(height)

    async def blocks(self, first: int, count: int) -> Sequence[BlockInfo]:
        """Certified blocks."""
        history = self._node.history
        last = min(first + min(count, MAX_BLOCKS) - 1, history.height)
        return [info async for info in in_turns(history.info(height) for height in range(max(first, 0), last + 1))]

    async def submit(self, raw: Sequence[bytes]) -> Sequence[SubmitResult]:
        """Admit transactions."""
        if len(raw) > MAX_BATCH:
            raise ServiceRefusal(f"{len(raw)} transactions in one call, at most {MAX_BATCH}: split them", code="bad-request")
        if self._node.persister.disk_full:
            raise ServiceRefusal("the disk of this node is full: submit to another one", code="overloaded")
        return await self._node.admission.submit(raw)

    async def transactions(self, tx_ids: Sequence[bytes], *, wait_ms: int, sender: bytes) -> Sequence[TransactionStatus]:
        """Statuses, waiting for what isn't settled."""
        if len(tx_ids) > MAX_BATCH:
            raise ServiceRefusal(f"{len(tx_ids)} ids in one call, at most {MAX_BATCH}: split them", code="bad-request")
        entity = await self.entity_of(sender) if any(sender) else ""
        found: dict[bytes, TransactionStatus] = {}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wait_ms, MAX_WAIT_MS) / 1000
        left = list(dict.fromkeys(tx_ids))
        while True:
            waiting: list[bytes] = []
            async for tx_id in in_turns(left, STATUSES_A_TURN):
                status = self._status(tx_id, entity)
                found[tx_id] = status
                if status.status not in ("final", EXPIRED, UNKNOWN):
                    waiting.append(tx_id)
            remaining = deadline - loop.time()
            if not waiting or remaining <= 0 or not await self._node.feed.next_block(remaining):
                break
            left = waiting
        return [found[tx_id] for tx_id in tx_ids]

    def _status(self, tx_id: bytes, entity: str) -> TransactionStatus:
        final = self._node.history.status(tx_id, entity)
        return final if final is not None else TransactionStatus(tx_id, self._node.pool.status(tx_id))

    async def proof(self, tx_id: bytes) -> bytes:
        """A proof file."""
        if self._node.history.place(tx_id) is None and self._node.pool.find(tx_id) is not None:
            raise ServiceRefusal("the transaction isn't final yet: wait for its block to be certified", code="not-ready")
        return self._node.history.proof(tx_id).to_json()

    # -- contracts ----------------------------------------------------------------------------------------------------------------------

    async def contracts(self) -> Sequence[str]:
        """Names of contracts."""
        return await self._node.executor.contracts()

    async def abi(self, contract: str) -> ContractAbi:
        """A contract's interface."""
        found = await self._node.executor.abi(contract)
        if found is None:
            raise ServiceRefusal(f"there is no contract {contract!r}: list them with /v1/contracts", code="not-found")
        return found

    async def query(self, contract: str, view: str, args: tuple[Value, ...], *, sender: bytes, height: int | None) -> ViewResult:
        """Run a view."""
        if self._views >= MAX_VIEWS_WAITING:
            raise ServiceRefusal(f"{self._views} views wait already: ask again later", code="busy")
        self._views += 1
        try:
            return await self._node.executor.query(contract, view, args, sender, height)
        except RemoteError as error:
            if error.code in ("not-found", "pruned"):
                raise ServiceRefusal(str(error), code=error.code) from None
            raise
        finally:
            self._views -= 1

    async def estimate(self, calls: Sequence[Call], *, sender: bytes) -> GasEstimate:
        """A dry run of calls."""
        if self._node.syncer.active:
            raise ServiceRefusal("this node is catching up: what calls would come to on its old state says little", code="not-ready")
        if self._views >= MAX_VIEWS_WAITING:
            raise ServiceRefusal(f"{self._views} views wait already: ask again later", code="busy")
        self._views += 1
        try:
            run = await self._node.executor.estimate(calls, sender)
        finally:
            self._views -= 1
        return GasEstimate(run.height, Status(run.status).name, run.code, run.gas_used, run.gas_limit, len(self._node.pool))

    async def entity_of(self, key: bytes) -> str:
        """The organisation that a key acts for: events are addressed to organisations."""
        try:
            return await self._node.organisations.of(key)
        except CarbonnodeError as error:
            self._node.around.log.warning("organisation unknown", key=key, error=str(error))
            return ""

    # -- events -------------------------------------------------------------------------------------------------------------------------

    async def events(self, entity: str, first: int, last: int) -> Sequence[EventRecord]:
        """Events of certified heights."""
        last = min(last, first + MAX_EVENT_HEIGHTS - 1)
        return [record async for block in self._node.history.events(first, last) for record in block.visible_to(entity)]

    def subscribe(self, entity: str, first_height: int | None) -> AsyncIterator[EventRecord]:
        """Events from a height on, or from now."""
        history = self._node.history

        def past(first: int) -> AsyncIterator[BlockEvents]:
            height = history.height
            return history.events(max(first, height - MAX_EVENT_HEIGHTS), height)

        return self._node.feed.follow(entity, None if first_height is None else partial(past, first_height))
