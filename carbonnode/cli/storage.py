"""What operators do with a node's stores: `carbonnode snapshot`, `backup`, `restore`, `rollback`."""

from pathlib import Path

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option, passphrase

_node_directory = click.option(
    "--dir", "directory", required=True, type=click.Path(file_okay=False, path_type=Path), help="The node's directory."
)
_height = click.option("--height", type=click.IntRange(min=1), help="The snapshot's height; without it, all of them.")


@click.group(cls=SuggestingGroup)
def snapshot() -> None:
    """Snapshots of the certified state, which other nodes fetch instead of executing every block.

    A running validator makes one every `storage.snapshot_blocks` heights and keeps the last two.

    \b
    Examples:
      carbonnode snapshot list --dir n1
      carbonnode snapshot verify --dir n1
    """


@snapshot.command("create")
@_node_directory
@json_option
def create(directory: Path, output: Output) -> int:
    """Make a snapshot of a stopped node's last state.

    \b
    Example:
      carbonnode snapshot create --dir n1 --json
    """
    import msgspec

    from carbonnode.app import make_snapshot

    output.result(msgspec.to_builtins(make_snapshot(directory)))
    return 0


@snapshot.command("list")
@_node_directory
@json_option
def list_(directory: Path, output: Output) -> int:
    """The snapshots in a node's directory; the node may run.

    \b
    Example:
      carbonnode snapshot list --dir n1 --json
    """
    import msgspec

    from carbonnode.app import node_snapshots

    found = msgspec.to_builtins(node_snapshots(directory))
    if output.json:
        output.result({"snapshots": found})
    elif found:
        output.result(found)
    else:
        note("there is no snapshot yet: a running validator makes one every storage.snapshot_blocks heights")
    return 0


@snapshot.command("verify")
@_node_directory
@_height
@json_option
def verify(directory: Path, height: int | None, output: Output) -> int:
    """Check that snapshots are certified from genesis and every chunk is under the certified root. Exit status 1 if anything is off.

    \b
    Example:
      carbonnode snapshot verify --dir n1 --height 12000
    """
    import msgspec

    from carbonnode.app import check_snapshots

    verdicts = check_snapshots(directory, height)
    output.result({"ok": all(verdict.ok for verdict in verdicts), "snapshots": msgspec.to_builtins(verdicts)})
    return 0 if all(verdict.ok for verdict in verdicts) else 1


@click.command()
@_node_directory
@click.option("--to", "destination", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new directory for the backup.")
@click.option("--keys", is_flag=True, help="With the node's keys, encrypted as they are: who has file and passphrase is this node.")
@click.option("--encrypt", is_flag=True, help="Seal every file with a passphrase: a backup holds the whole ledger.")
@json_option
def backup(directory: Path, destination: Path, keys: bool, encrypt: bool, output: Output) -> int:
    """Back up a stopped node: blocks, state, settings, genesis, certificate; never its votes.

    \b
    Example:
      carbonnode backup --dir n1 --to /backup/n1-2026-11-21 --keys --encrypt
    """
    import msgspec

    from carbonnode.app import back_up_node

    secret = passphrase(directory / "keys", f"the backup {destination}", confirm=True) if encrypt else None
    output.result(msgspec.to_builtins(back_up_node(directory, destination, keys=keys, passphrase=secret)))
    return 0


@click.command()
@_node_directory
@click.option("--from", "source", required=True, type=click.Path(file_okay=False, exists=True, path_type=Path), help="The backup's directory.")
@json_option
def restore(directory: Path, source: Path, output: Output) -> int:
    """Make a node's directory, or only its data, from a backup; all of it is checked first and once more when it lies there.

    Nothing is overwritten. A restored validator abstains from voting until nothing it may have promised can be contradicted.

    \b
    Example:
      carbonnode restore --dir n1 --from /backup/n1-2026-11-21
    """
    import msgspec

    from carbonnode.app import restore_node

    index, report = restore_node(source, directory, lambda: passphrase(directory / "keys", f"the backup {source}"))
    if not (directory / "keys").is_dir() or not any((directory / "keys").glob("*.key.json")):
        note(f"the backup has no keys: put those of {index.name} into {directory / 'keys'} before you start the node")
    output.result({"name": index.name, "height": index.height, "header_hash": index.header_hash, "verified": msgspec.to_builtins(report)})
    return 0


@click.command()
@_node_directory
@click.option("--to-height", "height", required=True, type=click.IntRange(min=0), help="The certified height to go back to.")
@json_option
def rollback(directory: Path, height: int, output: Output) -> int:
    """Take one stopped node's data back to an earlier certified height; the chain's history stays what it is.

    By undo records where they reach, else from a verified snapshot (or genesis) and the blocks above it. The node follows its peers again when it is
    started, and abstains from voting until that is safe.

    \b
    Example:
      carbonnode rollback --dir n1 --to-height 11800
    """
    import msgspec

    from carbonnode.app import roll_back

    output.result(msgspec.to_builtins(roll_back(directory, height)))
    return 0
