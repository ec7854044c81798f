// Pane: an image with window and level, zoom, move, flip and turn, and marks of the patient's sides.

import { greysOf, levelsOf } from "./deep.js";
import { h } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

export const FULL = 1024; // the longest side of the service's copies
export const GREYS = 256;
export const FULL_RANGE = { window: GREYS, level: GREYS / 2 };
const ALL_GREYS = Array.from({ length: GREYS }, (_, grey) => grey);
const EDGES = ["left", "top", "right", "bottom"];

/** One side of the comparison. */
export class Pane extends Radiograph {
  turn = 0;
  scale = 1;
  deep = /** @type {{levels: Uint16Array, greys: Float32Array} | null} */ (null);
  greys = { ...FULL_RANGE, invert: false };

  constructor(label, fit) {
    super("", fit);
    this.screen = h("canvas", { class: "screen", role: "img", "aria-label": label });
    this.image.after(this.screen);
    this.marks = EDGES.map((edge) => h("span", { class: `side side-${edge}` }));
    this.stage = h("div", { class: "pane" }, this.element, this.marks);
  }

  /** Show a picture; `values` are the image's own, if it is deeper than the picture. @param {import("./deep.js").Values} [values] */
  async open(path, values) {
    this.values = values;
    await this.show(path, FULL);
    if (!await this.loaded) return;
    const { naturalWidth: width, naturalHeight: height } = this.image;
    Object.assign(this.screen, { width, height });
    this.context = this.screen.getContext("2d", { willReadFrequently: true });
    this.context.drawImage(this.image, 0, 0);
    this.source = this.context.getImageData(0, 0, width, height);
    this.grey();
    if (values && values.width === width && values.height === height) await this.#deepen(values);
  }

  /** Take the image's own values; without them the picture stays. */
  async #deepen(values) {
    try {
      const levels = await levelsOf(values);
      this.deep = { levels, greys: greysOf(values) };
      this.grey();
    } catch (error) {
      this.values = undefined;
      this.stage.title = error.message;
    }
    this.stage.dispatchEvent(new Event("deep"));
  }

  /** Apply window and level: greys within the window are spread from black to white. */
  grey({ window, level, invert } = this.greys) {
    this.greys = { window, level, invert };
    if (!this.source) return;
    const through = (grey) => {
      const share = Math.min(1, Math.max(0, (grey - (level - window / 2)) / window));
      return 255 * (invert ? 1 - share : share);
    };
    const shown = new ImageData(this.source.width, this.source.height);
    const to = new Uint32Array(shown.data.buffer);
    // the picture where it is shown as it came: a lookup table of the file may have made it
    const asItCame = window === FULL_RANGE.window && level === FULL_RANGE.level;
    const { levels, greys } = asItCame || !this.deep ? { levels: null, greys: ALL_GREYS } : this.deep;
    const table = Uint8ClampedArray.from(greys, through);
    const from = this.source.data;
    for (let pixel = 0; pixel < to.length; pixel += 1) {
      to[pixel] = 0xff000000 | (table[levels ? levels[pixel] : from[4 * pixel]] * 0x010101); // grey, so the byte order does not matter
    }
    this.context.putImageData(shown, 0, 0);
  }

  move({ scale, x, y, flip, turn }) {
    Object.assign(this, { flipped: flip, turn, scale });
    this.element.style.transform = `translate(${x}px, ${y}px) ${turn ? `rotate(${90 * turn}deg) ` : ""}scale(${flip ? -scale : scale}, ${scale})`;
    const sides = flip ? ["L", "", "R", ""] : ["R", "", "L", ""]; // as images are hung: the patient's right is at the left
    this.marks.forEach((mark, edge) => { mark.textContent = sides[(edge - turn + EDGES.length) % EDGES.length]; });
    this.stage.dataset.flipped = flip ? T.compare.flipped : "";
  }

  /** Pixels on the screen for each of the picture's. */
  get screenScale() {
    const { offsetWidth, offsetHeight } = this.image;
    return this.scale * Math.min(offsetWidth / this.screen.width, offsetHeight / this.screen.height);
  }

  /** Zoom at which a pixel of the picture is one of the screen. */
  get pixelScale() {
    return this.scale / this.screenScale / devicePixelRatio;
  }

  /** Position on the stage, in pixels, of a place of the picture, in shares of its sides. */
  onStage({ x, y }) {
    const [seen, stage] = [this.image.getBoundingClientRect(), this.stage.getBoundingClientRect()];
    const across = (x - 0.5) * this.screen.width * this.screenScale * (this.flipped ? -1 : 1);
    const down = (y - 0.5) * this.screen.height * this.screenScale;
    const [sine, cosine] = [[0, 1], [1, 0], [0, -1], [-1, 0]][this.turn];
    return [seen.x + seen.width / 2 - stage.x + across * cosine - down * sine, seen.y + seen.height / 2 - stage.y + across * sine + down * cosine];
  }
}
