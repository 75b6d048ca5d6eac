"""`carbonnode contract deploy` and `rollback`: proposals about code."""

from pathlib import Path
from typing import Any

import click

from carbonnode.cli.governance import Proposer, proposing
from carbonnode.cli.output import note
from carbonnode.cli.session import read_file
from carbonnode.errors import ConfigError

PART_CHARACTERS = 4_000
"""A text argument holds 4 KiB; sources are ASCII."""


@click.command("deploy")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", required=True, metavar="N", help="The contract: a new one, or an installed one that gets its next version.")
@click.option("--args", "args", metavar="JSON_LIST", help='Arguments of @init for a new contract; bytes as {"hex": "00ff"}.')
@proposing
def deploy(file: Path, name: str, args: str | None, by: Proposer) -> int:
    """Put FILE on the chain and propose it as contract N; prints the command by which members vote.

    It takes effect at an epoch's start; the next version's `migrate(old_version)` runs there. The source is checked here first, by the ledger a block after
    the proposal, and again when it takes effect.

    \b
    Example:
      carbonnode contract deploy till.py --name till --args '["ann"]' --reason "a till for the canteen" --from authority
      carbonnode govern vote --proposal-id 1 --accept true --from exchange --wait
    """
    import msgspec

    from carbonnode.chain.genesis import value_from_json
    from carbonnode.chain.hashing import blake2b_256
    from carbonnode.local import contract_tools

    report = contract_tools.check(file)
    if not report["ok"]:
        for error in report["errors"]:
            note(f"{file}:{error['line']}:{error['column']}: [{error['rule']}] {error['message']}")
        raise ConfigError(f"{file} isn't a contract: correct what is listed, then propose it")
    contract_tools.require_name(name)
    try:
        given: list[Any] = [] if args is None else msgspec.json.decode(args, type=list[Any])
        values = tuple(value_from_json(item) for item in given)
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"--args is no JSON list: {error}: write it like '[1, \"text\"]'") from None
    except RecursionError:
        raise ConfigError("--args is nested too deep: a contract takes tuples of tuples at most") from None
    source = read_file(file, "contract").decode("ascii")
    source_hash = blake2b_256(source.encode()).hex()
    parts = [source[start : start + PART_CHARACTERS] for start in range(0, len(source), PART_CHARACTERS)]
    note(f"{file}: {len(source)} bytes in {len(parts)} parts, source hash {source_hash}")
    calls: list[tuple[str, tuple[Any, ...]]] = [("upload_code", (source_hash, number, part)) for number, part in enumerate(parts)]
    return by.propose(*calls, ("propose_contract", (name, source_hash, values, by.reason)))


@click.command("rollback")
@click.argument("name")
@click.option("--version", "version", required=True, type=click.IntRange(min=1), metavar="V", help="The version to bring back.")
@proposing
def rollback(name: str, version: int, by: Proposer) -> int:
    """Propose to bring back an earlier version of contract NAME; what it stored stays as it is, and no hook runs.

    \b
    Example:
      carbonnode contract rollback till --version 1 --reason "version 2 counts twice" --from authority
    """
    return by.propose(("propose_rollback", (name, version, by.reason)))
