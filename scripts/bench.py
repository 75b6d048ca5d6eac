"""`make bench`: signed orders that execute in the matching contract, open loop, against four validator processes on this machine.

QUICK=1: one run of 20 s. RATE=n: offered transactions per second instead of searching for the highest rate that holds. FAILOVER=0: no kills.
CALM=seconds: the quiet run at half rate (default 600; QUICK: 0). ACCOUNTS=n, RUNS=n, WINDOW=seconds. Writes build/bench.json.
"""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from carbonnode.chain.transaction import Transaction  # noqa: E402
from tests.load import accounts as acc  # noqa: E402
from tests.load.failover import Failover, measure_kill, rejoin  # noqa: E402
from tests.load.generator import Load  # noqa: E402
from tests.load.machine import children_of, cpu_seconds, verify_us  # noqa: E402
from tests.load.network import BenchNetwork, furnish, settle_down  # noqa: E402
from tests.load.orders import sign_orders  # noqa: E402
from tests.load.results import RunResult, evaluate  # noqa: E402

CORES = 2
TRANSPORT_US = 50
WARM_UP_S = 8.0
STEPS_TPS = (300, 450, 600, 750, 900, 1050, 1200, 1400, 1600)
MAX_VERIFY_DRIFT = 0.10

console = Console(stderr=True)


def setting(name: str, default: int) -> int:
    """A whole number from the environment."""
    return int(os.environ.get(name, default))


class Bench:
    """One bench: a network, accounts, runs, kills."""

    def __init__(self, directory: Path, accounts: int) -> None:
        self.network = BenchNetwork(directory)
        self.accounts = acc.make_accounts(accounts)
        self.seed = 0
        self.cpu: list[dict[str, float]] = []

    async def start(self) -> None:
        """Network up, accounts furnished."""
        console.print(f"four validators, {len(self.accounts)} accounts with units and cash ...")
        await self.network.up(console.print)
        await furnish(self.network, self.accounts)

    async def sign(self, load: Load, count: int) -> list[Transaction]:
        """Orders signed just before a run, for their valid-until lies a bounded number of blocks ahead."""
        self.seed += 1
        status = await load.status(0)
        valid_until = int(str(status["height"])) + int(str(status["validity_blocks"])) - 1
        return sign_orders(self.network.chain_id, self.accounts, count, seed=self.seed, valid_until=valid_until)

    def _cpu_now(self) -> dict[str, float]:
        now = {"client": cpu_seconds(os.getpid())}
        for name, pid in zip(self.network.names, self.network.pids, strict=True):
            now[f"{name} node"] = cpu_seconds(pid)
            now[f"{name} executor"] = sum(cpu_seconds(child) for child in children_of(pid))
        return now

    async def run(self, rate: float, window_s: float) -> RunResult:
        """One run: warm-up, window, drain; then every transaction's fate is asked for."""
        load = Load(self.network.urls)
        orders = await self.sign(load, int(rate * (WARM_UP_S + window_s + 1.0)))
        await settle_down(2.0)
        watchers = [asyncio.create_task(load.watch(i)) for i in range(len(self.network.urls))]
        sender = asyncio.create_task(load.send(orders, rate))
        begin = time.monotonic() + 0.05 + WARM_UP_S
        await asyncio.sleep(begin - time.monotonic())
        before = self._cpu_now()
        await asyncio.sleep(begin + window_s - time.monotonic())
        after = self._cpu_now()
        await sender
        await load.settle(30.0)
        statuses = await load.statuses(orders)
        await load.finish()
        await asyncio.gather(*watchers)
        result = evaluate(load, statuses, rate, begin, begin + window_s)
        sent = max(1, result.sent)
        self.cpu.append({name: (after[name] - before[name]) / sent * 1e6 for name in after})
        console.print(describe(result))
        return result

    async def failovers(self, rate: float, kills: int) -> list[tuple[str, Failover]]:
        """Kill the primary `kills` times at this rate; each comes back before the next. Who was killed, and what it took."""
        load = Load(self.network.urls)
        watchers = [asyncio.create_task(load.watch(i)) for i in range(len(self.network.urls))]
        found: list[tuple[str, Failover]] = []

        async def restart(index: int) -> None:
            self.network.restart(self.network.names[index])

        for kill in range(kills):
            orders = await self.sign(load, int(rate * 40))
            sender = asyncio.create_task(load.send(orders, rate))
            await asyncio.sleep(5.0)
            failover, victim = await measure_kill(load, self.network.pids, self.network.names)
            console.print(f"  kill {kill + 1}/{kills}: {self.network.names[victim]} at height {failover.height}: {failover.ms:.0f} ms")
            found.append((self.network.names[victim], failover))
            await asyncio.sleep(2.0)
            await rejoin(load, victim, restart)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await self.network.refresh()
            load.urls = self.network.urls
            await load.settle(30.0)
        await load.finish()
        await asyncio.gather(*watchers)
        return found


