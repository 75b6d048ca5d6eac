"""Static types of locals, parameters, results and expressions, so that the rewriter can guard integers in line.

A forward fixpoint over the whole contract: every local has the join of all that is assigned to it, every unannotated parameter the join of
what is passed. `None` stands for "nothing seen yet". A wrong guess here would be a hole in the guards, so that everything not proven is
`ANY`, and goes through a helper that looks at the types while running.
"""

import ast
from collections.abc import Callable
from typing import Any, Final

from carbonnode.vm.program import FunctionInfo, Program, Type
from carbonnode.vm.words import BUILTINS, CONTEXT, METHODS

Known = Type | None
_MAX_PASSES = 12
_JOINED = (Type.INT, Type.STR, Type.BYTES, Type.TUPLE, Type.LIST)
_CONSTANTS: dict[type, Type] = {int: Type.INT, str: Type.STR, bytes: Type.BYTES, bool: Type.BOOL, tuple: Type.TUPLE, type(None): Type.NONE}
_INTEGER_ONLY = (ast.Sub, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift)


def join(a: Known, b: Known) -> Known:
    """The least type that holds both."""
    if a is None or a is b:
        return b
    return a if b is None else Type.ANY


class Inference:
    """The types of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.parameters: dict[str, list[Known]] = {}
        self.results: dict[str, Known] = {}
        self.locals: dict[str, dict[str, Known]] = {}
        self.nodes: dict[int, Known] = {}
        self.changed = True
        for name, info in program.functions.items():
            self.parameters[name] = [None if kind is Type.ANY else kind for _, kind in info.parameters]
            self.results[name] = None if info.returns is Type.ANY else info.returns
            self.locals[name] = {}
        passes = 0
        while self.changed:
            self.changed = False
            self.nodes.clear()
            passes += 1
            if passes == _MAX_PASSES:
                self.give_up()
            for name in program.order:
                _Pass(self, program.functions[name]).run()

    def give_up(self) -> None:
        """Take everything that isn't written down for `ANY`: a source made to need a pass for each line mustn't take quadratic time."""
        for name, info in self.program.functions.items():
            self.locals[name] = dict.fromkeys(_names_in(info.node), Type.ANY)
            self.parameters[name] = [kind for _, kind in info.parameters]
            self.results[name] = info.returns

    def of(self, node: ast.expr) -> Type:
        """The type of an expression of the program."""
        return self.nodes.get(id(node)) or Type.ANY

    def local(self, function: str, name: str) -> Type:
        """The type of a local of a function."""
        return self.locals[function].get(name) or Type.ANY

    def passed(self, function: str, index: int) -> Type:
        """The type of a parameter, and so what arguments must be shown to be."""
        return self.parameters[function][index] or Type.ANY

    def note_parameter(self, function: str, index: int, kind: Known) -> None:
        """A call passes this to a parameter without annotation."""
        if self.program.functions[function].parameters[index][1] is Type.ANY:
            joined = join(self.parameters[function][index], kind)
            if joined is not self.parameters[function][index]:
                self.parameters[function][index] = joined
                self.changed = True

    def note_result(self, function: str, kind: Known) -> None:
        """A function without annotation returns this."""
        if self.program.functions[function].returns is Type.ANY:
            joined = join(self.results[function], kind)
            if joined is not self.results[function]:
                self.results[function] = joined
                self.changed = True

    def note_local(self, function: str, name: str, kind: Known) -> None:
        """A function assigns this to a local."""
        known = self.locals[function]
        joined = join(known.get(name), kind)
        if joined is not known.get(name):
            known[name] = joined
            self.changed = True


class _Pass:
    """One walk over one function."""

    def __init__(self, whole: Inference, info: FunctionInfo) -> None:
        self.whole = whole
        self.program = whole.program
        self.info = info
        self.scopes: list[dict[str, Known]] = []

    def run(self) -> None:
        """Walk the body."""
        for index, (name, _) in enumerate(self.info.parameters):
            self.whole.note_local(self.info.name, name, self.whole.parameters[self.info.name][index])
        self.block(self.info.node.body)
        self.whole.note_result(self.info.name, Type.NONE if _may_fall_off(self.info.node.body) else None)

    def block(self, statements: list[ast.stmt]) -> None:
        """Statements in a row."""
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """One statement."""
        if isinstance(node, ast.Assign):
            self.assign(node.targets[0], self.type_of(node.value))
        elif isinstance(node, ast.AugAssign):
            left, right = self.type_of(node.target), self.type_of(node.value)
            kind = self.operation(node.op, left, right)
            if left is Type.ANY and right in (Type.LIST, Type.TUPLE):
                kind = Type.ANY  # a list takes a tuple by +=
            self.assign(node.target, kind)
        elif isinstance(node, ast.If | ast.While):
            self.type_of(node.test)
            self.block(node.body)
            self.block(node.orelse)
        elif isinstance(node, ast.For):
            self.bind_loop(node.target, node.iter, None)
            self.block(node.body)
        elif isinstance(node, ast.Return):
            self.whole.note_result(self.info.name, Type.NONE if node.value is None else self.type_of(node.value))
        elif isinstance(node, ast.Expr):
            self.type_of(node.value)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                self.type_of(target)

    def assign(self, target: ast.expr, kind: Known) -> None:
        """A value of this type goes to a target."""
        if isinstance(target, ast.Name):
            self.whole.note_local(self.info.name, target.id, kind)
        elif isinstance(target, ast.Tuple):
            for item in target.elts:
                self.assign(item, Type.ANY if kind is not Type.BYTES else Type.INT)
        else:
            self.type_of(target)

    def bind_loop(self, target: ast.expr, source: ast.expr, scope: dict[str, Known] | None) -> None:
        """The targets of a loop (in the function's scope) or of a comprehension (in `scope`)."""
        first, rest = Type.ANY, Type.ANY
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.func.id in ("range", "enumerate"):
            for arg in source.args:
                self.type_of(arg)
            first = Type.INT
            if source.func.id == "enumerate" and not isinstance(target, ast.Tuple):
                first = Type.TUPLE
        else:
            self.type_of(source)
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        for index, name in enumerate(names):
            kind = first if index == 0 else rest
            if not isinstance(name, ast.Name):
                continue
            if scope is None:
                self.whole.note_local(self.info.name, name.id, kind)
            else:
                scope[name.id] = kind

    def type_of(self, node: ast.expr) -> Known:
        """The type of an expression, noted for the rewriter."""
        kind = self.compute(node)
        self.whole.nodes[id(node)] = kind
        return kind

    def compute(self, node: ast.expr) -> Known:
        """The type of an expression."""
        return _TYPES[type(node)](self, node)

    @staticmethod
    def constant(node: ast.Constant) -> Known:
        """A literal."""
        return _CONSTANTS[type(node.value)]

    def binary(self, node: ast.BinOp) -> Known:
        """`a + b`."""
        return self.operation(node.op, self.type_of(node.left), self.type_of(node.right))

    def unary(self, node: ast.UnaryOp) -> Known:
        """`-a`, `not a`."""
        self.type_of(node.operand)
        return Type.BOOL if isinstance(node.op, ast.Not) else Type.INT

    def either(self, node: ast.BoolOp | ast.IfExp) -> Known:
        """One of several values."""
        if isinstance(node, ast.BoolOp):
            return self.joined([self.type_of(value) for value in node.values])
        self.type_of(node.test)
        return self.joined([self.type_of(node.body), self.type_of(node.orelse)])

    def comparison(self, node: ast.Compare) -> Known:
        """`a < b`."""
        self.type_of(node.left)
        self.type_of(node.comparators[0])
        return Type.BOOL

    def display(self, node: ast.Tuple | ast.List) -> Known:
        """A tuple or list display."""
        for item in node.elts:
            self.type_of(item)
        return Type.TUPLE if isinstance(node, ast.Tuple) else Type.LIST

    def dict_display(self, node: ast.Dict) -> Known:
        """A dict display."""
        for item in [*[key for key in node.keys if key], *node.values]:
            self.type_of(item)
        return Type.DICT

    @staticmethod
    def context(node: ast.Attribute) -> Known:
        """`ctx.sender`."""
        return CONTEXT[node.attr]

    @staticmethod
    def joined(kinds: list[Known]) -> Known:
        """The join of several."""
        result: Known = None
        for kind in kinds:
            result = join(result, kind)
        return result

    def name(self, node: ast.Name) -> Known:
        """The type of a name that is read."""
        name = node.id
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        if name in self.program.constants:
            return _CONSTANTS[type(self.program.constants[name])]
        if name in self.program.storage:
            return Type.ANY
        return self.whole.locals[self.info.name].get(name)

    @staticmethod
    def operation(op: ast.operator, left: Known, right: Known) -> Known:
        """The type of a binary operation that didn't abort."""
        if isinstance(op, _INTEGER_ONLY):
            return Type.INT
        if left is None or right is None:
            return None
        if isinstance(op, ast.Add):
            return next((kind for kind in (left, right) if kind in _JOINED), Type.ANY)
        if isinstance(op, ast.Mult):
            return Type.INT if left is Type.INT and right is Type.INT else Type.ANY
        return next((kind for kind in (left, right) if kind in (Type.INT, Type.BOOL)), Type.ANY)

    def subscript(self, node: ast.Subscript) -> Known:
        """`x[i]`, `x[a:b]`, `m[key]`."""
        is_slice = isinstance(node.slice, ast.Slice)
        if isinstance(node.slice, ast.Slice):
            for bound in (node.slice.lower, node.slice.upper):
                if bound is not None:
                    self.type_of(bound)
        else:
            self.type_of(node.slice)
        if isinstance(node.value, ast.Name) and node.value.id in self.program.storage:
            return self.program.storage[node.value.id].value
        whole = self.type_of(node.value)
        if is_slice or whole is None or whole is Type.STR:
            return whole
        return Type.INT if whole is Type.BYTES else Type.ANY

    def comprehension(self, node: ast.ListComp) -> Known:
        """A list comprehension."""
        generator = node.generators[0]
        scope: dict[str, Known] = {}
        self.bind_loop(generator.target, generator.iter, scope)
        self.scopes.append(scope)
        for condition in generator.ifs:
            self.type_of(condition)
        self.type_of(node.elt)
        self.scopes.pop()
        return Type.LIST

    def call(self, node: ast.Call) -> Known:
        """A call."""
        func = node.func
        arguments = [*node.args, *[keyword.value for keyword in node.keywords]]
        kinds = [self.type_of(arg) for arg in arguments]
        if isinstance(func, ast.Name):
            if func.id in self.program.functions:
                for index, kind in enumerate(kinds):
                    self.whole.note_parameter(func.id, index, kind)
                return self.whole.results[func.id]
            if func.id in ("min", "max") and len(kinds) > 1:
                return self.joined(kinds)
            return BUILTINS[func.id].returns
        assert isinstance(func, ast.Attribute)
        if isinstance(func.value, ast.Name) and func.value.id in self.program.storage:
            return self.storage_call(func.attr, func.value.id, kinds)
        self.type_of(func.value)
        return METHODS[func.attr].returns

    def storage_call(self, method: str, name: str, kinds: list[Known]) -> Known:
        """A method of a Map or Var."""
        storage = self.program.storage[name]
        if method == "get":
            if storage.is_map:
                return join(storage.value, kinds[1] if len(kinds) > 1 else Type.NONE)
            return join(storage.value, kinds[0]) if kinds else storage.value
        return Type.NONE if method == "set" else Type.ANY


_TYPES: Final[dict[type[ast.expr], Callable[[_Pass, Any], Known]]] = {
    ast.Constant: lambda _, node: _Pass.constant(node),
    ast.Name: _Pass.name,
    ast.BinOp: _Pass.binary,
    ast.UnaryOp: _Pass.unary,
    ast.BoolOp: _Pass.either,
    ast.IfExp: _Pass.either,
    ast.Compare: _Pass.comparison,
    ast.Subscript: _Pass.subscript,
    ast.Tuple: _Pass.display,
    ast.List: _Pass.display,
    ast.Dict: _Pass.dict_display,
    ast.ListComp: _Pass.comprehension,
    ast.Call: _Pass.call,
    ast.Attribute: lambda _, node: _Pass.context(node),
}


def _names_in(function: ast.FunctionDef) -> list[str]:
    names = [node.id for node in ast.walk(function) if isinstance(node, ast.Name)]
    return names + [arg.arg for arg in function.args.args]


def _may_fall_off(body: list[ast.stmt]) -> bool:
    return not isinstance(body[-1], ast.Return)
