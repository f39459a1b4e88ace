// Passkeys, on each page that has them: a form with data-passkey "get" or "create" and the options, as JSON, in data-options. What
// the browser answers goes into the field passkey, and the form is sent. data-start: "list" offers passkeys beside the user name,
// "now" asks at once. The sentences for people are in data attributes, in the page's language.
const form = document.querySelector("form[data-passkey]");
const button = form.querySelector("button");
let request; // the one that the browser has open; there can be no second
let stop;

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// The browser's own parseRequestOptionsFromJSON and toJSON are younger than some browsers that know passkeys.
function options() {
  const all = JSON.parse(form.dataset.options);
  const key = all.publicKey ?? all;
  key.challenge = bytes(key.challenge);
  if (key.user) key.user.id = bytes(key.user.id);
  for (const known of [...(key.allowCredentials ?? []), ...(key.excludeCredentials ?? [])]) known.id = bytes(known.id);
  return key;
}

function answer(key) {
  const response = {};
  for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (key.response[part]) response[part] = text(key.response[part]);
  }
  if (key.response.getTransports) response.transports = key.response.getTransports();
  return JSON.stringify({
    id: key.id, rawId: text(key.rawId), type: key.type, response,
    authenticatorAttachment: key.authenticatorAttachment ?? undefined, clientExtensionResults: key.getClientExtensionResults(),
  });
}

async function ask(mediation, tries = 8) {
  stop?.abort();
  await request?.catch(() => {});
  stop = new AbortController();
  const wanted = { publicKey: options(), signal: stop.signal };
  if (mediation) wanted.mediation = mediation;
  request = navigator.credentials[form.dataset.passkey](wanted);
  try {
    form.querySelector("[name=passkey]").value = answer(await request);
  } catch (error) {
    if (error.name !== "OperationError" || tries === 0 || wanted.signal.aborted) throw error;
    await new Promise((done) => setTimeout(done, 250)); // the page before this one may have its request open a little longer
    if (!wanted.signal.aborted) await ask(mediation, tries - 1);
    return;
  }
  HTMLFormElement.prototype.submit.call(form);
}

// What the person reads: that it was not finished, that this authenticator has one already, or that the browser cannot.
function tell(error) {
  if (error.name === "AbortError") return; // by us, for another request
  const cause = { NotAllowedError: "cancelled", InvalidStateError: "known" }[error.name] ?? "unable";
  const alert = form.querySelector(".alert:not(.note)");
  alert.setAttribute("role", "alert");
  alert.textContent = form.dataset[cause] ?? form.dataset.unable;
  alert.hidden = false;
}

async function list() {
  if (form.dataset.start !== "list") return;
  const before = request;
  const can = await PublicKeyCredential.isConditionalMediationAvailable?.();
  if (can && request === before) ask("conditional").catch(() => {}); // nobody waits for it
}

function press() {
  ask().catch((error) => { tell(error); list(); });
}

if (window.PublicKeyCredential) {
  form.hidden = button.hidden = false;
  button.addEventListener("click", press);
  form.addEventListener("submit", (event) => { event.preventDefault(); press(); }); // the Enter key in a field
  list();
  if (form.dataset.start === "now" && document.hasFocus()) press();
} else {
  tell(new Error("no passkeys")); // on the sign-in page the form stays hidden: there is a password
}
