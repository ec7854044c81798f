// Viewer: panes that are zoomed, moved, turned and windowed together, by mouse, fingers, keys or buttons.

import { h } from "./dom.js";
import { lens } from "./lens.js";
import { FULL_RANGE, GREYS } from "./pane.js";
import { followPointers } from "./pointer.js";
import { Ruler } from "./ruler.js";
import { T } from "./texts.js";

const ZOOM = { most: 16, step: 1.25 };
const STEP = 40; // pixels per arrow key; grey levels per key are derived from it
const PLAIN = { scale: 1, x: 0, y: 0, ...FULL_RANGE, invert: false, flip: false, turn: 0 };

/** Windows of the grey levels shown (0 to 255), not of the detector's values: the pictures have 8 bits. */
export const PRESETS = { full: FULL_RANGE, lungs: { window: 130, level: 75 }, bones: { window: 130, level: 180 } };

export class Viewer {
  /** `sizes` are those of the images in mm, null where unknown. @param {import("./pane.js").Pane[]} panes @param {(number[] | null)[]} sizes */
  constructor(panes, sizes) {
    this.panes = panes;
    this.rulers = panes.map((pane, side) => new Ruler(pane, sizes[side]));
    this.state = { ...PLAIN };
    this.apart = panes.map(() => ({ x: 0, y: 0 })); // moves of each pane alone
    this.lens = lens(panes);
    this.sliders = Object.fromEntries(["window", "level"].map((name) => [name, h("input", {
      type: "range", min: name === "window" ? 2 : 0, max: name === "window" ? GREYS : GREYS - 1, value: PLAIN[name], oninput: ({ target }) => this.set({ [name]: Number(target.value) }),
    })]));
    this.toggles = Object.fromEntries(["invert", "flip"].map((name) => [name, button(name, () => this.set({ [name]: !this.state[name] }))]));
    this.linked = h("input", { type: "checkbox", "data-focus": "compare-linked", onchange: () => this.#link() });
    this.linked.checked = true;
    this.magnify = button("magnify", () => this.magnifier(!this.lens.on));
    this.measure = button("ruler", () => this.ruler(!this.rulers[0].on));
    this.preset = h("select", { "aria-label": T.compare.preset, "data-focus": "compare-preset", onchange: ({ target }) => this.set(PRESETS[target.value]) },
      Object.keys(PRESETS).map((name) => h("option", { value: name }, T.compare.presets[name])));
    followPointers(panes.map((pane) => pane.stage), {
      zoom: (factor, at) => this.zoom(factor, at),
      move: (x, y, stage) => this.move(x, y, stage),
      greys: (window, level) => this.set({ window: this.state.window + window, level: this.state.level + level }),
    });
    this.set({});
  }

  /** Controls, for a toolbar. */
  get controls() {
    const slider = (name) => h("label", { class: "slider" }, T.compare[name], this.sliders[name]);
    return [this.preset, slider("window"), slider("level"), this.toggles.invert, this.toggles.flip,
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
      w: () => this.set({ window: state.window + STEP / 4 }), s: () => this.set({ window: state.window - STEP / 4 }),
      d: () => this.set({ level: state.level + STEP / 4 }), a: () => this.set({ level: state.level - STEP / 4 }),
      ...Object.fromEntries(Object.entries(PRESETS).map(([name, preset], at) => [String(at + 7), () => { this.preset.value = name; this.set(preset); }])),
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
    state.window = Math.min(GREYS, Math.max(2, state.window));
    state.level = Math.min(GREYS - 1, Math.max(0, state.level));
    for (const name of ["window", "level"]) this.sliders[name].value = state[name];
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

  /** Panes that are linked again lie alike again. */
  #link() {
    if (this.linked.checked) this.apart = this.panes.map(() => ({ x: 0, y: 0 }));
    this.set({});
  }
}

const button = (name, act) => h("button", { "data-focus": `compare-${name}`, onclick: act }, T.compare[name]);
