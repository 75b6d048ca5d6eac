"""From a checked program to code: gas, guards and storage calls are written in, then CPython compiles it.

All functions are nested in one outer function that owns the variable `_g`, so that each has it as a free variable; the linker then puts the
machine's cell there. Names that start with `_` are the VM's: the checker lets no contract use one.
"""

import ast
from types import CodeType

from carbonnode.vm.check_module import is_docstring
from carbonnode.vm.costs import Costs
from carbonnode.vm.failures import CONTRACT_FILE
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.inference import Inference
from carbonnode.vm.program import FunctionInfo, Program, Type
from carbonnode.vm.rewrite_expressions import GAS, ExpressionRewriter, call, load, within_limits

_OUTER = "_outer"
READING = "_r"
"""Whether writing was forbidden before a view that reaches other contracts was called."""


def compile_program(name: str, program: Program, schedule: GasSchedule, rewriter: "type[FunctionRewriter] | None" = None) -> dict[str, CodeType]:
    """The code of every function of a program; each has exactly the free variable `_g`. A profiler brings a `rewriter` of its own."""
    rewrite = rewriter or FunctionRewriter
    types = Inference(program)
    costs = Costs(schedule, program)
    functions: list[ast.stmt] = [rewrite(program, types, costs, info).function() for info in program.functions.values()]
    cell = ast.Assign(targets=[ast.Name(id=GAS, ctx=ast.Store())], value=ast.Constant(value=0))
    # Declared global, so that functions find one another in the contract's namespace and only the gas is a free variable.
    known = ast.Global(names=list(program.functions))
    outer = _function(_OUTER, [], [known, cell, *functions])
    module = ast.fix_missing_locations(ast.Module(body=[outer], type_ignores=[]))
    code = compile(module, f"{CONTRACT_FILE}{name}>", "exec", dont_inherit=True, optimize=0)
    inner = next(item for item in code.co_consts if isinstance(item, CodeType))
    found = {item.co_name: item for item in inner.co_consts if isinstance(item, CodeType)}
    for item in found.values():
        assert item.co_freevars == (GAS,), f"{item.co_name} has the free variables {item.co_freevars}"
    return found


def _function(name: str, parameters: list[str], body: list[ast.stmt]) -> ast.FunctionDef:
    arguments = ast.arguments(posonlyargs=[], args=[ast.arg(arg=parameter) for parameter in parameters], kwonlyargs=[], kw_defaults=[], defaults=[])
    definition = ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=[])
    if "type_params" in ast.FunctionDef._fields:
        definition.type_params = []  # type: ignore[attr-defined]  # since CPython 3.12
    return definition


