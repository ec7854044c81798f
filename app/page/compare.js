// Compare: the query and one case side by side at full size, zoomed and moved together.

import { picture } from "./api.js";
import { go } from "./address.js";
import { about, findings, score } from "./answer.js";
import { focused, h } from "./dom.js";
import { largest, squared } from "./heat.js";
import { FULL, GREYS, Pane } from "./pane.js";
import { followPointers } from "./pointer.js";
import { shortcutsAreOn } from "./shortcuts.js";
import { studyLink } from "./study.js";
import { T } from "./texts.js";
import { evidence, gradcamMost, legend, modeSwitch, opacitySlider, locationOf, showMode, sumOf } from "./explanations.js";

const ZOOM = { least: 1, most: 16, step: 1.25 };
const STEP = 40; // pixels per arrow key; grey levels per key are derived from it
const PLAIN = { scale: 1, x: 0, y: 0, window: GREYS, level: GREYS / 2, invert: false, flip: false };

/** Dialog over the answer. A change of the address closes it, and closing it changes the address. */
export class Compare {
  /** @type {Record<string, any>} */
  sliders = {};
  /** @type {Record<string, any>} */
  toggles = {};

  /**
   * @param {import("./answer.js").Answer & {rated?: (near: import("./answer.js").Near) => Element}} answer
   * @param {import("./answer.js").Near} near
   */
  constructor(answer, near, mode) {
    this.answer = answer;
    this.near = near;
    this.state = { ...PLAIN };
    this.cases = [...answer.neighbours, ...answer.counter_examples];
    const { fit } = answer.maps;
    this.panes = [new Pane(T.compare.query, fit), new Pane(T.compare.heading(near.rank), fit)];
    this.panes.forEach((pane) => { pane.greys = PLAIN; });
    this.panes[0].open(answer.image_url);
    this.panes[1].open(near.image_url);
    this.caption = h("p", { class: "caption", role: "status" });
    this.legend = legend();
    this.tools = h("div", { class: "tools" });
    this.element = this.#dialog();
    this.slider = opacitySlider(this.element);
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
    this.tools.replaceChildren(this.answer.rated ? "" : modeSwitch(mode, showMode), mode === "image" ? "" : this.slider);
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
    const finding = T.finding(this.answer.explained_finding);
    const most = mode === "gradcam" ? gradcamMost(this.answer) : 0;
    const grids = mode === "gradcam" ? [maps.query, maps.cases[this.near.case_id]] : [null, null];
    for (const [side, pane] of this.panes.entries()) pane.heat(grids[side], most);
    this.panes[0].mark(null);
    this.legend.update(most, most > 0 ? T.explanations.legendGradcam(finding) : T.explanations.legendNone(finding));
  }

