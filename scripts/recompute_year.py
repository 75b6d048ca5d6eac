"""Recomputes every figure of `carbonnode devnet demo --json` by `query`, and compares.

    carbonnode devnet demo --json > year.json
    python scripts/recompute_year.py year.json [--dir .devnet] [--cli]

It shares no code with the demo's plan or summary: it reads the CSV files itself, asks views (through the SDK, or with --cli through `carbonnode query`
processes, which is slow), and recomputes allocations, obligations, closes, penalties, balances of units, and voucher check characters on its own.
Exit status 1 if anything differs; each difference is named.
"""

import argparse
import asyncio
import csv
import json
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from carbonnode.chain.genesis import value_from_json  # noqa: E402  the package stands beside this script
from carbonnode.chain.signing import KeySigner  # noqa: E402
from carbonnode.client import Client  # noqa: E402
from carbonnode.identity import KeyStore  # noqa: E402

AT_ONCE = 8
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
OBLIGATION = (
    *("verified_t", "obligation_t", "surrendered_t", "pending_t", "status", "shortfall_t"),
    *("mean_price_fen", "multiple", "penalty_fen", "paid", "covered"),
)
HOLDING = ("available", "trading", "frozen", "pledged", "pending")


class Asker:
    """Views, signed by the authority's wallet."""

    def __init__(self, directory: Path, *, cli: bool) -> None:
        described = json.loads((directory / "devnet.json").read_text("utf-8"))
        self.urls = [f"http://127.0.0.1:{n['api_port']}" for n in described["nodes"] if n["role"] != "user"]
        self.user_urls = [f"http://127.0.0.1:{n['api_port']}" for n in described["nodes"] if n["role"] == "user"]
        self.directory = directory
        self.cli = cli
        passphrase = (directory / "passphrase").read_text("ascii").strip()
        self.signer: KeySigner = KeyStore(directory / "wallets").unlock("coordination-1", passphrase)
        self.client = Client(self.urls, signer=self.signer)
        self.slots = asyncio.Semaphore(AT_ONCE if not cli else 2)
        self.asked = 0

    async def ask(self, contract: str, view: str, **arguments: Any) -> Any:
        """A view's value."""
        self.asked += 1
        async with self.slots:
            if self.cli:
                return await asyncio.to_thread(self._by_cli, contract, view, arguments)
            answer = await self.client.query(contract, view, *arguments.values())
        if answer.outcome != "OK":
            raise SystemExit(f"{contract}.{view}{arguments}: {answer.outcome} {answer.code}")
        return answer.decoded

    def _by_cli(self, contract: str, view: str, arguments: dict[str, Any]) -> Any:
        named = [part for name, value in arguments.items() for part in ("--arg", f"{name}={value}")]
        command = [sys.executable, "-m", "carbonnode", "query", contract, view, *named, "--json", "--node", self.urls[0]]
        command += ["--wallets", str(self.directory / "wallets"), "--from", "coordination-1"]
        done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT)
        if done.returncode:
            raise SystemExit(f"{' '.join(command[2:])}: {done.stderr.decode()}")
        return value_from_json(json.loads(done.stdout)["value"])


class Ledger:
    """What was compared, and what differs."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def same(self, group: str, what: str, claimed: object, found: object) -> None:
        """Compare one figure."""
        self.counts[group] += 1
        if claimed != found:
            self.wrong.append(f"{group}: {what}: the demo says {claimed!r}, recomputed {found!r}")


def check_characters(code: str) -> str:
    """ISO 7064 MOD 1271-36, written down from the standard's pure-system rule."""
    rest = 0
    for character in code:
        rest = (rest + ALPHABET.index(character)) * 36 % 1271
    value = (1 - rest * 36) % 1271
    return ALPHABET[value // 36] + ALPHABET[value % 36]


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - date(1970, 1, 1)).days


def half_up(amount: int, volume: int) -> int:
    """A mean price to the fen."""
    return (2 * amount + volume) // (2 * volume)


