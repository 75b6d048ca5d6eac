"""Random orders against an independent order book: same trades in the same order, no limit violated, nothing appears or vanishes."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbonnode.local.chain import LocalRefusal
from carbonnode.local.market import LocalMarket
from carbonnode.local.ruleset import load

BOOK = "CEA-2024"
CASH = 12_000_000
UNITS = 1_000
NAMES = {"A-1": "A", "A-2": "A", "B-1": "B", "C-1": "C"}

order = st.tuples(st.just("place"), st.sampled_from(sorted(NAMES)), st.sampled_from("BS"), st.integers(6190, 6202), st.integers(1, 900))
cancel = st.tuples(st.just("cancel"), st.integers(0, 40))
RULES = load("demo-nger")


@dataclass
class Resting:
    name: str
    side: str
    price: int
    left: int
    number: int


@dataclass
class Oracle:
    """An order book as one would write it on paper: a list, scanned for the best each time; balances without buckets' tricks."""

    orders: list[Resting] = field(default_factory=list)
    trades: list[tuple[str, str, int, int]] = field(default_factory=list)
    cash: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, CASH))
    sellable: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, UNITS))
    bought: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    count: int = 0

    def can(self, name: str, side: str, price: int, quantity: int) -> bool:
        return self.cash[name] >= price * quantity if side == "B" else self.sellable[name] >= quantity

    def place(self, name: str, side: str, price: int, quantity: int) -> Resting:
        self.count += 1
        taker = Resting(name, side, price, quantity, self.count)
        if side == "B":
            self.cash[name] -= price * quantity
        else:
            self.sellable[name] -= quantity
        while taker.left:
            others = [o for o in self.orders if o.side != side and NAMES[o.name] != NAMES[name]]
            others = [o for o in others if (o.price <= price if side == "B" else o.price >= price)]
            if not others:
                break
            maker = min(others, key=lambda o: (o.price if side == "B" else -o.price, o.number))
            part = min(taker.left, maker.left)
            taker.left -= part
            maker.left -= part
            buyer, seller = (name, maker.name) if side == "B" else (maker.name, name)
            self.trades.append((buyer, seller, maker.price, part))
            self.cash[seller] += maker.price * part
            self.bought[buyer] += part
            if side == "B":
                self.cash[name] += (price - maker.price) * part
            if not maker.left:
                self.orders.remove(maker)
        if taker.left:
            self.orders.append(taker)
        return taker

    def cancel(self, resting: Resting) -> None:
        self.orders.remove(resting)
        if resting.side == "B":
            self.cash[resting.name] += resting.price * resting.left
        else:
            self.sellable[resting.name] += resting.left


def open_market() -> LocalMarket:
    market = LocalMarket(RULES)
    market.vintage(2024)
    market.by("exchange", "matching", "open_book", BOOK, 6196)
    for name, org in NAMES.items():
        market.member(name, org=org)
        market.fund(name, cash_fen=CASH, iv=BOOK, units_t=UNITS)
    market.open_market(20411)
    return market


def traded(market: LocalMarket) -> list[tuple[Any, ...]]:
    notices = [event.fields for event in market.events if event.name == "Fill"]
    found = []
    for taker, maker in zip(notices[::2], notices[1::2], strict=True):
        buyer, seller = (taker, maker) if taker["side"] == "B" else (maker, taker)
        found.append((buyer["entity"], seller["entity"], maker["price_fen"], maker["quantity_t"]))
    return found


def check_conservation(market: LocalMarket, oracle: Oracle) -> None:
    cash = units = 0
    for name in NAMES:
        balance: Any = market.ask(name, "cash", "balance", name)
        held: Any = market.ask(name, "allowance", "holding", name, BOOK)
        assert min(balance) >= 0
        assert min(held) >= 0
        cash += sum(balance)
        units += sum(held[:10])
        assert balance[0] == oracle.cash[name]
        assert balance[1] == sum(o.price * o.left for o in oracle.orders if o.name == name and o.side == "B")
        assert held[5] == oracle.sellable[name] + oracle.bought[name]
        assert held[6] == sum(o.left for o in oracle.orders if o.name == name and o.side == "S")
        assert held[10] == oracle.bought[name]
    assert cash == CASH * len(NAMES)
    assert units == UNITS * len(NAMES)
    assert market.view("cash", "conserved") is True
    assert market.view("allowance", "conserved") is True


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(order, order, order, cancel), min_size=5, max_size=45))
def test_price_time_priority_and_conservation(steps: list[tuple[Any, ...]]) -> None:
    market, oracle = open_market(), Oracle()
    ids: list[tuple[str, Resting]] = []
    for step in steps:
        if step[0] == "cancel":
            if not ids:
                continue
            order_id, resting = ids[step[1] % len(ids)]
            if resting in oracle.orders:
                oracle.cancel(resting)
                market.by(resting.name, "matching", "cancel", order_id)
            else:
                assert market.refused(resting.name, "matching", "cancel", order_id) == "TRADE-NO-ORDER"
            continue
        _, name, side, price, quantity = step
        if not oracle.can(name, side, price, quantity):
            code = market.refused(name, "matching", "place", BOOK, side, price, quantity, "")
            assert code in ("CASH-AVAILABLE", "UNITS-AVAILABLE", "TRADE-T-PLUS-1")
            continue
        before = len(oracle.trades)
        resting = oracle.place(name, side, price, quantity)
        ids.append((str(market.by(name, "matching", "place", BOOK, side, price, quantity, "")), resting))
        for _, _, paid, _ in oracle.trades[before:]:
            assert paid <= price if side == "B" else paid >= price
    assert traded(market) == oracle.trades
    check_conservation(market, oracle)
    for name, bought in oracle.bought.items():
        if bought:
            assert market.refused(name, "matching", "place", BOOK, "S", 6202, oracle.sellable[name] + 1, "") == "TRADE-T-PLUS-1"
    settle_day(market, oracle)


