// The timeline of an identity: its links work without this. It adds drawing a
// stretch with the pointer, keys, and reading a row's changes one by one.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const section = () => $("timeline");
  if (!section()) return;

  // Another view of the same page takes the place of this one: only the timeline is
  // exchanged, and the URL says what is shown.
  let asked = 0;
  const show = async (url) => {
    const mine = ++asked, row = document.activeElement?.closest?.("tr[data-primitive]")?.dataset.primitive;
    const view = document.activeElement?.dataset?.view;
    const busy = setTimeout(() => section().setAttribute("aria-busy", "true"), 300);
    let answer = null;
    try { answer = await fetch(url); } catch { /* the link is followed below */ }
    clearTimeout(busy);
    if (mine !== asked) return;
    const text = answer?.ok ? await answer.text() : "";
    const next = text && new DOMParser().parseFromString(text, "text/html").getElementById("timeline");
    if (mine !== asked) return;
    if (!next) { location.href = url; return; }
    section().replaceWith(document.adoptNode(next));
    for (const e of all(".scripted", section())) e.hidden = false;
    history.replaceState(null, "", url);
    const again = row ? all("tr[data-primitive]", section()).find((r) => r.dataset.primitive === row) : view ? section().querySelector(`[data-view="${view}"]`) : null;
    again?.focus();
    dispatchEvent(new Event("handprint:times"));
  };
  document.addEventListener("click", (e) => {
    const a = e.target.closest?.("#timeline a[data-view]");
    if (!a || e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;
    e.preventDefault();
    show(a.href);
  });

  // A stretch drawn over the axis is looked at closer.
  const SVG = "http://www.w3.org/2000/svg";
  let from = null, box = null, axis = null;
  const place = (e) => { const r = axis.getBoundingClientRect(); return Math.max(0, Math.min(r.width, e.clientX - r.left)); };
  document.addEventListener("pointerdown", (e) => {
    axis = e.target.closest?.("#timeline .axis.brush");
    if (!axis || e.button) return;
    e.preventDefault();
    from = place(e);
    axis.setPointerCapture?.(e.pointerId);
    box = document.createElementNS(SVG, "rect");
    box.setAttribute("class", "brushed"); box.setAttribute("y", "0"); box.setAttribute("height", "34");
    axis.append(box);
  });
  document.addEventListener("pointermove", (e) => {
    if (!box) return;
    const x = place(e);
    box.setAttribute("x", String(Math.min(x, from))); box.setAttribute("width", String(Math.abs(x - from)));
  });
  const end = (e) => {
    if (!box) return;
    const x = place(e), least = Math.min(x, from), most = Math.max(x, from), width = axis.getBoundingClientRect().width;
    box.remove(); box = null;
    if (e.type === "pointercancel" || most - least < 4) return;
    let a, b;
    if (axis.dataset.columns) { // sessions: from the first to the last that was drawn over
      const times = axis.dataset.columns.split(",").map((c) => c.split(":").map(Number)).filter(([at]) => at >= least && at <= most).map(([, ts]) => ts);
      if (!times.length) return;
      const pad = Math.max((times[times.length - 1] - times[0]) * 0.05, 0.5);
      a = times[0] - pad; b = times[times.length - 1] + pad;
    } else {
      const first = Number(axis.dataset.from), span = Number(axis.dataset.to) - first;
      a = first + span * least / width; b = first + span * most / width;
    }
    const url = new URL(location.href);
    url.searchParams.set("axis", "time"); url.searchParams.set("from", a.toFixed(3)); url.searchParams.set("to", Math.max(b, a + 0.1).toFixed(3));
    show(url.href);
  };
  document.addEventListener("pointerup", end);
  document.addEventListener("pointercancel", end);

  // Keys: plus, minus and 0 look closer, wider, at all; shift with the arrows moves;
  // the arrows on a row read its changes.
  const view = (name) => { const a = section().querySelector(`[data-view="${name}"]`); if (a) show(a.href); };
  const step = (row, by) => {
    const bands = all("rect[data-says]", row).filter((r) => r.closest("svg").getClientRects().length);
    if (!bands.length) return;
    let at = bands.findIndex((b) => b.classList.contains("cur"));
    at = at < 0 ? (by > 0 ? 0 : bands.length - 1) : Math.max(0, Math.min(bands.length - 1, at + by));
    for (const b of all("#timeline .cur")) b.classList.remove("cur");
    bands[at].classList.add("cur");
    $("lane-says").textContent = `${at + 1} of ${bands.length}: ${bands[at].dataset.says}`;
  };
  addEventListener("keydown", (e) => {
    if (e.target.closest?.("input, select, textarea") || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]") || $("keys-on")?.checked === false) return;
    const row = document.activeElement?.closest?.("#timeline tr[data-primitive]");
    const by = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (by && e.shiftKey) { e.preventDefault(); view(by > 0 ? "later" : "earlier"); return; }
    if (by && row) { e.preventDefault(); step(row, by); return; }
    const name = { "+": "closer", "=": "closer", "-": "wider", 0: "whole" }[e.key];
    if (name && !by) { e.preventDefault(); section().querySelector('[data-view="time"]') ? view("time") : view(name); }
  });
})();
