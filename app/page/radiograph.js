// Radiograph with a heatmap: <img> and <canvas> of one shape, on top of each other.

import { picture } from "./api.js";
import { h } from "./dom.js";
import { frame, paint } from "./heat.js";
import { T } from "./texts.js";

export class Radiograph {
  flipped = false;
  turn = 0; // quarters, clockwise
  scale = 1;

  /** `label` is read by screen readers; `fit` is that of the network's preprocessing. */
  constructor(label, fit = "stretch") {
    this.fit = fit;
    this.image = h("img", { alt: label, draggable: "false" });
    this.canvas = h("canvas", { class: "heat", "aria-hidden": "true" });
    this.marker = h("div", { class: "marker", hidden: true });
    this.element = h("div", { class: "radiograph loading" }, this.image, this.canvas, this.marker);
    this.loaded = new Promise((resolve) => {
      this.image.addEventListener("load", () => {
        this.element.classList.remove("loading");
        resolve(true);
      });
      this.image.addEventListener("error", () => resolve(false));
    });
  }

  /** Show a picture of the service, with `side` pixels on its longer side. */
  async show(path, side) {
    try {
      this.image.src = await picture(path, { side });
    } catch (error) {
      this.miss(error.message);
    }
  }

  /** Show that there is no picture, and why. */
  miss(reason) {
    this.element.classList.replace("loading", "missing");
    this.element.title = reason;
  }

  /** Overlay a grid of values, on the scale 0 to `most`, as colours or as contour lines. */
  async heat(grid, most, lines = false) {
    const painted = { grid, most, lines };
    this.painted = painted;
    if (await this.loaded && this.painted === painted) { // a later call may have replaced it
      const { naturalWidth: width, naturalHeight: height, offsetWidth } = this.image;
      paint(this.canvas, grid, most, this.fit, width, height, lines ? offsetWidth : 0);
    }
  }

  /** Zone of a location of a grid, in words: side of the patient and third of the height. */
  zone([row, column], grid) {
    const lies = this.#frame;
    const across = ((column + 0.5) / grid[0].length - lies.x) / lies.width;
    const down = ((row + 0.5) / grid.length - lies.y) / lies.height;
    return T.zone(across < 0.43 ? "right" : across > 0.57 ? "left" : "middle", down < 1 / 3 ? "upper" : down < 2 / 3 ? "mid" : "lower");
  }

  /** Area of the picture in its box, before any transform: centred, in its own aspect ratio. */
  get #box() {
    const { offsetWidth, offsetHeight, naturalWidth, naturalHeight } = this.image;
    const scale = Math.min(offsetWidth / naturalWidth, offsetHeight / naturalHeight);
    const [width, height] = [naturalWidth * scale, naturalHeight * scale];
    return { x: (offsetWidth - width) / 2, y: (offsetHeight - height) / 2, width, height };
  }

  get #frame() {
    return frame(this.fit, this.image.naturalWidth, this.image.naturalHeight);
  }

  /** Place of the picture under a pointer, in shares of its width and height; null outside it. */
  placeAt({ clientX, clientY }) {
    const seen = this.image.getBoundingClientRect(); // after zoom, move, turn and flip, which keep the centre
    const [right, lower] = [clientX - seen.x - seen.width / 2, clientY - seen.y - seen.height / 2];
    const [sine, cosine] = [[0, 1], [1, 0], [0, -1], [-1, 0]][this.turn];
    const across = (right * cosine + lower * sine) / this.scale;
    const down = (lower * cosine - right * sine) / this.scale;
    const { width, height } = this.#box;
    const [x, y] = [(this.flipped ? -across : across) / width + 0.5, down / height + 0.5];
    return x >= 0 && x < 1 && y >= 0 && y < 1 ? { x, y } : null;
  }

  /** Location of a `side` x `side` grid under a pointer, counted row by row; null outside the image. */
  locationAt(event, side) {
    const place = this.placeAt(event);
    if (!place) return null;
    const lies = this.#frame;
    const { x: across, y: down } = place;
    const column = Math.floor((lies.x + across * lies.width) * side);
    const row = Math.floor((lies.y + down * lies.height) * side);
    return row * side + column;
  }

  /** Mark a location of a grid; null for none. */
  mark(location, side) {
    this.marker.hidden = location === null;
    if (location === null) return;
    const lies = this.#frame;
    const left = ((location % side) / side - lies.x) / lies.width;
    const top = (Math.floor(location / side) / side - lies.y) / lies.height;
    this.outline(this.marker, [left, top, left + 1 / side / lies.width, top + 1 / side / lies.height]);
  }

  /** Lay an element of the radiograph over an area: left, top, right and bottom in shares of the picture. */
  outline(element, [left, top, right, bottom]) {
    const box = this.#box;
    element.hidden = false;
    Object.assign(element.style, {
      left: `${box.x + left * box.width}px`,
      top: `${box.y + top * box.height}px`,
      width: `${(right - left) * box.width}px`,
      height: `${(bottom - top) * box.height}px`,
    });
  }
}
