"""Files that one process at a time may use."""

import errno
import logging
import sys
from typing import IO

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""The errors of a file system that knows no locks, as clusters' may not; there a user starts nothing twice."""

log = logging.getLogger(__name__)


def claim(file: IO) -> bool:
    """Lock an open file for this process until it is closed, and return whether no other process has it.

    Where there are no locks, as on Windows and on some file systems, there is never another one.
    """
    if sys.platform == "win32":
        return True
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("'%s' lies on a file system without locks: two processes are not kept apart there", file.name)
    return True