  #evidence() {
    const most = largest([this.found.query, this.found.case]);
    this.panes[0].heat(this.found.query, most);
    this.panes[1].heat(this.found.case, most);
    this.panes[0].mark(null);
    this.legend.update(most, T.explanations.legendSimilarity);
    this.caption.textContent = `${sumOf(this.found, this.near)} ${T.explanations.hover}`;
  }

  #point(location) {
    if (!this.found || location === this.location) return;
    this.location = location;
    if (location === null) {
      this.#evidence();
      return;
    }
    const { shares, grid } = this.found;
    const most = largest([shares[location]]);
    this.panes[0].mark(location, grid);
    this.panes[1].heat(squared(shares[location], grid), most);
    this.legend.update(most, T.explanations.legendMatch);
    this.caption.textContent = locationOf(this.found, location);
  }

  #dialog() {
    const { near, answer } = this;
    const button = (name, act) => h("button", { "data-focus": `compare-${name}`, onclick: act }, T.compare[name]);
    this.toggles = {
      invert: button("invert", () => this.#set({ invert: !this.state.invert })),
      flip: button("flip", () => this.#set({ flip: !this.state.flip })),
    };
    const range = (name, least, most) => h("input", {
      type: "range", min: least, max: most, value: PLAIN[name], oninput: ({ target }) => this.#set({ [name]: Number(target.value) }),
    });
    this.sliders = { window: range("window", 2, GREYS), level: range("level", 0, GREYS - 1) };
    const slider = (name) => h("label", { class: "slider" }, T.compare[name], this.sliders[name]);
    const other = (step) => () => this.#turn(step);
    return h("dialog", { class: "compare", "aria-labelledby": "compare-title" },
      h("header", {},
        h("h2", { id: "compare-title" }, T.compare.heading(near.rank)), h("span", { class: "notice" }, T.notice),
        answer.rated ? "" : studyLink(near.case_id), // who rates is told no more than what is shown
        button("previous", other(-1)), button("next", other(1)),
        h("button", { onclick: () => this.element.close(), "data-focus": "compare-close" }, T.close)),
      h("div", { class: "controls" }, this.tools, slider("window"), slider("level"),
        this.toggles.invert, this.toggles.flip, button("zoomOut", () => this.#zoom(1 / ZOOM.step)),
        button("zoomIn", () => this.#zoom(ZOOM.step)), button("reset", () => this.#set(PLAIN))),
      h("div", { class: "panes" }, this.panes.map((pane) => pane.stage)),
      h("footer", {},
        h("div", {}, h("strong", {}, T.compare.query), h("span", { class: "faint" }, T.finding(answer.predictions.filter((one) => one.called).map((one) => one.finding).join(" · ")))),
        h("div", {}, answer.rated?.(near) ?? [score(near, answer), findings(near), h("span", { class: "faint" }, about(near))]),
        this.caption, this.legend, h("p", { class: "faint hint" }, T.compare.hint)));
  }

  #turn(step) {
    const at = this.cases.findIndex((one) => one.case_id === this.near.case_id);
    const next = this.cases[(at + step + this.cases.length) % this.cases.length];
    go({ look: next.case_id }, { instead: true });
  }

  #set(changes) {
    const { state } = this;
    Object.assign(state, changes);
    state.window = Math.min(GREYS, Math.max(2, state.window));
    state.level = Math.min(GREYS - 1, Math.max(0, state.level));
    for (const name of ["window", "level"]) this.sliders[name].value = state[name];
    for (const name of ["invert", "flip"]) this.toggles[name].setAttribute("aria-pressed", String(state[name]));
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      for (const pane of this.panes) {
        pane.move(state);
        const { greys } = pane;
        if (["window", "level", "invert"].some((name) => greys[name] !== state[name])) pane.grey(state);
      }
    });
  }

  /** Zoom about a fixed point, in pixels from the pane's centre. */
  #zoom(factor, at = { x: 0, y: 0 }) {
    const { scale, x, y } = this.state;
    const next = Math.min(ZOOM.most, Math.max(ZOOM.least, scale * factor));
    const grown = next / scale;
    this.#set(next === ZOOM.least ? { scale: next, x: 0, y: 0 }
      : { scale: next, x: at.x - (at.x - x) * grown, y: at.y - (at.y - y) * grown });
  }

  #listen() {
    const { state } = this;
    followPointers(this.panes.map((pane) => pane.stage), {
      zoom: (factor, at) => this.#zoom(factor, at),
      move: (x, y) => this.#set({ x: state.x + x, y: state.y + y }),
      greys: (window, level) => this.#set({ window: state.window + window, level: state.level + level }),
    });
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
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
    const { state } = this;
    const always = {
      ArrowLeft: () => this.#set({ x: state.x + STEP }), ArrowRight: () => this.#set({ x: state.x - STEP }),
      ArrowUp: () => this.#set({ y: state.y + STEP }), ArrowDown: () => this.#set({ y: state.y - STEP }),
    };
    const letters = {
      "+": () => this.#zoom(ZOOM.step), "=": () => this.#zoom(ZOOM.step), "-": () => this.#zoom(1 / ZOOM.step),
      0: () => this.#set(PLAIN), i: () => this.#set({ invert: !state.invert }), f: () => this.#set({ flip: !state.flip }),
      w: () => this.#set({ window: state.window + STEP / 4 }), s: () => this.#set({ window: state.window - STEP / 4 }),
      d: () => this.#set({ level: state.level + STEP / 4 }), a: () => this.#set({ level: state.level - STEP / 4 }),
      o: () => this.#opacity(-10), p: () => this.#opacity(10),
      j: () => this.#turn(1), k: () => this.#turn(-1),
    };
    const act = always[event.key] ?? (shortcutsAreOn() ? letters[event.key.toLowerCase()] : undefined);
    if (!act) return;
    event.preventDefault();
    act();
  }

  #opacity(step) {
    const input = this.slider.querySelector("input");
    input.value = Number(input.value) + step;
    input.dispatchEvent(new Event("input"));
  }
}

/** Prefetch the large pictures of the first cases: most readers open one of them. */
export function foresee(answer, count = 2) {
  for (const { image_url } of [answer, ...answer.neighbours.slice(0, count)]) picture(image_url, { side: FULL }).catch(() => {});
}
