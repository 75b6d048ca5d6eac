"""Where a contract's gas goes, line by line: the back end of `carbonnode contract gas`.

Gas for straight code is charged in one sum when a function is entered, and again at each turn of a loop. The profile gives each statement its part of that
sum, and what depends on size (texts, sorting, storage by bytes) to the statement that was running. Every unit of gas stands in one row.

How: the contract is compiled with its charges on line numbers of their own, then runs under `sys.settrace`. Profiled code does what the real one does and
uses as much gas; only its line numbers differ.
"""

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Final

import msgspec

from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.local.chain import LocalChain
from carbonnode.vm.contract import Contract, compile_contract
from carbonnode.vm.costs import Costs
from carbonnode.vm.failures import CONTRACT_FILE
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.rewriter import FunctionRewriter, compile_program

_SITES: Final = 1_000_000
"""Charges stand on lines from this on: a source has at most 64 Ki of its own."""
_COMPOUND: Final = (ast.If, ast.While, ast.For)


class ProfileLine(msgspec.Struct, frozen=True):
    """A line that ran: gas in all, its share of all gas in percent, how often it ran, its text."""

    contract: str
    line: int
    gas: int
    share: float
    count: int
    source: str


class Profile(msgspec.Struct, frozen=True):
    """A run's gas. `outside` was charged for the transaction and for entering and leaving methods; `forfeited` is what a failure takes beyond what was used."""

    outcome: Outcome
    lines: tuple[ProfileLine, ...]
    outside: int
    forfeited: int


class _Site:
    """A place that charges one sum for several statements: what each line's part of it is."""

    def __init__(self, costs: Costs, place: ast.FunctionDef | ast.For | ast.While, amount: int) -> None:
        self.amount = amount
        self.head = place.lineno
        self.is_function = isinstance(place, ast.FunctionDef)
        self.parts: Counter[int] = Counter()
        self._block(costs, place.body)
        rest = amount - sum(self.parts.values())
        assert rest >= 0, f"line {place.lineno}: its statements cost more than is charged"
        self.parts[place.lineno] += rest

    def _block(self, costs: Costs, statements: Sequence[ast.stmt]) -> None:
        for node in statements:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring is free
            inner = [*node.body, *node.orelse] if isinstance(node, ast.If) else []
            self.parts[node.lineno] += costs.statement(node) - costs.block(inner)
            self._block(costs, inner)

    def shared(self, used: int) -> Counter[int]:
        """Gas by line of so many charges. A last one that the gas didn't suffice for stands at the head."""
        times, rest = divmod(used, self.amount)
        found = Counter({line: part * times for line, part in self.parts.items()})
        found[self.head] += rest
        return found


class ProfiledContract(Contract):
    """A contract whose charges can be told from its statements by their line numbers."""

    __slots__ = ("_compiled", "lines", "sites")

    def __init__(self, plain: Contract) -> None:
        super().__init__(plain.name, plain.source, plain.program)
        self.sites: list[_Site] = []
        self.lines = _statement_lines(plain)
        self._compiled: dict[int, dict[str, CodeType]] = {}

    def code(self, schedule: GasSchedule) -> dict[str, CodeType]:
        """The compiled functions, with charges on lines of their own."""
        if schedule.version not in self._compiled:
            self._compiled[schedule.version] = compile_program(self.name, self.program, schedule, _rewriter(self.sites))
        return self._compiled[schedule.version]


def _rewriter(sites: list[_Site]) -> type[FunctionRewriter]:
    class ProfilingRewriter(FunctionRewriter):
        """Puts every charge on a line number that names its site."""

        def charge(self, amount: int, place: ast.stmt) -> list[ast.stmt]:
            """A charge on a line of its own."""
            assert isinstance(place, ast.FunctionDef | ast.For | ast.While)
            sites.append(_Site(self.costs, place, amount))
            made = super().charge(amount, place)
            for statement in made:
                for node in ast.walk(statement):
                    if isinstance(node, ast.stmt | ast.expr):
                        node.lineno = node.end_lineno = _SITES + len(sites) - 1
                        node.col_offset = node.end_col_offset = 0
            return made

    return ProfilingRewriter


def _statement_lines(contract: Contract) -> dict[int, int]:
    """Each line of a statement -> the line where the statement starts; a compound statement's own lines are those of its head."""
    found: dict[int, int] = {}
    for info in contract.program.functions.values():
        for node in ast.walk(info.node):
            if isinstance(node, ast.stmt):
                head = node.body[0].lineno - 1 if isinstance(node, _COMPOUND) else node.end_lineno or node.lineno
                for line in range(node.lineno, max(node.lineno, head) + 1):
                    if not isinstance(node, ast.FunctionDef):
                        found[line] = node.lineno
    return found


