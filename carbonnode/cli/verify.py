"""`carbonnode verify`: the proof file of a transaction, or of a validator's fault, checked offline."""

from pathlib import Path
from typing import Any

import click

from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option, read_file
from carbonnode.errors import InvalidBlock, InvalidTransaction


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--genesis", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The network's genesis file, from a source you trust.")
@json_option
def verify(file: Path, genesis: Path, output: Output) -> int:
    """Verify the proof FILE of a transaction, or of a validator's fault, with nothing but the genesis file; exit status 1 if anything is off.

    It checks the transaction's signature, its place under the block's transactions root, its receipt under the receipts root, the block's
    certificate by a quorum of validators, and the validators' succession from genesis. A proof of a fault (from a validator's data directory) holds
    two signatures of one validator of which an honest one gives at most one: both are checked, and whose they are.

    \b
    Example:
      carbonnode verify trade.proof.json --genesis .devnet/genesis.json
    """
    from carbonnode.chain.fault_proof import is_fault_proof, parse_fault_proof, verify_fault_proof
    from carbonnode.chain.genesis import parse_genesis
    from carbonnode.chain.proof import parse_proof, verify_proof

    trusted = parse_genesis(read_file(genesis, "genesis file"), genesis)
    data = read_file(file, "proof file")
    document: dict[str, Any]
    try:
        if is_fault_proof(data):
            output.result(verify_fault_proof(parse_fault_proof(data), trusted).to_dict())
            return 0
        verified = verify_proof(parse_proof(data), trusted)
    except (InvalidBlock, InvalidTransaction) as error:
        document = {"verified": False, "code": error.code, "reason": str(error)}
        output.result(document)
        note(f"error [{error.code}]: {file} doesn't hold: {error}: don't rely on it, and fetch the proof again from another node")
        return 1
    document = verified.to_dict()
    output.result(document)
    if document["status"] != "OK":
        note(f"the transaction is in the block, but it failed there: {document['status']} {document['code']}")
    return 0
