"""The module level of a contract: docstring, constants, `Map` and `Var`, functions with their signatures."""

import ast

from carbonnode.vm.constants import NotConstant, evaluate
from carbonnode.vm.diagnostics import MAX_DIAGNOSTICS, Diagnostic
from carbonnode.vm.limits import MAX_FUNCTIONS, MAX_KEY_PARTS, MAX_PARAMETERS
from carbonnode.vm.program import KEY_TYPES, MIGRATE, RETURN_TYPES, VALUE_TYPES, FunctionInfo, Program, StorageInfo, Type, Wanted
from carbonnode.vm.words import DECORATORS, RESERVED, TYPE_NAMES


class Reporter:
    """Collects refusals with the place of a node."""

    def __init__(self) -> None:
        self.errors: list[Diagnostic] = []

    def refuse(self, node: ast.AST, rule: str, message: str) -> None:
        """Note a refusal at a node."""
        if len(self.errors) < MAX_DIAGNOSTICS:
            line = getattr(node, "lineno", 1)
            column = getattr(node, "col_offset", 0) + 1
            self.errors.append(Diagnostic(line, column, rule, message))


class ModuleChecker:
    """Reads the declarations of a module."""

    def __init__(self, report: Reporter) -> None:
        self.report = report
        self.program = Program(doc="", constants={}, storage={}, functions={})

    def check(self, tree: ast.Module) -> Program:
        """The program; its function bodies aren't checked yet."""
        self.program.doc = ast.get_docstring(tree) or ""
        for index, node in enumerate(tree.body):
            if isinstance(node, ast.FunctionDef):
                self.function(node)
            elif isinstance(node, ast.Assign):
                self.declaration(node)
            elif not (index == 0 and is_docstring(node)):
                self.report.refuse(
                    node, "module-level", "only a docstring, constants, `Map`, `Var` and functions stand at module level: put this in a function"
                )
        if not any(info.wanted is not Wanted.INTERNAL for info in self.program.functions.values()) and not self.report.errors:
            self.report.refuse(tree, "no-export", "nothing can be called: mark at least one function with @export or @view")
        return self.program

    def new_name(self, node: ast.AST, name: str) -> bool:
        """Whether a name may be declared; refuses it if not."""
        if name in RESERVED:
            self.report.refuse(node, "reserved-name", f"{name!r} belongs to the dialect: choose another name")
            return False
        program = self.program
        if name in program.constants or name in program.storage or name in program.functions:
            self.report.refuse(node, "duplicate-name", f"{name!r} is already declared in this contract: choose another name")
            return False
        return True

    def declaration(self, node: ast.Assign) -> None:
        """`NAME = Map(...)`, `NAME = Var(...)` or `NAME = constant`."""
        target = node.targets[0]
        if len(node.targets) != 1 or not isinstance(target, ast.Name):
            self.report.refuse(node, "module-level", "declare one name at a time: NAME = value")
            return
        if not self.new_name(target, target.id):
            return
        value = node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("Map", "Var"):
            self.storage(target.id, value, value.func.id == "Map")
            return
        try:
            self.program.constants[target.id] = evaluate(value, self.program.constants)
        except NotConstant as problem:
            self.report.refuse(problem.node, "constant", str(problem))

    def storage(self, name: str, node: ast.Call, is_map: bool) -> None:
        """A storage declaration."""
        kinds = [self.written_type(arg) for arg in node.args]
        wanted = "Map(key type, ..., value type)" if is_map else "Var(type)"
        if node.keywords or None in kinds or (len(kinds) < 2 if is_map else len(kinds) != 1):
            self.report.refuse(node, "storage", f"write {wanted} with types out of int, str, bytes, bool and, for the value, tuple")
            return
        *keys, value = [kind for kind in kinds if kind]
        if not set(keys) <= KEY_TYPES or value not in VALUE_TYPES or len(keys) > MAX_KEY_PARTS:
            self.report.refuse(node, "storage", f"key types are int, str, bytes, bool (at most {MAX_KEY_PARTS}), value types those and tuple")
            return
        self.program.storage[name] = StorageInfo(name, tuple(keys), value, node.lineno)

    @staticmethod
    def written_type(node: ast.expr) -> Type | None:
        """The type that a bare name means."""
        return TYPE_NAMES.get(node.id) if isinstance(node, ast.Name) else None

    def function(self, node: ast.FunctionDef) -> None:
        """A function's name, decorator, parameters and result."""
        if not self.new_name(node, node.name):
            return
        wanted = self.decorator(node)
        parameters = self.parameters(node, wanted)
        returns = self.result(node, wanted)
        functions = self.program.functions
        if len(functions) >= MAX_FUNCTIONS:
            self.report.refuse(node, "function-count", f"a contract may have at most {MAX_FUNCTIONS} functions: split it")
            return
        if wanted is Wanted.INIT and any(info.wanted is Wanted.INIT for info in functions.values()):
            self.report.refuse(node, "init", "a contract has one @init function: merge them")
        functions[node.name] = FunctionInfo(node.name, wanted, node, parameters, returns)
        hook = wanted is Wanted.EXPORT and returns is Type.NONE and [kind for _, kind in parameters] == [Type.INT]
        if node.name == MIGRATE and wanted is not Wanted.INTERNAL and not hook:
            self.report.refuse(node, "migrate", "`migrate` is the hook of an upgrade: write `@export`, `def migrate(old_version: int) -> None:`")

    def decorator(self, node: ast.FunctionDef) -> Wanted:
        """What the function is for."""
        if getattr(node, "type_params", []):
            self.report.refuse(node, "parameters", "a function has no type parameters here: leave the brackets out")
        found = Wanted.INTERNAL
        for index, decorator in enumerate(node.decorator_list):
            if not isinstance(decorator, ast.Name) or decorator.id not in DECORATORS:
                self.report.refuse(decorator, "decorator", "the decorators are @export, @view and @init")
            elif index:
                self.report.refuse(decorator, "decorator", "a function has one decorator: @export may read too, @view only reads")
            else:
                found = Wanted(decorator.id)
        return found

    def parameters(self, node: ast.FunctionDef, wanted: Wanted) -> tuple[tuple[str, Type], ...]:
        """Positional parameters with bare types; helpers may leave types out."""
        spec = node.args
        if spec.vararg or spec.kwarg or spec.kwonlyargs or spec.posonlyargs:
            self.report.refuse(node, "parameters", "parameters are positional: no *, ** or /")
        if spec.defaults or any(spec.kw_defaults):
            self.report.refuse(node, "parameters", "parameters have no defaults: pass every argument")
        if len(spec.args) > MAX_PARAMETERS:
            self.report.refuse(node, "parameters", f"a function has at most {MAX_PARAMETERS} parameters: pass a tuple")
        found: list[tuple[str, Type]] = []
        seen: set[str] = set()
        for arg in spec.args:
            if arg.arg in RESERVED or arg.arg in TYPE_NAMES:
                self.report.refuse(arg, "reserved-name", f"{arg.arg!r} belongs to the dialect: choose another name")
            if arg.arg in seen:
                self.report.refuse(arg, "duplicate-name", f"{arg.arg!r} is a parameter already: choose another name")
            seen.add(arg.arg)
            found.append((arg.arg, self.parameter_type(arg, wanted)))
        return tuple(found)

    def parameter_type(self, arg: ast.arg, wanted: Wanted) -> Type:
        """The type of one parameter."""
        if arg.annotation is None:
            if wanted is not Wanted.INTERNAL:
                self.report.refuse(arg, "types", f"parameter {arg.arg!r} needs a type: int, str, bytes, bool or tuple")
            return Type.ANY
        kind = self.written_type(arg.annotation)
        allowed = VALUE_TYPES if wanted is not Wanted.INTERNAL else VALUE_TYPES | {Type.LIST, Type.DICT}
        if kind not in allowed:
            self.report.refuse(
                arg.annotation, "annotation", "a type is one bare name: int, str, bytes, bool, tuple (helpers also list, dict)"
            )
            return Type.ANY
        return kind

    def result(self, node: ast.FunctionDef, wanted: Wanted) -> Type:
        """The type of the result."""
        if node.returns is None:
            if wanted in (Wanted.EXPORT, Wanted.VIEW):
                self.report.refuse(node, "types", f"{node.name!r} needs a result type: write `-> int:` (or str, bytes, bool, tuple, list, None)")
            return Type.NONE if wanted is Wanted.INIT else Type.ANY
        if isinstance(node.returns, ast.Constant) and node.returns.value is None:
            return Type.NONE
        kind = self.written_type(node.returns)
        allowed = RETURN_TYPES if wanted is not Wanted.INTERNAL else RETURN_TYPES | {Type.DICT}
        if kind not in allowed:
            self.report.refuse(node.returns, "annotation", "a result type is one bare name: int, str, bytes, bool, tuple, list or None")
            return Type.ANY
        return kind


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is a bare text."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and type(node.value.value) is str
