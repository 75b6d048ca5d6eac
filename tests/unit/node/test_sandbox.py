"""The executor's confinement, tried from inside the executor process itself: it computes and keeps its files, everything else is refused.

A child runs the executor's own `Service`, opens a state as the daemon would, executes, and then tries one forbidden thing after the other: in the main
thread, and in one that starts later. What the kernel lets through is named.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from carbonnode.node.sandbox import gaps, seccomp_program
from carbonnode.storage import leveldb
from tests.unit.ledger.toy import Chain

ROOT = Path(__file__).resolve().parents[3]
LINUX = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}

TRIES = r"""
import ctypes, fcntl, json, os, resource, signal, socket, subprocess, sys, threading
from pathlib import Path
from carbonnode.node import executor_protocol as protocol
from carbonnode.node.executor_process import Service
from carbonnode.storage.crashpoints import CrashPoints

node, genesis = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
state, parent = node / "data" / "state", os.getppid()
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
service = Service(CrashPoints())
hello = service.answer(protocol.Open(str(state), genesis, 4, 0, True, 2 << 30))
assert service.answer(protocol.Status()).height == 0
assert service.answer(protocol.Contracts()) == ("toy",)
(state / "own").write_text("fine")
assert (state / "own").read_text() == "fine"
os.kill(os.getpid(), 0)
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0

def call(*arguments):
    if libc.syscall(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def memory_of_parent():
    with open(f"/proc/{parent}/mem", "r+b") as file:
        file.read(1)

X86 = os.uname().machine == "x86_64"
def number(x86, arm):
    return x86 if X86 else arm

pages = ctypes.create_string_buffer(64)
tries = {
    "read the node's keys": lambda: (node / "keys" / "consensus.key").read_bytes(),
    "read the node's passphrase": lambda: (node / "passphrase").read_bytes(),
    "list the node's directory": lambda: os.listdir(node),
    "read the vote journal": lambda: (node / "data" / "journal" / "1").read_bytes(),
    "read /etc/passwd": lambda: open("/etc/passwd").read(),
    "write outside": lambda: (node / "planted").write_text("x"),
    "append to the config": lambda: open(node / "config.toml", "a"),
    "truncate the config": lambda: os.truncate(node / "config.toml", 0),
    "make a directory outside": lambda: os.mkdir(node / "made"),
    "remove a file outside": lambda: os.unlink(node / "config.toml"),
    "rename out of the state": lambda: os.rename(state / "own", node / "own"),
    "link a file in": lambda: os.link(node / "config.toml", state / "linked"),
    "read through a link": lambda: os.symlink(node / "config.toml", state / "soft"),
    "change modes": lambda: os.chmod(node / "keys", 0),
    "change owners": lambda: os.chown(node / "config.toml", 0, 0),
    "change times": lambda: os.utime(node / "config.toml", (0, 0)),
    "mkfifo": lambda: os.mkfifo(state / "fifo"),
    "mknod": lambda: os.mknod(state / "device", 0o20600, 0x103),
    "internet socket": lambda: socket.socket(),
    "udp socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "netlink socket": lambda: socket.socket(16, socket.SOCK_RAW),
    "socketpair": lambda: socket.socketpair(),
    "connect on an open descriptor": lambda: call(number(42, 203), 0, pages, 16),
    "bind on an open descriptor": lambda: call(number(49, 200), 0, pages, 16),
    "send a descriptor": lambda: call(number(46, 211), 0, pages, 0),
    "fork": lambda: os.fork(),
    "vfork": lambda: call(number(58, 9999), 0),
    "clone a process": lambda: call(number(56, 220), signal.SIGCHLD, 0, 0, 0, 0),
    "clone3": lambda: call(435, pages, 64),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "execveat": lambda: call(number(322, 281), -100, b"/bin/true", 0, 0, 0),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "subprocess": lambda: subprocess.Popen(["/bin/true"]),
    "memfd": lambda: os.memfd_create("x"),
    "ptrace the node": lambda: call(number(101, 117), 16, parent, 0, 0),
    "read the node's memory": lambda: call(number(310, 270), parent, pages, 1, pages, 1, 0),
    "write the node's memory": lambda: call(number(311, 271), parent, pages, 1, pages, 1, 0),
    "/proc/<node>/mem": memory_of_parent,
    "/proc/<node>/environ": lambda: open(f"/proc/{parent}/environ").read(),
    "/proc/self/mem": lambda: open("/proc/self/mem", "r+b"),
    "kill the node": lambda: os.kill(parent, 0),
    "kill the group": lambda: os.kill(0, 0),
    "kill everybody": lambda: os.kill(-1, 0),
    "tgkill the node": lambda: call(number(234, 131), parent, parent, 0),
    "tkill the node": lambda: call(number(200, 130), parent, 0),
    "queue a signal": lambda: call(number(129, 138), parent, 10, pages),
    "pidfd_open": lambda: os.pidfd_open(parent),
    "pidfd_getfd": lambda: call(438, 0, 0, 0),
    "signal by file": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, parent),
    "type into a terminal": lambda: fcntl.ioctl(0, 0x5412, b"x"),
    "limits of the node": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, (1, 1)),
    "raise its own limit": lambda: resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    "priority of the node": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "pin the node": lambda: os.sched_setaffinity(parent, {0}),
    "mount": lambda: call(number(165, 40), b"none", b"/mnt", b"tmpfs", 0, 0),
    "umount": lambda: call(number(166, 39), b"/mnt", 2),
    "pivot_root": lambda: call(number(155, 41), b"/", b"/"),
    "new mount api": lambda: call(430, b"tmpfs", 0),
    "chroot": lambda: os.chroot(state),
    "unshare": lambda: call(number(272, 97), 0x10000000),
    "setns": lambda: call(number(308, 268), 0, 0),
    "bpf": lambda: call(number(321, 280), 0, pages, 64),
    "perf": lambda: call(number(298, 241), pages, 0, -1, -1, 0),
    "userfaultfd": lambda: call(number(323, 282), 0),
    "io_uring": lambda: call(425, 1, pages),
    "keyring": lambda: call(number(250, 219), 0, 0, 0, 0, 0),
    "load a module": lambda: call(number(175, 105), pages, 64, b""),
    "kexec": lambda: call(number(246, 104), 0, 0, 0, 0),
    "reboot": lambda: call(number(169, 142), 0, 0, 0, 0),
    "set the clock": lambda: call(number(227, 112), 0, pages),
    "become another user": lambda: os.setuid(os.getuid()),
    "hostname": lambda: call(number(170, 161), b"x", 1),
    "unload the filter": lambda: call(number(317, 277), 0, 0, 0),
    "a call nobody knows": lambda: call(4000),
}
if X86:
    tries["x32 socket"] = lambda: call(0x40000000 + 41, 2, 1, 0)
    tries["x32 ptrace"] = lambda: call(0x40000000 + 521, 16, parent, 0, 0)

