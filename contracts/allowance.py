"""Allowances: instruments, vintages, unit blocks with serials, holdings in five buckets, allocation, transfer, pledge, freeze, cancellation.

IEEE Std 3218-2022: 4.2.1, 5.3 a, 7.4 Table 1 r2, r5, r7, r11, 8.4, 8.8.
Two holdings an entity: the registry holding, which is surrendered, pledged and transferred, and the trading holding, which backs orders.
Each is (available, trading, frozen, pledged, pending surrender); the trading holding also knows its lot: the day and tonnes of the last
day's purchases, which T+1 bars from sale. issued = registry + trading + surrendered + cancelled, for each instrument and vintage.
Serials are inclusive. The trading holding's units move at the trade; their serials follow in trade order at delivery (`deliver`), which T+1
makes exact: what is sold today was held at the day's start.
"""

AUTHORITY = 1
REGISTRY = 8
EMPTY_REGISTRY = (0, 0, 0, 0, 0)
EMPTY_TRADING = (0, 0, 0, 0, 0, 0, 0)
IN_REGISTRY = "R"
IN_TRADING = "T"
SURRENDERED = "S"
CANCELLED = "C"
MAX_VINTAGES = 64
ALL = 1 << 40
SERIAL_BASE = 10 ** 12

# code -> (name, country, region)
instruments = Map(str, tuple)
# iv -> (code, vintage, cap, new-entrant reserve, next serial)
vintages = Map(str, tuple)
vintage_names = Map(int, str)
# iv -> (issued, registry, trading, surrendered, cancelled)
sums = Map(str, tuple)
registry_holdings = Map(str, str, tuple)
trading_holdings = Map(str, str, tuple)
# iv, first serial -> (last serial, entity, place)
units = Map(str, int, tuple)
# iv, place + entity, first serial -> last serial
owned = Map(str, str, int, int)
allocations = Map(str, int, tuple)
# iv, pledgor, pledgee -> tonnes
pledges = Map(str, str, str, int)


def positive(quantity_t: int) -> None:
    require(quantity_t > 0, "UNITS-QUANTITY")


def own(key: bytes) -> tuple:
    return call("identity", "participant", key)


def known(iv: str) -> tuple:
    v = vintages.get(iv, ())
    require(len(v) == 5, "UNITS-NO-VINTAGE")
    return v


def add_block(iv: str, entity: str, place: str, start: int, end: int) -> None:
    # Joined with the holder's neighbouring blocks, so that moves back and forth leave no crumbs.
    holder = place + entity
    before = owned.prev(iv, holder, start)
    if before is not None and owned[iv, holder, before] == start - 1:
        start = before
    after = owned.next(iv, holder, end)
    if after is not None and after == end + 1:
        end = owned[iv, holder, after]
        del owned[iv, holder, after]
        del units[iv, after]
    owned[iv, holder, start] = end
    units[iv, start] = (end, entity, place)


def move_blocks(iv: str, giver: str, out_of: str, taker: str, into: str, quantity_t: int, from_tail: bool, most: int) -> tuple:
    # Returns the moved ranges, flat, at most `most` of them. Splits keep the order; the giver has enough, as the buckets have been checked.
    moved = ()
    source = out_of + giver
    left = quantity_t
    while left > 0 and len(moved) < 2 * most:
        start = owned.prev(iv, source, None) if from_tail else owned.next(iv, source, None)
        require(start is not None, "UNITS-SERIALS-SHORT")
        end = owned[iv, source, start]
        size = end - start + 1
        part = min(size, left)
        del owned[iv, source, start]
        first = end - part + 1 if from_tail else start
        last = first + part - 1
        if first == start:
            del units[iv, start]
        if part < size:
            rest_start = start if from_tail else last + 1
            rest_end = first - 1 if from_tail else end
            owned[iv, source, rest_start] = rest_end
            units[iv, rest_start] = (rest_end, giver, out_of)
        add_block(iv, taker, into, first, last)
        moved = moved + (first, last)
        left -= part
    return moved


