// How long pages take until they are painted: overview, list, identity, suspicions,
// at a read side that is given by its URL, with the ids of identities after it. Prints
// the median and the slowest of twenty of each: of the answer's first byte, and of the
// first contentful paint, both since the navigation began.
import { chromium } from "playwright-core";

const [url, ...ids] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const pages = { overview: () => "/", list: (i) => "/identities?sort=" + ["-suspected", "-last_change", "-unstable", "-last_seen"][i % 4], filtered: () => "/identities?state=multi_actor", identity: (i) => "/identities/" + ids[i % ids.length], suspicions: () => "/suspicions?current=true" };
await page.goto(url + "/");
for (const [name, path] of Object.entries(pages)) {
  const first = [], paint = [];
  for (let i = 0; i < 20; i++) {
    const answer = await page.goto(url + path(i));
    if (answer.status() !== 200) console.log(`${name}: ${answer.status()}`);
    const [byte, painted] = await page.evaluate(() => new Promise((done) => {
      const now = () => { const p = performance.getEntriesByName("first-contentful-paint")[0]; return p ? done([performance.getEntriesByType("navigation")[0].responseStart, p.startTime]) : setTimeout(now, 20); };
      now();
    }));
    first.push(byte); paint.push(painted);
  }
  console.log(`${name.padEnd(10)} first byte ${median(first).toFixed(0)} ms, at most ${Math.max(...first).toFixed(0)}; painted after ${median(paint).toFixed(0)} ms, at most ${Math.max(...paint).toFixed(0)}`);
}
await browser.close();
