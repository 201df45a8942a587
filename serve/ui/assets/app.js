// The pages' one script. Pages work without it: it adds what comes live, keys,
// completion of the search, local copies and the theme. No frameworks, nothing
// from elsewhere, no text is ever put into a page as HTML that is not ours.
"use strict";
(() => {
  const body = document.body, base = body.dataset.base || "", here = body.dataset.path || "/";
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const stored = {
    get(key) { try { return localStorage.getItem("handprint." + key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem("handprint." + key, value); } catch { /* private mode */ } },
  };
  for (const e of all(".scripted")) e.hidden = false;

  // Theme: the system's, or the one chosen.
  const root = document.documentElement;
  const theme = stored.get("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const turn = () => { root.dataset.theme = dark() ? "light" : "dark"; stored.set("theme", root.dataset.theme); };
  $("theme")?.addEventListener("click", turn);

  // The link that is printed at the start has a token in its fragment, which no
  // server sees: it is posted once, for a cookie.
  const form = $("login");
  if (form && location.hash.startsWith("#t=")) {
    form.elements.token.value = decodeURIComponent(location.hash.slice(3));
    history.replaceState(null, "", location.pathname);
    form.requestSubmit();
  }

  // Selects that show what they choose at once; buttons that copy.
  for (const s of all("select[data-submit]")) s.addEventListener("change", () => s.form.requestSubmit());
  for (const b of all("[data-copy]")) b.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(b.dataset.copy); b.textContent = "Copied"; } catch { b.textContent = "Not allowed"; }
  });
  // Rows closer together, as one likes.
  const density = $("density");
  const dense = (on) => { body.classList.toggle("compact", on); density?.setAttribute("aria-pressed", String(on)); };
  dense(stored.get("density") === "compact");
  density?.addEventListener("click", () => { const on = !body.classList.contains("compact"); stored.set("density", on ? "compact" : ""); dense(on); });
  // Local time instead of UTC, wherever a time stands.
  const zone = $("zone");
  const two = (n) => String(n).padStart(2, "0");
  const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
  const localText = (utc, iso) => {
    const d = new Date(iso), day = d.toDateString() === new Date().toDateString() ? "" : `${d.getDate()} ${months[d.getMonth()]} `;
    return utc.match(/\d{4}/) ? `${d.getDate()} ${months[d.getMonth()]} ${d.getFullYear()} ${two(d.getHours())}:${two(d.getMinutes())}` : `${day}${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  };
  const zones = () => {
    const local = stored.get("zone") === "local";
    for (const t of all("time[datetime]")) {
      t.dataset.utc ??= t.textContent;
      t.textContent = local ? localText(t.dataset.utc, t.dateTime) : t.dataset.utc;
    }
    if (!zone) return;
    const minutes = -new Date().getTimezoneOffset(), name = `UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
    zone.setAttribute("aria-pressed", String(local));
    zone.textContent = local ? `Times in tables are local (${name})` : "Show local time";
  };
  const turnZone = () => { stored.set("zone", stored.get("zone") === "local" ? "" : "local"); zones(); };
  zone?.addEventListener("click", turnZone);
  addEventListener("handprint:times", zones);
  if (stored.get("zone") === "local") zones();
  // A page that takes longer than 300 ms is said; what stands stays readable.
  const busy = $("busy");
  let slow = 0;
  const idle = () => { clearTimeout(slow); if (busy) busy.hidden = true; $("main")?.removeAttribute("aria-busy"); };
  addEventListener("pagehide", idle);
  addEventListener("pageshow", idle);
  const leaving = () => { clearTimeout(slow); slow = setTimeout(() => { if (busy) busy.hidden = false; $("main")?.setAttribute("aria-busy", "true"); }, 300); setTimeout(idle, 20000); };
  document.addEventListener("click", (e) => {
    const a = e.target.closest?.("a[href]");
    if (a && !e.defaultPrevented && !e.ctrlKey && !e.metaKey && !e.shiftKey && !e.button && !a.hasAttribute("download") && !a.target && !a.dataset.view && !(a.getAttribute("href") || "").startsWith("#")) leaving();
  });
  document.addEventListener("submit", (e) => { if (e.target.method !== "dialog") leaving(); });
  // An unset filter is left out of the URL.
  const filters = $("filters");
  filters?.addEventListener("submit", () => {
    for (const f of filters.elements) if (f.name && f.value === "" && f.type !== "checkbox") f.disabled = true;
  });
  addEventListener("pageshow", () => { if (filters) for (const f of filters.elements) f.disabled = false; });

  // Parts of pages, always made of text.
  const SVG = "http://www.w3.org/2000/svg";
  const make = (name, text, kind) => { const e = document.createElement(name); if (text !== undefined) e.textContent = text; if (kind) e.className = kind; return e; };
  // Control, bidirectional and invisible characters are shown as escapes, as the server does.
  const printable = (s, limit) => {
    const runes = [...s];
    let out = runes.slice(0, limit).map((c) => c !== " " && /[\p{C}\p{Z}]/u.test(c) ? "\\u" + c.codePointAt(0).toString(16).padStart(4, "0") : c).join("");
    if (runes.length > limit) out += "… (" + s.length + " characters)";
    return out;
  };
  const valueText = (v) => {
    const s = typeof v === "string" ? v : v === null ? "null: nothing could be told" : JSON.stringify(v) ?? "";
    return /^[0-9a-f]{32,128}$/.test(s) ? s.slice(0, 8) + "…" : printable(s, 120);
  };
  const link = (path, text, kind) => { const a = make("a", text, kind); a.href = base + path; return a; };
  const shortID = (id) => /^[0-9a-f-]{36}$/.test(id) ? id.slice(0, 13) : printable(id, 24);

  // Search: results below the box as one types.
  const box = $("q");
  let list = null, timer = 0, asked = 0;
  const close = () => { list?.remove(); list = null; box?.setAttribute("aria-expanded", "false"); };
  const suggest = async () => {
    const text = box.value.trim(), mine = ++asked;
    if (text.length < 2) { close(); return; }
    const answer = await fetch(base + "/api/v1/search?q=" + encodeURIComponent(text)).catch(() => null);
    if (!answer?.ok || mine !== asked) return;
    const found = await answer.json();
    if (mine !== asked || document.activeElement !== box) return;
    const part = results(found);
    close();
    list = document.createElement("div");
    list.id = "suggest";
    list.append(part);
    box.form.append(list);
    box.setAttribute("aria-expanded", "true");
  };
  box?.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(suggest, 150); });
  box?.form.addEventListener("focusout", (e) => { if (!box.form.contains(e.relatedTarget)) close(); });
  box?.form.addEventListener("keydown", (e) => {
    const links = list ? all("a", list) : [];
    if (e.key === "Escape") { close(); box.focus(); return; }
    if ((e.key !== "ArrowDown" && e.key !== "ArrowUp") || !links.length) return;
    e.preventDefault();
    const at = links.indexOf(document.activeElement) + (e.key === "ArrowDown" ? 1 : -1);
    (at < 0 ? box : links[Math.min(at, links.length - 1)]).focus();
  });

  // What a search found, as links, by kind.
  const results = (found) => {
    const out = document.createDocumentFragment();
    const group = (title, items, row) => {
      if (!items?.length) return;
      const section = make("section"), ul = make("ul", undefined, "plain hits");
      section.append(make("h2", title), ul);
      for (const item of items) { const li = make("li"); li.append(...row(item)); ul.append(li); }
      out.append(section);
    };
    group("Addresses and attackers", found.attackers, (a) => [a.identity_uuid ? link("/identities/" + encodeURIComponent(a.identity_uuid), printable(a.address?.address || a.attacker_uuid, 64), "addr") : make("span", printable(a.address?.address || a.attacker_uuid, 64)), " ", make("span", shortID(a.attacker_uuid), "id")]);
    group("Identities", found.identities, (id) => [link("/identities/" + encodeURIComponent(id), shortID(id), "id main")]);
    group("Values", found.values, (v) => [link("/values?primitive=" + encodeURIComponent(v.primitive) + "&value=" + encodeURIComponent(JSON.stringify(v.current_value)), valueText(v.current_value)), " ", make("span", printable(v.primitive, 100), "q")]);
    group("Primitives", found.primitives, (m) => [link("/identities?primitive=" + encodeURIComponent(m), printable(m, 120))]);
    if (!out.childNodes.length) out.append(make("p", "Nothing begins with this.", "q"));
    return out;
  };

  // Rows: j and k move, enter opens, x marks, c compares, w asks why.
  const rows = () => all("[data-rows] [tabindex]");
  const atRow = () => document.activeElement?.closest?.("[data-rows] [tabindex]");
  const move = (by) => {
    const list = rows(), row = list[Math.max(0, Math.min(list.length - 1, list.indexOf(atRow()) + by))];
    row?.focus();
    row?.scrollIntoView({ block: "nearest" });
  };
  const marked = [];
  const mark = (row) => {
    if (!row?.dataset.id) return;
    const i = marked.indexOf(row.dataset.id);
    if (i >= 0) marked.splice(i, 1); else marked.push(row.dataset.id);
    if (marked.length > 2) marked.shift();
    for (const r of rows()) { r.classList.toggle("on", marked.includes(r.dataset.id)); r.setAttribute("aria-selected", String(marked.includes(r.dataset.id))); }
    const link = $("compare");
    if (link) { link.hidden = marked.length < 2; link.href = compareURL(); }
  };
  const compareURL = () => base + "/compare?a=" + encodeURIComponent(marked[0] || "") + "&b=" + encodeURIComponent(marked[1] || "");
  if ($("compare")) $("compare").hidden = true;

  // Keys. They can be switched off, and are off while one types.
  const dialog = $("keys"), keysOn = $("keys-on");
  if (keysOn) {
    keysOn.checked = stored.get("keys") !== "off";
    keysOn.addEventListener("change", () => stored.set("keys", keysOn.checked ? "on" : "off"));
  }
  $("keys-show")?.addEventListener("click", () => dialog?.showModal());
  let going = false;
  addEventListener("keydown", (e) => {
    const typing = e.target.closest?.("input, select, textarea, [contenteditable]") && e.target.type !== "checkbox";
    if (typing || e.ctrlKey || e.metaKey || e.altKey || dialog?.open || (keysOn && !keysOn.checked && e.key !== "?")) return;
    const page = all(".top nav a[data-key]").find((a) => a.dataset.key === e.key);
    if (going && page) { going = false; location.href = page.href; return; }
    going = e.key === "g";
    const act = {
      "/": () => box?.focus(), "?": () => dialog?.showModal(), j: () => move(1), k: () => move(-1), t: turn, l: turnZone,
      x: () => mark(atRow()), c: () => { if (marked.length === 2) location.href = compareURL(); },
      f: () => filters?.querySelector("input, select")?.focus(), r: () => location.reload(), p: () => $("live-pause")?.click(),
      Enter: () => { if (document.activeElement === atRow()) atRow().querySelector("a[href]")?.click(); },
      w: () => { const row = atRow(); (row?.querySelector('a[href*="/why/"]'))?.click(); },
    }[e.key];
    if (!act || (e.key === "Enter" && document.activeElement !== atRow())) return;
    if (e.key !== "Enter") e.preventDefault();
    act();
  });

  // Live: one stream for all tabs of this origin. Who holds the lock has the
  // EventSource and passes on what it gets.
  const fresh = $("fresh"), table = $("live"), says = $("live-says"), show = $("live-show"), pause = $("live-pause");
  const seen = new Set(all("[data-event]").map((r) => r.dataset.event));
  const maxSeen = 2000, maxRows = 60;
  let waiting = [], paused = false, last = "", missed = 0, down = false;

  const word = (s) => s === "multi_actor" ? "multi actor" : s;
  const known = new Set(["unknown", "stable", "drifting", "conflicted", "multi_actor"]);
  const stateOf = (s) => {
    if (!s) return make("span", "new", "st");
    const e = make("span", undefined, "st " + (known.has(s) ? s : "unknown")), g = document.createElementNS(SVG, "svg"), u = document.createElementNS(SVG, "use");
    g.setAttribute("class", "g"); g.setAttribute("aria-hidden", "true"); u.setAttribute("href", "#g-" + (known.has(s) ? s : "unknown"));
    g.append(u); e.append(g, " " + printable(word(s), 20));
    return e;
  };
  const clock = (ts) => new Date(ts * 1000).toISOString().slice(11, 19);
  const rowOf = (e) => {
    const tr = make("tr", undefined, "now"), id = encodeURIComponent(e.identity_uuid), cell = (kind) => { const td = make("td", undefined, kind); tr.append(td); return td; };
    tr.dataset.event = e.event_id;
    const when = make("time", clock(e.ts));
    when.dateTime = new Date(e.ts * 1000).toISOString();
    if (stored.get("zone") === "local") { when.dataset.utc = when.textContent; when.textContent = localText(when.dataset.utc, when.dateTime); }
    cell().append(when);
    const who = cell();
    if (e.address?.address || typeof e.address === "string") who.append(link("/identities/" + id, printable(e.address.address ?? e.address, 64), "addr"), " ", make("span", shortID(e.identity_uuid), "id"));
    else who.append(link("/identities/" + id, shortID(e.identity_uuid), "id main"));
    const dot = e.primitive.indexOf("."), what = link("/identities/" + id + "/why/" + encodeURIComponent(e.primitive), "", "quiet");
    what.append(make("span", e.primitive.slice(0, dot + 1), "q"), printable(e.primitive.slice(dot + 1), 120));
    cell("wide").append(what);
    cell("wide").append(stateOf(e.old_state), make("span", " → ", "arrow"), stateOf(e.new_state));
    cell("v").textContent = valueText(e.current_value);
    cell("num").textContent = Number(e.confidence).toFixed(2);
    return tr;
  };
  const flush = () => {
    if (!table || !waiting.length) return;
    const list = table.tBodies[0];
    for (const e of waiting) list.prepend(rowOf(e));
    while (list.rows.length > maxRows) list.deleteRow(-1);
    waiting = [];
    if (show) show.hidden = true;
  };
  const topOf = () => table && table.getBoundingClientRect().top > 0 && !table.contains(document.activeElement);
  show?.addEventListener("click", flush);
  pause?.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) flush();
    tell();
  });
  const tell = () => {
    if (!says) return;
    says.textContent = paused ? `paused, ${waiting.length} waiting` : waiting.length ? `${waiting.length} new, waiting while you read` : "new lines come in at the top";
  };
  const changedNow = new Set();
  const transition = (e) => {
    if (!e?.event_id || seen.has(e.event_id)) return;
    seen.add(e.event_id);
    if (seen.size > maxSeen) seen.delete(seen.values().next().value);
    if (catching) missed++;
    const row = document.querySelector(`[data-primitive="${CSS.escape(e.primitive || "")}"]`), mine = here === "/identities/" + encodeURIComponent(e.identity_uuid);
    if (mine && $("changed-now")) {
      changedNow.add(e.primitive);
      row?.classList.add("at");
      const n = $("changed-now");
      n.hidden = false;
      n.textContent = changedNow.size === 1 ? "1 row has changed since. " : changedNow.size + " rows have changed since. ";
      n.append(link(here, "Read again (r)"));
    }
    for (const r of all("table.idt tbody tr[data-id]")) if (r.dataset.id === e.identity_uuid) r.classList.add("at");
    if (!table || !e.primitive) return;
    waiting.push(e);
    if (waiting.length > maxRows) waiting.shift();
    if (!paused && document.visibilityState === "visible" && topOf()) flush();
    else if (show) { show.hidden = false; show.textContent = `Show ${waiting.length} new`; }
  };
  document.addEventListener("visibilitychange", () => { if (!paused && topOf()) flush(); });
  const liveIs = (ok, words) => {
    if (!fresh) return;
    fresh.classList.toggle("live", ok); fresh.classList.toggle("dead", !ok);
    fresh.replaceChildren(make("b", ok ? "live" : "not live", "live-word"), " " + words);
  };
  let lastBeat = 0, catching = false, behind = fresh && (!fresh.querySelector("time") || "behind" in fresh.dataset); // when the page was made
  const utc = (ms) => new Date(ms).toISOString().slice(11, 19);
  const beat = () => {
    lastBeat = Date.now();
    if (down) {
      down = false; missed = 0; catching = true;
      setTimeout(() => { catching = false; if (says) says.textContent = missed ? `caught up: ${missed} events came meanwhile` : "caught up: nothing came meanwhile"; }, 1500);
    }
    liveIs(true, behind ? "but behind" : "as of " + utc(lastBeat) + " UTC");
  };
  const lost = () => {
    if (down) return;
    down = true;
    liveIs(false, lastBeat ? `reconnecting, last event ${utc(lastBeat)} UTC` : "connecting");
  };
  // The server says something every 3 s. Who hears nothing for long has lost it.
  const deaf = 6000;
  if (fresh) setInterval(() => { if (lastBeat && Date.now() - lastBeat > deaf) lost(); }, 1000);
  const stale = (what) => {
    const place = $("stale");
    if (!place) return;
    const words = { read: "What is shown is behind: the read side has not caught up with what is committed.", input: "Input is waiting that the engine has not processed. What is shown is the newest there is." }[what];
    place.replaceChildren();
    if (words) { const p = make("p", undefined, "msg"); p.append(make("b", words)); place.append(p); }
  };
  const handle = (m) => {
    if (m.type === "lost") { lost(); return; }
    beat();
    let e;
    try { e = JSON.parse(m.data || "null"); } catch { return; }
    switch (m.type) {
      case "state_changed": transition(e); break;
      case "summary": if (says && e) says.textContent = `${Number(e.skipped)} more in the last seconds`; break;
      case "freshness": if (e) { behind = e.stale === "read"; beat(); stale(e.stale); } break;
      case "reset":
      case "gap": if (says) says.textContent = "some events were missed: read the page again (r)"; break;
      case "multi_actor_suspected": if (says && e?.status !== "cleared") says.textContent = "several actors suspected: " + printable(e.evidence_summary || "", 120); break;
    }
    if (table && m.type === "state_changed") { clearTimeout(tell.timer); tell.timer = setTimeout(tell, 5000); }
  };
  // A session that is over is said as what it is.
  const loggedOut = () => fetch(base + "/api/v1/search?q=zz").then((a) => { if (a.status === 401) { liveIs(false, "your session is over: "); fresh?.append(link("/", "log in again")); } }).catch(() => {});
  const types = ["snapshot", "state_changed", "multi_actor_suspected", "freshness", "summary", "gap", "reset", "bye", "beat"];
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("handprint" + base) : null;
  if (channel) channel.onmessage = (m) => handle(m.data);
  const open = () => new Promise((closed) => {
    const url = base + "/api/v1/events?types=state_changed,multi_actor_suspected";
    let source = null, retry = 1000, heard = 0;
    const emit = (m) => { handle(m); channel?.postMessage(m); };
    const connect = () => {
      source = new EventSource(last ? url + "&last_event_id=" + encodeURIComponent(last) : url);
      heard = Date.now();
      source.onopen = () => { retry = 1000; heard = Date.now(); emit({ type: "beat" }); };
      source.onerror = () => {
        emit({ type: "lost" });
        if (source.readyState === EventSource.CLOSED) { source = null; loggedOut(); setTimeout(connect, retry); retry = Math.min(retry * 2, 10000); }
      };
      for (const t of types) source.addEventListener(t, (m) => { heard = Date.now(); if (m.lastEventId) last = m.lastEventId; emit({ type: t, data: m.data }); });
    };
    connect();
    setInterval(() => { // a connection that is open and dead: a new one, from the last event on
      if (!source || Date.now() - heard < deaf) return;
      source.close(); source = null;
      emit({ type: "lost" });
      connect();
    }, 1000);
    addEventListener("pagehide", () => { source?.close(); closed(); }, { once: true });
  });
  if (navigator.locks) navigator.locks.request("handprint-live" + base, open); else open();
})();
