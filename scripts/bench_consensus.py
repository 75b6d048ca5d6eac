"""`make bench-consensus`: what agreement costs by the number of validators, on the simulator's clock with the production state machine.

Messages, bytes and CPU a block: real Ed25519 keys, every message really encoded once a broadcast, decoded and verified by each receiver; CPU is
of decode, verify, step and encode alone (threads' CPU time, one core). Latency: one-way delays of 1, 25 and 100 ms, a disk that syncs in 0 to 10 ms,
CPU taken as free. A view change after the primary's death under load: messages, bytes, CPU, and the longest NEW-VIEW that the window allows.

QUICK=1: few sizes, few blocks. SIZES=4,7: these numbers of validators. ONLY=view-change: nothing else. Writes build/bench-consensus.json.
"""

import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402  the package stands beside this script
from rich.table import Table  # noqa: E402

from carbonnode.chain.certificate import Certificate  # noqa: E402
from carbonnode.chain.codec import encode  # noqa: E402
from carbonnode.chain.genesis import Parameters  # noqa: E402
from carbonnode.chain.hashing import tagged_hash  # noqa: E402
from carbonnode.chain.limits import largest_window  # noqa: E402
from carbonnode.chain.quorum import quorum  # noqa: E402
from carbonnode.chain.signing import KeySigner, verify  # noqa: E402
from carbonnode.chain.validators import Validator, ValidatorSet  # noqa: E402
from carbonnode.consensus import actions as act  # noqa: E402
from carbonnode.consensus import events as ev  # noqa: E402
from carbonnode.consensus.config import EpochConfig  # noqa: E402
from carbonnode.consensus.messages import (  # noqa: E402
    MAX_MESSAGE_BYTES,
    SIGNED_TYPES,
    Message,
    NewView,
    PreparedProof,
    Reproposal,
    ViewChange,
    decode_message,
    encode_message,
    verify_signed,
)
from carbonnode.sim.chain import Execution  # noqa: E402
from carbonnode.sim.checks import Checks  # noqa: E402
from carbonnode.sim.keys import KeyRing, SimSigner  # noqa: E402
from carbonnode.sim.node import SimNode  # noqa: E402
from carbonnode.sim.world import World  # noqa: E402

SIZES = (4, 7, 16, 31, 64, 100)
DELAYS_MS = (1, 25, 100)
LATENCY_SIZES = (4, 7, 16, 31)
BLOCK_TRANSACTIONS = 150
"""As many as an average block of `make bench` holds."""
FSYNC_MS = 10
WARM_UP_BLOCKS = 2
GIVE_UP_MS = 120_000


