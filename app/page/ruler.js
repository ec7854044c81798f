// Ruler: a line over an image and its length by the header's pixel spacing; without one it says so.

import { T } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {{x: number, y: number}} Point */

/** Ruler of one pane: while it is `on`, dragging measures instead of moving the image. */
export class Ruler {
  on = false;
  ends = /** @type {Point[]} */ ([]); // in shares of the picture's sides

  /** `size` is the height and width of the image in mm, null if unknown. @param {import("./pane.js").Pane} pane @param {number[] | null} size */
  constructor(pane, size) {
    this.pane = pane;
    this.size = size;
    this.drawing = document.createElementNS(SVG, "svg");
    this.drawing.classList.add("ruler");
    this.line = this.drawing.appendChild(document.createElementNS(SVG, "line"));
    this.label = document.createElement("output");
    this.label.className = "length";
    pane.stage.append(this.drawing, this.label);
    this.#listen();
    this.clear();
  }

  clear() {
    this.ends = [];
    this.draw();
  }

  /** Length of the line in mm; null without a pixel spacing. */
  get length() {
    if (!this.size) return null;
    const [[height, width], [from, to]] = [this.size, this.ends];
    return Math.hypot((to.x - from.x) * width, (to.y - from.y) * height);
  }

  /** Draw the line where its ends are now, after any zoom, move, turn or flip. */
  draw() {
    const shown = this.ends.length === 2;
    this.drawing.toggleAttribute("hidden", !shown);
    this.label.hidden = !shown;
    if (!shown) return;
    const [[x1, y1], [x2, y2]] = this.ends.map((end) => this.pane.onStage(end));
    for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) this.line.setAttribute(name, String(value));
    this.label.textContent = T.compare.length(this.length);
    Object.assign(this.label.style, { left: `${(x1 + x2) / 2}px`, top: `${(y1 + y2) / 2 + 8}px` });
  }

  #listen() {
    const { stage } = this.pane;
    let drawing = false;
    const capture = { capture: true }; // before the stage moves
    stage.addEventListener("pointerdown", (event) => {
      const from = this.on && event.buttons === 1 ? this.pane.placeAt(event) : null;
      if (!from) return;
      event.stopImmediatePropagation();
      stage.setPointerCapture(event.pointerId);
      drawing = true;
      this.ends = [from];
      this.draw();
    }, capture);
    stage.addEventListener("pointermove", (event) => {
      const to = drawing && this.pane.placeAt(event);
      if (!to) return;
      event.stopImmediatePropagation();
      this.ends = [this.ends[0], to];
      this.draw();
    }, capture);
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { drawing = false; }, capture);
    new ResizeObserver(() => this.draw()).observe(stage);
  }
}