def change_sums(iv: str, issued: int, in_registry: int, in_trading: int, surrendered: int, cancelled: int) -> None:
    t = sums[iv]
    sums[iv] = (t[0] + issued, t[1] + in_registry, t[2] + in_trading, t[3] + surrendered, t[4] + cancelled)


def serial_code(iv: str, start: int, end: int) -> str:
    v = vintages[iv]
    i = instruments[v[0]]
    head = i[1] + "-" + v[0] + "-" + str(v[1]) + "-" + str(100 + i[2])[1:] + "-"
    return head + str(SERIAL_BASE + start)[1:] + "-" + str(SERIAL_BASE + end)[1:]


@export
def create_instrument(code: str, name: str, country: str, region: int) -> None:
    """Register an instrument: a code of 3 letters, its country and the registry's region (2 digits)."""
    call("identity", "authorise", ctx.sender, REGISTRY)
    require(len(code) == 3 and code == code.upper(), "UNITS-INSTRUMENT-CODE")
    for i in range(3):
        require(code[i] >= "A" and code[i] <= "Z", "UNITS-INSTRUMENT-CODE")
    require(code not in instruments, "UNITS-INSTRUMENT-EXISTS")
    require(len(country) == 2, "UNITS-COUNTRY")
    require(region >= 0 and region <= 99, "UNITS-REGION")
    instruments[code] = (name, country, region)
    emit("InstrumentCreated", code=code, name=name)


@export
def open_vintage(code: str, vintage: int, cap_t: int, reserve_t: int) -> str:
    """Set the cap of an instrument's vintage and, within it, the reserve for new entrants and adjustments. Returns its id, `CEA-2024`."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    require(code in instruments, "UNITS-NO-INSTRUMENT")
    require(vintage >= 2000 and vintage <= 2099, "UNITS-VINTAGE")
    require(reserve_t >= 0 and cap_t >= reserve_t and cap_t < SERIAL_BASE, "UNITS-CAP")
    iv = code + "-" + str(vintage)
    require(iv not in vintages, "UNITS-VINTAGE-EXISTS")
    last = vintage_names.prev(None)
    place = 1 if last is None else last + 1
    require(place <= MAX_VINTAGES, "UNITS-TOO-MANY-VINTAGES")
    vintage_names[place] = iv
    vintages[iv] = (code, vintage, cap_t, reserve_t, 1)
    sums[iv] = (0, 0, 0, 0, 0)
    emit("VintageOpened", iv=iv, cap_t=cap_t, reserve_t=reserve_t)
    return iv


def issue_units(iv: str, entity: str, org: str, quantity_t: int, limit_t: int, into_trading: bool, basis: str) -> str:
    v = known(iv)
    positive(quantity_t)
    require(sums[iv][0] + quantity_t <= limit_t, "ALLOC-CAP")
    start = v[4]
    end = start + quantity_t - 1
    vintages[iv] = (v[0], v[1], v[2], v[3], end + 1)
    if into_trading:
        h = trading_holdings.get((iv, entity), EMPTY_TRADING)
        trading_holdings[iv, entity] = (h[0] + quantity_t, h[1], h[2], h[3], h[4], h[5], h[6])
        change_sums(iv, quantity_t, 0, quantity_t, 0, 0)
        add_block(iv, entity, IN_TRADING, start, end)
    else:
        h = registry_holdings.get((iv, entity), EMPTY_REGISTRY)
        registry_holdings[iv, entity] = (h[0] + quantity_t, h[1], h[2], h[3], h[4])
        change_sums(iv, quantity_t, quantity_t, 0, 0, 0)
        add_block(iv, entity, IN_REGISTRY, start, end)
    serials = serial_code(iv, start, end)
    code = call("voucher", "issue", "I", iv, quantity_t, 0, "", entity, basis)
    emit("UnitsIssued", to=org, entity=entity, iv=iv, quantity_t=quantity_t, serials=serials, voucher=code, basis=basis)
    return code


@export
def allocate(entity: str, year: int) -> int:
    """Allocate a covered emitter's allowances of a year by the benchmark method of that year's rule set. Returns whole tonnes."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    who = call("identity", "holder", entity)
    require(who[1] == "active", "ACCESS-SUSPENDED")
    require(who[2] == "emitter", "ALLOC-NO-REPORTING-ACCOUNT")
    require((entity, year) not in allocations, "ALLOC-REPEATED")
    basis = call("emissions", "basis", entity, year)
    set_id = call("rules", "set_for_year", year)
    quantity_t = call("allocation", "entity_allowance", set_id, basis[1], basis[0] * 1000)
    iv = call("rules", "text", set_id, "instrument") + "-" + str(year)
    v = known(iv)
    require(quantity_t > 0, "ALLOC-NOTHING")
    code = issue_units(iv, entity, who[0], quantity_t, v[2] - v[3], False, set_id)
    allocations[entity, year] = (quantity_t, set_id, code, ctx.time)
    return quantity_t


