import pytest

from carbonnode.local.chain import LocalRefusal
from carbonnode.local.market import LocalMarket


@pytest.mark.parametrize(
    ("terms", "bids", "expected"),
    [
        ((100, 0, 1), (60, 50, 70, 30, 50, 40), (50, 50, 30, 20)),
        ((100, 55, 1), (60, 50, 70, 30, 50, 40), (60, 50, 30, 0)),
        ((100, 0, 1), (60, 70, 60, 70), (60, 70, 30)),
        ((105, 0, 10), (60, 70, 60, 70), (60, 70, 30)),
        ((50, 0, 1), (60, 50, 59, 10), (60, 50, 0)),
        ((0, 0, 1), (60, 50), (0, 0)),
        ((100, 99, 1), (60, 50), (0, 0)),
        ((100, 0, 1), (), (0,)),
    ],
)
def test_uniform_price_by_price_then_time(local_market: LocalMarket, terms: tuple[int, int, int], bids: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert local_market.view("auction", "clear", *terms, bids) == expected


@pytest.mark.parametrize(
    ("terms", "bids", "code"),
    [
        ((100, 0, 10), (60, 55), "AUCTION-LOT"),
        ((100, 0, 0), (60, 55), "AUCTION-TERMS"),
        ((100, 0, 1), (60,), "AUCTION-BIDS"),
        ((100, 0, 1), (0, 5), "AUCTION-BIDS"),
    ],
)
def test_refusals(local_market: LocalMarket, terms: tuple[int, int, int], bids: tuple[int, ...], code: str) -> None:
    with pytest.raises(LocalRefusal, match=code):
        local_market.view("auction", "clear", *terms, bids)
