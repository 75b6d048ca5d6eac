"""The worked example of docs/contracts.md on a network of real processes: the guide's own files and commands, by vote, a second version, and back."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carbonnode.cli.main import run
from carbonnode.identity.keystore import KeyStore, Strength
from tests.functional.governed import MEMBERS, GovernedNetwork
from tests.functional.harness import PASSPHRASE, signer

pytestmark = [pytest.mark.functional, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
WALLETS = {"coordination-1": "authority", "super-1": "exchange", "super-2": "registry"}
"""The guide's wallets are a devnet's; here members' wallets have other names."""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[GovernedNetwork]:
    net = GovernedNetwork(tmp_path / "net")
    try:
        net.up()
        net.wait_height(1)
        yield net
    finally:
        net.down()


@pytest.fixture
def command(network: GovernedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Any]:
    """Run a command line of the guide against the network; its JSON document."""
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    wallets = KeyStore(tmp_path / "wallets")
    for entity in MEMBERS:
        wallets.create(entity.split("-")[0].lower(), PASSPHRASE, seed=entity.encode().ljust(32, b"\0"), strength=Strength.THROW_AWAY)
    for person in ("steward", "ann"):
        wallets.create(person, PASSPHRASE, seed=person.encode().ljust(32, b"\0"), strength=Strength.THROW_AWAY)
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.setenv("CARBONNODE_WALLETS", str(tmp_path / "wallets"))
    monkeypatch.setenv("CARBONNODE_NODE", network.nodes["super-2"].url)
    monkeypatch.chdir(ROOT / "docs" / "examples")
    steward = signer("steward").public_key.hex()

    def execute(line: str) -> Any:
        for name, here in WALLETS.items():
            line = line.replace(f"--from {name}", f"--from {here}")
        words = shlex.split(re.sub(r'"hex": "[0-9a-f]{64}"', f'"hex": "{steward}"', line))
        capsys.readouterr()
        status = run([*words[1:], "--json"])
        printed = capsys.readouterr()
        assert status == 0, f"{line}\n{printed.err}"
        return json.loads(printed.out)

    return execute


def test_the_worked_example_is_deployed_upgraded_and_rolled_back_by_vote(network: GovernedNetwork, command: Callable[[str], Any]) -> None:
    guide = (ROOT / "docs" / "contracts.md").read_text("utf-8")
    section = guide[guide.index("### On the network") : guide.index("## Deploying, upgrading")]
    lines = [line for line in section.splitlines() if line.startswith("carbonnode ")]
    deploy, *votes, show, start, pledge, summary, second, back, listed = lines
    number = 0

    def adopt(line: str) -> None:
        nonlocal number
        number += 1
        assert command(line)["proposal"] == number
        for vote in votes:
            assert command(vote.replace("--proposal-id 1", f"--proposal-id {number}"))["outcome"] == "OK"
        network.wait(f"proposal {number} to take effect", lambda: command(show.replace(" 1", f" {number}"))["state"] == "effective", 120.0)

    adopt(deploy)
    assert command(start)["outcome"] == "OK"
    assert command(pledge)["values"] == [10]
    assert command(summary)["value"][2] == 10
    adopt(second)
    assert command("carbonnode query pool size")["value"] == 1
    adopt(back)
    (row,) = [row for row in command(listed) if row["contract"] == "pool"]
    assert row["version"] == 3
    assert command(pledge)["values"] == [20]
    network.wait_height(max(node.height for node in network.validators))
