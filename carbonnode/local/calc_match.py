"""`calc match`: an ordered list of orders and cancels through the contract `matching`, with the trades it makes.

The calculator is about matching: everybody has money and units enough, and neither price limits nor the listing size apply.
"""

from typing import Any

from carbonnode.errors import ConfigError
from carbonnode.local import calc_inputs as inputs
from carbonnode.local.chain import LocalRefusal, key_of
from carbonnode.local.market import LocalMarket
from carbonnode.local.ruleset import MOST_FILLS, RuleSet

ORDER_FIELDS = ("id", "owner", "side", "price_fen", "quantity_t", "cancel")
_SIDES = {"B": "B", "S": "S", "BUY": "B", "SELL": "S", "BID": "B", "ASK": "S"}
_PLENTY_FEN = 10**30
_PLENTY_T = 10**9
_NO_LIMIT_T = 10**12
_MAX_FILLS = MOST_FILLS
_REFERENCE_FEN = 10_000


class _Book:
    """The market of one calculation: names of the input to entities, orders to the ids that the contract gave."""

    def __init__(self, rules: RuleSet, *, prevent_self_trade: bool, at_ms: int | None) -> None:
        # The band is as wide as it gets: the lower bound comes out at 1 fen, the upper one beyond any price.
        free: dict[str, str | int] = {
            "listing_limit": 10**12,
            "listing_max_t": _NO_LIMIT_T,
            "listing_lot_t": 1,
            "always_open": 1,
            "t_plus": 0,
            "max_fills": _MAX_FILLS,
            "self_trade_prevented": int(prevent_self_trade),
        }
        self.market = LocalMarket(rules.override(free), at_ms=at_ms)
        self.book = self.market.vintage(2024)
        self.market.by("exchange", "matching", "open_book", self.book, _REFERENCE_FEN)
        self.market.by("exchange", "matching", "open_day")
        self.owners: dict[str, str] = {}
        self.orders: dict[str, tuple[str, str]] = {}
        self.names: dict[str, str] = {}

    def entity(self, owner: str) -> str:
        """The entity that stands for an owner, with plenty of everything."""
        if owner not in self.owners:
            entity = f"OWNER-{len(self.owners) + 1}"
            self.owners[owner] = entity
            self.market.member(entity)
            self.market.fund(entity, cash_fen=_PLENTY_FEN, iv=self.book, units_t=_PLENTY_T)
        return self.owners[owner]

    def place(self, row: inputs.Row, where: str) -> list[dict[str, Any]]:
        """Enter an order; the trades it makes."""
        name = inputs.text(row, "id", where)
        if name in self.orders:
            raise ConfigError(f"{where}: the id {name!r} is used twice")
        side = _SIDES.get(inputs.text(row, "side", where).upper())
        if side is None:
            raise ConfigError(f"{where}: side must be B or S (buy or sell)")
        entity = self.entity(inputs.text(row, "owner", where))
        start = len(self.market.events)
        price, quantity = inputs.whole(row, "price_fen", where), inputs.whole(row, "quantity_t", where)
        if price <= 0 or quantity <= 0:
            raise ConfigError(f"{where}: price_fen and quantity_t must be positive")
        left = quantity
        while left:
            # One transaction makes a bounded number of fills; what lapses for that reason goes on at once, before anybody else.
            before = len(self.market.events)
            order = str(self.market.call("matching", "place", self.book, side, price, left, "", sender=key_of(entity)))
            self.orders[name], self.names[order] = (order, entity), name
            lapsed = [event.fields["left_t"] for event in self.market.events[before:] if event.name == "OrderCancelled"]
            left = int(str(lapsed[0])) if lapsed else 0
        fills = [event.fields for event in self.market.events[start:] if event.name == "Fill"]
        # Two notices a fill, the taker's first.
        return [{"taker": name, "maker": self.names[str(m["order"])], "price_fen": m["price_fen"], "quantity_t": m["quantity_t"]} for m in fills[1::2]]

    def cancel(self, name: str, where: str) -> None:
        """Cancel an order; one that is gone already is no error, as in a market."""
        if name not in self.orders:
            raise ConfigError(f"{where}: there is no earlier order {name!r} to cancel")
        order, entity = self.orders[name]
        try:
            self.market.call("matching", "cancel", order, sender=key_of(entity))
        except LocalRefusal as refusal:
            if refusal.code != "TRADE-NO-ORDER":
                raise

    def resting(self) -> list[dict[str, Any]]:
        """What is left in the book: sells, then buys, best first."""
        found = []
        for side in ("S", "B"):
            best: dict[str, tuple[int, ...]] = {}
            for entity in self.owners.values():
                rows = self.market.ask(entity, "matching", "orders", self.book, side)
                assert isinstance(rows, tuple)
                for i in range(0, len(rows), 4):
                    price, number = (int(part) for part in str(rows[i]).split(".")[2:])
                    best[str(rows[i])] = (price if side == "S" else -price, number, int(rows[i + 1]))
            ranked = sorted(best.items(), key=lambda item: item[1])
            found += [{"id": self.names[order], "side": side, "price_fen": abs(rank[0]), "quantity_t": rank[2]} for order, rank in ranked]
        return found


def match(rules: RuleSet, document: Any, *, prevent_self_trade: bool, at_ms: int | None) -> dict[str, Any]:
    """The trades of an ordered list of orders and cancels, and what is left in the book. Raises `ConfigError` naming the record."""
    book = _Book(rules, prevent_self_trade=prevent_self_trade, at_ms=at_ms)
    trades: list[dict[str, Any]] = []
    for number, row in enumerate(inputs.rows(document, ORDER_FIELDS, "calc match") if document != [] else [], 1):
        where = f"calc match, record {number}"
        cancelled = row.get("cancel")
        if cancelled not in (None, ""):
            book.cancel(str(cancelled), where)
        else:
            trades += book.place(row, where)
    return {"rules": rules.id, "trades": trades, "book": book.resting()}