class RealRing(KeyRing):
    """Ed25519 in place of the simulator's cheap signatures."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """As `chain.signing.verify`."""
        return verify(public_key, message, signature)


@dataclass
class Meter:
    """What went over links and through processors since the last reset."""

    messages: Counter[str]
    bytes: Counter[str]
    cpu_ns: dict[int, int]
    largest: Counter[str]

    @classmethod
    def fresh(cls, nodes: int) -> "Meter":
        """All at zero."""
        return cls(Counter(), Counter(), dict.fromkeys(range(nodes), 0), Counter())


class MeteredNode(SimNode):
    """A simulated node whose messages are bytes on the way, counted, and whose processor time is counted."""

    meter: Meter
    delay_ms = 1
    final_at: dict[bytes, int]

    def use(self, meter: Meter, delay_ms: int, signer: KeySigner | SimSigner) -> None:
        """Count into `meter`; flood at this delay; vote with this key."""
        self.meter = meter
        self.delay_ms = delay_ms
        self.signer = signer  # type: ignore[assignment]  # both are signers
        self.final_at = {}
        self._last: tuple[Message, bytes] | None = None
        self.speeds.fsync_ms = FSYNC_MS

    def give(self, event: ev.AnyEvent) -> None:
        """One event to the replica, timed."""
        memory = self.memory
        if memory is None:
            return
        begin = time.thread_time_ns()
        answered = memory.replica.step(event)
        self.meter.cpu_ns[self.number] += time.thread_time_ns() - begin
        for action in answered:
            if self.memory is not memory:
                return
            self._actions[type(action)](action)

    def put_on_link(self, peer: SimNode, message: Message) -> None:
        """Encode once a broadcast, count, and bring the bytes across."""
        if self._last is None or self._last[0] is not message:
            begin = time.thread_time_ns()
            self._last = (message, encode_message(message))
            self.meter.cpu_ns[self.number] += time.thread_time_ns() - begin
        data = self._last[1]
        kind = type(message).__name__
        self.meter.messages[kind] += 1
        self.meter.bytes[kind] += len(data)
        self.meter.largest[kind] = max(self.meter.largest[kind], len(data))
        assert isinstance(peer, MeteredNode)
        self.world.at(self.delay_ms, lambda: peer.later(0, lambda: peer.arrive(self.number, data)))

    def arrive(self, source: int, data: bytes) -> None:
        """As the daemon does: decode, look up the set, verify, hand on."""
        memory = self.memory
        if memory is None:
            return
        begin = time.thread_time_ns()
        message = decode_message(data)
        good = True
        if isinstance(message, SIGNED_TYPES):
            validators = memory.replica.validators_of(message.epoch)
            good = validators is not None and verify_signed(message, validators, self.world.chain_id, self.world.ring.verify)
        self.meter.cpu_ns[self.number] += time.thread_time_ns() - begin
        assert good, f"a {type(message).__name__} of node {source} doesn't verify"
        self.give(ev.Received(now_ms=self.clock_ms, wall_ms=self.wall_ms, sender=source, message=message))

    def admit_all(self, wire_hashes: tuple[bytes, ...]) -> None:
        """Transactions arrived together, from a client or a peer: one event, as the daemon makes of a frame."""
        if self.memory is None:
            return
        self.known.update(wire_hashes)
        self.pool.update(dict.fromkeys(h for h in wire_hashes if h not in self.tip.seen))
        self.give(ev.RequestsAdmitted(now_ms=self.clock_ms, wire_hashes=wire_hashes))
        self.give(ev.WorkArrived(now_ms=self.clock_ms))

    def flood(self, wire_hashes: tuple[bytes, ...]) -> None:
        """A client's transactions: admitted here, and after the links' delay by everybody."""
        self.admit_all(wire_hashes)
        for peer in self.peers.values():
            if peer is not self and isinstance(peer, MeteredNode):
                peer.later(self.delay_ms, partial(peer.admit_all, wire_hashes))

    def _finalise(self, action: act.Finalise) -> None:
        before = self.height
        super()._finalise(action)
        if self.height > before:
            for wire_hash in self.tip.applied:
                self.final_at[wire_hash] = self.world.now


class Town:
    """`size` validators on the simulator's clock, without faults."""

    def __init__(self, size: int, delay_ms: int, *, real_keys: bool) -> None:
        signers = [KeySigner(bytes([number]) * 32) if real_keys else SimSigner(number) for number in range(size)]
        people = {n: Validator(f"v{n}", "super", key.public_key, SimSigner(n, b"transport").public_key) for n, key in enumerate(signers)}
        # From 64 on the default window would be refused: the longest that is admitted stands in for it.
        self.window = min(Parameters().window, largest_window(quorum(size)))
        first = EpochConfig(0, 1, ValidatorSet(tuple(people.values())), Parameters(window=self.window))
        self.world = World(1, Execution(first, people), first)
        if real_keys:
            self.world.ring = RealRing()
        self.size = size
        self.meter = Meter.fresh(size)
        self.nodes: dict[int, SimNode] = {}
        self.metered: list[MeteredNode] = []
        checks = Checks(self.world, lambda _number: True)
        for number, signer in enumerate(signers):
            node = MeteredNode(self.world, number, checks, self.nodes)
            node.use(self.meter, delay_ms, signer)
            if not real_keys:
                self.world.ring.add(signer)  # type: ignore[arg-type]  # a SimSigner here
            self.nodes[number] = node
            self.metered.append(node)
        for node in self.metered:
            node.start()
        self._sent = 0

    @property
    def top(self) -> int:
        """The lowest certified height of all that run."""
        return min(node.height for node in self.nodes.values() if node.up)

    def transactions(self, count: int) -> tuple[bytes, ...]:
        """New ones."""
        self._sent += count
        return tuple(tagged_hash(b"bench tx", (self._sent + n).to_bytes(8, "big")) for n in range(count))

    def pay_in(self, number: int, count: int) -> tuple[bytes, ...]:
        """Clients hand so many to one node."""
        wire_hashes = self.transactions(count)
        self.metered[number].flood(wire_hashes)
        return wire_hashes

    def run_until(self, height: int) -> None:
        """Let time pass until all that run certified `height`. Raises `TimeoutError` after two simulated minutes."""
        end = self.world.now + GIVE_UP_MS
        while self.top < height:
            if self.world.now > end or not self.world.step():
                raise TimeoutError(f"{self.size} validators didn't certify height {height} within {GIVE_UP_MS} ms")

    def run_for(self, duration_ms: int) -> None:
        """Let time pass."""
        end = self.world.now + duration_ms
        while self.world.now < end and self.world.step():
            pass

    def reset(self) -> None:
        """Count from zero."""
        self.meter.messages.clear()
        self.meter.bytes.clear()
        self.meter.largest.clear()
        self.meter.cpu_ns.update(dict.fromkeys(self.meter.cpu_ns, 0))


