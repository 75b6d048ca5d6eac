"""Queues and the bridge between two threads."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from carbonnode.network.shared import Bridge, Outbox


def test_an_outbox_hands_out_whole_frames_up_to_a_size() -> None:
    outbox = Outbox()
    for number in range(5):
        outbox.put(16, bytes([number]) * 95)
    assert outbox.waiting_bytes == 500
    assert outbox.take(201) == [(16, bytes([n]) * 95) for n in range(3)]
    assert outbox.waiting_bytes == 200
    assert len(outbox.take(1)) == 1
    assert len(outbox.take(10_000)) == 1
    assert outbox.take(10_000) == []
    assert outbox.waiting_bytes == 0


@pytest.mark.asyncio
async def test_jobs_cross_in_order_with_few_wake_ups() -> None:
    errors: list[Exception] = []
    bridge = Bridge(asyncio.get_running_loop(), errors.append)
    seen: list[int] = []
    finished = asyncio.Event()

    def send() -> None:
        for number in range(10_000):
            bridge.to_loop(seen.append, number)
        bridge.to_loop(finished.set)

    await asyncio.to_thread(send)
    await finished.wait()
    assert seen == list(range(10_000))
    assert bridge.deliveries < 10_000
    assert not errors


@pytest.mark.asyncio
async def test_a_fault_in_one_job_loses_no_other() -> None:
    errors: list[Exception] = []
    bridge = Bridge(asyncio.get_running_loop(), errors.append)
    finished = asyncio.Event()

    def fail() -> None:
        raise ValueError("in the daemon")

    bridge.to_loop(fail)
    bridge.to_loop(finished.set)
    await finished.wait()
    assert [str(error) for error in errors] == ["in the daemon"]


@pytest.mark.asyncio
async def test_jobs_for_the_other_thread_wait_until_it_runs_and_wake_it_once_per_batch() -> None:
    bridge = Bridge(asyncio.get_running_loop(), lambda error: pytest.fail(repr(error)))
    calls: list[Callable[[], None]] = []
    done: list[int] = []
    bridge.to_trio(done.append, 1)
    assert not calls
    bridge.attach(calls.append)
    bridge.to_trio(done.append, 2)
    bridge.to_trio(done.append, 3)
    assert len(calls) == 1
    thread = threading.Thread(target=calls[0])
    thread.start()
    await asyncio.to_thread(thread.join)
    assert done == [1, 2, 3]
    bridge.to_trio(done.append, 4)
    assert len(calls) == 2
    bridge.detach()
    calls[1]()
    bridge.to_trio(done.append, 5)
    assert done == [1, 2, 3, 4]
    assert len(calls) == 2
