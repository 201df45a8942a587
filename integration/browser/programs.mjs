// The programs that the tests look at: the demo, a serve of its own beside it, and
// commands of the binary.
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const binary = process.env.HANDPRINT ?? "bin/handprint";
const wait = (ms) => new Promise((r) => setTimeout(r, ms));

// run runs a command to its end and returns what it printed.
export function run(args, input = "") {
  return new Promise((done, failed) => {
    const p = spawn(binary, args, { stdio: ["pipe", "pipe", "pipe"] });
    let out = "", err = "";
    p.stdout.on("data", (c) => (out += c)); p.stderr.on("data", (c) => (err += c));
    p.stdin.on("error", () => {});
    p.stdin.end(input);
    p.on("exit", (code) => (code ? failed(new Error(`handprint ${args.join(" ")}: ${code}: ${err}`)) : done(out)));
  });
}

// demo starts the demo and returns its link and its broker.
export async function demo() {
  const process = spawn(binary, ["demo", "--web-listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((found, gone) => {
    let text = "";
    const look = (chunk) => {
      text += chunk;
      const link = text.match(/https?:\/\/127\.0\.0\.1:\d+\S*#t=\S+/), broker = text.match(/broker\s+.* at (\S+)/);
      if (link && broker && /transitions|rows/.test(text)) found({ process, link: link[0], broker: broker[1] });
    };
    process.stdout.on("data", look); process.stderr.on("data", look);
    process.on("exit", (code) => gone(new Error(`the demo ended with ${code}: ${text}`)));
    setTimeout(() => gone(new Error("the demo printed no link: " + text.slice(0, 2000))), 180000).unref();
  });
}

const freePort = () => new Promise((found) => { const s = createServer(); s.listen(0, "127.0.0.1", () => { const { port } = s.address(); s.close(() => found(port)); }); });

// Serve is a read side of its own, which tests may stop and start again: its folder,
// its tokens and the key of its sessions stay.
export class Serve {
  constructor(broker) { this.broker = broker; this.folder = mkdtempSync(join(tmpdir(), "handprint-browser-")); }
  async start() {
    this.port ??= await freePort();
    const tokens = join(this.folder, "tokens.json");
    this.token ??= (await run(["token", "add", "browser", "--role", "operate", "--token-file", tokens])).match(/hp_\S+/)[0];
    this.process = spawn(binary, ["serve", "--brokers", this.broker, "--web-listen", `127.0.0.1:${this.port}`, "--serve-dir", join(this.folder, "serve"), "--token-file", tokens,
      "--web-session-key", join(this.folder, "key"), "--log-level", "warn"], { stdio: ["ignore", "inherit", "inherit"] });
    this.origin = `http://127.0.0.1:${this.port}`;
    for (let i = 0; i < 600; i++) {
      const answer = await fetch(this.origin + "/api/v1/overview", { headers: { Authorization: "Bearer " + this.token } }).catch(() => null);
      if (answer?.ok) return this;
      await wait(200);
    }
    throw new Error("serve does not answer");
  }
  kill(signal = "SIGKILL") { return new Promise((gone) => { this.process.once("exit", gone); this.process.kill(signal); }); }
}

// observe sends observations: of each {attacker, primitive, value}, in order.
export function observe(broker, list) {
  const lines = list.map((o, i) => JSON.stringify({
    id: `browser-${Date.now()}-${i}`, attacker_uuid: o.attacker, primitive: o.primitive, value: o.value, confidence: 0.9, source: o.source ?? "browser-test",
    evidence_ref: o.evidence ?? `browser:${i}`, envelope_v: 1, ts: o.ts ?? Date.now() / 1000 - 300 + i / 100,
  }));
  return run(["ingest", "behave", "--brokers", broker, "-"], lines.join("\n") + "\n");
}

// rows are the rows of the state topic, as `handprint rows` prints them.
export async function rows(broker) {
  return (await run(["rows", "--brokers", broker, "-o", "json"])).trim().split("\n").map((l) => JSON.parse(l));
}
