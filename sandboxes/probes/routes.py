"""Runs in a box: GET the pages that a served app links to and has routes for; one JSON object.

Called with the app's port and, for Flask, its entry file. {"pages": [{"path", "status", "from",
"text"}]}; status 0 means that nothing answered in time. Only addresses of the app itself, and none
whose name says that getting it changes something.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

keep = os.dup(1)
os.dup2(2, 1)
PORT, ENTRY = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
BASE = f"http://127.0.0.1:{PORT}"
MOST = 25
CHANGES = re.compile(
    r"delete|remove|clear|reset|logout|sign.?out|shutdown|quit|stop|kill|drop|purge|wipe|destroy"
    r"|stream|events|sse|listen|subscribe",
    re.I,
)


class Links(HTMLParser):
    """The addresses in a page that a click would get."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        wanted = {"a": "href", "img": "src", "script": "src", "link": "href", "iframe": "src"}
        self.found += [value for name, value in attrs if name == wanted.get(tag) and value]

    def parse_marked_section(self, i, report=1):
        """Where `<![x` ends, which browsers take for a comment; the parser's own raises."""
        return self.parse_bogus_comment(i)


class Inside(urllib.request.HTTPRedirectHandler):
    """Follows redirects within the app; one that leads out of it is an answer in itself."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl).netloc != urlsplit(BASE).netloc:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


OPENER = urllib.request.build_opener(Inside)


def get(path):
    """Status and text of one page."""
    try:
        with OPENER.open(BASE + path, timeout=6) as answer:
            kind = answer.headers.get_content_type()
            return answer.status, answer.read(200_000).decode("utf-8", "replace") * (
                kind == "text/html"
            )
    except urllib.error.HTTPError as error:
        return error.code, error.read(20_000).decode("utf-8", "replace")
    except OSError:
        return 0, ""


def routes():
    """Parameterless GET routes of the Flask app, by importing it; none when it can't be."""
    if not ENTRY:
        return []
    sys.path.insert(0, "/work")
    try:
        from flask.cli import locate_app

        app = locate_app(Path(ENTRY).stem, None)
        return [
            rule.rule
            for rule in app.url_map.iter_rules()
            if "GET" in (rule.methods or ()) and not rule.arguments and rule.endpoint != "static"
        ]
    except BaseException:  # whatever is wrong with it, the server's own start has told
        return []


waiting = [("/", "the start")] + [(path, "a route") for path in routes()]
seen, pages = set(), []
while waiting and len(pages) < MOST:
    path, source = waiting.pop(0)
    if path in seen or CHANGES.search(path):
        continue
    seen.add(path)
    status, text = get(path)
    pages.append({"path": path, "status": status, "from": source, "text": text[:1500]})
    if status >= 400 or not text:
        continue
    links = Links()
    links.feed(text)
    for link in links.found:
        parts = urlsplit(urljoin(f"{BASE}{path}", link))
        if parts.netloc == urlsplit(BASE).netloc and parts.scheme == "http":
            waiting.append((parts.path + (f"?{parts.query}" if parts.query else ""), path))
for page in pages:
    if page["status"] < 400 and page["status"]:
        page["text"] = ""
os.write(keep, b"\n" + json.dumps({"pages": pages}).encode())
os._exit(0)  # the app may have started threads
