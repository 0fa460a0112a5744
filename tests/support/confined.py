"""A command with no more of the kernel than a systemd unit leaves it: `python confined.py CALL… -- COMMAND…`.

Does what SystemCallFilter=CALL… with SystemCallErrorNumber=EPERM and MemoryDenyWriteExecute=yes do, by the library that
systemd itself uses for it.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Iterable, Sequence
from mmap import PROT_EXEC, PROT_WRITE

_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_MASKED_EQUAL = 7
_UNKNOWN = -1
"""What the library says of a call that this machine's architecture, or the library itself, does not know."""

_MAPPING_CALLS = (b"mmap", b"mprotect", b"pkey_mprotect")
_PROTECTION = 2
"""Which of their arguments says what the memory may be used for."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison),
    ]  # fmt: skip
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    return library


def confine(calls: Iterable[str]) -> None:
    """Leave this process, and whatever it becomes, these system calls and no memory that is written and executed."""
    library = _library()

    memory = library.seccomp_init(_ALLOW)
    for name in _MAPPING_CALLS:
        # As systemd does: mmap with both is refused, and so is to make memory executable that was not.
        refused = PROT_EXEC | PROT_WRITE if name == b"mmap" else PROT_EXEC
        comparison = _Comparison(_PROTECTION, _MASKED_EQUAL, refused, refused)
        _add(library, memory, _REFUSE, name, comparison)

    only = library.seccomp_init(_REFUSE)
    for call in calls:
        _add(library, only, _ALLOW, call.encode())

    for rules in (memory, only):
        if failure := library.seccomp_load(rules):
            raise OSError(-failure, os.strerror(-failure))


def _add(library: ctypes.CDLL, rules: int, action: int, name: bytes, *comparisons: _Comparison) -> None:
    number = library.seccomp_syscall_resolve_name(name)
    if number == _UNKNOWN:
        return
    array = (_Comparison * len(comparisons))(*comparisons)
    failure = library.seccomp_rule_add_array(rules, action, number, len(comparisons), array)
    if failure and number >= 0:  # a number below 0 is another architecture's
        raise OSError(-failure, f"{name.decode()}: {os.strerror(-failure)}")


def main(arguments: Sequence[str]) -> None:
    """Become the command, confined."""
    end = arguments.index("--")
    command = list(arguments[end + 1 :])
    confine(arguments[:end])
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
