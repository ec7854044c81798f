// Several images at once: each is a question of its own, or all are one question or films of one patient, as the reader says.

import { hashOf } from "./address.js";
import { dialog, h } from "./dom.js";
import { T } from "./texts.js";

export const SEPARATE = "separate";
export const TOGETHER = "together";
export const SERIES = "series";

/**
 * Ask what several files are. Resolves to that and to their order, films of one patient the earliest
 * first; to null if the dialog is closed.
 * @param {File[]} files @returns {Promise<{files: File[], what: string} | null>}
 */
export function askWhatTheyAre(files) {
  return new Promise((resolve) => {
    let order = [...files];
    let decided = /** @type {{files: File[], what: string} | null} */ (null);
    const list = h("ol", { class: "films" });
    const swap = (at) => () => {
      order = order.with(at, order[at - 1]).with(at - 1, order[at]);
      draw();
      list.querySelectorAll("button")[Math.max(0, at - 2)]?.focus();
    };
    const draw = () => list.replaceChildren(...order.map((file, at) => h("li", {},
      h("span", {}, file.name || T.ask.image(at + 1)), // shown here alone: a name may be a patient's, and is not sent
      at ? h("button", { class: "quiet", type: "button", onclick: swap(at) }, T.several.earlier) : null)));
    const choice = (value, checked) => h("label", { class: "check" },
      h("input", { type: "radio", name: "what", value, checked, onchange: () => { ordered.hidden = value !== SERIES; } }), T.several[value]);
    const ordered = h("div", { hidden: true }, h("p", { class: "faint" }, T.several.order), list);
    draw();
    const form = h("form", { method: "dialog", onsubmit: () => {
      const what = String(new FormData(form).get("what"));
      decided = { files: what === SERIES ? order : files, what };
    } }, choice(SEPARATE, true), choice(TOGETHER, false), choice(SERIES, false), ordered, h("div", { class: "buttons" }, h("button", { class: "main", type: "submit" }, T.several.ask)));
    const box = dialog("several", T.several.heading(files.length), form);
    box.addEventListener("close", () => resolve(decided));
  });
}

/** Links to the films of one patient, the earliest first. @param {import("./api.js").Schemas["SeriesOut"]} answer */
export function filmLinks(answer, question) {
  const link = (id, text) => h("a", { class: "button quiet", href: hashOf({ kind: "image", id, question }) }, text);
  return [
    ...answer.priors.map((prior, at) => ("query_id" in prior
      ? link(prior.query_id, T.several.prior(at + 1, prior.similarity))
      : h("span", { role: "status" }, T.ask.refused(T.several.film(at + 1), prior.detail)))),
    link(answer.query_id, T.several.latest),
  ];
}
