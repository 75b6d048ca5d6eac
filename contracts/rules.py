"""Rule book: dated rule sets whose every number is a parameter with its legal source, changes by vote, the calendar, the market clock.

IEEE Std 3218-2022: 4.5 b (rules tracked), 4.4.4 b (rules set by the regulator), 7.5 a (alliance governance), 8.4 c, 8.9 a.
A rule set holds from `from_ms` (inclusive) to `to_ms` (exclusive); `year` is the compliance year whose allocation it governs.
The ledger reads `clock_offset_ms` (market time = block time + offset) and `decided` (what a vote decided, and from which height).
"""

AUTHORITY = 1
ANY_MEMBER = 31
MS_A_DAY = 86400000

sets = Map(str, tuple)
starts = Map(int, str)
year_sets = Map(int, str)
numbers = Map(str, str, tuple)
texts = Map(str, str, str)
tables = Map(str, str, tuple)
sources = Map(str, str, str)
closed_days = Map(int, bool)
proposals = Map(int, tuple)
votes = Map(int, str, bool)
decided = Map(int, tuple)
clock_offset_ms = Var(int)
clock_height = Var(int)
settings = Var(tuple)
counters = Var(tuple)


def genesis_only() -> None:
    require(ctx.height == 0, "ACCESS-GENESIS")


def current() -> str:
    start = starts.prev(ctx.time + 1)
    require(start is not None, "RULES-NO-ACTIVE-SET")
    set_id = starts[start]
    require(ctx.time < sets[set_id][3], "RULES-NO-ACTIVE-SET")
    return set_id


def value_now(entry: tuple) -> int:
    # (value, value after the change, height of the change): a change voted for takes effect by height, without a write.
    if ctx.height < entry[2]:
        return entry[0]
    return entry[1]


def read_number(set_id: str, key: str) -> int:
    entry = numbers.get((set_id, key), ())
    require(len(entry) == 3, "RULES-NO-PARAMETER")
    return value_now(entry)


@export
def load_set(set_id: str, title: str, source: str, from_ms: int, to_ms: int, year: int) -> None:
    """Enter a dated rule set (genesis). `source` is its legal source."""
    genesis_only()
    require(set_id not in sets, "RULES-SET-EXISTS")
    require(from_ms < to_ms, "RULES-SET-DATES")
    require(from_ms not in starts, "RULES-SET-DATES")
    sets[set_id] = (title, source, from_ms, to_ms, year)
    starts[from_ms] = set_id
    if year > 0:
        require(year not in year_sets, "RULES-SET-YEAR")
        year_sets[year] = set_id


@export
def load_numbers(set_id: str, items: tuple) -> None:
    """Enter integer parameters (genesis): key, value, legal source, and so on."""
    genesis_only()
    require(set_id in sets, "RULES-NO-SET")
    require(len(items) % 3 == 0, "RULES-ITEMS")
    for i in range(0, len(items), 3):
        numbers[set_id, items[i]] = (items[i + 1], items[i + 1], 0)
        sources[set_id, items[i]] = items[i + 2]


@export
def load_texts(set_id: str, items: tuple) -> None:
    """Enter text parameters (genesis): key, text, legal source, and so on."""
    genesis_only()
    require(set_id in sets, "RULES-NO-SET")
    require(len(items) % 3 == 0, "RULES-ITEMS")
    for i in range(0, len(items), 3):
        texts[set_id, items[i]] = items[i + 1]
        sources[set_id, items[i]] = items[i + 2]


@export
def load_table(set_id: str, key: str, source: str, items: tuple) -> None:
    """Enter a table parameter (genesis), for example factors by fuel, with its legal source."""
    genesis_only()
    require(set_id in sets, "RULES-NO-SET")
    tables[set_id, key] = items
    sources[set_id, key] = source


