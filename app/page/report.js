// Report of a case, folded, with the words of the search marked; its text never becomes HTML.

import { h } from "./dom.js";
import { T } from "./texts.js";

/** A similar case, or one found by words alone. @typedef {import("./api.js").Schemas["NeighbourOut"] | import("./api.js").Schemas["WordsMatchOut"]} Near */
/** @typedef {import("./api.js").Schemas["ReportOut"]} Report */

/** One section, its marked words in `mark` elements. @param {Report} report @param {"findings" | "impression"} name */
function section(report, name) {
  const text = report[name];
  if (!text) return null;
  const pieces = [];
  let at = 0;
  for (const { start, end } of report.marks.filter((mark) => mark.section === name)) {
    pieces.push(text.slice(at, start), h("mark", {}, text.slice(start, end)));
    at = end;
  }
  return h("p", {}, h("strong", {}, `${T.reports[name]}: `), pieces, text.slice(at));
}

/** Report of a case, folded unless `open`, with its ranks by image and words; null if there is nothing to tell. @param {Near} near */
export function report(near, { open = false } = {}) {
  const { report: said, ranks, case_id: id } = near;
  const { ranks: byBoth, byWords } = T.reports;
  const places = ranks ? h("p", { class: "faint" }, "similarity" in near ? byBoth(ranks.by_image, ranks.by_words) : byWords(ranks.by_words)) : null;
  if (!said) return places;
  return h("details", { class: "report", open }, h("summary", { "data-focus": `report-${id}` }, T.reports.heading(said.marks.length)),
    places, section(said, "findings"), section(said, "impression"),
    said.labels_mined ? h("p", { class: "faint" }, T.reports.mined) : null);
}
