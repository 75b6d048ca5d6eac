"""State transfer: a node far behind takes over a certified state from its peers and goes on from there (design, section 4)."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from carbonnode.errors import InvalidBlock, StorageError
from carbonnode.ledger.results import LedgerStatus
from carbonnode.node.changes import ChangeFile
from carbonnode.node.logs import Logger
from carbonnode.node.snapshot_fetch import SnapshotFetcher
from carbonnode.node.snapshot_install import Installation, Intent
from carbonnode.node.snapshot_store import FetchedSnapshot
from carbonnode.storage.blocks import BlockStore


class ReplaceableExecutor(Protocol):
    """The executor process."""

    async def replace(self, swap: Callable[[], None]) -> LedgerStatus:
        """Go on with another state."""
        ...


class StateTransfer:
    """`sync.Transfer`. Runs while the pipeline is paused; `on_installed(height)` is awaited before blocks are fetched again."""

    def __init__(
        self,
        *,
        fetcher: SnapshotFetcher,
        installation: Installation,
        executor: ReplaceableExecutor,
        blocks: BlockStore,
        changes: ChangeFile,
        genesis_path: Path,
        on_installed: Callable[[int], Awaitable[None]],
        log: Logger,
        lag: int,
    ) -> None:
        """`lag`: how many blocks behind it is worth while, 0 for never."""
        self._fetcher = fetcher
        self._installation = installation
        self._executor = executor
        self._blocks = blocks
        self._changes = changes
        self._genesis_path = genesis_path
        self._on_installed = on_installed
        self._log = log
        self._lag = lag

    async def run(self, height: int, target: int, *, needed: bool = False) -> bool:
        """`sync.Transfer`"""
        if not self._lag or (target - height <= self._lag and not needed):
            return False
        started = time.monotonic()
        try:
            found = await self._fetcher.fetch(height if needed else height + self._lag)
            if found is None:
                return False
            fetched, snapshot = found
            self._log.info(
                "snapshot fetched",
                height=snapshot.header.height,
                chunks=len(snapshot.manifest.chunks),
                resumed=self._fetcher.resumed,
                sources=dict(self._fetcher.sources),
                seconds=round(time.monotonic() - started, 2),
                ids_seconds=round(self._fetcher.ids_s, 2),
            )
            await self._build(fetched)
            self._log.info("snapshot built", height=snapshot.header.height, seconds=round(time.monotonic() - started, 2))
        except (StorageError, InvalidBlock, OSError) as error:
            # Nothing was decided: blocks may do, and what was fetched is checked again next time.
            self._log.error("snapshot given up", error=str(error))
            return False
        loop = asyncio.get_running_loop()
        installation = self._installation
        await loop.run_in_executor(None, installation.decide, Intent(snapshot.header.height, fetched.path.name))
        await self._executor.replace(installation.swap_state)
        await loop.run_in_executor(None, installation.follow, self._blocks, self._changes)
        await loop.run_in_executor(None, installation.finish)
        await self._on_installed(snapshot.header.height)
        self._log.info("snapshot installed", height=snapshot.header.height, seconds=round(time.monotonic() - started, 2))
        return True

    async def _build(self, fetched: FetchedSnapshot) -> None:
        self._installation.clear()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "carbonnode.node.snapshot_build", str(self._genesis_path), str(fetched.path), str(self._installation.new_state),
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            _, told = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            raise StorageError(f"no state could be made of the snapshot in {fetched.path}: {told.decode(errors='replace').strip()[-500:]}", code="build")
