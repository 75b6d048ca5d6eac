"""Fixtures and texts of tests that govern a real network from the command line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carbonnode.cli.main import run
from carbonnode.identity.keystore import KeyStore, Strength
from tests.functional.governed import MEMBERS, GovernedNetwork
from tests.functional.harness import PASSPHRASE

Execute = Callable[..., Any]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[GovernedNetwork]:
    """A network whose first block is made."""
    with GovernedNetwork(tmp_path / "net").running_at(1) as net:
        yield net


@pytest.fixture
def wallets(network: GovernedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyStore:
    """The members' wallets (`authority`, `exchange`, ...), whose passphrase the environment names, as it does node super-2."""
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    store = KeyStore(tmp_path / "wallets")
    for entity in MEMBERS:
        add_wallet(store, entity.split("-")[0].lower(), entity)
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.setenv("CARBONNODE_WALLETS", str(tmp_path / "wallets"))
    monkeypatch.setenv("CARBONNODE_NODE", network.nodes["super-2"].url)
    return store


@pytest.fixture
def command(wallets: KeyStore, capsys: pytest.CaptureFixture[str]) -> Execute:
    """Run a command line against the network; its JSON document."""

    def execute(*words: str, expected: int = 0) -> Any:
        capsys.readouterr()
        status = run([*words, "--json"])
        printed = capsys.readouterr()
        assert status == expected, f"{' '.join(words)}\n{printed.err}"
        return json.loads(printed.out)

    return execute


def add_wallet(store: KeyStore, name: str, seed: str) -> None:
    """A wallet with the key of `signer(seed)`."""
    store.create(name, PASSPHRASE, seed=seed.encode().ljust(32, b"\0"), strength=Strength.THROW_AWAY)
