// Answer: the query at the left with what the network finds, the ranked cases at the right.

import { ask, go, hashOf } from "./address.js";
import { h } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { outcomes, prevalence, timeline } from "./story.js";
import { isOfSeveral, joinButton, joinByDrag, joinFiles, strip } from "./together.js";
import { marked, marks, regionChoice, steered } from "./steering.js";
import { chips, filtersForm } from "./filters.js";
import { report } from "./report.js";
import { T } from "./texts.js";
import { Explanations, modeSwitch, overlayControls, showMode } from "./explanations.js";

const SIDE = { query: 1024, card: 512 };
const UNRANKED = ["unlike", "not_frontal", "other_part"]; // doubts about what is shown: no cases unless they are asked for
const CONTRAST = 5; // counter-examples beside as many examples
const SHOWN_DIGITS = 3;

/** @typedef {import("./api.js").Schemas["NeighbourOut"]} Near */
/** Answer with its maps, which the page always requests. @typedef {import("./api.js").Schemas["AnswerOut"] & {maps: import("./api.js").Schemas["MapsOut"]}} Answer */

/** Metadata of a case, in one line. @param {Pick<Near, "age" | "sex" | "view" | "source">} near */
export function about(near) {
  const age = near.age === null ? null : T.answer.years(near.age);
  return [near.sex, age, near.view, near.source].filter(Boolean).join(" · ");
}

/** Findings of a case by its report or label file. @param {Pick<Near, "findings">} near */
export function findings(near) {
  const names = near.findings.length ? near.findings.map(T.finding) : [T.answer.unlabelled];
  return h("ul", { class: "tags", "aria-label": T.answer.report }, h("li", { class: "whose" }, T.answer.report), names.map((name) => h("li", {}, name)));
}

/** What the network reads in an image, with numbers: it looks unlike what a report says. @param {string[]} texts */
function readings(texts) {
  const shown = texts.length ? texts : [T.answer.nothingCalled];
  return h("ul", { class: "tags readings", "aria-label": T.answer.network }, h("li", { class: "whose" }, T.answer.network), shown.map((text) => h("li", {}, text)));
}

/** The network's reading of a case: the explained finding. @param {Near} near @param {Answer} answer */
export function reading(near, { explained_finding, predictions }) {
  const rate = predictions.find((one) => one.finding === explained_finding)?.base_rate;
  return readings([T.answer.reading(T.finding(explained_finding), near.probability, rate ? near.probability / rate : null)]);
}

/** The network's readings of the query: what it calls. @param {Pick<Answer, "predictions">} answer */
export const called = ({ predictions }) =>
  readings(predictions.filter((one) => one.standing === "called").map((one) => T.answer.reading(T.finding(one.finding), one.probability, one.lift)));

/**
 * Similarity of a case, where it lies among all cases, with the chance of a shared finding if the index has one, and what that was measured on.
 * @param {Near} near
 * @param {Answer} answer
 */
export function score(near, { chance_measured_on: images }) {
  return h("div", { class: "score" },
    h("strong", { class: "number" }, near.similarity.toFixed(SHOWN_DIGITS)), h("span", {}, T.answer.similarity),
    h("span", {}, T.answer.closer(near.closer_than)),
    near.chance === null ? null : h("span", { class: "chance", title: images && T.answer.measuredOn(images) }, T.answer.chance(near.chance)));
}

/**
 * @param {Near} near
 * @param {Answer} answer
 */
