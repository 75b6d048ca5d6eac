"""Confinement of the executor process by the kernel: no new privileges, seccomp, Landlock, a memory limit; each as far as the kernel offers it.

The executor runs contracts. The VM lets nothing out; should it have a hole all the same, the process behind it has no keys, no sockets, can't start a
program or signal another process, and reaches no file outside the state's directory. `confine` says what holds, so that the node can say it too.

The filter is a list of what is allowed (docs/adr/0013): a system call that this file doesn't know, or that a later kernel invents, is refused.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_DUMPABLE: Final = 4
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_ALL_THREADS: Final = 1

_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_BITS: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_CLONE_THREAD: Final = 0x00010000
_NEWER_CALLS: Final = 424
"""From this number on calls are the same on every architecture. Refused with ENOSYS, so that libc falls back on the older call."""
_OFFSET_NUMBER, _OFFSET_ARCH = 0, 4

_FCNTL_COMMANDS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)
"""Duplicates, flags and locks; not F_SETOWN and F_SETSIG, which send signals, nor leases."""
_IOCTL_COMMANDS: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Is it a terminal, how wide, bytes waiting, blocking, close-on-exec; not TIOCSTI, which types into a terminal."""


class _Architecture(NamedTuple):
    """Numbers of system calls; `allowed` whatever their arguments, the others for some arguments only."""

    audit: int
    seccomp: int
    clone: int
    kill: int
    tgkill: int
    prlimit: int
    fcntl: int
    ioctl: int
    allowed: dict[str, int]


_ARCHITECTURES: Final = {
    "x86_64": _Architecture(0xC000003E, seccomp=317, clone=56, kill=62, tgkill=234, prlimit=302, fcntl=72, ioctl=16, allowed={
        "read": 0, "write": 1, "readv": 19, "writev": 20, "pread64": 17, "pwrite64": 18, "preadv": 295, "pwritev": 296, "open": 2, "openat": 257,
        "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "newfstatat": 262, "statx": 332, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "mremap": 25,
        "madvise": 28, "msync": 26, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "rt_sigpending": 127, "rt_sigtimedwait": 128,
        "rt_sigsuspend": 130, "sigaltstack": 131, "access": 21, "faccessat": 269, "pipe": 22, "pipe2": 293, "select": 23, "pselect6": 270, "poll": 7,
        "ppoll": 271, "sched_yield": 24, "nanosleep": 35, "clock_nanosleep": 230, "clock_gettime": 228, "clock_getres": 229, "gettimeofday": 96,
        "time": 201, "times": 100, "getpid": 39, "gettid": 186, "getppid": 110, "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108,
        "getpgrp": 111, "getrusage": 98, "getrandom": 318, "getcpu": 309, "sysinfo": 99, "uname": 63, "futex": 202, "set_robust_list": 273,
        "get_robust_list": 274, "rseq": 334, "set_tid_address": 218, "exit": 60, "exit_group": 231, "membarrier": 324, "fsync": 74, "fdatasync": 75,
        "sync_file_range": 277, "ftruncate": 77, "fallocate": 285, "fadvise64": 221, "flock": 73, "getdents": 78, "getdents64": 217, "getcwd": 79,
        "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "unlink": 87, "unlinkat": 263, "readlink": 89,
        "readlinkat": 267, "umask": 95, "dup": 32, "dup2": 33, "dup3": 292, "statfs": 137, "fstatfs": 138, "sched_getaffinity": 204, "sched_getparam": 143,
        "sched_getscheduler": 145, "getpriority": 140, "getrlimit": 97, "arch_prctl": 158, "restart_syscall": 219,
    }),
    "aarch64": _Architecture(0xC00000B7, seccomp=277, clone=220, kill=129, tgkill=131, prlimit=261, fcntl=25, ioctl=29, allowed={
        "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "pwrite64": 68, "preadv": 69, "pwritev": 70, "openat": 56, "close": 57,
        "fstat": 80, "newfstatat": 79, "statx": 291, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215, "mremap": 216, "madvise": 233, "msync": 227,
        "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "rt_sigpending": 136, "rt_sigtimedwait": 137, "rt_sigsuspend": 133,
        "sigaltstack": 132, "faccessat": 48, "pipe2": 59, "pselect6": 72, "ppoll": 73, "sched_yield": 124, "nanosleep": 101, "clock_nanosleep": 115,
        "clock_gettime": 113, "clock_getres": 114, "gettimeofday": 169, "times": 153, "getpid": 172, "gettid": 178, "getppid": 173, "getuid": 174,
        "geteuid": 175, "getgid": 176, "getegid": 177, "getrusage": 165, "getrandom": 278, "getcpu": 168, "sysinfo": 179, "uname": 160, "futex": 98,
        "set_robust_list": 99, "get_robust_list": 100, "rseq": 293, "set_tid_address": 96, "exit": 93, "exit_group": 94, "membarrier": 283, "fsync": 82,
        "fdatasync": 83, "sync_file_range": 84, "ftruncate": 46, "fallocate": 47, "fadvise64": 223, "flock": 32, "getdents64": 61, "getcwd": 17,
        "renameat": 38, "renameat2": 276, "mkdirat": 34, "unlinkat": 35, "readlinkat": 78, "umask": 166, "dup": 23, "dup3": 24, "statfs": 43,
        "fstatfs": 44, "sched_getaffinity": 123, "sched_getparam": 121, "sched_getscheduler": 120, "getpriority": 141, "getrlimit": 163,
        "restart_syscall": 128,
    }),
}  # fmt: skip
"""Memory, threads, time, waiting, and files (which Landlock bounds); from the kernel's own tables."""

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_FS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_LANDLOCK_NET: Final = 0b11
_LANDLOCK_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals end at the process's own domain."""


