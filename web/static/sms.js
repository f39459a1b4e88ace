// The page that waits for a texted code. Where the browser can, it reads the code from the message that names this site (WebOTP) and
// sends it. While the message is on its way it asks how that went, and shows the page anew if it went wrong; not under the fingers of
// somebody who types.
const form = document.querySelector("form[data-status], form[data-factor=sms]");
const field = form?.querySelector("[name=code]");

async function read() {
  const stop = new AbortController();
  form.addEventListener("submit", () => stop.abort());
  const message = await navigator.credentials.get({ otp: { transport: ["sms"] }, signal: stop.signal });
  if (message?.code) {
    field.value = message.code;
    form.requestSubmit();
  }
}

async function watch() {
  for (let second = 0; second < 5; second++) {
    await new Promise((done) => setTimeout(done, 1000));
    const { state } = await (await fetch(form.dataset.status)).json();
    if (field.value || state === "sent") return;
    if (state === "failed" || state === "full") return location.replace(location.href); // reload() could post a form again
  }
}

if (field && "OTPCredential" in window) read().catch(() => {}); // the person types it
if (field && form.dataset.status) watch().catch(() => {}); // the page says that the code is on its way, and that is as much as we know