class _Tracer:
    """Follows the gas from line to line. A place is (contract, line), or None outside all contracts."""

    def __init__(self, gas_left: Callable[[], int], gas: int, contracts: dict[str, ProfiledContract]) -> None:
        self._gas_left = gas_left
        self._contracts = contracts
        self._before = gas
        self._stack: list[tuple[str, int] | None] = [None]
        self.gas: Counter[tuple[str, int] | None] = Counter()
        self.count: Counter[tuple[str, int]] = Counter()

    def settle(self) -> None:
        """What was used since the last event goes to the place where execution stood."""
        left = max(0, self._gas_left())
        self.gas[self._stack[-1]] += self._before - left
        self._before = left

    @contextmanager
    def following(self) -> Iterator[None]:
        """Trace what runs in the body; another tracer (a debugger, coverage) is put back."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)
        self.settle()

    def _enter(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(CONTRACT_FILE):
            return None  # ours, not a contract's
        self.settle()
        self._stack.append(self._stack[-1] if _is_comprehension(frame) else (name[len(CONTRACT_FILE) : -1], 0))
        return self._step

    def _step(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if event == "return":
            self.settle()
            self._stack.pop()
        elif event == "line":
            self._line(frame)
        return self._step

    def _line(self, frame: FrameType) -> None:
        contract = frame.f_code.co_filename[len(CONTRACT_FILE) : -1]
        line = frame.f_lineno
        place = (contract, line if line >= _SITES else self._contracts[contract].lines.get(line, line))
        if place != self._stack[-1]:
            self.settle()
            self._stack[-1] = place
            if not _is_comprehension(frame):
                self.count[place] += 1


def _is_comprehension(frame: FrameType) -> bool:
    """Up to CPython 3.11 a comprehension has a frame of its own: it belongs to the statement around it."""
    return frame.f_code.co_name.startswith("<")


def install(chain: LocalChain, name: str, source: bytes, args: Sequence[Value], gas: int) -> ProfiledContract:
    """Install a contract so that it can be profiled. Raises `ContractRefused`, `LocalRefusal`."""
    contract = ProfiledContract(compile_contract(name, source))
    chain.install(contract, args, gas=gas)
    return contract


def profile(chain: LocalChain, contracts: dict[str, ProfiledContract], call: Call, *, sender: bytes, gas: int) -> Profile:
    """Run a transaction of one call, or a view, on `chain`, all of whose contracts are `contracts`, and say where its gas went."""
    target = contracts.get(call.contract)
    is_view = target is not None and call.method in target.abi.views
    machine = chain.viewer if is_view else chain.machine
    tracer = _Tracer(lambda: machine.gas_left, gas - machine.schedule.transaction, contracts)
    with tracer.following():
        outcome = chain.answer(call.contract, call.method, call.args, sender=sender, gas=gas) if is_view else chain.execute((call,), sender=sender, gas=gas)
    by_line, count = _by_line(tracer, contracts)
    outside = tracer.gas[None] + machine.schedule.transaction
    return Profile(outcome, _rows(outcome, by_line, count, contracts), outside, outcome.gas_used - outside - sum(by_line.values()))


def _by_line(tracer: _Tracer, contracts: dict[str, ProfiledContract]) -> tuple[Counter[tuple[str, int]], Counter[tuple[str, int]]]:
    """Gas and visits by line of the source, charges shared out among the lines they are for."""
    gas: Counter[tuple[str, int]] = Counter()
    count: Counter[tuple[str, int]] = Counter()
    for place, used in tracer.gas.items():
        if place is None:
            continue
        name, line = place
        if line < _SITES:
            gas[place] += used
            continue
        for part, amount in contracts[name].sites[line - _SITES].shared(used).items():
            gas[name, part] += amount
    for (name, line), times in tracer.count.items():
        if line < _SITES:
            count[name, line] += times
        elif contracts[name].sites[line - _SITES].is_function:
            count[name, contracts[name].sites[line - _SITES].head] += times
    return gas, count


def _rows(
    outcome: Outcome, gas: Counter[tuple[str, int]], count: Counter[tuple[str, int]], contracts: dict[str, ProfiledContract]
) -> tuple[ProfileLine, ...]:
    texts = {name: contract.source.decode().split("\n") for name, contract in contracts.items()}
    return tuple(
        ProfileLine(name, line, gas[name, line], round(100 * gas[name, line] / outcome.gas_used, 1), count[name, line], texts[name][line - 1].rstrip())
        for name, line in sorted(gas.keys() | count.keys())
        if gas[name, line] or count[name, line]
    )
