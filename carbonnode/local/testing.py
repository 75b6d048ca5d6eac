"""pytest fixtures for authors of contracts. `carbonnode contract test` brings them along; elsewhere, in a `conftest.py`:
`from carbonnode.local.testing import *  # noqa: F403`. Needs pytest: `pip install 'carbonnode[test]'`.

- `deploy`: a function that installs a contract and gives it to the test: `till = deploy("till.py", "ann", 500)`. A file is looked for beside the
  test, one folder up, and in the working directory; further arguments go to `@init`. Deploy several and they can call one another.
- the deployed contract (`Deployed`): `call`, `view`, `refused`, `expect(..., value=, code=, outcome=, events=, gas=)`, `events`, and `by("ann")` for
  another sender.
- `local_chain`: the `LocalChain` under it: `advance(ms)` lets time pass and runs what contracts scheduled, `snapshot()` and `restore(...)`, `upgrade` and
  `rollback`.
- `local_market`: every shipped contract with the rule set `demo-nger`, vintage 2024 open, book `CEA-2024` listed at 6,196 fen.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from carbonnode.chain.values import Value
from carbonnode.errors import ConfigError
from carbonnode.local.chain import LocalChain, LocalEvent, LocalRefusal, Snapshot, key_of
from carbonnode.local.contract_tools import contract_name
from carbonnode.local.deployed import Deployed
from carbonnode.local.market import LocalMarket, document
from carbonnode.local.ruleset import load

__all__ = [
    "Deployed",
    "LocalChain",
    "LocalEvent",
    "LocalMarket",
    "LocalRefusal",
    "Snapshot",
    "deploy",
    "document",
    "key_of",
    "local_chain",
    "local_market",
]

Deploy = Callable[..., Deployed]


@pytest.fixture
def local_chain() -> LocalChain:
    """An empty chain on a state in memory."""
    return LocalChain()


@pytest.fixture
def deploy(local_chain: LocalChain, request: pytest.FixtureRequest) -> Deploy:
    """Install a contract file on `local_chain`, under its file's name unless `name` says another."""

    def install(path: str | Path, *args: Value, name: str = "") -> Deployed:
        file = find_contract(Path(path), request.path.parent)
        installed = name or contract_name(file)
        local_chain.deploy(installed, file.read_bytes(), args)
        return Deployed(local_chain, installed)

    return install


@pytest.fixture
def local_market() -> LocalMarket:
    """A market ready for accounts: rule set `demo-nger`, book `CEA-2024` at the first reference price, no day open."""
    rules = load("demo-nger")
    market = LocalMarket(rules)
    book = market.vintage(2024)
    market.by("exchange", "matching", "open_book", book, rules.scaled("first_reference_price_fen"))
    return market


def find_contract(path: Path, beside: Path) -> Path:
    """A contract file: beside the test, one folder up, or in the working directory. Raises `ConfigError` naming the places."""
    places = [beside / path, beside.parent / path, Path.cwd() / path]
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(f"no contract file {path}: looked for {', '.join(str(place) for place in places)}")
