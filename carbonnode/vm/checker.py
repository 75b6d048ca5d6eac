"""The checker: from source bytes to a program, or to diagnostics.

A whitelist at every step: what isn't named here is refused. The order is that of cost: bytes, tokens, depth of the tree, declarations,
function bodies, the graph of calls.
"""

import ast

from carbonnode.vm.call_graph import check_calls
from carbonnode.vm.check_body import BodyChecker
from carbonnode.vm.check_module import ModuleChecker, Reporter
from carbonnode.vm.diagnostics import CheckReport, Diagnostic, Refusal
from carbonnode.vm.lexer import scan
from carbonnode.vm.limits import MAX_AST_DEPTH
from carbonnode.vm.program import Program


def check(source: bytes) -> CheckReport:
    """The verdict on a contract's source, with every refusal's place, rule and remedy."""
    return CheckReport(analyse(source)[1])


def analyse(source: bytes) -> tuple[Program | None, tuple[Diagnostic, ...]]:
    """The checked program, or None and why not."""
    try:
        text, errors = scan(source)
        if errors:
            return None, tuple(sorted(errors))
        tree = _parse(text)
        _check_depth(tree)
    except Refusal as refusal:
        return None, (refusal.diagnostic,)
    report = Reporter()
    module = ModuleChecker(report)
    program = module.check(tree)
    for info in program.functions.values():
        BodyChecker(report, program, info).check()
    check_calls(report, program)
    if report.errors:
        return None, tuple(sorted(set(report.errors)))
    return program, ()


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text, filename="<contract>")
    except SyntaxError as error:
        raise Refusal(error.lineno or 1, max(1, error.offset or 1), "syntax", f"this isn't Python: {error.msg}") from None


def _check_depth(tree: ast.Module) -> None:
    """Refuse a tree deeper than the limit, without recursion."""
    level: list[ast.AST] = [tree]
    depth, line, column = 0, 1, 1
    while level:
        depth += 1
        if depth > MAX_AST_DEPTH:
            # The deepest nodes may be operators, which have no place of their own.
            raise Refusal(line, column, "depth", f"the code is nested more than {MAX_AST_DEPTH} deep: split it over several names or functions")
        node = next((node for node in level if isinstance(node, ast.expr | ast.stmt)), None)
        if node is not None:
            line, column = node.lineno, node.col_offset + 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
