// Makes the phone of the demo handier: codes that follow the time without the page being loaded anew, and buttons that copy.
let ends;

function begin() {
  const codes = document.getElementById("codes");
  ends = performance.now() + Number(codes.dataset.left);
  for (const button of codes.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  await navigator.clipboard.writeText(button.previousElementSibling.textContent.replaceAll(/\s/g, ""));
  button.firstChild.data = "Copied";
  setTimeout(() => { button.firstChild.data = "Copy" }, 1500);
}

async function tick() {
  const left = Math.ceil((ends - performance.now()) / 1000);
  if (left > 0) {
    document.getElementById("left").textContent = left;
    document.getElementById("ring").setAttribute("stroke-dasharray", `${left} 30`);
    return;
  }
  ends = Infinity;
  try {
    const page = new DOMParser().parseFromString(await (await fetch("/phone")).text(), "text/html");
    document.getElementById("codes").replaceWith(page.getElementById("codes"));
    begin();
  } catch {
    ends = performance.now() + 2000; // the demo has stopped, or starts again
  }
}

begin();
setInterval(tick, 250);
