"""Mends what rules can mend without a model: each rule is small, named, and told as an event."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from vibe import cdn, libraries
from vibe.app import Rung
from vibe.kinds import Kind
from vibe.modules import canonical, module_of, package_of

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fix:
    """What one rule did: the whole tree afterwards, and a sentence about it."""

    rule: str
    sentence: str
    files: dict[str, str]
    packages: tuple[str, ...] = ()
    """Packages that it wants beside the ones the attempt had."""


Rule = Callable[[Kind, Files, Rung], "tuple[str, dict[str, str]] | None"]

STALE = {
    r"@st\.cache\b(?!_)": "@st.cache_data",
    r"\bst\.cache\(": "st.cache_data(",
    r"\bst\.experimental_memo\b": "st.cache_data",
    r"\bst\.experimental_singleton\b": "st.cache_resource",
    r"\bst\.experimental_rerun\b": "st.rerun",
    r"\bst\.beta_(columns|container|expander)\b": r"st.\1",
    r"\bst\.experimental_get_query_params\(\)": "st.query_params",
    r"\bst\.experimental_data_editor\b": "st.data_editor",
    r"\bst\.experimental_fragment\b": "st.fragment",
    r"\bst\.experimental_dialog\b": "st.dialog",
    r"\bst\.bokeh_chart\b": "st.write",
    r"\bst\.pyplot\(\s*\)": "st.pyplot(plt.gcf())",
    r"\buse_column_width\s*=\s*(True|\"auto\"|\"always\")": 'width="stretch"',
    r",\s*allow_output_mutation\s*=\s*True|\ballow_output_mutation\s*=\s*True,?": "",
    r",\s*suppress_st_warning\s*=\s*True|\bsuppress_st_warning\s*=\s*True,?": "",
}
"""Streamlit's removed names and what replaced them, up to 1.67 (its release notes)."""


_FENCES = ("```", "~~~")


def fences(kind: Kind, files: Files, failed: Rung) -> tuple[str, dict[str, str]] | None:
    """Markdown fences left as the first or last lines of a code file."""
    return _changed(
        files,
        lambda path, text: _unfenced(text) if _is_code(path) else text,
        "took Markdown fences out of {}",
    )


def _unfenced(text: str) -> str:
    first, _, rest = text.lstrip().partition("\n")
    if first.startswith(_FENCES) and rest:
        text = rest.lstrip("\n")
    before, _, last = text.rstrip().rpartition("\n")
    return before.rstrip() + "\n" if before and last.strip() in _FENCES else text


def smart_quotes(kind: Kind, files: Files, failed: Rung) -> tuple[str, dict[str, str]] | None:
    """Typographic quotes and spaces where Python says that a character is invalid."""
    if (
        "invalid character" not in failed.sentence
        and "invalid non-printable" not in failed.sentence
    ):
        return None
    straight = str.maketrans(
        {
            "\u201c": '"',
            "\u201d": '"',
            "\u2018": "'",
            "\u2019": "'",
            "\u00a0": " ",
            "\u200b": None,
            "\ufeff": None,
            "\u2212": "-",
            "\u2013": "-",
        }
    )
    return _changed(
        files,
        lambda path, text: text.translate(straight) if _blamed(path, failed) else text,
        "made typographic quotes plain in {}",
    )


def tabs(kind: Kind, files: Files, failed: Rung) -> tuple[str, dict[str, str]] | None:
    """Tabs mixed with spaces."""
    if "tabs and spaces" not in failed.sentence and "unindent" not in failed.sentence:
        return None
    return _changed(
        files,
        lambda path, text: text.expandtabs(4) if _blamed(path, failed) else text,
        "turned tabs into spaces in {}",
    )


def stale_streamlit(kind: Kind, files: Files, failed: Rung) -> tuple[str, dict[str, str]] | None:
    """Names that Streamlit has removed."""
    if kind.name != "streamlit":
        return None

    def modern(path: str, text: str) -> str:
        if path.endswith(".py"):
            for old, new in STALE.items():
                text = re.sub(old, new, text)
        return text

    return _changed(files, modern, "used Streamlit's present names in {}")


def unguarded_server(kind: Kind, files: Files, failed: Rung) -> tuple[str, dict[str, str]] | None:
    """`app.run(…)` at the top level, which starts a second server while the first one imports."""
    if kind.name not in ("flask", "fastapi"):
        return None
    call = re.compile(r"^(\w+\.run\([^\n]*\))[ \t]*$", re.M)

    def guarded(path: str, text: str) -> str:
        if path != kind.entry:
            return text
        return call.sub(r'if __name__ == "__main__":\n    \1', text)

    return _changed(files, guarded, "left starting the server to the box in {}")


def own_launcher(kind: Kind, files: Files, failed: Rung) -> tuple[str, dict[str, str]] | None:
    """A Streamlit program that starts Streamlit itself."""
    if kind.name != "streamlit":
        return None
    launch = re.compile(
        r"^[ \t]*(?:os\.system|subprocess\.(?:run|call|Popen))\([^\n]*streamlit[^\n]*\)[ \t]*$"
        r"|^[ \t]*(?:stcli|cli)\.main\(\)[ \t]*$"
        r"|^[ \t]*sys\.exit\((?:stcli|cli)\.main\(\)\)[ \t]*$",
        re.M,
    )

    def alone(path: str, text: str) -> str:
        if not path.endswith(".py"):
            return text
        return launch.sub(lambda found: re.match(r"[ \t]*", found[0])[0] + "pass", text)  # type: ignore[index]

    return _changed(files, alone, "left starting Streamlit to the box in {}")


