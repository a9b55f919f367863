"""Runs attacks one after the other, each in a process of its own; a line for each."""

import json
import os
import subprocess
import sys
import time

LIMIT_S = 300
here = os.path.dirname(os.path.abspath(__file__))
for entry in json.loads(sys.argv[1]):
    command = [sys.executable, f"{here}/{entry[0]}.py", *entry[1:]]
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, text=True)
        said = (done.stdout.strip().splitlines() or ["?"])[-1]
        try:
            result = json.loads(said)
        except ValueError:
            result = {"ended": done.returncode, "saw": (done.stderr or said)[-300:]}
    except subprocess.TimeoutExpired:
        result = {"ended": None, "saw": f"no end after {LIMIT_S} s"}
    seconds = round(time.monotonic() - began, 2)
    print(json.dumps({"id": entry[0], **result, "seconds": seconds}), flush=True)
