"""What a dialler makes of dials that the peer takes for duplicates."""

from carbonnode.network.dialer import DUPLICATES_TOLERATED_S, Duplicates


def test_a_row_of_duplicates_is_told_once_when_it_lasts_longer_than_simultaneous_dials() -> None:
    duplicates = Duplicates()
    assert duplicates.again(100.0) is None
    assert duplicates.again(100.0 + DUPLICATES_TOLERATED_S - 0.1) is None
    assert duplicates.again(100.0 + DUPLICATES_TOLERATED_S + 0.5) == DUPLICATES_TOLERATED_S + 0.5
    assert duplicates.again(200.0) is None
    duplicates.end()
    assert duplicates.again(300.0) is None
    assert duplicates.again(310.0) == 10.0
