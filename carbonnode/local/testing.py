"""pytest fixtures for authors of contracts. In a `conftest.py`: `from carbonnode.local.testing import *  # noqa: F403`.

- `local_chain`: an empty `LocalChain`; `chain.deploy("name", source)`, `chain.call(...)`, `chain.view(...)`, `chain.refusal(...)`.
- `local_market`: every shipped contract with the rule set `demo-nger`, vintage 2024 open, book `CEA-2024` listed at 6,196 fen.
- `deploy_file`: a function that installs a contract file on `local_chain` by its path.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from carbonnode.local.chain import LocalChain, LocalEvent, LocalRefusal, key_of
from carbonnode.local.market import LocalMarket, document
from carbonnode.local.ruleset import load

__all__ = [
    "LocalChain",
    "LocalEvent",
    "LocalMarket",
    "LocalRefusal",
    "deploy_file",
    "document",
    "key_of",
    "local_chain",
    "local_market",
]


@pytest.fixture
def local_chain() -> LocalChain:
    """An empty chain on a state in memory."""
    return LocalChain()


@pytest.fixture
def deploy_file(local_chain: LocalChain) -> Callable[[Path], LocalChain]:
    """Install a contract file (its name without .py) on `local_chain`."""

    def deploy(path: Path) -> LocalChain:
        local_chain.deploy(path.stem, path.read_bytes())
        return local_chain

    return deploy


@pytest.fixture
def local_market() -> LocalMarket:
    """A market ready for accounts: rule set `demo-nger`, book `CEA-2024` at the first reference price, no day open."""
    rules = load("demo-nger")
    market = LocalMarket(rules)
    book = market.vintage(2024)
    market.by("exchange", "matching", "open_book", book, rules.scaled("first_reference_price_fen"))
    return market
