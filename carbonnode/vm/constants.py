"""Constant expressions at module level, computed once by the checker, under the same limits as running code."""

import ast
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, cast

from carbonnode.vm.limits import INT_LIMIT, MAX_CONTAINER, MAX_TEXT_BYTES, MAX_VALUE_DEPTH
from carbonnode.vm.program import Constant

_COMPUTE: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.FloorDiv: operator.floordiv,
        ast.Mod: operator.mod,
        ast.Pow: operator.pow,
        ast.LShift: operator.lshift,
    }
)


class NotConstant(Exception):
    """An expression that isn't a constant, or breaks a limit; `node` says where."""

    def __init__(self, node: ast.AST, message: str) -> None:
        super().__init__(message)
        self.node = node


def evaluate(node: ast.expr, known: Mapping[str, Constant], depth: int = 0) -> Constant:
    """The value of a constant expression over literals and earlier constants. Raises `NotConstant`."""
    if isinstance(node, ast.Constant):
        return literal(node)
    if isinstance(node, ast.Name):
        return _named(node, known, depth)
    if isinstance(node, ast.Tuple):
        if depth >= MAX_VALUE_DEPTH + 1:
            raise NotConstant(node, f"constant tuples nest at most {MAX_VALUE_DEPTH + 1} deep")
        if len(node.elts) > MAX_CONTAINER:
            raise NotConstant(node, f"a tuple has at most {MAX_CONTAINER} items")
        return tuple(evaluate(item, known, depth + 1) for item in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_integer(node.operand, known)
    if isinstance(node, ast.BinOp):
        return _operation(node, known)
    message = "a constant is an int, str, bytes, bool, None, a tuple of them, or integer arithmetic"
    if isinstance(node, ast.List | ast.Dict | ast.Set):
        message = "a list or dict at module level would be state shared between calls: write a tuple, or use a `Map`"
    raise NotConstant(node, message)


def _named(node: ast.Name, known: Mapping[str, Constant], depth: int) -> Constant:
    """An earlier constant."""
    if node.id not in known:
        raise NotConstant(node, f"{node.id!r} isn't a constant declared above this line")
    if depth + _levels(known[node.id]) > MAX_VALUE_DEPTH + 1:
        raise NotConstant(node, f"constant tuples nest at most {MAX_VALUE_DEPTH + 1} deep, {node.id!r} included")
    return known[node.id]


def _levels(value: object) -> int:
    """How deep a constant nests; a scalar is 0. The same inner tuple, by whatever names, is gone through once."""
    if not isinstance(value, tuple):
        return 0
    inner = {id(item): item for item in value if isinstance(item, tuple)}
    return 1 + max(map(_levels, inner.values()), default=0)


def literal(node: ast.Constant) -> Constant:
    """The value of a literal. Raises `NotConstant` for one that is outside the limits."""
    value = node.value
    kind = type(value)
    if kind is int and cast(int, value) > INT_LIMIT:
        raise NotConstant(node, "integers lie within +-2^256")
    if kind is str and len(cast(str, value).encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise NotConstant(node, f"a text has at most {MAX_TEXT_BYTES} bytes")
    if kind is bytes and len(cast(bytes, value)) > MAX_TEXT_BYTES:
        raise NotConstant(node, f"a bytes value has at most {MAX_TEXT_BYTES} bytes")
    if value is None or kind in (int, str, bytes, bool):
        return cast(Constant, value)
    raise NotConstant(node, f"a {kind.__name__} isn't in the dialect")


def _integer(node: ast.expr, known: Mapping[str, Constant]) -> int:
    value = evaluate(node, known)
    if type(value) is not int:
        raise NotConstant(node, "constant arithmetic is for integers")
    return value


def _operation(node: ast.BinOp, known: Mapping[str, Constant]) -> int:
    left, right = _integer(node.left, known), _integer(node.right, known)
    operation = node.op
    compute = _COMPUTE.get(type(operation))
    if compute is None:
        raise NotConstant(node, "constant arithmetic knows + - * // % ** <<")
    if isinstance(operation, ast.Pow | ast.LShift) and not 0 <= right <= 256:
        raise NotConstant(node, "the exponent or shift of a constant lies in 0..256")
    if isinstance(operation, ast.Pow) and abs(left) > 1 and (left.bit_length() - 1) * right > 256:
        raise NotConstant(node, "the constant leaves +-2^256")
    if isinstance(operation, ast.FloorDiv | ast.Mod) and right == 0:
        raise NotConstant(node, "a division by zero")
    result = compute(left, right)
    if not -INT_LIMIT <= result <= INT_LIMIT:
        raise NotConstant(node, "the constant leaves +-2^256")
    return result