@export
def issue(entity: str, iv: str, quantity_t: int, basis: str, into_trading: bool) -> str:
    """Issue units by the authority's decision (new entrant, adjustment, opening balance); may use the reserve. Returns the voucher code."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    who = call("identity", "holder", entity)
    require(who[1] == "active", "ACCESS-SUSPENDED")
    return issue_units(iv, entity, who[0], quantity_t, known(iv)[2], into_trading, basis)


@export
def to_trading(iv: str, quantity_t: int) -> None:
    """Move units from the sender's registry holding to its trading holding."""
    who = own(ctx.sender)
    known(iv)
    positive(quantity_t)
    r = registry_holdings.get((iv, who[0]), EMPTY_REGISTRY)
    require(r[0] >= quantity_t, "UNITS-AVAILABLE")
    registry_holdings[iv, who[0]] = (r[0] - quantity_t, r[1], r[2], r[3], r[4])
    h = trading_holdings.get((iv, who[0]), EMPTY_TRADING)
    trading_holdings[iv, who[0]] = (h[0] + quantity_t, h[1], h[2], h[3], h[4], h[5], h[6])
    change_sums(iv, 0, -quantity_t, quantity_t, 0, 0)
    move_blocks(iv, who[0], IN_REGISTRY, who[0], IN_TRADING, quantity_t, False, ALL)
    emit("UnitsMoved", to=who[1], entity=who[0], iv=iv, quantity_t=quantity_t, into="trading")


@export
def to_registry(iv: str, quantity_t: int) -> None:
    """Move units from the sender's trading holding back; only delivered ones: a day's purchases come with that day's delivery."""
    who = own(ctx.sender)
    known(iv)
    positive(quantity_t)
    h = trading_holdings.get((iv, who[0]), EMPTY_TRADING)
    undelivered = h[6] if h[5] > call("execution", "delivered_day") else 0
    require(h[0] - undelivered >= quantity_t, "UNITS-AVAILABLE")
    trading_holdings[iv, who[0]] = (h[0] - quantity_t, h[1], h[2], h[3], h[4], h[5], h[6])
    r = registry_holdings.get((iv, who[0]), EMPTY_REGISTRY)
    registry_holdings[iv, who[0]] = (r[0] + quantity_t, r[1], r[2], r[3], r[4])
    change_sums(iv, 0, quantity_t, -quantity_t, 0, 0)
    # From the tail: the head's serials are owed to today's buyers.
    move_blocks(iv, who[0], IN_TRADING, who[0], IN_REGISTRY, quantity_t, True, ALL)
    emit("UnitsMoved", to=who[1], entity=who[0], iv=iv, quantity_t=quantity_t, into="registry")


