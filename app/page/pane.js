// Pane: an image with window and level, zoom, move and flip.

import { h } from "./dom.js";
import { Radiograph } from "./radiograph.js";

export const FULL = 1024; // the longest side of the service's copies
export const GREYS = 256;

/** One side of the comparison. */
export class Pane extends Radiograph {
  constructor(label, fit) {
    super("", fit);
    this.screen = h("canvas", { class: "screen", role: "img", "aria-label": label });
    this.image.after(this.screen);
    this.stage = h("div", { class: "pane" }, this.element);
  }

  async open(path) {
    await this.show(path, FULL);
    if (!await this.loaded) return;
    const { naturalWidth: width, naturalHeight: height } = this.image;
    Object.assign(this.screen, { width, height });
    this.context = this.screen.getContext("2d", { willReadFrequently: true });
    this.context.drawImage(this.image, 0, 0);
    this.source = this.context.getImageData(0, 0, width, height);
    this.grey();
  }

  /** Apply window and level: greys within the window are spread from black to white. */
  grey({ window, level, invert } = this.greys) {
    this.greys = { window, level, invert };
    if (!this.source) return;
    const table = Uint8ClampedArray.from({ length: GREYS }, (_, grey) => {
      const share = Math.min(1, Math.max(0, (grey - (level - window / 2)) / window));
      return 255 * (invert ? 1 - share : share);
    });
    const shown = new ImageData(this.source.width, this.source.height);
    const [from, to] = [this.source.data, new Uint32Array(shown.data.buffer)];
    for (let pixel = 0; pixel < to.length; pixel += 1) {
      to[pixel] = 0xff000000 | (table[from[4 * pixel]] * 0x010101); // grey, so the byte order does not matter
    }
    this.context.putImageData(shown, 0, 0);
  }

  move({ scale, x, y, flip }) {
    this.flipped = flip;
    this.element.style.transform = `translate(${x}px, ${y}px) scale(${flip ? -scale : scale}, ${scale})`;
  }
}
