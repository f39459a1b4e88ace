// Says how good a new password is while it is typed: how much is missing, whether it leans on words that anybody can guess, whether it is
// a plain pattern. It is for fields with data-min, data-classes and data-words (JSON); the bar and the sentences are in the element
// .strength beside the field. Nothing is sent anywhere, and nothing is decided here: the form can be sent all the same.
const least = 8; // characters that must be left without the words
const rows = ("abcdefghijklmnopqrstuvwxyzåäö 01234567890 qwertyuiopå asdfghjklöä zxcvbnm qwertzuiopü yxcvbnm azertyuiop qsdfghjklm wxcvbn " +
  "!@#$%^&*() !\"#¤%&/()= 1qaz 2wsx 3edc 4rfv 5tgb 6yhn 7ujm 8ik 9ol 0p").split(" ");
const around = rows.flatMap((row) => [row, [...row].reverse().join("")]);

const fold = (text) => text.normalize("NFC").toUpperCase().toLowerCase();

// The words of the field, and what stands in the same form: on the page of the first administrator they are only just typed.
function words(field) {
  const typed = ["username", "name", "email"].map((name) => field.form?.elements[name]?.value ?? "");
  const parts = typed.flatMap((text) => fold(text).split(/[^\p{L}\p{N}\p{M}]+/u)).filter((word) => [...word].length > 3);
  return JSON.parse(field.dataset.words).concat(parts);
}

// How many characters stand in none of the words.
function left(password, words) {
  const taken = new Set();
  for (const word of words) {
    for (let at = password.indexOf(word); at >= 0; at = password.indexOf(word, at + 1)) {
      for (let i = 0; i < word.length; i++) taken.add(at + i);
    }
  }
  let at = 0;
  let n = 0;
  for (const character of password) {
    if (!taken.has(at)) n++;
    at += character.length;
  }
  return n;
}

// One short block again and again, or nothing but runs of three or more.
function plain(p) {
  for (let block = 1; block <= Math.min(7, p.length / 2); block++) {
    if (p.every((c, i) => i < block || c === p[i - block])) return true;
  }
  const run = (part) => part.every((c) => c === part[0]) || around.some((row) => row.includes(part.join("")));
  const ends = [true];
  for (let to = 3; to <= p.length; to++) {
    ends[to] = [3, 4, 5].some((n) => ends[to - n] && run(p.slice(to - n, to)));
  }
  return Boolean(ends[p.length]);
}

const kinds = (password) => [/\p{Ll}/u, /[\p{Lu}\p{Lt}]/u, /\p{Nd}/u, /[^\p{Ll}\p{Lu}\p{Lt}\p{Nd}]/u].filter((kind) => kind.test(password)).length;

// How far it has come, in percent, and what to say of it.
function judge(field, say) {
  const password = field.value.normalize("NFC");
  const length = [...password].length;
  const missing = field.dataset.min - length;
  if (missing > 0) return [60 * length / field.dataset.min, missing === 1 ? say.last : say.missing.replace("{n}", missing)];
  if (left(fold(password), words(field)) < least) return [60, say.context];
  if (plain([...fold(password)])) return [60, say.pattern];
  if (kinds(password) < field.dataset.classes) return [80, say.kinds];
  return [100, say.good];
}

for (const field of document.querySelectorAll("input[data-min]")) {
  const box = field.parentElement.querySelector(".strength");
  const sentence = box.querySelector("[role=status]");
  let waiting;
  field.form.addEventListener("input", () => {
    clearTimeout(waiting);
    box.hidden = field.value === "";
    const [percent, text] = judge(field, box.dataset);
    box.querySelector("meter").value = percent;
    waiting = setTimeout(() => { sentence.textContent = text; }, sentence.textContent ? 500 : 50); // read aloud, so not at every key
  });
}