async def check_accounts(asker: Asker, ledger: Ledger, year: dict[str, Any], plants: Path) -> None:
    """Registration, reports, allocation, obligation, surrender, balances."""
    with plants.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ledger.same("accounts", "number", year["accounts_opened"], len(rows))
    rules = {k: await asker.ask("rules", "number", set_id="demo-nger", key=k) for k in ("be_I_e4", "be_III_e4", "be_IV_e4", "coverage_t")}

    async def one(row: dict[str, str], said: dict[str, Any]) -> None:
        entity, group = said["entity"], "accounts"
        profile = await asker.ask("identity", "profile", entity=entity)
        due = await asker.ask("compliance", "obligation", entity=entity, year=2024)
        units = await asker.ask("allowance", "holding", entity=entity, iv="CEA-2024")
        cash = await asker.ask("cash", "balance", entity=entity)
        report = await asker.ask("emissions", "report_of", entity=entity, year=2024)
        said_profile = (said["organisation"], said["name"], said["registration"], said["registry_account"], said["trading_account"])
        ledger.same(group, f"{entity} profile", said_profile, (profile[0], profile[1], profile[3], profile[8], profile[9]))
        ledger.same(group, f"{entity} name", said["name"], row["facility"])
        ledger.same(group, f"{entity} reporting account, credit", (said["reporting_account"], said["credit_points"]), (profile[10], profile[11]))
        scope1, fuel = int(row["scope1_tco2e"]), row["primary_fuel"]
        ledger.same("emissions", f"{entity} verified", said["verified_t"], scope1)
        ledger.same("emissions", f"{entity} on chain", (scope1, int(row["scope2_tco2e"]), scope1), (report[1], report[2], report[6]))
        kind = {"Black Coal": "be_I_e4", "Brown Coal": "be_III_e4"}.get(fuel, "be_IV_e4" if "Gas" in fuel or "Methane" in fuel else "")
        covered = bool(kind) and scope1 >= rules["coverage_t"]
        ledger.same("allocation", f"{entity} covered", said["covered"], covered)
        ledger.same("allocation", f"{entity} tonnes", said["allocated_t"], int(row["production_mwh"]) * rules[kind] // 10_000 if covered else 0)
        ledger.same("compliance", f"{entity} obligation", tuple(said[name] for name in OBLIGATION), tuple(due))
        ledger.same("compliance", f"{entity} obligation is its verified figure", said["obligation_t"], scope1 if covered else 0)
        holding = [said["registry_t"][name] for name in HOLDING] + [said["trading_t"][name] for name in HOLDING]
        ledger.same("balances", f"{entity} units", holding, list(units[:10]))
        ledger.same("balances", f"{entity} cash", (said["cash_available_fen"], said["cash_reserved_fen"]), (cash[0], cash[1] + cash[2]))

    await asyncio.gather(*[one(row, said) for row, said in zip(rows, year["accounts"], strict=True)])


async def check_vouchers(asker: Asker, ledger: Ledger, year: dict[str, Any]) -> None:
    """Every voucher's record, its check characters, and that each venue and day numbers them without a gap."""

    async def one(said: dict[str, Any]) -> None:
        record = await asker.ask("voucher", "record", code=said["code"])
        ledger.same("vouchers", said["code"], list(said.values()), list(record))
        ledger.same("vouchers", f"{said['code']} check characters", said["code"][-2:], check_characters(said["code"][:-2]))
        ledger.same("vouchers", f"{said['code']} status", await asker.ask("voucher", "check", code=said["code"]), "valid")

    await asyncio.gather(*[one(said) for said in year["vouchers"]])
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for voucher in year["vouchers"]:
        numbers[voucher["code"][2:6], voucher["code"][6:14]].append(int(voucher["code"][25:33]))
    for (venue, day), found in numbers.items():
        ledger.same("vouchers", f"numbers of {venue} on {day}", sorted(found), list(range(1, len(found) + 1)))
        last = await asker.ask("voucher", "last_number", venue=venue, day=day_number(date.fromisoformat(f"{day[:4]}-{day[4:6]}-{day[6:]}")))
        ledger.same("vouchers", f"last number of {venue} on {day}", len(found), last)
    ledger.same("vouchers", "count by type", year["voucher_count"], dict(sorted(Counter(v["code"][1] for v in year["vouchers"]).items())))


async def check_trading(asker: Asker, ledger: Ledger, year: dict[str, Any], prices: Path) -> None:
    """Trades against vouchers and days; days against the real file."""
    with prices.open(encoding="utf-8") as file:
        real = list(csv.DictReader(file))
    ledger.same("days", "number", len(year["days"]), len(real))
    by_day: dict[str, list[dict[str, Any]]] = defaultdict(list)
    vouchers = {v["code"]: v for v in year["vouchers"]}
    for trade in year["trades"]:
        voucher = vouchers[trade["voucher"]]
        names = ("from", "to", "quantity_t", "price_fen", "time_ms", "height")
        said = tuple(trade[n] for n in ("seller", "buyer", "quantity_t", "price_fen", "time_ms", "height"))
        ledger.same("trades", trade["voucher"], said, tuple(voucher[n] for n in names))
        ledger.same("trades", f"{trade['voucher']} amount", trade["amount_fen"], trade["quantity_t"] * trade["price_fen"])
        by_day[trade["voucher"][6:14]].append(trade)
    ledger.same("trades", "all trade vouchers", len(year["trades"]), sum(v["type"] == "T" for v in year["vouchers"]))
    for said, row in zip(year["days"], real, strict=True):
        trades = by_day[said["date"].replace("-", "")]
        volume, amount, paid = sum(t["quantity_t"] for t in trades), sum(t["amount_fen"] for t in trades), [t["price_fen"] for t in trades]
        recomputed = (paid[0], max(paid), min(paid), half_up(amount, volume), volume, amount, len(trades))
        ledger.same("days", said["date"], tuple(said.values())[1:], recomputed)
        on_chain = await asker.ask("matching", "close_of", book="CEA-2024", day=day_number(date.fromisoformat(said["date"])))
        ledger.same("days", f"{said['date']} on chain", tuple(on_chain), recomputed)
        figures = tuple(round(float(row[f"{name}_cny"]) * 100) for name in ("open", "high", "low", "close"))
        ledger.same("days", f"{said['date']} as it really was", recomputed[:4], figures)


async def check_sums(asker: Asker, ledger: Ledger, year: dict[str, Any]) -> None:
    """Totals, conservation, the penalty's formula, entity by entity."""
    accounts, trades = year["accounts"], year["trades"]
    totals = await asker.ask("allowance", "totals", iv="CEA-2024")
    money = await asker.ask("cash", "totals")
    ledger.same("sums", "units", list(year["units"].values()), list(totals))
    ledger.same("sums", "cash", list(year["cash"].values()), list(money))
    for name, field in (("allocated_t", "allocated_t"), ("obligation_t", "obligation_t"), ("surrendered_t", "surrendered_t"), ("shortfall_t", "shortfall_t")):
        ledger.same("sums", name, year[name], sum(a[field] for a in accounts))
    ledger.same("sums", "penalties_fen", year["penalties_fen"], sum(a["penalty_fen"] for a in accounts))
    ledger.same("sums", "traded_t", year["traded_t"], sum(t["quantity_t"] for t in trades))
    ledger.same("sums", "cash_moved_fen", year["cash_moved_fen"], sum(t["amount_fen"] for t in trades))
    ledger.same("sums", "statuses", year["statuses"], dict(sorted(Counter(a["status"] for a in accounts).items())))
    ledger.same("sums", "covered", year["accounts_covered"], sum(a["covered"] for a in accounts))
    ledger.same("conservation", "units issued", totals[1], totals[2] + totals[3] + totals[4] + totals[5])
    ledger.same("conservation", "cash", money[0], money[1] + money[2] + money[3])
    ledger.same("conservation", "cash held by entities", money[2], sum(a["cash_available_fen"] + a["cash_reserved_fen"] for a in accounts))
    net: Counter[str] = Counter()
    for trade in trades:
        net[trade["buyer"]] += trade["quantity_t"]
        net[trade["seller"]] -= trade["quantity_t"]
    for a in accounts:
        held = sum(a["registry_t"].values()) + sum(a["trading_t"].values())
        ledger.same("conservation", f"{a['entity']} units", held + a["surrendered_t"], a["allocated_t"] + net[a["entity"]])
        ledger.same("compliance", f"{a['entity']} shortfall", a["shortfall_t"], max(0, a["obligation_t"] - a["surrendered_t"]))
    november = [d for d in year["days"] if d["date"].startswith("2025-11")]
    mean = half_up(sum(d["amount_fen"] for d in november), sum(d["volume_t"] for d in november))
    for row in year["penalised"]:
        ledger.same("penalty", row["entity"], row["penalty_fen"], row["shortfall_t"] * mean * 5)


async def check_chain(asker: Asker, ledger: Ledger, year: dict[str, Any]) -> None:
    """One header at the named height on every node."""
    height = year["chain"]["height"]
    for url in [*asker.urls, *asker.user_urls]:
        async with Client(url) as client:
            block = await client.block(height)
        ledger.same("chain", f"state root at {url}", year["chain"]["state_root"], block.state_root)
        ledger.same("chain", f"header at {url}", year["chain"]["header_hash"], block.header_hash)
    blocks: list[Any] = []
    while len(blocks) < height:
        blocks += await asker.client.blocks(len(blocks) + 1)
    ledger.same("chain", "transactions", year["chain"]["transactions"], sum(b.transactions for b in blocks[:height]))


async def run(arguments: argparse.Namespace) -> int:
    """All checks; the exit status."""
    year = json.loads(Path(arguments.file).read_text("utf-8"))
    asker, ledger = Asker(Path(arguments.dir), cli=arguments.cli), Ledger()
    data = ROOT / "genesis" / "data"
    try:
        await check_accounts(asker, ledger, year, Path(arguments.plants or data / "nger_2017_18_thermal.csv"))
        await check_vouchers(asker, ledger, year)
        await check_trading(asker, ledger, year, Path(arguments.prices or data / "cea_daily_2025_11.csv"))
        await check_sums(asker, ledger, year)
        await check_chain(asker, ledger, year)
    finally:
        await asker.client.close()
    for group, count in ledger.counts.items():
        print(f"{group:<14} {count:>5} figures compared")
    for line in ledger.wrong:
        print(f"DIFFERENT  {line}", file=sys.stderr)
    print(f"{asker.asked} queries; {'all figures are equal' if not ledger.wrong else f'{len(ledger.wrong)} figures differ'}")
    return 1 if ledger.wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", help="what `carbonnode devnet demo --json` printed")
    parser.add_argument("--dir", default=".devnet", help="the devnet's directory")
    parser.add_argument("--plants", help="the stations' CSV, if it wasn't the shipped one")
    parser.add_argument("--prices", help="the prices' CSV, if it wasn't the shipped one")
    parser.add_argument("--cli", action="store_true", help="ask through `carbonnode query` processes")
    raise SystemExit(asyncio.run(run(parser.parse_args())))
