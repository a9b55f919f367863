"""What the gateway answers instead of a box's Streamlit is what that would have answered."""

from __future__ import annotations

import hashlib
import json

from vibe.assets import of_streamlit
from vibe.sandbox.engine import Box

PROGRAM = """
import hashlib, importlib.util, json, pathlib
folder = pathlib.Path(importlib.util.find_spec("streamlit").origin).with_name("static")
print(json.dumps({"/" + path.relative_to(folder).as_posix():
    hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.*")
    if path.is_file()}))
"""


async def test_files_of_streamlit_are_the_same_in_a_box(box: Box) -> None:
    outcome = await box.run(["python", "-c", PROGRAM], wall_s=None)
    inside = json.loads(outcome.stdout)
    assets = of_streamlit()
    assert assets
    same = 0
    for address, digest in inside.items():
        if found := await assets.get(address, packed=False):
            assert hashlib.sha256(found[1]).hexdigest() == digest, address
            same += 1
    assert same > 0.9 * len(inside)
