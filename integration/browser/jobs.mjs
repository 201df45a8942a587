// What people do with the pages: a newcomer's four questions, each in fewer than
// three clicks, and an analyst's day: 20 suspicions read, a value pivoted on, a
// merge undone. A step is a click, or a search that is typed and entered.
import { observe } from "./programs.mjs";

// person counts what somebody does on a page.
function person(page) {
  let steps = 0;
  const settled = () => page.waitForLoadState("load");
  return {
    begin: async (url) => { steps = 0; await page.goto(url); },
    click: async (what) => { steps++; await page.locator(what).first().click(); await settled(); },
    search: async (text) => { steps++; await page.fill("#q", text); await page.keyboard.press("Enter"); await page.waitForURL(/identities|search/); await settled(); },
    steps: () => steps,
  };
}

export async function newcomer(page, start, { ok, fail }) {
  const p = person(page), text = () => page.innerText("main");
  const answered = (question, good, said) => {
    const line = `newcomer: ${question} (${p.steps()} clicks)`;
    if (good && p.steps() < 3) ok(line + ": " + said); else fail(line + ": " + said);
  };
  await p.begin(start);
  const who = await page.$$eval("#who-changed a.addr", (l) => l.map((a) => a.textContent));
  answered("who changed in the last hour?", who.length > 1 && who.includes("127.0.9.9"), who.join(", "));

  await p.begin(start);
  const reason = await page.textContent(".case");
  answered("why is 127.0.9.9 suspected?", reason.includes("127.0.9.9") && /returned 5 times/.test(reason) && /alternate/.test(reason), reason.replace(/\s+/g, " ").trim().slice(0, 160));

  await p.begin(start);
  await p.click(".case a:text('What it rests on')");
  const evidence = await page.$$eval("table.ev tbody tr", (l) => l.length);
  await p.click("table.ev a:text('hassh client')");
  const references = (await text()).match(/cowrie:\S+/g) ?? [];
  answered("on what evidence?", evidence === 6 && references.length === 8, `${evidence} primitives, ${references.length} observations, the first ${references[0]}`);

  await p.begin(start);
  await p.search("127.0.2.1");
  const verdict = await page.textContent(".verdict").catch(() => "");
  answered("is 127.0.2.1 one person?", /Nothing says that these are several people/.test(verdict), verdict.trim());
}

// suspects are observations of attackers whose locale and planning depth alternate.
function suspects(n) {
  const list = [];
  for (let i = 0; i < 8; i++) for (let a = 0; a < n; a++) {
    const attacker = `triage-${String(a).padStart(2, "0")}`;
    list.push({ attacker, primitive: "environmental.locale", value: i % 2 ? "de-DE" : "en-GB" }, { attacker, primitive: "cognitive.planning_depth", value: i % 2 ? "deep" : "reactive" });
  }
  return list;
}

export async function analyst(page, origin, broker, { ok, fail }) {
  const p = person(page);
  await observe(broker, suspects(20));
  const url = origin + "/suspicions?current=true";
  for (let i = 0; i < 90; i++) { await page.goto(url); if ((await page.locator("article.susline").count()) >= 20 && /21 suspicions/.test(await page.textContent("main"))) break; await page.waitForTimeout(2000); }
  await p.begin(url);
  const shown = await page.locator("article.susline").count(), drawn = await page.locator("article.susline table.ev").count();
  if (shown === 20 && drawn === 20) ok("analyst: 20 suspicions on one page, each with its evidence drawn"); else fail(`analyst: ${shown} suspicions, ${drawn} with evidence`);
  // By keys: each is read in turn, the fifth is opened.
  const seen = new Set();
  for (let i = 0; i < 20; i++) { await page.keyboard.press("j"); seen.add(await page.evaluate(() => document.activeElement.dataset.id)); }
  if (seen.size === 20) ok("analyst: j goes through all 20"); else fail(`analyst: j reached ${seen.size} of 20`);
  await page.keyboard.press("Enter");
  await page.waitForURL(/identities\//);
  if (/Several actors suspected/.test(await page.textContent("main"))) ok("analyst: enter opens what it rests on"); else fail("analyst: enter does not open the suspicion");

  // A value pivoted on: from a row to who else has it, to one of them.
  await p.begin(origin + "/identities/127.0.4.1");
  await p.click("tr[data-primitive='environmental.locale'] td.v a");
  const holders = await page.$$eval("table[data-rows] tbody a.addr", (l) => l.map((a) => a.textContent));
  await p.click("table[data-rows] a.addr:text('127.0.4.2')");
  if (holders.includes("127.0.4.2") && /127\.0\.4\.2/.test(await page.textContent("h1"))) ok(`analyst: from a value to who else has it in ${p.steps()} clicks`); else fail(`analyst: the value is held by ${holders}`);

  // Two are merged, and the merge is undone.
  await p.begin(origin + "/compare?a=127.0.4.1&b=127.0.4.2");
  const [winner, loser] = await page.$$eval("h1 a.addr", (l) => l.map((a) => a.getAttribute("href")));
  await p.click("button:text('Merge…')");
  if (!/17 rows|17 primitives/.test(await page.textContent("main"))) fail("analyst: the preview does not say which rows would be read anew");
  await p.click("button:text-is('Merge')");
  const merged = async () => { await page.goto(origin + loser); return /Merged into/.test(await page.textContent("main")); };
  for (let i = 0; i < 60 && !(await merged()); i++) await page.waitForTimeout(500);
  if (await merged()) ok("analyst: two identities are merged, after a preview"); else fail("analyst: the merge is not seen");
  await p.begin(origin + winner + "/history");
  await p.click("form[action$='/unmerge'] button");
  await p.click("button:text-is('Unmerge')");
  for (let i = 0; i < 60 && (await merged()); i++) await page.waitForTimeout(500);
  const again = await page.textContent("main");
  if (!/Merged into/.test(again) && /17 rows/.test(again)) ok(`analyst: the merge is undone in ${p.steps()} clicks`); else fail("analyst: the merge is not undone");
  await page.goto(origin + winner + "/history");
  const events = await page.$$eval("table tbody tr b", (l) => l.map((b) => b.textContent));
  if (events.includes("merged") && events.includes("unmerged")) ok("analyst: the history has both"); else fail(`analyst: the history has ${events}`);
}
