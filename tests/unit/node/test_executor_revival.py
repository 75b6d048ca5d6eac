"""The executor's client with a process that is played: one that dies at moments a real one can't be made to die at."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from carbonnode.ledger.results import LedgerStatus
from carbonnode.node import executor_protocol as protocol
from carbonnode.node.executor_client import ExecutorClient, ExecutorOptions

STATUS = LedgerStatus(bytes(32), 3, bytes(32), bytes(32), 3, 3, 0)


class Played:
    """A process and its socket in one: answers at once; `last` names a command behind whose answer it ends."""

    def __init__(self, last: type[protocol.Command] | None) -> None:
        self.returncode: int | None = None
        self.reader = asyncio.StreamReader()
        self._last = last
        self._ended = asyncio.Event()

    def write(self, data: bytes) -> None:
        number, command = protocol.request_decoder.decode(data[protocol.LENGTH_BYTES :])
        if self.returncode is not None:
            return  # nobody reads it any more
        results: dict[type, object] = {protocol.Open: protocol.Hello(1, ()), protocol.Status: STATUS, protocol.Flush: 3}
        self.reader.feed_data(protocol.frame(number, protocol.Done(protocol.encoder.encode(results[type(command)]), 1, 0)))
        if self._last is type(command):
            self.kill()

    def kill(self) -> None:
        if self.returncode is None:
            self.returncode = -9
            self.reader.feed_eof()
            self._ended.set()

    def close(self) -> None:
        self.kill()

    async def wait(self) -> int:
        await self._ended.wait()
        return -9


class Client(ExecutorClient):
    """The client itself, with these processes, one after the other."""

    def __init__(self, runs: list[Callable[[], Played]]) -> None:
        super().__init__(ExecutorOptions(Path("state"), b""))
        self.runs = runs
        self.now: Played

    async def _spawn(self) -> asyncio.StreamReader:
        self.now = self.runs.pop(0)()
        self._process = cast(Any, self.now)
        self._writer = cast(Any, self.now)
        return self.now.reader


@pytest.mark.asyncio
async def test_a_process_that_dies_right_behind_the_last_answer_of_its_start_takes_no_command_with_it() -> None:
    client = Client([lambda: Played(None), lambda: Played(protocol.Status), lambda: Played(None)])
    await client.start()
    client.now.kill()
    # It waits for the next process; that one dies as soon as it has said where it stands, and the one after it answers.
    assert await asyncio.wait_for(client.flush(), 5.0) == 3
    assert client.restarts == 2
    assert not client._owed  # nothing that the watchdog would kill an innocent process for
    await client.close()


@pytest.mark.asyncio
async def test_a_state_is_replaced_though_the_process_on_the_new_one_dies_at_its_start() -> None:
    client = Client([lambda: Played(None), lambda: Played(protocol.Status), lambda: Played(None)])
    await client.start()
    assert await asyncio.wait_for(client.replace(lambda: None), 5.0) == STATUS
    await client.close()