function card(near, answer, place, open, keep) {
  const { fit } = answer.maps;
  const radiograph = new Radiograph("", fit);
  radiograph.show(near.image_url, SIDE.card);
  const note = h("p", { class: "note" });
  const same = answer.archived_as === near.case_id ? h("p", { class: "same" }, T.answer.same) : null;
  const thumbnail = h("button", {
    class: "thumbnail", "aria-label": T.answer.compare(near.rank), "data-focus": `thumbnail-${near.case_id}`,
  }, radiograph.element, h("span", { class: "rank number", "aria-hidden": "true" }, near.rank));
  const more = h("button", {
    class: "quiet", "data-focus": `more-${near.case_id}`, "aria-label": T.answer.moreLikeCase(near.rank),
    onclick: () => go({ kind: "case", id: near.case_id, look: null }),
  }, T.answer.moreLike);
  const collect = h("button", {
    class: "quiet", "data-focus": `collect-${near.case_id}`, "aria-label": T.work.collectCase(near.rank),
    onclick: () => keep.collect("cases", near.case_id, new URLSearchParams()),
  }, T.work.collectShort);
  const element = h("li", { class: "card" }, thumbnail, note, same, score(near, answer), steered(near), outcomes(near), findings(near), reading(near, answer),
    report(near), h("div", { class: "on-card" }, marks(near, place), joinButton(near, place), collect), h("div", { class: "below" }, h("span", { class: "faint" }, about(near)), more),
    near.more_of_patient.length ? timeline(near.case_id, T.answer.more(near.more_of_patient.length)) : null);
  joinByDrag(near, place, element, thumbnail, () => open(near));
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
  /** `keep` has the actions save, print, share, collect, mend and join. @param {Answer} answer */
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
    this.query.element.addEventListener("click", () => { // with similarity it is pointed at instead
      if (this.explanations.mode !== "similarity" && this.neighbours.length) go({ look: this.neighbours[0].near.case_id });
    });
    const open = (near) => go({ look: near.case_id });
    this.neighbours = answer.neighbours.map((near) => card(near, answer, place, open, keep));
    this.counter = answer.counter_examples.map((near) => card(near, answer, place, open, keep));
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

  /** Doubts about the image, each with its remedy. */
  #warnings() {
    const { warnings, doubts } = this.answer;
    if (!warnings.length) return null;
    const remedies = doubts.filter((one) => one in T.gate.remedies);
    return h("section", { class: "warnings" }, h("h3", {}, T.answer.warnings), h("ul", {}, warnings.map((text) => h("li", {}, text))),
      h("div", { class: "buttons" }, remedies.map((one) => h("button", { onclick: () => this.keep.mend(one) }, T.gate.remedies[one]))));
  }

  #left(place) {
    const { kind, id, mended } = place;
    const { answer } = this;
    const heading = kind === "case" ? T.answer.case(id) : T.answer.sent;
    const milliseconds = Object.values(answer.timings_ms).reduce((sum, ms) => sum + ms, 0);
    return h("section", { class: "query", "aria-label": T.answer.query },
      h("h1", {}, heading), strip(answer, place),
      h("div", {}, this.#warnings(), this.query.element, this.caption,
        regionChoice(this.query, place),
        h("button", { class: "quiet", "data-focus": "mend", onclick: () => this.keep.mend(null) }, T.gate.change), joinFiles(this.keep.join),
        mended ? h("p", { class: "archived" }, T.gate.mended) : null, archived(answer, kind),
        kind === "case" ? timeline(id, T.story.films) : null),
      h("div", {},
        h("h3", {}, T.answer.findings), h("p", { class: "faint" }, T.answer.findingsHint),
        h("ul", { class: "findings" }, answer.predictions.map((one) => finding(one, answer.explained_finding))),
        h("p", { class: "faint" }, answer.calibrated_on ? T.answer.calibratedOn(answer.calibrated_on) : "", " ", T.answer.time(milliseconds))));
  }

  /** Button that shows two rows: the most similar cases with the explained finding, and without it. */
  #contrast({ question }) {
    const { explained_finding: finding } = this.answer;
    const on = question.has("counter_examples");
    const other = new URLSearchParams(question);
    if (on) {
      other.delete("counter_examples");
      other.delete("all_of", finding);
    } else {
      for (const [name, value] of [["finding", finding], ["counter_examples", String(CONTRAST)]]) other.set(name, value);
      other.append("all_of", finding);
    }
    return h("button", { "aria-pressed": String(on), "data-focus": "contrast", onclick: () => go({ question: other }) },
      T.answer.contrast(T.finding(finding)));
  }

  /** The cases, or where the image is doubtful a button that shows them. */
  #ranked(content) {
    if (!this.answer.doubts.some((one) => UNRANKED.includes(one))) return content;
    const gate = h("div", { class: "gate" }, h("p", {}, T.gate.unranked), h("button", { onclick: () => gate.replaceWith(...content) }, T.gate.anyway));
    return [gate];
  }

  #right(place) {
    const { answer } = this;
    const contrast = place.question.getAll("all_of").includes(answer.explained_finding) && this.counter.length;
    return h("section", { class: "cases", "aria-label": T.main },
      h("div", { class: "bar-top" },
        h("h2", {}, contrast ? T.answer.withFinding(T.finding(answer.explained_finding)) : T.answer.neighbours, " ", h("small", {}, T.answer.matched(answer.matched))),
        this.neighbours.length && !isOfSeveral(place.question) ? h("a", { class: "button", href: hashOf({ ...place, rate: true, show: null, look: null }) }, T.rate.open) : null,
        h("button", { "data-focus": "save", onclick: this.keep.save }, T.record.save),
        h("button", { "data-focus": "print", onclick: this.keep.print }, T.record.print),
        h("button", { "data-focus": "collect", onclick: () => this.keep.collect() }, T.work.collect),
        place.kind === "image" || place.question.has("with_query") ? h("button", { "data-focus": "share", title: T.answer.shareText, onclick: this.keep.share }, T.answer.share) : null,
        this.#contrast(place), this.tools),
      answer.chance_measured_on ? h("p", { class: "faint" }, T.record.legendChance, " ", T.answer.measuredOn(answer.chance_measured_on)) : null,
      filtersForm(place), chips(place), marked(place),
      this.#ranked([
        this.neighbours.length ? h("ol", { class: "cards" }, this.neighbours.map((one) => one.element))
          : h("p", { class: "empty" }, T.answer.nothing),
        prevalence(answer),
        ...this.counter.length ? [
          h("h2", {}, T.answer.counter(T.finding(answer.explained_finding))),
          h("ol", { class: "cards" }, this.counter.map((one) => one.element))] : []]),
      this.explanations.legend);
  }
}
