"""The network's thread: imports libp2p here and nowhere else, runs trio until told to stop, and reports how it ended."""

import asyncio
from typing import TypeVar

from carbonnode.network.shared import Bridge
from carbonnode.network.switchboard import Switchboard

T = TypeVar("T")


def run_host_thread(
    transport_seed: bytes,
    board: Switchboard,
    bridge: Bridge,
    loop: asyncio.AbstractEventLoop,
    listening: "asyncio.Future[tuple[str, int]]",
    ended: "asyncio.Future[None]",
) -> None:
    """Body of the thread. A failure before listening goes to `listening`, a later one to `ended`."""
    fault: BaseException | None = None
    try:
        import trio

        from carbonnode.network.host import serve

        def report_listening(address: tuple[str, int]) -> None:
            loop.call_soon_threadsafe(_settle, listening, address, None)

        trio.run(serve, transport_seed, board, bridge, report_listening)
    except BaseException as error:  # noqa: BLE001 - whatever ended the thread belongs to whoever waits for it
        fault = error
    finally:
        bridge.detach()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, listening, ("", 0), fault)
            loop.call_soon_threadsafe(_settle, ended, None, fault)


def _settle(future: "asyncio.Future[T]", result: T, fault: BaseException | None) -> None:
    if future.done():
        return
    if fault is not None:
        future.set_exception(fault)
        future.exception()  # marked as seen: nobody may be waiting yet
    else:
        future.set_result(result)
