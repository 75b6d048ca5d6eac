"""Rule book: dated rule sets whose every number is a parameter with its legal source, changes by vote, the calendar, the market clock.

IEEE Std 3218-2022: 4.5 b (rules tracked), 4.4.4 b (rules set by the regulator), 7.5 a (alliance governance), 8.4 c, 8.9 a.
A rule set holds from `from_ms` (inclusive) to `to_ms` (exclusive); `year` is the compliance year whose allocation it governs.
The ledger reads `clock_offset_ms` (market time = block time + offset), `decided` (what a vote decided, and from which height) with `code` and
`details`, and checks what is `submitted`; it answers through `ledger_report`.
"""

AUTHORITY = 1
ANY_MEMBER = 31
MS_A_DAY = 86400000
MAX_CODE_PARTS = 17
CODE_HASH = 64
LOCKED = 1000
# What a tuple can hold: 4 KiB of names and keys.
MAX_CHANGES = 40
MAX_SUBJECT = 1000

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
# number -> (height, kind, subject, key, value, note), as the ledger carries it out; the proposal behind it
decided = Map(int, tuple)
deciding = Map(int, int)
# number -> the same for what is proposed and asks for the ledger's verdict; the proposal behind it
submitted = Map(int, tuple)
submitting = Map(int, int)
# (entity/hash, part) -> text of a contract's source; entity/hash -> parts there, above LOCKED while a proposal names it
code = Map(str, int, str)
uploads = Map(str, int)
# proposal -> changes of validators, or the arguments of a new contract's @init; proposal -> the ledger's last word
details = Map(int, tuple)
verdicts = Map(int, str)
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
    counters.set((0, 0, 0))
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


def member() -> str:
    return call("identity", "authorise", ctx.sender, ANY_MEMBER)


def enter_proposal(entity: str, kind: str, subject: str, key: str, value: int, reason: str) -> int:
    count = counters.get()
    proposal_id = count[0] + 1
    submissions = count[2]
    entry = (kind, subject, key, value, reason, entity, 0, 0, "open", 0)
    proposals[proposal_id] = entry
    if kind != "number":
        submitted[submissions] = (0,) + order_of(proposal_id, entry)
        submitting[submissions] = proposal_id
        submissions += 1
    counters.set((proposal_id, count[1], submissions))
    emit("Proposed", proposal=proposal_id, kind=kind, subject=subject, parameter=key, value=value, note=reason)
    return proposal_id


def order_of(proposal_id: int, p: tuple) -> tuple:
    # What the ledger is told: (kind, subject, key, value, note).
    if p[0] == "contract":
        return (p[0], p[1], p[2], proposal_id, p[5] + "/" + p[2])
    if p[0] == "validators":
        return (p[0], p[1], p[2], proposal_id, "")
    return (p[0], p[1], p[2], p[3], p[4])


@export
def propose(kind: str, subject: str, key: str, value: int, note: str) -> int:
    """Propose a change: a rule set's number ("number") or a consensus parameter ("chain"). Returns the proposal's number."""
    entity = member()
    require(kind == "number" or kind == "chain", "GOVERN-KIND")
    if kind == "number":
        read_number(subject, key)
    return enter_proposal(entity, kind, subject, key, value, note)


@export
def upload_code(source_hash: str, part: int, source: str) -> int:
    """Put down part of a contract's source (blake2b-256 of all of it, in hex), from part 0 on; part 0 begins anew. Returns how many are there."""
    entity = member()
    require(len(source_hash) == CODE_HASH, "GOVERN-CODE-HASH")
    require(len(source) > 0, "GOVERN-CODE-PART")
    upload = entity + "/" + source_hash
    have = uploads.get(upload, 0)
    require(have < LOCKED, "GOVERN-CODE-LOCKED")
    if part == 0:
        drop_code(upload, have)
        have = 0
    require(part == have and part < MAX_CODE_PARTS, "GOVERN-CODE-PART")
    code[upload, part] = source
    uploads[upload] = part + 1
    return part + 1


def drop_code(upload: str, parts: int) -> None:
    for i in range(parts):
        del code[upload, i]
    if upload in uploads:
        del uploads[upload]


@export
def propose_contract(name: str, source_hash: str, args: tuple, reason: str) -> int:
    """Propose the uploaded source as contract `name`: a new one, whose @init gets `args`, or the next version of an installed one."""
    entity = member()
    require(len(reason) > 0, "GOVERN-REASON")
    upload = entity + "/" + source_hash
    have = uploads.get(upload, 0)
    require(have > 0, "GOVERN-CODE-MISSING")
    require(have < LOCKED, "GOVERN-CODE-LOCKED")
    uploads[upload] = LOCKED + have
    if len(args) > 0:
        details[counters.get()[0] + 1] = args
    return enter_proposal(entity, "contract", name, source_hash, 0, reason)


