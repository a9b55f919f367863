"""Runs in a box: which of the patterns are found in the text; a JSON list on stdout."""

import json
import re
import sys

task = json.load(sys.stdin)
found = []
for pattern in task["patterns"]:
    try:
        if re.search(pattern, task["text"], re.MULTILINE | re.IGNORECASE):
            found.append(pattern)
    except re.error:
        pass
print(json.dumps(found))
