"""Points, bans, and their end."""

from carbonnode.network.standing import MAX_KEPT, Standings

KEY = b"k" * 32


def test_points_add_up_to_a_ban_that_ends() -> None:
    standings = Standings(100, 60_000)
    assert not standings.add(KEY, 60, 0)
    assert standings.score(KEY) == 60
    assert standings.add(KEY, 60, 1_000)
    assert standings.is_banned(KEY, 60_999)
    assert not standings.is_banned(KEY, 61_000)
    assert standings.score(KEY) == 0


def test_points_decay() -> None:
    standings = Standings(100, 60_000)
    standings.add(KEY, 60, 0)
    assert not standings.add(KEY, 60, 30_000)
    assert standings.score(KEY) == 90


def test_a_pardon_forgets() -> None:
    standings = Standings(100, 60_000)
    standings.add(KEY, 100, 0)
    standings.pardon(KEY)
    assert not standings.is_banned(KEY, 1)


def test_memory_is_bounded() -> None:
    standings = Standings(100, 60_000)
    for number in range(2 * MAX_KEPT):
        standings.add(number.to_bytes(32, "big"), 1, 0)
        standings.add(number.to_bytes(33, "big"), 100, 0)
    assert len(standings._points) <= MAX_KEPT
    assert len(standings._banned_until) <= MAX_KEPT
