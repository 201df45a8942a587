// What comes while one looks: a transition without a reload, a server that hangs or
// is gone, and what happened meanwhile, each once.
import { observe } from "./programs.mjs";

const turns = (attacker, from, n) => Array.from({ length: n }, (_, i) => ({ attacker, primitive: "environmental.locale", value: (from + i) % 2 ? "de-DE" : "en-GB", ts: Date.now() / 1000 - 60 + i / 10 }));

export async function live(page, serve, { ok, fail }) {
  await page.goto(serve.origin + "/");
  await page.waitForSelector("#fresh.live", { timeout: 30000 }).catch(() => fail("the page is not live"));
  const mark = await page.evaluate(() => (window.sameDocument = Math.random()));
  const has = (attackers) => page.waitForFunction((n) => document.querySelectorAll("#live tr.now").length >= n, attackers, { timeout: 30000 });
  await observe(serve.broker, turns("live-1", 0, 1));
  await has(1).then(() => ok("a live transition appears without a reload"), () => fail("no live transition appears"));
  if ((await page.evaluate(() => window.sameDocument)) !== mark) fail("the page was read again");

  // Hangs: the connection stands, and nothing comes.
  serve.process.kill("SIGSTOP");
  const stopped = Date.now();
  await page.waitForSelector("#fresh.dead", { timeout: 15000 }).then(() => (Date.now() - stopped <= 10000 ? ok : fail)(`a server that hangs is said after ${((Date.now() - stopped) / 1000).toFixed(1)} s`), () => fail("a server that hangs is not said"));
  serve.process.kill("SIGCONT");
  await page.waitForSelector("#fresh.live", { timeout: 60000 }).then(() => ok("and that it is back"), () => fail("that the server is back is not said"));

  // Gone: killed, and events happen meanwhile.
  const before = await page.locator("#live tr.now").count();
  const killed = Date.now();
  await serve.kill();
  await page.waitForSelector("#fresh.dead", { timeout: 15000 }).then(() => (Date.now() - killed <= 10000 ? ok : fail)(`a server that is gone is said after ${((Date.now() - killed) / 1000).toFixed(1)} s`), () => fail("a server that is gone is not said"));
  await observe(serve.broker, [1, 2, 3, 4, 5].flatMap((n) => turns(`meanwhile-${n}`, 0, 1)));
  await serve.start();
  await page.waitForFunction(() => /^caught up/.test(document.getElementById("live-says").textContent), undefined, { timeout: 60000 }).catch(() => fail("the page does not say that it caught up"));
  await page.waitForFunction((n) => document.querySelectorAll("#live tr.now").length >= n, before + 5, { timeout: 30000 }).catch(() => {});
  await page.waitForTimeout(2500);
  const says = await page.textContent("#live-says");
  const events = await page.$$eval("#live tr[data-event]", (l) => l.map((r) => r.dataset.event));
  const meanwhile = await page.$$eval("#live tr.now", (l) => l.length) - before;
  if (meanwhile === 5 && new Set(events).size === events.length) ok("what happened meanwhile has come, each once"); else fail(`${meanwhile} of 5 came, ${events.length - new Set(events).size} twice; it says ${says}`);
  if ((await page.evaluate(() => window.sameDocument)) !== mark) fail("the page was read again");
}
