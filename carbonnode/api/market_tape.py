"""The public tape of the market: trades and day events, gathered from certified public events when somebody asks."""

from collections import deque

from carbonnode.api.ports import NodeService
from carbonnode.chain.service import EventRecord

PAGE_BLOCKS = 1_000
MAX_LOOK_BACK = 20_000
MAX_TRADES = 20_000
CONTRACT, OPENED, TRADE = "matching", "DayOpened", "Trade"


class MarketTape:
    """Trades of the current trading day in order. Reads only blocks it hasn't read, at most `MAX_LOOK_BACK` at the first request."""

    def __init__(self, service: NodeService) -> None:
        self._service = service
        self._next = 0
        self._trades: deque[EventRecord] = deque(maxlen=MAX_TRADES)

    async def trades(self) -> list[EventRecord]:
        """The day's trades so far, oldest first (the last `MAX_TRADES` of them)."""
        height = (await self._service.status()).height
        first = max(self._next, height - MAX_LOOK_BACK, 1)
        while first <= height:
            last = min(first + PAGE_BLOCKS - 1, height)
            records = await self._service.events("", first, last)
            if self._next > first:  # another request read these heights while this one waited
                first = self._next
                continue
            for record in records:
                self._take(record)
            self._next = first = last + 1
        return list(self._trades)

    def _take(self, record: EventRecord) -> None:
        if record.event.contract != CONTRACT or record.event.to:
            return
        if record.event.name == OPENED:
            self._trades.clear()
        elif record.event.name == TRADE:
            self._trades.append(record)
