"""What a person sees of the market year: live progress on stderr, then a summary."""

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from carbonnode.devnet.chart import candles
from carbonnode.devnet.year_ports import DayFigures


class Screen:
    """`year_ports.Watcher` on a terminal; on anything else one line a part of the year."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._days: list[dict[str, Any]] = []
        self._started = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("transactions [dim]{task.fields[detail]}[/]"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("connecting", total=None, detail="")
        self._view = Live(self._draw(), console=console, refresh_per_second=8, transient=True) if self._live else None
        self._title = ""
        self._count = 0

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._view is not None:
            self._view.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was; what was drawn goes."""
        self._end_part()
        if self._view is not None:
            self._view.stop()

    def phase(self, title: str, total: int) -> None:
        """See `Watcher`."""
        self._end_part()
        self._title, self._count, self._part = title, 0, time.monotonic()
        self._progress.reset(self._task, description=title, total=total, detail="")

    def advance(self, count: int, detail: str = "") -> None:
        """See `Watcher`."""
        self._count += count
        self._progress.update(self._task, advance=count, detail=detail)

    def day(self, figures: DayFigures) -> None:
        """See `Watcher`."""
        import msgspec

        self._days.append(msgspec.to_builtins(figures))
        if self._view is not None:
            self._view.update(self._draw())
        else:
            prices = "  ".join(f"{name} {value / 100:.2f}" for name, value in zip(("open", "high", "low", "close"), _prices(self._days[-1]), strict=True))
            self._line(f"{figures.date}  {prices}  {figures.volume_t:,} t in {figures.trades} trades")

    def _end_part(self) -> None:
        if not self._title or self._title == "clock":
            return
        text = f"{self._title:<34} {self._count:>4} transactions  {time.monotonic() - self._part:5.1f} s"
        if self._view is not None:
            if not self._title.startswith("trading day"):
                self._console.print(f"  [green]✓[/] {text}")
        elif not self._title.startswith("trading day"):
            self._line(text)
        self._title = ""

    def _line(self, text: str) -> None:
        self._console.print(f"[{time.monotonic() - self._started:6.1f} s] {text}", markup=False, highlight=False, soft_wrap=True)

    def _draw(self) -> RenderableType:
        chart = Group(*[Text.from_markup(line) for line in candles(self._days)]) if self._days else Text("")
        return Group(self._progress, chart)


def _prices(day: Mapping[str, Any]) -> tuple[int, int, int, int]:
    return day["open_fen"], day["high_fen"], day["low_fen"], day["close_fen"]


def yuan(fen: int) -> str:
    """Money for people: 1234567 fen -> 12,345.67."""
    return f"{fen // 100:,}.{fen % 100:02d}"


def million(fen: int) -> str:
    """Large money for people."""
    return f"{fen / 1e8:,.1f} million"


def draw_summary(console: Console, data: Mapping[str, Any]) -> None:
    """The year at a glance, for a market person."""
    console.print()
    console.print(Panel(_figures(data), title="[bold]one market year[/], rule set demo-nger", expand=False))
    console.print()
    console.print("  [bold]CEA-2024[/], yuan a tonne; each day as it really was")
    for line in candles(data["days"]):
        console.print("  " + line, highlight=False)
    console.print()
    console.print(_day_table(data))
    console.print(Panel(_chain(data), title="[bold]the chain behind it[/]", expand=False))
    console.print(_where(data), markup=False, highlight=False, soft_wrap=True)


