// What became of a case: its verified outcomes, its patient's other films in order, and what similar cases turned out to be.

import { hashOf } from "./address.js";
import { get } from "./api.js";
import { h } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

const SIDE = 128;

/** @typedef {import("./api.js").Schemas["CaseOut"]} Case */
/** @typedef {import("./api.js").Schemas["FilmOut"]} Film */
/** @typedef {import("./api.js").Schemas["ShareOut"]} Share */

/** Verified outcomes of a case, each with its proof; null without any. @param {Pick<Case, "outcomes">} near */
export function outcomes({ outcomes: verified }) {
  if (!verified.length) return null;
  return h("ul", { class: "tags outcomes", "aria-label": T.story.proven }, h("li", { class: "whose" }, T.story.proven),
    verified.map((one) => h("li", {}, h("strong", {}, one.diagnosis), ` ${T.story.proof(one)}`)));
}

/** All films of a case's patient in order, loaded when they are unfolded. @param {string} caseId */
export function timeline(caseId, summary) {
  const content = h("div", { role: "status" });
  let asked = false;
  const show = async () => {
    if (asked) return;
    asked = true;
    try {
      const { films, order, left_out: left } = await get(`cases/${caseId}/timeline`);
      content.replaceChildren(
        h("ol", { class: "others" }, films.map((one) => film(one, caseId))),
        order === "partial" && films.length > 1 ? h("p", { class: "faint" }, T.story.partial) : "",
        left ? h("p", { class: "faint" }, T.story.left(left)) : "");
    } catch (error) {
      asked = false; // unfolding again asks again
      content.textContent = error.message;
    }
  };
  return h("details", { class: "timeline", ontoggle: show }, h("summary", { "data-focus": `timeline-${caseId}` }, summary), content);
}

/** @param {Film} one */
function film(one, current) {
  const radiograph = new Radiograph("");
  radiograph.show(one.image_url, SIDE);
  const id = one.case_id;
  const picture = id === current ? h("span", { class: "current" }, radiograph.element)
    : h("a", { href: hashOf({ kind: "case", id }), "aria-label": T.ask.open(id) }, radiograph.element);
  return h("li", { "aria-current": id === current ? "true" : null }, picture, h("span", { class: "when" }, T.story.when(one)),
    h("span", {}, one.findings.map(T.finding).join(", ") || T.answer.unlabelled),
    h("span", { class: "faint" }, one.called.length ? T.story.called(one.called.map(T.finding)) : ""),
    one.outcomes.map((outcome) => h("strong", {}, outcome.diagnosis)));
}

/** Findings and outcomes among the cases shown, beside all that match. @param {Pick<import("./answer.js").Answer, "prevalence" | "matched">} answer */
export function prevalence({ prevalence: found, matched }) {
  if (!found?.cases) return null;
  const shares = (name, list, none) => h("tbody", {}, h("tr", { class: "group" }, h("th", { scope: "rowgroup", colspan: 4 }, list.length ? name : none)), list.map(share));
  return h("section", { class: "prevalence", "aria-label": T.story.heading(found.cases) },
    h("h2", {}, T.story.heading(found.cases)),
    h("p", { class: "faint" }, T.story.counts),
    h("table", {}, h("thead", {}, h("tr", {}, [T.story.name, T.story.similar, T.story.interval, T.story.archive(matched)].map((text) => h("th", { scope: "col" }, text)))),
      shares(T.story.outcomes, found.outcomes, T.story.noOutcomes), shares(T.story.findings, found.findings, T.story.noFindings)));
}

/** @param {Share} one */
function share({ name, count, known, low, high, archive_count: all, archive_known: told }) {
  const usual = told ? all / told : null;
  const mark = usual === null ? null : h("i", {});
  mark?.style.setProperty("--at", String(usual));
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("span", {}), mark);
  for (const [property, value] of [["--low", low], ["--high", high]]) bar.style.setProperty(property, String(value));
  return h("tr", {}, h("th", { scope: "row" }, T.finding(name)), h("td", { class: "number" }, T.story.share(count, known)),
    h("td", {}, bar, T.story.range(low, high)), h("td", { class: "number" }, usual === null ? "" : T.percent(usual)));
}
