// Looks at every page with Debian's Chromium: axe in both themes, forced colours,
// 320 px and 400 %; keys alone; scripts off; what comes live; nothing requested
// from elsewhere; the size of a first visit; numbers against the rows; what people
// do with the pages (jobs.mjs). ONLY names parts. With --pictures DIR it makes a
// picture of every page in both themes instead.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import AxeBuilder from "@axe-core/playwright";
import { hostile } from "./hostile.mjs";
import { analyst, newcomer } from "./jobs.mjs";
import { live } from "./live.mjs";
import { numbers } from "./numbers.mjs";
import { demo as startDemo, Serve } from "./programs.mjs";

const at = process.argv.indexOf("--pictures");
const pictures = at > 0 ? process.argv[at + 1] : "";
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
let faults = 0;
const fail = (what) => { faults++; console.log("FAULT " + what); };
const ok = (what) => console.log("ok    " + what);
const only = process.env.ONLY?.split(","); // parts: pages, keys, jobs, numbers, scripts, live, hostile
const part = (name) => !only || only.includes(name);

const { process: demo, link, broker } = await startDemo();
const origin = new URL(link).origin, base = new URL(link).pathname.replace(/\/$/, "");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const elsewhere = [];
  context.on("request", (r) => { if (!r.url().startsWith(origin) && !r.url().startsWith("data:")) elsewhere.push(r.url()); });
  const page = await context.newPage();
  page.on("pageerror", (e) => fail("script error: " + e.message));
  page.on("console", (m) => { if (m.type() === "error" && /Content Security|Refused/.test(m.text())) fail("policy: " + m.text()); });
  await page.goto(link);
  await page.waitForSelector("h1:text('Overview')", { timeout: 60000 });
  ok("the link logs in");
  // The lab's rows are there when the demo is through.
  await page.waitForFunction(() => document.querySelector(".five .n") !== null);
  for (let i = 0; i < 60 && !(await page.textContent("main")).includes("several actors suspected"); i++) { await page.waitForTimeout(1000); await page.reload(); }

  const three = await page.getAttribute(".case a.addr", "href");
  if (!three) throw new Error("nobody is suspected on the overview");
  const id = three.split("/identities/")[1];
  const paths = {
    timeline: `/identities/${id}?axis=time`, overview: "/", identities: "/identities", columns: "/identities?column=rows&column=ids&column=seen", filtered: "/identities?state=multi_actor&suspected=true", none: "/identities?state=drifting&q=zz", identity: "/identities/" + id,
    why: `/identities/${id}/why/toolchain.ssh.hassh_client`, whyalternates: `/identities/${id}/why/cognitive.planning_depth`, history: `/identities/${id}/history`,
    compare: "/compare?a=127.0.4.1&b=127.0.4.2", suspicions: "/suspicions", suggestions: "/suggestions", value: "/values?primitive=environmental.locale&value=%22de-DE%22",
    search: "/search?q=127.0", operations: "/operations", unknown: "/identities/nobody-has-this-id",
  };

  if (pictures) {
    mkdirSync(pictures, { recursive: true });
    for (const scheme of ["light", "dark"]) for (const [name, path] of Object.entries(paths)) for (const width of scheme === "light" ? [1280, 390, 320] : [1280]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme: scheme });
      await page.goto(origin + base + path);
      await page.screenshot({ path: `${pictures}/${name}-${scheme}${width === 1280 ? "" : "-" + width}.png`, fullPage: true });
    }
    console.log("pictures in " + pictures);
  } else {
    const modes = !part("pages") ? [] : [
      ["light", { colorScheme: "light" }, 1280], ["dark", { colorScheme: "dark" }, 1280], ["forced colours", { colorScheme: "light", forcedColors: "active" }, 1280],
      ["320 px", { colorScheme: "light", forcedColors: "none" }, 320], ["400 %", { colorScheme: "dark", forcedColors: "none" }, 320],
    ];
    for (const [mode, media, width] of modes) for (const [name, path] of Object.entries(paths)) {
      await page.emulateMedia(media);
      await page.setViewportSize({ width, height: 900 });
      await page.goto(origin + base + path);
      const found = (await new AxeBuilder({ page }).disableRules(media.forcedColors === "active" ? ["color-contrast"] : []).analyze()).violations.filter((v) => v.impact === "serious" || v.impact === "critical");
      for (const v of found) fail(`${name}, ${mode}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join("; ")}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 1) fail(`${name}, ${mode}: ${wide} px wider than the window`);
      if (!found.length && wide <= 1) ok(`${name}, ${mode}`);
    }
    await page.emulateMedia({ colorScheme: "light", forcedColors: "none" });
    await page.setViewportSize({ width: 1280, height: 900 });

    // Keys alone: to the list, down two rows, into the identity, to its why.
    await page.goto(origin + base + "/");
    await page.keyboard.press("g"); await page.keyboard.press("i");
    await page.waitForURL("**/identities"); await page.waitForLoadState();
    await page.keyboard.press("j"); await page.keyboard.press("Enter");
    await page.waitForURL(/identities\/./); await page.waitForLoadState();
    await page.keyboard.press("j"); await page.keyboard.press("w");
    await page.waitForURL(/\/why\//); await page.waitForLoadState();
    await page.keyboard.press("/");
    if (await page.evaluate(() => document.activeElement.id) !== "q") fail("/ does not lead to the search"); else ok("keys alone");
    await page.keyboard.type("127.0.9"); await page.waitForSelector("#suggest a", { timeout: 20000 }).catch(() => fail("no results as one types"));
    await page.keyboard.press("ArrowDown"); await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp("identities/" + id + "$")); await page.waitForLoadState(); ok("search by keys");

    // Columns by keys: chosen, in the URL with the filters, remembered, and taken back.
    await page.goto(origin + base + "/identities?state=multi_actor");
    await page.focus("summary:text('Columns')"); await page.keyboard.press("Enter");
    await page.focus("form.columns input[value=seen]"); await page.keyboard.press("Space");
    await page.focus("form.columns input[value=rows]"); await page.keyboard.press("Space");
    await page.focus("form.columns button[value=these]"); await page.keyboard.press("Enter");
    await page.waitForURL(/column=rows/); await page.waitForLoadState();
    const heads = () => page.locator("table.idt thead th").allTextContents().then((t) => t.map((s) => s.trim()).join("|"));
    const chosen = await heads();
    if (!chosen.includes("Rows") || chosen.includes("Last seen") || !page.url().includes("state=multi_actor")) fail(`columns by keys: ${chosen} at ${page.url()}`); else ok("columns by keys");
    await page.goto(origin + base + "/identities");
    if (!(await heads()).includes("Rows")) fail("the columns are not remembered: " + await heads()); else ok("columns are remembered");
    await page.click("summary:text('Columns')"); await page.click("form.columns button[value=usual]"); await page.waitForLoadState();
    if (!(await heads()).includes("Last seen") || page.url().includes("column")) fail("the usual columns do not come back: " + page.url()); else ok("the usual columns come back");

    const says = { ok, fail };
    if (part("jobs")) await newcomer(page, origin + base + "/", says);
    if (part("numbers")) await numbers(page, origin + base, broker, says);
    // A first visit.
    const fresh = await browser.newContext(); let bytes = 0;
    const first = await fresh.newPage(), session = await fresh.newCDPSession(first);
    await session.send("Network.enable"); session.on("Network.loadingFinished", (e) => { bytes += e.encodedDataLength; });
    await first.goto(link); await first.waitForSelector("h1:text('Overview')"); await first.waitForTimeout(500);
    if (bytes > 120 * 1024) fail(`a first visit takes ${bytes} bytes`); else ok(`a first visit takes ${bytes} bytes`);
    await fresh.close();

    // Scripts off: log in by the form, then lists, filters, identity and why.
    const plain = await browser.newContext({ javaScriptEnabled: false }), off = await plain.newPage();
    await off.goto(origin + base + "/login");
    await off.fill("input[name=token]", new URL(link).hash.replace("#t=", "")); await off.click("form button");
    for (const [path, says] of [["/identities?column=ids&column=rows", "Ids of attackers"], ["/identities?state=drifting", "127.0.6.1"], ["/identities/" + id, "Several actors suspected"], [paths.why, "Step by step"], ["/search?q=127.0.9.9", "127.0.9.9"]]) {
      await off.goto(origin + base + path);
      if (!(await off.textContent("main")).includes(says)) fail(`scripts off: ${path} does not say ${says}`); else ok("scripts off: " + path);
    }
    await plain.close();

    // What changes the state comes last.
    if (part("live") || part("hostile")) {
      const serve = await new Serve(broker).start(), own = await browser.newContext({ viewport: { width: 1280, height: 900 } }), other = await own.newPage();
      other.on("pageerror", (e) => fail("script error: " + e.message));
      try {
        await other.goto(serve.origin + "/login");
        await other.fill("input[name=token]", serve.token); await other.click("form button"); await other.waitForSelector("h1:text('Overview')");
        if (part("live")) await live(other, serve, says);
        if (part("hostile")) await hostile(other, serve, says);
      } finally { await serve.kill().catch(() => {}); }
    }
    if (part("jobs")) await analyst(page, origin + base, broker, says);
    if (elsewhere.length) fail("requests to elsewhere: " + elsewhere.slice(0, 3)); else ok("nothing is requested from elsewhere");
    console.log(`${faults} faults`);
  }
} finally {
  await browser.close();
  demo.removeAllListeners("exit"); demo.kill("SIGKILL");
}
process.exit(faults ? 1 : 0);
