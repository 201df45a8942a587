// What attackers send is shown as text, on every page, and runs nowhere.
import { observe } from "./programs.mjs";

const values = [
  `<img src=x onerror="window.hit=1">`, `"><script>window.hit=2</script>`, `=HYPERLINK("http://evil.example","x")`, `javascript:window.hit=3`,
  "\u202Egnp.exe", "\u2066isolated\u2069", "a\u0000b\u001b[31mc", "zero\u200Bwidth", `' onmouseover='window.hit=4`, "x".repeat(250 * 1024),
];

export async function hostile(page, serve, { ok, fail }) {
  const attacker = `<img src=x onerror="window.hit=5">\u202E`;
  const list = [];
  values.forEach((value, v) => {
    for (let i = 0; i < 4; i++) list.push({ attacker: v % 2 ? attacker : `hostile-${v}`, primitive: "toolchain.ssh.ssh_client_banner", value, evidence: values[v].slice(0, 200), source: values[v].slice(0, 100) });
  });
  list.push({ attacker, primitive: "motor.input_modality", value: 5 }); // no such kind: a dead letter
  await observe(serve.broker, list);
  let ids = [];
  for (let i = 0; i < 60; i++) {
    const answer = await (await page.request.get(serve.origin + "/api/v1/attackers?q=hostile-&limit=50")).json().catch(() => ({}));
    ids = (answer.items ?? []).map((a) => a.identity_uuid).filter(Boolean);
    if (ids.length >= 5) break;
    await page.waitForTimeout(1000);
  }
  if (ids.length < 5) { fail(`hostile: ${ids.length} of 5 attackers are known`); return; }
  const why = (id) => `/identities/${id}/why/toolchain.ssh.ssh_client_banner`;
  const paths = ["/", "/identities", "/identities?primitive=toolchain.ssh.ssh_client_banner", "/suspicions", "/suggestions", "/operations", "/search?q=" + encodeURIComponent("<img"), "/search?q=" + encodeURIComponent("=HYPER"),
    "/identities/" + encodeURIComponent(attacker), `/compare?a=${ids[0]}&b=${ids[1]}`, ...ids.flatMap((id) => ["/identities/" + id, why(id), `/identities/${id}/history`]),
    ...values.slice(0, 9).map((v) => "/values?primitive=toolchain.ssh.ssh_client_banner&value=" + encodeURIComponent(JSON.stringify(v)))];
  let largest = 0, faults = 0;
  for (const path of paths) {
    const answer = await page.goto(serve.origin + path);
    largest = Math.max(largest, (await answer.body()).length);
    const bad = await page.evaluate(() => {
      const seen = [];
      if (window.hit !== undefined) seen.push("a script of an attacker ran: " + window.hit);
      if (document.querySelector("img, iframe, script:not([src]), [onerror], [onmouseover], [style]")) seen.push("markup of an attacker is in the page");
      const text = document.documentElement.outerHTML;
      const odd = text.match(/[\u0000-\u0008\u001b\u200b\u202a-\u202e\u2066-\u2069]/);
      if (odd) seen.push("an invisible character: U+" + odd[0].charCodeAt(0).toString(16));
      if (document.documentElement.scrollWidth > innerWidth + 1) seen.push("wider than the window");
      return seen;
    });
    for (const b of bad) { faults++; fail(`hostile: ${path.slice(0, 90)}: ${b}`); }
  }
  if (!faults) ok(`hostile: ${paths.length} pages show ${values.length} values as text, the largest page ${Math.round(largest / 1024)} KiB`);
  const csv = await (await page.request.get(`${serve.origin}/api/v1/export/csv?primitive=toolchain.ssh.ssh_client_banner`)).text();
  const formulas = csv.split("\n").flatMap((l) => l.split(",")).filter((c) => /^"?[=+@]/.test(c));
  if (csv.includes("HYPERLINK") && !formulas.length) ok("hostile: no cell of an export is a formula"); else fail(`hostile: cells of the export begin as formulas: ${formulas.slice(0, 3)}`);
}
