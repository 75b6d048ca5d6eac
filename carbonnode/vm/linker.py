"""Binding a contract to one machine: its functions get the machine's gas cell, its storage the machine's state."""

from collections.abc import Callable, Mapping
from types import CellType, FunctionType
from typing import Any

from carbonnode.vm.cells import share_all
from carbonnode.vm.contract import Contract
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.keys import storage_prefix
from carbonnode.vm.operators import Helper
from carbonnode.vm.program import FunctionInfo, Type, Wanted
from carbonnode.vm.storage import AddressRoom, make_map, make_order, make_var
from carbonnode.vm.values import ARGUMENT_CHECKS, PYTHON_TYPES

_PLAIN = (Type.INT, Type.STR, Type.BYTES, Type.BOOL, Type.NONE)


class Entry:
    """A method that can be called from outside."""

    __slots__ = ("checks", "function", "is_view", "kinds", "name", "plain", "tuples")

    def __init__(self, info: FunctionInfo, function: Callable[..., Any]) -> None:
        self.name = info.name
        self.function = function
        self.is_view = info.wanted is Wanted.VIEW
        self.checks = tuple(ARGUMENT_CHECKS[kind] for _, kind in info.parameters)
        """For arguments from outside."""
        self.kinds = tuple(PYTHON_TYPES[kind] for _, kind in info.parameters)
        self.tuples = tuple(index for index, (_, kind) in enumerate(info.parameters) if kind is Type.TUPLE)
        """For arguments from another contract, whose sizes the VM has kept: only their types are left to check."""
        self.plain = info.returns in _PLAIN
        """Whether results are scalars: immutable, and within the limits as everything that the VM computes."""


class Linked:
    """A contract's methods on one machine."""

    __slots__ = ("entries", "init", "migrate", "name")

    def __init__(self, name: str, entries: dict[str, Entry], init: Entry | None, migrate: Entry | None) -> None:
        self.name = name
        self.entries = entries
        self.init = init
        self.migrate = migrate


def link(contract: Contract, schedule: GasSchedule, helpers: Mapping[str, Helper], cells: Mapping[str, CellType], room: AddressRoom) -> Linked:
    """Compile a contract and bind it; its Maps remember addresses within `room`."""
    program = contract.program
    code = contract.code(schedule)
    namespace: dict[str, Any] = {"__builtins__": {}, **helpers, **program.constants}
    for info in program.storage.values():
        prefix = storage_prefix(contract.name, info.name)
        made = make_map(info, prefix, schedule, room) if info.is_map else make_var(info, prefix, schedule)
        if info.is_map:
            made.update(make_order(info, prefix))
        namespace.update(share_all(made, cells))
    functions: dict[str, Callable[..., Any]] = {}
    for name, body in code.items():
        functions[name] = FunctionType(body, namespace, name, None, (cells["_g"],))
    namespace.update(functions)
    entries = {name: Entry(info, functions[name]) for name, info in program.functions.items() if info.wanted is not Wanted.INTERNAL}
    init = next((entries.pop(name) for name, info in program.functions.items() if info.wanted is Wanted.INIT), None)
    # The hook isn't among the entries: neither a transaction nor a contract can call it.
    migrate = next((entries.pop(name) for name, info in program.functions.items() if info.is_migration), None)
    return Linked(contract.name, entries, init, migrate)