def describe(result: RunResult) -> str:
    """One line on a run."""
    sent = max(1, result.sent)
    notes = ["" if result.counts else "[red]doesn't count[/red]", "queue grows" if result.queue_growing else "", "view changed" if result.views_changed else ""]
    return (
        f"  offered {result.offered_tps:.0f}/s: {result.tps:.0f} OK/s, p50 {result.p50_ms:.0f} p95 {result.p95_ms:.0f} p99 {result.p99_ms:.0f} ms, "
        f"filled {result.filled * 100 // sent} %, OK {result.ok * 100 // sent} %, {result.blocks} blocks of {result.mean_block:.0f} "
        f"(max {result.max_block}) {' '.join(filter(None, notes))} {result.answers}"
    )


async def find_rate(bench: Bench) -> float:
    """The highest step that holds for 15 s."""
    best = 0
    for step in STEPS_TPS:
        result = await bench.run(step, 15.0)
        if not result.counts or result.tps < step * 0.97:
            break
        best = step
    if not best:
        raise SystemExit(f"even {STEPS_TPS[0]} transactions a second don't hold on this machine")
    return float(best)


def report(document: dict[str, object], cpu: dict[str, float]) -> None:
    """Tables for people."""
    table = Table(title="carbonnode bench: executed orders, four validators")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in document.items():
        if not isinstance(value, list):
            table.add_row(name, json.dumps(value) if isinstance(value, dict) else f"{value:.3f}" if isinstance(value, float) else str(value))
    for name, us in cpu.items():
        table.add_row(f"CPU us per transaction: {name}", f"{us:.0f}")
    Console().print(table)


async def measure(bench: Bench, progress: Callable[[str], None]) -> dict[str, object]:
    """The whole bench."""
    quick = setting("QUICK", 0) == 1
    before = verify_us()
    progress(f"one signature verification, idle: {before:.1f} us")
    await bench.start()
    rate = float(setting("RATE", 0)) or await find_rate(bench)
    runs, window = setting("RUNS", 1 if quick else 5), setting("WINDOW", 20 if quick else 60)
    progress(f"{runs} runs of {window} s at {rate:.0f}/s")
    bench.cpu.clear()
    results = [await bench.run(rate, window) for _ in range(runs)]
    good = [r for r in results if r.counts]
    cpu = {name: median(c[name] for c in bench.cpu) for name in bench.cpu[0]}
    kills = setting("FAILOVER", 2 if quick else 10)
    progress(f"{kills} kills of the primary at {rate / 2:.0f}/s")
    failovers = [failover for _, failover in await bench.failovers(rate / 2, kills)] if kills else []
    calm_s = setting("CALM", 0 if quick else 600)
    calm = [await bench.run(rate / 2, 100.0) for _ in range(calm_s // 100)]
    await settle_down(3.0)
    bench.network.down()
    await settle_down(3.0)
    after = verify_us()
    drift = abs(after - before) / before
    tps = median(r.tps for r in good) if good else 0.0
    verify = (before + after) / 2
    document: dict[str, object] = {
        "tps": tps,
        "ratio": tps * 4 * (verify + TRANSPORT_US) / (CORES * 1e6),
        "verify_us": verify,
        "verify_drift": drift,
        "valid": bool(good) and drift <= MAX_VERIFY_DRIFT,
        "cpu_us_per_tx": sum(cpu.values()) - cpu["client"],
        "cpu_us_per_tx_by_process": cpu,
        "latency_ms": {k: median(getattr(r, f"{k}_ms") for r in good) if good else None for k in ("p50", "p95", "p99")},
        "failover_ms": {"p50": median(f.ms for f in failovers), "max": max(f.ms for f in failovers)} if failovers else None,
        "failovers_ms": [f.ms for f in failovers],
        "validators": 4,
        "accounts": len(bench.accounts),
        "transactions": sum(r.ok for r in good),
        "filled_share": median(r.filled / r.sent for r in good) if good else 0.0,
        "block_mean": median(r.mean_block for r in good) if good else 0.0,
        "block_max": max((r.max_block for r in good), default=0),
        "runs_that_count": f"{len(good)} of {len(results)}",
        "calm_seconds": calm_s // 100 * 100,
        "calm_view_changes": sum(r.views_changed for r in calm),
        "runs": [asdict(r) for r in results],
    }
    report(document, cpu)
    return document


def main() -> None:
    """Run, print, write build/bench.json; exit 1 when the figures don't count."""
    directory = ROOT / "build" / "bench-net"
    bench = Bench(directory, setting("ACCOUNTS", 1_000))
    if (directory / "devnet.json").exists():
        bench.network.down()
    shutil.rmtree(directory, ignore_errors=True)
    try:
        document = asyncio.run(measure(bench, console.print))
    finally:
        if (directory / "devnet.json").exists():
            bench.network.down()
    out = ROOT / "build" / "bench.json"
    out.write_text(json.dumps(document, indent=1) + "\n")
    console.print(f"written to {out.relative_to(ROOT)}")
    if not document["valid"]:
        console.print("[red]these figures don't count[/red]: the rate didn't hold, or the machine's speed drifted by more than 10 % (see verify_drift)")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
