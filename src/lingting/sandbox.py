"""What a process gives up for good before it does what it was started for: files, the network, children.

One that decodes untrusted bytes gives up all of it; one that computes with a model still reads its files.

Linux only, with system calls by number, since no kept library needs nothing but Python: Landlock
(https://docs.kernel.org/userspace-api/landlock.html) takes away every path, and a seccomp filter
(https://docs.kernel.org/userspace-api/seccomp_filter.html) the calls that open, connect, start or signal anything.
Each holds without the other. Descriptors that are open already stay usable, and so do those that a socket brings.
Nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys

from lingting.core_dumps import forbid_core_dumps

_NO_NEW_PRIVILEGES, _SET_DUMPABLE, _SET_SECCOMP, _FILTER = 38, 4, 22, 2
_CREATE_RULESET, _RESTRICT_SELF, _RULESET_VERSION = 444, 446, 1
_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_LATEST_FILE_RIGHTS, _NET_RIGHTS, _SCOPES = 0xFFFF, 0x3, 0x3

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE, _KILL, _ABSENT = 0x7FFF0000, 0x00050001, 0x80000000, 0x00050026
_AND = 0x54
_THREAD = 0x00010000
_X32 = 0x40000000

_FORBIDDEN_FILES = {
    "x86_64": (
        *(2, 85, 257, 437, 304),  # open, creat, openat, openat2, open_by_handle_at
        *(82, 264, 316, 83, 258, 84, 87, 263, 86, 265, 88, 266),  # rename*, mkdir*, rmdir, unlink*, link*, symlink*
        *(76, 90, 92, 94, 133, 259, 268, 260, 452, 132, 235, 280),  # truncate, chmod, chown, mknod and their like
    ),
    "aarch64": (
        *(56, 437, 265),
        *(38, 276, 34, 35, 37, 36),
        *(45, 53, 52, 54, 55, 452, 33, 88),
    ),
}
_FORBIDDEN = {
    "x86_64": (
        *(41, 42, 43, 49, 50, 53, 288),  # socket, connect, accept, bind, listen, socketpair, accept4
        *(57, 58, 59, 322),  # fork, vfork, execve, execveat
        *(62, 200, 129, 297, 424, 434, 438),  # kill, tkill, rt_sigqueueinfo, pidfd_*
        *(101, 310, 311, 312, 298, 321, 323),  # ptrace, process_vm_*, kcmp, perf_event_open, bpf, userfaultfd
        *(165, 166, 155, 161, 272, 308, 428, 429, 430, 432, 442),  # mounts, roots, namespaces
        *(425, 426, 427, 248, 249, 250, 246, 320, 175, 313),  # io_uring, keys, kexec, modules
    ),
    "aarch64": (
        *(198, 203, 202, 200, 201, 199, 242),
        *(221, 281),
        *(129, 130, 138, 240, 424, 434, 438),
        *(117, 270, 271, 272, 241, 280, 282),
        *(40, 39, 41, 51, 97, 268, 428, 429, 430, 432, 442),
        *(425, 426, 427, 217, 218, 219, 104, 294, 105, 273),
    ),
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_SIGNAL_THREAD = {"x86_64": 234, "aarch64": 131}  # tgkill, which abort() needs for the process itself
_LIMITS_OF = {"x86_64": 302, "aarch64": 261}  # prlimit64
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def confine(*, files: bool = False) -> list[str]:
    """Give up what the kernel lets this process give up; every thread of it must still be to come, or be harmless.

    Args:
        files: keep files and the environment, for a process that is to load a model. The network, other processes and
            new privileges are given up all the same.

    Returns:
        The mechanisms that hold, of "landlock" and "seccomp".
    """
    if files:
        forbid_core_dumps()
    else:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ.clear()
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return []
    if files:
        return ["seccomp"] if _seccomp(libc, files=True) else []
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    return [name for name, apply in (("landlock", _landlock), ("seccomp", _seccomp)) if apply(libc)]


def _landlock(libc: ctypes.CDLL) -> bool:
    version = libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_RULESET_VERSION))
    if version < 1:
        return False
    rights = struct.pack("=Q", _FILE_RIGHTS.get(version, _LATEST_FILE_RIGHTS))
    if version >= 4:
        rights += struct.pack("=Q", _NET_RIGHTS)
    if version >= 6:
        rights += struct.pack("=Q", _SCOPES)
    ruleset = libc.syscall(ctypes.c_long(_CREATE_RULESET), rights, ctypes.c_size_t(len(rights)), ctypes.c_uint(0))
    if ruleset < 0:
        return False
    try:
        return not libc.syscall(ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def _seccomp(libc: ctypes.CDLL, *, files: bool = False) -> bool:
    machine = platform.machine()
    if machine not in _FORBIDDEN or sys.maxsize < 2**32:
        return False
    program = _program(machine, files=files)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    filtered = Program(len(program) // 8, program)
    return not libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(filtered), 0, 0)


def _program(machine: str, *, files: bool) -> bytes:
    """The filter in classic BPF: everything goes but the calls above, new processes, and what touches other ones."""
    forbidden = _FORBIDDEN[machine] if files else _FORBIDDEN_FILES[machine] + _FORBIDDEN[machine]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in forbidden:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    # the C library falls back to clone, whose flags can be seen: a thread may be started, a process may not
    program += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ABSENT)]
    program += [
        (_EQUAL, 0, 4, _CLONE[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_AND, 0, 0, _THREAD),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for number, itself in ((_SIGNAL_THREAD[machine], os.getpid()), (_LIMITS_OF[machine], 0)):
        program += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 1, 0, itself),
            (_RETURN, 0, 0, _REFUSE),
            (_LOAD, 0, 0, _NUMBER),
        ]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
