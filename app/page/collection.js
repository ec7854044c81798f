// One collection: its cases and queries with the reader's notes; a colleague may read a shared one.

import { go, hashOf } from "./address.js";
import { about, findings } from "./answer.js";
import { get, send } from "./api.js";
import { nameField, noteField } from "./collect.js";
import { confirmed, h, say } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

const W = T.work;
const SIDE = 512;
const KINDS = { case: { path: "cases", place: "case" }, query: { path: "queries", place: "image" } };

/** @typedef {import("./api.js").Schemas["CollectionDetailOut"]} Collection */
/** @typedef {import("./api.js").Schemas["EntryOut"]} Entry */

/** Build the view; `fail(error, again)` shows an error. @param {{id: string}} place */
export function collectionView({ id }, fail) {
  const path = `collections/${id}`;
  const view = h("div", { class: "work" });
  const attempt = async (doing, done = "") => {
    try {
      if (await doing() === false) return;
      draw(await get(path));
      say(done);
    } catch (error) {
      fail(error, () => attempt(doing, done));
    }
  };
  /** @param {Collection} found */
  const draw = (found) => {
    view.replaceChildren(
      h("p", {}, h("a", { href: hashOf({ kind: "work" }) }, W.heading)),
      h("h1", {}, found.name ?? W.unreadable),
      found.note ? h("p", { class: "said" }, found.note) : "",
      found.mine ? tools(found) : h("p", { class: "faint" }, W.colleague),
      found.content.length ? h("ol", { class: "cards" }, found.content.map((one) => entry(one, found.mine))) : h("p", { class: "empty" }, W.empty),
      found.entries > found.content.length ? h("p", { class: "faint" }, W.hidden(found.entries - found.content.length)) : "");
  };
  /** @param {Collection} found */
  const tools = (found) => {
    const edit = async () => {
      const [{ name, field }, { note, field: noting }] = [nameField(found.name ?? ""), noteField(found.note)];
      if (!await confirmed(W.edit, [field, noting], W.save, W.cancel)) return;
      await attempt(() => send("PATCH", path, { name: name.value, note: note.value }));
    };
    const share = () => attempt(() => send("PATCH", path, { shared: !found.shared }), found.shared ? W.notShared : W.nowShared);
    const remove = async () => {
      if (!await confirmed(W.removeConfirm(found.name ?? W.unreadable), [h("p", {}, W.removeEffect)], W.remove, W.cancel)) return;
      await attempt(async () => {
        await send("DELETE", path);
        say(W.removed);
        go({ kind: "work", id: "", question: "" });
        return false;
      });
    };
    return h("div", {},
      h("div", { class: "buttons" },
        h("button", { onclick: edit }, W.edit),
        h("button", { "aria-pressed": String(found.shared), title: W.shareText, onclick: share }, found.shared ? W.unshare : W.share),
        h("button", { onclick: remove }, W.remove)),
      found.shared ? h("p", { class: "faint" }, `${W.nowShared} ${W.shareText}`) : null);
  };
  /** @param {Entry} one */
  const entry = (one, mine) => {
    const { path: kind, place } = KINDS[one.kind];
    const what = one.kind === "case" ? W.ofCase(one.id) : W.query(W.moment(one.added_at));
    const radiograph = new Radiograph("");
    radiograph.show(one.image_url, SIDE);
    const note = async () => {
      const { note: text, field } = noteField(one.note);
      if (!await confirmed(W.editNote(what), [field], W.save, W.cancel)) return;
      await attempt(() => send("PUT", `${path}/${kind}/${one.id}`, { note: text.value, search: one.search }));
    };
    const takeOut = () => attempt(() => send("DELETE", `${path}/entries/${one.id}`));
    return h("li", { class: "card" },
      h("a", { href: hashOf({ kind: place, id: one.id, question: one.search }), "aria-label": W.open(what) }, radiograph.element),
      h("div", {}, what, one.search ? h("span", { class: "faint" }, ` ${W.conditions}`) : null),
      one.case ? [findings(one.case), h("span", { class: "faint" }, about(one.case))] : null,
      one.note ? h("p", { class: "said" }, one.note) : null,
      one.kept_until ? h("span", { class: "faint" }, W.kept(W.day(one.kept_until))) : null,
      mine ? h("div", { class: "below" },
        h("button", { class: "quiet", "aria-label": W.editNote(what), onclick: note }, W.note),
        h("button", { class: "quiet", "aria-label": W.takeOutLabel(what), onclick: takeOut }, W.takeOut)) : null);
  };
  attempt(async () => {});
  return view;
}
