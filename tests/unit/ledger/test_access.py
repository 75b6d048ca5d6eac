import pytest

from carbonnode.chain.event import PUBLIC
from carbonnode.ledger.access import ANYONE, Grant, Item, Level, Reader, hears, may_read
from carbonnode.ledger.events import NOBODY

OWNER, OTHER, AUTHORITY = Reader("alice"), Reader("bob"), Reader("regulator", authority=True)


@pytest.mark.parametrize(
    ("level", "allowed"),
    [
        (Level.PUBLIC, (True, True, True, True)),
        (Level.MEMBER, (False, True, True, True)),
        (Level.OWNER, (False, False, True, True)),
        (Level.AUTHORITY, (False, False, False, True)),
    ],
)
def test_each_level_admits_its_readers_only(level: Level, allowed: tuple[bool, ...]) -> None:
    item = Item("report-7", level, "alice")
    assert tuple(may_read(reader, item, now_ms=10) for reader in (ANYONE, OTHER, OWNER, AUTHORITY)) == allowed


def test_a_grant_opens_one_item_to_one_entity_until_it_expires() -> None:
    item = Item("report-7", Level.OWNER, "alice")
    grants = [Grant("report-7", "bob", 100)]
    assert may_read(OTHER, item, now_ms=99, grants=grants)
    assert not may_read(OTHER, item, now_ms=100, grants=grants)
    assert not may_read(Reader("carol"), item, now_ms=99, grants=grants)
    assert not may_read(OTHER, item._replace(name="report-8"), now_ms=99, grants=grants)
    assert may_read(OTHER, item._replace(level=Level.AUTHORITY), now_ms=99, grants=grants)


def test_nobody_owns_nothing() -> None:
    assert not may_read(ANYONE, Item("x", Level.OWNER, ""), now_ms=0)
    assert not may_read(ANYONE, Item("x", Level.OWNER, ""), now_ms=0, grants=[Grant("x", "", 10)])
    assert not may_read(Reader("", authority=True), Item("x", Level.MEMBER), now_ms=0)


def test_events_reach_their_addressee_and_public_ones_everybody() -> None:
    assert hears("", PUBLIC)
    assert hears("alice", PUBLIC)
    assert hears("alice", "alice")
    assert not hears("bob", "alice")
    assert not hears("", "alice")
    assert not hears("alice", NOBODY)


@pytest.mark.parametrize("entity", ["", "alice", "bob"])
@pytest.mark.parametrize("to", ["", "alice", "bob", NOBODY])
def test_events_follow_the_policy(entity: str, to: str) -> None:
    level = Level.PUBLIC if to == PUBLIC else Level.OWNER
    assert hears(entity, to) == may_read(Reader(entity), Item("", level, to), now_ms=0)
