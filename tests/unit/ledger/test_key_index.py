"""What a contract can ask of the ordered keys: neither prefixes of many lengths nor more lists than fit make others' work long."""

from collections.abc import Iterator

from carbonnode.ledger.key_index import STEPS_BETWEEN_CLEARS, KeyIndex
from carbonnode.vm.keys import encode_text, storage_key, storage_prefix


class Counted(dict[bytes, object]):
    """Counts how often it is asked."""

    asked = 0

    def get(self, key: bytes, default: object = None) -> object:
        self.asked += 1
        return super().get(key, default)


def test_prefixes_of_many_lengths_make_no_write_longer() -> None:
    index = KeyIndex(lambda *_: iter(()), lambda _: (), lambda _: False)
    lists = index._lists = Counted()  # type: ignore[assignment]
    for size in range(400):
        assert index.next_key(storage_prefix("hostile", "m") + encode_text("a" * size), None) is None
    lists.asked = 0
    index.add(storage_key("matching", "asks", ("CEA-2024", 7)))
    index.remove(storage_key("matching", "asks", ("CEA-2024", 7)))
    index.add(storage_key("hostile", "m", ("a" * 399, 7)))
    assert lists.asked <= 9
    assert index.next_key(storage_prefix("hostile", "m") + encode_text("a" * 399), None) == storage_key("hostile", "m", ("a" * 399, 7))


def test_lists_that_dont_fit_together_arent_made_again_and_again() -> None:
    keys = [storage_key("hostile", "m", (f"book {book}", number)) for book in range(9) for number in range(300)]
    walked = 0

    def walk(start: bytes, stop: bytes | None, reverse: bool) -> Iterator[bytes]:
        nonlocal walked
        for key in sorted(keys, reverse=reverse):
            if start <= key and (stop is None or key < stop):
                walked += 1
                yield key

    index = KeyIndex(walk, lambda _: (), set(keys).__contains__, max_bytes=60_000)
    for turn in range(180):
        book = f"book {turn % 9}"
        assert index.next_key(storage_prefix("hostile", "m") + encode_text(book), None) == storage_key("hostile", "m", (book, 0))
    assert walked < 9 * 300 + 2 * 180
    assert index._bytes < 60_000


def test_a_full_index_makes_room_after_enough_steps() -> None:
    keys = [storage_key("a", "m", (book, number)) for book in range(9) for number in range(300)]

    def walk(start: bytes, stop: bytes | None, _: bool) -> Iterator[bytes]:
        return iter([key for key in keys if start <= key and (stop is None or key < stop)])

    index = KeyIndex(walk, lambda _: (), set(keys).__contains__, max_bytes=60_000)
    for book in range(9):
        index.next_key(storage_key("a", "m", (book,)), None)
    last = storage_key("a", "m", (8,))
    assert index._lists[last].wide
    for _ in range(STEPS_BETWEEN_CLEARS):
        index.next_key(storage_key("a", "m", (0,)), None)
    index.next_key(storage_key("a", "m", (10,)), None)
    assert index.next_key(last, None) == storage_key("a", "m", (8, 0))
    assert not index._lists[last].wide
