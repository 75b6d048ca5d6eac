"""The bodies of functions: statements and expressions of the dialect, names, and how each thing may be used."""

import ast
from collections.abc import Callable, Iterator
from typing import Any

from carbonnode.vm.check_module import Reporter, is_docstring
from carbonnode.vm.constants import NotConstant, literal
from carbonnode.vm.limits import MAX_COMPREHENSION_DEPTH, MAX_CONTAINER, MAX_EVENT_FIELDS, MAX_LOOP_DEPTH, MAX_NAME_LENGTH
from carbonnode.vm.program import FunctionInfo, Program, StorageInfo
from carbonnode.vm.words import BUILTINS, CONTEXT, METHODS, RESERVED, ROUNDINGS, STORAGE_METHODS, TYPE_NAMES

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class BodyChecker:
    """Checks one function; notes which functions it calls and where it writes."""

    def __init__(self, report: Reporter, program: Program, info: FunctionInfo) -> None:
        self.refuse = report.refuse
        self.program = program
        self.info = info
        self.locals: set[str] = set()
        self.scopes: list[set[str]] = []
        self.loops = 0
        self.comprehensions = 0

    def check(self) -> None:
        """Check the whole function."""
        body = self.info.node.body
        for name, _ in self.info.parameters:
            self.bind(self.info.node, name)
        for statement in body:
            for target in _bound_names(statement):
                self.bind(target, target.id)
        rest = body[1:] if is_docstring(body[0]) else body
        self.block(rest)

    def bind(self, node: ast.AST, name: str) -> None:
        """A name gets a value here: it may hide nothing."""
        program = self.program
        if name in RESERVED or name in TYPE_NAMES:
            self.refuse(node, "reserved-name", f"{name!r} belongs to the dialect: choose another name")
        elif name in program.functions or name in program.storage or name in program.constants:
            self.refuse(node, "shadowing", f"{name!r} is declared at module level and can't be rebound in a function: choose another name")
        self.locals.add(name)

    # Statements.

    def block(self, statements: list[ast.stmt]) -> None:
        """Statements in a row."""
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """One statement."""
        match node:
            case ast.Assign():
                self.assign(node)
            case ast.AugAssign():
                self.augmented(node)
            case ast.If():
                self.expression(node.test)
                self.block(node.body)
                self.block(node.orelse)
            case ast.While() | ast.For():
                self.loop(node)
            case ast.Return(value=ast.expr() as value):
                self.expression(value)
            case ast.Break() | ast.Continue() if not self.loops:
                self.refuse(node, "syntax", "`break` and `continue` stand inside a loop")
            case ast.Delete():
                self.delete(node)
            case ast.Expr():
                self.expression_statement(node)
            case _:
                self.other_statement(node)

    def other_statement(self, node: ast.stmt) -> None:
        """A statement without parts, or one that isn't in the dialect."""
        if isinstance(node, ast.AnnAssign):
            self.refuse(node, "annotation", "names inside functions have no annotations: write name = value")
        elif isinstance(node, ast.FunctionDef):
            self.refuse(node, "nested-function", "functions stand at module level: move it there and pass what it needs")
        elif not isinstance(node, ast.Pass | ast.Return | ast.Break | ast.Continue):
            what = "`match` isn't in the dialect: write if and elif" if isinstance(node, ast.Match) else f"`{type(node).__name__}` isn't in the dialect"
            self.refuse(node, "statement", what)

    def loop(self, node: ast.For | ast.While) -> None:
        """A loop."""
        if isinstance(node, ast.While):
            self.expression(node.test)
        else:
            self.target(node.target)
            self.source(node.iter)
        if node.orelse:
            self.refuse(node.orelse[0], "loop-else", "a loop has no `else` here: use a name that remembers")
        self.loops += 1
        if self.loops > MAX_LOOP_DEPTH:
            self.refuse(node, "depth", f"loops are nested more than {MAX_LOOP_DEPTH} deep: move the inner ones into functions")
        self.block(node.body)
        self.loops -= 1

    def assign(self, node: ast.Assign) -> None:
        """`target = value`."""
        if len(node.targets) != 1:
            self.refuse(node, "assignment", "one target an assignment: write two lines")
        for target in node.targets:
            self.target(target, subscripts=True)
        self.expression(node.value)

    def target(self, node: ast.expr, *, subscripts: bool = False) -> None:
        """What is assigned to: a name, a subscript, or a tuple of names."""
        if isinstance(node, ast.Name):
            return
        if isinstance(node, ast.Subscript) and subscripts:
            self.changed(node)
        elif isinstance(node, ast.Tuple) and node.elts and all(isinstance(item, ast.Name) for item in node.elts):
            return
        else:
            self.refuse(node, "assignment", "assign to a name, a subscript or a tuple of names (no star, no nesting, no attribute)")

    def changed(self, node: ast.Subscript) -> None:
        """A subscript that is assigned to or deleted."""
        if isinstance(node.slice, ast.Slice):
            self.refuse(node, "assignment", "a slice can't be assigned or deleted: build a new list")
            return
        if isinstance(node.value, ast.Name) and node.value.id in self.program.constants:
            self.refuse(node, "assignment", f"{node.value.id!r} is a constant: what changes is a Map or a Var")
        storage = self.storage_of(node.value)
        if storage is not None:
            self.info.writes.append((node, f"writes {storage.name!r}"))
        self.subscript(node)

    def augmented(self, node: ast.AugAssign) -> None:
        """`target += value`."""
        self.operator(node, node.op)
        if isinstance(node.target, ast.Subscript):
            self.changed(node.target)
        elif isinstance(node.target, ast.Attribute):
            self.refuse(node, "assignment", "an attribute can't be assigned: values are scalars and tuples; assign a name, or an item of a Map")
        self.expression(node.value)

    def delete(self, node: ast.Delete) -> None:
        """`del m[k]`."""
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                self.changed(target)
            else:
                self.refuse(target, "delete", "`del` removes an item: del m[key]")

    def expression_statement(self, node: ast.Expr) -> None:
        """A call for its effect."""
        if isinstance(node.value, ast.Call):
            self.expression(node.value)
        else:
            self.refuse(node, "no-effect", "this line has no effect: remove it, or assign the value (comments start with #)")

    # Expressions.

    def expression(self, node: ast.expr) -> None:
        """One expression whose value is used."""
        handler = _EXPRESSIONS.get(type(node), BodyChecker.other)
        handler(self, node)

    def binary(self, node: ast.BinOp) -> None:
        """`a + b`."""
        self.operator(node, node.op)
        self.expression(node.left)
        self.expression(node.right)

    def parts(self, node: ast.UnaryOp | ast.BoolOp | ast.IfExp) -> None:
        """An expression that is fine if its parts are."""
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                self.expression(part)

    def other(self, node: ast.expr) -> None:
        """An expression that isn't in the dialect."""
        remedies = {
            ast.Starred: ("star", "a star isn't in the dialect: pass or unpack items one by one"),
            ast.Set: ("set", "sets aren't in the dialect: use a dict with True as value"),
            ast.SetComp: ("set", "sets aren't in the dialect: use a dict with True as value"),
            ast.DictComp: ("comprehension", "dict comprehensions aren't in the dialect: fill a dict in a loop"),
            ast.GeneratorExp: ("generator", "generators aren't in the dialect: write a list comprehension in [ ]"),
            ast.Slice: ("slice", "a slice stands alone in a subscript: x[a:b]"),
        }
        rule, message = remedies.get(type(node), ("expression", f"`{type(node).__name__}` isn't an expression of the dialect"))
        self.refuse(node, rule, message)

    def constant(self, node: ast.Constant) -> None:
        """A literal within the limits."""
        try:
            literal(node)
        except NotConstant as problem:
            self.refuse(node, "constant", str(problem))

    def name(self, node: ast.Name) -> None:
        """A name whose value is read."""
        name = node.id
        program = self.program
        if name in self.locals or name in program.constants or any(name in scope for scope in self.scopes):
            return
        if name in program.storage:
            how = "m[key], m.get(key, default), key in m" if program.storage[name].is_map else "v.get(), v.set(value)"
            self.refuse(node, "storage-value", f"storage {name!r} isn't a value: use {how}")
        elif name in program.functions or name in BUILTINS:
            self.refuse(node, "function-value", f"function {name!r} isn't a value: call it")
        elif name == "ctx":
            self.refuse(node, "context", "`ctx` isn't a value: read ctx.sender, caller, self, time, height or chain")
        else:
            self.refuse(node, "unknown-name", f"{name!r} is neither a local name, a constant nor a parameter{_hint(name)}")

    def operator(self, node: ast.AST, operation: ast.operator) -> None:
        """A binary operator of the dialect."""
        if not isinstance(operation, _OPERATORS):
            self.refuse(node, "operator", "the operators are + - * // % ** << >> & | ^: write the rest with them, or as a function")

    def comparison(self, node: ast.Compare) -> None:
        """One comparison, `in`, or `is None`."""
        if len(node.ops) != 1:
            self.refuse(node, "chained-comparison", "one comparison at a time: write a < b and b < c")
            return
        operation, right = node.ops[0], node.comparators[0]
        is_none = isinstance(right, ast.Constant) and right.value is None
        if isinstance(operation, ast.Is | ast.IsNot):
            if not is_none:
                self.refuse(node, "is", "`is` compares with None only: write == for values")
        elif isinstance(operation, ast.In | ast.NotIn):
            self.membership(node, right)
            return
        elif is_none or (isinstance(node.left, ast.Constant) and node.left.value is None):
            self.refuse(node, "is", "compare with None by `is None` or `is not None`")
        elif not isinstance(operation, _COMPARISONS):
            self.refuse(node, "operator", f"comparison `{type(operation).__name__}` isn't in the dialect")
        self.expression(node.left)
        self.expression(right)

    def membership(self, node: ast.Compare, right: ast.expr) -> None:
        """`key in m`, `item in list`."""
        storage = self.storage_of(right)
        if storage is not None:
            self.key(node.left, storage)
        else:
            self.expression(node.left)
            self.expression(right)

    def subscript(self, node: ast.Subscript) -> None:
        """`x[i]`, `x[a:b]`, `m[key]`."""
        storage = self.storage_of(node.value)
        if storage is not None:
            self.key(node.slice, storage)
            return
        self.expression(node.value)
        if not isinstance(node.slice, ast.Slice):
            self.expression(node.slice)
            return
        if node.slice.step is not None:
            self.refuse(node.slice.step, "slice", "a slice has no step: use a loop or a comprehension")
        for bound in (node.slice.lower, node.slice.upper):
            if bound is not None:
                self.expression(bound)

    def key(self, node: ast.expr, storage: StorageInfo) -> None:
        """The key of a `Map`: as many parts as it has key types."""
        parts = node.elts if isinstance(node, ast.Tuple) else [node]
        if isinstance(node, ast.Slice):
            self.refuse(node, "slice", "a Map has no slices: walk it with next and prev")
            return
        if not storage.is_map:
            self.refuse(node, "storage", f"{storage.name!r} is a Var: use {storage.name}.get() and {storage.name}.set(value)")
        elif len(parts) != len(storage.keys):
            shown = ", ".join(kind.value for kind in storage.keys)
            self.refuse(node, "key", f"{storage.name!r} has keys of {len(storage.keys)} part(s) ({shown}): write them out, {storage.name}[a, b]")
        for part in parts:
            self.expression(part)

    def display(self, node: ast.Tuple | ast.List) -> None:
        """A tuple or list display."""
        self.items(node, node.elts)

    def items(self, node: ast.expr, items: list[ast.expr]) -> None:
        """The items of a display."""
        if len(items) > MAX_CONTAINER:
            self.refuse(node, "display", f"at most {MAX_CONTAINER} items")
        for item in items:
            self.expression(item)

    def dict_display(self, node: ast.Dict) -> None:
        """A dict display."""
        for key in node.keys:
            if key is None:
                self.refuse(node, "star", "`**` isn't in the dialect: copy the items in a loop")
            else:
                self.expression(key)
        self.items(node, node.values)

    def comprehension(self, node: ast.ListComp) -> None:
        """A list comprehension over one source."""
        if len(node.generators) != 1:
            self.refuse(node, "comprehension", "a comprehension has one `for`: write loops")
            return
        generator = node.generators[0]
        self.comprehensions += 1
        if self.comprehensions > MAX_COMPREHENSION_DEPTH:
            self.refuse(node, "depth", f"comprehensions are nested more than {MAX_COMPREHENSION_DEPTH} deep: use intermediate names")
        self.source(generator.iter)
        self.target(generator.target)
        names = {target.id for target in ast.walk(generator.target) if isinstance(target, ast.Name)}
        declared = self.locals
        self.locals = set()
        for name in sorted(names):
            self.bind(generator.target, name)
        self.locals = declared
        self.scopes.append(names)
        for condition in generator.ifs:
            self.expression(condition)
        self.expression(node.elt)
        self.scopes.pop()
        self.comprehensions -= 1

    def source(self, node: ast.expr) -> None:
        """What a loop runs over: range and enumerate are allowed here only."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("range", "enumerate"):
            self.arguments(node, node.func.id)
        elif self.storage_of(node) is not None:
            self.refuse(node, "storage-value", "a Map can't be iterated: walk it with m.next(..., after) and m.prev(..., before), or keep a list of keys")
        else:
            self.expression(node)

    def attribute(self, node: ast.Attribute) -> None:
        """`ctx.sender` and its like; methods stand in call position only."""
        if isinstance(node.value, ast.Name) and node.value.id == "ctx" and "ctx" not in self.locals:
            if node.attr not in CONTEXT:
                self.refuse(node, "context", f"ctx has no {node.attr!r}: sender, caller, self, time, height, chain")
            return
        how = "may only be called" if node.attr in METHODS else "isn't in the dialect, and methods may only be called"
        self.refuse(node, "attribute", f"`.{node.attr}` {how}: they are {', '.join(METHODS)}")

    # Calls.

    def call(self, node: ast.Call) -> None:
        """A call of a function, built-in or method."""
        func = node.func
        if isinstance(func, ast.Name):
            self.named_call(node, func)
        elif isinstance(func, ast.Attribute):
            self.method_call(node, func)
        else:
            self.refuse(node, "call", "call a function or method by its name")

    def named_call(self, node: ast.Call, func: ast.Name) -> None:
        """`f(...)`."""
        name = func.id
        if name in self.program.functions:
            self.info.calls.add(name)
            wanted = len(self.program.functions[name].parameters)
            self.no_keywords(node)
            if len(node.args) != wanted:
                self.refuse(node, "arguments", f"{name!r} takes {wanted} argument(s), not {len(node.args)}")
            for arg in node.args:
                self.expression(arg)
        elif name in ("range", "enumerate"):
            self.refuse(node, "range", f"`{name}` stands behind `for ... in` only: write [i for i in range(n)] for a list")
        elif name == "emit":
            self.emit(node)
        elif name in BUILTINS:
            self.arguments(node, name)
        elif name in ("Map", "Var"):
            self.refuse(node, "storage", f"declare {name} at module level")
        elif name in self.locals:
            self.refuse(node, "call", f"{name!r} is a value: only functions of this contract and built-ins are called")
        else:
            self.refuse(node, "unknown-name", f"there is no function {name!r}{_hint(name)}")

    def arguments(self, node: ast.Call, name: str) -> None:
        """The arguments of a built-in."""
        takes = BUILTINS[name]
        self.no_keywords(node)
        if not takes.least <= len(node.args) <= takes.most:
            self.refuse(node, "arguments", f"`{name}` takes {_count(takes.least, takes.most)} argument(s), not {len(node.args)}")
            return
        if takes.writes:
            self.info.writes.append((node, f"calls {name}"))
        self.info.reaches = self.info.reaches or name in ("call", "try_call")
        if name in ("muldiv", "fixed_exp", "fixed_pow"):
            self.rounding(node.args[-1])
        for arg in node.args:
            self.expression(arg)

    def rounding(self, node: ast.expr) -> None:
        """The name of a rounding, where it is written out."""
        if isinstance(node, ast.Constant) and node.value not in ROUNDINGS:
            self.refuse(node, "rounding", f"roundings are {', '.join(ROUNDINGS)}")

    def emit(self, node: ast.Call) -> None:
        """`emit("Name", field=scalar, ...)`."""
        self.info.writes.append((node, "emits an event"))
        name = node.args[0] if len(node.args) == 1 else None
        if not (isinstance(name, ast.Constant) and type(name.value) is str and _is_event_name(name.value)):
            self.refuse(node, "event", 'write emit("Name", field=value, ...): the name is a literal word of letters, digits and _')
        if len(node.keywords) > MAX_EVENT_FIELDS:
            self.refuse(node, "event", f"an event has at most {MAX_EVENT_FIELDS} fields")
        fields = [keyword.arg for keyword in node.keywords]
        if len(set(fields)) < len(fields):
            self.refuse(node, "event", "an event has each field once: rename one")
        for keyword in node.keywords:
            if keyword.arg is None:
                self.refuse(node, "star", "`**` isn't in the dialect: write the fields out")
            self.expression(keyword.value)

    def method_call(self, node: ast.Call, func: ast.Attribute) -> None:
        """`x.method(...)`."""
        self.no_keywords(node)
        storage = self.storage_of(func.value)
        if storage is not None:
            self.storage_call(node, func.attr, storage)
            return
        if isinstance(func.value, ast.Name) and func.value.id == "ctx":
            self.refuse(node, "context", "ctx has no methods: sender, caller, self, time, height, chain")
            return
        self.expression(func.value)
        takes = METHODS.get(func.attr)
        if takes is None:
            self.refuse(node, "method", f"there is no method `{func.attr}`: {', '.join(METHODS)}")
        elif not takes.least <= len(node.args) <= takes.most:
            self.refuse(node, "arguments", f"`{func.attr}` takes {_count(takes.least, takes.most)} argument(s), not {len(node.args)}")
        for arg in node.args:
            self.expression(arg)

    def storage_call(self, node: ast.Call, method: str, storage: StorageInfo) -> None:
        """A method of a `Map` or `Var`."""
        offered = ("get", "next", "prev") if storage.is_map else ("get", "set")
        if method not in offered or method not in STORAGE_METHODS:
            self.refuse(node, "storage", f"{storage.name!r} has the methods {', '.join(offered)}")
            return
        least, most = {"get": (1, 2) if storage.is_map else (0, 1), "set": (1, 1)}.get(method, (len(storage.keys),) * 2)
        if not least <= len(node.args) <= most:
            hint = {"next": "the first key parts, then `after` (or None)", "prev": "the first key parts, then `before` (or None)"}.get(method, "")
            self.refuse(node, "arguments", f"`{storage.name}.{method}` takes {_count(least, most)} argument(s){': ' + hint if hint else ''}")
            return
        if method == "set":
            self.info.writes.append((node, f"writes {storage.name!r}"))
        args = list(node.args)
        if method == "get" and storage.is_map:
            self.key(args.pop(0), storage)
        for arg in args:
            self.expression(arg)

    def no_keywords(self, node: ast.Call) -> None:
        """Arguments are positional."""
        for keyword in node.keywords:
            self.refuse(node, "arguments", "arguments are positional: leave `name=` out" if keyword.arg else "`**` isn't in the dialect")

    def storage_of(self, node: ast.expr) -> StorageInfo | None:
        """The storage that a name means."""
        return self.program.storage.get(node.id) if isinstance(node, ast.Name) else None


_EXPRESSIONS: dict[type[ast.expr], Callable[[BodyChecker, Any], None]] = {
    ast.Constant: BodyChecker.constant,
    ast.Name: BodyChecker.name,
    ast.BinOp: BodyChecker.binary,
    ast.UnaryOp: BodyChecker.parts,
    ast.BoolOp: BodyChecker.parts,
    ast.IfExp: BodyChecker.parts,
    ast.Compare: BodyChecker.comparison,
    ast.Subscript: BodyChecker.subscript,
    ast.Tuple: BodyChecker.display,
    ast.List: BodyChecker.display,
    ast.Dict: BodyChecker.dict_display,
    ast.ListComp: BodyChecker.comprehension,
    ast.Call: BodyChecker.call,
    ast.Attribute: BodyChecker.attribute,
}


def _bound_names(statement: ast.stmt) -> Iterator[ast.Name]:
    """The names that a statement binds in the function's own scope (not those of comprehensions)."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node
        waiting.extend(child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.comprehension))


def _is_event_name(name: str) -> bool:
    return name.isidentifier() and name.isascii() and not name.startswith("_") and len(name) <= MAX_NAME_LENGTH


def _count(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


_HINTS = {
    "print": ": emit an event, or return the value",
    "reversed": ": loop over range(len(x) - 1, -1, -1)",
    "set": ": use a dict with True as value",
    "dict": ": write {}",
    "round": ': name the rounding, muldiv(a, b, c, "half_up")',
    "pow": ": write a ** b, or fixed_pow",
    "any": ": write a loop",
    "all": ": write a loop",
    "zip": ": loop over range(len(a))",
    "divmod": ": write a // b and a % b",
    "bytes": ': write b"...", or text.encode()',
    "float": ": count in the smallest unit, with integers",
    "type": ": types are checked on entry; compare with `is None` where a value may be missing",
    "map": ": write [f(x) for x in xs]",
    "filter": ": write [x for x in xs if x > 0]",
    "isinstance": ": types are checked on entry; compare with `is None` where a value may be missing",
}


def _hint(name: str) -> str:
    return _HINTS.get(name, "")
