"""Rewriting of expressions: each becomes plain Python that calls guards, or a guard in line where the types are known."""

import ast
from collections.abc import Callable
from typing import Any, Final

from carbonnode.vm.comparisons import LONG_TEXT
from carbonnode.vm.costs import Costs
from carbonnode.vm.inference import Inference
from carbonnode.vm.limits import INT_LIMIT, MAX_DICT_INT_KEY
from carbonnode.vm.program import Program, Type

GAS: Final = "_g"
TEMP: Final = "_t"
CONTEXT: Final = "_ctx"

_HELPERS: Final[dict[type[ast.AST], str]] = {
    ast.Add: "_add",
    ast.Sub: "_sub",
    ast.Mult: "_mul",
    ast.FloorDiv: "_floordiv",
    ast.Mod: "_mod",
    ast.Pow: "_pow",
    ast.LShift: "_lshift",
    ast.RShift: "_rshift",
    ast.BitAnd: "_and",
    ast.BitOr: "_or",
    ast.BitXor: "_xor",
    ast.Eq: "_eq",
    ast.NotEq: "_ne",
    ast.Lt: "_lt",
    ast.LtE: "_le",
    ast.Gt: "_gt",
    ast.GtE: "_ge",
    ast.USub: "_neg",
    ast.UAdd: "_pos",
    ast.Invert: "_invert",
}
_GUARDED: Final = (ast.Add, ast.Sub, ast.Mult, ast.BitOr, ast.BitXor)
"""Integer operations whose result may leave the limits by a little: done first, checked after."""
_BOUNDED: Final = (ast.FloorDiv, ast.Mod, ast.BitAnd)
"""Integer operations whose result lies within the limits if the operands do."""
_COMPARABLE: Final = (Type.INT, Type.BYTES, Type.BOOL)
"""Types whose values are compared in line. Of texts only equality with a short constant is tested there: what else takes longer is charged by size."""
_PLAIN: Final = (ast.Name, ast.Subscript, ast.Call)
_SAFE_KEYS: Final = (Type.STR, Type.BYTES)
"""Keys that a dict is asked for in line. Integers aren't: their hashes are themselves, so that a helper charges for what they may probe."""
_INDEXED: Final = (Type.LIST, Type.TUPLE, Type.STR, Type.BYTES)


def load(name: str) -> ast.Name:
    """A name that is read."""
    return ast.Name(id=name, ctx=ast.Load())


def call(name: str, *args: ast.expr) -> ast.Call:
    """A call of a helper."""
    return ast.Call(func=load(name), args=list(args), keywords=[])


def within_limits(value: ast.expr) -> ast.Compare:
    """`-2^256 <= value <= 2^256`."""
    low, high = ast.Constant(value=-INT_LIMIT), ast.Constant(value=INT_LIMIT)
    return ast.Compare(left=low, ops=[ast.LtE(), ast.LtE()], comparators=[value, high])


