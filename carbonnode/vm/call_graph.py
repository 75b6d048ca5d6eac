"""The graph of calls inside a contract: no cycles, no long chains, nothing that writes below a view."""

from carbonnode.vm.check_module import Reporter
from carbonnode.vm.limits import MAX_CALL_CHAIN
from carbonnode.vm.program import Program, Wanted


def check_calls(report: Reporter, program: Program) -> None:
    """Refuse recursion, chains that are too long and views that write; put the functions in order."""
    order = _callees_first(report, program)
    if order is None:
        return
    program.order = tuple(order)
    lengths: dict[str, int] = {}
    for name in order:
        info = program.functions[name]
        info.reaches = info.reaches or any(program.functions[callee].reaches for callee in info.calls)
        lengths[name] = 1 + max((lengths[callee] for callee in info.calls), default=0)
        if lengths[name] > MAX_CALL_CHAIN:
            report.refuse(info.node, "call-chain", f"functions call one another more than {MAX_CALL_CHAIN} deep from {name!r}: merge some")
    for info in program.functions.values():
        if info.wanted is Wanted.VIEW:
            _check_view(report, program, info.name)


def _callees_first(report: Reporter, program: Program) -> list[str] | None:
    """A topological order; None after refusing a cycle."""
    functions = program.functions
    order: list[str] = []
    state: dict[str, int] = {}
    for root in functions:
        if root in state:
            continue
        stack = [(root, iter(sorted(functions[root].calls)))]
        state[root] = 1
        while stack:
            name, rest = stack[-1]
            callee = next(rest, None)
            if callee is None:
                state[name] = 2
                order.append(name)
                stack.pop()
            elif state.get(callee) == 1:
                path = [entry for entry, _ in stack]
                cycle = " -> ".join([*path[path.index(callee) :], callee])
                report.refuse(functions[callee].node, "recursion", f"functions call themselves in a circle ({cycle}): write a loop")
                return None
            elif callee not in state:
                state[callee] = 1
                stack.append((callee, iter(sorted(functions[callee].calls))))
    return order


def _check_view(report: Reporter, program: Program, view: str) -> None:
    seen = {view}
    waiting = [view]
    while waiting:
        info = program.functions[waiting.pop()]
        for node, what in info.writes:
            through = "" if info.name == view else f", through {info.name!r}"
            report.refuse(node, "view-write", f"view {view!r} {what}{through}: a view only reads; make it an @export or move the write out")
        fresh = sorted(info.calls - seen)
        seen.update(fresh)
        waiting.extend(fresh)
