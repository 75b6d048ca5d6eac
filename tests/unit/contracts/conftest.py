"""Fixtures of the market contracts' tests."""

from collections.abc import Callable

import pytest

from carbonnode.local.market import LocalMarket
from carbonnode.local.testing import local_market

__all__ = ["local_market"]

TRADERS = ("ALPHA", "BRAVO", "CHARLIE", "DELTA")


@pytest.fixture
def trading(local_market: LocalMarket) -> LocalMarket:
    """Four institutions with 1,000,000 t and 100 million yuan each, on the open market of 2025-11-19, 9:30."""
    for name in TRADERS:
        local_market.member(name)
        local_market.fund(name, cash_fen=10_000_000_000, iv="CEA-2024", units_t=1_000_000)
    local_market.open_market(20411)
    return local_market


@pytest.fixture
def place(trading: LocalMarket) -> Callable[[str, str, int, int], str]:
    """Enter an order into CEA-2024 and return its id."""

    def enter(name: str, side: str, price_fen: int, quantity_t: int) -> str:
        return str(trading.by(name, "matching", "place", "CEA-2024", side, price_fen, quantity_t, ""))

    return enter
