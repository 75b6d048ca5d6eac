"""What runs while a transaction runs: the gas cell, the calls between contracts, events and scheduled jobs."""

from collections.abc import Callable, Sequence
from types import CellType
from typing import Any

from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.vm import codes
from carbonnode.vm.cells import share_all
from carbonnode.vm.comparisons import Comparisons, Subscripts
from carbonnode.vm.contract import Contract
from carbonnode.vm.failures import ContractAbort, OutOfGas, failure_code, failure_place
from carbonnode.vm.functions import FUNCTIONS, Functions
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import MAX_CALL_DEPTH, MAX_CONTRACT_NAME, MAX_EVENTS, MAX_SCHEDULED
from carbonnode.vm.linker import Entry, Linked, link
from carbonnode.vm.methods import ContainerMethods, TextMethods
from carbonnode.vm.operators import INTEGER_OPERATORS, Arithmetic, Charge, Helper
from carbonnode.vm.outcome import EmittedEvent, Outcome, ScheduledCall, Status
from carbonnode.vm.state import Environment, StateAccess
from carbonnode.vm.storage import LARGEST_64, SMALLEST_64, AddressRoom, check_tuple
from carbonnode.vm.values import Border, weight

MAX_LINKED_SOURCE = 768 * 1024
"""Bytes of source whose contracts stay linked from one run to the next; one byte of source is up to about 330 of memory (docs/adr/0024)."""
_LATEST_MS = 1 << 62


class Context:
    """What a contract reads as `ctx`."""

    __slots__ = ("caller", "chain", "height", "self", "sender", "time")

    def __init__(self) -> None:
        self.sender = b""
        self.caller = ""
        self.self = ""
        self.time = 0
        self.height = 0
        self.chain = b""