def attempt():
    passed = []
    for name, action in tries.items():
        try:
            action()
        except (OSError, ValueError):  # `resource` makes a ValueError of EPERM
            continue
        passed.append(name)
    return passed

passed = attempt()
late = []
thread = threading.Thread(target=lambda: late.extend(attempt()))
thread.start()
thread.join()
batch_works = service.answer(protocol.GenesisBlock()).header.height == 0
service.close()
print(json.dumps({"confinement": hello.confinement, "passed": passed, "late": late, "tries": len(tries), "works": batch_works}))
"""


@pytest.mark.skipif(not LINUX, reason="seccomp and Landlock are Linux's")
def test_the_executor_process_can_only_compute(tmp_path: Path) -> None:
    chain, node = Chain(), tmp_path / "node"
    for folder in ("keys", "data/journal"):
        (node / folder).mkdir(parents=True)
    for file in ("keys/consensus.key", "passphrase", "data/journal/1", "config.toml"):
        (node / file).write_text("secret")
    genesis = tmp_path / "genesis.json"
    genesis.write_bytes(chain.genesis.to_json())
    leveldb.create(node / "data" / "state")
    done = subprocess.run(
        [sys.executable, "-c", TRIES, str(node), str(genesis)], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    if gaps(tuple(report["confinement"])):
        pytest.skip(f"this kernel doesn't confine by all means: {report['confinement']}")
    assert (report["passed"], report["late"]) == ([], [])
    assert report["tries"] > 60
    assert report["works"]
    assert sorted(path.name for path in node.iterdir()) == ["config.toml", "data", "keys", "passphrase"]
    assert (node / "config.toml").read_text() == "secret"


def test_every_jump_of_the_filter_ends_within_it() -> None:
    """Both architectures: instruction by instruction, jumps stay inside, and the last instruction returns."""
    for machine in ("x86_64", "aarch64"):
        program = seccomp_program(machine, 77)
        steps = [program[place : place + 8] for place in range(0, len(program), 8)]
        assert len(steps) < 4096
        for place, step in enumerate(steps):
            code, yes, no = int.from_bytes(step[:2], "little"), step[2], step[3]
            assert place + 1 + max(yes, no) < len(steps) or code == 0x06
        assert int.from_bytes(steps[-1][:2], "little") == 0x06


VERDICTS = {
    # number, arguments, whether it is allowed: of a process with id 77 on x86_64
    "read": (0, (), True),
    "futex": (202, (), True),
    "a thread": (56, (0x3D0F00,), True),
    "a process": (56, (17,), False),
    "kill itself": (62, (77,), True),
    "kill another": (62, (1,), False),
    "abort": (234, (77,), True),
    "signal a thread of another": (234, (1,), False),
    "read a limit": (302, (0, 7, 0), True),
    "set a limit": (302, (0, 7, 1), False),
    "set a limit, pointer above 4 GiB": (302, (0, 7, 1 << 40), False),
    "a lock": (72, (3, 6), True),
    "an owner for signals": (72, (3, 8), False),
    "socket": (41, (), False),
    "socket of x32": (0x40000029, (), False),
    "clone3": (435, (), False),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_the_filter_decides_as_it_should(name: str) -> None:
    """The program, interpreted here: no kernel needed, so this runs everywhere."""
    number, arguments, allowed = VERDICTS[name]
    assert (_verdict(seccomp_program("x86_64", 77), number, arguments) == 0x7FFF0000) is allowed


def test_another_architecture_is_killed() -> None:
    assert _verdict(seccomp_program("x86_64", 77), 0, (), arch=0x40000003) == 0x80000000


def _verdict(program: bytes, number: int, arguments: tuple[int, ...], arch: int = 0xC000003E) -> int:
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = number.to_bytes(4, "little") + arch.to_bytes(4, "little") + bytes(8) + b"".join(argument.to_bytes(8, "little") for argument in padded)
    place, loaded = 0, 0
    while True:
        step = program[place * 8 : place * 8 + 8]
        code, yes, no, value = int.from_bytes(step[:2], "little"), step[2], step[3], int.from_bytes(step[4:], "little")
        place += 1
        if code == 0x20:
            loaded = int.from_bytes(data[value : value + 4], "little")
        elif code == 0x06:
            return value
        else:
            met = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            place += yes if met else no


def test_gaps_name_what_does_not_hold() -> None:
    off = "landlock: off, the kernel doesn't have it"
    assert gaps(("no_new_privs: on", off, "seccomp: on, only computing")) == [off]
    assert gaps(("none: switched off by `executor.sandbox`",)) != []
