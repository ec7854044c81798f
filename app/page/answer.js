// Answer: the query at the left with what the network finds, the ranked cases at the right.

import { ask, go, hashOf } from "./address.js";
import { h } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { chips, filtersForm } from "./filters.js";
import { T } from "./texts.js";
import { Explanations, modeSwitch, overlayControls, showMode } from "./explanations.js";

const SIDE = { query: 640, card: 384 };
const SHOWN_DIGITS = 3;

/** @typedef {import("./api.js").Schemas["NeighbourOut"]} Near */
/** Answer with its maps, which the page always requests. @typedef {import("./api.js").Schemas["AnswerOut"] & {maps: import("./api.js").Schemas["MapsOut"]}} Answer */

/** Metadata of a case, in one line. @param {Pick<Near, "age" | "sex" | "view" | "source">} near */
export function about(near) {
  const age = near.age === null ? null : T.answer.years(near.age);
  return [near.sex, age, near.view, near.source].filter(Boolean).join(" · ");
}

/** Findings of a case, from its label file. @param {Pick<Near, "findings">} near */
export function findings(near) {
  const names = near.findings.length ? near.findings.map(T.finding) : [T.answer.unlabelled];
  return h("ul", { class: "tags" }, names.map((name) => h("li", {}, name)));
}

/**
 * Similarity of a case, with the chance of a shared finding if the index has one, and what that was measured on.
 * @param {Near} near
 * @param {Answer} answer
 */
export function score(near, { chance_measured_on: images }) {
  return h("div", { class: "score" },
    h("strong", { class: "number" }, near.similarity.toFixed(SHOWN_DIGITS)), h("span", {}, T.answer.similarity),
    near.chance === null ? null : h("span", { class: "chance", title: images && T.answer.measuredOn(images) }, T.answer.chance(near.chance)));
}

/**
 * @param {Near} near
 * @param {Answer} answer
 */
function card(near, answer, open) {
  const { fit } = answer.maps;
  const radiograph = new Radiograph("", fit);
  radiograph.show(near.image_url, SIDE.card);
  const note = h("p", { class: "note" });
  const thumbnail = h("button", {
    class: "thumbnail", "aria-label": T.answer.compare(near.rank), "data-focus": `thumbnail-${near.case_id}`,
    onclick: () => open(near),
  }, radiograph.element, h("span", { class: "rank number", "aria-hidden": "true" }, near.rank));
  const more = h("button", {
    class: "quiet", "data-focus": `more-${near.case_id}`,
    onclick: () => go({ kind: "case", id: near.case_id, look: null }),
  }, T.answer.moreLike);
  const element = h("li", { class: "card" }, thumbnail, note, score(near, answer), findings(near),
    h("div", { class: "below" }, h("span", { class: "faint" }, about(near)), more));
  return { near, radiograph, note, element };
}

/** Note that the image sent is already archived; omitted for indexed cases. @param {Answer} answer */
export function archived(answer, kind) {
  return answer.archived_as && kind !== "case" ? h("p", { class: "archived" }, T.answer.archived(answer.archived_as)) : null;
}

/** @param {import("./api.js").Schemas["PredictionOut"]} prediction */
function finding(prediction, explained) {
  const { finding: name, probability, base_rate: rate, lift, threshold, called, standing } = prediction;
  const mark = threshold === null ? null : h("i", {});
  mark?.style.setProperty("--at", String(threshold));
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, mark);
  bar.style.setProperty("--share", probability);
  const about = [called === null ? T.answer.never : called ? T.answer.called : T.answer.below(threshold), rate === null ? null : T.answer.usual(rate)];
  return h("li", {}, h("button", {
    class: `finding ${standing}`, "aria-pressed": String(name === explained),
    "data-focus": `finding-${name}`, title: about.filter(Boolean).join("; "),
    onclick: () => ask("finding", name),
  }, h("span", { class: "name" }, T.finding(name)), bar, h("span", { class: "number" }, T.percent(probability)),
  lift === null ? null : h("span", { class: "lift" }, T.answer.lift(lift))));
}