@export
def transfer(iv: str, receiver: str, quantity_t: int, reason: str) -> None:
    """Transfer units between registry holdings outside the exchange, where the rule set allows it."""
    who = own(ctx.sender)
    known(iv)
    positive(quantity_t)
    require(call("rules", "number", "", "off_exchange_transfer") == 1, "UNITS-TRANSFER-NOT-ALLOWED")
    other = call("identity", "holder", receiver)
    require(other[1] == "active", "UNITS-RECEIVER-SUSPENDED")
    require(receiver != who[0], "UNITS-RECEIVER")
    r = registry_holdings.get((iv, who[0]), EMPTY_REGISTRY)
    require(r[0] >= quantity_t, "UNITS-AVAILABLE")
    registry_holdings[iv, who[0]] = (r[0] - quantity_t, r[1], r[2], r[3], r[4])
    t = registry_holdings.get((iv, receiver), EMPTY_REGISTRY)
    registry_holdings[iv, receiver] = (t[0] + quantity_t, t[1], t[2], t[3], t[4])
    move_blocks(iv, who[0], IN_REGISTRY, receiver, IN_REGISTRY, quantity_t, False, ALL)
    emit("UnitsTransferred", to=who[1], entity=who[0], iv=iv, quantity_t=-quantity_t, reason=reason)
    emit("UnitsTransferred", to=other[0], entity=receiver, iv=iv, quantity_t=quantity_t, reason=reason)


@export
def cancel(iv: str, quantity_t: int, reason: str) -> str:
    """Cancel units voluntarily, for good; lowers what circulates. Returns the voucher code."""
    who = own(ctx.sender)
    known(iv)
    positive(quantity_t)
    r = registry_holdings.get((iv, who[0]), EMPTY_REGISTRY)
    require(r[0] >= quantity_t, "UNITS-AVAILABLE")
    registry_holdings[iv, who[0]] = (r[0] - quantity_t, r[1], r[2], r[3], r[4])
    change_sums(iv, 0, -quantity_t, 0, 0, quantity_t)
    move_blocks(iv, who[0], IN_REGISTRY, who[0], CANCELLED, quantity_t, False, ALL)
    code = call("voucher", "issue", "R", iv, quantity_t, 0, who[0], "", reason)
    emit("UnitsCancelled", to=who[1], entity=who[0], iv=iv, quantity_t=quantity_t, voucher=code, reason=reason)
    emit("VoluntaryCancellation", iv=iv, quantity_t=quantity_t)
    return code


@export
def pledge(iv: str, pledgee: str, quantity_t: int) -> str:
    """Pledge registry units to another entity; they can't be traded, transferred or surrendered until released. Returns the voucher code."""
    who = own(ctx.sender)
    known(iv)
    positive(quantity_t)
    other = call("identity", "holder", pledgee)
    require(pledgee != who[0], "UNITS-RECEIVER")
    r = registry_holdings.get((iv, who[0]), EMPTY_REGISTRY)
    require(r[0] >= quantity_t, "UNITS-AVAILABLE")
    registry_holdings[iv, who[0]] = (r[0] - quantity_t, r[1], r[2], r[3] + quantity_t, r[4])
    pledges[iv, who[0], pledgee] = pledges.get((iv, who[0], pledgee), 0) + quantity_t
    code = call("voucher", "issue", "P", iv, quantity_t, 0, who[0], pledgee, "pledge")
    emit("UnitsPledged", to=who[1], entity=who[0], iv=iv, quantity_t=quantity_t, pledgee=pledgee, voucher=code)
    emit("PledgeReceived", to=other[0], entity=pledgee, iv=iv, quantity_t=quantity_t, pledgor=who[0], voucher=code)
    return code


@export
def release_pledge(iv: str, pledgor: str, quantity_t: int) -> None:
    """Release pledged units; signed by the pledgee."""
    who = own(ctx.sender)
    positive(quantity_t)
    held = pledges.get((iv, pledgor, who[0]), 0)
    require(held >= quantity_t, "UNITS-PLEDGED")
    if held == quantity_t:
        del pledges[iv, pledgor, who[0]]
    else:
        pledges[iv, pledgor, who[0]] = held - quantity_t
    r = registry_holdings[iv, pledgor]
    registry_holdings[iv, pledgor] = (r[0] + quantity_t, r[1], r[2], r[3] - quantity_t, r[4])
    emit("PledgeReleased", to=call("identity", "org_of", pledgor), entity=pledgor, iv=iv, quantity_t=quantity_t)


