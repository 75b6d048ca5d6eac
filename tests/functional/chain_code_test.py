"""A contract deployed, upgraded with its migration, and rolled back by votes from the command line, on a network of real processes."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from carbonnode.storage import leveldb
from tests.functional.governed import GovernedNetwork
from tests.functional.governed_commands import Execute, command, network, wallets
from tests.till import TILL, TILL_2

__all__ = ["command", "network", "wallets"]
pytestmark = pytest.mark.functional


def test_contracts_and_validators_change_by_vote_from_the_command_line(network: GovernedNetwork, command: Execute, tmp_path: Path) -> None:
    def adopt(document: dict[str, Any]) -> None:
        number = str(document["proposal"])
        assert f"--proposal-id {number}" in document["vote"]
        for member in ("authority", "exchange", "registry"):
            command("govern", "vote", "--proposal-id", number, "--accept", "true", "--from", member, "--wait")
        network.wait(f"proposal {number} to take effect", lambda: command("govern", "show", number)["state"] == "effective")
        assert [vote["accept"] for vote in command("govern", "show", number)["votes"]] == [True] * 3

    shown = command("govern", "validators", "list")
    assert [row["name"] for row in shown["validators"]] == [node.name for node in network.validators]
    number = command("govern", "validators", "remove", "super-1", "--reason", "three are too few", "--from", "authority")["proposal"]
    network.wait("the ledger to refuse it", lambda: command("govern", "show", str(number))["state"] == "refused")
    document = command("govern", "show", str(number))
    assert (document["verdict"], document["details"], document["note"]) == ("epoch.validators-too-few", [["remove", "super-1"]], "three are too few")
    file = tmp_path / "till.py"
    file.write_text(TILL)
    why = ("--reason", "the canteen asked", "--from", "authority")
    adopt(command("contract", "deploy", str(file), "--name", "till", "--args", '["ann"]', *why))
    assert command("query", "till", "whose")["value"] == "ann"
    command("tx", "call", "till", "put", "--arg", "who=bob", "--arg", "amount=5", "--from", "verifier", "--wait")
    file.write_text(TILL_2)
    adopt(command("contract", "deploy", str(file), "--name", "till", *why))
    assert command("query", "till", "amount_of", "--arg", "who=bob")["value"] == 500
    command("contract", "rollback", "till", "--version", "9", *why)
    network.wait("the ledger to refuse it", lambda: len(command("govern", "list", "--state", "refused")) == 2)
    assert command("govern", "list", "--state", "refused")[0]["verdict"] == "epoch.code-version"
    adopt(command("contract", "rollback", "till", "--version", "1", *why))
    (row,) = [row for row in command("contract", "list") if row["contract"] == "till"]
    assert row["version"] == 3
    assert command("query", "till", "amount_of", "--arg", "who=bob")["value"] == 500
    # A node that lost its state executes every block again, each with the code of its height.
    last = network.nodes["coordination-2"]
    height = network.nodes["super-2"].height
    network.wait_height(height)
    assert last.kill() < 0
    shutil.rmtree(last.directory.data_path / "state")
    leveldb.create(last.directory.data_path / "state")
    network.up([last.name])
    network.wait_height(height + 1)
    network.assert_same(height + 1)
    assert network.view(last, "till", "amount_of", "bob") == 500
