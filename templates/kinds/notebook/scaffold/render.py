"""Runs a report's cells from top to bottom and makes one HTML page of them; can serve it, too."""

import argparse
import ast
import base64
import contextlib
import faulthandler
import html
import http.server
import io
import re
import sys
import traceback
from pathlib import Path

PAGE = Path("results") / "report.html"
SLOW_S = 10
STYLE = """
:root { color-scheme: light dark; --page: light-dark(#fff, #14161a); --ink: light-dark(#1b1f24, #eceef2);
  --soft: light-dark(#59626e, #a6afbb); --line: light-dark(#d5d9e0, #3a414c); --tint: light-dark(#f3f4f6, #1b1e24); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1.0625rem/1.6 system-ui, sans-serif; }
main { max-width: 48rem; margin: 0 auto; padding: clamp(1rem, 5vw, 3.5rem) 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; }
a { color: light-dark(#2563eb, #7aa2ff); }
pre { overflow: auto; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--tint);
  font-size: .875rem; line-height: 1.45; }
code { font-size: .9em; } details { margin: 1rem 0; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
.table { overflow-x: auto; margin: 1rem 0; } table { border-collapse: collapse; font-size: .9375rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; border-radius: .5rem; background: #fff; }
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: .25rem solid var(--line); }
:focus-visible { outline: 3px solid light-dark(#2563eb, #7aa2ff); outline-offset: 2px; }
"""


class Markdown(str):
    """Text of a cell's last expression that is shown as Markdown."""


def cells(source):
    """(kind, first line's number, text) of each cell; what stands before the first is one of code."""
    found = [["code", 1, []]]
    for number, line in enumerate(source.splitlines(), 1):
        mark = re.match(r"#\s?%%\s*(\[(?:markdown|md)\])?", line)
        if mark:
            found.append(["text" if mark[1] else "code", number + 1, []])
        else:
            found[-1][2].append(line)
    for kind, first, lines in found:
        if kind == "text":
            lines = [re.sub(r"^#\s?", "", line) for line in lines if line.startswith("#") or not line]
        if "".join(lines).strip():
            yield kind, first, "\n".join(lines)


def markdown(text):
    """The usual Markdown as HTML; everything else is shown as it is written."""
    parts, waiting = [], text.strip("\n").split("\n")
    while waiting:
        line = waiting.pop(0)
        if not line.strip():
            continue
        if line.startswith("```"):
            code = []
            while waiting and not waiting[0].startswith("```"):
                code.append(waiting.pop(0))
            del waiting[:1]
            parts.append(f"<pre>{html.escape(chr(10).join(code))}</pre>")
        elif heading := re.match(r"(#{1,6})\s+(.*)", line):
            level = len(heading[1])
            parts.append(f"<h{level}>{inline(heading[2])}</h{level}>")
        elif item := re.match(r"\s*(?:[-*+]|(\d+)[.)])\s+(.*)", line):
            tag, items = "ol" if item[1] else "ul", [item[2]]
            while waiting and waiting[0].strip():
                more = re.match(r"\s*(?:[-*+]|\d+[.)])\s+(.*)", waiting[0])
                if more:
                    items.append(more[1])
                else:
                    items[-1] += " " + waiting[0].strip()
                del waiting[0]
            parts.append(f"<{tag}>{''.join(f'<li>{inline(each)}</li>' for each in items)}</{tag}>")
        elif "|" in line and waiting and re.fullmatch(r"[\s|:-]*-[\s|:-]*", waiting[0]):
            del waiting[0]
            rows = [line]
            while waiting and "|" in waiting[0]:
                rows.append(waiting.pop(0))
            parts.append(table(rows))
        elif line.startswith(">"):
            quoted = [line]
            while waiting and waiting[0].startswith(">"):
                quoted.append(waiting.pop(0))
            inner = "\n".join(re.sub(r"^>\s?", "", each) for each in quoted)
            parts.append(f"<blockquote>{markdown(inner)}</blockquote>")
        else:
            lines = [line]
            while waiting and waiting[0].strip() and not re.match(r"#|\s*[-*+]\s|>|```", waiting[0]):
                lines.append(waiting.pop(0))
            parts.append(f"<p>{inline(' '.join(lines))}</p>")
    return "\n".join(parts)


def table(rows):
    split = [[inline(cell.strip()) for cell in row.strip().strip("|").split("|")] for row in rows]
    head = "".join(f"<th>{cell}</th>" for cell in split[0])
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in split[1:])
    return f'<div class="table"><table><tr>{head}</tr>{body}</table></div>'


