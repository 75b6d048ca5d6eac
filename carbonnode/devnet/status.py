"""`devnet status` and `devnet down`."""

import asyncio
from pathlib import Path
from typing import Any

from carbonnode.client import Client
from carbonnode.devnet import processes
from carbonnode.devnet.layout import Layout, NodeEntry
from carbonnode.errors import RemoteError


async def status(directory: Path) -> dict[str, Any]:
    """`{"nodes": [{"name", "role", "pid", "api", "height", "header_hash", "state_root", "view", "peers"}]}`; a node that is down has pid None."""
    layout = Layout(directory)
    description = layout.describe()
    rows = await asyncio.gather(*[_row(layout, node) for node in description.nodes])
    return {"network": description.network, "directory": str(layout.directory), "nodes": rows}


async def _row(layout: Layout, node: NodeEntry) -> dict[str, Any]:
    process = processes.read_process(layout.pid_path(node.name))
    row: dict[str, Any] = {"name": node.name, "role": node.role, "pid": process.pid if process else None, "api": node.api}
    row |= {"organisation": node.organisation, "state": "stopped" if process is None else "starting"}
    row |= dict.fromkeys(("height", "header_hash", "state_root", "view", "primary", "peers"))
    if process is not None:
        try:
            async with Client(node.api, timeout_s=5) as client:
                found = await client.status()
        except RemoteError:
            return row
        row |= {"state": "running", "height": found.height, "header_hash": found.header_hash, "state_root": found.state_root}
        row |= {"view": found.view, "primary": found.primary, "peers": found.peers}
    return row


def down(directory: Path) -> dict[str, Any]:
    """End the devnet's processes, and no others: each by the id and start time recorded when it was started."""
    layout = Layout(directory)
    description = layout.describe()
    running = {node.name: process for node in description.nodes if (process := processes.read_process(layout.pid_path(node.name)))}
    killed = processes.end(list(running.values()))
    for node in description.nodes:
        layout.pid_path(node.name).unlink(missing_ok=True)
    return {"stopped": sorted(running), "killed": sorted(name for name, process in running.items() if process in killed)}
