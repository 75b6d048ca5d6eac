"""`devnet up`: make the network once, start its processes, come back when it makes blocks."""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from carbonnode.client import Client
from carbonnode.devnet import genesis as making
from carbonnode.devnet import processes
from carbonnode.devnet.layout import Description, Layout, NodeEntry
from carbonnode.devnet.ports import claim_ports, is_busy
from carbonnode.devnet.processes import DevnetError
from carbonnode.errors import ConfigError, RemoteError

START_S = 90.0
"""How long a network may take until it makes blocks: importing libp2p alone takes seconds, and all nodes share this machine."""
_POLL_S = 0.2
_INIT_S = 120.0

Tell = Callable[[str], None]


async def up(
    directory: Path, *, validators: int = 4, users: int = 1, base_port: int | None = None, overrides: Mapping[str, str | int] | None = None, tell: Tell = print
) -> Description:
    """Make (if need be) and start the devnet; returns when every node follows a chain that grows.

    `overrides` replaces numbers of the rule set when the network is made (a market that is always open, for load tests).

    Raises `ConfigError` for what was asked wrongly, `DevnetError` with a node's last lines when one doesn't come up or the devnet runs already.
    """
    layout = Layout(directory)
    if not layout.exists:
        with claim_ports(len(making.node_names(validators, users)), base_port) as claim:
            description = make(layout, validators, users, claim.base, overrides or {}, tell)
            await _start(layout, description, tell)
        return description
    description = layout.describe()
    running = running_nodes(layout, description)
    if len(running) == len(description.nodes):
        raise DevnetError(f"this devnet runs already ({description.nodes[0].api}): see `carbonnode devnet status --dir {directory}`", code="running")
    if base_port not in (None, description.base_port):
        raise ConfigError(f"{directory} holds a devnet on base port {description.base_port}: start it without --base-port, or remove it first")
    tell(f"starting the devnet in {directory} again ({len(running)} of {len(description.nodes)} nodes run)")
    await _start(layout, description, tell)
    return description


async def _start(layout: Layout, description: Description, tell: Tell) -> None:
    """Start the nodes that don't run, and wait until all follow a growing chain."""
    missing = [node for node in description.nodes if processes.read_process(layout.pid_path(node.name)) is None]
    _check_ports(missing)
    started = [start_node(layout, node) for node in missing]
    tell(f"started {', '.join(node.name for node in missing)}; waiting for blocks")
    try:
        await wait_for_blocks(layout, description)
    except BaseException:
        # Nothing half up stays behind.
        processes.end(started)
        raise


def _check_ports(nodes: Sequence[NodeEntry]) -> None:
    """Raise `DevnetError` if somebody else listens where these nodes must."""
    for node in nodes:
        for port in (node.peer_port, node.api_port):
            if is_busy(port):
                raise DevnetError(f"port {port} of {node.name} is busy: end what listens there; a devnet's ports are part of its nodes' configuration")


def make(layout: Layout, validators: int, users: int, base_port: int, overrides: Mapping[str, str | int], tell: Tell) -> Description:
    """Keys, CA, genesis, certificates, node directories. What is half made by an earlier attempt is removed first."""
    _clear_half_made(layout)
    description = making.describe(validators, users, base_port)
    tell(f"making {len(description.nodes)} nodes in {layout.directory}: keys, a throw-away certificate authority, genesis")
    keys, transport = making.make_keys(layout, description)
    authority = making.make_authority(layout)
    genesis = making.make_genesis(layout, description, keys, authority, overrides)
    certificates = making.certify(layout, description, genesis, authority, transport)
    running = [_start_init(layout, description, node, certificates[node.name], transport) for node in description.nodes]
    for node, process in zip(description.nodes, running, strict=True):
        output, _ = process.communicate(timeout=_INIT_S)
        if process.returncode:
            raise DevnetError(f"carbonnode init of {node.name} failed: {output.decode(errors='replace').strip()}")
    layout.write_description(description)
    return description


def _clear_half_made(layout: Layout) -> None:
    there = sorted(path.name for path in layout.directory.iterdir()) if layout.directory.is_dir() else []
    ours = {"ca", "wallets", "nodes", "genesis.json", "passphrase", "devnet.new"}
    if not set(there) <= ours:
        raise ConfigError(f"{layout.directory} holds something else ({', '.join(set(there) - ours)}): choose another --dir")
    if there:
        shutil.rmtree(layout.directory)


def _start_init(layout: Layout, description: Description, node: NodeEntry, certificate: Path, transport: dict[str, bytes]) -> subprocess.Popen[bytes]:
    """Run `carbonnode init` for a node; everybody dials the validators."""
    peers = [p for p in description.nodes if p.role != "user" and p.name != node.name]
    arguments = ["init", "--dir", str(layout.node(node.name)), "--role", node.role, "--name", node.name]
    arguments += ["--genesis", str(layout.genesis_path), "--certificate", str(certificate), "--domain", making.DOMAIN]
    arguments += ["--port", str(node.peer_port), "--api-port", str(node.api_port)]
    for peer in peers:
        arguments += ["--peer", f"{peer.name}=127.0.0.1:{peer.peer_port}={transport[peer.name].hex()}"]
    return subprocess.Popen(
        [sys.executable, "-m", "carbonnode", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=processes.environment(layout.passphrase_path),
    )


def start_node(layout: Layout, node: NodeEntry, extra: Mapping[str, str] | None = None) -> processes.ProcessId:
    """Start one node's process, with `extra` variables in its environment."""
    return processes.start(
        ["start", "--dir", str(layout.node(node.name))],
        pid_path=layout.pid_path(node.name),
        output_path=layout.output_path(node.name),
        passphrase_path=layout.passphrase_path,
        extra=extra,
    )


def running_nodes(layout: Layout, description: Description) -> list[NodeEntry]:
    """The nodes whose recorded process lives."""
    return [node for node in description.nodes if processes.read_process(layout.pid_path(node.name)) is not None]


async def wait_for_blocks(layout: Layout, description: Description, *, patience_s: float = START_S) -> None:
    """Until each node has certified a block above genesis and all links it needs are up. Raises `DevnetError` naming the node that isn't."""
    deadline = time.monotonic() + patience_s
    waiting = {node.name: node for node in description.nodes}
    seen: dict[str, str] = {}
    while waiting:
        for node in list(waiting.values()):
            process = processes.read_process(layout.pid_path(node.name))
            if process is None:
                raise DevnetError(f"{node.name} has stopped: {processes.last_lines(layout.output_path(node.name))}")
            seen[node.name] = await _state(node, process.pid)
            if not seen[node.name]:
                del waiting[node.name]
        if waiting and time.monotonic() > deadline:
            why = "; ".join(f"{name}: {seen[name]}" for name in waiting)
            raise DevnetError(f"the network makes no blocks after {patience_s:g} s ({why}): see the logs in {layout.directory}/nodes/*/logs")
        if waiting:
            await asyncio.sleep(_POLL_S)


async def _state(node: NodeEntry, pid: int) -> str:
    """What a node still lacks, or ""."""
    try:
        async with Client(node.api, timeout_s=5) as client:
            status = await client.status()
    except RemoteError:
        return "its API doesn't answer yet"
    if status.pid != pid:
        return f"another process ({status.pid}) answers at {node.api}"
    if status.height < 1:
        return f"no block certified yet ({status.peers} peers)"
    return ""
