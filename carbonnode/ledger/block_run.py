"""One block's execution: epoch change, due jobs, transactions, what the ledger itself writes, invariants, roots, header.

Deterministic: everything comes from the state, the parent, the batch and the transactions. A failing contract is a receipt; anything else that goes
wrong stops the executor loudly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carbonnode.chain import values
from carbonnode.chain.batch import Batch, SkipOrder
from carbonnode.chain.codec import encode
from carbonnode.chain.event import Event
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.hashing import ZERO_HASH, tagged_hash
from carbonnode.chain.header import Header
from carbonnode.chain.memory import REPORTS_GAS
from carbonnode.chain.merkle import leaf_hash, tree_head
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.transaction import Call, Transaction
from carbonnode.errors import InvariantViolation
from carbonnode.ledger import jobs, salts
from carbonnode.ledger.code import ContractCode
from carbonnode.ledger.epochs import REPORTS_A_BLOCK, Epochs
from carbonnode.ledger.events import EventNumbers
from carbonnode.ledger.garbage import Garbage
from carbonnode.ledger.invariants import check_invariants
from carbonnode.ledger.layout import SECRET
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.ledger.state import WorkingState
from carbonnode.ledger.upgrades import RULES, Decision
from carbonnode.vm.contract import Contract
from carbonnode.vm.keys import storage_key
from carbonnode.vm.machine import Machine
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import SYSTEM_SENDER, Environment

CLOCK_OFFSET = storage_key(RULES, "clock_offset_ms")
REPORT_METHOD = "ledger_report"
"""The export of `rules` that hears what became of proposals and decisions; it must check that its caller is `rules` itself."""
NOTHING = ZERO_HASH
SKIPPED = Outcome(Status.ABORTED_BY_QUORUM, "chain.skipped", 0)
OUTPUT_BYTES, OUTPUT_GAS = 1024, 2
"""Events and receipt of a run may have so many bytes, and one more for each so much gas of its limit (docs/adr/0024)."""
TOO_MUCH_OUTPUT = "chain.output"
TOO_MANY_JOBS = "chain.jobs"
JOB_LEAST_GAS = 2_000
"""What a job takes of its block's budget at least: what asking for it cost."""
REPORT_GAS = REPORTS_GAS // REPORTS_A_BLOCK
_EVENT_BYTES = 64
"""An event's salt and leaf."""
_LEDGER_CALLS = 1 << 62
"""Parts of ledger seeds above every job's sequence number."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every block of a chain runs in."""

    chain_id: bytes
    state: WorkingState
    code: ContractCode
    epochs: Epochs
    machine: Callable[[int], Machine]
    invariants: tuple[tuple[str, str], ...]
    garbage: Garbage
    begin: Callable[[bytes], None]
    """Called with the id of what runs next (a transaction, a job, a change of code), and with `NOTHING` after the last: who dies in between, dies of it."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The block before: height, hash and time in ms; height -1 before genesis."""

    height: int
    hash: bytes
    time_ms: int


