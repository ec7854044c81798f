// Agreement of the search with readers: shown only once a list has been rated.

import { go, hashOf } from "./address.js";
import { download } from "./api.js";
import { h } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

const SIDE = 384;
const DIGITS = 3;
const FILE = "ratings.csv";

const figure = (value) => (value === null ? "–" : value.toFixed(DIGITS));

/** Compare the search with a reader's ratings `said`; `place` is the address of the list. @param {import("./api.js").Schemas["Agreement"]} found */
export function agreement(found, reader, said, place) {
  const mine = found.readers.find((one) => one.rater === reader);
  return h("div", { class: "agreement" },
    h("div", { class: "bar-top" }, h("h1", {}, T.agreement.heading),
      h("button", { onclick: () => go({ show: null }) }, T.agreement.back),
      h("a", { class: "button", href: hashOf({ ...place, rate: false, show: null, look: null }) }, T.agreement.answer)),
    headline(mine),
    h("ol", { class: "cards" }, found.cases.map((one) => card(one, said.get(one.case_id)))),
    h("h3", {}, T.agreement.readers), readers(found, reader), file());
}

function headline(mine) {
  if (mine?.ndcg == null) return h("p", {}, T.agreement.nothing);
  const one = (value, words) => h("div", {}, h("strong", { class: "number" }, figure(value)), h("span", {}, words));
  return h("div", {},
    h("div", { class: "figures" }, one(mine.ndcg, T.agreement.ndcg), one(mine.random_ndcg, T.agreement.random)),
    h("p", { class: "faint" }, T.agreement.meaning(mine.rated)));
}

/** @param {import("./api.js").Schemas["RatedCase"]} one */
function card(one, mine) {
  const radiograph = new Radiograph(T.agreement.image(one.rank));
  radiograph.show(one.image_url, SIDE);
  return h("li", { class: "card" }, radiograph.element, h("span", { class: "rank number" }, one.rank),
    h("div", { class: "score" }, h("strong", { class: "number" }, one.similarity.toFixed(DIGITS)), T.answer.similarity),
    h("p", {}, mine === undefined ? T.agreement.others : T.agreement.you(mine)),
    h("p", { class: "faint" }, T.agreement.mean(one.mean_rating.toFixed(1))));
}

/** @param {import("./api.js").Schemas["Agreement"]} found */
function readers(found, reader) {
  const row = (name, one, mine = false) => h("tr", { class: mine ? "mine" : false }, h("th", { scope: "row" }, name),
    [one.rated, figure(one.ndcg), figure(one.random_ndcg)].map((text) => h("td", { class: "number" }, text)));
  return h("table", { class: "readers" },
    h("thead", {}, h("tr", {}, T.agreement.columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, found.readers.map((one) => row(one.rater, one, one.rater === reader)),
      row(T.agreement.together, found.together)));
}

function file() {
  const told = h("span", { role: "status" });
  const fetchFile = async () => {
    told.textContent = "";
    try {
      await download(FILE);
    } catch (error) {
      if (!("kind" in error)) throw error; // a bug in the page: left to the console
      told.textContent = error.message;
    }
  };
  return h("p", {}, h("button", { onclick: fetchFile }, T.agreement.file), " ", told,
    h("span", { class: "faint" }, " ", T.agreement.fileText));
}