@export
def configure(test_clock: bool, epoch_blocks: int) -> None:
    """Fix at genesis whether the market clock may be moved, and the length of an epoch in blocks."""
    genesis_only()
    require(epoch_blocks > 0, "RULES-EPOCH")
    settings.set((test_clock, epoch_blocks))
    counters.set((0, 0))
    clock_offset_ms.set(0)
    clock_height.set(0)


@export
def set_clock(market_ms: int) -> None:
    """Start the market clock of a test network at `market_ms` (genesis). It may lie before block time; later it only moves forward."""
    genesis_only()
    require(settings.get()[0], "CLOCK-NOT-A-TEST-NETWORK")
    require(clock_offset_ms.get() == 0, "CLOCK-SET")
    clock_offset_ms.set(market_ms - ctx.time)


@export
def advance_clock(market_ms: int) -> int:
    """Move market time forward to `market_ms`; an authority's act, only where genesis says test_clock. Returns the new offset in ms."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    require(settings.get()[0], "CLOCK-NOT-A-TEST-NETWORK")
    # ctx.time may hold the offset of the block's start: a second advance in one block would count the first one twice.
    require(ctx.height > clock_height.get(), "CLOCK-ONCE-A-BLOCK")
    clock_height.set(ctx.height)
    step = market_ms - ctx.time
    require(step > 0, "CLOCK-BACKWARD")
    offset = clock_offset_ms.get() + step
    clock_offset_ms.set(offset)
    emit("ClockMoved", market_ms=market_ms, offset_ms=offset)
    return offset


@export
def close_day(day: int) -> None:
    """Take a day out of the trading calendar (holidays; weekends are out already)."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    closed_days[day] = True
    emit("CalendarChanged", day=day, trading=False)


@export
def reopen_day(day: int) -> None:
    """Undo `close_day`."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    require(day in closed_days, "CALENDAR-NOT-CLOSED")
    del closed_days[day]
    emit("CalendarChanged", day=day, trading=True)


@export
def propose(kind: str, subject: str, key: str, value: int, note: str) -> int:
    """Propose a change: a rule set's number ("number"), a consensus parameter ("chain") or a contract version by source hash ("contract")."""
    entity = call("identity", "authorise", ctx.sender, ANY_MEMBER)
    require(kind == "number" or kind == "chain" or kind == "contract", "GOVERN-KIND")
    if kind == "number":
        read_number(subject, key)
    count = counters.get()
    proposal_id = count[0] + 1
    counters.set((proposal_id, count[1]))
    proposals[proposal_id] = (kind, subject, key, value, note, entity, 0, 0, "open", 0)
    emit("Proposed", proposal=proposal_id, kind=kind, subject=subject, parameter=key, value=value, note=note)
    return proposal_id


@export
def vote(proposal_id: int, accept: bool) -> str:
    """Vote as a member; above two thirds of the members it is adopted and takes effect at an epoch's start. Returns its state."""
    entity = call("identity", "authorise", ctx.sender, ANY_MEMBER)
    p = proposals.get(proposal_id, ())
    require(len(p) == 10, "GOVERN-NO-PROPOSAL")
    require(p[8] == "open", "GOVERN-DECIDED")
    require((proposal_id, entity) not in votes, "GOVERN-VOTED")
    votes[proposal_id, entity] = accept
    members = call("identity", "member_count")
    yes = p[6] + 1 if accept else p[6]
    no = p[7] if accept else p[7] + 1
    state = "open"
    effective = 0
    if 3 * yes > 2 * members:
        state = "adopted"
        effective = enact(p)
    elif 3 * no >= members:
        state = "rejected"
    proposals[proposal_id] = (p[0], p[1], p[2], p[3], p[4], p[5], yes, no, state, effective)
    emit("Voted", proposal=proposal_id, accept=accept, state=state, effective_height=effective)
    return state


