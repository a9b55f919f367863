// Turns the slides of a page: each <section> in <main> is one.
(() => {
  const slides = [...document.querySelectorAll("main > section")];
  if (!slides.length) return;
  const button = (label, sign, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = sign;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };
  const bar = document.createElement("nav");
  bar.className = "deck-bar";
  bar.setAttribute("aria-label", "Slides");
  const count = document.createElement("output");
  const back = button("Previous slide", "←", () => show(at - 1));
  const next = button("Next slide", "→", () => show(at + 1));
  const all = button("All slides", "▦", () => overview());
  bar.append(back, count, next, all);
  const done = document.createElement("div");
  done.className = "deck-done";
  document.body.append(bar, done);
  let at = 0;

  function show(number, remember = true) {
    at = Math.max(0, Math.min(slides.length - 1, number));
    slides.forEach((slide, index) => {
      if (index === at) slide.setAttribute("aria-current", "true");
      else slide.removeAttribute("aria-current");
    });
    count.textContent = `${at + 1} / ${slides.length}`;
    back.disabled = at === 0;
    next.disabled = at === slides.length - 1;
    done.style.width = `${(100 * (at + 1)) / slides.length}%`;
    if (remember) history.replaceState(null, "", `#${at + 1}`);
  }

  function overview(on = !document.body.classList.contains("overview")) {
    document.body.classList.toggle("overview", on);
    all.setAttribute("aria-pressed", on);
    slides[at].scrollIntoView({ block: "nearest" });
  }

  const keys = {
    ArrowRight: () => show(at + 1), ArrowDown: () => show(at + 1), PageDown: () => show(at + 1), " ": () => show(at + 1),
    ArrowLeft: () => show(at - 1), ArrowUp: () => show(at - 1), PageUp: () => show(at - 1),
    Home: () => show(0), End: () => show(slides.length - 1), Escape: () => overview(false),
    o: () => overview(), n: () => document.body.classList.toggle("show-notes"),
    f: () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.(),
  };
  document.addEventListener("keydown", event => {
    const own = event.target.closest?.("input, textarea, select, [contenteditable]");
    const pressed = event.target.closest?.("button, a, summary") && event.key === " ";
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!act || own || pressed || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  slides.forEach((slide, index) => slide.addEventListener("click", () => {
    if (!document.body.classList.contains("overview")) return;
    overview(false);
    show(index);
  }));
  let from = null;
  document.addEventListener("touchstart", event => { from = event.changedTouches[0]; }, { passive: true });
  document.addEventListener("touchend", event => {
    const to = event.changedTouches[0];
    if (!from || Math.abs(to.clientX - from.clientX) < 50 || Math.abs(to.clientY - from.clientY) > 60) return;
    show(at + (to.clientX < from.clientX ? 1 : -1));
  });
  const named = () => Number(location.hash.slice(1)) - 1 || 0;
  addEventListener("hashchange", () => show(named(), false));
  show(named(), false);
})();
