"""What the year came to, asked from the chain by views: the figures of `devnet demo --json`.

`scripts/recompute_year.py` recomputes them without this module. Names and order of the document's fields are an interface.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar

import msgspec

from carbonnode.chain.values import Value
from carbonnode.devnet import year_calendar as calendar
from carbonnode.devnet.year_data import Station
from carbonnode.devnet.year_ports import Market, YearError
from carbonnode.devnet.year_steps import AUTHORITY, BOOK, RULE_SET, YEAR

PAGE = 100
AT_ONCE = 8
T = TypeVar("T")
HOLDING = ("available", "trading", "frozen", "pledged", "pending")


class Reader:
    """Views signed by the authority, a few at a time."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def rows(self, contract: str, view: str, arguments: Iterable[tuple[Value, ...]], *, length: int) -> list[tuple[Any, ...]]:
        """One answer for each argument tuple, each a tuple of `length`. Raises `YearError` if one isn't."""
        return list(await asyncio.gather(*[self.row(contract, view, *args, length=length) for args in arguments]))

    async def row(self, contract: str, view: str, *args: Value, length: int) -> tuple[Any, ...]:
        """One answer."""
        answer = await self.value(contract, view, *args)
        if not isinstance(answer, tuple) or len(answer) != length:
            raise YearError(f"{contract}.{view}{args}: answered {answer!r}, a tuple of {length} was expected: do the contracts belong to this release?")
        return answer

    async def value(self, contract: str, view: str, *args: Value) -> Value:
        """One answer of any form."""
        async with self._slots:
            return await self._market.view(contract, view, *args, signer=AUTHORITY)


async def summarize(market: Market, stations: Sequence[Station], days: Sequence[date]) -> dict[str, Any]:
    """The year's figures. `days` are the trading days."""
    reader = Reader(market)
    accounts = await _accounts(reader, stations)
    vouchers = await _vouchers(reader, days)
    closes = await _closes(reader, days)
    totals = await reader.row("allowance", "totals", BOOK, length=7)
    money = await reader.row("cash", "totals", length=4)
    conserved = [await reader.value("allowance", "conserved"), await reader.value("cash", "conserved")]
    trades = [_trade(v) for v in vouchers if v["type"] == "T"]
    penalties = [a for a in accounts if a["penalty_fen"]]
    return {
        "rule_set": RULE_SET,
        "compliance_year": YEAR,
        "book": BOOK,
        "accounts_opened": len(accounts),
        "accounts_covered": sum(a["covered"] for a in accounts),
        "allocated_t": sum(a["allocated_t"] for a in accounts),
        "obligation_t": sum(a["obligation_t"] for a in accounts),
        "traded_t": sum(t["quantity_t"] for t in trades),
        "cash_moved_fen": sum(t["amount_fen"] for t in trades),
        "surrendered_t": sum(a["surrendered_t"] for a in accounts),
        "shortfall_t": sum(a["shortfall_t"] for a in accounts),
        "penalties_fen": sum(a["penalty_fen"] for a in penalties),
        "statuses": _count(a["status"] for a in accounts),
        "units": dict(zip(("cap_t", "issued_t", "registry_t", "trading_t", "surrendered_t", "cancelled_t", "reserve_t"), totals, strict=True)),
        "cash": dict(zip(("deposited_fen", "withdrawn_fen", "held_fen", "penalties_fen"), money, strict=True)),
        "conserved": conserved == [True, True],
        "voucher_count": _count(v["type"] for v in vouchers),
        "days": closes,
        "trades": trades,
        "penalised": [{k: a[k] for k in ("entity", "name", "shortfall_t", "mean_price_fen", "multiple", "penalty_fen", "paid")} for a in penalties],
        "accounts": accounts,
        "vouchers": vouchers,
    }


