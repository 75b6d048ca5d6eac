"""Who trades what on which day: a pure function of the stations' positions and the daily prices.

The plan must give the same trades in every run, however long blocks take and whichever validators die meanwhile. So nothing in it depends on
the order in which two transactions that are sent together reach a block:

- orders that rest in the book together all have prices of their own, so that price alone decides who is hit first;
- an order that takes is sent alone, after everything before it is final;
- no order can meet one of the same organisation.

Each day replays the real figures: the first trade is at the day's open, the morning ladder ends at the day's high (or low, on a falling day), the
afternoon's at the other extreme, and the volume-weighted average of all trades, which is the close by the rules, is the day's real close.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from carbonnode.chain.hashing import blake2b_256
from carbonnode.devnet.year_data import DayPrice
from carbonnode.devnet.year_prices import Rung, price_ladders
from carbonnode.errors import ConfigError

ORDER_CAP_T = 60_000
"""The largest order of the plan: well below the 100,000 t from which a deal is a block deal."""
OPENING_PERCENT = 2
"""Share of a day's volume that trades at the open."""
EXTREME_PER_MILLE = 5
"""Share of a day's volume that trades at the high, and at the low."""
MORNING_PERCENT = 55
BAND_PERCENT = 10
HOLD_OUT_MIN_T = 5_000
RESTING_ASK_T = 1_000


class Position(msgspec.Struct, frozen=True):
    """A covered station before trading: `surplus_t` = allocated less obligation (negative: it must buy)."""

    entity: str
    organisation: str
    surplus_t: int


class Order(msgspec.Struct, frozen=True):
    """One order of the plan. `fills_t` is what the plan expects of it: the whole quantity, or nothing for one that rests until the close."""

    key: str
    entity: str
    side: str
    price_fen: int
    quantity_t: int
    fills_t: int


class Wave(msgspec.Struct, frozen=True):
    """Orders that may be sent together: their result doesn't depend on which comes first."""

    orders: tuple[Order, ...]


class TradingDay(msgspec.Struct, frozen=True):
    """A day of the plan; `close_fen` is the average that its trades will have."""

    price: DayPrice
    morning: tuple[Wave, ...]
    afternoon: tuple[Wave, ...]
    volume_t: int
    close_fen: int


class Plan(msgspec.Struct, frozen=True):
    """The ten days, and how it ends: `bought_t` and `sold_t` by entity; `holding_out` bids below the market and falls short of `short_t`."""

    days: tuple[TradingDay, ...]
    bought_t: dict[str, int]
    sold_t: dict[str, int]
    holding_out: str
    short_t: int
    cash_fen: dict[str, int]


class Lot(msgspec.Struct):
    """A quantity that one station wants to trade in one order."""

    entity: str
    organisation: str
    quantity_t: int


def make_plan(positions: Sequence[Position], prices: Sequence[DayPrice], reference_fen: int) -> Plan:
    """Plan the trading days. Raises `ConfigError` when the data makes no market (nobody has a surplus, or nobody a shortage)."""
    supply = {p.entity: p.surplus_t for p in positions if p.surplus_t > 0}
    demand = {p.entity: -p.surplus_t for p in positions if p.surplus_t < 0}
    if not supply or not demand:
        raise ConfigError("these stations make no market: some must have more allowances than emissions, and some fewer")
    organisation = {p.entity: p.organisation for p in positions}
    holding_out = _who_holds_out(demand)
    short = (demand[holding_out] + 1) // 2
    wanted = dict(demand)
    wanted[holding_out] -= short
    total = min(sum(supply.values()), sum(wanted.values()))
    offered = _cap(supply, total)
    sells, buys = _lots(offered, organisation), _lots(_cap(wanted, total), organisation)
    unsold = {entity: supply[entity] - quantity for entity, quantity in offered.items() if supply[entity] > quantity}
    days: list[TradingDay] = []
    previous = reference_fen
    for number, (price, volume) in enumerate(zip(prices, _shares([p.volume_t for p in prices], total), strict=True)):
        if volume:
            clipped = _clip(price, previous)
            day = _plan_day(number, clipped, _take(sells, volume), _take(buys, volume), price)
            rest = _resting(number, clipped, previous, Order("", holding_out, "B", 0, short, 0), unsold)
            days.append(msgspec.structs.replace(day, morning=(rest, *day.morning)))
            previous = day.close_fen
    bought, sold = _totals(days)
    return Plan(tuple(days), bought, sold, holding_out, demand[holding_out] - bought.get(holding_out, 0), _cash(days))


def _who_holds_out(demand: dict[str, int]) -> str:
    """The short station with the smallest shortage of some size: its penalty shows the rule without drowning the summary."""
    large = {e: q for e, q in demand.items() if q >= HOLD_OUT_MIN_T} or demand
    return min(large, key=lambda e: (large[e], e))