class BlockRun:
    """Executes one block on the working state; the state keeps it as a sealed layer, or is as before if anything is raised."""

    def __init__(self, around: Surroundings, parent: Parent, batch: Batch, skip_orders: Sequence[SkipOrder] = ()) -> None:
        self._around = around
        self._state = around.state
        self._parent = parent
        self._batch = batch
        self.height = parent.height + 1
        self.time_ms = max(batch.time_ms, parent.time_ms + 1)
        self._to_skip = {order.tx_id for order in skip_orders if order.height == self.height}
        self._skipped: set[bytes] = set()
        self._numbers = EventNumbers(self._state)
        self._receipts: list[Receipt] = []
        self._receipt_salts: list[bytes] = []
        self._events: list[Event] = []
        self._event_salts: list[bytes] = []
        self._receipt_leaves: list[bytes] = []
        self._event_leaves: list[bytes] = []
        self._seeds: list[bytes] = []
        self._gas_used = 0
        self._market_ms = 0
        self._job_count = 0

    def run(self, transactions: Sequence[tuple[int, Transaction]], prepare: Callable[["BlockRun"], None] | None = None) -> ExecutedBlock:
        """Execute and seal. `transactions` are those kept, with their index in the batch; `prepare` is genesis's own work."""
        state = self._state
        state.begin_block()
        try:
            secret = state.get(SECRET)
            secret = secret if type(secret) is bytes else self._around.chain_id
            self._seeds.append(salts.ledger_seed(secret, self.height, 0))
            if prepare is not None:
                prepare(self)
            epochs = self._around.epochs
            changes = epochs.enter(self.height)
            state.commit_transaction(0)
            epoch, validators_hash = epochs.current()
            self._set_market_time()
            machine = self._around.machine(epoch.parameters.gas_schedule)
            self._change_code(machine, epoch.parameters, secret, changes)
            env = self.environment()
            if prepare is None:
                self._tell_rules(machine, env, epoch.parameters, secret)
                self._run_jobs(machine, env, epoch.parameters, secret)
            self._run_transactions(machine, env, transactions)
            self._around.begin(NOTHING)
            self._close(secret, has_transactions=bool(transactions))
            check_invariants(machine, state, env, self._around.invariants, epoch.parameters.view_gas)
            next_epoch = epochs.upcoming()
            next_job = jobs.next_time(state)
            state_root = state.seal_block(self.height, self._seeds)
        except BaseException:
            state.abandon_block()
            raise
        following = validators_hash if next_epoch is None or next_epoch.first_height != self.height + 1 else next_epoch.validator_set().hash
        header = Header(
            version=epoch.protocol_version,
            chain_id=self._around.chain_id,
            epoch=epoch.number,
            height=self.height,
            parent=self._parent.hash or ZERO_HASH,
            batch_digest=self._batch.digest,
            time_ms=self.time_ms,
            transactions_root=tree_head([leaf_hash(tx.wire_hash) for _, tx in transactions]),
            receipts_root=tree_head(self._receipt_leaves),
            events_root=tree_head(self._event_leaves),
            state_root=state_root,
            validators_hash=validators_hash,
            next_validators_hash=following,
            parameters_hash=epoch.parameters.hash,
            # Without their votes: nodes hold different quorums of them, and the block's own certificate is a quorum's word for them.
            skip_orders=tuple([SkipOrder(self.height, skipped, ()) for skipped in sorted(self._skipped)]),
        )
        return ExecutedBlock(
            header=header,
            header_hash=header.hash,
            kept=tuple([index for index, _ in transactions]),
            job_count=self._job_count,
            receipts=tuple(self._receipts),
            receipt_salts=tuple(self._receipt_salts),
            events=tuple(self._events),
            event_salts=tuple(self._event_salts),
            next_epoch=None if next_epoch is None else next_epoch.as_next(),
            market_ms=self._market_ms,
            next_job_ms=next_job,
            gas_used=self._gas_used,
        )

    def environment(self) -> Environment:
        """The block as contracts see it. Code changes before an environment is made or not at all, so names are resolved once."""
        resolved: dict[str, Contract] = {}
        slowly = self._around.code.resolve

        def resolve(name: str) -> Contract | None:
            contract = resolved.get(name) or slowly(name)
            if contract is not None:
                resolved[name] = contract
            return contract

        return Environment(self._market_ms, self.height, self._around.chain_id, resolve)

    def _set_market_time(self) -> None:
        offset = self._state.get(CLOCK_OFFSET)
        self._market_ms = max(0, self.time_ms + (offset if type(offset) is int else 0))

    def run_system_call(self, call_id: bytes, outcome: Outcome, gas_limit: int, mark: int | None = None) -> int:
        """Record what a genesis call or a job came to, with the seed that was added for it; the bytes of its events and receipt."""
        self._job_count += 1
        return self._record(call_id, outcome, len(self._seeds) - 1, gas_limit, mark)

    def _change_code(self, machine: Machine, parameters: Parameters, secret: bytes, changes: Sequence[tuple[int, Decision]]) -> None:
        """Contracts that change with this epoch, and their hooks; a failed one keeps its old code and its failure stands in a receipt."""
        epochs = self._around.epochs
        for number, decision in changes:
            code, outcome = SKIPPED.code, None
            gas = parameters.jobs_block_gas // len(changes)
            if self._may_run(self._id(b"upgrade", number)):
                self._around.garbage.before(gas)
                code, outcome = epochs.upgrades.carry_out(decision, machine, self.environment, gas, parameters.view_gas)
            epochs.settle(number, code, self.height)
            self._state.commit_transaction(0)
            if outcome is not None:
                self._record_ledger_call(self._id(b"upgrade", number), outcome, secret, gas)

    def _tell_rules(self, machine: Machine, env: Environment, parameters: Parameters, secret: bytes) -> None:
        """Check a new proposal, and tell `rules` what became of proposals and decisions."""
        epochs = self._around.epochs
        proposal = epochs.next_proposal()
        if proposal is not None:
            epochs.check_proposal(proposal, SKIPPED.code if not self._may_run(self._id(b"check", proposal)) else None)
        reports = epochs.take_reports()
        self._state.commit_transaction(0)
        contract = env.resolve(RULES) if reports else None
        if contract is None or REPORT_METHOD not in contract.abi.exports:
            return
        gas = min(parameters.job_gas, REPORT_GAS)
        for report in reports:
            self._around.garbage.before(gas)
            outcome = machine.execute(self._state, env, SYSTEM_SENDER, (Call(RULES, REPORT_METHOD, tuple(report)),), gas, caller=RULES)
            self._record_ledger_call(self._id(b"report-" + report.what.encode(), report.number), outcome, secret, gas)

    def _record_ledger_call(self, call_id: bytes, outcome: Outcome, secret: bytes, gas_limit: int) -> None:
        self._seeds.append(salts.ledger_seed(secret, self.height, _LEDGER_CALLS + len(self._seeds)))
        self.run_system_call(call_id, outcome, gas_limit)

    def _id(self, what: bytes, number: int) -> bytes:
        """What stands for a transaction id where the ledger runs something by itself."""
        return tagged_hash(what, self.height.to_bytes(8, "big"), number.to_bytes(8, "big"))

    def _run_jobs(self, machine: Machine, env: Environment, parameters: Parameters, secret: bytes) -> None:
        """Due jobs in (time, sequence) order, while the block's budget holds a whole job's cap; the rest waits for the next block.

        What changes of code used before them is taken from the budget.
        """
        state, budget = self._state, parameters.jobs_block_gas - self._gas_used
        while budget >= parameters.job_gas:
            job = jobs.next_due(state, self._market_ms)
            if job is None:
                return
            self._seeds.append(salts.ledger_seed(secret, self.height, job.sequence))
            jobs.remove(state, job)
            job_id = job.id(self.height)
            mark, gas, before = state.mark(), parameters.job_gas, self._gas_used
            self._around.garbage.before(gas)
            outcome = machine.execute(state, env, SYSTEM_SENDER, (job.call,), gas, caller=job.contract) if self._may_run(job_id) else SKIPPED
            output = self.run_system_call(job_id, outcome, gas, mark)
            budget -= max(self._gas_used - before, OUTPUT_GAS * output, JOB_LEAST_GAS)

    def _run_transactions(self, machine: Machine, env: Environment, transactions: Sequence[tuple[int, Transaction]]) -> None:
        state, seeds, execute, may_run, garbage = self._state, self._seeds, machine.execute, self._may_run, self._around.garbage
        for _, tx in transactions:
            body = tx.body
            seeds.append(salts.transaction_seed(body.nonce, tx.id))
            garbage.before(body.gas_limit)
            outcome = execute(state, env, body.sender, body.calls, body.gas_limit) if may_run(tx.id) else SKIPPED
            self._record(tx.id, outcome, len(seeds) - 1, body.gas_limit, 0)

    def _may_run(self, run_id: bytes) -> bool:
        """Note what runs next; False if a quorum orders to skip it."""
        if run_id in self._to_skip:
            self._skipped.add(run_id)
            return False
        self._around.begin(run_id)
        return True

    def _record(self, tx_id: bytes, outcome: Outcome, writer: int, gas_limit: int, mark: int | None) -> int:
        """Receipt, events and scheduled calls of one run; its writes are kept under its own seed. Returns the bytes of receipt and events.

        A run with more of them than its gas limit allows is undone back to `mark`, if there is one, and ends as an abort; what the ledger itself ran
        keeps its effect, and loses events and results.
        """
        self._around.garbage.after(outcome.gas_used)
        if outcome.scheduled and not jobs.fit(self._state, outcome.scheduled):
            outcome = self._without_jobs(outcome, gas_limit, mark)
        room = OUTPUT_BYTES + gas_limit // OUTPUT_GAS
        made = self._number(tx_id, outcome, room)
        if made is None:
            if mark is None:
                outcome = Outcome(outcome.status, outcome.code, outcome.gas_used, (), (), outcome.scheduled)
            else:
                self._state.rollback(mark)
                outcome = Outcome(Status.ABORT, TOO_MUCH_OUTPUT, gas_limit)
            made = self._number(tx_id, outcome, room)
            assert made is not None, "a receipt without results fits always"
        receipt, encoded_receipt, events = made
        salt, *event_salts = salts.leaf_salts(self._seeds[writer], 1 + len(events))
        output = len(encoded_receipt)
        for (event, encoded), event_salt in zip(events, event_salts, strict=True):
            self._events.append(event)
            self._event_leaves.append(leaf_hash(event_salt + encoded))
            output += event_room(encoded)
        self._event_salts += event_salts
        if outcome.scheduled:
            jobs.schedule(self._state, outcome.scheduled, self._market_ms)
        self._state.commit_transaction(writer)
        self._receipts.append(receipt)
        self._receipt_salts.append(salt)
        self._receipt_leaves.append(leaf_hash(salt + encoded_receipt))
        self._gas_used += outcome.gas_used
        return output

    def _without_jobs(self, outcome: Outcome, gas_limit: int, mark: int | None) -> Outcome:
        """What becomes of a run that asks for more scheduled calls than may wait: as with too much output."""
        if mark is None:
            return Outcome(outcome.status, outcome.code, outcome.gas_used, outcome.values, outcome.events, ())
        self._state.rollback(mark)
        return Outcome(Status.ABORT, TOO_MANY_JOBS, gas_limit)

    def _number(self, tx_id: bytes, outcome: Outcome, room: int) -> tuple[Receipt, bytes, list[tuple[Event, bytes]]] | None:
        """The receipt and events of a run with their encodings; None, with nothing numbered, if they have more bytes than there is room for."""
        returned = tuple([value if value is None else values.to_wire(value) for value in outcome.values])
        receipt = Receipt(tx_id, int(outcome.status), outcome.code, outcome.gas_used, len(self._events), len(outcome.events), returned)
        encoded = encode(receipt)
        left = room - len(encoded)
        events: list[tuple[Event, bytes]] = []
        for item in outcome.events:
            if left < 0:
                break
            made = self._numbers.number(item, tx_id)
            events.append(made)
            left -= event_room(made[1])
        if left < 0:
            self._numbers.forget(outcome.events[: len(events)])
            return None
        return receipt, encoded, events

    def begin_genesis_call(self, part: int) -> None:
        """A seed of its own for the genesis call `part`, counted from 1; market time as the calls before left it."""
        self._seeds.append(salts.ledger_seed(self._around.chain_id, self.height, part))
        self._set_market_time()

    def _close(self, secret: bytes, *, has_transactions: bool) -> None:
        """What the ledger writes at the end: decisions taken up, event heads, the renewed chain secret."""
        self._around.epochs.take_up(self.height)
        self._numbers.write_heads()
        if has_transactions or self.height == 0:
            self._state.put(SECRET, salts.next_secret(secret, self._seeds[-1]))
        self._state.commit_transaction(0)


def event_room(encoded: bytes) -> int:
    """Bytes that an event takes of a run's output."""
    return len(encoded) + _EVENT_BYTES


def genesis_call(run: BlockRun, around: Surroundings, machine: Machine, number: int, call: Call, gas: int) -> Outcome:
    """Run one call of genesis: a contract's `@init`, or an export."""
    contract = around.code.resolve(call.contract)
    if contract is None:
        raise InvariantViolation(f"genesis call {number} names the contract {call.contract!r}, which genesis doesn't install")
    env, state = run.environment(), around.state
    if contract.abi.init is not None and call.method == contract.abi.init.name:
        return machine.init(state, env, SYSTEM_SENDER, contract, call.args, gas)
    return machine.execute(state, env, SYSTEM_SENDER, (call,), gas)
