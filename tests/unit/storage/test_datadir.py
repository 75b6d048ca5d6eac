import subprocess
import sys
from pathlib import Path

import pytest

from carbonnode.errors import ConfigError, StorageError
from carbonnode.storage.datadir import DataDirectory, read_identity, write_durably

CHAIN = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    DataDirectory.create(path, CHAIN)
    return path


def test_opens_with_its_parts(path: Path) -> None:
    with DataDirectory.open(path, CHAIN) as data:
        assert data.identity.chain_id == CHAIN.hex()
        assert data.identity.engine == "leveldb"
        assert data.blocks.is_dir()
        assert data.state.is_dir()
        assert data.journal.is_dir()


def test_a_foreign_genesis_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds the chain 0001.*genesis is the chain ffff"):
        DataDirectory.open(path, b"\xff" * 32)


def test_a_second_process_is_refused_and_the_first_named(path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from carbonnode.storage.datadir import DataDirectory;"
        "data = DataDirectory.open(Path(sys.argv[1]), bytes(range(32))); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match=f"pid {other.pid}") as caught:
            DataDirectory.open(path, CHAIN)
        assert caught.value.code == "locked"
        other.kill()
    with DataDirectory.open(path, CHAIN):
        pass


def test_creating_twice_is_refused(path: Path) -> None:
    with pytest.raises(StorageError, match="exists here already"):
        DataDirectory.create(path, CHAIN)


def test_nothing_there_names_init(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="carbonnode init"):
        DataDirectory.open(tmp_path / "none", CHAIN)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format":1}', b'{"format":1,"engine":"leveldb","chain_id":"00","extra":1}'])
def test_a_damaged_identity_is_named(path: Path, content: bytes) -> None:
    (path / "identity.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"identity\.json is damaged"):
        read_identity(path)


def test_a_missing_identity_is_named(path: Path) -> None:
    (path / "identity.json").unlink()
    with pytest.raises(StorageError, match=r"identity\.json is missing"):
        read_identity(path)


def test_another_engine_is_refused(path: Path) -> None:
    (path / "identity.json").write_bytes(b'{"format":1,"engine":"rocksdb","chain_id":"00"}')
    with pytest.raises(StorageError, match="rocksdb") as caught:
        read_identity(path)
    assert caught.value.code == "format"


def test_durable_write_replaces_whole_files(tmp_path: Path) -> None:
    file = tmp_path / "f"
    write_durably(file, b"one")
    write_durably(file, b"two")
    assert file.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
