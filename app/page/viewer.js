// Viewer: panes that are zoomed, moved, turned and windowed together, by mouse, fingers, keys or buttons.

import { everything, inOwnValues, narrowest } from "./deep.js";
import { h } from "./dom.js";
import { lens } from "./lens.js";
import { FULL_RANGE, GREYS } from "./pane.js";
import { followPointers } from "./pointer.js";
import { Ruler } from "./ruler.js";
import { T } from "./texts.js";

const ZOOM = { most: 16, step: 1.25 };
const STEP = 40; // pixels per arrow key; grey levels per key are derived from it
const PLAIN = { scale: 1, x: 0, y: 0, ...FULL_RANGE, invert: false, flip: false, turn: 0 };

/** Windows of the greys of the copies, 0 to 255. */
export const PRESETS = { full: FULL_RANGE, lungs: { window: 130, level: 75 }, bones: { window: 130, level: 180 } };

const PRESET_KEYS = { all: "6", full: "7", lungs: "8", bones: "9" };

export class Viewer {
  /** `sizes` are those of the images in mm, null where unknown. @param {import("./pane.js").Pane[]} panes @param {(number[] | null)[]} sizes */
  constructor(panes, sizes) {
    this.panes = panes;
    this.rulers = panes.map((pane, side) => new Ruler(pane, sizes[side]));
    this.state = { ...PLAIN };
    this.apart = panes.map(() => ({ x: 0, y: 0 })); // moves of each pane alone
    this.lens = lens(panes);
    this.limits = { window: [2, GREYS], level: [0, GREYS - 1] };
    this.sliders = Object.fromEntries(["window", "level"].map((name) => [name, h("input", {
      type: "range", step: "any", oninput: ({ target }) => this.set({ [name]: Number(target.value) }),
    })]));
    this.numbers = h("output", { class: "number window" });
    this.toggles = Object.fromEntries(["invert", "flip"].map((name) => [name, button(name, () => this.set({ [name]: !this.state[name] }))]));
    this.linked = h("input", { type: "checkbox", "data-focus": "compare-linked", onchange: () => this.#link() });
    this.linked.checked = true;
    this.magnify = button("magnify", () => this.magnifier(!this.lens.on));
    this.measure = button("ruler", () => this.ruler(!this.rulers[0].on));
    this.presets = /** @type {Record<string, {window: number, level: number}>} */ ({ ...PRESETS });
    this.preset = h("select", { "aria-label": T.compare.preset, "data-focus": "compare-preset", onchange: ({ target }) => this.set(this.presets[target.value]) },
      Object.keys(PRESETS).map((name) => h("option", { value: name }, T.compare.presets[name])));
    panes[0].stage.addEventListener("deep", () => this.#deepen());
    followPointers(panes.map((pane) => pane.stage), {
      zoom: (factor, at) => this.zoom(factor, at),
      move: (x, y, stage) => this.move(x, y, stage),
      greys: (window, level) => this.greys(window, level),
    });
    this.#limit();
    this.set({});
  }

  /** Controls, for a toolbar. */
  get controls() {
    const slider = (name) => h("label", { class: "slider" }, T.compare[name], this.sliders[name]);
    return [this.preset, slider("window"), slider("level"), this.numbers, this.toggles.invert, this.toggles.flip,
      button("turn", () => this.turn(1)), button("zoomOut", () => this.zoom(1 / ZOOM.step)), button("zoomIn", () => this.zoom(ZOOM.step)),
      button("whole", () => this.pixels()), this.magnify, this.measure, h("label", { class: "check" }, this.linked, T.compare.linked), button("reset", () => this.reset())];
  }

  /** Actions of keys, like OHIF's where it has one. */
  get keys() {
    const { state } = this;
    return {
      "+": () => this.zoom(ZOOM.step), "=": () => this.zoom(ZOOM.step), "-": () => this.zoom(1 / ZOOM.step),
      0: () => this.reset(), i: () => this.set({ invert: !state.invert }), f: () => this.set({ flip: !state.flip }), h: () => this.set({ flip: !state.flip }),
      r: () => this.turn(1), l: () => this.turn(-1), z: () => this.magnifier(!this.lens.on), e: () => this.ruler(!this.rulers[0].on), x: () => this.pixels(),
      w: () => this.greys(STEP / 4, 0), s: () => this.greys(-STEP / 4, 0), d: () => this.greys(0, STEP / 4), a: () => this.greys(0, -STEP / 4),
      ...Object.fromEntries(Object.entries(PRESET_KEYS).map(([name, key]) => [key, () => this.#preset(name)])),
    };
  }

  /** Moves by the arrow keys. */
  get arrows() {
    return {
      ArrowLeft: () => this.move(STEP, 0), ArrowRight: () => this.move(-STEP, 0),
      ArrowUp: () => this.move(0, STEP), ArrowDown: () => this.move(0, -STEP),
    };
  }

  set(changes) {
    const { state } = this;
    Object.assign(state, changes);
    for (const name of ["window", "level"]) {
      const [least, most] = this.limits[name];
      state[name] = Math.min(most, Math.max(least, state[name]));
      this.sliders[name].value = state[name];
    }
    this.numbers.textContent = T.compare.windowed(inOwnValues(this.panes[0].values, state));
    for (const name of ["invert", "flip"]) this.toggles[name].setAttribute("aria-pressed", String(state[name]));
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      for (const [side, pane] of this.panes.entries()) {
        pane.move({ ...state, x: state.x + this.apart[side].x, y: state.y + this.apart[side].y });
        this.rulers[side].draw();
        if (["window", "level", "invert"].some((name) => pane.greys[name] !== state[name])) pane.grey(state);
      }
    });
  }

  /** Change window and level by greys; of an image's own values in proportion to the window, to reach the finest. */
  greys(window, level) {
    const { state } = this;
    const pace = this.panes[0].deep ? Math.min(1, state.window / GREYS) : 1;
    this.set({ window: state.window + window * pace, level: state.level + level * pace });
  }

  move(x, y, side = 0) {
    const { state } = this;
    if (this.linked.checked) this.set({ x: state.x + x, y: state.y + y });
    else {
      this.apart[side] = { x: this.apart[side].x + x, y: this.apart[side].y + y };
      this.set({});
    }
  }

  /** Zoom about a fixed point, in pixels from the pane's centre. */
  zoom(factor, at = { x: 0, y: 0 }) {
    const { scale, x, y } = this.state;
    const next = Math.min(ZOOM.most, Math.max(1, scale * factor));
    const grown = next / scale;
    this.set(next === 1 ? { scale: next, x: 0, y: 0 }
      : { scale: next, x: at.x - (at.x - x) * grown, y: at.y - (at.y - y) * grown });
  }

  /** Show the query's picture pixel for pixel, or larger if it is small. */
  pixels() {
    this.set({ scale: Math.min(ZOOM.most, Math.max(1, this.panes[0].pixelScale)), x: 0, y: 0 });
  }

  turn(quarters) {
    this.set({ turn: (this.state.turn + quarters + 4) % 4 });
  }

  magnifier(on) {
    this.lens.on = on;
    this.magnify.setAttribute("aria-pressed", String(on));
  }

  /** Measure by dragging, or move the images again. */
  ruler(on) {
    for (const one of this.rulers) {
      one.on = on;
      if (!on) one.clear();
    }
    this.measure.setAttribute("aria-pressed", String(on));
  }

  reset() {
    for (const one of this.rulers) one.clear();
    this.apart = this.panes.map(() => ({ x: 0, y: 0 }));
    this.preset.value = "full";
    this.set(PLAIN);
  }

  #preset(name) {
    if (!(name in this.presets)) return;
    this.preset.value = name;
    this.set(this.presets[name]);
  }

  /** The query's own values have come: all of them can be windowed. */
  #deepen() {
    const { values, deep } = this.panes[0];
    if (deep && values) {
      const all = everything(values);
      const [dark, bright] = [all.level - all.window / 2, all.level + all.window / 2];
      this.limits = { window: [narrowest(values), Math.max(GREYS, all.window)], level: [Math.min(0, dark), Math.max(GREYS - 1, bright)] };
      this.presets.all = all;
      this.preset.append(h("option", { value: "all" }, T.compare.presets.all));
    }
    this.#limit();
    this.set({});
  }

  #limit() {
    for (const [name, [min, max]] of Object.entries(this.limits)) Object.assign(this.sliders[name], { min: String(min), max: String(max) });
  }

  /** Panes that are linked again lie alike again. */
  #link() {
    if (this.linked.checked) this.apart = this.panes.map(() => ({ x: 0, y: 0 }));
    this.set({});
  }
}

const button = (name, act) => h("button", { "data-focus": `compare-${name}`, onclick: act }, T.compare[name]);
