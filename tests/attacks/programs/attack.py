"""What an attack says at its end, as one line that the suite reads."""

import ctypes
import errno
import json
import os
import platform

LIBC = ctypes.CDLL(None, use_errno=True)
X86_64 = platform.machine() == "x86_64"


def tell(through, saw=""):
    print(json.dumps({"through": bool(through), "saw": str(saw)[:300]}), flush=True)


def name(number):
    return errno.errorcode.get(number, str(number)) if number else "done"


def call(number, *values):
    """Error number of a system call; 0 when it was carried out."""
    ctypes.set_errno(0)
    arguments = [v if isinstance(v, bytes) else ctypes.c_long(v) for v in values]
    return ctypes.get_errno() if LIBC.syscall(ctypes.c_long(number), *arguments) == -1 else 0


def opened(path, flags=os.O_RDONLY):
    """ "" when the file can be opened, else why not."""
    try:
        os.close(os.open(path, flags))
    except OSError as error:
        return name(error.errno)
    return ""
