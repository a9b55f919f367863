"""A small package index of the tests' own, with packages that go wrong in every way."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from vibe.sandbox.packages import PackageSource
from vibe.settings import PackageRules


def wheel(folder: Path, name: str, version: str, *needs: str, size: int = 0) -> Path:
    """A tiny wheel whose module says its version; `size` bytes of it don't compress."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    files = {
        f"{module}/__init__.py": f"VERSION = {version!r}\n".encode(),
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if size:
        files[f"{module}/data.bin"] = bytes(size)
    record = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(content)}\n")
    files[f"{info}/RECORD"] = ("".join(record) + f"{info}/RECORD,,\n").encode()
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name_, content in files.items():
            bundle.writestr(name_, content)
    Path(f"{path}.metadata").write_text(metadata)
    return path


JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class Index:
    """A simple index on this machine; `broken` are paths that break off in the middle."""

    folder: Path
    port: int = 0
    broken: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple/"


def dated(folder: Path, version: str, uploaded: str) -> dict[str, object]:
    """What the index says of one release of vibe-test-fresh."""
    path = folder / f"vibe_test_fresh-{version}-py3-none-any.whl"
    content = path.read_bytes()
    hashes = {"sha256": hashlib.sha256(content).hexdigest()}
    return {"filename": path.name, "url": f"/files/{path.name}", "core-metadata": True,
            "hashes": hashes, "size": len(content), "upload-time": uploaded}  # fmt: skip


@contextmanager
def served(folder: Path) -> Iterator[Index]:
    """An index with the test's packages, for as long as the block lasts."""
    found = Index(folder)
    found.folder.chmod(0o755)  # the box's user reads it where it is mounted
    wheel(found.folder, "vibe-test-hat", "1.0", "vibe-test-brim>=2")
    wheel(found.folder, "vibe-test-brim", "2.1")
    wheel(found.folder, "vibe-test-cap", "1.0", "vibe-test-brim<2")
    wheel(found.folder, "vibe-test-old", "1.0", "pandas<1")
    wheel(found.folder, "vibe-test-bomb", "1.0", size=30_000_000)
    wheel(found.folder, "vibe-test-torn", "1.0", size=3000)
    for version in ("1.0", "2.0"):
        wheel(found.folder, "vibe-test-fresh", version)
    huge = wheel(found.folder, "vibe-test-huge", "1.0")
    (found.folder / "vibe_test_source-1.0.tar.gz").write_bytes(b"no wheel")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            found.credentials.append(self.headers.get("Authorization", ""))
            name = self.path.strip("/").rpartition("/")[2]
            file = found.folder / name
            if name == "vibe-test-huge":  # only JSON can say sizes
                entry = {"filename": huge.name, "url": f"/files/{huge.name}", "core-metadata": True,
                         "hashes": {"sha256": "0" * 64}, "size": 3_000_000_000}  # fmt: skip
                meta = {"meta": {"api-version": "1.1"}, "name": name, "versions": ["1.0"]}
                body = json.dumps({**meta, "files": [entry]}).encode()
                sort = JSON
            elif name == "vibe-test-fresh":  # and dates: 1.0 is old, 2.0 of this very day
                entries = [dated(found.folder, "1.0", "2020-06-01T12:00:00Z"),
                           dated(found.folder, "2.0", datetime.now(UTC).isoformat())]  # fmt: skip
                meta = {"meta": {"api-version": "1.1"}, "name": name, "versions": ["1.0", "2.0"]}
                body, sort = json.dumps({**meta, "files": entries}).encode(), JSON
            elif name == "vibe-test-private":
                self.send_error(401)
                return
            elif self.path.startswith("/simple/"):
                stem = name.replace("-", "_") + "-"
                links = [
                    f"{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
                    for path in sorted(found.folder.iterdir())
                    if path.name.startswith(stem) and not path.name.endswith(".metadata")
                ]
                if not links:
                    self.send_error(404)
                    return
                body = "".join(
                    f'<a href="/files/{link}" data-core-metadata="true">{link.split("#")[0]}</a>\n'
                    for link in links
                ).encode()
                sort = "text/html"
            elif file.is_file():
                body, sort = file.read_bytes(), "application/octet-stream"
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", sort)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if name in found.broken:
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


def source(index: Index, cache: Path, **rules: object) -> PackageSource:
    environ = {"UV_INDEX_URL": index.address.replace("//", "//me:hush-9@")}
    return PackageSource(PackageRules(**rules), environ, cache)  # type: ignore[arg-type]
