"""Changes of the voting set, as pure functions: what they give, what bounds them, what is refused with which code."""

import pytest

from carbonnode.chain.signing import KeySigner
from carbonnode.chain.validators import Validator
from carbonnode.ledger.membership import NotApplicable, TooMuchAtOnce, changed_set, check_size, check_step


def key(number: int) -> bytes:
    return KeySigner(bytes([number]) * 32).public_key


def member(number: int, role: str = "super") -> Validator:
    return Validator(f"v{number}", role, key(number), key(number + 100))


def joins(number: int) -> tuple[str, str, str, bytes, bytes]:
    return ("add", f"v{number}", "super", key(number), key(number + 100))


FOUR = tuple(member(number) for number in range(4))
SEVEN = tuple(member(number) for number in range(7))


def test_join_leave_rotate_in_one_change() -> None:
    after = changed_set(FOUR, (joins(9), ("remove", "v1"), ("rotate", "v2", key(50), key(150))), "pbft")
    assert [v.name for v in after] == ["v0", "v2", "v3", "v9"]
    assert after[1] == Validator("v2", "super", key(50), key(150))
    assert after[3] == member(9)


def test_a_whole_set_replaces_the_old_one_in_the_given_order() -> None:
    wanted = tuple(member(number, "coordination") for number in (9, 8, 7, 6))
    assert changed_set(FOUR, tuple(("set", v.name, v.role, v.consensus_key, v.transport_key) for v in wanted), "pbft") == wanted


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ((), "epoch.malformed"),
        ("x", "epoch.malformed"),
        (("add",), "epoch.malformed"),
        ((("join", "v9"),), "epoch.malformed"),
        ((("add", "v9", "super", "text", key(9)),), "epoch.malformed"),
        ((("add", "", "super", key(9), key(109)),), "epoch.malformed"),
        ((("add", "v\n", "super", key(9), key(109)),), "epoch.malformed"),
        ((("add", "v9", "user", key(9), key(109)),), "epoch.validators-inconsistent"),
        ((("add", "v9", "super", b"short", key(109)),), "epoch.validators-inconsistent"),
        ((("add", "v9", "super", key(1), key(109)),), "epoch.validators-inconsistent"),
        ((("add", "v9", "super", key(9), key(101)),), "epoch.validators-inconsistent"),
        ((joins(1),), "epoch.validator-known"),
        ((("remove", "v9"),), "epoch.validator-unknown"),
        ((("rotate", "v9", key(9), key(109)),), "epoch.validator-unknown"),
        ((("rotate", "v1", key(2), key(109)),), "epoch.validators-inconsistent"),
        ((("set", "v9", "super", key(9), key(109)), joins(8)), "epoch.malformed"),
        ((("remove", "v1", "v2"),), "epoch.malformed"),
        ((("rotate", "v1", key(9)),), "epoch.malformed"),
    ],
)
def test_what_is_wrong_is_named_by_its_code(changes: object, code: str) -> None:
    with pytest.raises(NotApplicable) as caught:
        changed_set(FOUR, changes, "pbft")
    assert caught.value.code == code


def test_newcomers_may_all_be_down_without_stopping_the_network() -> None:
    check_step(FOUR, (*FOUR, member(9)))
    with pytest.raises(TooMuchAtOnce, match="new at once"):
        check_step(FOUR, (*FOUR, member(9), member(10)))
    # Seven bear two faults: two of them may be new.
    check_step(SEVEN[:5], SEVEN)
    with pytest.raises(TooMuchAtOnce):
        check_step(SEVEN[:4], SEVEN)


def test_rotated_keys_count_as_newcomers() -> None:
    rotated = changed_set(FOUR, (("rotate", "v1", key(50), key(150)), ("rotate", "v2", key(51), key(151))), "pbft")
    with pytest.raises(TooMuchAtOnce):
        check_step(FOUR, rotated)
    transport_only = changed_set(FOUR, (("rotate", "v1", key(1), key(150)), ("rotate", "v2", key(2), key(151))), "pbft")
    check_step(FOUR, transport_only)


def test_at_most_f_leave_at_once_and_four_remain() -> None:
    check_step(SEVEN, SEVEN[:5])
    with pytest.raises(TooMuchAtOnce, match="leave at once"):
        check_step(SEVEN, SEVEN[:4])
    with pytest.raises(NotApplicable) as caught:
        check_step(FOUR, FOUR[:3])
    assert caught.value.code == "epoch.validators-too-few"


def test_a_small_network_may_grow_but_not_shrink() -> None:
    check_size(FOUR[:2], FOUR[:3])
    with pytest.raises(NotApplicable):
        check_size(FOUR[:2], FOUR[:1])
    with pytest.raises(NotApplicable) as caught:
        check_size(FOUR, FOUR * 26)
    assert caught.value.code == "epoch.validators-too-many"
