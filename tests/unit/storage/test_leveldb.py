import subprocess
import sys
from pathlib import Path

import pytest

from carbonnode.errors import DiskFull, StorageError
from carbonnode.storage import leveldb
from carbonnode.storage.leveldb import LevelKV
from carbonnode.storage.space import SpaceGuard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "db"
    leveldb.create(path)
    return path


def fill(path: Path, count: int = 2000) -> None:
    with LevelKV.open(path) as kv:
        for number in range(count):
            kv.write([(b"k%06d" % number, bytes([number % 251]) * 100)])


def test_reads_what_was_written_in_order(path: Path) -> None:
    with LevelKV.open(path) as kv:
        kv.write([(b"b", b"2"), (b"a", b"1"), (b"c", b"3")])
        kv.write([(b"d", b"4")], [b"b"])
        assert kv.get(b"a") == b"1"
        assert kv.get(b"b") is None
        assert list(kv.iterate()) == [(b"a", b"1"), (b"c", b"3"), (b"d", b"4")]
        assert list(kv.iterate(start=b"b", stop=b"d", reverse=True)) == [(b"c", b"3")]


def test_snapshot_is_frozen(path: Path) -> None:
    with LevelKV.open(path) as kv:
        kv.write([(b"a", b"1")])
        snapshot = kv.snapshot()
        kv.write([(b"a", b"2"), (b"b", b"3")])
        assert list(snapshot.iterate()) == [(b"a", b"1")]
        snapshot.close()
        assert kv.get(b"a") == b"2"


def test_opening_never_creates(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="carbonnode init") as caught:
        LevelKV.open(tmp_path / "nothing")
    assert caught.value.code == "missing"
    assert not (tmp_path / "nothing").exists()


def test_creating_twice_is_refused(path: Path) -> None:
    with pytest.raises(StorageError, match="exists here already"):
        leveldb.create(path)


def test_a_second_opener_is_told_about_the_lock(path: Path) -> None:
    with LevelKV.open(path), pytest.raises(StorageError, match="another process has this database open") as caught:
        LevelKV.open(path)
    assert caught.value.code == "locked"


@pytest.mark.parametrize("victim", ["CURRENT", "MANIFEST"])
def test_a_lost_manifest_or_current_is_named_and_not_replaced_by_an_empty_database(path: Path, victim: str) -> None:
    fill(path, 10)
    lost = next(file for file in path.iterdir() if file.name.startswith(victim))
    lost.unlink()
    with pytest.raises(StorageError, match=lost.name) as caught:
        LevelKV.open(path)
    assert caught.value.code == "corrupt"
    assert "verify-store --repair" in str(caught.value)
    leveldb.repair(path)
    with LevelKV.open(path) as kv:
        assert kv.get(b"k000009") == b"\x09" * 100


def test_damage_in_the_log_is_refused_not_dropped(path: Path) -> None:
    fill(path, 500)
    log = max((file for file in path.iterdir() if file.suffix == ".log"), key=lambda file: file.stat().st_size)
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0x55
    log.write_bytes(data)
    with pytest.raises(StorageError, match="damaged") as caught:
        LevelKV.open(path)
    assert caught.value.code == "corrupt"


def test_damage_in_a_table_is_refused_when_read(path: Path) -> None:
    fill(path)
    with LevelKV.open(path) as kv:
        kv._source.compact_range()
    table = max((file for file in path.iterdir() if file.suffix == ".ldb"), key=lambda file: file.stat().st_size)
    data = bytearray(table.read_bytes())
    for place in range(0, len(data), 1000):
        data[place] ^= 0x55
    table.write_bytes(data)

    def read_all() -> None:
        with LevelKV.open(path) as kv:
            list(kv.iterate())

    with pytest.raises(StorageError, match="damaged"):
        read_all()


def test_a_torn_log_tail_drops_only_the_last_batch(path: Path) -> None:
    fill(path, 100)
    log = max((file for file in path.iterdir() if file.suffix == ".log"), key=lambda file: file.stat().st_size)
    log.write_bytes(log.read_bytes()[:-7])
    with LevelKV.open(path) as kv:
        assert kv.get(b"k000098") is not None
        assert kv.get(b"k000099") is None


def test_short_space_refuses_before_anything_is_written(path: Path) -> None:
    free = [1000]
    with LevelKV.open(path, SpaceGuard(path, 900, lambda _path: free[0])) as kv:
        with pytest.raises(DiskFull, match="reserve"):
            kv.write([(b"a", b"x" * 200)])
        assert kv.get(b"a") is None
        free[0] = 10_000
        kv.write([(b"a", b"x" * 200)])
        assert kv.get(b"a") is not None


WRITER = """
import resource, signal, sys
from pathlib import Path
from carbonnode.errors import DiskFull
from carbonnode.storage.leveldb import LevelKV
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 10_000_000))
kv = LevelKV.open(Path(sys.argv[1]))
for number in range(1000):
    try:
        kv.write([(b"k%06d" % number, b"x" * 1000)])
    except DiskFull:
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))
kv.write([(b"after", b"space is back")])
kv.close()
print(number)
"""


def test_a_disk_that_fills_up_under_a_write_needs_no_repair(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(path)], capture_output=True, text=True, check=True)
    written = int(done.stdout)
    with LevelKV.open(path) as kv:
        assert kv.get(b"after") == b"space is back"
        assert all(kv.get(b"k%06d" % number) is not None for number in range(written))


KILLED = """
import sys
from pathlib import Path
from carbonnode.storage.leveldb import LevelKV
kv = LevelKV.open(Path(sys.argv[1]))
number = 0
while True:
    kv.write([(b"k%08d" % number, b"v" * 500), (b"height", b"%08d" % number)])
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("after", [1, 50, 700])
def test_kill_9_loses_no_acknowledged_batch(path: Path, after: int) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= after:
                process.kill()
                break
        rest = process.stdout.read().split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    with LevelKV.open(path) as kv:
        raw = kv.get(b"height")
        assert raw is not None
        assert int(raw) >= acknowledged
        assert all(kv.get(b"k%08d" % number) is not None for number in range(int(raw) + 1))


def test_write_buffers_differ_from_opening_to_opening() -> None:
    """Validators write the same bytes: equal buffers would be written out by all of them in the same moment."""
    sizes = {leveldb.write_buffer_bytes() for _ in range(20)}
    assert len(sizes) > 10
    assert all(leveldb.WRITE_BUFFER_BYTES <= size < leveldb.WRITE_BUFFER_BYTES + leveldb.WRITE_BUFFER_SPREAD_BYTES for size in sizes)


@pytest.mark.parametrize("compress", [False, True])
def test_what_is_compressed_is_said_at_opening_and_tables_of_both_kinds_are_read(path: Path, compress: bool) -> None:
    value = bytes(100_000)
    for number, how in enumerate((compress, not compress, compress)):
        with LevelKV.open(path, compress=how) as kv:
            kv.write([(b"k%d" % number, value)])
    tables = {table.stat().st_size > 50_000 for table in path.glob("*.ldb")}
    assert tables == {False, True}
    with LevelKV.open(path) as kv:
        assert [kv.get(b"k%d" % number) for number in range(3)] == [value] * 3
