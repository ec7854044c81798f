// Explanations: Grad-CAM of the chosen finding, or similarity evidence, on all images at once.

import { get } from "./api.js";
import { go } from "./address.js";
import { h, say } from "./dom.js";
import { largest, squared, strip } from "./heat.js";
import { T } from "./texts.js";

export const MODES = ["image", "gradcam", "similarity"];
const AT_ONCE = 2; // concurrent requests: each costs the service a forward pass
const DIGITS = 4;

const known = new Map();

/**
 * Fetch which locations of the query and of a case match: the service's `MatchesOut`, with its sums.
 * @param {Pick<import("./answer.js").Answer, "query_id">} answer
 * @param {Pick<import("./answer.js").Near, "case_id">} near
 */
export function evidence(answer, near) {
  const address = `queries/${answer.query_id}/matches/${near.case_id}`;
  if (!known.has(address)) {
    const found = get(address).then((/** @type {import("./api.js").Schemas["MatchesOut"]} */ { similarity, grid, shares }) => {
      const rows = shares.map((row) => row.reduce((sum, share) => sum + share, 0));
      const columns = shares[0].map((_, location) => shares.reduce((sum, row) => sum + row[location], 0));
      const sum = rows.reduce((total, share) => total + share, 0);
      const support = rows.reduce((total, share) => total + Math.max(0, share), 0);
      return { similarity, grid, shares, sum, support, query: squared(rows, grid), case: squared(columns, grid) };
    });
    known.set(address, found);
    found.catch(() => known.delete(address));
  }
  return known.get(address);
}

/** Maximum of all Grad-CAM maps of an answer, which share one scale. */
export const gradcamMost = ({ maps }) => largest([maps.query, ...Object.values(maps.cases)]);

/** Text under a pair: the evidence for and against the similarity, beside the score. */
export const sumOf = (found, near) =>
  T.explanations.sum(found.grid, ...[found.sum, found.support, found.support - found.sum, near.similarity].map((n) => n.toFixed(DIGITS)));

/** Text about a location of the query: what it adds to the score or subtracts from it. */
export function locationOf(found, location) {
  const [row, column] = [Math.floor(location / found.grid), location % found.grid];
  return T.explanations.location(row + 1, column + 1, found.query[row][column], DIGITS);
}

/** Buttons that choose the overlay. */
export function modeSwitch(mode, choose) {
  return h("div", { class: "segmented", role: "group", "aria-label": T.explanations.label }, MODES.map((name) =>
    h("button", { "aria-pressed": String(name === mode), "data-focus": `mode-${name}`, onclick: () => choose(name) },
      T.explanations[name])));
}

/** Slider for the opacity of all overlays below `root`; the page remembers its value. */
let opacity = 60;
export function opacitySlider(root) {
  const apply = () => root.style.setProperty("--heat", opacity / 100);
  apply();
  const slider = h("input", {
    type: "range", min: 0, max: 100, value: opacity, "data-focus": "opacity",
    oninput: (event) => { opacity = Number(event.target.value); apply(); },
  });
  return h("label", { class: "slider" }, T.explanations.opacity, slider);
}

/** Colour scale and its meaning, set by `update`. */
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

/** Paints the overlays of the chosen mode on the images of an answer. */
export class Explanations {
  /**
   * `query` is the query's radiograph; `cards` have near, radiograph, element and a note for messages.
   * @param {import("./answer.js").Answer} answer
   * @param {import("./radiograph.js").Radiograph} query
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
    this.location = null;
    this.#listen();
  }

  /** Show a mode; similarity evidence is loaded card by card. */
  async show(mode) {
    this.mode = mode;
    this.location = null;
    this.refused.clear();
    this.#paint();
    if (mode !== "similarity") return;
    const waiting = [...this.cards];
    const work = async () => {
      for (let card = waiting.shift(); card && this.mode === mode; card = waiting.shift()) {
        if (!this.query.element.isConnected) return; // another answer has replaced it
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

  /** Choose the case that the query's own map and the sum refer to. */
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
      if (most > 0 && !maps.cases[near.case_id]) note.textContent = T.answer.noMap(finding);
    }
    this.legend.update(most, most > 0 ? T.explanations.legendGradcam(finding) : T.explanations.legendNone(finding));
  }

  #similarity() {
    const pair = this.found.get(this.chosen);
    const most = largest([...this.found.values()].flatMap((found) => [found.query, found.case]));
    this.query.heat(pair?.query ?? null, most);
    // also when evidence of another case arrives while the pointer is on a location
    if (this.location !== null && pair) this.#matchesOf(this.location, pair);
    else this.#sums(pair, most);
    for (const card of this.cards) {
      if (!this.found.has(card)) card.note.textContent = this.refused.get(card) ?? T.explanations.waiting;
    }
  }

  /** Show what each location adds in total. */
  #sums(pair, most) {
    for (const card of this.cards) card.radiograph.heat(this.found.get(card)?.case ?? null, most);
    if (pair) this.caption.textContent = `${T.explanations.pair(this.chosen.near.rank)}. ${sumOf(pair, this.chosen.near)} ${T.explanations.hover}`;
    this.legend.update(most, T.explanations.legendSimilarity);
  }

  /** Show what matches one location of the query. */
  #matchesOf(location, pair) {
    const most = largest([...this.found.values()].map((found) => [found.shares[location]]));
    for (const [card, found] of this.found) card.radiograph.heat(squared(found.shares[location], found.grid), most);
    this.query.mark(location, pair.grid);
    this.legend.update(most, T.explanations.legendMatch);
    this.caption.textContent = `${T.explanations.pair(this.chosen.near.rank)}. ${locationOf(pair, location)}`;
  }

  /** Choose a location of the query; null for none. */
  #point(location) {
    if (location === this.location) return;
    this.location = location;
    this.#paint();
  }

  #listen() {
    const { element } = this.query;
    const active = () => this.mode === "similarity" && this.found.get(this.chosen);
    element.addEventListener("pointermove", (event) => {
      if (active()) this.#point(this.query.locationAt(event, active().grid));
    });
    element.addEventListener("pointerdown", (event) => {
      if (active()) this.#point(this.query.locationAt(event, active().grid));
    });
    element.addEventListener("pointerleave", () => active() && this.#point(null));
    element.addEventListener("blur", () => active() && this.#point(null));
    element.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!step || !active()) return;
      event.preventDefault();
      const { grid } = active();
      const location = this.location ?? Math.floor((grid * grid) / 2);
      const inside = (value) => Math.min(grid - 1, Math.max(0, value));
      const [row, column] = this.location === null ? [Math.floor(location / grid), location % grid]
        : [inside(Math.floor(location / grid) + step[0]), inside((location % grid) + step[1])];
      this.#point(row * grid + column);
      say(this.caption.textContent);
    });
  }
}

/** Show another mode, under its own address. */
export const showMode = (mode) => go({ show: mode }, { instead: true });