def settle_day(market: LocalMarket, oracle: Oracle) -> None:
    """After the day the serials lie where the units are, no two blocks overlap, and nothing is left reserved."""
    market.close_market()
    held: list[tuple[int, int]] = []
    for name in NAMES:
        ranges: Any = market.ask(name, "allowance", "blocks", name, BOOK, "T", 0, 500)
        mine = list(zip(ranges[::2], ranges[1::2], strict=True))
        released = sum(o.left for o in oracle.orders if o.name == name and o.side == "S")
        assert sum(end - start + 1 for start, end in mine) == oracle.sellable[name] + oracle.bought[name] + released
        held += mine
        balance: Any = market.ask(name, "cash", "balance", name)
        assert balance[1] == 0
    held.sort()
    assert held[0][0] == 1
    for (_, end), (start, _) in pairwise(held):
        assert start == end + 1
    assert held[-1][1] == UNITS * len(NAMES)
    vouchers = market.view("voucher", "last_number", "CNSH", 20411)
    assert vouchers == len(oracle.trades)


moves = st.tuples(
    st.sampled_from(("to_trading", "to_registry", "cancel", "pledge", "release", "freeze", "unfreeze")), st.sampled_from(("X", "Y")), st.integers(1, 400)
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(moves, max_size=60))
def test_buckets_and_serials_stay_whole(steps: list[tuple[str, str, int]]) -> None:
    """Random registry acts: refused ones change nothing, the buckets sum to the serials, no two live blocks overlap."""
    market = LocalMarket(RULES)
    market.vintage(2024)
    for name in ("X", "Y"):
        market.member(name)
        market.by("authority", "allowance", "issue", name, BOOK, 1_000, "x", False)
    for act, name, tonnes in steps:
        other = "Y" if name == "X" else "X"
        before = dict(market.state.data)
        code = outcome_of(market, act, name, other, tonnes)
        if code:
            assert code.startswith("UNITS-")
            assert market.state.data == before
        assert market.view("allowance", "conserved") is True
    blocks: list[tuple[int, int]] = []
    for name in ("X", "Y"):
        held: Any = market.ask(name, "allowance", "holding", name, BOOK)
        sizes = {}
        for place in ("R", "T", "C"):
            ranges: Any = market.ask(name, "allowance", "blocks", name, BOOK, place, 0, 500)
            mine = list(zip(ranges[::2], ranges[1::2], strict=True))
            sizes[place] = sum(end - start + 1 for start, end in mine)
            blocks += mine
        assert sizes["R"] == sum(held[:5])
        assert sizes["T"] == sum(held[5:10])
    blocks.sort()
    assert [start for start, _ in blocks] == [1, *[end + 1 for _, end in blocks[:-1]]]
    assert blocks[-1][1] == 2_000


def outcome_of(market: LocalMarket, act: str, name: str, other: str, tonnes: int) -> str:
    try:
        apply_act(market, act, name, other, tonnes)
    except LocalRefusal as refusal:
        return refusal.code
    return ""


def apply_act(market: LocalMarket, act: str, name: str, other: str, tonnes: int) -> None:
    if act in ("to_trading", "to_registry"):
        market.by(name, "allowance", act, BOOK, tonnes)
    elif act == "cancel":
        market.by(name, "allowance", "cancel", BOOK, tonnes // 10 + 1, "x")
    elif act == "pledge":
        market.by(name, "allowance", "pledge", BOOK, other, tonnes)
    elif act == "release":
        market.by(other, "allowance", "release_pledge", BOOK, name, tonnes)
    else:
        market.by("authority", "allowance", act, name, BOOK, "R", tonnes, "order")
