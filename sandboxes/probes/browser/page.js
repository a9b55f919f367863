// Runs in every page before its own scripts: tells its errors, and finds and compares things.
(() => {
  const secret = Symbol.for("vibe");
  if (window[secret]) return;
  const tell = console.error.bind(console);
  const say = (kind, value) => tell("\u0001vibe " + JSON.stringify({ kind, ...value }));
  const cut = (value, most = 400) => String(value).slice(0, most);

  // What a page does without end would drown the driver: a flood is cut off at the source.
  const FLOOD = 300, DIALOGS = 30;
  let logged = 0;
  for (const word of ["log", "info", "debug", "warn", "error", "trace", "table", "dir"]) {
    const native = console[word].bind(console);
    console[word] = (...values) => { if (++logged <= FLOOD) native(...values); };
  }
  let dialogs = 0, opened = 0;
  const dialog = (text) => {
    if (++dialogs > DIALOGS) throw new Error("The page opens dialogs without end.");
    say("dialog", { text: cut(text ?? "") });
  };
  window.alert = (text) => { dialog(text); };
  window.confirm = (text) => { dialog(text); return true; };
  window.prompt = (text, value) => { dialog(text); return value || "Vibe"; };
  window.print = () => say("dialog", { text: "The page wants to be printed." });
  const open = window.open.bind(window);
  window.open = (...values) => (++opened > 3 ? null : open(...values));

  let errors = 0;
  window.addEventListener("error", (event) => {
    if (!event.message || ++errors > 40) return;
    say("error", {
      text: cut(event.message.replace(/^Uncaught /, "")),
      stack: cut((event.error && event.error.stack) || "", 1200),
      url: event.filename, line: event.lineno, column: event.colno,
    });
  });
  window.addEventListener("unhandledrejection", (event) => {
    if (++errors > 40) return;
    const why = event.reason;
    say("error", {
      text: "Unhandled rejection: " + cut((why && why.message) || why),
      stack: cut((why && why.stack) || "", 1200), url: "", line: 0, column: 0,
    });
  });

  const fold = (text) => String(text ?? "").replace(/[\u2018\u2019]/g, "'").replace(/\s+/g, " ")
    .trim().toLowerCase();
  const bare = (text) => fold(text).replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
  const TOOLS = "[data-testid=stToolbar],[data-testid=stHeader],[data-testid=stElementToolbar],"
    + "[data-testid=stStatusWidget]";
  const STEPPERS = "[data-testid^=stNumberInputStep]";  // Streamlit's own, of a field that is used

  function everything(root = document, found = []) {
    for (const e of root.querySelectorAll("*")) {
      if (found.length > 20000) break;
      found.push(e);
      if (e.shadowRoot) everything(e.shadowRoot, found);
    }
    return found;
  }

  function visible(e) {
    const box = e.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && getComputedStyle(e).visibility !== "hidden";
  }

  function texts(ids) {
    return (ids || "").split(/\s+/).filter(Boolean)
      .map((id) => document.getElementById(id)?.innerText || "").join(" ");
  }

  function labels(e) {
    const own = [...(e.labels || [])].map((label) => label.innerText);
    const group = e.closest("fieldset,[role=radiogroup],[role=group]");
    if (e.tagName === "FIELDSET") own.push(e.querySelector("legend")?.innerText);
    else if (group && !own.length && e.matches("input:not([type=radio]),select"))
      own.push(group.querySelector("legend")?.innerText);
    return [...own, texts(e.getAttribute("aria-labelledby")), e.getAttribute("aria-label")];
  }

  function match(name, wanted, top) {
    // How well one name fits: all of it, all but its signs, or a part of it.
    // A form's `title` may be its field of that name, and no text.
    if (!name || typeof name !== "string") return 0;
    if (name.trim() === wanted.trim()) return top;
    if (fold(name) === fold(wanted)) return top - 2;
    if (bare(name) && bare(name) === bare(wanted)) return top - 5;
    if (fold(name).includes(fold(wanted))) return top - 20 - Math.min(9, name.length / 20);
    return 0;
  }

  const best = (scored) => scored.reduce((a, b) => (b[1] > a[1] ? b : a), [null, 0])[0];
  const ACTIVE = "button,a[href],summary,select,input[type=button],input[type=submit],"
    + "input[type=reset],input[type=image],input[type=checkbox],input[type=radio],[onclick],"
    + ["button", "link", "tab", "checkbox", "radio", "menuitem", "option", "switch", "treeitem",
      "menuitemradio", "menuitemcheckbox"].map((role) => `[role=${role}]`).join(",");

  function reachable(e) {
    // What to click for it: boxes that a style hides are used through their label.
    if (e.matches("input[type=checkbox],input[type=radio]")) {
      const label = [...(e.labels || [])].find(visible) || e.closest("label");
      if (label && visible(label)) return label;
    }
    return visible(e) ? e : null;
  }

  function clickable(wanted) {
    const scored = [];
    for (const e of everything()) {
      if (e.closest(TOOLS)) continue;
      let score = 0;
      if (e.matches(ACTIVE)) {
        const names = [...labels(e), e.innerText, e.title, e.querySelector("img")?.alt];
        if (e.tagName === "INPUT") names.push(e.value, e.alt);
        score = Math.max(...names.map((name) => match(name, wanted, 100)));
        if (e.disabled || e.getAttribute("aria-disabled") === "true") score -= 3;
      } else {
        const own = e.tagName === "LABEL" ? e.innerText
          : [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join(" ");
        score = Math.max(match(own, wanted, 60), match(e.title, wanted, 55),
          match(e.getAttribute("aria-label"), wanted, 55), match(e.alt, wanted, 50));
        if (!score && e.childElementCount && e.innerText?.length < 400 && e.children.length < 6)
          score = fold(e.innerText) === fold(wanted) ? 45 : 0;
      }
      const here = score > 0 ? reachable(e) : null;
      if (here) scored.push([here, score]);
    }
    return best(scored);
  }

  function taken(wanted) {
    // What to drag for it: a card is dragged as a whole.
    const found = clickable(wanted);
    return found?.closest("[draggable=true]") || found;
  }

  function goal(wanted, place) {
    const found = clickable(wanted);
    const there = { it: found, next: found?.nextElementSibling, around: found?.parentElement }[place];
    return there && visible(there) ? there : null;
  }

  const FIELDS = "input:not([type=hidden]):not([type=submit]):not([type=button]):not([type=reset])"
    + ":not([type=image]),textarea,select,[contenteditable=true],[role=textbox],[role=spinbutton],"
    + "[role=combobox],[role=slider],[role=searchbox],[role=listbox],fieldset,[role=radiogroup],"
    + "[role=group]";

  function field(wanted, only = true) {
    // With `only`, the one field of a page is meant whatever it is called.
    const slug = (text) => fold(text).replace(/[^a-z0-9]/g, "");
    const scored = [], plain = [];
    for (const e of everything()) {
      if (!e.matches(FIELDS) || e.closest(TOOLS)) continue;
      const group = e.matches("fieldset,[role=radiogroup],[role=group]");
      const box = e.matches("input[type=checkbox],input[type=radio]");
      const near = e.previousElementSibling?.matches("label,span,div,p,b,strong")
        ? e.previousElementSibling.innerText : "";
      let score = Math.max(...labels(e).map((name) => match(name, wanted, 100)),
        match(e.placeholder, wanted, 90), match(e.title, wanted, 80), match(near, wanted, 70));
      if (slug(wanted) && [slug(e.name), slug(e.id)].includes(slug(wanted)))
        score = Math.max(score, 75);
      if (group || box) score -= 8;
      const seen = visible(e) || (e.type !== "file" && reachable(e));
      if (!seen) continue;
      if (!group && !box) plain.push(e);
      if (score > 0) scored.push([e, score]);
    }
    return best(scored) || (only && plain.length === 1 ? plain[0] : null);
  }

  function option(wanted) {
    const all = "[role=option],[role=menuitem],[role=radio],[role=menuitemradio],"
      + "input[type=radio],[role=listbox] li";
    return best(everything().filter((e) => e.matches(all)).map((e) => [
      reachable(e), Math.max(match(e.innerText, wanted, 100),
        ...labels(e).map((name) => match(name, wanted, 100)), match(e.value, wanted, 90))])
      .filter(([e]) => e));
  }

  // What a check typed into a line itself proves nothing when it is seen there again.
  const own = new WeakMap();
  const typed = (e) => { if (e.tagName === "INPUT") own.set(e, e.value); };

  function text() {
    const parts = [document.title, document.body ? document.body.innerText : ""];
    for (const e of everything()) {
      if (e.shadowRoot) parts.push(...[...e.shadowRoot.children].map((c) => c.innerText));
      if (e.matches("input,textarea"))
        parts.push(e.type === "password" || own.get(e) === e.value ? "" : e.value);
      else if (e.matches("select")) parts.push(e.selectedOptions[0]?.text);
      else if (e.tagName === "CANVAS")  // a data grid is painted, and told in a table for all others
        for (const row of e.querySelectorAll("tr"))
          parts.push([...row.cells].map((cell) => cell.textContent).join("\t"));
      else if (e.matches("svg text,[aria-label],[alt]"))
        parts.push(e.textContent.slice(0, 200), e.getAttribute("aria-label"), e.alt);
    }
    return parts.filter((part) => typeof part === "string" && part).join("\n").slice(0, 200000);
  }

  // Comparing the page with what it was

  const streamlit = () => document.querySelector("[data-testid=stApp]");
  const idle = () => {
    const app = streamlit();
    return !app || app.getAttribute("data-test-script-state") === "notRunning";
  };

  function snapshot() {
    const roots = streamlit()
      ? [...document.querySelectorAll("[data-testid=stMain],[data-testid=stSidebar]")]
      : [document.body].filter(Boolean);
    const parts = [document.title, location.href];
    for (const root of roots) {
      parts.push(root.innerText);
      for (const e of [root, ...root.querySelectorAll("*")]) {
        parts.push(e.tagName, e.className?.baseVal ?? e.className, e.getAttribute("style"));
        for (const name of ["aria-pressed", "aria-expanded", "aria-checked", "aria-selected",
          "hidden", "disabled", "src", "href", "d", "fill", "transform", "width", "height"])
          parts.push(e.getAttribute(name) ?? "\u0002");
        if (e.matches("input,select,textarea")) parts.push(e.value, e.checked);
        if (e.matches("details,dialog")) parts.push(e.open);
        if (e.matches("audio,video")) parts.push(e.paused, e.muted);
        if (e.tagName === "CANVAS") {
          try { parts.push(e.toDataURL()); } catch { parts.push("?"); }
        }
        if (e.shadowRoot) parts.push(e.shadowRoot.innerHTML);
      }
    }
    try { parts.push(JSON.stringify({ ...localStorage })); } catch { parts.push("?"); }
    const all = parts.join("\u0001");
    let one = 0xdeadbeef, two = 0x41c6ce57; // cyrb53, a public-domain string hash
    for (let i = 0; i < all.length; i++) {
      const c = all.charCodeAt(i);
      one = Math.imul(one ^ c, 2654435761);
      two = Math.imul(two ^ c, 1597334677);
    }
    return `${one >>> 0}.${two >>> 0}.${all.length}`;
  }

  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const BEGINS_MS = 4000; // a busy machine's Streamlit takes so long to begin what a click asks for
  let touched = performance.now(), observing = false, runs = 0;
  function observe() {
    if (observing) return;
    observing = true;
    new MutationObserver((records) => {
      touched = performance.now();
      if (records.some((one) => one.attributeName === "data-test-script-state")) runs++;
    }).observe(document, {
      subtree: true, childList: true, characterData: true, attributes: true });
  }

  async function quiet(still, most) {
    // Until nothing has moved for `still` ms (and Streamlit's script is done), or `most` passed.
    observe();
    const since = performance.now();
    for (;;) {
      const now = performance.now();
      if (now - Math.max(since, touched) >= still && idle()) return true;
      if (now - since > (idle() ? most : most + 8000)) return false;
      await pause(15);
    }
  }

  let before = "", heard = 0, ran = 0;
  const differs = () => snapshot() !== before || dialogs + opened !== heard;
  async function changed(most) {
    const since = performance.now();
    if (streamlit()) {
      // The script runs for whatever is used, be it for nothing; what opens without it shows
      let seen = touched;
      while (ran === runs && idle() && performance.now() - since < BEGINS_MS) {
        await pause(15);
        if (seen !== touched && differs()) break;
        seen = touched;
      }
      await quiet(60, most);
      return differs();
    }
    while (performance.now() - since < most) {
      if (differs()) return true;
      await pause(performance.now() - since < 100 ? 16 : 60);
    }
    return false;
  }

  function controls() {
    const found = [];
    for (const e of everything()) {
      if (!e.matches("button,input:not([type=hidden]),select,textarea,[role=button],[role=tab],"
        + "[onclick],summary") || e.closest(TOOLS)) continue;
      if (e.disabled || e.matches(STEPPERS) || !reachable(e)) continue;
      const names = [e.labels?.[0]?.innerText, e.getAttribute("aria-label"), e.innerText,
        e.placeholder, e.title, e.name, e.id, e.value];
      const one = {
        element: e, tag: e.tagName.toLowerCase(), type: e.type || "",
        label: (names.find((name) => typeof name === "string" && name.trim()) || "")
          .trim().replace(/\s+/g, " ").slice(0, 80),
        on: ["aria-pressed", "aria-selected", "aria-current", "aria-checked"].some(
          (name) => !["false", null].includes(e.getAttribute(name)))
          || /\b(active|selected|current|on|pressed)\b/i.test(String(e.className)),
      };
      one.nth = found.filter((o) => o.tag === one.tag && o.label === one.label).length;
      found.push(one);
    }
    return found;
  }

  window[secret] = {
    clickable, taken, goal, field, option, text, typed, quiet, changed, snapshot,
    controls: () => controls().slice(0, 60).map(({ element, ...rest }) => rest),
    again(control) {
      // The control found anew by what it reads, since pages redraw themselves; what the page is
      // before it is used is kept for `changed`.
      const found = controls().find((one) => ["tag", "type", "label", "nth"].every(
        (key) => one[key] === control[key]));
      observe();
      before = snapshot();
      heard = dialogs + opened;
      ran = runs;
      return found ? reachable(found.element) && found.element : null;
    },
    overview() {
      // Words that stand in the page itself, in no element of their own, count as one
      let count = [...(document.body?.childNodes || [])].some(
        (n) => n.nodeType === 3 && n.data.trim()) ? 1 : 0;
      for (const e of document.body ? document.body.querySelectorAll("*") : []) {
        const box = e.getBoundingClientRect();
        if (box.width > 3 && box.height > 3 && getComputedStyle(e).visibility !== "hidden") count++;
        if (count > 400) break;
      }
      const shown = streamlit() ? document.querySelector("[data-testid=stMain]") : document.body;
      return {
        visible: count, title: document.title.slice(0, 200),
        text: (shown ? shown.innerText : "").slice(0, 600),
        exceptions: [...document.querySelectorAll("[data-testid=stException]")].slice(0, 5)
          .map((e) => e.innerText.slice(0, 1200)),
      };
    },
    words() {
      // Where words stand, of which some pixels should be seen: [x, y, width, height] of each
      const found = [];
      const walker = document.createTreeWalker(document.body || document, NodeFilter.SHOW_TEXT);
      while (found.length < 12 && walker.nextNode()) {
        const node = walker.currentNode;
        if (!node.data.trim() || !node.parentElement || !visible(node.parentElement)) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const box = range.getClientRects()[0];
        if (!box || box.right < 2 || box.bottom < 2) continue;
        const x = Math.max(0, box.left), y = Math.max(0, box.top);
        const width = Math.min(300, box.right - x, innerWidth - x);
        const height = Math.min(80, box.bottom - y, innerHeight - y);
        if (width > 2 && height > 2) found.push([x, y, width, height]);
      }
      return found;
    },
    width: () => document.documentElement.scrollWidth,
  };
})();
