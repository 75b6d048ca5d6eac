"""The market year up to trading and after it: registration, reports, verification, allocation; surrender, assessment, penalty.

Every step is a list of requests with fixed keys, made from the data and from values that earlier transactions returned. Nothing is read from the state
of the moment, so a run that is repeated or resumed makes the same requests.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.devnet import year_calendar as calendar
from carbonnode.devnet.chunks import batched
from carbonnode.devnet.year_data import DayPrice, Station
from carbonnode.devnet.year_ports import Done, Market, Request, Watcher, YearError

EXCHANGE, REGISTRY, AUTHORITY, VERIFIER = "super-1", "super-2", "coordination-1", "coordination-2"
"""Wallets of the members: super-2 is also the cash operator."""
RULE_SET = "demo-nger"
INSTRUMENT = "CEA"
BOOK = f"{INSTRUMENT}-{calendar.COMPLIANCE_YEAR}"
YEAR = calendar.COMPLIANCE_YEAR
REFERENCE_FEN = 6_196
DOCUMENTS = ("business address", "other address", "licence", "identity of the representative", "power of attorney", "bank account")
BATCH = 16
"""Calls in one transaction of an official who works through a list."""
RESERVE_PERCENT = 1
PENALTY_MULTIPLE = 5


def wallet_of(station: Station) -> str:
    """The name of a station's wallet."""
    return station.entity.lower()


