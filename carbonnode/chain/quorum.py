"""Quorum arithmetic of PBFT for every n, not only 3f+1 (PBFT.md)."""


def faults(validators: int) -> int:
    """f: how many of `validators` may be Byzantine."""
    return (validators - 1) // 3


def quorum(validators: int) -> int:
    """Quorum: q = ceil((n + f + 1) / 2): two quorums meet in at least f + 1 replicas, one of them honest."""
    return (validators + faults(validators) + 2) // 2


def majority(validators: int) -> int:
    """The quorum of the crash-fault-only profile `cft`."""
    return validators // 2 + 1