@dataclass(frozen=True)
class Cost:
    """Of a block of `BLOCK_TRANSACTIONS` among n validators. `kinds`: messages a block by type; bytes without the transactions' own flooding."""

    n: int
    quorum: int
    messages: float
    kilobytes: float
    kilobytes_out_of_a_node: float
    cpu_ms_primary: float
    cpu_ms_node: float
    kinds: dict[str, float]


def measure_cost(size: int, blocks: int) -> Cost:
    """Mean over `blocks` full blocks."""
    town = Town(size, 1, real_keys=True)
    town.run_for(50)
    for _ in range(WARM_UP_BLOCKS):
        town.pay_in(0, BLOCK_TRANSACTIONS)
        town.run_until(town.top + 1)
    town.reset()
    first = town.top
    for number in range(blocks):
        town.pay_in(number % size, BLOCK_TRANSACTIONS)
        town.run_until(town.top + 1)
    made = town.top - first
    meter = town.meter
    cpu = [ns / made / 1e6 for ns in meter.cpu_ns.values()]
    total = sum(meter.bytes.values()) / made / 1000
    return Cost(
        size, quorum(size), sum(meter.messages.values()) / made, total, total / size, cpu[0], median(cpu[1:]),
        {kind: count / made for kind, count in sorted(meter.messages.items())},
    )


@dataclass(frozen=True)
class Latency:
    """From a client's hand-in to the block's certificate on the same node, in ms of simulated time."""

    n: int
    delay_ms: int
    p50_ms: float
    max_ms: float


def measure_latency(size: int, delay_ms: int, transactions: int) -> Latency:
    """One transaction at a time through one node after another, in an otherwise idle network."""
    town = Town(size, delay_ms, real_keys=False)
    town.run_for(20 * delay_ms + 200)
    waits: list[int] = []
    for number in range(transactions):
        begin = town.world.now
        at = number % size
        (wire_hash,) = town.pay_in(at, 1)
        node = town.metered[at]
        while wire_hash not in node.final_at:
            if town.world.now - begin > GIVE_UP_MS or not town.world.step():
                raise TimeoutError(f"{size} validators at {delay_ms} ms didn't certify a transaction within {GIVE_UP_MS} ms")
        waits.append(node.final_at[wire_hash] - begin)
        town.run_for(500)
    return Latency(size, delay_ms, median(waits), max(waits))


@dataclass(frozen=True)
class ViewChangeCost:
    """After the primary's death with proposals under way: everything said and computed until the next block is certified by all the others.

    `new_view_full_kb` is the size of a NEW-VIEW whose VIEW-CHANGEs each prove two windows; a network that may need more than 8 MiB is
    refused. `kinds`: messages by type.
    """

    n: int
    messages: int
    kilobytes: float
    new_view_kb: float
    new_view_full_kb: float
    cpu_ms_node: float
    kinds: dict[str, int]


def full_new_view(size: int, window: int) -> int:
    """Bytes of the largest NEW-VIEW that `size` validators with this window can need: after a loss of power a VIEW-CHANGE proves two windows."""
    need = quorum(size)
    votes = tuple((number, bytes(64)) for number in range(need))
    proofs = tuple(PreparedProof(0, 1 << 20, (1 << 20) + h, bytes(32), bytes(64), votes[: need - 1]) for h in range(2 * window))
    change = ViewChange(0, 1 << 20, Certificate(0, 1 << 20, bytes(32), votes), proofs, 1, bytes(64))
    proposals = tuple(Reproposal((1 << 20) + h, bytes(32), bytes(64)) for h in range(2 * window))
    return len(encode(NewView(0, 1 << 20, (change,) * need, proposals, 1, bytes(64))))