class ExpressionRewriter:
    """Rewrites the expressions of one function."""

    def __init__(self, program: Program, types: Inference, costs: Costs) -> None:
        self.program = program
        self.types = types
        self.costs = costs
        self.nested = 0
        """Above 0 inside a comprehension, where a temporary can't be bound."""
        self.sourced = 0
        """Above 0 inside a comprehension's source, where not even the gas can be bound: a helper takes it."""

    def expr(self, node: ast.expr) -> ast.expr:
        """The rewritten expression, at the place of the old one."""
        return ast.copy_location(self.rewrite(node), node)

    def exprs(self, nodes: list[ast.expr]) -> list[ast.expr]:
        """Several."""
        return [self.expr(node) for node in nodes]

    def rewrite(self, node: ast.expr) -> ast.expr:
        """The rewritten expression."""
        return _REWRITE[type(node)](self, node)

    def binary(self, node: ast.BinOp) -> ast.expr:
        """`a + b`."""
        left, right = self.types.of(node.left), self.types.of(node.right)
        return self.operation(node.op, self.expr(node.left), self.expr(node.right), left, right)

    def either(self, node: ast.BoolOp | ast.IfExp) -> ast.expr:
        """`a and b`, `a if b else c`."""
        if isinstance(node, ast.BoolOp):
            return ast.BoolOp(op=node.op, values=self.exprs(node.values))
        return ast.IfExp(test=self.expr(node.test), body=self.expr(node.body), orelse=self.expr(node.orelse))

    def display(self, node: ast.Tuple | ast.List) -> ast.expr:
        """A tuple or list display."""
        return type(node)(elts=self.exprs(node.elts), ctx=ast.Load())

    def dict_display(self, node: ast.Dict) -> ast.expr:
        """A dict display."""
        return ast.Dict(keys=[self.dict_key(key) for key in node.keys if key], values=self.exprs(node.values))

    @staticmethod
    def leaf(node: ast.Attribute | ast.Name | ast.Constant) -> ast.expr:
        """A name, a literal, or a part of `ctx`."""
        if isinstance(node, ast.Attribute):
            return ast.Attribute(value=load(CONTEXT), attr=node.attr, ctx=ast.Load())
        return load(node.id) if isinstance(node, ast.Name) else ast.Constant(value=node.value)

    # Operators.

    def operation(self, op: ast.operator, left: ast.expr, right: ast.expr, left_type: Type, right_type: Type) -> ast.expr:
        """A binary operation on rewritten operands of known types."""
        if left_type is Type.INT and right_type is Type.INT:
            if isinstance(op, _BOUNDED):
                return ast.BinOp(left=left, op=op, right=right)
            if isinstance(op, _GUARDED):
                return self.guarded(ast.BinOp(left=left, op=op, right=right))
        return call(_HELPERS[type(op)], left, right)

    def guarded(self, value: ast.expr) -> ast.expr:
        """An integer, checked."""
        if self.nested:
            return call("_chk", value)
        bound = ast.NamedExpr(target=ast.Name(id=TEMP, ctx=ast.Store()), value=value)
        return ast.IfExp(test=within_limits(bound), body=load(TEMP), orelse=call("_overflow"))

    def is_guarded(self, op: ast.operator, left_type: Type, right_type: Type) -> bool:
        """Whether an operation is done in line and checked after."""
        return isinstance(op, _GUARDED) and left_type is Type.INT and right_type is Type.INT

    def unary(self, node: ast.UnaryOp) -> ast.expr:
        """`-x`, `+x`, `~x`, `not x`."""
        operand = self.expr(node.operand)
        if isinstance(node.op, ast.Not):
            return ast.UnaryOp(op=node.op, operand=operand)
        if self.types.of(node.operand) is not Type.INT:
            return call(_HELPERS[type(node.op)], operand)
        plain = ast.UnaryOp(op=node.op, operand=operand)
        return self.guarded(plain) if isinstance(node.op, ast.Invert) else plain

    def comparison(self, node: ast.Compare) -> ast.expr:
        """A comparison, `in`, `is None`."""
        op, right = node.ops[0], node.comparators[0]
        if isinstance(op, ast.Is | ast.IsNot):
            if not isinstance(node.left, _PLAIN):
                # CPython warns of `is` on what folds to a literal.
                found: ast.expr = call("_is_none", self.expr(node.left))
                return found if isinstance(op, ast.Is) else ast.UnaryOp(op=ast.Not(), operand=found)
            return ast.Compare(left=self.expr(node.left), ops=[op], comparators=[ast.Constant(value=None)])
        if isinstance(op, ast.In | ast.NotIn):
            found = self.membership(node.left, right)
            return found if isinstance(op, ast.In) else ast.UnaryOp(op=ast.Not(), operand=found)
        kind = self.types.of(node.left)
        if kind is self.types.of(right) and (
            kind in _COMPARABLE or (kind is Type.STR and isinstance(op, ast.Eq | ast.NotEq) and self.is_short(node.left, right))
        ):
            return ast.Compare(left=self.expr(node.left), ops=[op], comparators=[self.expr(right)])
        return call(_HELPERS[type(op)], self.expr(node.left), self.expr(right))

    def is_short(self, *sides: ast.expr) -> bool:
        """Whether one of two expressions is a short text that stands in the source: comparing the other with it takes no longer."""
        constants = self.program.constants
        known = [side.value if isinstance(side, ast.Constant) else constants.get(side.id) if isinstance(side, ast.Name) else None for side in sides]
        return any(type(value) is str and len(value) < LONG_TEXT for value in known)

    def membership(self, item: ast.expr, where: ast.expr) -> ast.expr:
        """`item in where`."""
        if self.is_storage(where):
            return call(f"_has_{where.id}", *self.key(item))  # type: ignore[attr-defined]  # is_storage has seen a Name
        if self.types.of(where) is Type.DICT and self.types.of(item) in _SAFE_KEYS:
            return ast.Compare(left=self.expr(item), ops=[ast.In()], comparators=[self.expr(where)])
        return call("_in", self.expr(item), self.expr(where))

    # Subscripts and displays.

    def subscript(self, node: ast.Subscript) -> ast.expr:
        """`x[i]`, `x[a:b]`, `m[key]`."""
        if self.is_storage(node.value):
            return call(f"_item_{node.value.id}", *self.key(node.slice))  # type: ignore[attr-defined]
        if isinstance(node.slice, ast.Slice):
            bounds = [ast.Constant(value=None) if bound is None else self.expr(bound) for bound in (node.slice.lower, node.slice.upper)]
            return call("_slice", self.expr(node.value), *bounds)
        plain = isinstance(node.value, _PLAIN)
        key, where = self.types.of(node.slice), self.types.of(node.value)
        if plain and (key in _SAFE_KEYS or (key is Type.INT and where in _INDEXED)):
            return ast.Subscript(value=self.expr(node.value), slice=self.expr(node.slice), ctx=ast.Load())
        return call("_item", self.expr(node.value), self.expr(node.slice))

    def key(self, node: ast.expr) -> list[ast.expr]:
        """The parts of a Map's key."""
        return self.exprs(node.elts if isinstance(node, ast.Tuple) else [node])

    def dict_key(self, node: ast.expr) -> ast.expr:
        """A key in a dict display."""
        safe = self.types.of(node) in (Type.STR, Type.BYTES)
        if isinstance(node, ast.Constant) and type(node.value) is int:
            safe = node.value <= MAX_DICT_INT_KEY
        return self.expr(node) if safe else call("_key", self.expr(node))

    def comprehension(self, node: ast.ListComp) -> ast.expr:
        """A list comprehension: every item that it looks at is charged, and its length is bounded."""
        generator = node.generators[0]
        self.nested += 1
        self.sourced += 1
        source = self.source(generator.iter, bounded=not generator.ifs)
        self.sourced -= 1
        first = self.payment(self.costs.comprehension_turn(node))
        inner = ast.comprehension(target=generator.target, iter=source, ifs=[first, *self.exprs(generator.ifs)], is_async=0)
        made: ast.expr = ast.ListComp(elt=self.expr(node.elt), generators=[inner])
        self.nested -= 1
        if isinstance(generator.iter, ast.Call) and isinstance(generator.iter.func, ast.Name) and generator.ifs:
            made = call("_made", made)
        return made

    def payment(self, amount: int) -> ast.expr:
        """An expression that takes gas and is true, or stops."""
        if self.sourced:
            return call("_pay", ast.Constant(value=amount))
        left = ast.BinOp(left=load(GAS), op=ast.Sub(), right=ast.Constant(value=amount))
        charge = ast.NamedExpr(target=ast.Name(id=GAS, ctx=ast.Store()), value=left)
        enough = ast.Compare(left=charge, ops=[ast.GtE()], comparators=[ast.Constant(value=0)])
        return ast.BoolOp(op=ast.Or(), values=[enough, call("_oog")])

    def source(self, node: ast.expr, *, bounded: bool = False) -> ast.expr:
        """What a loop runs over."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "range":
                known = all(self.types.of(arg) is Type.INT for arg in node.args)
                helper = "_bounded_range" if bounded else "_native_range" if known else "_range"
                return ast.copy_location(call(helper, *self.exprs(node.args)), node)
            if node.func.id == "enumerate":
                return ast.copy_location(call("_native_enumerate", self.source(node.args[0])), node)
        rewritten = self.expr(node)
        if self.types.of(node) in (Type.LIST, Type.TUPLE):
            return rewritten
        return ast.copy_location(call("_iter", rewritten), node)

    # Calls.

    def call(self, node: ast.Call) -> ast.expr:
        """A call of a function, built-in or method."""
        func = node.func
        if isinstance(func, ast.Attribute):
            if self.is_storage(func.value):
                return self.storage_call(func.value.id, func.attr, node.args)  # type: ignore[attr-defined]
            return self.method_call(func, node.args)
        assert isinstance(func, ast.Name)
        if func.id in self.program.functions:
            return self.own_call(func.id, node.args)
        if func.id == "emit":
            names = ast.Tuple(elts=[ast.Constant(value=keyword.arg) for keyword in node.keywords], ctx=ast.Load())
            values = ast.Tuple(elts=[self.expr(keyword.value) for keyword in node.keywords], ctx=ast.Load())
            return call("_emit", self.expr(node.args[0]), names, values)
        return self.builtin(func.id, node.args)

    def own_call(self, name: str, args: list[ast.expr]) -> ast.expr:
        """A call of a function of this contract: arguments are shown to have the types it says."""
        parameters = self.program.functions[name].parameters
        return call(name, *[self.cast(arg, kind) for arg, (_, kind) in zip(args, parameters, strict=True)])

    def cast(self, node: ast.expr, kind: Type) -> ast.expr:
        """An expression, checked to be of a type unless that is known."""
        rewritten = self.expr(node)
        if kind is Type.ANY or self.types.of(node) is kind:
            return rewritten
        return ast.copy_location(call(f"_as_{kind.value}", rewritten), node)

    def builtin(self, name: str, args: list[ast.expr]) -> ast.expr:
        """A built-in function."""
        rewritten = self.exprs(args)
        integers = all(self.types.of(arg) is Type.INT for arg in args)
        if integers and (name in ("str", "abs") or (name in ("min", "max") and len(args) > 1)):
            return call(f"_native_{name}", *rewritten)
        return call(f"_{name}", *rewritten)

    def method_call(self, func: ast.Attribute, args: list[ast.expr]) -> ast.expr:
        """A method of a value."""
        where = self.expr(func.value)
        rewritten = self.exprs(args)
        if func.attr == "get" and self.types.of(func.value) is Type.DICT and self.types.of(args[0]) in _SAFE_KEYS:
            return ast.Call(func=ast.Attribute(value=where, attr="get", ctx=ast.Load()), args=rewritten, keywords=[])
        return call(f"_m_{func.attr}", where, *rewritten)

    def storage_call(self, name: str, method: str, args: list[ast.expr]) -> ast.expr:
        """A method of a Map or Var."""
        is_map = self.program.storage[name].is_map
        if method == "get" and is_map:
            default = self.expr(args[1]) if len(args) > 1 else ast.Constant(value=None)
            return call(f"_get_{name}", default, *self.key(args[0]))
        if method == "get":
            return call(f"_getor_{name}", self.expr(args[0])) if args else call(f"_get_{name}")
        helper = "put" if method == "set" else method
        return call(f"_{helper}_{name}", *self.exprs(args))

    def is_storage(self, node: ast.expr) -> bool:
        """Whether a name means a Map or Var."""
        return isinstance(node, ast.Name) and node.id in self.program.storage


_REWRITE: Final[dict[type[ast.expr], Callable[[ExpressionRewriter, Any], ast.expr]]] = {
    ast.Constant: lambda _, node: ExpressionRewriter.leaf(node),
    ast.Name: lambda _, node: ExpressionRewriter.leaf(node),
    ast.Attribute: lambda _, node: ExpressionRewriter.leaf(node),
    ast.BinOp: ExpressionRewriter.binary,
    ast.UnaryOp: ExpressionRewriter.unary,
    ast.BoolOp: ExpressionRewriter.either,
    ast.IfExp: ExpressionRewriter.either,
    ast.Compare: ExpressionRewriter.comparison,
    ast.Subscript: ExpressionRewriter.subscript,
    ast.Tuple: ExpressionRewriter.display,
    ast.List: ExpressionRewriter.display,
    ast.Dict: ExpressionRewriter.dict_display,
    ast.ListComp: ExpressionRewriter.comprehension,
    ast.Call: ExpressionRewriter.call,
}
"""What the checker lets through, and nothing else: a missing entry is a bug of ours, and raises."""
