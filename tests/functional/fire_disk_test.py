"""A disk that really fills up under a validator: it stops voting while space is still reserved, outlives a disk without one free byte, and resumes.

Needs a file system of its own for one node, so root (mount); elsewhere `chain_refusals_test.py` shows the same with a reserve larger than the disk.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from carbonnode.node.config import StorageSection, to_toml
from tests.functional.fire_kit import grows, others, ready
from tests.functional.fire_load import Payer
from tests.functional.harness import NodeHandle, ToyNetwork

MIB = 1024 * 1024
DISK_BYTES = 64 * MIB
RESERVE_BYTES = 16 * MIB

pytestmark = [pytest.mark.functional, pytest.mark.slow]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB, mounted at the place of the third validator's directory before that is made."""
    place = tmp_path / "net" / "coordination-1"
    place.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, leave_bytes: int) -> None:
    """Somebody else's file takes the space but for so much."""
    stat = os.statvfs(place)
    with (place / "somebody-elses").open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, file.tell() + max(stat.f_bavail * stat.f_frsize - leave_bytes, 1))


def stands(net: ToyNetwork, node: NodeHandle) -> int:
    """The height at which a node that doesn't vote stays while the others go on."""
    rest = others(net, node)
    height = net.wait(f"{node.name} to say that it isn't ready", lambda: not ready(node) and node.height)
    grows(net, rest, 5)
    return int(height)


def test_a_full_disk_stops_votes_and_needs_no_repair(small_disk: Path) -> None:
    net = ToyNetwork(small_disk.parent)
    node = net.nodes[small_disk.name]
    config = msgspec.structs.replace(node.directory.config(), storage=StorageSection(reserve_bytes=RESERVE_BYTES))
    node.directory.config_path.write_text(to_toml(config))
    try:
        net.up()
        payer = Payer(net)
        try:
            grows(net, net.validators)
            process = node.process
            fill(small_disk, RESERVE_BYTES // 2)
            before = stands(net, node)
            # Space is still reserved; now another program takes that as well, to the last byte.
            fill(small_disk, 0)
            grows(net, others(net, node), 5)
            assert process is not None
            assert process.poll() is None, node.tail()
            assert node.height <= before + net.genesis.parameters.window
            (small_disk / "somebody-elses").unlink()
            net.wait(f"{node.name} to be ready again", lambda: ready(node))
            grows(net, net.validators)
            assert node.process is process
            payer.settle()
        finally:
            payer.close()
    finally:
        net.down()