@export
def propose_rollback(name: str, version: int, reason: str) -> int:
    """Propose to bring an earlier version of a contract back; its state stays as it is."""
    entity = member()
    require(len(reason) > 0, "GOVERN-REASON")
    require(version > 0, "GOVERN-VERSION")
    return enter_proposal(entity, "rollback", name, "", version, reason)


@export
def propose_validators(changes: tuple, reason: str) -> int:
    """Propose changes of the voting set: tuples ("add", name, role, consensus key, transport key), ("remove", name),
    ("rotate", name, consensus key, transport key), or ("set", ...) as "add" for each member of a set that replaces the whole one."""
    entity = member()
    require(len(reason) > 0, "GOVERN-REASON")
    require(len(changes) > 0 and len(changes) <= MAX_CHANGES, "GOVERN-CHANGES")
    subject = ""
    for change in changes:
        require(len(change) == 5 and (change[0] == "add" or change[0] == "set") or len(change) == 4 and change[0] == "rotate"
                or len(change) == 2 and change[0] == "remove", "GOVERN-CHANGE")
        # For people and logs: the changes themselves stand in `details`.
        if len(subject) < MAX_SUBJECT:
            subject = subject + ("" if subject == "" else " ") + change[0] + ":" + change[1]
    details[counters.get()[0] + 1] = changes
    return enter_proposal(entity, "validators", subject, "", 0, reason)


@export
def vote(proposal_id: int, accept: bool) -> str:
    """Vote as a member; above two thirds of the members it is adopted and takes effect at an epoch's start. Returns its state."""
    entity = member()
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
        effective = enact(proposal_id, p)
    elif 3 * no >= members:
        state = "rejected"
        close_proposal(p)
    proposals[proposal_id] = (p[0], p[1], p[2], p[3], p[4], p[5], yes, no, state, effective)
    emit("Voted", proposal=proposal_id, accept=accept, state=state, effective_height=effective)
    return state


def close_proposal(p: tuple) -> None:
    if p[0] == "contract":
        upload = p[5] + "/" + p[2]
        drop_code(upload, uploads.get(upload, LOCKED) - LOCKED)


def enact(proposal_id: int, p: tuple) -> int:
    # The second epoch boundary from here: far enough for the water-mark window, whatever the height within the epoch.
    epoch = settings.get()[1]
    effective = (ctx.height // epoch + 2) * epoch
    if p[0] == "number":
        old = numbers[p[1], p[2]]
        numbers[p[1], p[2]] = (value_now(old), p[3], effective)
        try_call("matching", "rules_change", effective)
    count = counters.get()
    decided[count[1]] = (effective,) + order_of(proposal_id, p)
    deciding[count[1]] = proposal_id
    counters.set((count[0], count[1] + 1, count[2]))
    return effective


@export
def ledger_report(what: str, n: int, problem: str, height: int) -> None:
    """What became of a proposal ("checked") or a decision ("scheduled" for a height, "done"); told by the ledger itself, a block later.

    An empty problem is good news. A proposal that can't be carried out is closed before anybody else votes on it.
    """
    # Nobody can sign for the contract itself, and it never calls itself.
    require(ctx.caller == ctx.self, "GOVERN-LEDGER-ONLY")
    proposal_id = submitting[n] if what == "checked" else deciding[n]
    p = proposals[proposal_id]
    state = p[8]
    effective = p[9]
    verdicts[proposal_id] = problem
    if what == "scheduled":
        effective = height
    elif what == "done":
        state = "effective" if problem == "" else "failed"
        close_proposal(p)
    elif problem != "" and state == "open":
        state = "refused"
        close_proposal(p)
    proposals[proposal_id] = p[:8] + (state, effective)
    emit("ProposalMoved", proposal=proposal_id, kind=p[0], subject=p[1], what=what, state=state, code=problem, effective_height=effective)


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
def proposal_details(n: int) -> tuple:
    """Changes of validators, or the arguments of a new contract's @init; empty for other proposals."""
    return details.get(n, ())


@view
def proposal_verdict(n: int) -> str:
    """The ledger's last word on a proposal: empty while it is good, else a code."""
    return verdicts.get(n, "")


@view
def proposal_votes(n: int) -> tuple:
    """(entity, accepts) of everyone who voted, in order of the entities."""
    found = []
    entity = votes.next(n, None)
    while entity is not None:
        found.append((entity, votes[n, entity]))
        entity = votes.next(n, entity)
    return tuple(found)


@view
def latest_proposal() -> int:
    """The number of the newest proposal, 0 if there is none."""
    return counters.get()[0]


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
