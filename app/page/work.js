// My work: the reader's collections, and the queries that the service remembers.

import { hashOf } from "./address.js";
import { get, send } from "./api.js";
import { nameField, noteField } from "./collect.js";
import { confirmed, h, say } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

const W = T.work;
const SIDE = 256;

/** Build the view; `fail(error, again)` shows an error. */
export function workView(fail) {
  const collections = h("ul", { class: "collections" });
  const queries = h("ol", { class: "gallery" });
  const attempt = async (doing) => {
    try {
      await doing();
      await show();
    } catch (error) {
      fail(error, () => attempt(doing));
    }
  };
  const show = async () => {
    const [mine, asked] = await Promise.all([get("collections"), get("queries")]);
    collections.replaceChildren(...(mine.collections.length ? mine.collections.map(collection) : [h("li", { class: "empty" }, W.none)]));
    queries.replaceChildren(...(asked.queries.length ? asked.queries.map((one) => query(one, attempt)) : [h("li", { class: "empty" }, W.noQueries)]));
  };
  const create = async () => {
    const [{ name, field }, { note, field: noting }] = [nameField(), noteField()];
    if (!await confirmed(W.create, [field, noting], W.create, W.cancel)) return;
    await attempt(() => send("POST", "collections", { name: name.value, note: note.value }));
  };
  attempt(async () => {});
  return h("div", { class: "work" },
    h("h1", {}, W.heading),
    h("section", { "aria-labelledby": "work-collections" },
      h("header", {}, h("h2", { id: "work-collections" }, W.collections), h("button", { onclick: create }, W.create)),
      h("p", { class: "faint" }, W.collectionsHint), collections),
    h("section", { "aria-labelledby": "work-queries" },
      h("header", {}, h("h2", { id: "work-queries" }, W.queries)),
      h("p", { class: "faint" }, W.queriesHint), queries));
}

/** @param {import("./api.js").Schemas["CollectionOut"]} one */
function collection(one) {
  return h("li", {}, h("a", { href: hashOf({ kind: "collection", id: one.collection_id }) }, one.name ?? W.unreadable), " ",
    h("span", { class: "faint" }, [W.entries(one.entries), one.shared ? W.shared : null, W.moment(one.changed_at)].filter(Boolean).join(" · ")),
    one.note ? h("p", { class: "said" }, one.note) : null);
}

/** @param {import("./api.js").Schemas["AskedQuery"]} one */
function query(one, attempt) {
  const when = W.moment(one.asked_at);
  const radiograph = new Radiograph("");
  if (one.image_url) radiograph.show(one.image_url, SIDE);
  else radiograph.miss(W.noImage);
  const place = one.case_id ? { kind: "case", id: one.case_id } : { kind: "image", id: one.query_id };
  const forget = () => attempt(async () => {
    await send("DELETE", `queries/${one.query_id}`);
    say(W.forgotten);
  });
  return h("li", {},
    h("a", { href: hashOf(place), "aria-label": W.open(W.query(when)) }, radiograph.element),
    h("div", {}, one.case_id ? W.ofCase(one.case_id) : W.query(when)),
    h("div", { class: "faint" }, one.kept_until ? W.until(W.moment(one.kept_until)) : W.inMemory),
    h("button", { class: "quiet", "aria-label": W.forgetLabel(when), onclick: forget }, W.forget));
}