class FunctionRewriter(ExpressionRewriter):
    """Rewrites the statements of one function."""

    def __init__(self, program: Program, types: Inference, costs: Costs, info: FunctionInfo) -> None:
        super().__init__(program, types, costs)
        self.info = info

    def function(self) -> ast.FunctionDef:
        """The rewritten function."""
        node = self.info.node
        body = node.body[1:] if is_docstring(node.body[0]) else node.body
        start: list[ast.stmt] = [ast.Nonlocal(names=[GAS]), *self.charge(self.costs.schedule.function + self.costs.block(body), node)]
        if self.info.looks:
            start.append(self.bind(READING, call("_look")))
        rewritten = start + self.block(body)
        if self.info.looks:
            rewritten.append(ast.Expr(value=call("_looked", load(READING), ast.Constant(value=None))))
        if self.info.returns not in (Type.ANY, Type.NONE) and not (body and isinstance(body[-1], ast.Return)):
            rewritten.append(ast.Expr(value=call("_fell_off")))
        parameters = [name for name, _ in self.info.parameters]
        return ast.copy_location(_function(self.info.name, parameters, rewritten), node)

    def charge(self, amount: int, place: ast.stmt) -> list[ast.stmt]:
        """Take gas off the counter, and stop below zero."""
        take = ast.AugAssign(target=ast.Name(id=GAS, ctx=ast.Store()), op=ast.Sub(), value=ast.Constant(value=amount))
        empty = ast.Compare(left=load(GAS), ops=[ast.Lt()], comparators=[ast.Constant(value=0)])
        stop = ast.If(test=empty, body=[ast.Expr(value=call("_oog"))], orelse=[])
        return [ast.copy_location(take, place), ast.copy_location(stop, place)]

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Rewritten statements, at the places of the old ones."""
        found: list[ast.stmt] = []
        for statement in statements:
            found.extend(ast.copy_location(new, statement) for new in self.statement(statement))
        return found

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        """What stands in place of a statement."""
        match node:
            case ast.Assign():
                return self.assign(node.targets[0], node.value)
            case ast.AugAssign():
                return self.augmented(node)
            case ast.If():
                return [ast.If(test=self.expr(node.test), body=self.block(node.body), orelse=self.block(node.orelse))]
            case ast.While():
                body = self.charge(self.costs.turn(node), node) + self.block(node.body)
                return [ast.While(test=self.expr(node.test), body=body, orelse=[])]
            case ast.For():
                body = self.charge(self.costs.turn(node), node) + self.block(node.body)
                return [ast.For(target=node.target, iter=self.source(node.iter), body=body, orelse=[])]
            case ast.Return():
                return [ast.Return(value=self.returned(node))]
            case ast.Delete():
                return [self.delete(target) for target in node.targets]
            case ast.Expr():
                return [self.effect(node.value)]
        return [node]

    def returned(self, node: ast.Return) -> ast.expr:
        """The value of a `return`, shown to have the type that the function says; a view that kept others from writing stops doing so."""
        if node.value is not None:
            value = self.cast(node.value, self.info.returns)
        else:
            value = ast.Constant(value=None) if self.info.returns in (Type.ANY, Type.NONE) else call("_fell_off")
        return call("_looked", load(READING), value) if self.info.looks else value

    def assign(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """`target = value`."""
        if isinstance(target, ast.Name) and isinstance(value, ast.BinOp):
            left, right = self.types.of(value.left), self.types.of(value.right)
            if self.is_guarded(value.op, left, right):
                raw = ast.BinOp(left=self.expr(value.left), op=value.op, right=self.expr(value.right))
                return [ast.Assign(targets=[target], value=raw), self.check(target.id)]
        return [self.store(target, self.expr(value))]

    def check(self, name: str) -> ast.stmt:
        """Stop if a local integer has left the limits."""
        outside = ast.UnaryOp(op=ast.Not(), operand=within_limits(load(name)))
        return ast.If(test=outside, body=[ast.Expr(value=call("_overflow"))], orelse=[])

    def store(self, target: ast.expr, value: ast.expr) -> ast.stmt:
        """A rewritten value goes to a target."""
        if not isinstance(target, ast.Subscript):
            return ast.Assign(targets=[target], value=value)
        if self.is_storage(target.value):
            return ast.Expr(value=call(f"_put_{target.value.id}", value, *self.key(target.slice)))  # type: ignore[attr-defined]
        return ast.Expr(value=call("_setitem", value, self.expr(target.value), self.expr(target.slice)))

    def augmented(self, node: ast.AugAssign) -> list[ast.stmt]:
        """`target += value`: a subscript's parts are evaluated once."""
        target = node.target
        value, kind = self.expr(node.value), self.types.of(node.value)
        if isinstance(target, ast.Name):
            own = self.types.of(target)
            if self.is_guarded(node.op, own, kind):
                plain = ast.AugAssign(target=ast.Name(id=target.id, ctx=ast.Store()), op=node.op, value=value)
                return [plain, self.check(target.id)]
            return [ast.Assign(targets=[ast.Name(id=target.id, ctx=ast.Store())], value=self.combined(node.op, load(target.id), value, own, kind))]
        assert isinstance(target, ast.Subscript)
        if self.is_storage(target.value):
            name = target.value.id  # type: ignore[attr-defined]
            parts = self.key(target.slice)
            temps = [f"_k{index}" for index in range(len(parts))]
            keep = [self.bind(temp, part) for temp, part in zip(temps, parts, strict=True)]
            before = call(f"_item_{name}", *[load(temp) for temp in temps])
            after = self.combined(node.op, before, value, self.program.storage[name].value, kind)
            return [*keep, ast.Expr(value=call(f"_put_{name}", after, *[load(temp) for temp in temps]))]
        keep = [self.bind("_x", self.expr(target.value)), self.bind("_k0", self.expr(target.slice))]
        after = self.combined(node.op, call("_item", load("_x"), load("_k0")), value, self.types.of(target), kind)
        return [*keep, ast.Expr(value=call("_setitem", after, load("_x"), load("_k0")))]

    def combined(self, op: ast.operator, before: ast.expr, value: ast.expr, left: Type, right: Type) -> ast.expr:
        """The new value of an augmented assignment: a list grows in place."""
        if isinstance(op, ast.Add) and left in (Type.LIST, Type.ANY) and right in (Type.LIST, Type.TUPLE, Type.ANY):
            return call("_iadd", before, value)
        return self.operation(op, before, value, left, right)

    @staticmethod
    def bind(name: str, value: ast.expr) -> ast.stmt:
        """A temporary of the VM's own."""
        return ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=value)

    def delete(self, target: ast.expr) -> ast.stmt:
        """`del m[key]`."""
        assert isinstance(target, ast.Subscript)
        if self.is_storage(target.value):
            return ast.Expr(value=call(f"_del_{target.value.id}", *self.key(target.slice)))  # type: ignore[attr-defined]
        return ast.Expr(value=call("_delitem", self.expr(target.value), self.expr(target.slice)))

    def effect(self, node: ast.expr) -> ast.stmt:
        """A call for its effect; `require` becomes an `if`, so that the code is only looked at when it is needed."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
            condition, code = node.args
            stop = ast.copy_location(ast.Expr(value=call("_abort", self.expr(code))), node)
            return ast.If(test=ast.UnaryOp(op=ast.Not(), operand=self.expr(condition)), body=[stop], orelse=[])
        return ast.Expr(value=self.expr(node))