def _cap(amounts: dict[str, int], total: int) -> dict[str, int]:
    """The amounts, cut from the last entity backwards until they sum to `total`."""
    left, capped = total, {}
    for entity in sorted(amounts):
        capped[entity] = min(amounts[entity], left)
        left -= capped[entity]
    return capped


def _lots(amounts: dict[str, int], organisation: dict[str, str]) -> deque[Lot]:
    """Orders of at most `ORDER_CAP_T`, interleaved so that every day sees many stations. A hash spreads them: no randomness."""
    placed = []
    for entity, amount in amounts.items():
        count = -(-amount // ORDER_CAP_T)
        spread = int.from_bytes(blake2b_256(entity.encode())[:4])
        for k in range(count):
            quantity = amount * (k + 1) // count - amount * k // count
            place = ((k << 32) + spread) * (1 << 32) // count
            placed.append((place, entity, Lot(entity, organisation[entity], quantity)))
    return deque(lot for _, _, lot in sorted(placed, key=lambda item: item[:2]))


def _shares(weights: list[int], total: int) -> list[int]:
    """`total` split by the weights into whole tonnes that sum exactly."""
    whole, done, seen = sum(weights), 0, 0
    shares = []
    for weight in weights:
        seen += weight
        upto = total * seen // whole
        shares.append(upto - done)
        done = upto
    return shares


def _take(queue: deque[Lot], volume: int) -> list[Lot]:
    """The first `volume` tonnes of the queue; the last lot is cut, its rest stays in front."""
    taken: list[Lot] = []
    while volume:
        lot = queue[0]
        part = min(lot.quantity_t, volume)
        taken.append(Lot(lot.entity, lot.organisation, part))
        lot.quantity_t -= part
        volume -= part
        if not lot.quantity_t:
            queue.popleft()
    return taken


def _clip(price: DayPrice, previous_close: int) -> DayPrice:
    """The day's prices inside the band around the previous close: an upper bound is floored, a lower one raised, to the fen."""
    upper = previous_close * (100 + BAND_PERCENT) // 100
    lower = -(-previous_close * (100 - BAND_PERCENT) // 100)
    names = ("open_fen", "high_fen", "low_fen", "close_fen")
    return msgspec.structs.replace(price, **{name: min(max(getattr(price, name), lower), upper) for name in names})


def _plan_day(number: int, price: DayPrice, sells: list[Lot], buys: list[Lot], original: DayPrice) -> TradingDay:
    volume = sum(lot.quantity_t for lot in sells)
    morning_t = max(1, volume * MORNING_PERCENT // 100)
    rising = price.close_fen >= price.open_fen
    # On a rising day sellers wait in the morning and are lifted up to the high; in the afternoon buyers wait and are hit down to the low.
    sell_queue, buy_queue = deque(sells), deque(buys)
    first = (_take(sell_queue, morning_t), _take(buy_queue, morning_t))
    second = (list(sell_queue), list(buy_queue))
    opening_t, extreme_t = max(1, volume * OPENING_PERCENT // 100), max(1, volume * EXTREME_PER_MILLE // 1000)
    am_makers, am_takers = _match(*(first if rising else first[::-1]), (opening_t, extreme_t))
    pm_makers, pm_takers = _match(*(second[::-1] if rising else second), (0, extreme_t)) if second[0] else ([], [])
    am_rungs, pm_rungs = price_ladders(price, [lot.quantity_t for lot in am_makers], [lot.quantity_t for lot in pm_makers], rising=rising)
    rungs = am_rungs + pm_rungs
    amount = sum(r.price_fen * r.quantity_t for r in rungs)
    morning = _session(f"{number}a", am_makers, am_rungs, am_takers, maker_side="S" if rising else "B")
    afternoon = _session(f"{number}p", pm_makers, pm_rungs, pm_takers, maker_side="B" if rising else "S")
    return TradingDay(original, morning, afternoon, volume, (2 * amount + volume) // (2 * volume))


def _match(makers: list[Lot], takers: list[Lot], ends: tuple[int, int]) -> tuple[list[Lot], list[Lot]]:
    """Makers in ladder order and takers in an order, both cut where needed, so that nobody meets his own organisation.

    The makers' first `ends[0]` and last `ends[1]` tonnes are orders of their own. Raises `ConfigError` if one organisation dominates a session
    so much that it would have to trade with itself.
    """
    makers = _cut(makers, [ends[0], sum(lot.quantity_t for lot in makers) - ends[1]])
    rest, arranged = list(takers), []
    index, left = 0, makers[0].quantity_t
    while rest:
        chosen = _most_constrained(rest, makers[index:])
        if chosen is None:
            # Everybody left belongs to this maker's organisation: put a later maker of another organisation in front of it.
            swap = next((j for j in range(index + 1, len(makers)) if makers[j].organisation != makers[index].organisation), None)
            if swap is None:
                raise ConfigError(f"organisation {makers[index].organisation} is on both sides of the market alone: it can't trade with itself")
            maker = makers[index]
            if left != maker.quantity_t:
                makers.insert(index, Lot(maker.entity, maker.organisation, maker.quantity_t - left))
                maker.quantity_t = left
                index, swap = index + 1, swap + 1
            makers[index], makers[swap] = makers[swap], makers[index]
            left = makers[index].quantity_t
            continue
        rest.remove(chosen)
        part, index, left = _walk(chosen, makers, index, left)
        arranged.append(Lot(chosen.entity, chosen.organisation, part))
        if part < chosen.quantity_t:
            rest.insert(0, Lot(chosen.entity, chosen.organisation, chosen.quantity_t - part))
    return makers, arranged


def _most_constrained(takers: list[Lot], makers: list[Lot]) -> Lot | None:
    """Of those who may meet the first maker, the one whose organisation holds most of what still waits: later it may have no partner left."""
    fitting = [lot for lot in takers if lot.organisation != makers[0].organisation]
    waiting: dict[str, int] = {}
    for maker in makers:
        waiting[maker.organisation] = waiting.get(maker.organisation, 0) + maker.quantity_t
    return max(fitting, key=lambda lot: waiting.get(lot.organisation, 0), default=None)


def _walk(taker: Lot, makers: list[Lot], index: int, left: int) -> tuple[int, int, int]:
    """How much of the taker trades before it would meet its own organisation, and where the ladder stands then."""
    done = 0
    while done < taker.quantity_t and makers[index].organisation != taker.organisation:
        step = min(left, taker.quantity_t - done)
        done, left = done + step, left - step
        if not left:
            if index + 1 == len(makers):
                break
            index += 1
            left = makers[index].quantity_t
    return done, index, left


def _cut(lots: list[Lot], at: Iterable[int]) -> list[Lot]:
    """The same lots with boundaries at the given running totals."""
    marks, cut, seen = sorted(at), [], 0
    for lot in lots:
        start, end = seen, seen + lot.quantity_t
        inner = [m for m in marks if start < m < end]
        for a, b in zip([start, *inner], [*inner, end], strict=True):
            cut.append(Lot(lot.entity, lot.organisation, b - a))
        seen = end
    return cut


def _session(name: str, makers: list[Lot], rungs: Sequence[Rung], takers: list[Lot], *, maker_side: str) -> tuple[Wave, ...]:
    if not makers:
        return ()
    waiting = [
        Order(f"{name}/maker/{i}", lot.entity, maker_side, rung.price_fen, lot.quantity_t, lot.quantity_t)
        for i, (lot, rung) in enumerate(zip(makers, rungs, strict=True))
    ]
    # Prices of their own: together. Where the day's range has too few ticks for that, one after the other.
    waves = [Wave(tuple(waiting))] if len({o.price_fen for o in waiting}) == len(waiting) else [Wave((o,)) for o in waiting]
    taker_side, limit = ("B", max(r.price_fen for r in rungs)) if maker_side == "S" else ("S", min(r.price_fen for r in rungs))
    waves += [Wave((Order(f"{name}/taker/{i}", t.entity, taker_side, limit, t.quantity_t, t.quantity_t),)) for i, t in enumerate(takers)]
    return tuple(waves)


def _resting(number: int, price: DayPrice, previous: int, holding_out: Order, unsold: dict[str, int]) -> Wave:
    """Orders outside the day's range, which nobody meets: the station that holds out bids too low, one with units to spare asks too much."""
    band = _clip(msgspec.structs.replace(price, low_fen=0, high_fen=1 << 40), previous)
    orders = []
    if band.low_fen < price.low_fen:
        bid = max(band.low_fen, price.low_fen - max(1, price.low_fen // 50))
        orders.append(Order(f"{number}/rest/bid", holding_out.entity, "B", bid, min(holding_out.quantity_t, ORDER_CAP_T), 0))
    if unsold and price.high_fen < band.high_fen:
        seller = min(unsold)
        ask = min(band.high_fen, price.high_fen + max(1, price.high_fen // 50))
        orders.append(Order(f"{number}/rest/ask", seller, "S", ask, min(unsold[seller], RESTING_ASK_T), 0))
    return Wave(tuple(orders))


def _orders(day: TradingDay) -> list[Order]:
    return [order for wave in (*day.morning, *day.afternoon) for order in wave.orders]


def _totals(days: Iterable[TradingDay]) -> tuple[dict[str, int], dict[str, int]]:
    bought: dict[str, int] = {}
    sold: dict[str, int] = {}
    for order in (o for day in days for o in _orders(day)):
        side = bought if order.side == "B" else sold
        side[order.entity] = side.get(order.entity, 0) + order.fills_t
    return bought, sold


def _cash(days: Iterable[TradingDay]) -> dict[str, int]:
    """What each buyer must bring, in fen: every order at its limit, as if nothing were released in between."""
    need: dict[str, int] = {}
    for order in (o for day in days for o in _orders(day)):
        if order.side == "B":
            need[order.entity] = need.get(order.entity, 0) + order.price_fen * order.quantity_t
    return need
