"""From what was sent and seen to figures: rate, latency, growth of the queue."""

from dataclasses import dataclass
from statistics import mean

from tests.load.generator import Load, Watch

MAX_P99_S = 2.0
"""A rate counts only with p99 at or below this and no growing queue."""


@dataclass(frozen=True)
class RunResult:
    """One measured window. Latencies in ms, from a transaction's due time to its block seen certified on the validator that got it."""

    offered_tps: float
    tps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    sent: int
    ok: int
    filled: int
    queue_growing: bool
    blocks: int
    mean_block: float
    max_block: int
    views_changed: int
    late_ms: float
    answers: dict[str, int]

    @property
    def counts(self) -> bool:
        """Whether the rate may be quoted: latency within the bound, queue steady, no view change, and the load generator on time."""
        return self.p99_ms <= MAX_P99_S * 1000 and not self.queue_growing and self.late_ms < 500


def percentile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ascending list lies; infinity for an empty one."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")


def growing(watch: Watch, begin: float, end: float) -> bool:
    """Whether the waiting transactions grew over the window: its last third holds over twice the first's, and by over 200."""
    inside = [m for t, m in zip(watch.times, watch.mempools, strict=True) if begin <= t <= end]
    third = len(inside) // 3
    return third > 0 and mean(inside[-third:]) > 2 * mean(inside[:third]) + 200


def evaluate(load: Load, statuses: list[dict[str, object]], rate: float, begin: float, end: float) -> RunResult:
    """Figures of the window [begin, end): a transaction counts when its status is OK and all validators hold its block certified within it."""
    latencies: list[float] = []
    ok = filled = in_window = 0
    per_block: dict[int, int] = {}
    for due, node, status in zip(load.sent.due, load.sent.node, statuses, strict=True):
        height = status["height"]
        if not isinstance(height, int):
            if begin <= due < end:
                latencies.append(float("inf"))
            continue
        seen = [watch.seen_at(height) for watch in load.watches]
        everywhere = max((s if s is not None else float("inf")) for s in seen)
        if begin <= everywhere < end and status["outcome"] == "OK":
            in_window += 1
            per_block[height] = per_block.get(height, 0) + 1
        if begin <= due < end:
            own = seen[node]
            latencies.append((own - due) * 1000 if own is not None else float("inf"))
            ok += status["outcome"] == "OK"
            filled += any(event["name"] == "Trade" for event in status["events"])  # type: ignore[attr-defined]
    latencies.sort()
    sizes = list(per_block.values())
    views = [v for watch in load.watches for t, v in zip(watch.times, watch.views, strict=True) if begin <= t < end]
    return RunResult(
        offered_tps=rate,
        tps=in_window / (end - begin),
        p50_ms=percentile(latencies, 0.50),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
        sent=len(latencies),
        ok=ok,
        filled=filled,
        queue_growing=any(growing(watch, begin, end) for watch in load.watches),
        blocks=len(sizes),
        mean_block=mean(sizes) if sizes else 0.0,
        max_block=max(sizes, default=0),
        views_changed=max(views, default=0) - min(views, default=0),
        late_ms=load.sent.late_s * 1000,
        answers=dict(load.sent.answers),
    )
