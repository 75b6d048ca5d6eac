"""Keys on disk: created once, unlocked with their passphrase only, never readable by others."""

import json
from pathlib import Path

import pytest

from carbonnode.chain.signing import KeySigner, verify
from carbonnode.errors import KeystoreError
from carbonnode.identity import KeyInfo, KeyStore, Strength
from carbonnode.identity.keystore import SUFFIX, read_passphrase_file

FAST = Strength.THROW_AWAY
SEED = bytes(range(32))


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


def _file(tmp_path: Path, name: str) -> Path:
    return tmp_path / "keys" / (name + SUFFIX)


def test_a_key_signs_after_unlocking(store: KeyStore, tmp_path: Path) -> None:
    info = store.create("alice", "correct horse", strength=FAST)
    signer = store.unlock("alice", "correct horse")
    assert verify(info.public_key, b"m", signer.sign(b"m"))
    assert _file(tmp_path, "alice").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_a_given_seed_is_kept_but_not_in_the_clear(store: KeyStore, tmp_path: Path) -> None:
    assert store.create("alice", "p", seed=SEED, strength=FAST).public_key == KeySigner(SEED).public_key
    assert store.reveal("alice", "p") == SEED
    content = _file(tmp_path, "alice").read_bytes()
    assert SEED not in content
    assert SEED.hex().encode() not in content


def test_a_wrong_passphrase_is_said_clearly(store: KeyStore) -> None:
    store.create("alice", "right", strength=FAST)
    with pytest.raises(KeystoreError, match="the passphrase doesn't open"):
        store.unlock("alice", "wrong")


def test_unicode_forms_of_a_passphrase_are_one(store: KeyStore) -> None:
    store.create("alice", "caf\u00e9", strength=FAST)
    assert store.unlock("alice", "cafe\u0301").public_key


def test_nothing_is_overwritten(store: KeyStore) -> None:
    before = store.create("alice", "p", strength=FAST)
    with pytest.raises(KeystoreError, match="exists already"):
        store.create("alice", "q", strength=FAST)
    assert store.unlock("alice", "p").public_key == before.public_key


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", ".hidden", "x" * 65, "a b"])
def test_names_that_could_leave_the_directory_are_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(KeystoreError, match="can't name a key"):
        store.create(name, "p", strength=FAST)


def test_an_empty_passphrase_is_refused(store: KeyStore) -> None:
    with pytest.raises(KeystoreError, match="empty passphrase"):
        store.create("alice", "", strength=FAST)


def test_listing_needs_no_passphrase(store: KeyStore) -> None:
    assert store.list_keys() == []
    made = [store.create(name, "p", strength=FAST) for name in ("bob", "alice")]
    assert store.list_keys() == sorted(made, key=lambda info: info.name)
    assert store.show("bob") == made[0]


def test_a_missing_key_names_its_file(store: KeyStore) -> None:
    with pytest.raises(KeystoreError, match="doesn't exist"):
        store.unlock("nobody", "p")


def test_a_file_that_others_may_read_is_refused(store: KeyStore, tmp_path: Path) -> None:
    store.create("alice", "p", strength=FAST)
    _file(tmp_path, "alice").chmod(0o644)
    with pytest.raises(KeystoreError, match="chmod 600"):
        store.unlock("alice", "p")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sealed": "AAAA"}, "doesn't open"),
        ({"sealed": "!"}, "damaged"),
        ({"salt": "AAAA"}, "damaged"),
        ({"memory": 2**40}, "out of range"),
        ({"operations": 0}, "out of range"),
        ({"public_key": "00" * 32}, "isn't that of the private key"),
        ({"kdf": "md5"}, "another release"),
        ({"format": 2}, "another release"),
        ({"extra": 1}, "damaged"),
    ],
)
def test_damage_is_named(store: KeyStore, tmp_path: Path, change: dict[str, object], message: str) -> None:
    store.create("alice", "p", strength=FAST)
    path = _file(tmp_path, "alice")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KeystoreError, match=message):
        store.unlock("alice", "p")


def test_a_damaged_public_key_is_named_in_lists(store: KeyStore, tmp_path: Path) -> None:
    store.create("alice", "p", strength=FAST)
    path = _file(tmp_path, "alice")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"public_key": "zz"}))
    with pytest.raises(KeystoreError, match="isn't hexadecimal"):
        store.list_keys()


def test_a_passphrase_can_be_changed(store: KeyStore, tmp_path: Path) -> None:
    info = store.create("alice", "old", strength=FAST)
    store.change_passphrase("alice", "old", "new", strength=FAST)
    assert store.unlock("alice", "new").public_key == info.public_key
    assert _file(tmp_path, "alice").stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeystoreError, match="doesn't open"):
        store.unlock("alice", "old")


def test_backup_and_restore(store: KeyStore, tmp_path: Path) -> None:
    made = [store.create(name, "p", strength=FAST) for name in ("alice", "bob", "carol")]
    backup = tmp_path / "backup.json"
    assert store.export_backup(backup, ("alice", "bob")) == 2
    assert backup.stat().st_mode & 0o777 == 0o600
    fresh = KeyStore(tmp_path / "fresh")
    assert fresh.import_backup(backup) == made[:2]
    assert fresh.unlock("bob", "p").public_key == made[1].public_key
    with pytest.raises(KeystoreError, match="exists"):
        fresh.import_backup(backup)
    assert store.export_backup(tmp_path / "all.json") == 3


def test_a_backup_of_nothing_or_of_garbage_is_refused(store: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="no keys"):
        store.export_backup(tmp_path / "b.json")
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    bad.chmod(0o600)
    with pytest.raises(KeystoreError, match="isn't a backup"):
        store.import_backup(bad)


def test_an_import_takes_all_or_nothing(store: KeyStore, tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        store.create(name, "p", strength=FAST)
    store.export_backup(tmp_path / "b.json")
    other = KeyStore(tmp_path / "other")
    kept = other.create("bob", "q", strength=FAST)
    with pytest.raises(KeystoreError, match="'bob' exists"):
        other.import_backup(tmp_path / "b.json")
    assert other.list_keys() == [KeyInfo("bob", kept.public_key)]


def test_passphrase_files(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_text("secret\nrest\n")
    assert read_passphrase_file(path) == "secret"
    path.write_text("\n")
    with pytest.raises(KeystoreError, match="no passphrase"):
        read_passphrase_file(path)
