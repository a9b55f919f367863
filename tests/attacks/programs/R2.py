"""Memory beyond the box's 1024 MiB; stops by itself at 1280."""

import mmap

from attack import tell

taken = []
for _ in range(20):
    piece = mmap.mmap(-1, 64 << 20)
    for at in range(0, 64 << 20, 4096):
        piece[at] = 1
    taken.append(piece)
tell(True, f"{len(taken) * 64} MiB taken")
