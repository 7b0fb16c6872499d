"""filtered.py NAMES ACTION COMMAND...: run a command that may make only the
system calls whose names are in the file NAMES. ACTION for others: kill, or EPERM.
As systemd's SystemCallFilter does it, with its library. Or, with "without-" and
the name of an error, all but those."""
import ctypes
import errno
import os
import sys

ALLOW, KILL_PROCESS, ERRNO = 0x7fff0000, 0x80000000, 0x00050000


def main(names, action, *command):
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_load.argtypes = [ctypes.c_void_p]
    lib.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32,
                                     ctypes.c_int, ctypes.c_uint]
    others, named = (KILL_PROCESS if action == "kill"
                     else ERRNO | errno.EPERM), ALLOW
    if action.startswith("without-"):
        others, named = ALLOW, ERRNO | getattr(errno, action[8:])
    filter_ = lib.seccomp_init(others)
    with open(names) as f:
        for name in f.read().split():
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:  # of this architecture
                assert lib.seccomp_rule_add(filter_, named, number, 0) == 0
    assert lib.seccomp_load(filter_) == 0
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
