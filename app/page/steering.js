// Steering: cases marked as wanted or not, and a region of the query, move the search.

import { ask } from "./address.js";
import { h } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

const SIDE = 128;
const LEAST = 0.02; // shortest side of a region, as the service has it
const DECIMALS = 3;

const SIDES = { right: [0, 0.5], left: [0.5, 1] }; // the patient's
const THIRDS = { upper: [0, 0.333], mid: [0.333, 0.667], lower: [0.667, 1] };

/** Zones of the lungs by region. @type {Map<string, string>} */
const ZONES = new Map(Object.entries(THIRDS).flatMap(([third, [top, bottom]]) =>
  Object.entries(SIDES).map(([side, [left, right]]) => [[left, top, right, bottom].join(","), T.zone(side, third)])));

/** Buttons that search nearer to a case, or farther from it. @param {import("./answer.js").Near} near */
export function marks({ case_id: id, rank }, { question }) {
  const mark = (way) => () => ask(way, [...question.getAll(way), id]);
  return h("div", { class: "marks", role: "group", "aria-label": T.steering.marks(rank) },
    ["like", "unlike"].map((way) => h("button", { class: "quiet", "data-focus": `${way}-${id}`, "aria-label": T.steering.mark[way](rank), onclick: mark(way) }, T.steering[way])));
}

/** Score of a case in a steered search, with its parts. @param {import("./answer.js").Near} near */
export function steered({ steering }) {
  return steering ? h("p", { class: "steered", title: T.steering.parts(steering) }, T.steering.score(steering.score), h("span", {}, ` = ${T.steering.parts(steering)}`)) : null;
}

/** The marked cases, each with a button that unmarks it. */
export function marked({ question }) {
  const groups = [["like", T.steering.nearer], ["unlike", T.steering.farther]].filter(([way]) => question.has(way));
  if (!groups.length) return null;
  const one = (way, id) => {
    const radiograph = new Radiograph("");
    radiograph.show(`cases/${id}/image`, SIDE);
    return h("li", {}, h("button", { "aria-label": T.steering.unmark(id), onclick: () => ask(way, question.getAll(way).filter((other) => other !== id)) }, radiograph.element, h("span", { "aria-hidden": "true" }, "×")));
  };
  return h("div", { class: "marked" }, T.steering.marked, groups.map(([way, words]) => [h("span", {}, words), h("ul", {}, question.getAll(way).map((id) => one(way, id)))]));
}

/** Choice of the region to search with: a zone, or one drawn on the query. @param {Radiograph} query */
export function regionChoice(query, { question }) {
  const region = question.get("region");
  const area = h("div", { class: "region", hidden: true });
  query.element.append(area);
  if (region) query.loaded.then(() => query.outline(area, region.split(",").map(Number)));
  const options = [["", T.steering.whole], ...ZONES, ...(region && !ZONES.has(region) ? [[region, T.steering.drawn]] : [])];
  const hint = h("p", { class: "faint", hidden: true, role: "status" }, T.steering.hint);
  const draw = h("button", { class: "quiet", "aria-pressed": "false", "data-focus": "draw", onclick: () => {
    const on = draw.getAttribute("aria-pressed") !== "true";
    draw.setAttribute("aria-pressed", String(on));
    hint.hidden = !on;
    query.element.classList.toggle("drawing", on);
  } }, T.steering.draw);
  drawing(query, area, () => draw.getAttribute("aria-pressed") === "true");
  return h("div", { class: "by-region" }, h("label", { for: "region" }, T.steering.search),
    h("select", { id: "region", "data-focus": "region", onchange: ({ target }) => ask("region", target.value || null) },
      options.map(([value, text]) => h("option", { value, selected: value === (region ?? "") }, text))), draw, hint);
}

/** Draw a region with the pointer while `on`, and search with it. */
function drawing(query, area, on) {
  const { element } = query;
  let from = /** @type {{x: number, y: number} | null} */ (null);
  let box = /** @type {number[]} */ ([]);
  element.addEventListener("click", (event) => on() && event.stopImmediatePropagation(), { capture: true });
  element.addEventListener("pointerdown", (event) => {
    from = on() ? query.placeAt(event) : null;
    if (!from) return;
    event.preventDefault();
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    const to = from && query.placeAt(event);
    if (!from || !to) return;
    box = [Math.min(from.x, to.x), Math.min(from.y, to.y), Math.max(from.x, to.x), Math.max(from.y, to.y)];
    query.outline(area, box);
  });
  element.addEventListener("pointerup", () => {
    const whole = from && box.length && box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST;
    from = null;
    if (whole) ask("region", box.map((edge) => edge.toFixed(DECIMALS)).join(","));
  });
  element.addEventListener("pointercancel", () => { from = null; });
}
