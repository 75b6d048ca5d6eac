"""Execution of matched trades: condition checks before an order enters, delivery versus payment, delivery of serials.

IEEE Std 3218-2022: 8.7 (a execution contract, c condition checks, d credit query, e to g records), 7.4 Table 1 r12.
Both legs of a trade and its voucher happen in the taker's transaction, or none of them. Serials follow at the day's end in trade order.
"""

EXCHANGE_OR_REGISTRY = 12

NOTHING = (0, 0, 0, 0)
# Ranges of serials that one step moves.
MAX_RANGES = 100

# (day being delivered, number of the last delivered trade of that day, last day delivered in full, tonnes moved of the trade after it)
progress = Var(tuple)
# day, trade number, tonnes moved before -> serial ranges, flat
delivered = Map(int, int, int, tuple)


@export
def admit(side: str, book: str, price_fen: int, quantity_t: int, sellable_before: int) -> tuple:
    """Check the sender's standing and credit, and set its cash (buy) or units (sell) aside. Returns (entity, org)."""
    require(ctx.caller == "matching", "ACCESS-CALLER")
    if side == "B":
        who = call("identity", "trader", ctx.sender, 1)
        call("cash", "reserve", who[0], price_fen * quantity_t)
    else:
        who = call("identity", "trader", ctx.sender, 2)
        call("allowance", "reserve", who[0], book, quantity_t, sellable_before)
    return who


@export
def settle(side: str, book: str, taker: str, limit_fen: int, quantity_t: int, fills: tuple, day: int) -> tuple:
    """Execute one taker's fills, (maker, org, price, quantity, ...) flat: units against money, then vouchers. Returns the voucher codes."""
    require(ctx.caller == "matching", "ACCESS-CALLER")
    call("allowance", "settle", side, book, taker, quantity_t, fills, day)
    call("cash", "settle", side, taker, limit_fen, quantity_t, fills)
    return call("voucher", "issue_trades", side, book, taker, fills)


@export
def release(side: str, book: str, orders: tuple) -> None:
    """Give back what orders that leave the book had set aside: (entity, price, quantity, ...) flat."""
    require(ctx.caller == "matching", "ACCESS-CALLER")
    for i in range(0, len(orders), 3):
        if side == "B":
            call("cash", "release", orders[i], orders[i + 1] * orders[i + 2])
        else:
            call("allowance", "release", orders[i], book, orders[i + 2])


def range_text(ranges: tuple) -> str:
    parts = []
    for i in range(0, len(ranges), 2):
        parts.append(str(ranges[i]) + "-" + str(ranges[i + 1]))
    return ",".join(parts)


def deliver_part(day: int, number: int, book: str, left_t: int, seller: str, buyer: str, moved_t: int) -> int:
    # Moves up to MAX_RANGES ranges of a trade; returns the tonnes moved.
    ranges = call("allowance", "deliver", book, seller, buyer, left_t, MAX_RANGES)
    delivered[day, number, moved_t] = ranges
    done = 0
    for i in range(0, len(ranges), 2):
        done += ranges[i + 1] - ranges[i] + 1
    text = range_text(ranges)
    emit("UnitsDelivered", to=call("identity", "org_of", seller), entity=seller, book=book, number=number, quantity_t=-done, serials=text)
    emit("UnitsDelivered", to=call("identity", "org_of", buyer), entity=buyer, book=book, number=number, quantity_t=done, serials=text)
    return done


@export
def deliver(day: int, limit: int) -> int:
    """Move the serials of a closed day's next `limit` trades, in trade order. Returns how many steps it did: 0 means the day is done.

    A trade whose serials lie in very many pieces takes several steps.
    """
    call("identity", "authorise", ctx.sender, EXCHANGE_OR_REGISTRY)
    require(limit >= 1 and limit <= 400, "SETTLE-LIMIT")
    require(day <= call("matching", "last_closed"), "SETTLE-DAY-OPEN")
    p = progress.get(NOTHING)
    require(day > p[2], "SETTLE-DAY-DONE")
    require(p[0] == day or p[0] <= p[2], "SETTLE-DAY-ORDER")
    after = p[1] if p[0] == day else 0
    moved_t = p[3] if p[0] == day else 0
    rows = call("voucher", "trades", day, after, limit)
    for i in range(0, len(rows), 5):
        if rows[i + 2] > 0:
            moved_t += deliver_part(day, rows[i], rows[i + 1], rows[i + 2] - moved_t, rows[i + 3], rows[i + 4], moved_t)
            if moved_t < rows[i + 2]:
                progress.set((day, after, p[2], moved_t))
                return i // 5 + 1
        after = rows[i]
        moved_t = 0
    if len(rows) == 0:
        progress.set((day, after, day, 0))
        emit("DayDelivered", day=day)
    else:
        progress.set((day, after, p[2], 0))
    return len(rows) // 5


@view
def delivered_day() -> int:
    """The last day whose trades' serials have all been delivered."""
    return progress.get(NOTHING)[2]


@view
def serials_of(day: int, number: int) -> tuple:
    """Serial ranges (start, end, ...) that a trade moved, empty before delivery; for members."""
    call("identity", "check_reader", ctx.sender, "")
    found = ()
    part = delivered.next(day, number, None)
    while part is not None:
        found = found + delivered[day, number, part]
        part = delivered.next(day, number, part)
    return found