def shift_frozen(entity: str, iv: str, place: str, quantity_t: int) -> None:
    known(iv)
    require(place == IN_REGISTRY or place == IN_TRADING, "UNITS-PLACE")
    if place == IN_REGISTRY:
        r = registry_holdings.get((iv, entity), EMPTY_REGISTRY)
        require(r[0] >= quantity_t, "UNITS-AVAILABLE")
        require(r[2] + quantity_t >= 0, "UNITS-FROZEN")
        registry_holdings[iv, entity] = (r[0] - quantity_t, r[1], r[2] + quantity_t, r[3], r[4])
    else:
        h = trading_holdings.get((iv, entity), EMPTY_TRADING)
        require(h[0] >= quantity_t, "UNITS-AVAILABLE")
        require(h[2] + quantity_t >= 0, "UNITS-FROZEN")
        trading_holdings[iv, entity] = (h[0] - quantity_t, h[1], h[2] + quantity_t, h[3], h[4], h[5], h[6])


@export
def freeze(entity: str, iv: str, place: str, quantity_t: int, legal_ref: str) -> str:
    """Freeze available units in the registry ("R") or trading ("T") holding by reference to a legal document. Returns the voucher code."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    positive(quantity_t)
    require(len(legal_ref) > 0, "UNITS-LEGAL-REFERENCE")
    shift_frozen(entity, iv, place, quantity_t)
    code = call("voucher", "issue", "F", iv, quantity_t, 0, entity, "", legal_ref)
    emit("UnitsFrozen", to=call("identity", "org_of", entity), entity=entity, iv=iv, quantity_t=quantity_t, ref=legal_ref, voucher=code)
    return code


@export
def unfreeze(entity: str, iv: str, place: str, quantity_t: int, legal_ref: str) -> None:
    """Undo a freeze, in whole or in part."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    positive(quantity_t)
    require(len(legal_ref) > 0, "UNITS-LEGAL-REFERENCE")
    shift_frozen(entity, iv, place, -quantity_t)
    emit("UnitsUnfrozen", to=call("identity", "org_of", entity), entity=entity, iv=iv, quantity_t=quantity_t, ref=legal_ref)


@export
def reserve(entity: str, iv: str, quantity_t: int, sellable_before: int) -> None:
    """Set units aside for a sell order. Purchases of day `sellable_before` and later aren't sellable yet (T+1)."""
    require(ctx.caller == "execution", "ACCESS-CALLER")
    h = trading_holdings.get((iv, entity), EMPTY_TRADING)
    require(h[0] >= quantity_t, "UNITS-AVAILABLE")
    if h[5] >= sellable_before:
        require(h[0] - h[6] >= quantity_t, "TRADE-T-PLUS-1")
    trading_holdings[iv, entity] = (h[0] - quantity_t, h[1] + quantity_t, h[2], h[3], h[4], h[5], h[6])


@export
def release(entity: str, iv: str, quantity_t: int) -> None:
    """Give back what a sell order that left the book had set aside."""
    require(ctx.caller == "execution", "ACCESS-CALLER")
    h = trading_holdings[iv, entity]
    require(h[1] >= quantity_t, "UNITS-RESERVED")
    trading_holdings[iv, entity] = (h[0] + quantity_t, h[1] - quantity_t, h[2], h[3], h[4], h[5], h[6])


