import asyncio

from carbonnode.network.service import Network


def test_a_thread_that_dies_by_itself_is_told_and_one_that_stops_is_not() -> None:
    async def session() -> list[BaseException]:
        told: list[BaseException] = []
        for fault in (OSError("the thread died"), None):
            # Only the future that the thread settles matters here; a whole network is started in tests/functional.
            network = object.__new__(Network)
            network._ended = asyncio.get_running_loop().create_future()
            network.on_fault(told.append)
            if fault is None:
                network._ended.set_result(None)
            else:
                network._ended.set_exception(fault)
            await asyncio.sleep(0)
        return told

    assert [str(fault) for fault in asyncio.run(session())] == ["the thread died"]