/** One answer on the screen. */
export class AnswerView {
  /** `keep` has the actions save, print and share. @param {Answer} answer */
  constructor(answer, place, keep) {
    this.answer = answer;
    this.at = new Date();
    this.keep = keep;
    const { fit } = answer.maps;
    this.query = new Radiograph(T.explanations.radiographLabel, fit);
    this.query.element.setAttribute("role", "group");
    this.query.element.setAttribute("aria-label", T.explanations.radiographLabel);
    this.query.image.alt = T.answer.sent;
    this.query.show(answer.image_url, SIDE.query);
    const open = (near) => go({ look: near.case_id });
    this.neighbours = answer.neighbours.map((near) => card(near, answer, open));
    this.counter = answer.counter_examples.map((near) => card(near, answer, open));
    this.caption = h("p", { class: "caption" });
    const cards = [...this.neighbours, ...this.counter];
    this.explanations = new Explanations(answer, this.query, cards, this.caption);
    for (const one of cards) {
      one.element.addEventListener("pointerenter", () => this.explanations.choose(one));
      one.element.addEventListener("focusin", () => this.explanations.choose(one));
    }
    this.tools = h("div", { class: "tools" });
    this.element = h("div", { class: "answer" }, this.#left(place), this.#right(place));
    this.controls = overlayControls(this.element, () => this.explanations.repaint());
  }

  /** Show the mode that the address names. */
  update({ show }) {
    this.tools.replaceChildren(modeSwitch(show, showMode), ...show === "image" ? [] : this.controls);
    return this.explanations.show(show);
  }

  #left({ kind, id }) {
    const { answer } = this;
    const heading = kind === "case" ? T.answer.case(id) : T.answer.sent;
    const warnings = answer.warnings.length
      ? h("section", { class: "warnings" }, h("h3", {}, T.answer.warnings), h("ul", {}, answer.warnings.map((text) => h("li", {}, text))))
      : null;
    const milliseconds = Object.values(answer.timings_ms).reduce((sum, ms) => sum + ms, 0);
    return h("section", { class: "query", "aria-label": T.answer.query },
      h("h2", {}, heading),
      h("div", {}, this.query.element, this.caption, archived(answer, kind), warnings),
      h("div", {},
        h("h3", {}, T.answer.findings), h("p", { class: "faint" }, T.answer.findingsHint, " ", answer.calibrated_on ? T.answer.calibratedOn(answer.calibrated_on) : ""),
        h("ul", { class: "findings" }, answer.predictions.map((one) => finding(one, answer.explained_finding))),
        h("p", { class: "faint" }, T.answer.time(milliseconds))));
  }

  #right(place) {
    const { answer } = this;
    return h("section", { class: "cases", "aria-label": T.main },
      h("div", { class: "bar-top" },
        h("h2", {}, T.answer.neighbours, " ", h("small", {}, T.answer.matched(answer.matched))),
        this.neighbours.length ? h("a", { class: "button", href: hashOf({ ...place, rate: true, show: null, look: null }) }, T.rate.open) : null,
        h("button", { "data-focus": "save", onclick: this.keep.save }, T.record.save),
        h("button", { "data-focus": "print", onclick: this.keep.print }, T.record.print),
        place.kind === "image" ? h("button", { "data-focus": "share", title: T.answer.shareText, onclick: this.keep.share }, T.answer.share) : null,
        this.tools),
      answer.chance_measured_on ? h("p", { class: "faint" }, T.record.legendChance, " ", T.answer.measuredOn(answer.chance_measured_on)) : null,
      filtersForm(place), chips(place),
      this.neighbours.length ? h("ol", { class: "cards" }, this.neighbours.map((one) => one.element))
        : h("p", { class: "empty" }, T.answer.nothing),
      this.counter.length ? [
        h("h2", {}, T.answer.counter(T.finding(answer.explained_finding))),
        h("ol", { class: "cards" }, this.counter.map((one) => one.element))] : null,
      this.explanations.legend);
  }
}