@export
def settle(side: str, iv: str, taker: str, quantity_t: int, fills: tuple, day: int) -> None:
    """The delivery leg of one taker's fills: (maker, org, price, quantity, ...) flat. Sellers had reserved; buyers get a lot of `day`."""
    require(ctx.caller == "execution", "ACCESS-CALLER")
    for i in range(0, len(fills), 4):
        part = fills[i + 3]
        h = trading_holdings.get((iv, fills[i]), EMPTY_TRADING)
        if side == "B":
            require(h[1] >= part, "UNITS-RESERVED")
            trading_holdings[iv, fills[i]] = (h[0], h[1] - part, h[2], h[3], h[4], h[5], h[6])
        else:
            lot = h[6] + part if h[5] == day else part
            trading_holdings[iv, fills[i]] = (h[0] + part, h[1], h[2], h[3], h[4], day, lot)
    h = trading_holdings.get((iv, taker), EMPTY_TRADING)
    if side == "B":
        lot = h[6] + quantity_t if h[5] == day else quantity_t
        trading_holdings[iv, taker] = (h[0] + quantity_t, h[1], h[2], h[3], h[4], day, lot)
    else:
        require(h[1] >= quantity_t, "UNITS-RESERVED")
        trading_holdings[iv, taker] = (h[0], h[1] - quantity_t, h[2], h[3], h[4], h[5], h[6])


@export
def deliver(iv: str, seller: str, buyer: str, quantity_t: int, most: int) -> tuple:
    """Move the serials of a settled trade, in trade order, at most `most` ranges at a time. Returns the ranges, flat."""
    require(ctx.caller == "execution", "ACCESS-CALLER")
    return move_blocks(iv, seller, IN_TRADING, buyer, IN_TRADING, quantity_t, False, most)


@export
def lock_surrender(entity: str, iv: str, quantity_t: int) -> None:
    """Set registry units aside for a surrender application."""
    require(ctx.caller == "compliance", "ACCESS-CALLER")
    r = registry_holdings.get((iv, entity), EMPTY_REGISTRY)
    require(r[0] >= quantity_t, "UNITS-AVAILABLE")
    registry_holdings[iv, entity] = (r[0] - quantity_t, r[1], r[2], r[3], r[4] + quantity_t)


@export
def end_surrender(entity: str, iv: str, quantity_t: int, accepted: bool) -> tuple:
    """Take the units of an approved application out of circulation for good, or give them back. Returns the serial ranges, flat."""
    require(ctx.caller == "compliance", "ACCESS-CALLER")
    r = registry_holdings[iv, entity]
    require(r[4] >= quantity_t, "UNITS-PENDING")
    if not accepted:
        registry_holdings[iv, entity] = (r[0] + quantity_t, r[1], r[2], r[3], r[4] - quantity_t)
        return ()
    registry_holdings[iv, entity] = (r[0], r[1], r[2], r[3], r[4] - quantity_t)
    change_sums(iv, 0, -quantity_t, 0, quantity_t, 0)
    return move_blocks(iv, entity, IN_REGISTRY, entity, SURRENDERED, quantity_t, False, ALL)


def holding_of(entity: str, iv: str) -> tuple:
    r = registry_holdings.get((iv, entity), EMPTY_REGISTRY)
    h = trading_holdings.get((iv, entity), EMPTY_TRADING)
    today = call("rules", "local_day", ctx.time)
    return r + (h[0], h[1], h[2], h[3], h[4], h[6] if h[5] == today else 0)


@view
def holding(entity: str, iv: str) -> tuple:
    """Registry then trading holding: available, trading, frozen, pledged, pending each; and the tonnes bought today. 11 integers."""
    call("identity", "check_reader", ctx.sender, entity)
    known(iv)
    return holding_of(entity, iv)


@view
def holdings(entity: str) -> tuple:
    """For each vintage with units: its id and the 11 integers of `holding`, flat."""
    call("identity", "check_reader", ctx.sender, entity)
    found = ()
    place = vintage_names.next(None)
    while place is not None:
        iv = vintage_names[place]
        h = holding_of(entity, iv)
        if sum(h) > 0:
            found = found + (iv,) + h
        place = vintage_names.next(place)
    return found


