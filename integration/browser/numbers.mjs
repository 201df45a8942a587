// Numbers on pages are those of the rows, counted.
import { rows } from "./programs.mjs";

const states = ["unknown", "stable", "drifting", "conflicted", "multi_actor"];
const number = (text) => (text.trim() === "·" ? 0 : Number(text.replaceAll(",", "")));

export async function numbers(page, origin, broker, { ok, fail }) {
  const all = await rows(broker);
  const count = (list) => states.map((s) => list.filter((r) => r.state === s).length);
  const same = (what, shown, counted) => { if (JSON.stringify(shown) === JSON.stringify(counted)) ok(`numbers: ${what}: ${JSON.stringify(counted).slice(0, 60)}`); else fail(`numbers: ${what}: the page has ${JSON.stringify(shown)}, the rows are ${JSON.stringify(counted)}`); };
  await page.goto(origin + "/");
  same("states of the overview", await page.$$eval(".five .n", (l) => l.map((e) => e.textContent)).then((l) => l.map(number)), count(all));
  const identities = [...new Set(all.map((r) => r.identity_uuid))];
  const head = (await page.textContent(".bar")).replace(/\s+/g, " ");
  same("identities and rows", [number(head.match(/([\d,]+) identities/)[1]), number(head.match(/([\d,]+) rows/)[1])], [identities.length, all.length]);
  const matrix = await page.$$eval(".c4 tbody tr:has(th a[href*='domain='])", (l) => l.map((r) => [r.querySelector("th").textContent.trim(), ...[...r.querySelectorAll("td")].map((c) => c.textContent)]));
  const domains = [...new Set(all.map((r) => r.primitive.split(".")[0]))].sort();
  same("domains by state", matrix.map(([d, ...n]) => [d, ...n.map(number)]), domains.map((d) => { const of = all.filter((r) => r.primitive.startsWith(d + ".")); return [d, ...count(of), of.length]; }));

  // The list: of each identity, and of each filter.
  await page.goto(origin + "/identities?limit=200");
  const list = await page.$$eval("table.idt tbody tr", (l) => l.map((r) => [r.dataset.id, ...[...r.querySelectorAll("td.num[data-th]:not([data-th='attackers'])")].map((c) => c.textContent)]));
  same("states of each identity", Object.fromEntries(list.map(([id, ...n]) => [id, n.map(number)]).sort()), Object.fromEntries(identities.map((id) => [id, count(all.filter((r) => r.identity_uuid === id))]).sort()));
  const facets = await page.$$eval(".tog label .q", (l) => l.map((e) => e.textContent));
  const having = states.map((s) => new Set(all.filter((r) => r.state === s).map((r) => r.identity_uuid)).size);
  same("identities with a row in each state", facets.map(number), having);
  const totals = [];
  for (const s of states) { await page.goto(`${origin}/identities?state=${s}`); totals.push(number((await page.textContent("#count")).match(/[\d,]+/)[0])); }
  same("totals of the filtered lists", totals, having);
  const of = all.filter((r) => r.primitive === "environmental.locale"), have = of.filter((r) => r.current_value === "de-DE");
  await page.goto(`${origin}/values?primitive=environmental.locale&value=%22de-DE%22`);
  same("who has a value", (await page.textContent("main")).match(/(\d+) of (\d+) rows/).slice(1).map(Number), [have.length, of.length]);
  for (const id of identities.slice(0, 3)) {
    await page.goto(`${origin}/identities/${id}`);
    same(`rows of ${id.slice(0, 13)}`, await page.locator("tr[data-primitive]").count(), all.filter((r) => r.identity_uuid === id).length);
  }
}
