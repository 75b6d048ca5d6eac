"""Confinement of the executor process by the kernel: no new privileges, seccomp, Landlock; each as far as the kernel offers it.

The executor runs contracts. The VM lets nothing out; should it have a hole all the same, the process behind it has no keys, no sockets, can't start a
program, and reaches no file outside the state's directory. `confine` says what holds, so that the node can say it too.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_PR_SET_DUMPABLE: Final = 4
_SECCOMP_FILTER: Final = 2

_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_SET: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_CLONE_THREAD: Final = 0x00010000
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARG0 = 0, 4, 16

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED: Final = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50, "socketpair": 53,
        "fork": 57, "vfork": 58, "execve": 59,
        "ptrace": 101, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "init_module": 175, "kexec_load": 246, "unshare": 272,
        "accept4": 288, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313, "bpf": 321,
        "execveat": 322, "io_uring_setup": 425, "pidfd_send_signal": 424,
    },
    "aarch64": {
        "socket": 198, "connect": 203, "accept": 202, "sendto": 206, "sendmsg": 211, "bind": 200, "listen": 201, "socketpair": 199,
        "execve": 221, "ptrace": 117,
        "pivot_root": 41, "chroot": 51, "mount": 40, "umount2": 39, "init_module": 105, "kexec_load": 104, "unshare": 97, "accept4": 242,
        "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273, "bpf": 280, "execveat": 281,
        "io_uring_setup": 425, "pidfd_send_signal": 424,
    },
}  # fmt: skip
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3: Final = 435
_KILL_CALLS: Final = {"x86_64": 62, "aarch64": 129}

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_FS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_LANDLOCK_NET: Final = 0b11


def confine(directory: Path) -> tuple[str, ...]:
    """Confine this process to `directory`, for good. Returns one line for each means: what holds, or why it doesn't."""
    if sys.platform != "linux":
        return (f"none: {sys.platform} offers no seccomp or Landlock",)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return (f"none: no_new_privs was refused ({os.strerror(ctypes.get_errno())})",)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return ("no_new_privs: on", _landlock(libc, directory), _seccomp(libc))


def _landlock(libc: ctypes.CDLL, directory: Path) -> str:
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return f"landlock: off, the kernel doesn't have it ({os.strerror(ctypes.get_errno())})"
    rights = _LANDLOCK_FS[min(version, 5)]
    attributes = struct.pack("=QQ", rights, _LANDLOCK_NET) if version >= 4 else struct.pack("=Q", rights)
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


def _instruction(code: int, yes: int, no: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def seccomp_program(machine: str, pid: int) -> bytes:
    """The filter: everything is allowed but sockets, new processes and programs, and what reaches into other processes or the kernel."""
    refuse = _ERRNO | errno.EPERM
    program = [
        _instruction(_LOAD, 0, 0, _OFFSET_ARCH),
        _instruction(_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        _instruction(_RETURN, 0, 0, _KILL),
        _instruction(_LOAD, 0, 0, _OFFSET_NUMBER),
    ]
    for number in sorted(_DENIED[machine].values()):
        program += [_instruction(_JUMP_EQUAL, 0, 1, number), _instruction(_RETURN, 0, 0, refuse)]
    # clone3 hides its flags behind a pointer: with ENOSYS libc falls back to clone, which is allowed for threads only.
    program += [_instruction(_JUMP_EQUAL, 0, 1, _CLONE3), _instruction(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    program += [
        _instruction(_JUMP_EQUAL, 0, 3, _CLONE[machine]),
        _instruction(_LOAD, 0, 0, _OFFSET_ARG0),
        _instruction(_JUMP_SET, 5, 0, _CLONE_THREAD),
        _instruction(_RETURN, 0, 0, refuse),
        _instruction(_JUMP_EQUAL, 0, 3, _KILL_CALLS[machine]),
        _instruction(_LOAD, 0, 0, _OFFSET_ARG0),
        _instruction(_JUMP_EQUAL, 1, 0, pid),
        _instruction(_RETURN, 0, 0, refuse),
        _instruction(_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(program)


def _seccomp(libc: ctypes.CDLL) -> str:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return f"seccomp: off, no filter is known for {machine}"
    program = seccomp_program(machine, os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.create_string_buffer(header, len(header)), 0, 0) != 0:
        return f"seccomp: off, the kernel refused the filter ({os.strerror(ctypes.get_errno())})"
    return "seccomp: on, no sockets, no new processes, no other programs"