class Year:
    """The market year's context: a chain, who watches, the data; and what the steps so far have returned."""

    def __init__(self, market: Market, watcher: Watcher, stations: Sequence[Station], prices: Sequence[DayPrice]) -> None:
        self.market = market
        self.watcher = watcher
        self.stations = tuple(stations)
        self.prices = tuple(prices)
        self.offset_ms = 0
        self.accounts: dict[str, str] = {}
        self.allocated: dict[str, int] = {}
        self.first_trade: Done | None = None

    def request(self, key: str, station: Station, *calls: Call) -> Request:
        """A transaction of a station."""
        return Request(key, wallet_of(station), calls, organisation=station.organisation)

    async def together(self, title: str, requests: Sequence[Request]) -> list[Done]:
        """One part of the year whose transactions may be sent together."""
        self.watcher.phase(title, len(requests))
        done = []
        for chunk in batched(requests, 64):
            done += await self.market.execute(chunk)
            self.watcher.advance(len(chunk))
        return done

    async def one(self, key: str, signer: str, contract: str, method: str, *args: Value) -> Value:
        """A single call of a member; its value."""
        (done,) = await self.market.execute([Request(key, signer, (Call(contract, method, args),))])
        self.watcher.advance(1)
        return done.values[0] if done.values else None

    async def list_work(self, title: str, key: str, signer: str, calls: Sequence[Call]) -> list[Value]:
        """An official works through a list, `BATCH` calls a transaction, one transaction after the other: serials and numbers follow the list."""
        self.watcher.phase(title, -(-len(calls) // BATCH))
        values: list[Value] = []
        for number, chunk in enumerate(batched(calls, BATCH)):
            (done,) = await self.market.execute([Request(f"{key}/{number}", signer, chunk)])
            values += done.values
            self.watcher.advance(1)
        return values

    async def clock(self, moment: datetime) -> None:
        """The authority moves market time forward to a moment of the market's zone."""
        await self.one(f"clock/{moment.isoformat()}", AUTHORITY, "rules", "advance_clock", calendar.market_ms(moment, self.offset_ms))


async def prepare(year: Year) -> None:
    """Instrument, book, and the stations' registration with the authority's approval."""
    offset = await year.market.view("rules", "number", RULE_SET, "market_utc_offset_ms")
    year.offset_ms = whole(offset, "rules.number market_utc_offset_ms")
    year.watcher.phase("market set up", 2)
    await year.clock(calendar.REGISTRATION)
    await year.one("instrument", REGISTRY, "allowance", "create_instrument", INSTRUMENT, "Emission allowance (demo-nger)", "CN", 1)
    year.market.open_wallets([wallet_of(s) for s in year.stations])
    applications = [
        year.request(f"apply/{s.entity}", s, Call("identity", "apply", _application(s))) for s in year.stations
    ]
    await year.together("stations register", applications)
    approvals = [Call("identity", "approve", (s.entity, blake2b_256(b"review of " + s.entity.encode()))) for s in year.stations]
    numbers = await year.list_work("authority approves", "approve", AUTHORITY, approvals)
    year.accounts = {s.entity: str(n) for s, n in zip(year.stations, numbers, strict=True)}


def _application(station: Station) -> tuple[Value, ...]:
    documents = tuple(station.document(kind) for kind in DOCUMENTS)
    return (station.entity, station.organisation, station.name[:200], "emitter", "D4411", station.region, documents)


async def report(year: Year) -> None:
    """Monitoring plans, annual reports, the verifier's statements."""
    year.watcher.phase("clock", 1)
    await year.clock(calendar.REPORTING)
    plans = [year.request(f"plan/{s.entity}", s, Call("emissions", "file_plan", (YEAR, s.document("monitoring plan")))) for s in year.stations]
    await year.together("monitoring plans", plans)
    await year.list_work("authority approves plans", "approve-plan", AUTHORITY, [Call("emissions", "approve_plan", (s.entity, YEAR)) for s in year.stations])
    await year.together("emission reports", [year.request(f"report/{s.entity}", s, Call("emissions", "report", _report(s))) for s in year.stations])
    year.watcher.phase("clock", 1)
    await year.clock(calendar.VERIFICATION)
    statements = [Call("emissions", "verify", (s.entity, YEAR, s.scope1_t, "reasonable", s.document("verification statement"))) for s in year.stations]
    await year.list_work("verifier signs", "verify", VERIFIER, statements)


def units_of(station: Station) -> tuple[Value, ...]:
    """The unit list of a station's report: one unit, no heat, load factor not stated (the published table has neither)."""
    return (station.entity + "-1", station.unit_class, station.power_kwh, 0, -1, station.scope1_t)


def _report(station: Station) -> tuple[Value, ...]:
    return (YEAR, station.scope1_t, station.scope2_t, station.evidence, units_of(station))


async def allocate(year: Year, threshold_t: int) -> list[Station]:
    """The cap, then the covered stations' allowances by benchmark. Returns the covered stations."""
    covered = [s for s in year.stations if s.unit_class and s.scope1_t >= threshold_t]
    due = 0
    for station in covered:
        figures = await year.market.view("allocation", "benchmark", RULE_SET, units_of(station), station.scope1_t)
        due += whole(figures[0] if isinstance(figures, tuple) else None, f"allocation.benchmark of {station.entity}")
    reserve = due * RESERVE_PERCENT // 100
    year.watcher.phase("cap and book", 3)
    await year.clock(calendar.ALLOCATION)
    await year.one("vintage", AUTHORITY, "allowance", "open_vintage", INSTRUMENT, YEAR, due + reserve, reserve)
    await year.one("book", EXCHANGE, "matching", "open_book", BOOK, REFERENCE_FEN)
    tonnes = await year.list_work("authority allocates", "allocate", AUTHORITY, [Call("allowance", "allocate", (s.entity, YEAR)) for s in covered])
    year.allocated = {s.entity: whole(t, f"allocation of {s.entity}") for s, t in zip(covered, tonnes, strict=True)}
    return covered


async def fund(year: Year, surplus_t: dict[str, int], cash_fen: dict[str, int]) -> None:
    """Long stations move their surplus to their trading holdings; the cash operator books what buyers paid in."""
    stations = {s.entity: s for s in year.stations}
    moves = [year.request(f"to-trading/{e}", stations[e], Call("allowance", "to_trading", (BOOK, t))) for e, t in sorted(surplus_t.items()) if t > 0]
    await year.together("surplus to trading", moves)
    deposits = [Call("cash", "deposit", (entity, amount, f"BANK-{entity}")) for entity, amount in sorted(cash_fen.items())]
    await year.list_work("cash is deposited", "deposit", REGISTRY, deposits)


async def surrender(year: Year, covered: Iterable[Station], bought_t: dict[str, int], sold_t: dict[str, int], last_day: date) -> None:
    """After the last trading day: purchases back to the registry, surrender, review."""
    year.watcher.phase("clock", 1)
    await year.clock(datetime.combine(last_day + timedelta(days=1), calendar.HOURS.morning))
    stations = {s.entity: s for s in year.stations}
    moves = [year.request(f"to-registry/{e}", stations[e], Call("allowance", "to_registry", (BOOK, t))) for e, t in sorted(bought_t.items()) if t > 0]
    await year.together("purchases to the registry", moves)
    held = {s.entity: (s, year.allocated[s.entity] + bought_t.get(s.entity, 0) - sold_t.get(s.entity, 0)) for s in covered}
    due = {e: (s, min(h, s.scope1_t)) for e, (s, h) in held.items()}
    requests = [year.request(f"surrender/{e}", s, Call("compliance", "submit", (YEAR, BOOK, t))) for e, (s, t) in due.items() if t > 0]
    done = await year.together("stations surrender", requests)
    reviews = [Call("compliance", "review", (whole(d.values[0], d.key), True, "pre-examination passed")) for d in sorted(done, key=lambda d: d.key)]
    await year.list_work("authority reviews", "review", AUTHORITY, reviews)


async def assess(year: Year, covered: Sequence[Station]) -> None:
    """After the deadline: statuses, and the penalty of whoever is short."""
    deadline = whole(await year.market.view("compliance", "deadline", YEAR), "compliance.deadline")
    year.watcher.phase("deadline passes", 1)
    await year.one("clock/deadline", AUTHORITY, "rules", "advance_clock", deadline + 1_000)
    statuses = await year.list_work("authority assesses", "assess", AUTHORITY, [Call("compliance", "assess", (s.entity, YEAR)) for s in covered])
    short = [s for s, status in zip(covered, statuses, strict=True) if status == "B"]
    year.watcher.phase("penalty", 2 * len(short))
    for station in short:
        await year.one(f"decide/{station.entity}", AUTHORITY, "compliance", "decide", station.entity, YEAR, PENALTY_MULTIPLE)
        await year.market.execute([year.request(f"penalty/{station.entity}", station, Call("compliance", "pay_penalty", (YEAR,)))])
        year.watcher.advance(1)


def whole(value: Value, what: str) -> int:
    """An integer that the chain returned. Raises `YearError` if it is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise YearError(f"{what}: the network answered {value!r}, an integer was expected: do the contracts belong to this release?")
    return value
