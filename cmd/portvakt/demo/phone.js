// Makes the phone of the demo handier: codes that follow the time and messages that come without the page being loaded anew, and
// buttons that copy.
const codes = document.getElementById("codes");
const came = new WeakMap(); // the HTML that an item of a list came with
let ends;

function adopt(item) {
  came.set(item, item.outerHTML);
  for (const button of item.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  button.firstChild.data = "Copied";
  setTimeout(() => { button.firstChild.data = "Copy" }, 1500);
}

// merge makes a list like a fresh one, and leaves alone what stays: somebody may be reading it.
function merge(list, fresh) {
  const items = [...fresh.children];
  for (const [i, item] of items.entries()) {
    const here = [...list.children].slice(i).find((old) => came.get(old) === item.outerHTML);
    if (!here) adopt(item);
    if (!here || here !== list.children[i]) list.insertBefore(here ?? item, list.children[i] ?? null);
  }
  while (list.children.length > items.length) list.lastElementChild.remove();
}

async function refresh() {
  try {
    const page = new DOMParser().parseFromString(await (await fetch("/phone")).text(), "text/html");
    for (const list of ["#codes ul", "#messages ul"]) merge(document.querySelector(list), page.querySelector(list));
    ends = performance.now() + Number(page.getElementById("codes").dataset.left);
  } catch {
    // the demo has stopped, or starts again
  }
  setTimeout(refresh, Math.max(100, Math.min(1000, ends - performance.now())));
}

function tick() {
  const left = Math.max(0, Math.ceil((ends - performance.now()) / 1000));
  document.getElementById("left").textContent = left;
  document.getElementById("ring").setAttribute("stroke-dasharray", `${left} 30`);
}

for (const item of document.querySelectorAll(".phone li")) adopt(item);
ends = performance.now() + Number(codes.dataset.left);
setTimeout(refresh, 1000);
setInterval(tick, 250);