def _pairs() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _figures(data: Mapping[str, Any]) -> Table:
    table = _pairs()
    codes, statuses = data["voucher_count"], data["statuses"]
    table.add_row("accounts opened", f"{data['accounts_opened']:,}", f"approved by the authority, {data['accounts_covered']} covered")
    table.add_row("allocated", f"{data['allocated_t']:,} t", f"by benchmark; obligation {data['obligation_t']:,} t")
    table.add_row("traded", f"{data['traded_t']:,} t", f"in {codes.get('T', 0)} trades on {len(data['days'])} days")
    table.add_row("cash moved", f"¥ {million(data['cash_moved_fen'])}", "delivery against payment")
    table.add_row("surrendered", f"{data['surrendered_t']:,} t", f"{statuses.get('A', 0)} stations met their obligation")
    for row in data["penalised"]:
        table.add_row("fell short", f"{row['shortfall_t']:,} t", f"{row['name']} bid too low")
        paid = "paid" if row["paid"] else "unpaid"
        how = f"{row['multiple']} x mean price {yuan(row['mean_price_fen'])} x shortfall, {paid}"
        table.add_row("penalty", f"¥ {yuan(row['penalty_fen'])}", how)
    kinds = {"I": "issue", "T": "trade", "S": "surrender", "R": "cancellation", "X": "correction"}
    table.add_row("vouchers", f"{sum(codes.values())}", ", ".join(f"{count} {kinds.get(kind, kind)}" for kind, count in codes.items()))
    return table


def _day_table(data: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("day", no_wrap=True)
    for name in ("open", "high", "low", "close", "tonnes", "¥ million", "trades"):
        table.add_column(name, justify="right")
    for day in data["days"]:
        table.add_row(day["date"], *[yuan(p) for p in _prices(day)], f"{day['volume_t']:,}", f"{day['amount_fen'] / 1e8:.2f}", str(day["trades"]))
    return table


def _chain(data: Mapping[str, Any]) -> Table:
    table = _pairs()
    chain, proof = data["chain"], data["proof"]
    table.add_row("blocks", f"{chain['blocks']:,}", f"{chain['transactions']:,} signed transactions in {chain['seconds']:.0f} s")
    held = "held" if data["conserved"] else "BROKEN"
    table.add_row("conservation", held, "units and money, checked after every block")
    same = "one root" if chain["one_root"] else "DIFFERENT"
    table.add_row("state", same, f"{chain['state_root'][:12]}... at height {chain['height']} on {len(chain['validators'])} validators")
    for node in chain["users"]:
        named = "the same root" if node["state_root"] == chain["state_root"] else "ANOTHER ROOT"
        table.add_row("user node", node["organisation"], f"{named}, certified by {node['signers']} validators")
    verdict = "verified" if proof["verified"] else "NOT VERIFIED"
    table.add_row("proof", verdict, "of one trade, offline, by its file and genesis")
    return table


def hyphens(code: str) -> str:
    """A voucher code for people: `1T-CNSH-20251119-143207-CEA24-00000412-0-OH`."""
    ends = (2, 6, 14, 20, 25, 33, 34, 36)
    return "-".join(code[a:b] for a, b in zip((0, *ends), ends, strict=False))


def _here(path: str) -> str:
    """A path as one would type it from where we are."""
    found = Path(path)
    return str(found.relative_to(Path.cwd())) if found.is_relative_to(Path.cwd()) else path


def _program() -> str:
    """The command as this shell can call it: the one beside the interpreter that runs, if it isn't on the search path."""
    beside = Path(sys.executable).with_name("carbonnode")
    found = shutil.which("carbonnode")
    return "carbonnode" if found or not beside.exists() else _here(str(beside))


def _where(data: Mapping[str, Any]) -> str:
    api, directory, file = data["chain"]["api"], _here(data["directory"]), _here(data["proof"]["file"])
    program = _program()
    lines = [
        "",
        "The network keeps running. Where to look:",
        f"  {api}/v1/status  (also /metrics, /openapi.json)",
        f"  {program} devnet status --dir {directory}",
        f"  {program} query voucher record --arg code={hyphens(data['proof']['voucher'])} \\",
        f"      --node {api} --wallets {directory}/wallets --from coordination-1",
        f"  {program} verify {file} --genesis {directory}/genesis.json",
        f"  logs: {directory}/nodes/*/logs/node.log",
        f"  end:  {program} devnet down --dir {directory}",
    ]
    return "\n".join(lines)
