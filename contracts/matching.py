"""The market: trading days and sessions, price limits, order books, automatic matching by price, then time.

IEEE Std 3218-2022: 8.5 (announcement), 8.6 (matching), 7.4.2 (trading system), 6.3.
A trade happens at the resting order's price; what is left of an order keeps its place; orders of one organisation don't meet; the
orders of a suspended entity are passed over. Orders are valid for the day. Cash and units are set aside when an order enters.
Buys and sells lie in ordered maps under rank = price * 2^40 + arrival (buys: + 2^40 - 1 - arrival), so the best order is one step away.
"""

AUTHORITY = 1
EXCHANGE = 4
MS_A_DAY = 86400000
MS_A_MINUTE = 60000
PLACE_BITS = 40
PLACE_MASK = (1 << 40) - 1
NO_HEIGHT = 1 << 62
MAX_BOOKS = 64
CLOSED = 0
OPEN = 1
CLOSING = 2
STATE_NAMES = ("closed", "open", "closing")
PARAMETERS = (
    "listing_lot_t",
    "listing_max_t",
    "listing_limit_bp",
    "t_plus",
    "max_fills",
    "self_trade_prevented",
    "always_open",
    "morning_open_min",
    "morning_close_min",
    "afternoon_open_min",
    "afternoon_close_min",
    "market_utc_offset_ms",
)

# (day, state, morning open, morning close, afternoon open, afternoon close in ms, lot, max, sellable before day, max fills,
#  self-trade prevented, height at which to read the rules again, halted)
market_day = Var(tuple)
halt_record = Var(tuple)
# book -> (previous close, lower, upper, arrivals, open, high, low, last, volume_t, amount_fen, trades)
quotes = Map(str, tuple)
book_names = Map(int, str)
# book, rank -> (entity, org, left_t, quantity_t, client reference, order id)
asks = Map(str, int, tuple)
bids = Map(str, int, tuple)
closes = Map(str, int, tuple)
suspended = Var(tuple)


