// Compare: the query and one case side by side at full size, zoomed and moved together.

import { picture } from "./api.js";
import { go } from "./address.js";
import { about, called, findings, reading, score } from "./answer.js";
import { focused, h } from "./dom.js";
import { squared } from "./heat.js";
import { FULL, Pane } from "./pane.js";
import { report } from "./report.js";
import { shortcutsAreOn } from "./shortcuts.js";
import { outcomes, timeline } from "./story.js";
import { studyLink } from "./study.js";
import { T } from "./texts.js";
import { Viewer } from "./viewer.js";
import { evidence, gradcamLegend, highest, legend, locationOf, modeSwitch, overlayControls, showMode, style, sumOf } from "./explanations.js";

/** Dialog over the answer. A change of the address closes it, and closing it changes the address. */
export class Compare {
  /**
   * @param {import("./answer.js").Answer & {rated?: (near: import("./answer.js").Near) => Element}} answer
   * @param {import("./answer.js").Near} near
   */
  constructor(answer, near, mode) {
    this.answer = answer;
    this.near = near;
    this.cases = [...answer.neighbours, ...answer.counter_examples];
    const { fit } = answer.maps;
    this.panes = [new Pane(T.compare.query, fit), new Pane(T.compare.heading(near.rank), fit)];
    this.panes[0].open(answer.image_url, answer.values ?? undefined);
    this.panes[1].open(near.image_url);
    this.caption = h("p", { class: "caption", role: "status" });
    this.legend = legend();
    this.tools = h("div", { class: "tools" });
    this.viewer = new Viewer(this.panes, [answer.size_mm, near.size_mm]);
    this.element = this.#dialog();
    this.controls = overlayControls(this.element, () => this.update({ show: this.mode }));
    this.#listen();
    this.update({ show: mode });
  }

  open() {
    document.body.append(this.element);
    this.element.showModal();
  }

  /** Close because the address has changed. */
  leave() {
    this.left = true;
    this.element.close();
  }

  async update({ show }) {
    const mode = this.answer.rated ? "image" : show; // maps would reveal what the search found
    this.mode = mode;
    this.location = null;
    const had = focused();
    this.tools.replaceChildren(this.answer.rated ? "" : modeSwitch(mode, showMode), ...this.answer.rated ? [] : this.controls);
    for (const control of this.controls) control.classList.toggle("unused", mode === "image"); // keeps its room: nothing jumps
    this.element.querySelector(`[data-focus="${had}"]`)?.focus();
    this.legend.hidden = mode === "image";
    this.caption.textContent = "";
    this.found = null;
    const { maps } = this.answer;
    if (mode === "similarity") {
      try {
        this.caption.textContent = T.explanations.waiting;
        this.found = await evidence(this.answer, this.near);
        if (this.mode === mode) this.#evidence();
      } catch (error) {
        this.caption.textContent = error.message;
      }
      return;
    }
    const grids = mode === "gradcam" ? [maps.query, maps.cases[this.near.case_id]] : [null, null];
    for (const [side, pane] of this.panes.entries()) pane.heat(grids[side], maps.scales.gradcam, style.lines);
    this.panes[0].mark(null);
    if (mode !== "gradcam") return;
    this.legend.update(gradcamLegend(this.answer, Number(Boolean(grids[1])), 1), { drawn: grids.some(Boolean) });
    const places = await Promise.all(this.panes.map(async (pane, side) => await pane.loaded && grids[side] && T.explanations.at(side, highest(pane, grids[side]))));
    if (this.mode === mode) this.caption.textContent = places.filter(Boolean).join("; ");
  }

  #evidence() {
    const most = this.answer.maps.scales.similarity;
    this.panes[0].heat(this.found.query, most, style.lines);
    this.panes[1].heat(this.found.case, most, style.lines);
    this.panes[0].mark(null);
    this.legend.update(T.explanations.legendSimilarity);
    this.caption.textContent = `${sumOf(this.found)} ${T.explanations.hover}`;
  }

  #point(location) {
    if (!this.found || location === this.location) return;
    this.location = location;
    if (location === null) {
      this.#evidence();
      return;
    }
    const { shares, grid } = this.found;
    this.panes[0].mark(location, grid);
    this.panes[1].heat(squared(shares[location], grid), this.answer.maps.scales.match, style.lines);
    this.legend.update(T.explanations.legendMatch);
    this.caption.textContent = locationOf(this.found, location, this.panes[0]);
  }

  #dialog() {
    const { near, answer } = this;
    const button = (name, act) => h("button", { "data-focus": `compare-${name}`, onclick: act }, T.compare[name]);
    const other = (step) => () => this.#turn(step);
    return h("dialog", { class: "compare", "aria-labelledby": "compare-title" },
      h("header", {},
        h("h2", { id: "compare-title" }, T.compare.heading(near.rank)), h("span", { class: "notice" }, T.notice),
        answer.rated ? "" : studyLink(near.case_id), // who rates is told no more than what is shown
        button("previous", other(-1)), button("next", other(1)),
        h("button", { onclick: () => this.element.close(), "data-focus": "compare-close" }, T.close)),
      h("div", { class: "controls" }, this.tools, this.viewer.controls),
      h("div", { class: "panes" }, this.panes.map((pane) => pane.stage)),
      h("footer", { tabindex: "0" },
        h("div", {}, h("strong", {}, T.compare.query), answer.rated ? null : called(answer), this.caption, this.legend),
        h("div", {}, answer.rated?.(near) ?? [score(near, answer), outcomes(near), findings(near), reading(near, answer), report(near), h("span", { class: "faint" }, about(near)), timeline(near.case_id, T.story.films)]),
        h("p", { class: "faint hint" }, T.compare.hint)));
  }

  #turn(step) {
    const at = this.cases.findIndex((one) => one.case_id === this.near.case_id);
    const next = this.cases[(at + step + this.cases.length) % this.cases.length];
    go({ look: next.case_id }, { instead: true });
  }

  #listen() {
    const [query] = this.panes;
    query.stage.addEventListener("pointermove", (event) => this.found && this.#point(query.locationAt(event, this.found.grid)));
    query.stage.addEventListener("pointerleave", () => this.#point(null));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("close", () => {
      this.element.remove();
      if (!this.left) go({ look: null });
    });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=range], footer") && event.key.startsWith("Arrow")) return;
    const letters = {
      ...this.viewer.keys, o: () => this.#opacity(-10), p: () => this.#opacity(10), j: () => this.#turn(1), k: () => this.#turn(-1),
    };
    const act = this.viewer.arrows[event.key] ?? (shortcutsAreOn() ? letters[event.key.toLowerCase()] : undefined);
    if (!act) return;
    event.preventDefault();
    act();
  }

  #opacity(step) {
    const input = this.controls[0].querySelector("input");
    input.value = Number(input.value) + step;
    input.dispatchEvent(new Event("input"));
  }
}

/** Prefetch the large pictures of the first cases: most readers open one of them. */
export function foresee(answer, count = 2) {
  for (const { image_url } of [answer, ...answer.neighbours.slice(0, count)]) picture(image_url, { side: FULL }).catch(() => {});
}
