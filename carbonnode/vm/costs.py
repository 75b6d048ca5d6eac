"""Static costs: what a run of statements costs before anything that depends on size.

The cost of a block is that of all its statements, branches not taken included, without the bodies of its loops: those are charged each turn.
Costs follow from the source alone, never from what the rewriter makes of it.
"""

import ast

from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.program import Program

_SEARCHES = frozenset(("strip", "split", "join", "find"))
_QUICK_METHODS = frozenset(("append", "insert", "extend", "get"))


class Costs:
    """Costs of the nodes of one program under one schedule."""

    def __init__(self, schedule: GasSchedule, program: Program) -> None:
        self.schedule = schedule
        self.program = program

    def block(self, statements: list[ast.stmt]) -> int:
        """The cost of statements in a row."""
        return sum(self.statement(statement) for statement in statements)

    def statement(self, node: ast.stmt) -> int:
        """The cost of one statement, without the bodies of loops."""
        cost = self.schedule.statement
        match node:
            case ast.Assign():
                cost += self.expression(node.value) + sum(self.target(target) for target in node.targets)
            case ast.AugAssign():
                cost += self.operator(node.op) + self.expression(node.value) + self.target(node.target)
                if isinstance(node.target, ast.Subscript):
                    cost += self.expression(node.target)
            case ast.If():
                cost += self.expression(node.test) + self.block(node.body) + self.block(node.orelse)
            case ast.While():
                cost += self.expression(node.test)
            case ast.For():
                cost += self.expression(node.iter) + self.schedule.loop
            case ast.Return():
                cost += self.expression(node.value) if node.value is not None else 0
            case ast.Delete():
                cost += sum(self.removal(target) for target in node.targets)
            case ast.Expr():
                cost += self.expression(node.value)
        return cost

    def turn(self, node: ast.For | ast.While) -> int:
        """The cost of one turn of a loop."""
        test = self.expression(node.test) if isinstance(node, ast.While) else self.target(node.target)
        return self.schedule.loop_turn + test + self.block(node.body)

    def comprehension_turn(self, node: ast.ListComp) -> int:
        """The cost of one item that a comprehension looks at."""
        generator = node.generators[0]
        conditions = sum(self.schedule.statement + self.expression(condition) for condition in generator.ifs)
        return self.schedule.loop_turn + self.schedule.display_item + self.target(generator.target) + conditions + self.expression(node.elt)

    def target(self, node: ast.expr) -> int:
        """The cost of assigning to a target."""
        if isinstance(node, ast.Tuple):
            return self.schedule.display_item * len(node.elts)
        if isinstance(node, ast.Subscript):
            inner = self.expression(node.slice) + self.expression(node.value)
            return inner + (self.schedule.write if self.is_storage(node.value) else self.schedule.item_write)
        return 0

    def removal(self, node: ast.expr) -> int:
        """The cost of `del`."""
        assert isinstance(node, ast.Subscript)
        inner = self.expression(node.slice) + self.expression(node.value)
        return inner + (self.schedule.delete if self.is_storage(node.value) else self.schedule.builtin)

    def expression(self, root: ast.expr) -> int:
        """The cost of an expression, without what a comprehension in it does per item."""
        cost = 0
        waiting: list[ast.AST] = [root]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.ListComp):
                cost += self.schedule.display + self.schedule.loop
                waiting.append(node.generators[0].iter)
                continue
            if isinstance(node, ast.expr):
                cost += self.own(node)
            waiting.extend(ast.iter_child_nodes(node))
        return cost

    def own(self, node: ast.expr) -> int:
        """What a node costs beside its parts."""
        schedule = self.schedule
        match node:
            case ast.BinOp():
                return self.operator(node.op)
            case ast.Compare():
                return self.comparison(node)
            case ast.BoolOp():
                return schedule.statement * len(node.values)
            case ast.IfExp() | ast.UnaryOp(op=ast.Not()):
                return schedule.statement
            case ast.UnaryOp():
                return schedule.unary
            case ast.Subscript():
                return self.subscript(node)
            case ast.Tuple() | ast.List():
                return schedule.display + schedule.display_item * len(node.elts)
            case ast.Dict():
                return schedule.dict_display + 3 * schedule.display_item * len(node.values) + (len(node.values) ** 2 >> schedule.per_probe_shift + 1)
            case ast.Call():
                return self.call(node)
        return schedule.context if isinstance(node, ast.Attribute) else 0

    def comparison(self, node: ast.Compare) -> int:
        """What a comparison costs."""
        if not isinstance(node.ops[0], ast.In | ast.NotIn):
            return self.schedule.comparison
        return self.schedule.read if self.is_storage(node.comparators[0]) else self.schedule.membership

    def subscript(self, node: ast.Subscript) -> int:
        """What reading an item or a slice costs."""
        if self.is_storage(node.value):
            return self.schedule.read
        return self.schedule.slice if isinstance(node.slice, ast.Slice) else self.schedule.subscript

    def operator(self, op: ast.operator) -> int:
        """What a binary operator costs."""
        if isinstance(op, ast.Add | ast.Sub | ast.Mult):
            return self.schedule.operator
        return self.schedule.power if isinstance(op, ast.Pow | ast.LShift | ast.RShift) else self.schedule.division

    def call(self, node: ast.Call) -> int:
        """What a call costs beside its arguments."""
        schedule, func = self.schedule, node.func
        if isinstance(func, ast.Attribute):
            if not self.is_storage(func.value):
                return schedule.search if func.attr in _SEARCHES else schedule.builtin if func.attr in _QUICK_METHODS else schedule.method
            return {"get": schedule.read, "set": schedule.write}.get(func.attr, schedule.step)
        name = func.id if isinstance(func, ast.Name) else ""
        if name in self.program.functions:
            return schedule.local_call + len(node.args) * schedule.display_item
        special = {
            "emit": schedule.emit + schedule.event_field * len(node.keywords) + self.addressee(node),
            "schedule": schedule.schedule,
            "hash": schedule.digest,
            "verify_signature": schedule.signature,
            "muldiv": schedule.muldiv,
            "fixed_exp": schedule.fixed_exp,
            "fixed_pow": schedule.fixed_pow,
            "int": schedule.conversion,
            "str": schedule.conversion,
            "try_call": schedule.attempt,
        }
        return special.get(name, schedule.builtin)

    def addressee(self, node: ast.Call) -> int:
        """What `to=` adds to an event."""
        return self.schedule.addressed if any(keyword.arg == "to" for keyword in node.keywords) else 0

    def is_storage(self, node: ast.expr) -> bool:
        """Whether a name means a Map or Var."""
        return isinstance(node, ast.Name) and node.id in self.program.storage
