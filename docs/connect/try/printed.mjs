// A server around what /apps prints for Node: its three parts stand where the markers are.
import { createServer } from "node:http";
//part 0
let kept; // in place of a session: one person tries it
async function begin() {
  //part 1
  kept = { verifier, state, nonce };
  return address;
}
async function arrive(cameTo, { verifier, state, nonce }) {
  //part 2
  return tokens;
}
const here = process.argv[2];
createServer(async (request, response) => {
  try {
    if (request.url === "/") return response.writeHead(303, { Location: (await begin()).href }).end();
    const tokens = await arrive(here + request.url, kept);
    response.end(`at the desk: ${tokens.claims().name}, ${tokens.token_type}\n`);
  } catch (e) {
    response.writeHead(500).end(`${e.error ?? e.code}: ${e.error_description ?? e.message}\n`);
  }
}).listen(new URL(here).port, "127.0.0.1");