async def _accounts(reader: Reader, stations: Sequence[Station]) -> list[dict[str, Any]]:
    ids = [(s.entity,) for s in stations]
    profiles, balances, obligations, holdings, allocations = await asyncio.gather(
        reader.rows("identity", "profile", ids, length=14),
        reader.rows("cash", "balance", ids, length=3),
        reader.rows("compliance", "obligation", [(s.entity, YEAR) for s in stations], length=11),
        reader.rows("allowance", "holding", [(s.entity, BOOK) for s in stations], length=11),
        _each(reader.value("allowance", "allocation_of", s.entity, YEAR) for s in stations),
    )
    accounts = []
    for i, station in enumerate(stations):
        profile, balance, due, units, allocation = profiles[i], balances[i], obligations[i], holdings[i], allocations[i]
        accounts.append(
            {
                "entity": station.entity,
                "name": profile[1],
                "organisation": profile[0],
                "registration": profile[3],
                "registry_account": profile[8],
                "trading_account": profile[9],
                "reporting_account": profile[10],
                "credit_points": profile[11],
                "verified_t": due[0],
                "covered": due[10],
                "obligation_t": due[1],
                "allocated_t": allocation[0] if isinstance(allocation, tuple) and allocation else 0,
                "surrendered_t": due[2],
                "pending_t": due[3],
                "status": due[4],
                "shortfall_t": due[5],
                "mean_price_fen": due[6],
                "multiple": due[7],
                "penalty_fen": due[8],
                "paid": due[9],
                "registry_t": dict(zip(HOLDING, units[:5], strict=True)),
                "trading_t": dict(zip(HOLDING, units[5:10], strict=True)),
                "cash_available_fen": balance[0],
                "cash_reserved_fen": balance[1] + balance[2],
            }
        )
    return accounts


async def _each(answers: Iterable[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*answers))


async def _vouchers(reader: Reader, days: Sequence[date]) -> list[dict[str, Any]]:
    exchange, registry = [str(await reader.value("rules", "text", RULE_SET, key)) for key in ("venue_exchange", "venue_registry")]
    acts = (calendar.ALLOCATION.date(), days[-1] + timedelta(days=1))
    codes: list[Value] = []
    for venue, dates in ((registry, acts[:1]), (exchange, days), (registry, acts[1:])):
        for day in dates:
            codes += await _page(reader, venue, calendar.day_number(day))
    records = await reader.rows("voucher", "record", [(code,) for code in codes], length=13)
    names = ("code", "type", "time_ms", "height", "book", "quantity_t", "price_fen", "from", "to", "reference", "status", "other", "previous")
    return [dict(zip(names, record, strict=True)) for record in records]


async def _page(reader: Reader, venue: str, day: int) -> list[Value]:
    codes: list[Value] = []
    while True:
        found = await reader.value("voucher", "page", venue, day, len(codes), PAGE)
        if not isinstance(found, tuple):
            raise YearError(f"voucher.page of {venue}: answered {found!r}")
        codes += found
        if len(found) < PAGE:
            return codes


async def _closes(reader: Reader, days: Sequence[date]) -> list[dict[str, Any]]:
    rows = await reader.rows("matching", "close_of", [(BOOK, calendar.day_number(d)) for d in days], length=7)
    names = ("open_fen", "high_fen", "low_fen", "close_fen", "volume_t", "amount_fen", "trades")
    return [{"date": day.isoformat(), **dict(zip(names, row, strict=True))} for day, row in zip(days, rows, strict=True)]


def _trade(voucher: dict[str, Any]) -> dict[str, Any]:
    amount = voucher["quantity_t"] * voucher["price_fen"]
    row = {"voucher": voucher["code"], "seller": voucher["from"], "buyer": voucher["to"], "quantity_t": voucher["quantity_t"]}
    return row | {"price_fen": voucher["price_fen"], "amount_fen": amount, "time_ms": voucher["time_ms"], "height": voucher["height"]}


def _count(names: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items()))


def outcome(summary: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in every run of the same year: balances, trades without times, statuses, penalties; no times, heights, codes or keys."""
    kept = ("entity", "status", "allocated_t", "surrendered_t", "shortfall_t", "penalty_fen", "paid", "registry_t", "trading_t")
    money = ("cash_available_fen", "cash_reserved_fen", "credit_points")
    return {
        "accounts": [{name: account[name] for name in (*kept, *money)} for account in summary["accounts"]],
        "trades": [{name: trade[name] for name in ("seller", "buyer", "quantity_t", "price_fen")} for trade in summary["trades"]],
        "days": summary["days"],
        "units": summary["units"],
        "cash": summary["cash"],
        "vouchers": summary["voucher_count"],
    }


def outcome_digest(summary: dict[str, Any]) -> str:
    """A hash of `outcome`, to compare two runs at a glance."""
    from carbonnode.chain.hashing import blake2b_256

    return blake2b_256(msgspec.json.encode(outcome(summary))).hex()
