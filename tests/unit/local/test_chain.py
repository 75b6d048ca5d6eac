from pathlib import Path

import pytest

from carbonnode.errors import ConfigError, ContractError
from carbonnode.local.chain import LocalChain, LocalRefusal
from carbonnode.local.testing import Deploy, deploy, key_of, local_chain, local_market
from carbonnode.vm.contract import ContractRefused

__all__ = ["deploy", "local_chain", "local_market"]

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


CLOCK = """
count = Var(int)
last = Var(int)


@export
def later(ms: int, n: int) -> None:
    schedule(ctx.time + ms, "tick", (n,))


@export
def tick(n: int) -> None:
    require(ctx.caller == ctx.self, "clock.not-scheduled")
    require(n > 0, "clock.number")
    count.set(count.get() + n)
    last.set(ctx.time)
    emit("Ticked", n=n)


@view
def ticks() -> tuple:
    return (count.get(), last.get())
"""


def test_time_travel_runs_what_was_scheduled_in_order_at_its_time(local_chain: LocalChain) -> None:
    local_chain.deploy("clock", CLOCK)
    start = local_chain.time_ms
    assert local_chain.refusal("clock", "tick", 1) == "clock.not-scheduled"
    local_chain.call("clock", "later", 500, 2)
    local_chain.call("clock", "later", 200, 1)
    local_chain.call("clock", "later", 300, 0)
    assert local_chain.advance(100) == []
    assert [outcome.code for outcome in local_chain.advance(300)] == ["", "clock.number"]
    assert local_chain.view("clock", "ticks") == (1, start + 200)
    assert local_chain.time_ms == start + 400
    local_chain.advance(10_000)
    assert local_chain.view("clock", "ticks") == (3, start + 500)
    assert [job.at_ms - start for job, _ in local_chain.job_outcomes] == [200, 300, 500]
    with pytest.raises(ContractError, match="can't go back"):
        local_chain.advance(-1)


def test_a_snapshot_is_restored_as_often_as_wanted(local_chain: LocalChain) -> None:
    local_chain.deploy("clock", CLOCK)
    local_chain.call("clock", "later", 500, 2)
    taken = local_chain.snapshot()
    for _ in range(2):
        local_chain.advance(1_000)
        assert local_chain.view("clock", "ticks") == (2, taken.time_ms + 500)
        local_chain.restore(taken)
        assert local_chain.view("clock", "ticks") == (0, 0)
        assert (local_chain.time_ms, local_chain.height, local_chain.events) == (taken.time_ms, taken.height, [])


COUNTER = """
n = Var(int)


@export
def add(k: int) -> int:
    n.set(n.get() + k)
    return n.get()
"""
DOUBLED = COUNTER.replace("n.get() + k", "n.get() + 2 * k") + """

@export
def migrate(old_version: int) -> None:
    require(n.get() < 100, "counter.too-late")
    n.set(n.get() + 1000 * old_version)
"""


def test_upgrade_migrates_and_rollback_brings_the_old_source_back(local_chain: LocalChain) -> None:
    local_chain.deploy("counter", COUNTER)
    assert local_chain.call("counter", "add", 1) == 1
    local_chain.upgrade("counter", DOUBLED)
    assert local_chain.call("counter", "add", 1) == 1003
    assert local_chain.refusal("counter", "migrate", 1) == "vm.no-method"
    local_chain.rollback("counter", 1)
    assert local_chain.call("counter", "add", 1) == 1004
    assert len(local_chain.versions["counter"]) == 3
    with pytest.raises(LocalRefusal, match=r"counter\.too-late"):
        local_chain.upgrade("counter", DOUBLED)
    assert local_chain.call("counter", "add", 1) == 1005
    with pytest.raises(ContractError, match="changes its types") as caught:
        local_chain.upgrade("counter", COUNTER.replace("Var(int)", "Var(str)").replace("n.get() + k", "str(k)").replace("-> int", "-> str"))
    assert caught.value.code == "epoch.code-storage"
    for version in (0, 9):
        with pytest.raises(ContractError, match="never had a version"):
            local_chain.rollback("counter", version)
    with pytest.raises(ContractError, match="deploy it first"):
        local_chain.upgrade("absent", COUNTER)


WHO = """
owner = Var(bytes)


@export
def claim() -> bytes:
    require(owner.get() == b"", "who.taken")
    owner.set(ctx.sender)
    emit("Claimed", to="ORG", n=1)
    emit("Known", n=2)
    return ctx.sender


@view
def whose() -> bytes:
    return owner.get()
"""
ASKER = """
@export
def ask() -> bytes:
    return call("who", "whose")


@export
def spin() -> int:
    n = 0
    while True:
        n += 1
    return n
"""


def test_several_contracts_senders_and_expectations(deploy: Deploy, tmp_path: Path) -> None:
    (tmp_path / "who.py").write_text(WHO)
    (tmp_path / "Asker-1.py").write_text(ASKER)
    who, asker = deploy(tmp_path / "who.py"), deploy(tmp_path / "Asker-1.py", name="asker")
    who.by("ann").expect("claim", value=key_of("ann"), events=[("Claimed", {"to": "ORG", "n": 1}), ("Known", {"n": 2})])
    who.by("bob").expect("claim", code="who.taken")
    who.expect("claim", outcome="ABORT")
    assert who.refused("claim") == "who.taken"
    assert asker.call("ask") == who.view("whose") == key_of("ann")
    who.expect("whose", value=key_of("ann"))
    asker.expect("spin", outcome="OUT_OF_GAS", gas=5_000)
    assert [event.to for event in who.events()] == ["ORG", ""]
    assert who.events("Known", to="ORG") == []
    assert [event.fields for event in who.events("Known")] == [{"n": 2}]
    with pytest.raises(AssertionError, match=r"who\.claim\(\) was expected to end OK, and ended ABORT who.taken at who:7"):
        who.expect("claim")
    with pytest.raises(AssertionError, match="was expected to return b''"):
        asker.expect("ask", value=b"")
    with pytest.raises(AssertionError, match=r"expected to end ABORT x.y, and ended OK"):
        asker.expect("ask", code="x.y")
    with pytest.raises(AssertionError, match=r"was expected to emit \[\('Asked', {}\)\], and emitted \[\]"):
        asker.expect("ask", events=[("Asked", {})])
    with pytest.raises(AssertionError, match=r"expected to end ABORT other, and ended ABORT who\.taken"):
        who.expect("claim", code="other")


def test_a_missing_contract_file_is_named_with_the_places(deploy: Deploy) -> None:
    with pytest.raises(ConfigError, match=r"no contract file absent\.py: looked for .*tests/unit/local/absent\.py"):
        deploy("absent.py")
