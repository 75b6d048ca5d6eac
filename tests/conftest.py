"""What every test shares: functional tests run on one worker, so that two networks never fight for the machine's cores."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep everything that starts real processes in one xdist group."""
    for item in items:
        if item.get_closest_marker("functional") is not None:
            item.add_marker(pytest.mark.xdist_group("network"))
