"""One gas counter for everything that runs: free variables of compiled contracts and of guards, replaced by a machine's shared cells.

Contracts, guards and storage are compiled apart, each with a variable of its own for the gas that is left. Rebuilding a function with
another closure makes that variable the machine's: taking gas off then costs as much as a local variable of an enclosing function.
"""

from collections.abc import Callable, Mapping
from types import CellType, FunctionType
from typing import Any

Function = Callable[..., Any]


def share_all(functions: Mapping[str, Function], cells: Mapping[str, CellType]) -> dict[str, Function]:
    """The functions, and those they close over, rebuilt so that free variables with the names of `cells` are those cells."""
    rebuilt: dict[int, CellType] = {}
    return {name: _share(function, cells, rebuilt) for name, function in functions.items()}


def _share(function: Function, cells: Mapping[str, CellType], rebuilt: dict[int, CellType]) -> Function:
    if not isinstance(function, FunctionType) or function.__closure__ is None:
        return function
    closure: list[CellType] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True):
        if name in cells:
            closure.append(cells[name])
        elif isinstance(cell.cell_contents, FunctionType) and cell.cell_contents.__closure__ is not None:
            inner = rebuilt.get(id(cell))
            if inner is None:
                inner = rebuilt[id(cell)] = CellType(None)
                inner.cell_contents = _share(cell.cell_contents, cells, rebuilt)
            closure.append(inner)
        else:
            closure.append(cell)
    made = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, tuple(closure))
    made.__kwdefaults__ = function.__kwdefaults__
    return made