@view
def holds_units(entity: str) -> bool:
    """Whether an entity holds any unit; for the closing of accounts."""
    require(ctx.caller == "identity", "ACCESS-CALLER")
    place = vintage_names.next(None)
    while place is not None:
        iv = vintage_names[place]
        if sum(registry_holdings.get((iv, entity), EMPTY_REGISTRY)) > 0 or sum(trading_holdings.get((iv, entity), EMPTY_TRADING)[:5]) > 0:
            return True
        place = vintage_names.next(place)
    return False


@view
def available_in_registry(entity: str, iv: str) -> int:
    """Tonnes that could be surrendered now; for compliance."""
    require(ctx.caller == "compliance", "ACCESS-CALLER")
    return registry_holdings.get((iv, entity), EMPTY_REGISTRY)[0]


@view
def blocks(entity: str, iv: str, place: str, after: int, limit: int) -> tuple:
    """Serial ranges (start, end, ...) above serial `after` in the registry "R" or trading "T" holding, or surrendered "S", cancelled "C"."""
    call("identity", "check_reader", ctx.sender, entity)
    found = ()
    start = owned.next(iv, place + entity, after)
    while start is not None and len(found) < 2 * limit:
        found = found + (start, owned[iv, place + entity, start])
        start = owned.next(iv, place + entity, start)
    return found


@view
def unit(iv: str, serial: int) -> tuple:
    """(start, end, entity, place) of the block that holds a serial."""
    start = units.prev(iv, serial + 1)
    require(start is not None and units[iv, start][0] >= serial, "UNITS-NO-SERIAL")
    u = units[iv, start]
    call("identity", "check_reader", ctx.sender, u[1])
    return (start, u[0], u[1], u[2])


@view
def allocation_of(entity: str, year: int) -> tuple:
    """(tonnes, rule set, voucher code, time_ms) of an entity's allocation; empty if there is none."""
    call("identity", "check_reader", ctx.sender, entity)
    return allocations.get((entity, year), ())


@view
def serial_text(iv: str, start: int, end: int) -> str:
    """The written form of a block of units, `CN-CEA-2024-42-000000000001-000000001000`."""
    known(iv)
    return serial_code(iv, start, end)


@view
def totals(iv: str) -> tuple:
    """(cap, issued, registry, trading, surrendered, cancelled, reserve) in tonnes; public."""
    v = known(iv)
    t = sums[iv]
    return (v[2], t[0], t[1], t[2], t[3], t[4], v[3])


@view
def vintage_ids() -> tuple:
    """The ids of all vintages; public."""
    found = ()
    place = vintage_names.next(None)
    while place is not None:
        found = found + (vintage_names[place],)
        place = vintage_names.next(place)
    return found


@view
def conserved() -> bool:
    """Whether issued = registry + trading + surrendered + cancelled = serials given out, for every vintage; must hold after every block."""
    place = vintage_names.next(None)
    while place is not None:
        iv = vintage_names[place]
        t = sums[iv]
        if t[0] != t[1] + t[2] + t[3] + t[4] or min(t) < 0 or t[0] != vintages[iv][4] - 1:
            return False
        place = vintage_names.next(place)
    return True


@view
def audit(iv: str, after: str, limit: int, place: str) -> tuple:
    """(last entity or "" at the end, tonnes of the page) of registry "R" or trading "T" holdings; all pages add up to `totals`. For members."""
    call("identity", "check_reader", ctx.sender, "")
    total = 0
    seen = ""
    n = 0
    entity = registry_holdings.next(iv, None if after == "" else after) if place == IN_REGISTRY else trading_holdings.next(iv, None if after == "" else after)
    while entity is not None and n < limit:
        h = registry_holdings[iv, entity] if place == IN_REGISTRY else trading_holdings[iv, entity]
        total += sum(h[:5])
        require(min(h) >= 0, "UNITS-NEGATIVE")
        seen = entity
        n += 1
        entity = registry_holdings.next(iv, entity) if place == IN_REGISTRY else trading_holdings.next(iv, entity)
    return (seen if entity is not None else "", total)