def inline(text):
    text = html.escape(text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    text = re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?!\w)", r"<em>\1</em>", text)
    return re.sub(r"\[([^\]]+)\]\(((?:https?://|#|mailto:)[^\s)]+)\)", r'<a href="\2">\1</a>', text)


def run(source, path):
    """The page's parts. A cell that fails ends the program with its traceback."""
    sys.modules.setdefault("render", sys.modules[__name__])  # for the report: `from render import …`
    names = {"__name__": "__main__", "__file__": path}
    lines = source.splitlines()
    parts = []
    for kind, first, text in cells(source):
        if kind == "text":
            parts.append(markdown(text))
            continue
        code = ast.parse("\n" * (first - 1) + text, path)
        if all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in code.body):
            continue  # a docstring is for who reads the program
        last = code.body.pop() if code.body and isinstance(code.body[-1], ast.Expr) else None
        printed, value = io.StringIO(), None
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(code, path, "exec"), names)
                if last is not None:
                    value = eval(compile(ast.Expression(last.value), path, "eval"), names)
        except SystemExit as ended:
            sys.exit(f"{path}, the cell from line {first}: it called sys.exit({ended.code!r}).")
        except BaseException:
            sys.stderr.write(printed.getvalue())
            trace = traceback.format_exc().replace(f'  File "{__file__}"', f'  File "{Path(__file__).name}"')
            sys.exit(f"The cell from line {first} ({lines[first - 1].strip()[:60]!r}) failed:\n{trace}")
        parts.append(f"<details><summary>Code</summary><pre>{html.escape(text.strip())}</pre></details>")
        if printed.getvalue().strip():
            parts.append(f"<pre>{html.escape(printed.getvalue().rstrip())}</pre>")
        if value is not None:
            parts.append(shown(value))
        parts += figures()
    return parts


def shown(value):
    """A value as HTML: its own where it has one, else as text."""
    if isinstance(value, Markdown):
        return markdown(value)
    if hasattr(value, "to_html") and type(value).__module__.startswith("plotly"):
        return value.to_html(full_html=False, include_plotlyjs=True)
    if "matplotlib" in type(value).__module__ or (isinstance(value, list | tuple) and value and "matplotlib" in type(value[0]).__module__):
        return ""  # the figure itself is shown
    if type(value).__module__.startswith("pandas") and hasattr(value, "to_frame"):
        value = value.to_frame()
    for name in ("_repr_html_", "_repr_svg_"):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type) and (made := method()):
            return f'<div class="table">{made}</div>'
    return f"<pre>{html.escape(str(value))}</pre>"


def figures():
    """Every open matplotlib figure as a picture inside the page."""
    plt = sys.modules.get("matplotlib.pyplot")
    if plt is None:
        return []
    made = []
    for number in plt.get_fignums():
        figure, data = plt.figure(number), io.BytesIO()
        figure.savefig(data, format="png", dpi=144, bbox_inches="tight")
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        about = html.escape("; ".join(titles) or f"Figure {number}", quote=True)
        picture = base64.b64encode(data.getvalue()).decode()
        made.append(f'<figure><img alt="{about}" src="data:image/png;base64,{picture}"></figure>')
    plt.close("all")
    return made


def page(parts):
    body = "\n".join(parts)
    heading = re.search(r"<h1>(.*?)</h1>", body)
    title = re.sub(r"<[^>]+>", "", heading[1]) if heading else "Report"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


class Report(http.server.BaseHTTPRequestHandler):
    """Answers every address with the page."""

    protocol_version = "HTTP/1.1"
    content = b""

    def do_GET(self):
        self.send_response(200 if self.path.split("?")[0] in ("/", "/index.html") else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *values):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", nargs="?", default="report.py")
    parser.add_argument("--serve", type=int, metavar="PORT", help="serve the page on this port")
    parser.add_argument("--host", default="127.0.0.1")
    chosen = parser.parse_args()
    source = Path(chosen.report).read_text("utf-8")
    if chosen.serve:  # whoever waits for the page learns which line takes so long
        faulthandler.dump_traceback_later(SLOW_S)
    content = page(run(source, chosen.report))
    faulthandler.cancel_dump_traceback_later()
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(content, "utf-8")
    print(f"wrote {PAGE}", flush=True)
    if chosen.serve:
        Report.content = content.encode()
        with http.server.ThreadingHTTPServer((chosen.host, chosen.serve), Report) as server:
            server.serve_forever()


if __name__ == "__main__":
    main()
