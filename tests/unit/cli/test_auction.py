"""`carbonnode auction clear` names what the contract answers, and what it refuses."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from carbonnode.cli import auction
from carbonnode.cli.main import run
from carbonnode.client import QueryAnswer
from carbonnode.local.chain import LocalChain
from carbonnode.resources import contract_source

WORDS = ("auction", "clear", "--supply-t", "100", "--reserve-fen", "5000", "--lot-t", "10")


@pytest.fixture
def clear(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, Any, str]]:
    """The command against the contract itself, on a local chain."""
    chain = LocalChain()
    chain.deploy("auction", contract_source("auction"))

    class Local:
        async def query(self, contract: str, view: str, *args: Any) -> QueryAnswer:
            outcome = chain.answer(contract, view, args)
            value = list(outcome.values[0]) if outcome.ok else None  # type: ignore[arg-type]
            return QueryAnswer(3, outcome.status.name, outcome.code, value)

    def with_local(node: str | None, work: Callable[[Any], Any]) -> Any:
        import asyncio

        return asyncio.run(work(Local()))

    monkeypatch.setattr(auction, "with_client", with_local)

    def invoke(bids: str) -> tuple[int, Any, str]:
        status = run([*WORDS, "--bids", bids, "--json"])
        captured = capsys.readouterr()
        return status, json.loads(captured.out), captured.err

    return invoke


def test_bids_are_served_by_price_and_all_pay_the_lowest(clear: Callable[[str], tuple[int, Any, str]]) -> None:
    status, document, _ = clear("[[6000, 60], [5500, 60], [4000, 10]]")
    assert (status, document["clearing_fen"]) == (0, 5500)
    assert [row["award_t"] for row in document["awards"]] == [60, 40, 0]


def test_what_cannot_be_is_refused(clear: Callable[[str], tuple[int, Any, str]]) -> None:
    status, document, errors = clear("[[6000, 7]]")
    assert (status, document["code"]) == (1, "AUCTION-LOT")
    assert "whole lots" in errors
    status, _, errors = clear("[6000, 7]")
    assert status == 1
    assert "no list of [price_fen, quantity_t]" in errors
