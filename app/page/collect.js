// Collect: puts a case or the current query into one of the reader's collections, with a note.

import { get, send } from "./api.js";
import { confirmed, h } from "./dom.js";
import { T } from "./texts.js";

const W = T.work;
const MOST = { name: 100, note: 2000 };

/** Field for a note, with what must not be in it. */
export function noteField(text = "") {
  const note = h("textarea", { id: "note", rows: 3, maxlength: MOST.note, "aria-describedby": "note-hint", value: text });
  return { note, field: h("div", { class: "field" }, h("label", { for: "note" }, W.note), note, h("p", { class: "faint", id: "note-hint" }, W.private)) };
}

/** Field for a collection's name. */
export function nameField(text = "") {
  const name = h("input", { id: "collection-name", required: true, maxlength: MOST.name, autocomplete: "off", value: text });
  return { name, field: h("div", { class: "field" }, h("label", { for: "collection-name" }, W.name), name) };
}

/**
 * Let the reader choose a collection, and put a case or query into it; resolves to a text that says so, null if the reader declines.
 * @param {"cases" | "queries"} kind
 * @param {string} id
 * @param {URLSearchParams} question under which it is looked at; its other queries are kept with it
 */
export async function collect(kind, id, question) {
  const { collections } = await get("collections");
  const which = h("select", { id: "collection" }, collections.map((one) => h("option", { value: one.collection_id }, one.name ?? W.unreadable)),
    h("option", { value: "" }, W.newOne));
  const { name, field } = nameField();
  const { note, field: noting } = noteField();
  const tell = () => {
    field.hidden = which.value !== "";
    name.disabled = field.hidden;
  };
  which.addEventListener("change", tell);
  tell();
  const fields = [h("div", { class: "field" }, h("label", { for: "collection" }, W.which), which), field, noting, kind === "queries" || question.has("with_query") ? h("p", { class: "faint" }, W.keeps) : null];
  if (!await confirmed(W.collect, fields, W.add, W.cancel)) return null;
  const made = which.value ? null : await send("POST", "collections", { name: name.value });
  const into = made ?? collections.find((one) => one.collection_id === which.value);
  await send("PUT", `collections/${into.collection_id}/${kind}/${id}`, { note: note.value, search: String(question) });
  const beside = question.getAll("with_query");
  if (beside.length) {
    const { content } = await get(`collections/${into.collection_id}`);
    const missing = beside.filter((one) => content.every((entry) => entry.id !== one)); // another note stays
    for (const one of missing) await send("PUT", `collections/${into.collection_id}/queries/${one}`, { note: T.several.belongs });
  }
  return W.added(into.name ?? W.unreadable);
}
