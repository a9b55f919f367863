"""A full disk, by bytes and by files; both stop by themselves."""

import contextlib
import os

from attack import name, tell

MANY, LARGE, PIECE = 20_000, 300, bytes(1 << 20)
files, why = 0, set()
os.makedirs("/work/many")
try:
    for files in range(1, MANY + 1):
        os.close(os.open(f"/work/many/{files}", os.O_CREAT | os.O_WRONLY))
except OSError as error:
    why.add(name(error.errno))
    files -= 1
for entry in os.listdir("/work/many"):
    os.unlink(f"/work/many/{entry}")
written = 0
with contextlib.suppress(OSError):
    for number in range(3):
        with open(f"/work/large{number}", "wb", buffering=0) as file:
            for _ in range(100):
                written += file.write(PIECE)
shared = 0
with contextlib.suppress(OSError), open("/dev/shm/large", "wb", buffering=0) as file:
    for _ in range(40):
        shared += file.write(PIECE)
for path in ("/work/large0", "/work/large1", "/work/large2", "/dev/shm/large"):
    with contextlib.suppress(OSError):
        os.unlink(path)
sizes = f"{files} files, {written >> 20} MiB, {shared >> 20} MiB shared {sorted(why)}"
tell(files == MANY or written == LARGE << 20 or shared == 40 << 20, sizes)