def missing_asset(kind: Kind, files: Files, failed: Rung) -> tuple[str, dict[str, str]] | None:
    """A page that names a style or script of which only one, under another name, is there."""
    change: dict[str, str] = {}
    said = []
    for path, text in files.items():
        if not path.endswith((".html", ".htm")):
            continue
        for name in re.findall(r"""(?:src|href)=["']([\w./-]+\.(?:css|js))["']""", text):
            there = str(PurePosixPath(path).parent / name)
            suffix = name.rpartition(".")[2]
            others = [other for other in files if other.endswith(f".{suffix}")]
            if there not in files and name.lstrip("/") not in files and len(others) == 1:
                text = text.replace(name, others[0])
                said.append(f"{name} is {others[0]}")
        if text != files[path]:
            change[path] = text
    return (
        (f"the page asked for a file by another name: {', '.join(said)}", change) if said else None
    )


def module_name(kind: Kind, files: Files, failed: Rung) -> tuple[str, dict[str, str]] | None:
    """An import by the package's name where the module has another: `from pillow import Image`."""
    names = {name: right for name in missing_modules(failed) if (right := module_of(name))}
    if not names:
        return None

    def renamed(path: str, text: str) -> str:
        if not path.endswith(".py"):
            return text
        for wrong, module in names.items():
            name = re.escape(wrong)
            text = re.sub(rf"^([ \t]*)from {name}(?=[ .])", rf"\1from {module}", text, flags=re.M)
            text = re.sub(
                rf"^([ \t]*)import {name}(?= as )", rf"\1import {module}", text, flags=re.M
            )
            alone = rf"\1import {module} as {wrong}"
            text = re.sub(rf"^([ \t]*)import {name}[ \t]*$", alone, text, flags=re.M)
        return text

    said = ", ".join(f"{wrong} is imported as {module}" for wrong, module in names.items())
    return _changed(files, renamed, f"{said}, in {{}}")


def missing_modules(failed: Rung) -> list[str]:
    """Top-level names of the modules that the failure says are not there."""
    text = f"{failed.sentence}\n{failed.evidence}"
    if failed.name == "static" and "no module named" in failed.sentence:
        found = re.findall(r'^  File "[^"]+", line \d+: import (\w+)', failed.evidence, re.M)
    else:
        found = re.findall(r"(?:No module named|Missing optional dependency) '(\w+)", text)
    return list(dict.fromkeys(found))


def missing_packages(failed: Rung) -> dict[str, str]:
    """Package by module for what is not there: only packages that Vibe's own list names, never a
    name that came with the failure."""
    found = {module: package_of(module) for module in missing_modules(failed)}
    return {module: package for module, package in found.items() if package}


def ahead(kind: Kind, files: Files) -> Fix | None:
    """What is mended before anything runs: libraries that a page loads from another host, which no
    box reaches, and that are in `vendor/` too. None when there is nothing to do."""
    if not kind.vendor:
        return None
    changed, said = cdn.to_vendor(files, libraries.there())
    sentence = f"there is no network, so {'; '.join(said)}"
    return Fix("libraries from vendor", sentence, {**files, **changed}) if changed else None


RULES: tuple[Rule, ...] = (
    fences,
    smart_quotes,
    tabs,
    stale_streamlit,
    unguarded_server,
    own_launcher,
    missing_asset,
    module_name,
)


def mend(
    kind: Kind,
    files: Files,
    failed: Rung,
    *,
    packages: Collection[str] = (),
    installs: bool = False,
) -> Fix | None:
    """The first rule that changes something, or None when a model is needed.

    `packages` are the ones that the attempt had; more are wanted only where Vibe `installs` them.
    """
    for rule in RULES:
        if found := rule(kind, files, failed):
            sentence, change = found
            return Fix(rule.__name__.replace("_", " "), sentence, {**files, **change})
    had = {canonical(package) for package in packages}
    new = {m: p for m, p in missing_packages(failed).items() if canonical(p) not in had}
    if new and installs:
        said = ", ".join(f"{package} for `import {module}`" for module, package in new.items())
        return Fix("missing package", f"added {said}", dict(files), tuple(new.values()))
    return None


def _changed(
    files: Files, change: Callable[[str, str], str], sentence: str
) -> tuple[str, dict[str, str]] | None:
    """The files that `change` changed, and the sentence with their names."""
    changed = {path: new for path, old in files.items() if (new := change(path, old)) != old}
    return (sentence.format(", ".join(sorted(changed))), changed) if changed else None


def _is_code(path: str) -> bool:
    return path.endswith((".py", ".html", ".css", ".js"))


def _blamed(path: str, failed: Rung) -> bool:
    return path.endswith(".py") and (path in failed.sentence or path in failed.evidence)
