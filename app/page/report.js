// Report of a case, folded, with the words of the search marked; its text never becomes HTML.

import { h } from "./dom.js";
import { T } from "./texts.js";

/** @typedef {import("./api.js").Schemas["NeighbourOut"]} Near */
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

/** Report of a case, open if the search named words of it; null if the case has none. @param {Near} near */
export function report({ report: said, ranks, case_id: id }) {
  const places = ranks ? h("p", { class: "faint" }, T.reports.ranks(ranks.by_image, ranks.by_words)) : null;
  if (!said) return places;
  return h("details", { class: "report" }, h("summary", { "data-focus": `report-${id}` }, T.reports.heading(said.marks.length)),
    places, section(said, "findings"), section(said, "impression"),
    said.labels_mined ? h("p", { class: "faint" }, T.reports.mined) : null);
}
