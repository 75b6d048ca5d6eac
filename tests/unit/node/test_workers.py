"""A worker that dies is heard of at once, a stop ends whatever hangs, and a network that stands still says so."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from carbonnode.app import end_anyway
from carbonnode.node.standstill import FIRST_MS, Standstill
from carbonnode.node.workers import make_exception_handler, start_worker


class Heard:
    """What a loop's exception handler passed on."""

    def __init__(self) -> None:
        self.fatal: list[BaseException] = []
        self.told: list[tuple[str, BaseException | None]] = []
        asyncio.get_running_loop().set_exception_handler(make_exception_handler(self.fatal.append, lambda what, error: self.told.append((what, error))))


async def _fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("a fault of ours")


@pytest.mark.asyncio
async def test_a_vital_worker_that_dies_ends_the_node_at_once() -> None:
    heard = Heard()
    task = start_worker(_fail(), "intake")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert [str(error) for error in heard.fatal] == ["a fault of ours"]
    assert heard.told == [("the worker intake died", heard.fatal[0])]


@pytest.mark.asyncio
async def test_another_one_is_told_and_survived() -> None:
    heard = Heard()
    task = start_worker(_fail(), "user-push", vital=False)
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert heard.fatal == []
    assert [what for what, _ in heard.told] == ["the worker user-push died"]


@pytest.mark.asyncio
async def test_the_end_of_a_worker_is_no_fault() -> None:
    heard = Heard()
    done = start_worker(asyncio.sleep(0), "short")
    cancelled = start_worker(asyncio.sleep(60), "long")
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([done, cancelled])
    await asyncio.sleep(0)
    assert (heard.fatal, heard.told) == ([], [])


def test_a_stop_that_hangs_is_ended_and_shows_where_it_hung(tmp_path: Path) -> None:
    program = f"import asyncio\nfrom {end_anyway.__module__} import end_anyway\nend_anyway(0.3)\nasyncio.run(asyncio.Event().wait())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "run_forever" in ended.stderr


def test_a_network_that_stands_still_is_told_of_less_and_less_often() -> None:
    watch, idle_ms = Standstill(0), 2_000
    told = [now for now in range(0, 120_000, 500) if watch.look(now, 7, idle_ms)]
    assert [now - idle_ms for now in told] == [FIRST_MS, 2 * FIRST_MS, 4 * FIRST_MS, 8 * FIRST_MS]
    assert watch.standing_ms == 119_500 - idle_ms
    # One block, and all is well again.
    assert not watch.look(120_000, 8, idle_ms)
    assert watch.standing_ms == 0
    assert not watch.look(120_000 + idle_ms + FIRST_MS - 1, 8, idle_ms)
    assert watch.look(120_000 + idle_ms + FIRST_MS, 8, idle_ms)


def test_a_validator_that_isnt_heard_is_named_with_for_how_long() -> None:
    watch = Standstill(0)
    watch.heard("super-2", 9_000)
    assert watch.unheard(("super-2", "coordination-1"), 14_000) == {"coordination-1": 14}
    assert watch.unheard(("super-2", "coordination-1"), 15_000) == {"coordination-1": 15, "super-2": 6}
