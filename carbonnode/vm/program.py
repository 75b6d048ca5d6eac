"""The checker's result: a program whose every name, function and storage declaration is known."""

import ast
from dataclasses import dataclass, field
from enum import Enum

# The checker needs nothing that isn't in the standard library: its verdict is compared on interpreters that have nothing else.
Constant = bool | int | str | bytes | tuple[object, ...] | None


class Type(Enum):
    """The types of the dialect, as written in annotations. `ANY` can't be written: the checker doesn't know."""

    INT = "int"
    STR = "str"
    BYTES = "bytes"
    BOOL = "bool"
    TUPLE = "tuple"
    LIST = "list"
    DICT = "dict"
    NONE = "None"
    ANY = "any"


MIGRATE = "migrate"
"""The name that makes an `@export` the upgrade hook."""
KEY_TYPES = frozenset((Type.INT, Type.STR, Type.BYTES, Type.BOOL))
VALUE_TYPES = KEY_TYPES | {Type.TUPLE}
RETURN_TYPES = VALUE_TYPES | {Type.LIST, Type.NONE}


class Wanted(Enum):
    """What a function is for: part of the interface, or a helper."""

    EXPORT = "export"
    VIEW = "view"
    INIT = "init"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class StorageInfo:
    """A `Map` (with key types) or a `Var` (without any)."""

    name: str
    keys: tuple[Type, ...]
    value: Type
    line: int

    @property
    def is_map(self) -> bool:
        """Whether it is a `Map`."""
        return bool(self.keys)


@dataclass(slots=True)
class FunctionInfo:
    """A function. A parameter or result without annotation has `Type.ANY` (helpers only)."""

    name: str
    wanted: Wanted
    node: ast.FunctionDef
    parameters: tuple[tuple[str, Type], ...]
    returns: Type
    calls: set[str] = field(default_factory=set)
    writes: list[tuple[ast.AST, str]] = field(default_factory=list)
    """Places that write, emit or schedule, and what they do: forbidden below a view."""
    reaches: bool = False
    """Whether it calls contracts, by itself or through functions that it calls."""

    @property
    def looks(self) -> bool:
        """Whether this is a view that must keep what it calls from writing: also where an export calls it as a function."""
        return self.wanted is Wanted.VIEW and self.reaches

    @property
    def is_migration(self) -> bool:
        """Whether this is the hook that the ledger runs when the source becomes a contract's next version."""
        return self.name == MIGRATE and self.wanted is Wanted.EXPORT


@dataclass(slots=True)
class Program:
    """A checked source."""

    doc: str
    constants: dict[str, Constant]
    storage: dict[str, StorageInfo]
    functions: dict[str, FunctionInfo]
    order: tuple[str, ...] = ()
    """Functions so that callees stand before their callers."""