def band(previous: int, limit_bp: int) -> tuple:
    # The upper bound is floored and the lower one raised to the tick of 1 fen.
    lower = -(-previous * (10000 - limit_bp) // 10000)
    return (max(lower, 1), previous * (10000 + limit_bp) // 10000)


def read_rules(day: int, state: int, halted: bool) -> tuple:
    # (the day's record, limit in basis points)
    p = call("rules", "numbers_of", "", PARAMETERS)
    height = call("rules", "next_change", "", PARAMETERS)
    midnight = day * MS_A_DAY - p[11]
    # always_open (load tests): no session ends before the day is closed.
    hours = (midnight, NO_HEIGHT, NO_HEIGHT, NO_HEIGHT)
    if p[6] == 0:
        hours = (
            midnight + p[7] * MS_A_MINUTE,
            midnight + p[8] * MS_A_MINUTE,
            midnight + p[9] * MS_A_MINUTE,
            midnight + p[10] * MS_A_MINUTE,
        )
    # With T+0 every lot is sellable: no lot's day reaches the bound.
    bound = day + 1 - p[3] if p[3] > 0 else NO_HEIGHT
    tail = (p[0], p[1], bound, p[4], p[5], height if height > 0 else NO_HEIGHT, halted)
    return ((day, state) + hours + tail, p[2])


def set_bands(limit_bp: int, new_day: bool) -> None:
    n = book_names.next(None)
    while n is not None:
        book = book_names[n]
        q = quotes[book]
        b = band(q[0], limit_bp)
        if new_day:
            quotes[book] = (q[0], b[0], b[1], q[3], 0, 0, 0, 0, 0, 0, 0)
        else:
            quotes[book] = (q[0], b[0], b[1]) + q[3:]
        n = book_names.next(n)


def current_day() -> tuple:
    d = market_day.get(())
    require(len(d) == 13, "TRADE-MARKET-CLOSED")
    if ctx.height >= d[11]:
        fresh = read_rules(d[0], d[1], d[12])
        d = fresh[0]
        market_day.set(d)
        set_bands(fresh[1], False)
    return d


@export
def rules_change(height: int) -> None:
    """The rules contract announces that a parameter changes at a height; the market reads them again there."""
    require(ctx.caller == "rules", "ACCESS-CALLER")
    d = market_day.get(())
    if len(d) == 13 and height < d[11]:
        market_day.set(d[:11] + (height, d[12]))


@export
def suspend(entity: str, out: bool) -> None:
    """The identity contract announces who may not trade: its resting orders are passed over."""
    require(ctx.caller == "identity", "ACCESS-CALLER")
    kept = [e for e in suspended.get(()) if e != entity]
    if out:
        kept.append(entity)
    suspended.set(tuple(kept))


@export
def open_book(book: str, reference_price_fen: int) -> None:
    """List a vintage for trading, with the reference price of its first day."""
    call("identity", "authorise", ctx.sender, EXCHANGE)
    call("allowance", "totals", book)
    require(book not in quotes, "TRADE-BOOK-EXISTS")
    require(reference_price_fen > 0, "TRADE-PRICE")
    d = market_day.get(())
    require(len(d) == 0 or d[1] == CLOSED, "TRADE-DAY-OPEN")
    last = book_names.prev(None)
    n = 1 if last is None else last + 1
    require(n <= MAX_BOOKS, "TRADE-TOO-MANY-BOOKS")
    book_names[n] = book
    quotes[book] = (reference_price_fen, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    emit("BookOpened", book=book, reference_price_fen=reference_price_fen)


@export
def open_day() -> int:
    """Open today's market: sessions by the rule set, price limits from each book's previous close. Returns the day."""
    call("identity", "authorise", ctx.sender, EXCHANGE)
    day = call("rules", "local_day", ctx.time)
    last = market_day.get(())
    if len(last) == 13:
        require(last[1] == CLOSED, "TRADE-DAY-OPEN")
        require(day > last[0], "TRADE-DAY-REPEATED")
        require(call("execution", "delivered_day") >= last[0], "SETTLE-UNDELIVERED")
    require(book_names.next(None) is not None, "TRADE-NO-BOOK")
    require(call("rules", "number", "", "always_open") == 1 or call("rules", "is_trading_day", day), "TRADE-CALENDAR")
    fresh = read_rules(day, OPEN, len(last) == 13 and last[12])
    market_day.set(fresh[0])
    set_bands(fresh[1], True)
    emit("DayOpened", day=day)
    return day


@export
def place(book: str, side: str, price_fen: int, quantity_t: int, ref: str) -> str:
    """Enter an order of the sender's entity: "B" buys or "S" sells at `price_fen` or better. It meets resting orders at once; the rest
    stays in the book for the day. `ref` is the client's own mark. Returns the order's id."""
    d = current_day()
    now = ctx.time
    require(d[1] == OPEN, "TRADE-MARKET-CLOSED")
    require(not d[12], "TRADE-HALTED")
    require(now >= d[2] and now < d[3] or now >= d[4] and now < d[5], "TRADE-SESSION")
    q = quotes.get(book, ())
    require(len(q) == 11, "TRADE-NO-BOOK")
    require(quantity_t > 0 and quantity_t % d[6] == 0, "TRADE-LOT")
    require(quantity_t < d[7], "TRADE-LISTING-SIZE")
    require(price_fen >= q[1] and price_fen <= q[2], "TRADE-PRICE-LIMIT")
    require(len(ref) <= 32, "TRADE-REFERENCE")
    require(side == "B" or side == "S", "TRADE-SIDE")
    who = call("execution", "admit", side, book, price_fen, quantity_t, d[8])
    number = q[3] + 1
    order_id = book + (".B." if side == "B" else ".S.") + str(price_fen) + "." + str(number)
    emit("OrderPlaced", to=who[1], entity=who[0], order=order_id, book=book, side=side, price_fen=price_fen, quantity_t=quantity_t, ref=ref)
    best = asks.next(book, None) if side == "B" else bids.prev(book, None)
    left = quantity_t
    q = (q[0], q[1], q[2], number, q[4], q[5], q[6], q[7], q[8], q[9], q[10])
    if best is not None and (best >> PLACE_BITS <= price_fen if side == "B" else best >> PLACE_BITS >= price_fen):
        taken = take(d, q, (book, side, price_fen, quantity_t, order_id), who, best)
        q = taken[1]
        left = taken[0]
    quotes[book] = q
    if left > 0:
        entry = (who[0], who[1], left, quantity_t, ref, order_id)
        if side == "B":
            bids[book, price_fen << PLACE_BITS | PLACE_MASK - number] = entry
        else:
            asks[book, price_fen << PLACE_BITS | number] = entry
    return order_id


def take(d: tuple, q: tuple, o: tuple, who: tuple, best: int) -> tuple:
    # Meets resting orders from the best on. o: (book, side, limit, quantity, order id). Returns (tonnes left to rest, quote).
    book = o[0]
    buys = o[1] == "B"
    out = suspended.get(())
    left = o[3]
    fills = []
    makers = []
    while best is not None and left > 0 and len(makers) < 2 * d[9]:
        price = best >> PLACE_BITS
        if price > o[2] if buys else price < o[2]:
            break
        m = asks[book, best] if buys else bids[book, best]
        if m[1] == who[1] and d[10] == 1 or m[0] in out:
            best = asks.next(book, best) if buys else bids.prev(book, best)
            continue
        part = min(left, m[2])
        left -= part
        fills.extend([m[0], m[1], price, part])
        makers.extend([m[5], m[2] - part])
        following = asks.next(book, best) if buys else bids.prev(book, best)
        if part == m[2]:
            if buys:
                del asks[book, best]
            else:
                del bids[book, best]
        elif buys:
            asks[book, best] = (m[0], m[1], m[2] - part, m[3], m[4], m[5])
        else:
            bids[book, best] = (m[0], m[1], m[2] - part, m[3], m[4], m[5])
        best = following
    if len(makers) == 0:
        return (left, q)
    q = execute(d[0], q, o, who, tuple(fills), makers, left)
    if left > 0 and len(makers) >= 2 * d[9]:
        # As many fills as one transaction may have: the rest would cross the book, so it lapses.
        call("execution", "release", o[1], book, (who[0], o[2], left))
        emit("OrderCancelled", to=who[1], entity=who[0], order=o[4], left_t=left, reason="TRADE-MAX-FILLS")
        left = 0
    return (left, q)


def execute(day: int, q: tuple, o: tuple, who: tuple, fills: tuple, makers: list, left: int) -> tuple:
    # Settles the fills, tells both sides and the public feed, and returns the quote after them.
    codes = call("execution", "settle", o[1], o[0], who[0], o[2], o[3] - left, fills, day)
    other = "S" if o[1] == "B" else "B"
    open_price = q[4]
    high = q[5]
    low = q[6]
    last = q[7]
    volume = q[8]
    amount = q[9]
    remaining = o[3]
    for i in range(len(codes)):
        f = 4 * i
        last = fills[f + 2]
        part = fills[f + 3]
        paid = last * part
        remaining -= part
        volume += part
        amount += paid
        high = max(high, last)
        low = last if low == 0 else min(low, last)
        if open_price == 0:
            open_price = last
        emit("Fill", to=who[1], entity=who[0], order=o[4], book=o[0], side=o[1], price_fen=last, quantity_t=part, amount_fen=paid, left_t=remaining, voucher=codes[i])
        emit("Fill", to=fills[f + 1], entity=fills[f], order=makers[2 * i], book=o[0], side=other, price_fen=last, quantity_t=part, amount_fen=paid, left_t=makers[2 * i + 1], voucher=codes[i])
        emit("Trade", book=o[0], price_fen=last, quantity_t=part, time_ms=ctx.time)
    return (q[0], q[1], q[2], q[3], open_price, high, low, last, volume, amount, q[10] + len(codes))


def find_order(order_id: str) -> tuple:
    # (book, side, price, rank) of an order id.
    parts = order_id.split(".")
    require(len(parts) == 4 and (parts[1] == "B" or parts[1] == "S"), "TRADE-ORDER-ID")
    price = int(parts[2])
    number = int(parts[3])
    require(price > 0 and number > 0 and number < PLACE_MASK, "TRADE-ORDER-ID")
    if parts[1] == "B":
        return (parts[0], "B", price, price << PLACE_BITS | PLACE_MASK - number)
    return (parts[0], "S", price, price << PLACE_BITS | number)


def entry_of(o: tuple) -> tuple:
    entry = bids.get((o[0], o[3]), ()) if o[1] == "B" else asks.get((o[0], o[3]), ())
    require(len(entry) == 6, "TRADE-NO-ORDER")
    return entry


def drop(o: tuple) -> None:
    if o[1] == "B":
        del bids[o[0], o[3]]
    else:
        del asks[o[0], o[3]]


@export
def cancel(order_id: str) -> int:
    """Take an order out of the book, by its entity's key or the exchange; what it had set aside is free again. Returns the tonnes left of it."""
    o = find_order(order_id)
    entry = entry_of(o)
    who = call("identity", "whoami")
    if who[0] == entry[0]:
        require(who[2] & 2 != 0, "ACCESS-RIGHT")
    else:
        call("identity", "authorise", ctx.sender, EXCHANGE)
    drop(o)
    call("execution", "release", o[1], o[0], (entry[0], o[2], entry[2]))
    emit("OrderCancelled", to=entry[1], entity=entry[0], order=order_id, left_t=entry[2], reason="cancelled")
    return entry[2]


@export
def halt(reason: str) -> None:
    """Halt the market: no order enters until another member resumes it."""
    entity = call("identity", "authorise", ctx.sender, AUTHORITY | EXCHANGE)
    d = current_day()
    require(not d[12], "TRADE-HALTED")
    market_day.set(d[:12] + (True,))
    halt_record.set((entity, reason, ctx.time))
    emit("MarketHalted", reason=reason)


@export
def resume() -> None:
    """End a halt; by another member than the one that halted."""
    entity = call("identity", "authorise", ctx.sender, AUTHORITY | EXCHANGE)
    d = current_day()
    require(d[12], "TRADE-NOT-HALTED")
    require(entity != halt_record.get()[0], "TRADE-RESUME-SECOND-PERSON")
    market_day.set(d[:12] + (False,))
    emit("MarketResumed", day=d[0])


@export
def expire(book: str, limit: int) -> int:
    """After the last session: let up to `limit` orders of a book lapse. Returns how many lapsed; 0 means the book is empty."""
    call("identity", "authorise", ctx.sender, EXCHANGE)
    d = current_day()
    require(d[1] != CLOSED, "TRADE-MARKET-CLOSED")
    require(ctx.time >= d[5] or call("rules", "number", "", "always_open") == 1, "TRADE-SESSION")
    require(book in quotes, "TRADE-NO-BOOK")
    require(limit >= 1 and limit <= 1000, "TRADE-LIMIT")
    if d[1] == OPEN:
        market_day.set((d[0], CLOSING) + d[2:])
    done = 0
    for side in ("B", "S"):
        freed = []
        rank = bids.next(book, None) if side == "B" else asks.next(book, None)
        while rank is not None and done < limit:
            entry = bids[book, rank] if side == "B" else asks[book, rank]
            price = rank >> PLACE_BITS
            drop((book, side, price, rank))
            freed.extend([entry[0], price, entry[2]])
            emit("OrderExpired", to=entry[1], entity=entry[0], order=entry[5], left_t=entry[2])
            done += 1
            rank = bids.next(book, rank) if side == "B" else asks.next(book, rank)
        if len(freed) > 0:
            call("execution", "release", side, book, tuple(freed))
    return done


@export
def close_day() -> int:
    """Close the day once the books are empty: the close is the volume-weighted average, half up; without trades the previous close stays."""
    call("identity", "authorise", ctx.sender, EXCHANGE)
    d = current_day()
    require(d[1] != CLOSED, "TRADE-MARKET-CLOSED")
    require(ctx.time >= d[5] or call("rules", "number", "", "always_open") == 1, "TRADE-SESSION")
    n = book_names.next(None)
    while n is not None:
        book = book_names[n]
        require(bids.next(book, None) is None and asks.next(book, None) is None, "TRADE-ORDERS-REMAIN")
        q = quotes[book]
        close = (2 * q[9] + q[8]) // (2 * q[8]) if q[8] > 0 else q[0]
        closes[book, d[0]] = (q[4], q[5], q[6], close, q[8], q[9], q[10])
        quotes[book] = (close, 0, 0, q[3], 0, 0, 0, 0, 0, 0, 0)
        emit("DayClosed", book=book, day=d[0], open=q[4], high=q[5], low=q[6], close=close, volume_t=q[8], amount_fen=q[9], trades=q[10])
        n = book_names.next(n)
    market_day.set((d[0], CLOSED) + d[2:])
    return d[0]


@view
def market() -> tuple:
    """(day, "closed"|"open"|"closing", halted, morning open, close, afternoon open, close in ms); public."""
    d = market_day.get(())
    if len(d) == 0:
        return (0, "closed", False, 0, 0, 0, 0)
    return (d[0], STATE_NAMES[d[1]], d[12], d[2], d[3], d[4], d[5])


@view
def last_closed() -> int:
    """The last trading day that has been closed."""
    d = market_day.get(())
    if len(d) == 0:
        return 0
    return d[0] if d[1] == CLOSED else d[0] - 1


@view
def quote(book: str) -> tuple:
    """(previous close, lower, upper, open, high, low, last, volume_t, amount_fen, trades) of today; public."""
    q = quotes.get(book, ())
    require(len(q) == 11, "TRADE-NO-BOOK")
    return (q[0], q[1], q[2]) + q[4:]


@view
def books() -> tuple:
    """The books that are listed; public."""
    found = ()
    n = book_names.next(None)
    while n is not None:
        found = found + (book_names[n],)
        n = book_names.next(n)
    return found


@view
def depth(book: str, levels: int) -> tuple:
    """(side, price_fen, quantity_t, ...) of the best `levels` prices a side, best first, flat; public and without parties."""
    require(levels >= 1 and levels <= 20, "TRADE-LEVELS")
    found = []
    for side in ("S", "B"):
        rank = asks.next(book, None) if side == "S" else bids.prev(book, None)
        price = 0
        total = 0
        seen = 0
        while rank is not None:
            if rank >> PLACE_BITS != price:
                if price > 0:
                    found.extend([side, price, total])
                    seen += 1
                price = rank >> PLACE_BITS
                total = 0
            if seen == levels:
                break
            total += (asks[book, rank] if side == "S" else bids[book, rank])[2]
            rank = asks.next(book, rank) if side == "S" else bids.prev(book, rank)
        if seen < levels and price > 0:
            found.extend([side, price, total])
    return tuple(found)


@view
def order(order_id: str) -> tuple:
    """(entity, tonnes left, quantity_t, client reference) of a resting order; for its owner and members."""
    entry = entry_of(find_order(order_id))
    call("identity", "check_reader", ctx.sender, entry[0])
    return (entry[0], entry[2], entry[3], entry[4])


@view
def orders(book: str, side: str) -> tuple:
    """(order id, tonnes left, quantity_t, client reference, ...) of the sender's resting orders on a side, flat."""
    who = call("identity", "whoami")
    found = []
    rank = bids.prev(book, None) if side == "B" else asks.next(book, None)
    while rank is not None:
        entry = bids[book, rank] if side == "B" else asks[book, rank]
        if entry[0] == who[0]:
            found.extend([entry[5], entry[2], entry[3], entry[4]])
        rank = bids.prev(book, rank) if side == "B" else asks.next(book, rank)
    return tuple(found)


@view
def close_of(book: str, day: int) -> tuple:
    """(open, high, low, close, volume_t, amount_fen, trades) of a closed day; empty if there was none. Public."""
    return closes.get((book, day), ())


@view
def mean_price(book: str, from_day: int, to_day: int) -> int:
    """Mean price of the listing trades from one day to another, inclusive, in fen, half up; the last close before if there were none; 0 without any."""
    amount = 0
    volume = 0
    day = closes.next(book, from_day - 1)
    while day is not None and day <= to_day:
        c = closes[book, day]
        amount += c[5]
        volume += c[4]
        day = closes.next(book, day)
    if volume > 0:
        return (2 * amount + volume) // (2 * volume)
    before = closes.prev(book, to_day + 1)
    return 0 if before is None else closes[book, before][3]


@view
def composite(day: int) -> int:
    """The composite close of a day over all vintages with equal weights, in fen, half up; 0 without any. Public."""
    total = 0
    n = 0
    number = book_names.next(None)
    while number is not None:
        c = closes.get((book_names[number], day), ())
        if len(c) == 7:
            total += c[3]
            n += 1
        number = book_names.next(number)
    return (2 * total + n) // (2 * n) if n > 0 else 0
