"""A process of its own that makes a state database of a fetched snapshot: the daemon goes on meanwhile.

`python -m carbonnode.node.snapshot_build GENESIS SOURCE TARGET`. Every chunk is checked once more: the files lay on a disk.
"""

import sys
from pathlib import Path

from carbonnode.chain.genesis import Genesis, parse_genesis
from carbonnode.errors import CarbonnodeError
from carbonnode.ledger.snapshot_build import build_state
from carbonnode.node.snapshot_store import FetchedSnapshot
from carbonnode.storage import leveldb
from carbonnode.storage.leveldb import LevelKV


def build(genesis: Genesis, source: Path, target: Path) -> None:
    """Make the database `target` from the complete fetched snapshot in `source`. Raises `InvalidBlock` or `StorageError`."""
    fetched = FetchedSnapshot(source)
    snapshot = fetched.verified(genesis)
    leveldb.create(target)
    with LevelKV.open(target, compress=False) as kv:
        build_state(kv, snapshot, fetched.read, fetched.joined_ids())


def main() -> int:
    """Entry point of the process."""
    genesis, source, target = (Path(argument) for argument in sys.argv[1:4])
    try:
        build(parse_genesis(genesis.read_bytes(), genesis), source, target)
    except CarbonnodeError as error:
        print(f"carbonnode: {error}", file=sys.stderr)  # noqa: T201 - the daemon reads it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
