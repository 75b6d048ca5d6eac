"""A checked contract: its source, hash and interface. Running it needs a `Machine`, which links it to its own gas cell."""

import ast
from collections.abc import Mapping
from enum import Enum
from types import CodeType

import msgspec

from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.values import Scalar
from carbonnode.errors import ContractError
from carbonnode.vm.checker import analyse
from carbonnode.vm.diagnostics import Diagnostic
from carbonnode.vm.gas import SCHEDULES, GasSchedule
from carbonnode.vm.program import FunctionInfo, Program, StorageInfo, Wanted
from carbonnode.vm.rewriter import compile_program


class ContractRefused(ContractError):
    """The checker refused a source; `errors` says where and why."""

    code = "contract-refused"

    def __init__(self, name: str, errors: tuple[Diagnostic, ...]) -> None:
        shown = "; ".join(str(error) for error in errors[:3])
        super().__init__(f"contract {name!r} is refused by the checker: {shown}")
        self.errors = errors


class Kind(Enum):
    """How a function may be called from outside."""

    EXPORT = "export"
    VIEW = "view"
    INIT = "init"
    MIGRATE = "migrate"
    """The hook of an upgrade: only the ledger calls it."""


class Parameter(msgspec.Struct, frozen=True, gc=False):
    """A positional parameter: name, and type as written (`int`, `str`, `bytes`, `bool`, `tuple`)."""

    name: str
    type: str


class Method(msgspec.Struct, frozen=True, gc=False):
    """A function of the interface. `doc` is its docstring, `returns` its type as written."""

    name: str
    kind: Kind
    parameters: tuple[Parameter, ...]
    returns: str
    doc: str = ""
    line: int = 0


class StorageShape(msgspec.Struct, frozen=True, gc=False):
    """A `Map` (with key types) or a `Var` (without), as declared."""

    name: str
    keys: tuple[str, ...]
    value: str


class Abi(msgspec.Struct, frozen=True, gc=False):
    """The interface of a contract."""

    exports: Mapping[str, Method]
    views: Mapping[str, Method]
    init: Method | None
    storage: tuple[StorageShape, ...]
    migrate: Method | None = None
    doc: str = ""

    def method(self, name: str) -> Method | None:
        """The export or view of this name."""
        return self.exports.get(name) or self.views.get(name)


class Contract:
    """A contract that the checker accepted. Immutable; equal in identity only."""

    __slots__ = ("_code", "abi", "constants", "key", "name", "program", "source", "source_hash")

    def __init__(self, name: str, source: bytes, program: Program) -> None:
        self.name = name
        self.source = source
        self.source_hash = blake2b_256(source)
        self.key = (name, self.source_hash)
        self.program = program
        self.constants: Mapping[str, Scalar | tuple[object, ...]] = program.constants
        self.abi = _abi(program)
        self._code: dict[int, dict[str, CodeType]] = {}

    def code(self, schedule: GasSchedule) -> dict[str, CodeType]:
        """The compiled functions under a gas schedule; compiled once."""
        found = self._code.get(schedule.version)
        if found is None:
            found = self._code[schedule.version] = compile_program(self.name, self.program, schedule)
        return found


def compile_contract(name: str, source: bytes) -> Contract:
    """Check a source and read its interface. Raises `ContractRefused` with the diagnostics."""
    if not is_contract_name(name):
        problem = Diagnostic(1, 1, "contract-name", "a contract's name is 1 to 64 of a-z, 0-9 and _, and starts with a letter")
        raise ContractRefused(name, (problem,))
    program, errors = analyse(source)
    if program is None:
        raise ContractRefused(name, errors)
    contract = Contract(name, source, program)
    try:
        contract.code(next(iter(SCHEDULES.values())))
    except SyntaxError as error:
        # The checker should have known. Refused here, it can't stop an executor when it is called.
        problem = Diagnostic(error.lineno or 1, 1, "compile", f"this doesn't compile: {error.msg}; simplify the line")
        raise ContractRefused(name, (problem,)) from error
    return contract


def is_contract_name(name: str) -> bool:
    """Whether a contract may have this name."""
    return 1 <= len(name) <= 64 and name.isascii() and name[0].islower() and all(c.islower() or c.isdigit() or c == "_" for c in name)


def _abi(program: Program) -> Abi:
    methods = {name: _method(info) for name, info in program.functions.items() if info.wanted is not Wanted.INTERNAL}
    of_kind = {kind: {n: m for n, m in methods.items() if m.kind is kind} for kind in Kind}
    return Abi(
        exports=of_kind[Kind.EXPORT],
        views=of_kind[Kind.VIEW],
        init=next(iter(of_kind[Kind.INIT].values()), None),
        storage=tuple(_shape(info) for info in program.storage.values()),
        migrate=next(iter(of_kind[Kind.MIGRATE].values()), None),
        doc=program.doc,
    )


def _method(info: FunctionInfo) -> Method:
    parameters = tuple(Parameter(name, kind.value) for name, kind in info.parameters)
    doc = ast.get_docstring(info.node, clean=True) or ""
    kind = Kind.MIGRATE if info.is_migration else Kind(info.wanted.value)
    return Method(info.name, kind, parameters, info.returns.value, doc, info.node.lineno)


def _shape(info: StorageInfo) -> StorageShape:
    return StorageShape(info.name, tuple(kind.value for kind in info.keys), info.value.value)
