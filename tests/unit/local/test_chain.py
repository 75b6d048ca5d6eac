import pytest

from carbonnode.errors import ContractError
from carbonnode.local.chain import LocalChain, LocalRefusal
from carbonnode.local.testing import deploy_file, key_of, local_chain, local_market
from carbonnode.vm.contract import ContractRefused

__all__ = ["deploy_file", "local_chain", "local_market"]

NOTE = '''
text = Var(str)


@export
def write(note: str) -> None:
    """Keep a note."""
    require(note != "", "NOTE-EMPTY")
    text.set(note)
    emit("Written", to="ORG", note=note)


@view
def read() -> str:
    """The note."""
    return text.get()
'''


@pytest.fixture
def noted(local_chain: LocalChain) -> LocalChain:
    local_chain.deploy("note", NOTE)
    return local_chain


def test_call_view_events(noted: LocalChain) -> None:
    noted.call("note", "write", "hello", sender=key_of("me"))
    assert noted.view("note", "read") == "hello"
    assert [(event.to, event.fields) for event in noted.events] == [("ORG", {"note": "hello"})]
    assert noted.seen_by("") == []
    assert noted.height == 1


def test_refusals(noted: LocalChain) -> None:
    assert noted.refusal("note", "write", "") == "NOTE-EMPTY"
    with pytest.raises(LocalRefusal, match=r"note\.write was refused with NOTE-EMPTY"):
        noted.call("note", "write", "")
    with pytest.raises(ContractError, match="expected to be refused"):
        noted.refusal("note", "write", "fine")
    with pytest.raises(LocalRefusal, match=r"vm\.no-contract"):
        noted.call("nothing", "write")


def test_views_write_nothing(noted: LocalChain) -> None:
    with pytest.raises(LocalRefusal):
        noted.view("note", "write", "x")


def test_refused_source(local_chain: LocalChain) -> None:
    with pytest.raises(ContractRefused):
        local_chain.deploy("bad", "import os\n")


def test_market_fixture(local_market: LocalChain) -> None:
    assert local_market.view("matching", "books") == ("CEA-2024",)
