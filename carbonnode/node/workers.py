"""Tasks nobody waits for: one that dies is told at once, not when its remains happen to be collected.

asyncio keeps a task's exception until somebody asks for it. A worker (verification, resolving, the executor's restart) would die in silence, and the node would
go on answering while it hears or says nothing. Here the exception goes to the loop's exception handler, with the worker's name if the node can't do
without it: the composition root ends the process on that.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

WORKER: Final = "worker"
"""The key of the loop's error context that holds the name of a vital worker that died."""


def start_worker(work: Coroutine[Any, Any, None], name: str, *, vital: bool = True) -> "asyncio.Task[None]":
    """Run `work` as a task; an exception out of it reaches the loop's exception handler, once. Cancelling it is no fault."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    task.add_done_callback(_tell_vital if vital else _tell)
    return task


def _tell(task: "asyncio.Task[None]", marks: Mapping[str, str] = MappingProxyType({})) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        task.get_loop().call_exception_handler({"message": f"the worker {task.get_name()} died", "exception": error, **marks})


def _tell_vital(task: "asyncio.Task[None]") -> None:
    _tell(task, {WORKER: task.get_name()})


def make_exception_handler(
    on_fatal: Callable[[BaseException], None], tell: Callable[[str, BaseException | None], None]
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """A loop's exception handler: a dead worker ends the node by `on_fatal`, everything else is told (message, exception) and survived."""

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        tell(str(context.get("message", "")), error)
        if WORKER in context and error is not None:
            on_fatal(error)

    return handle