def enact(p: tuple) -> int:
    # The second epoch boundary from here: far enough for the water-mark window, whatever the height within the epoch.
    epoch = settings.get()[1]
    effective = (ctx.height // epoch + 2) * epoch
    if p[0] == "number":
        old = numbers[p[1], p[2]]
        numbers[p[1], p[2]] = (value_now(old), p[3], effective)
        try_call("matching", "rules_change", effective)
    count = counters.get()
    decided[count[1]] = (effective, p[0], p[1], p[2], p[3], p[4])
    counters.set((count[0], count[1] + 1))
    return effective


@view
def active() -> str:
    """The id of the rule set that holds at market time."""
    return current()


@view
def set_for_year(year: int) -> str:
    """The id of the rule set that governs a compliance year's allocation."""
    set_id = year_sets.get(year, "")
    require(set_id != "", "RULES-NO-SET-FOR-YEAR")
    return set_id


@view
def set_info(set_id: str) -> tuple:
    """Title, legal source, from_ms, to_ms and compliance year of a rule set."""
    require(set_id in sets, "RULES-NO-SET")
    return sets[set_id]


@view
def number(set_id: str, key: str) -> int:
    """A parameter as it holds at this height; "" is the active set."""
    return read_number(current() if set_id == "" else set_id, key)


@view
def number_or(set_id: str, key: str, default: int) -> int:
    """A parameter, or `default` where the set has none."""
    entry = numbers.get((current() if set_id == "" else set_id, key), ())
    return value_now(entry) if len(entry) == 3 else default


@view
def numbers_of(set_id: str, keys: tuple) -> tuple:
    """Several parameters at once; "" is the active set."""
    chosen = current() if set_id == "" else set_id
    return tuple([read_number(chosen, key) for key in keys])


@view
def text(set_id: str, key: str) -> str:
    """A text parameter; "" is the active set."""
    value = texts.get((current() if set_id == "" else set_id, key), "")
    require(value != "", "RULES-NO-PARAMETER")
    return value


@view
def table(set_id: str, key: str) -> tuple:
    """A table parameter, empty where the set has none; "" is the active set."""
    return tables.get((current() if set_id == "" else set_id, key), ())


@view
def legal_source(set_id: str, key: str) -> str:
    """The legal source of a parameter, with the mark (verify) where its text wasn't read."""
    return sources.get((set_id, key), "")


@view
def next_change(set_id: str, keys: tuple) -> int:
    """The smallest height above this one at which one of these parameters changes; 0 if none does."""
    chosen = current() if set_id == "" else set_id
    found = 0
    for key in keys:
        height = numbers[chosen, key][2]
        if height > ctx.height and (found == 0 or height < found):
            found = height
    return found


@view
def clock() -> tuple:
    """Market time in ms and the offset to block time."""
    return (ctx.time, clock_offset_ms.get())


@view
def local_day(time_ms: int) -> int:
    """Days since 1970-01-01 of a time in the market's time zone."""
    return (time_ms + read_number(current(), "market_utc_offset_ms")) // MS_A_DAY


@view
def is_trading_day(day: int) -> bool:
    """Whether a day is in the trading calendar: Monday to Friday, not a closed day."""
    # 1970-01-01 was a Thursday: weekday 0 is Monday.
    return (day + 3) % 7 < 5 and day not in closed_days


@view
def proposal(n: int) -> tuple:
    """(kind, subject, key, number, text, proposer, yes, no, state, effective height) of a proposal."""
    require(n in proposals, "GOVERN-NO-PROPOSAL")
    return proposals[n]


@view
def day_of(year: int, month: int, dom: int) -> int:
    """Days since 1970-01-01 of a Gregorian date."""
    y = year - 1 if month <= 2 else year
    era = y // 400
    of_era = y - era * 400
    shifted = month - 3 if month > 2 else month + 9
    of_year = (153 * shifted + 2) // 5 + dom - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@view
def date_of(day: int) -> tuple:
    """(year, month, day of month) of days since 1970-01-01."""
    z = day + 719468
    era = z // 146097
    of_era = z - era * 146097
    y = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * y + y // 4 - y // 100)
    shifted = (5 * of_year + 2) // 153
    dom = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return (y + era * 400 + (1 if month <= 2 else 0), month, dom)
