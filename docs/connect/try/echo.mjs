// What stands behind oauth2-proxy: it says which headers came.
import { createServer } from "node:http";
createServer((request, response) => response.end(JSON.stringify(request.headers))).listen(Number(process.argv[2]), "127.0.0.1");
