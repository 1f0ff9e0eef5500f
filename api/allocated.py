"""Files that processes map into memory."""

import os


def allocate(file: int, size: int) -> None:
    """Give the first ``size`` bytes of an open file their place on the disk. Raises OSError when there is no room.

    Touching a page of a sparse file on a full disk is no error that can be caught: it is a SIGBUS.
    """
    found = os.fstat(file)
    if found.st_size < size or found.st_blocks * 512 < size:
        os.posix_fallocate(file, 0, size)
