"""Prometheus metrics of a node, in a registry of its own.

Values that something else already counts are read when a scrape comes, so that counting costs nothing where the work is done.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

FINALITY_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)

Read = Callable[[], Mapping[str, float]]
"""Current values by metric name; `name:label` carries a label value."""


class NodeMetrics:
    """What a node counts, and the text that a scrape gets."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.height = Gauge("carbonnode_height", "Last certified height", registry=self.registry)
        self.view = Gauge("carbonnode_view", "Current view", registry=self.registry)
        self.view_changes = Counter("carbonnode_view_changes", "Views entered after the first", registry=self.registry)
        self.blocks = Counter("carbonnode_blocks", "Certified blocks stored", registry=self.registry)
        self.transactions = Counter("carbonnode_transactions", "Transactions in certified blocks, by outcome", ["outcome"], registry=self.registry)
        self.events = Counter("carbonnode_events", "Events in certified blocks", registry=self.registry)
        self.gas = Counter("carbonnode_gas", "Gas used by certified blocks", registry=self.registry)
        self.finality = Histogram(
            "carbonnode_block_finality_seconds", "Proposed time to certified and stored, on this node's clock", buckets=FINALITY_BUCKETS, registry=self.registry
        )
        self.alarms = Counter("carbonnode_alarms", "Alarms raised by consensus", ["code"], registry=self.registry)
        self.evidence = Counter("carbonnode_evidence", "Proven faults of validators", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def watch(self, gauges: Read, counters: Read) -> None:
        """Read these values at every scrape. `gauges` may fall, `counters` only rise."""
        self.registry.register(_Reader(gauges, counters))

    def render(self) -> bytes:
        """Prometheus text exposition format."""
        return generate_latest(self.registry)


class _Reader:
    """A collector over plain numbers."""

    def __init__(self, gauges: Read, counters: Read) -> None:
        self._gauges = gauges
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        yield from _families(self._gauges(), GaugeMetricFamily)
        yield from _families(self._counters(), CounterMetricFamily)


def _families(values: Mapping[str, float], kind: "type[GaugeMetricFamily | CounterMetricFamily]") -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
    for key, value in values.items():
        name, _, label = key.partition(":")
        family = families.get(name)
        if family is None:
            family = families[name] = kind(f"carbonnode_{name}", name.replace("_", " "), labels=["kind"] if label else [])
        family.add_metric([label] if label else [], value)
    yield from families.values()
