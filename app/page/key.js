// The API key: asked for where the service wants one, kept in this tab alone, forgotten when told.

import { dialog, h } from "./dom.js";
import { T } from "./texts.js";

const KEY = "xemplar-key";

export const keyIsKept = () => sessionStorage.getItem(KEY) !== null;

let asking = null; // the question on the screen
let answer = { given: false }; // what the reader last said of a key

/** Use a key from now on. Whoever shows what the reader may do hears of it. */
export function keep(secret) {
  sessionStorage.setItem(KEY, secret);
  answer = { given: true };
  dispatchEvent(new Event("key"));
}

/** Leave nothing of it, nor of what was fetched with it. */
export async function forget() {
  sessionStorage.removeItem(KEY);
  await fetch(new URL("page/forget", document.baseURI), { method: "POST" }).catch(() => {}); // the reload shows that nobody answers
  location.reload();
}

/** What a request carries. @returns {Record<string, string>} */
export function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** What a request notes as it is sent: it may be refused only after the reader was asked again. */
export const lastAnswer = () => answer;

/** Ask for a key, and say what is wrong with the one that was used; false if the reader will not give one. Several requests ask only once, also one that was sent `before` the last answer and is refused after it. */
export function askForKey(reason = "", before = answer) {
  if (answer !== before) return answer.given;
  asking ??= new Promise((resolve) => {
    const field = h("input", { type: "password", id: "key", autocomplete: "off", required: true, autofocus: true });
    const form = h("form", { method: "dialog" },
      h("p", {}, T.key.text), reason && h("p", { class: "warn" }, reason),
      h("label", { for: "key" }, T.key.label), field,
      h("button", { class: "main", type: "submit" }, T.key.send));
    let given = false;
    form.addEventListener("submit", () => {
      keep(field.value.trim());
      given = true;
    });
    dialog("ask-key", T.key.heading, form).addEventListener("close", () => {
      asking = null;
      if (!given) answer = { given };
      resolve(given);
    });
  });
  return asking;
}

/** Say whose key this tab uses, and let it be changed or forgotten. */
export function showKey({ key, role, sources, expires_at: end }) {
  const box = dialog("ask-key", T.key.heading,
    h("p", {}, T.key.mine(key, T.key.roles[role])), h("p", {}, T.key.may[role]),
    h("p", {}, `${T.key.sources(sources)} ${T.key.ends(end && T.admin.moment(end))}`),
    h("div", { class: "buttons" },
      h("button", { onclick: () => { box.close(); askForKey(); } }, T.key.other),
      h("button", { onclick: forget }, T.key.forget)));
}
