// Creates an API key and shows its secret once, to be copied.

import { send } from "./api.js";
import { confirmed, dialog, h } from "./dom.js";
import { keep } from "./key.js";
import { T } from "./texts.js";

const A = T.admin;
const K = A.keys;

/** Ask for the owner and role of a key, create it, and show its secret. `me` is the caller. */
export async function createKey(me, act) {
  const first = me.key === null; // the first key ends open access, so it must be able to create others
  const name = h("input", { id: "key-name", required: true, autofocus: true, maxlength: 100, autocomplete: "off" });
  const roles = first ? ["admin"] : Object.keys(T.key.roles);
  const role = h("select", { id: "key-role" }, roles.map((one) => h("option", { value: one }, T.key.roles[one])));
  const sources = h("input", { id: "key-sources", autocomplete: "off", spellcheck: "false" });
  const ends = h("input", { id: "key-ends", type: "date" });
  const sourcesField = h("div", { class: "field" }, h("label", { for: "key-sources" }, K.whichSources), sources);
  const may = h("p", { class: "faint" });
  const tell = () => {
    may.textContent = T.key.may[role.value];
    sourcesField.hidden = role.value === "admin"; // sees all
  };
  role.addEventListener("change", tell);
  tell();
  const form = [
    first ? h("p", {}, K.first) : null,
    h("div", { class: "field" }, h("label", { for: "key-name" }, K.whose), name),
    h("div", { class: "field" }, h("label", { for: "key-role" }, K.role), role), may, sourcesField,
    h("div", { class: "field" }, h("label", { for: "key-ends" }, K.ends), ends),
  ];
  if (!await confirmed(K.create, form, K.create, A.cancel)) return;
  await act(async () => {
    const named = role.value === "admin" ? [] : sources.value.split(",").map((one) => one.trim()).filter(Boolean);
    const about = { sources: named.length ? named : null, expires_at: ends.value ? endOf(ends.value) : null };
    const key = await send("POST", "keys", { name: name.value, role: role.value, ...about });
    if (first) keep(key.secret);
    show(key);
  });
}

/** End of a day, such as 2030-01-31, in the reader's time zone. */
function endOf(day) {
  const end = new Date(`${day}T00:00`);
  end.setDate(end.getDate() + 1);
  return end.toISOString();
}

function show({ name, secret }) {
  const field = h("input", { id: "secret", readonly: true, value: secret, class: "id" });
  const copy = h("button", { class: "main", onclick: async () => {
    field.select();
    await (navigator.clipboard?.writeText(secret) ?? document.execCommand("copy")); // undefined without HTTPS
    copy.textContent = K.copied;
  } }, K.copy);
  dialog("new-key", K.new(name),
    h("p", {}, K.once), h("div", { class: "field" }, h("label", { for: "secret" }, K.secret), field), h("div", { class: "buttons" }, copy));
}
