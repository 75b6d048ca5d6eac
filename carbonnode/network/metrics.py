"""Counters of the network as plain integers; the daemon exports them."""

from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class NetworkCounters:
    """Monotonic counts since start, but `links` and `pending`, which are current values.

    Written by the network's thread only (`frames_dropped` by the daemon's); reading from another thread sees whole integers.
    """

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    reads: int = 0
    writes: int = 0
    deliveries: int = 0
    frames_dropped: int = 0
    requests_in: int = 0
    requests_out: int = 0
    requests_failed: int = 0
    heartbeats_missed: int = 0
    dials: int = 0
    dials_failed: int = 0
    accepted: int = 0
    upgrades_failed: int = 0
    refused_by_peer: int = 0
    violations: int = 0
    bans: int = 0
    links: int = 0
    pending: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """Refusals by code."""
    closed: dict[str, int] = field(default_factory=dict)
    """Ended links by reason."""

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        """A copy for exporters."""
        return asdict(self)
