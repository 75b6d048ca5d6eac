"""The one read access policy: four levels, grants for single items with an expiry, default deny (design, section 8).

| level | who reads |
|---|---|
| public | everyone |
| member | every authenticated organisation |
| owner | the organisation that the item is addressed to, or that has a grant for it |
| authority | organisations with an authority's role; they read every level below too |

It decides on what it is told and knows no contract, clock or connection: the caller says who asks, at which market time, with which grants.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from carbonnode.chain.event import PUBLIC


class Level(IntEnum):
    """What reading an item takes."""

    PUBLIC = 0
    MEMBER = 1
    OWNER = 2
    AUTHORITY = 3


class Reader(NamedTuple):
    """Who asks: an authenticated organisation's entity id ("" for nobody), and whether it is an authority."""

    entity: str
    authority: bool = False


class Item(NamedTuple):
    """What is asked for: its name (for grants), the level that reading it takes, and the entity that it belongs to."""

    name: str
    level: Level
    owner: str = ""


class Grant(NamedTuple):
    """The right of one entity to read one item, until a market time in ms (exclusive)."""

    item: str
    entity: str
    until_ms: int


ANYONE = Reader("")


def may_read(reader: Reader, item: Item, *, now_ms: int, grants: Iterable[Grant] = ()) -> bool:
    """Whether `reader` may read `item` at market time `now_ms`."""
    if item.level is Level.PUBLIC:
        return True
    if not reader.entity:
        return False
    if reader.authority:
        return True
    if item.level is Level.MEMBER:
        return True
    if item.level is Level.OWNER and item.owner == reader.entity:
        return True
    return any(grant.item == item.name and grant.entity == reader.entity and now_ms < grant.until_ms for grant in grants)


def hears(entity: str, to: str) -> bool:
    """Whether an event addressed to `to` is delivered to an organisation: public ones to all, the others to the addressee alone."""
    # What `may_read` says of an OWNER item, without the detour: this runs for every event, block and organisation.
    return to == PUBLIC or (to == entity and entity != "")
