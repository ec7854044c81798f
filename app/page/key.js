// The API key: requested when the service requires one, kept in this tab only.

import { dialog, h } from "./dom.js";
import { T } from "./texts.js";

const KEY = "xemplar-key";

export const keyIsKept = () => sessionStorage.getItem(KEY) !== null;

let asking = null; // the question on the screen
let answer = { given: false }; // the reader's last answer to the question for a key

/** Use a key from now on, and dispatch the event "key". */
export function keep(secret) {
  sessionStorage.setItem(KEY, secret);
  answer = { given: true };
  dispatchEvent(new Event("key"));
}

/** Forget the key, and everything fetched with it. */
export async function forget() {
  sessionStorage.removeItem(KEY);
  await fetch(new URL("page/forget", document.baseURI), { method: "POST" }).catch(() => {}); // if the service is down, the reload shows it
  location.reload();
}

/** Headers of a request. @returns {Record<string, string>} */
export function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** State to record before sending a request, as its refusal may arrive after the reader was asked again. */
export const lastAnswer = () => answer;

/** Ask for a key, with the reason; resolves to false if the reader declines. Concurrent requests ask only once, as does one sent `before` the last answer and refused after it. */
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

/** Show the key of this tab, with buttons to change or forget it. */
export function showKey({ key, role, sources, expires_at: end }) {
  const box = dialog("ask-key", T.key.heading,
    h("p", {}, T.key.mine(key, T.key.roles[role])), h("p", {}, T.key.may[role]),
    h("p", {}, `${T.key.sources(sources)} ${T.key.ends(end && T.admin.moment(end))}`),
    h("div", { class: "buttons" },
      h("button", { onclick: () => { box.close(); askForKey(); } }, T.key.other),
      h("button", { onclick: forget }, T.key.forget)));
}
