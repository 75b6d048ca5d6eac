"""Long answers in turns: what reads many blocks lets the daemon's loop go after each, since consensus runs on the same loop."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")


async def in_turns(items: Iterable[T], at_once: int = 1) -> AsyncIterator[T]:
    """`items`, made one after another as they are asked for; everybody else gets a turn after each `at_once` of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % at_once == 0:
            await asyncio.sleep(0)
