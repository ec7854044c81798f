// Why: Grad-CAM of the chosen finding, or the evidence of a similarity, on all images at once.

import { get } from "./api.js";
import { go } from "./address.js";
import { h, say } from "./dom.js";
import { largest, squared, strip } from "./heat.js";
import { T } from "./texts.js";

export const MODES = ["image", "gradcam", "similarity"];
const AT_ONCE = 2; // pairs computed at once: each takes the service a forward pass
const DIGITS = 4;

const known = new Map();

/**
 * Which places of the query and of a case match: the service's `MatchesOut`, and its sums.
 * @param {Pick<import("./answer.js").Answer, "query_id">} answer
 * @param {Pick<import("./answer.js").Near, "case_id">} near
 */
export function evidence(answer, near) {
  const address = `queries/${answer.query_id}/matches/${near.case_id}`;
  if (!known.has(address)) {
    const found = get(address).then((/** @type {import("./api.js").Schemas["MatchesOut"]} */ { similarity, grid, shares }) => {
      const rows = shares.map((row) => row.reduce((sum, share) => sum + share, 0));
      const columns = shares[0].map((_, place) => shares.reduce((sum, row) => sum + row[place], 0));
      const sum = rows.reduce((total, share) => total + share, 0);
      const support = rows.reduce((total, share) => total + Math.max(0, share), 0);
      return { similarity, grid, shares, sum, support, query: squared(rows, grid), case: squared(columns, grid) };
    });
    known.set(address, found);
    found.catch(() => known.delete(address));
  }
  return known.get(address);
}

/** The scale of all Grad-CAM maps of an answer. */
export const gradcamMost = ({ maps }) => largest([maps.query, ...Object.values(maps.cases)]);

/** The line under a pair: what speaks for and against it, beside the score of the search. */
export const sumOf = (found, near) =>
  T.why.sum(found.grid, ...[found.sum, found.support, found.support - found.sum, near.similarity].map((n) => n.toFixed(DIGITS)));

/** The line about a place of the query: what it adds to the score or takes from it. */
export function placeOf(found, place) {
  const [row, column] = [Math.floor(place / found.grid), place % found.grid];
  return T.why.place(row + 1, column + 1, found.query[row][column], DIGITS);
}

/** Buttons for what is shown on the images. */
export function modeSwitch(mode, choose) {
  return h("div", { class: "segmented", role: "group", "aria-label": T.why.label }, MODES.map((name) =>
    h("button", { "aria-pressed": String(name === mode), "data-focus": `mode-${name}`, onclick: () => choose(name) },
      T.why[name])));
}

/** A slider for all overlays below `root`; the page remembers where it stood. */
let opacity = 60;
export function opacitySlider(root) {
  const apply = () => root.style.setProperty("--heat", opacity / 100);
  apply();
  const slider = h("input", {
    type: "range", min: 0, max: 100, value: opacity, "data-focus": "opacity",
    oninput: (event) => { opacity = Number(event.target.value); apply(); },
  });
  return h("label", { class: "slider" }, T.why.opacity, slider);
}

/** The scale and what it means; `update` tells it. */
export function legend() {
  const scale = h("canvas", { "aria-hidden": "true" });
  const most = h("span", { class: "number" });
  const meaning = h("span", { class: "meaning" });
  strip(scale);
  const ends = h("span", { class: "scale" }, h("span", { class: "number" }, "0"), scale, most);
  const element = h("div", { class: "legend" }, ends, meaning);
  element.update = (largestShown, text) => {
    ends.hidden = !(largestShown > 0);
    most.textContent = largestShown.toPrecision(2);
    meaning.textContent = text;
  };
  return element;
}

/** Paints what the chosen mode says on the images of an answer. */
export class Why {
  /**
   * `query` is its Image; `cards` have near, image and a note for words.
   * @param {import("./answer.js").Answer} answer
   * @param {import("./radiograph.js").Image} query
   */
  constructor(answer, query, cards, caption) {
    this.answer = answer;
    this.query = query;
    this.cards = cards;
    this.caption = caption;
    this.legend = legend();
    this.chosen = cards[0] ?? null;
    this.found = new Map();
    this.refused = new Map(); // why there is no evidence for a card
    this.place = null;
    this.#listen();
  }

