// Explanations: Grad-CAM of the chosen finding, or similarity evidence, on all images at once.

import { get } from "./api.js";
import { go } from "./address.js";
import { h, say } from "./dom.js";
import { peak, squared, strip } from "./heat.js";
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

/** Text under a pair: the evidence for and against the similarity, and their sum. */
export const sumOf = (found) =>
  T.explanations.sum(...[found.support, found.support - found.sum, found.sum].map((n) => n.toFixed(DIGITS)));

/** Text about a location of the query: what it adds to the score or subtracts from it. */
export function locationOf(found, location, radiograph) {
  const [row, column] = [Math.floor(location / found.grid), location % found.grid];
  return T.explanations.location(radiograph.zone([row, column], found.query), found.query[row][column], DIGITS);
}

/** Text about a map: where it is highest. @param {import("./radiograph.js").Radiograph} radiograph */
export const highest = (radiograph, grid) => T.explanations.highest(radiograph.zone(peak(grid), grid));

/** Buttons that choose the overlay. */
export function modeSwitch(mode, choose) {
  return h("div", { class: "segmented", role: "group", "aria-label": T.explanations.label }, MODES.map((name) =>
    h("button", { "aria-pressed": String(name === mode), "data-focus": `mode-${name}`, onclick: () => choose(name) },
      T.explanations[name])));
}

/** How overlays are drawn; the page remembers it. */
export const style = { lines: false };
let opacity = 60;

/** Controls for all overlays below `root`: their opacity, and colours or contour lines, after which `repaint` is called. */
export function overlayControls(root, repaint) {
  const apply = () => root.style.setProperty("--heat", opacity / 100);
  apply();
  const slider = h("input", {
    type: "range", min: 0, max: 100, value: opacity, "data-focus": "opacity",
    oninput: (event) => { opacity = Number(event.target.value); apply(); },
  });
  const lines = h("input", { type: "checkbox", "data-focus": "lines", onchange: () => { style.lines = lines.checked; repaint(); } });
  lines.checked = style.lines;
  return [h("label", { class: "slider" }, T.explanations.opacity, slider), h("label", { class: "check" }, lines, T.explanations.lines)];
}

/** Colour scale and its meaning, set by `update`. */
export function legend() {
  const scale = h("canvas", { "aria-hidden": "true" });
  const meaning = h("span", { class: "meaning" });
  strip(scale);
  const ends = h("span", { class: "scale" }, scale);
  const element = h("div", { class: "legend" }, ends, meaning);
  element.update = (text, { drawn = true } = {}) => {
    ends.hidden = !drawn;
    meaning.textContent = text;
  };
  return element;
}

/** Meaning of Grad-CAM's colours, with the number of cases that have a map. @param {import("./answer.js").Answer} answer */
export function gradcamLegend({ maps, explained_finding, predictions }, drawn, cases) {
  const finding = T.finding(explained_finding);
  if (!maps.query && !drawn) return T.explanations.legendNone(finding);
  const below = predictions.find((one) => one.finding === explained_finding);
  return `${T.explanations.legendGradcam(finding)} ${T.explanations.drawn(maps.query ? null : below?.probability, drawn, cases)}`;
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

  /** Draw everything again, as after a change of `style`. */
  repaint() {
    this.#paint();
  }

  async #gradcam() {
    const { maps, explained_finding } = this.answer;
    const [most, finding] = [maps.scales.gradcam, T.finding(explained_finding)];
    this.query.heat(maps.query, most, style.lines);
    for (const { radiograph, near } of this.cards) radiograph.heat(maps.cases[near.case_id], most, style.lines);
    const drawn = this.cards.filter(({ near }) => maps.cases[near.case_id]);
    this.legend.update(gradcamLegend(this.answer, drawn.length, this.cards.length), { drawn: maps.query || drawn.length });
    if (maps.query && await this.query.loaded && this.mode === "gradcam") {
      this.caption.textContent = `${finding}: ${highest(this.query, maps.query)}`;
    }
    for (const { radiograph, near, note } of drawn) {
      if (await radiograph.loaded && this.mode === "gradcam") note.textContent = highest(radiograph, maps.cases[near.case_id]);
    }
  }

  #similarity() {
    const pair = this.found.get(this.chosen);
    const most = this.answer.maps.scales.similarity;
    this.query.heat(pair?.query ?? null, most, style.lines);
    // also when evidence of another case arrives while the pointer is on a location
    if (this.location !== null && pair) this.#matchesOf(this.location, pair);
    else this.#sums(pair, most);
    for (const card of this.cards) {
      if (!this.found.has(card)) card.note.textContent = this.refused.get(card) ?? T.explanations.waiting;
    }
  }

  /** Show what each location adds in total. */
  #sums(pair, most) {
    for (const card of this.cards) card.radiograph.heat(this.found.get(card)?.case ?? null, most, style.lines);
    if (pair) this.caption.textContent = `${T.explanations.pair(this.chosen.near.rank)}: ${sumOf(pair)} ${T.explanations.hover}`;
    this.legend.update(T.explanations.legendSimilarity);
  }

  /** Show what matches one location of the query. */
  #matchesOf(location, pair) {
    const most = this.answer.maps.scales.match;
    for (const [card, found] of this.found) card.radiograph.heat(squared(found.shares[location], found.grid), most, style.lines);
    this.query.mark(location, pair.grid);
    this.legend.update(T.explanations.legendMatch);
    this.caption.textContent = `${T.explanations.pair(this.chosen.near.rank)}: ${locationOf(pair, location, this.query)}`;
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
