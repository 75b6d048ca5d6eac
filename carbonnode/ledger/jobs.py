"""Scheduled calls: kept in the state in (time, sequence) order, run before a block's transactions (design, section 5).

Nobody pays for them when they run, so that one contract can't take the others' turn: a call asked for a time that is past comes after those that wait
for now, never again in the block that asked for it; and a contract has a bounded number of them waiting.
"""

from collections import Counter
from typing import Final, NamedTuple

from carbonnode.chain import values
from carbonnode.chain.hashing import tagged_hash
from carbonnode.chain.transaction import Call
from carbonnode.errors import InvariantViolation
from carbonnode.ledger.layout import JOB_COUNTS, JOB_SEQUENCE, JOBS, job_key
from carbonnode.ledger.state import WorkingState
from carbonnode.vm.outcome import ScheduledCall
from carbonnode.vm.state import StateAccess

MAX_WAITING: Final = 1024
"""Scheduled calls of one contract that may wait."""
_TIME_END = len(JOBS) + 8


class Job(NamedTuple):
    """A scheduled call: market time in ms, its number, the contract that asked for it, and the call on itself."""

    at_ms: int
    sequence: int
    contract: str
    call: Call

    def id(self, height: int) -> bytes:
        """What stands for a transaction id in the job's receipt and events."""
        return tagged_hash(b"job", height.to_bytes(8, "big"), self.sequence.to_bytes(8, "big"))


def waiting(state: StateAccess, contract: str) -> int:
    """How many scheduled calls a contract has."""
    count = state.get(JOB_COUNTS + contract.encode())
    return count if type(count) is int else 0


def _count(state: WorkingState, contract: str, more: int) -> None:
    count = waiting(state, contract) + more
    if count > 0:
        state.put(JOB_COUNTS + contract.encode(), count)
    else:
        state.delete(JOB_COUNTS + contract.encode())


def fit(state: StateAccess, scheduled: tuple[ScheduledCall, ...]) -> bool:
    """Whether the contracts may have so many more calls waiting."""
    wanted = Counter([call.contract for call in scheduled])
    return all(waiting(state, contract) + more <= MAX_WAITING for contract, more in wanted.items())


def schedule(state: WorkingState, scheduled: tuple[ScheduledCall, ...], market_ms: int) -> None:
    """Write scheduled calls into the state, none for a time up to `market_ms`, the present."""
    head = state.get(JOB_SEQUENCE)
    number = head if type(head) is int else 0
    for call in scheduled:
        number += 1
        at_ms = min(max(call.at_ms, market_ms + 1), (1 << 64) - 1)
        state.put(job_key(at_ms, number), (call.contract, call.method, *[values.encode_value(arg) for arg in call.args]))
    state.put(JOB_SEQUENCE, number)
    for contract, more in sorted(Counter([call.contract for call in scheduled]).items()):
        _count(state, contract, more)


def next_due(state: WorkingState, market_ms: int) -> Job | None:
    """The first job that is due at market time `market_ms`."""
    key = state.next_key(JOBS, None)
    if key is None:
        return None
    at_ms = int.from_bytes(key[len(JOBS) : _TIME_END], "big")
    if at_ms > market_ms:
        return None
    stored = state.get(key)
    if type(stored) is not tuple:
        raise InvariantViolation(f"the scheduled call {key.hex()} isn't readable")
    contract, method, *args = stored
    call = Call(contract, method, tuple([values.decode_value(arg) for arg in args]))
    return Job(at_ms, int.from_bytes(key[_TIME_END:], "big"), contract, call)


def next_time(state: WorkingState) -> int | None:
    """The market time of the first job that waits, due or not; None without jobs."""
    key = state.next_key(JOBS, None)
    return None if key is None else int.from_bytes(key[len(JOBS) : _TIME_END], "big")


def remove(state: WorkingState, job: Job) -> None:
    """Take a job out of the queue."""
    state.delete(job_key(job.at_ms, job.sequence))
    _count(state, job.contract, -1)