  /** Begin to show a mode. */
  async show(mode) {
    this.mode = mode;
    this.place = null;
    this.refused.clear();
    this.#paint();
    if (mode !== "similarity") return;
    const waiting = [...this.cards];
    const work = async () => {
      for (let card = waiting.shift(); card && this.mode === mode; card = waiting.shift()) {
        if (!this.query.element.isConnected) return; // another answer has taken its place
        try {
          this.found.set(card, await evidence(this.answer, card.near));
        } catch (error) {
          this.refused.set(card, error.message);
        }
        this.#paint();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /** The pair that the query's own map and the sum are about. */
  choose(card) {
    if (this.chosen === card) return;
    this.chosen = card;
    if (this.mode === "similarity") this.#paint();
  }

  #paint() {
    const similarity = this.mode === "similarity";
    for (const card of this.cards) {
      card.element.classList.toggle("chosen", similarity && card === this.chosen);
      card.note.textContent = "";
    }
    this.query.element.classList.toggle("pointable", similarity);
    this.query.element.tabIndex = similarity ? 0 : -1;
    this.query.mark(null);
    this.legend.hidden = this.mode === "image";
    this.caption.textContent = "";
    if (this.mode === "gradcam") this.#gradcam();
    else if (similarity) this.#similarity();
    else for (const radiograph of [this.query, ...this.cards.map((card) => card.radiograph)]) radiograph.heat(null, 0);
  }

  #gradcam() {
    const { maps, explained_finding: name } = this.answer;
    const [most, finding] = [gradcamMost(this.answer), T.finding(name)];
    this.query.heat(maps.query, most);
    if (!maps.query) this.caption.textContent = T.answer.noMap(finding);
    for (const { radiograph, near, note } of this.cards) {
      radiograph.heat(maps.cases[near.case_id], most);
      if (!maps.cases[near.case_id]) note.textContent = T.answer.noMap(finding);
    }
    this.legend.update(most, most > 0 ? T.why.legendGradcam(finding) : T.why.legendNone(finding));
  }

  #similarity() {
    const pair = this.found.get(this.chosen);
    const most = largest([...this.found.values()].flatMap((found) => [found.query, found.case]));
    this.query.heat(pair?.query ?? null, most);
    // also where evidence of another case arrives while a place is pointed at
    if (this.place !== null && pair) this.#matchesOf(this.place, pair);
    else this.#sums(pair, most);
    for (const card of this.cards) {
      if (!this.found.has(card)) card.note.textContent = this.refused.get(card) ?? T.why.waiting;
    }
  }

  /** What each place adds in all. */
  #sums(pair, most) {
    for (const card of this.cards) card.radiograph.heat(this.found.get(card)?.case ?? null, most);
    if (pair) this.caption.textContent = `${T.why.pair(this.chosen.near.rank)}. ${sumOf(pair, this.chosen.near)} ${T.why.hover}`;
    this.legend.update(most, T.why.legendSimilarity);
  }

  /** What matches one place of the query. */
  #matchesOf(place, pair) {
    const most = largest([...this.found.values()].map((found) => [found.shares[place]]));
    for (const [card, found] of this.found) card.radiograph.heat(squared(found.shares[place], found.grid), most);
    this.query.mark(place, pair.grid);
    this.legend.update(most, T.why.legendMatch);
    this.caption.textContent = `${T.why.pair(this.chosen.near.rank)}. ${placeOf(pair, place)}`;
  }

  /** Point at a place of the query; null: at none. */
  #point(place) {
    if (place === this.place) return;
    this.place = place;
    this.#paint();
  }

  #listen() {
    const { element } = this.query;
    const active = () => this.mode === "similarity" && this.found.get(this.chosen);
    element.addEventListener("pointermove", (event) => {
      if (active()) this.#point(this.query.placeAt(event, active().grid));
    });
    element.addEventListener("pointerdown", (event) => {
      if (active()) this.#point(this.query.placeAt(event, active().grid));
    });
    element.addEventListener("pointerleave", () => active() && this.#point(null));
    element.addEventListener("blur", () => active() && this.#point(null));
    element.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!step || !active()) return;
      event.preventDefault();
      const { grid } = active();
      const place = this.place ?? Math.floor((grid * grid) / 2);
      const inside = (value) => Math.min(grid - 1, Math.max(0, value));
      const [row, column] = this.place === null ? [Math.floor(place / grid), place % grid]
        : [inside(Math.floor(place / grid) + step[0]), inside((place % grid) + step[1])];
      this.#point(row * grid + column);
      say(this.caption.textContent);
    });
  }
}

/** Show another mode, at an address of its own. */
export const showMode = (mode) => go({ show: mode }, { instead: true });
