"""Run a program that dies with its parent, optionally as another user.

Used as a script: ``python -I -S pdeathsig.py PARENT_PID SIGNAL UID GID PROGRAM [ARGUMENT ...]`` (UID ``-`` keeps the user).
It is a program of its own, not a ``preexec_fn``, because Python code between fork and exec is unsafe once threads run.

The kernel sends SIGNAL when the *thread* that started this program ends, so start it from a thread that lasts as
long as the parent does: the main thread.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(signal: int, parent: int) -> None:
    """Have the kernel send ``signal`` to this process when ``parent`` dies; exit now if it is already gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: list[str]) -> None:
    parent, signal, uid, gid, *command = arguments
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    # After the change of user: changing credentials clears the setting.
    die_with_parent(int(signal), int(parent))
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
