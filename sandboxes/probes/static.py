"""Runs in a box: compile every Python file, resolve its imports and names; one JSON object.

{"python": "3.11.2",
 "syntax": [{"file", "line", "message", "text"}], "missing": [{"module", "file", "line"}],
 "undefined": [{"name", "file", "line", "text"}]}
"""

import ast
import builtins
import importlib.util
import json
import platform
import symtable
import sys
from pathlib import Path

sys.path.insert(0, "/work")
syntax, missing, undefined, seen = [], [], [], set()
KNOWN = {*dir(builtins), "__file__", "__builtins__", "__path__", "__class__", "__annotations__"}
MAGIC = {"globals", "exec", "eval", "vars", "locals"}
"""Whoever uses these may define names that can't be seen here."""


def resolvable(name: str) -> bool:
    try:
        return name in sys.builtin_module_names or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def guarded(node: ast.AST, parents: dict) -> bool:
    """Whether the node stands in a `try` that catches its failure."""
    while node in parents:
        node = parents[node]
        if isinstance(node, ast.Try) and node.handlers:
            return True
    return False


def globals_of(table: symtable.SymbolTable, names: dict, free: set) -> None:
    """Adds what a scope defines for the module to `names`, and what it expects there to `free`."""
    for symbol in table.get_symbols():
        at_top = table.get_type() == "module"
        if (symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()) and (
            at_top or symbol.is_declared_global()
        ):
            names[symbol.get_name()] = True
        elif symbol.is_referenced() and (at_top or symbol.is_global()):
            free.add(symbol.get_name())
    for child in table.get_children():
        globals_of(child, names, free)


def unknown_names(source: str, name: str, tree: ast.Module, parents: dict) -> list[ast.Name]:
    """Names that are used and defined nowhere, as far as that can be known."""
    stars = any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
        for node in ast.walk(tree)
    )
    names: dict = {}
    free: set = set()
    globals_of(symtable.symtable(source, name, "exec"), names, free)
    free -= {*names, *KNOWN}
    if stars or not free:
        return []
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if used & MAGIC:
        return []
    lazy = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    )
    quiet = set()
    if lazy:
        for node in ast.walk(tree):
            for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
                if isinstance(part, ast.AST):
                    quiet |= set(ast.walk(part))
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and node.id in free
        and node not in quiet
        and not guarded(node, parents)
    ]


for path in sorted(Path("/work").rglob("*.py")):
    name = str(path.relative_to("/work"))
    if name.startswith(("data/", "results/")):
        continue
    try:
        source = path.read_bytes()
        tree = ast.parse(source, name)
        compile(source, name, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 0
        text = (getattr(error, "text", None) or "").strip()
        syntax.append({"file": name, "line": line, "message": str(error), "text": text[:300]})
        continue
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules = [node.module]
        else:
            continue
        for module in modules:
            top = module.split(".")[0]
            if top not in seen and not guarded(node, parents):
                seen.add(top)
                if not resolvable(top):
                    missing.append({"module": module, "file": name, "line": node.lineno})
    try:
        text = source.decode("utf-8")
        lines = text.splitlines()
        for node in unknown_names(text, name, tree, parents):
            at = {"name": node.id, "file": name, "line": node.lineno}
            undefined.append(at | {"text": lines[node.lineno - 1].strip()[:200]})
    except (UnicodeDecodeError, SyntaxError, RecursionError, IndexError):
        pass
found = {"syntax": syntax[:20], "missing": missing[:20], "undefined": undefined[:20]}
print(json.dumps({"python": platform.python_version(), **found}))
