// Filters: conditions on the cases, their number and diversity, and counter-examples.

import { ask, go } from "./address.js";
import { get } from "./api.js";
import { h } from "./dom.js";
import { T } from "./texts.js";

const FINDING_LISTS = ["any_of", "all_of", "none_of"];
const LISTS = [...FINDING_LISTS, "view", "source", "exclude", "exclude_patient_of", "like", "unlike", "with_case"];
const WITHOUT_CHIP = ["finding", "like", "unlike", "region", "with_case", "with_query"]; // chosen among the findings, the cases, and on the image

const OF_AN_IMAGE = ["counter_examples", "diversity", "min_similarity", "exact", "text"]; // with words alone they say nothing, or stand above the form

const YEARS = 10, OLDEST = 120;

let open = false;
let moreOpen = false;
let known = null; // findings that the service knows: those of its network and of its cases
let learning = null;

/** Findings from `GET /findings`, fetched once. */
export function vocabulary() {
  learning ??= get("findings").then(({ findings }) => { known = findings; return findings; });
  learning.catch(() => { learning = null; });
  return learning;
}

function field(name, input, question) {
  input.id = `filter-${name}`;
  input.dataset.focus = `filter-${name}`;
  if (input.type === "checkbox") input.checked = question.has(name);
  else input.value = LISTS.includes(name) ? question.getAll(name).join(", ") : question.get(name) ?? input.dataset.usual ?? "";
  return h("div", { class: "field" }, h("label", { for: input.id }, T.filters[name]), input);
}

function number(name, question, limits) {
  return field(name, h("input", {
    type: "number", "data-usual": limits.usual, min: limits.min, max: limits.max, step: limits.step ?? 1,
    onchange: ({ target }) => target.reportValidity() && ask(name, target.value === (limits.usual ?? "") ? null : target.value || null),
  }), question);
}

function words(name, question) {
  const change = ({ target }) => ask(name, target.value.split(",").map((word) => word.trim()).filter(Boolean));
  return field(name, h("input", { type: "text", title: T.filters.listHint, onchange: change }), question);
}

function phrase(name) {
  return h("input", { type: "search", maxlength: 500, placeholder: T.filters.phraseHint, onchange: ({ target }) => ask(name, target.value.trim() || null) });
}

function box(name, value, question) {
  return field(name, h("input", { type: "checkbox", onchange: ({ target }) => ask(name, target.checked ? value : null) }), question);
}

function day(name, question) {
  return field(name, h("input", { type: "date", onchange: ({ target }) => ask(name, target.value || null) }), question);
}

function sex(question) {
  return field("sex", h("select", { onchange: ({ target }) => ask("sex", target.value || null) },
    h("option", { value: "" }, T.filters.anySex), h("option", { value: "F" }, T.filters.F), h("option", { value: "M" }, T.filters.M)), question);
}

function choiceOf(name, question) {
  const change = ({ target }) => {
    const next = new URLSearchParams([...question].filter(([list, value]) => !(FINDING_LISTS.includes(list) && value === name)));
    if (target.value) next.append(target.value, name);
    go({ question: next });
  };
  const id = `filter-finding-${name}`;
  const chosen = FINDING_LISTS.find((list) => question.getAll(list).includes(name)) ?? "";
  const select = h("select", { id, "data-focus": id, onchange: change },
    Object.entries(T.filters.findingChoices).map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  return h("div", { class: "field" }, h("label", { for: id }, T.finding(name)), select);
}

/** A choice for each finding; filled synchronously once they are known, to keep the keyboard focus. */
function findingFields(question) {
  const fields = h("div", { class: "fields" });
  const fill = (found) => {
    const asked = FINDING_LISTS.flatMap((list) => question.getAll(list));
    const names = new Set([...found.map((one) => one.finding), ...asked]);
    fields.replaceChildren(...[...names].map((name) => choiceOf(name, question)));
  };
  if (known) fill(known);
  else vocabulary().then(fill, (error) => { fields.textContent = error.message; });
  return fields;
}

/** Fill in a button that asks for patients like that of a past case: age within ten years, same sex, same view. */
function fillAlike(button, id, question) {
  get(`cases/${id}`).then((/** @type {import("./api.js").Schemas["CaseOut"]} */ { age, sex: theirs, view }) => {
    const like = { age_min: age === null ? null : Math.max(0, age - YEARS), age_max: age === null ? null : Math.min(OLDEST, age + YEARS), sex: theirs, view };
    const known = Object.entries(like).filter(([, value]) => value !== null);
    button.hidden = !known.length;
    button.textContent = T.filters.alike(known.map(([name, value]) => T.filters.chips[name](value)).join(", "));
    button.onclick = () => {
      const next = new URLSearchParams(question);
      for (const [name, value] of known) next.set(name, String(value));
      go({ question: next });
    };
  }, () => {}); // the answer itself shows what is wrong
}

/** Form of the filters, the patient's and the findings first; every change leads to another address, and so to another answer. */
export function filtersForm({ question, kind, id }) {
  const more = h("details", { class: "more", open: moreOpen, ontoggle: ({ target }) => { moreOpen = target.open; } },
    h("summary", { "data-focus": "filters-more" }, T.filters.more),
    h("div", { class: "fields" },
      number("k", question, { usual: "5", min: 1, max: 100 }),
      number("counter_examples", question, { usual: "0", min: 0, max: 20 }),
      number("diversity", question, { usual: "0", min: 0, max: 1, step: 0.1 }),
      number("min_similarity", question, { min: -1, max: 1, step: "any" }),
      words("source", question), day("indexed_since", question), day("indexed_until", question),
      box("near_duplicates", "drop", question), box("one_per_patient", "false", question),
      box("exact", "true", question),
      kind === "case" ? box("same_patient", "true", question) : null));
  const alike = h("button", { type: "button", hidden: true, "data-focus": "filter-alike" });
  const toggled = ({ target }) => {
    open = target.open;
    if (open && kind === "case" && alike.hidden) fillAlike(alike, id, question);
  };
  const form = h("details", { class: "filters", open, ontoggle: toggled },
    h("summary", { "data-focus": "filters" }, T.filters.heading), alike,
    h("div", { class: "fields" },
      field("text", phrase("text"), question), field("says", phrase("says"), question),
      number("age_min", question, { min: 0, max: 120 }), number("age_max", question, { min: 0, max: 120 }),
      sex(question), words("view", question)),
    h("fieldset", {}, h("legend", {}, T.filters.findings), findingFields(question)), more);
  if (kind === "words") for (const name of OF_AN_IMAGE) form.querySelector(`#filter-${name}`).parentElement.remove();
  return form;
}

/** Active filters, each with a button that removes it. */
export function chips({ question }) {
  const shown = [...question].filter(([name]) => !WITHOUT_CHIP.includes(name));
  const kept = [...question].filter(([name]) => WITHOUT_CHIP.includes(name));
  if (!shown.length) return null;
  const without = (index) => {
    const rest = shown.filter((_, other) => other !== index);
    return () => go({ question: new URLSearchParams([...rest, ...kept]) });
  };
  return h("ul", { class: "chips" },
    shown.map(([name, value], index) => {
      const text = T.filters.chips[name](value);
      return h("li", {}, h("button", { "aria-label": T.filters.remove(text), onclick: without(index) }, text, h("span", { "aria-hidden": "true" }, "×")));
    }),
    h("li", {}, h("button", { class: "quiet", onclick: () => go({ question: new URLSearchParams(kept) }) }, T.filters.clear)));
}
