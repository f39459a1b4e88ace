// Goes back to the application once every frame has loaded, or after two seconds. Without JavaScript the button does the same.
const frames = [...document.querySelectorAll("iframe")];
const loaded = frames.map((frame) => new Promise((done) => frame.addEventListener("load", done, { once: true })));
const patience = new Promise((done) => setTimeout(done, 2000));
await Promise.race([Promise.all(loaded), patience]);
const back = document.getElementById("back");
if (back instanceof HTMLAnchorElement) {
  location.replace(back.href);
}
