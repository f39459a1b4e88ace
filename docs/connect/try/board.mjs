// Serves the application of single-page.md, walks through it with Chromium, and says what was seen.
// node board.mjs FOLDER PORT ISSUER PASSWORD CHROMIUM ENDPOINT; FOLDER has app.js and node_modules, and ENDPOINT is one that it asks, too.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const [folder, port, issuer, password, chromium, endpoint] = process.argv.slice(2);
const here = "http://127.0.0.1:" + port;
const puppeteer = createRequire(folder + "/")("puppeteer-core");
const files = { "/app.js": "app.js", "/oidc.js": "node_modules/oidc-client-ts/dist/esm/oidc-client-ts.js", "/jwt-decode.js": "node_modules/jwt-decode/build/esm/index.js" };
const page = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Board</title>
<script type="importmap">{"imports":{"oidc-client-ts":"/oidc.js","jwt-decode":"/jwt-decode.js"}}</script>
<script type="module">
import * as app from "/app.js";
window.app = app;
try { window.user = await app.signedIn(); document.title = user ? "in" : "out"; } catch (e) { document.title = String(e); }
</script>`;
createServer(async (request, response) => {
  const name = files[request.url];
  response.setHeader("Content-Type", name ? "text/javascript" : "text/html");
  response.end(name ? await readFile(folder + "/" + name) : page);
}).listen(Number(port), "127.0.0.1");

const browser = await puppeteer.launch({ executablePath: chromium, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
const tab = await browser.newPage();
const answers = [];
tab.on("response", (r) => r.request().method() === "POST" && r.url().startsWith(issuer) && !r.url().includes("/login/") && answers.push(new URL(r.url()).pathname + " " + r.status()));
const until = (title) => tab.waitForFunction((t) => document.title === t, { timeout: 15000 }, title).catch(async () => { throw new Error("the page says " + await tab.title() + ", not " + title); });
const say = (what) => { if (!what) throw new Error("not as it should be"); };
try {
  await tab.goto(here + "/");
  await until("out");
  await Promise.all([tab.waitForNavigation(), tab.evaluate(() => { window.app.signIn(); })]);
  await tab.waitForSelector("#username");
  await tab.type("#username", "anna");
  await tab.type("#password", password);
  await tab.click("form .button");
  await until("in");
  const user = await tab.evaluate(() => ({ name: user.profile.name, groups: user.profile.groups, type: user.token_type, refresh: user.refresh_token }));
  say(user.name === "Anna Ångström" && user.groups.includes("staff") && user.type === "DPoP");
  const renewed = await tab.evaluate(async () => { const u = await app.renew(); return { type: u.token_type, refresh: u.refresh_token }; });
  say(renewed.type === "DPoP" && renewed.refresh !== user.refresh);
  const info = await tab.evaluate(async (address) => { const r = await app.call(address); return r.status + " " + await r.text(); }, issuer + "/userinfo");
  say(info.startsWith("200 ") && info.includes("Anna"));
  await Promise.all([tab.waitForNavigation(), tab.evaluate(() => { window.app.signOut(); })]);
  await until("out");
  await tab.goto(issuer + "/account");
  say(await tab.$("#password"));
  say(["/token 400", "/token 200", endpoint + " 200"].every((a) => answers.includes(a)));
  console.log("signed in with DPoP, refreshed, called userinfo, signed out:", answers.join(", "));
} finally {
  await browser.close();
}
process.exit(0);