def confine(directory: Path, memory_bytes: int = 0) -> tuple[str, ...]:
    """Confine this process to `directory`, and to so much memory of its own (0: no limit), for good.

    Returns one line for each means: what holds, or why it doesn't. Call it while the process has one thread: Landlock reaches those that come later.
    """
    if sys.platform != "linux":
        return (f"none: {sys.platform} offers no seccomp or Landlock",)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    memory = _memory(memory_bytes)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return (f"none: no_new_privs was refused ({os.strerror(ctypes.get_errno())})", *memory)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return ("no_new_privs: on", _landlock(libc, directory), _seccomp(libc), *memory)


def gaps(confinement: tuple[str, ...]) -> list[str]:
    """The lines of a confinement that say what doesn't hold."""
    return [line for line in confinement if ": on" not in line]


def _memory(limit: int) -> tuple[str, ...]:
    """Private memory, not mapped files: LevelDB maps its tables."""
    if not limit:
        return ()
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    return (f"memory: on, at most {bound >> 20} MiB",)


def _landlock(libc: ctypes.CDLL, directory: Path) -> str:
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return f"landlock: off, the kernel doesn't have it ({os.strerror(ctypes.get_errno())})"
    rights = _LANDLOCK_FS[min(version, 5)]
    attributes = struct.pack("=Q", rights)
    if version >= 4:
        attributes += struct.pack("=Q", _LANDLOCK_NET)
    if version >= 6:
        attributes += struct.pack("=Q", _LANDLOCK_SCOPES)
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return f"landlock: off, its rule set was refused ({os.strerror(ctypes.get_errno())})"
    parent = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = struct.pack("=Qi", rights, parent)
        if libc.syscall(_LANDLOCK_ADD, ruleset, 1, beneath, 0) != 0 or libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) != 0:
            return f"landlock: off, it was refused ({os.strerror(ctypes.get_errno())})"
    finally:
        os.close(parent)
        os.close(ruleset)
    return f"landlock: on, files only beneath {directory}"


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One instruction of the filter; `yes` and `no` are how many to skip."""
    return struct.pack("=HBBI", code, yes, no, value)


_PERMIT: Final = _step(_RETURN, _ALLOW)
_REFUSE: Final = _step(_RETURN, _ERRNO | errno.EPERM)


def _argument(index: int, *, high: bool = False) -> bytes:
    """Load half of a system call's argument (little-endian machines)."""
    return _step(_LOAD, 16 + 8 * index + 4 * high)


def _when(number: int, body: list[bytes]) -> list[bytes]:
    """For this system call, `body` decides."""
    return [_step(_EQUAL, number, 0, len(body)), *body]


def _one_of(values: tuple[int, ...]) -> list[bytes]:
    return [instruction for value in values for instruction in (_step(_EQUAL, value, 0, 1), _PERMIT)]


def seccomp_program(machine: str, pid: int) -> bytes:
    """The filter: memory, threads, time, files, signals to the process itself; everything else is refused."""
    calls = _ARCHITECTURES[machine]
    program = [_step(_LOAD, _OFFSET_ARCH), _step(_EQUAL, calls.audit, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, _OFFSET_NUMBER)]
    for number in sorted(calls.allowed.values()):
        program += _when(number, [_PERMIT])
    program += _when(calls.clone, [_argument(0), _step(_BITS, _CLONE_THREAD, 0, 1), _PERMIT, _REFUSE])
    for number in (calls.kill, calls.tgkill):
        program += _when(number, [_argument(0), *_one_of((pid,)), _REFUSE])
    program += _when(calls.fcntl, [_argument(1), *_one_of(_FCNTL_COMMANDS), _REFUSE])
    program += _when(calls.ioctl, [_argument(1), *_one_of(_IOCTL_COMMANDS), _REFUSE])
    # Its own limits, to read them: no other process (argument 0), no new limit (a pointer, argument 2).
    reading = [_argument(0), _step(_EQUAL, 0, 0, 5), _argument(2), _step(_EQUAL, 0, 0, 3), _argument(2, high=True), _step(_EQUAL, 0, 0, 1), _PERMIT, _REFUSE]
    program += _when(calls.prlimit, reading)
    program += [_step(_AT_LEAST, _NEWER_CALLS, 0, 1), _step(_RETURN, _ERRNO | errno.ENOSYS), _REFUSE]
    return b"".join(program)


def _seccomp(libc: ctypes.CDLL) -> str:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return f"seccomp: off, no filter is known for {machine}"
    program = seccomp_program(machine, os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    # libc's prctl would confine this thread alone; an x32 call on x86_64 has a high number, and gets ENOSYS.
    done = libc.syscall(
        _ARCHITECTURES[machine].seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_ALL_THREADS, ctypes.create_string_buffer(header, len(header))
    )
    if done != 0:
        return f"seccomp: off, the kernel refused the filter ({os.strerror(ctypes.get_errno())})"
    return "seccomp: on, only computing and files: no sockets, no new processes, no other programs"
