"""Keys: byte order is value order, for every type and every tuple of them; decoding gives back what was encoded."""

from hypothesis import given
from hypothesis import strategies as st

from carbonnode.vm.keys import KeyPart, decode_parts, encode_parts, part_ends, storage_key, storage_prefix

INTS = st.integers(-(2**256), 2**256)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
BYTES = st.binary(max_size=12)
EDGES = st.sampled_from([b"", b"\0", b"\0\0", b"\0\xff", b"\xff", b"\xff\xff", b"a", b"a\0", b"a\0b", b"a\xff"])
SCHEMAS = st.lists(st.sampled_from([INTS, TEXTS, BYTES, EDGES, st.booleans()]), min_size=1, max_size=4)


@st.composite
def two_keys(draw: st.DrawFn) -> tuple[tuple[KeyPart, ...], tuple[KeyPart, ...]]:
    kinds = draw(SCHEMAS)
    first = [draw(kind) for kind in kinds]
    second = [draw(st.one_of(st.just(one), kind)) for one, kind in zip(first, kinds, strict=True)]
    return tuple(first), tuple(second)  # type: ignore[arg-type]  # the strategies draw key parts


@given(two_keys())
def test_encoded_keys_sort_as_their_values(keys: tuple[tuple[KeyPart, ...], tuple[KeyPart, ...]]) -> None:
    first, second = keys
    a, b = encode_parts(first), encode_parts(second)
    assert (a < b) == (first < second)
    assert (a == b) == (first == second)


@given(two_keys())
def test_no_key_is_the_beginning_of_another_of_its_map(keys: tuple[tuple[KeyPart, ...], tuple[KeyPart, ...]]) -> None:
    first, second = keys
    a, b = encode_parts(first), encode_parts(second)
    assert a == b or not b.startswith(a)


@given(two_keys())
def test_keys_decode_to_what_was_encoded(keys: tuple[tuple[KeyPart, ...], tuple[KeyPart, ...]]) -> None:
    for key in keys:
        decoded = decode_parts(encode_parts(key))
        assert decoded == key
        assert [type(part) for part in decoded] == [type(part) for part in key]


@given(st.integers(-(2**256), 2**256))
def test_every_integer_within_the_limits_is_a_key(number: int) -> None:
    below = encode_parts((number - 1,)) if number > -(2**256) else b""
    assert below < encode_parts((number,))
    assert decode_parts(encode_parts((number,))) == (number,)


@given(st.binary(max_size=20))
def test_bytes_that_no_key_has_are_refused_or_canonical(data: bytes) -> None:
    try:
        parts = decode_parts(data)
    except (ValueError, IndexError):
        return
    assert encode_parts(parts) == data  # type: ignore[arg-type]  # keys never decode to None


def test_storages_of_a_contract_lie_apart() -> None:
    assert not storage_prefix("a", "mm").startswith(storage_prefix("a", "m"))
    assert not storage_prefix("ab", "m").startswith(storage_prefix("a", "m"))
    assert storage_key("a", "m", (1,)).startswith(storage_prefix("a", "m"))


@given(two_keys())
def test_the_ends_of_a_keys_parts_are_the_prefixes_that_a_walk_may_have(keys: tuple[tuple[KeyPart, ...], tuple[KeyPart, ...]]) -> None:
    for key in keys:
        whole = storage_key("a", "m", key)
        assert [whole[:end] for end in part_ends(whole)] == [storage_key("a", "m", key[:count]) for count in range(len(key) + 1)]