class Runtime:
    """One machine's insides. Runs one thing at a time."""

    def __init__(self, schedule: GasSchedule) -> None:
        self.schedule = schedule
        self.call_cost = schedule.call
        self.text_shift = schedule.per_value_shift
        self.per_large = schedule.per_large_integer
        self.context = Context()
        self.gas = CellType(0)
        self.reading = CellType(False)
        names = ("state_get", "state_put", "state_delete", "state_next", "state_prev")
        self.access = {name: CellType(None) for name in names}
        self.cells: dict[str, CellType] = {"_g": self.gas, "gas": self.gas, "reading": self.reading, **self.access}
        self.helpers = self._make_helpers()
        self.linked: dict[tuple[str, bytes], Linked] = {}
        self.linked_source = 0
        self.room = AddressRoom()
        self.state: StateAccess | None = None
        self.resolve: Callable[[str], Contract | None] = _no_contract
        self.stack: list[Linked] = []
        self.events: list[EmittedEvent] = []
        self.scheduled: list[ScheduledCall] = []

    def _make_helpers(self) -> dict[str, Helper]:
        charge = share_all({"charge": _make_charge()}, self.cells)["charge"]
        found: dict[str, Helper] = {**INTEGER_OPERATORS, **FUNCTIONS}
        for group in (Arithmetic, Comparisons, Subscripts, Functions, ContainerMethods, TextMethods):
            found.update(group(self.schedule, charge).helpers())
        self.charge = charge
        self.border = Border(self.schedule, charge)
        own: dict[str, Helper] = {"_emit": self.emit, "_call": self.call, "_try_call": self.try_call, "_schedule": self.schedule_call}
        own.update({"_look": self.look, "_looked": self.looked})
        return {**found, **own, "_ctx": self.context}  # type: ignore[dict-item]  # the context stands among the helpers

    # Running.

    def run(
        self,
        state: StateAccess,
        env: Environment,
        sender: bytes,
        calls: Sequence[Call],
        gas_limit: int,
        *,
        caller: str,
        view: bool,
    ) -> Outcome:
        """Run calls as one unit."""

        def body() -> tuple[Value, ...]:
            return tuple([self.outermost(call, caller, view=view) for call in calls])

        return self.guarded(state, env, sender, gas_limit, body, view=view)

    def initialise(
        self, state: StateAccess, env: Environment, sender: bytes, contract: Contract, args: tuple[Value, ...], gas_limit: int
    ) -> Outcome:
        """Run a contract's `@init`."""

        def body() -> tuple[Value, ...]:
            linked = self.link(contract)
            if linked.init is None:
                if args:
                    raise ContractAbort(codes.ARGUMENTS)
                return (None,)
            self.charge(self.call_cost)
            self.check(linked.init, args)
            result = self.invoke(linked, linked.init, args, "")
            self.border.recorded(result)
            return (result,)

        return self.guarded(state, env, sender, gas_limit, body, view=False)

    def migrate(self, state: StateAccess, env: Environment, sender: bytes, contract: Contract, old_version: int, gas_limit: int) -> Outcome:
        """Run a contract's `migrate` hook; one without it has nothing to do."""

        def body() -> tuple[Value, ...]:
            linked = self.link(contract)
            if linked.migrate is None:
                return (None,)
            self.charge(self.call_cost)
            self.check(linked.migrate, (old_version,))
            return (self.invoke(linked, linked.migrate, (old_version,), ""),)

        return self.guarded(state, env, sender, gas_limit, body, view=False)

    def guarded(
        self, state: StateAccess, env: Environment, sender: bytes, gas_limit: int, body: Callable[[], tuple[Value, ...]], *, view: bool
    ) -> Outcome:
        """Set the stage, run, and turn what happened into an outcome. A failure leaves the state as it was and costs the whole limit."""
        self.prepare(state, env, sender, gas_limit - self.schedule.transaction, view=view)
        mark = state.mark()
        try:
            if self.gas.cell_contents < 0:
                raise OutOfGas
            values = body()
        except OutOfGas as stop:
            state.rollback(mark)
            return Outcome(Status.OUT_OF_GAS, codes.OUT_OF_GAS, gas_limit, where=failure_place(stop))
        except Exception as error:  # noqa: BLE001  # failure_code raises again what no contract can have caused
            code = failure_code(error)
            state.rollback(mark)
            return Outcome(Status.ABORT, code, gas_limit, where=failure_place(error))
        return Outcome(Status.OK, "", gas_limit - self.gas.cell_contents, values, tuple(self.events), tuple(self.scheduled))

    def prepare(self, state: StateAccess, env: Environment, sender: bytes, gas: int, *, view: bool) -> None:
        """Point the shared cells at this run."""
        if state is not self.state:
            self.state = state
            access = self.access
            access["state_get"].cell_contents = state.get
            access["state_put"].cell_contents = state.put
            access["state_delete"].cell_contents = state.delete
            access["state_next"].cell_contents = state.next_key
            access["state_prev"].cell_contents = state.prev_key
        if self.linked_source > MAX_LINKED_SOURCE:
            # Between runs: what runs now stays bounded by the room for addresses as well.
            self.linked.clear()
            self.room.clear()
            self.linked_source = 0
        self.gas.cell_contents = gas
        self.reading.cell_contents = view
        context = self.context
        context.sender, context.caller, context.self = sender, "", ""
        context.time, context.height, context.chain = env.time_ms, env.height, env.chain_id
        self.resolve = env.resolve
        self.stack, self.events, self.scheduled = [], [], []

    def link(self, contract: Contract) -> Linked:
        """The contract bound to this machine, compiled the first time it is seen."""
        found = self.linked.get(contract.key)
        if found is None:
            found = self.linked[contract.key] = link(contract, self.schedule, self.helpers, self.cells, self.room)
            self.linked_source += len(contract.source)
        return found

    def outermost(self, call: Call, caller: str, *, view: bool) -> Value:
        """Run one of a transaction's calls: its result goes into the receipt."""
        result = self.enter(call.contract, call.method, call.args, caller, view=view)
        if result is not None:
            self.border.recorded(result)
        return result

    def enter(self, name: str, method: str, args: Sequence[Value], caller: str, *, view: bool = False) -> Value:
        """Call an exported method."""
        self.charge(self.call_cost)
        # A name that can't be one isn't looked up: the state would remember that it isn't there.
        contract = self.resolve(name) if len(name) <= MAX_CONTRACT_NAME else None
        if contract is None:
            raise ContractAbort(codes.NO_CONTRACT)
        linked = self.linked.get(contract.key) or self.link(contract)
        entry = linked.entries.get(method)
        if entry is None or (view and not entry.is_view):
            raise ContractAbort(codes.NO_METHOD)
        if self.stack:
            self.check_inner(entry, args)
        else:
            self.check(entry, args)
        return self.invoke(linked, entry, args, caller)

    def check(self, entry: Entry, args: Sequence[Any]) -> None:
        """Check arguments from outside: types, limits, UTF-8."""
        if len(args) != len(entry.checks):
            raise ContractAbort(codes.ARGUMENTS)
        for check, arg in zip(entry.checks, args, strict=True):
            if type(arg) is tuple:
                self.charge(4 * weight(arg))
            check(arg)

    def check_inner(self, entry: Entry, args: Sequence[Any]) -> None:
        """Check arguments from another contract: types, and that nothing mutable is inside."""
        if tuple(map(type, args)) != entry.kinds:
            raise ContractAbort(codes.ARGUMENTS)
        for index in entry.tuples:
            self.border.passed(args[index])

    def invoke(self, linked: Linked, entry: Entry, args: Sequence[Any], caller: str) -> Value:
        """Run one method on checked arguments in a frame of its own: its own context, a frozen result."""
        context, reading = self.context, self.reading
        before = (context.self, context.caller, reading.cell_contents)
        context.self, context.caller = linked.name, caller
        if entry.is_view:
            reading.cell_contents = True
        self.stack.append(linked)
        try:
            result = entry.function(*args)
        finally:
            self.stack.pop()
            context.self, context.caller, reading.cell_contents = before
        if entry.plain:
            return result  # type: ignore[no-any-return]  # the rewriter has checked its type
        return self.border.returned(result)

    def look(self) -> bool:
        """A view that reaches other contracts begins, called as a function by an export perhaps: none may write. Whether that was so before.

        Nothing has to be undone where it fails: `invoke` puts back what was, and no contract catches a failure below that.
        """
        before: bool = self.reading.cell_contents
        self.reading.cell_contents = True
        return before

    def looked(self, before: bool, value: Any) -> Any:
        """Such a view ends with this value."""
        self.reading.cell_contents = before
        return value

    # Between contracts.

    def call(self, name: Any, method: Any, *args: Any) -> Value:
        """`call(contract, method, ...)`."""
        if type(name) is not str or type(method) is not str:
            raise ContractAbort(codes.TYPE)
        if len(self.stack) >= MAX_CALL_DEPTH:
            raise ContractAbort(codes.CALL_DEPTH)
        own = self.context.self
        if name != own:
            for linked in self.stack:
                if linked.name == name:
                    raise ContractAbort(codes.REENTRANT)
        return self.enter(name, method, args, own)

    def try_call(self, name: Any, method: Any, *args: Any) -> tuple[bool, Value]:
        """`try_call(contract, method, ...)`: (True, result), or (False, code) with everything undone but the gas."""
        assert self.state is not None
        mark, events, scheduled = self.state.mark(), len(self.events), len(self.scheduled)
        try:
            return True, self.call(name, method, *args)
        except Exception as error:  # noqa: BLE001  # failure_code raises again what no contract can have caused
            code = failure_code(error)
        self.state.rollback(mark)
        del self.events[events:]
        del self.scheduled[scheduled:]
        return False, code

    def emit(self, name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> None:
        """`emit("Name", field=value, ...)`."""
        if self.reading.cell_contents:
            raise ContractAbort(codes.VIEW_WRITE)
        if len(self.events) >= MAX_EVENTS:
            raise ContractAbort(codes.LIMIT)
        if "to" in fields and type(values[fields.index("to")]) is not str:
            raise ContractAbort(codes.TYPE)
        size = large = 0
        for value in values:
            kind = type(value)
            if kind is str or kind is bytes:
                size += len(value)
            elif kind is int:
                large += not SMALLEST_64 <= value <= LARGEST_64
            elif kind is not bool and value is not None:
                raise ContractAbort(codes.TYPE)
        self.charge((size >> self.text_shift) + large * self.per_large)
        self.events.append(EmittedEvent(self.context.self, name, tuple(zip(fields, values, strict=True))))

    def schedule_call(self, at_ms: Any, method: Any, args: Any) -> None:
        """`schedule(at_ms, method, args)`: a call of this contract's own export, later."""
        if self.reading.cell_contents:
            raise ContractAbort(codes.VIEW_WRITE)
        if type(at_ms) is not int or type(method) is not str or (type(args) is not tuple and type(args) is not list):
            raise ContractAbort(codes.TYPE)
        if not 0 <= at_ms < _LATEST_MS:
            raise ContractAbort(codes.VALUE)
        if len(self.scheduled) >= MAX_SCHEDULED:
            raise ContractAbort(codes.LIMIT)
        entry = self.stack[-1].entries.get(method)
        if entry is None or entry.is_view:
            raise ContractAbort(codes.NO_METHOD)
        if len(args) != len(entry.checks):
            raise ContractAbort(codes.ARGUMENTS)
        for check, arg in zip(entry.checks, args, strict=True):
            if type(arg) is tuple:
                self.charge(4 * weight(arg))
            check(arg)
        shape = check_tuple(tuple(args), depth=0)
        self.charge((shape.size >> self.text_shift) + shape.large * self.per_large)
        self.scheduled.append(ScheduledCall(self.context.self, at_ms, method, tuple(args)))


def _make_charge() -> Charge:
    gas = 0

    def charge(amount: int) -> None:
        nonlocal gas
        gas -= amount
        if gas < 0:
            raise OutOfGas

    return charge


def _no_contract(_: str) -> Contract | None:
    return None
