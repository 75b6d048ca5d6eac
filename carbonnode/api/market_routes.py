"""The public market feed, from the views and public events of the contract `matching`: no party, serial, order or transaction is named."""

import datetime as dt
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter

from carbonnode.api.context import ApiContext, context_of
from carbonnode.chain.receipt import Status
from carbonnode.chain.service import ANONYMOUS, ServiceRefusal
from carbonnode.chain.values import Value, from_wire

CONTRACT = "matching"
MAX_LEVELS = 5
MAX_DAYS = 366
EPOCH = dt.date(1970, 1, 1)


class MarketView(msgspec.Struct, frozen=True):
    """The market's day (null before the first) and state; its sessions in ms of market time; the books that exist."""

    day: str | None
    state: str
    halted: bool
    sessions_ms: list[tuple[int, int]]
    books: list[str]


class QuoteView(msgspec.Struct, frozen=True):
    """A book's figures of the day. Prices in fen per tonne; open, high, low and last are 0 before the first trade."""

    book: str
    previous_close_fen: int
    lower_fen: int
    upper_fen: int
    open_fen: int
    high_fen: int
    low_fen: int
    last_fen: int
    volume_t: int
    amount_fen: int
    trades: int


class LevelView(msgspec.Struct, frozen=True):
    """One price level."""

    price_fen: int
    quantity_t: int


class DepthView(msgspec.Struct, frozen=True):
    """The best levels, best first."""

    book: str
    bids: list[LevelView]
    asks: list[LevelView]


class TradeView(msgspec.Struct, frozen=True):
    """One trade of the day, from its public event."""

    height: int
    time_ms: int
    price_fen: int
    quantity_t: int


class CloseView(msgspec.Struct, frozen=True):
    """A trading day of a book. Prices in fen per tonne."""

    day: str
    open_fen: int
    high_fen: int
    low_fen: int
    close_fen: int
    volume_t: int
    amount_fen: int
    trades: int


async def _view(context: ApiContext, view: str, *args: Value) -> Any:
    result = await context.service.query(CONTRACT, view, args, sender=ANONYMOUS, height=None)
    if result.status != Status.OK:
        raise ServiceRefusal(f"{CONTRACT}.{view}: {result.code}", code="not-found")
    return from_wire(result.value)


@get("/v1/market", summary="The market's day and books", tags=["market"])
async def market(state: State) -> MarketView:
    """Day, state, sessions, books."""
    context = context_of(state)
    day, phase, halted, *times = await _view(context, "market")
    books = await _view(context, "books")
    sessions = list(zip(times[::2], times[1::2], strict=True))
    return MarketView(date_of(day) if day else None, phase, bool(halted), sessions if day else [], list(books))


@get("/v1/market/{book:str}", summary="A book's figures of the day", tags=["market"])
async def quote(state: State, book: FromPath[str]) -> QuoteView:
    """Previous close, price band, open, high, low, last, volume."""
    return QuoteView(book, *await _view(context_of(state), "quote", book))


@get("/v1/market/{book:str}/depth", summary="A book's best levels", tags=["market"])
async def depth(state: State, book: FromPath[str], levels: Annotated[int, QueryParameter(ge=1, le=MAX_LEVELS)] = MAX_LEVELS) -> DepthView:
    """Up to five levels a side, best first."""
    flat = await _view(context_of(state), "depth", book, levels)
    rows = list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    return DepthView(
        book,
        bids=[LevelView(price, quantity) for side, price, quantity in rows if side == "B"],
        asks=[LevelView(price, quantity) for side, price, quantity in rows if side == "S"],
    )


@get("/v1/market/{book:str}/trades", summary="The day's trades of a book", tags=["market"])
async def trades(state: State, book: FromPath[str], limit: Annotated[int, QueryParameter(ge=1, le=5_000)] = 500) -> list[TradeView]:
    """The last `limit` trades of the current day, oldest first."""
    records = await context_of(state).tape.trades()
    rows = []
    for record in records:
        fields = dict(record.event.fields)
        if fields.get("book") == book:
            rows.append(TradeView(record.height, fields.get("time_ms", record.time_ms), fields["price_fen"], fields["quantity_t"]))
    return rows[-limit:]


@get("/v1/market/{book:str}/closes", summary="Daily closes of a book", tags=["market"])
async def closes(state: State, book: FromPath[str], first: FromQuery[dt.date], last: FromQuery[dt.date]) -> list[CloseView]:
    """Trading days from `first` to `last` (dates of the market's zone, at most 366); days without a close are left out."""
    days = (last - first).days
    if not 0 <= days < MAX_DAYS:
        raise ServiceRefusal(f"give first <= last, at most {MAX_DAYS} days apart")
    rows = []
    for offset in range(days + 1):
        date = first + dt.timedelta(days=offset)
        result = await context_of(state).service.query(CONTRACT, "close_of", (book, (date - EPOCH).days), sender=ANONYMOUS, height=None)
        if result.status == Status.OK:
            figures: Any = from_wire(result.value)
            if figures:  # empty: no close on that day
                rows.append(CloseView(date.isoformat(), *figures))
    return rows


def date_of(day: int) -> str:
    """ISO date of a market day (days since 1970-01-01 in the market's zone)."""
    return (EPOCH + dt.timedelta(days=day)).isoformat()


MARKET_ROUTES = [market, quote, depth, trades, closes]