def measure_view_change(size: int) -> ViewChangeCost:
    """Kill the primary once proposals are under way."""
    town = Town(size, 1, real_keys=True)
    town.run_for(50)
    town.pay_in(1, BLOCK_TRANSACTIONS)
    town.run_until(town.top + 1)
    town.pay_in(1, 4 * BLOCK_TRANSACTIONS)
    town.run_for(8)
    town.nodes[0].crash(power=False)
    town.reset()
    town.run_until(town.top + 3)
    meter = town.meter
    return ViewChangeCost(
        size, sum(meter.messages.values()), sum(meter.bytes.values()) / 1000, meter.largest["NewView"] / 1000,
        full_new_view(size, Parameters().window) / 1000, median(list(meter.cpu_ns.values())[1:]) / 1e6, dict(sorted(meter.messages.items())),
    )


def verify_us() -> float:
    """One Ed25519 verification on this machine, in us of CPU."""
    signer = KeySigner(b"v" * 32)
    message = b"m" * 150
    signature = signer.sign(message)
    begin = time.thread_time_ns()
    for _ in range(500):
        verify(signer.public_key, message, signature)
    return (time.thread_time_ns() - begin) / 500_000


def tables(costs: list[Cost], latencies: list[Latency], changes: list[ViewChangeCost]) -> list[Table]:
    """For people."""
    cost = Table(title=f"a block of {BLOCK_TRANSACTIONS} transactions")
    for column in ("n", "quorum", "messages", "kB in all", "kB out of a node", "CPU ms primary", "CPU ms a node"):
        cost.add_column(column, justify="right")
    for c in costs:
        cells = (f"{c.messages:.0f}", f"{c.kilobytes:.0f}", f"{c.kilobytes_out_of_a_node:.1f}", f"{c.cpu_ms_primary:.1f}", f"{c.cpu_ms_node:.1f}")
        cost.add_row(str(c.n), str(c.quorum), *cells)
    latency = Table(title="latency of a transaction in an idle network, ms")
    for column in ("n", "one-way delay", "p50", "max"):
        latency.add_column(column, justify="right")
    for item in latencies:
        latency.add_row(str(item.n), str(item.delay_ms), f"{item.p50_ms:.0f}", f"{item.max_ms:.0f}")
    change = Table(title="a view change under load, to the next blocks")
    for column in ("n", "messages", "kB in all", "NEW-VIEW kB", "NEW-VIEW kB, longest", "CPU ms a node"):
        change.add_column(column, justify="right")
    for v in changes:
        too_large = " (refused)" if v.new_view_full_kb * 1000 > MAX_MESSAGE_BYTES else ""
        sizes = (f"{v.kilobytes:.0f}", f"{v.new_view_kb:.0f}", f"{v.new_view_full_kb:.0f}{too_large}")
        change.add_row(str(v.n), str(v.messages), *sizes, f"{v.cpu_ms_node:.1f}")
    return [cost, latency, change]


def main() -> None:
    """Measure, print, write build/bench-consensus.json."""
    quick = os.environ.get("QUICK") == "1"
    everything = os.environ.get("ONLY") != "view-change"
    named = os.environ.get("SIZES", "")
    sizes = tuple(int(item) for item in named.split(",")) if named else SIZES[:3] if quick else SIZES
    console = Console(stderr=True)
    costs, latencies, changes = [], [], []
    speed = verify_us()
    for size in sizes:
        if everything:
            costs.append(measure_cost(size, 2 if quick or size > 31 else 10))
            console.print(f"  {size} validators: {costs[-1].messages:.0f} messages a block")
        changes.append(measure_view_change(size))
        console.print(f"  {size} validators: {changes[-1].messages} messages in a view change")
    for size in [size for size in LATENCY_SIZES if size in sizes and everything]:
        latencies += [measure_latency(size, delay, 4 if quick else 20) for delay in DELAYS_MS]
    for table in tables(costs, latencies, changes):
        Console().print(table)
    out = ROOT / "build" / "bench-consensus.json"
    out.parent.mkdir(exist_ok=True)
    document = {
        "verify_us": speed, "block_transactions": BLOCK_TRANSACTIONS, "fsync_ms_max": FSYNC_MS, "cost": [asdict(c) for c in costs],
        "latency": [asdict(item) for item in latencies], "view_change": [asdict(v) for v in changes],
    }
    out.write_text(json.dumps(document, indent=1) + "\n")
    console.print(f"one signature verification: {speed:.0f} us; written to {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
