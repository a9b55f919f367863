"""axe-core on a page, and what of its findings is Streamlit's own."""

from __future__ import annotations

import re
from importlib.resources import files

from playwright.async_api import Page

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")

STREAMLITS_OWN = {
    ("scrollable-region-focusable", r"^<pre "): "Code that scrolls inside a fixed height has no "
    "tabindex of its own. Chrome, Edge and Firefox let the keyboard reach such a region "
    "themselves.",
}
"""(axe's rule, what the element's HTML matches) → why it is excused. Nothing else is; the list is
repeated in docs/ux-notes.md."""


FIND = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations", "incomplete"]});
  const unseen = (node) => node.any.some((check) => check.data?.messageKey === "equalRatio");
  const doubted = found.incomplete
    .map((rule) => ({...rule, nodes: rule.nodes.filter(unseen)}))
    .filter((rule) => rule.nodes.length);
  return [...found.violations, ...doubted];
}"""
"""Text in the very colour of its ground is no violation to axe, but a thing to look at: it may be
meant to be unseen. Here nothing is."""


async def violations(page: Page) -> list[str]:
    """The serious and critical ones that aren't excused, a line for each element."""
    await page.evaluate(AXE)
    found = await page.evaluate(FIND)
    return [
        f"{page.url}: {rule['id']} ({rule['impact']}): {node['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
        if not any(
            rule["id"] == excused and re.search(pattern, node["html"])
            for excused, pattern in STREAMLITS_OWN
        )
    ]
