"""The worked example of docs/contracts.md on a network of real processes: the guide's own files and commands, by vote, a second version, and back."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carbonnode.identity.keystore import KeyStore
from tests.functional.governed import GovernedNetwork
from tests.functional.governed_commands import Execute, add_wallet, command, network, wallets
from tests.functional.harness import signer

__all__ = ["command", "network", "wallets"]
pytestmark = [pytest.mark.functional, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
WALLETS = {"coordination-1": "authority", "super-1": "exchange", "super-2": "registry"}
"""The guide's wallets are a devnet's; here members' wallets have other names."""


@pytest.fixture
def line(wallets: KeyStore, command: Execute, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Run a command line of the guide, as it is printed there, against the network; its JSON document."""
    for person in ("steward", "ann"):
        add_wallet(wallets, person, person)
    monkeypatch.chdir(ROOT / "docs" / "examples")
    steward = signer("steward").public_key.hex()

    def execute(text: str) -> Any:
        for name, here in WALLETS.items():
            text = text.replace(f"--from {name}", f"--from {here}")
        words = shlex.split(re.sub(r'"hex": "[0-9a-f]{64}"', f'"hex": "{steward}"', text))
        return command(*words[1:])

    return execute


def test_the_worked_example_is_deployed_upgraded_and_rolled_back_by_vote(network: GovernedNetwork, line: Callable[[str], Any]) -> None:
    guide = (ROOT / "docs" / "contracts.md").read_text("utf-8")
    section = guide[guide.index("### On the network") : guide.index("## Deploying, upgrading")]
    lines = [text for text in section.splitlines() if text.startswith("carbonnode ")]
    deploy, *votes, show, start, pledge, summary, second, back, listed = lines
    number = 0

    def adopt(proposal: str) -> None:
        nonlocal number
        number += 1
        assert line(proposal)["proposal"] == number
        for vote in votes:
            assert line(vote.replace("--proposal-id 1", f"--proposal-id {number}"))["outcome"] == "OK"
        network.wait(f"proposal {number} to take effect", lambda: line(show.replace(" 1", f" {number}"))["state"] == "effective", 120.0)

    adopt(deploy)
    assert line(start)["outcome"] == "OK"
    assert line(pledge)["values"] == [10]
    assert line(summary)["value"][2] == 10
    adopt(second)
    assert line("carbonnode query pool size")["value"] == 1
    adopt(back)
    (row,) = [row for row in line(listed) if row["contract"] == "pool"]
    assert row["version"] == 3
    assert line(pledge)["values"] == [20]
    network.wait_height(max(node.height for node in network.validators))
