// Words: cases found by the words of their reports, without an image.

import { asked, go, hashOf } from "./address.js";
import { sendWords } from "./api.js";
import { about, findings } from "./answer.js";
import { h, say } from "./dom.js";
import { chips, filtersForm } from "./filters.js";
import { Radiograph } from "./radiograph.js";
import { report } from "./report.js";
import { outcomes, prevalence, timeline } from "./story.js";
import { T } from "./texts.js";

const SIDE = 512;

/** @typedef {import("./api.js").Schemas["WordsAnswerOut"]} WordsAnswer */

/** Box for words to search for; their answer is another view. @param {URLSearchParams} question */
export function wordsBox(question = new URLSearchParams(), label = T.words.orLabel) {
  const field = h("input", { type: "search", id: "words", required: true, maxlength: 500, placeholder: T.filters.phraseHint, value: question.get("text") ?? "" });
  const search = (event) => {
    event.preventDefault();
    const next = new URLSearchParams(question);
    next.set("text", field.value.trim());
    go({ kind: "words", id: "", rate: false, question: next, show: null, look: null });
  };
  return h("form", { class: "words", role: "search", onsubmit: search },
    h("label", { for: "words" }, label), field, h("button", { type: "submit" }, T.words.search));
}

/** Build the view; `fail` shows an error, `collect` puts a case into a collection. */
export function wordsView(place, fail, collect) {
  const found = h("div", { class: "found", "aria-busy": "true" });
  const load = async () => {
    try {
      const answer = await sendWords(new URLSearchParams([...asked(place.question), ["prevalence", "true"]]));
      found.replaceChildren(...ranked(answer, collect));
      say(T.words.cases(answer.words.cases));
    } catch (error) {
      fail(error, load);
    }
    found.removeAttribute("aria-busy");
  };
  const isAsked = place.question.has("text");
  if (isAsked) load();
  return h("section", { class: "cases by-words", "aria-label": T.words.heading },
    h("h1", {}, T.words.heading), wordsBox(place.question, T.words.label),
    isAsked ? [filtersForm(place), chips(place), found] : null);
}

/** @param {WordsAnswer} answer */
function ranked(answer, collect) {
  const { words, neighbours } = answer;
  return [
    h("h2", {}, T.words.cases(words.cases), " ", h("small", {}, T.answer.matched(answer.matched))),
    words.unknown.length ? h("p", { class: "faint" }, T.words.unknown(words.unknown)) : "",
    neighbours.length ? h("ol", { class: "cards" }, neighbours.map((near) => card(near, collect))) : h("p", { class: "empty" }, T.words.nothing),
    prevalence(answer) ?? "",
  ];
}

/** @param {import("./api.js").Schemas["WordsMatchOut"]} near */
function card(near, collect) {
  const radiograph = new Radiograph("");
  radiograph.show(near.image_url, SIDE);
  const like = hashOf({ kind: "case", id: near.case_id });
  return h("li", { class: "card" },
    h("a", { class: "thumbnail", href: like, "aria-label": T.ask.open(near.case_id) }, radiograph.element, h("span", { class: "rank number", "aria-hidden": "true" }, near.rank)),
    outcomes(near), findings(near), report(near),
    h("div", { class: "on-card" }, h("button", {
      class: "quiet", "data-focus": `collect-${near.case_id}`, "aria-label": T.work.collectCase(near.rank),
      onclick: () => collect("cases", near.case_id, new URLSearchParams()),
    }, T.work.collectShort)),
    h("div", { class: "below" }, h("span", { class: "faint" }, about(near)),
      h("a", { class: "button quiet", href: like, "aria-label": T.answer.moreLikeCase(near.rank) }, T.answer.moreLike)),
    near.more_of_patient.length ? timeline(near.case_id, T.answer.more(near.more_of_patient.length)) : null);
}
