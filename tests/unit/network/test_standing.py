"""Points, bans, and their end."""

from carbonnode.network.standing import FORGIVEN_AFTER_BANS, MAX_KEPT, Standings

KEY = b"k" * 32


def test_points_add_up_to_a_ban_that_ends() -> None:
    standings = Standings(100, 60_000, 60_000)
    assert not standings.add(KEY, 60, 0)
    assert standings.score(KEY) == 60
    assert standings.add(KEY, 60, 1_000)
    assert standings.is_banned(KEY, 60_999)
    assert not standings.is_banned(KEY, 61_000)
    assert standings.score(KEY) == 0


def test_bans_double_up_to_the_longest_and_are_forgiven() -> None:
    standings = Standings(100, 2_000, 7_000)
    now = 0
    for length_ms in (2_000, 4_000, 7_000, 7_000):
        assert standings.add(KEY, 100, now)
        assert standings.is_banned(KEY, now + length_ms - 1)
        assert not standings.is_banned(KEY, now + length_ms)
        now += length_ms
    now += FORGIVEN_AFTER_BANS * 7_000 + 1
    standings.add(KEY, 100, now)
    assert standings.is_banned(KEY, now + 1_999)
    assert not standings.is_banned(KEY, now + 2_000)


def test_points_decay() -> None:
    standings = Standings(100, 60_000, 60_000)
    standings.add(KEY, 60, 0)
    assert not standings.add(KEY, 60, 30_000)
    assert standings.score(KEY) == 90


def test_a_pardon_forgets() -> None:
    standings = Standings(100, 60_000, 60_000)
    standings.add(KEY, 100, 0)
    standings.pardon(KEY)
    assert not standings.is_banned(KEY, 1)


def test_memory_is_bounded() -> None:
    standings = Standings(100, 60_000, 60_000)
    for number in range(2 * MAX_KEPT):
        standings.add(number.to_bytes(32, "big"), 1, 0)
        standings.add(number.to_bytes(33, "big"), 100, 0)
    assert len(standings._points) <= MAX_KEPT
    assert len(standings._banned_until) <= MAX_KEPT
