"""Which of a node's own counters a metrics scrape reads."""

from collections.abc import Callable, Mapping

from carbonnode.network import Network
from carbonnode.node.mempool import LANE_NAMES
from carbonnode.node.user_node import UserNode
from carbonnode.node.validator import ValidatorNode


def watch_node(node: ValidatorNode, network: Network, executor_restarts: Callable[[], int]) -> None:
    """Register a validator's counters with its metrics."""

    def gauges() -> Mapping[str, float]:
        links = sum(1 for name in node.driver.others if network.is_connected(name))
        values: dict[str, float] = {
            "mempool_transactions": len(node.pool),
            "mempool_bytes": node.pool.bytes,
            "admission_waiting": node.admission.waiting,
            "validators_connected": links,
            "links": network.counters.links,
            "syncing": int(node.syncer.active),
            "disk_full": int(node.persister.disk_full),
            "event_readers": node.feed.readers,
        }
        values |= {f"mempool_waiting:{name}": size for name, size in zip(LANE_NAMES, node.pool.lane_sizes(), strict=True)}
        return values

    def counters() -> Mapping[str, float]:
        net = network.counters
        values: dict[str, float] = {
            "signatures_verified": node.admission.verified,
            "mempool_shed": node.pool.shed,
            "transactions_fetched": node.resolver.fetched,
            "consensus_messages": node.intake.received,
            "consensus_steps": node.driver.steps,
            "journal_groups": node.journal.groups,
            "journal_records": node.journal.records,
            "executor_restarts": executor_restarts(),
            "sync_blocks": node.syncer.blocks_applied,
            "network_frames_in": net.frames_in,
            "network_frames_out": net.frames_out,
            "network_bytes_in": net.bytes_in,
            "network_bytes_out": net.bytes_out,
            "network_frames_dropped": net.frames_dropped,
            "network_violations": net.violations,
        }
        values |= {f"admission_refused:{code}": count for code, count in node.admission.refused.items()}
        return values

    node.around.metrics.watch(gauges, counters)


def watch_user(node: UserNode, network: Network) -> None:
    """Register a user node's counters with its metrics."""
    node.metrics.watch(
        lambda: {"validators_connected": len(node.linked), "syncing": int(node.syncing), "event_readers": node.feed.readers},
        lambda: {
            "blocks_refused": node.refused_blocks,
            "network_frames_in": network.counters.frames_in,
            "network_frames_out": network.counters.frames_out,
            "network_bytes_in": network.counters.bytes_in,
            "network_bytes_out": network.counters.bytes_out,
        },
    )
