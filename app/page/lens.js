// Lens: enlarges what is under the pointer, and the same place of the other pane.

import { h } from "./dom.js";

const SIDE = 220; // pixels on the screen
const TIMES = 2.5;

/** A lens over panes, shown while it is `on` and the pointer is over one of them. @param {import("./pane.js").Pane[]} panes */
export function lens(panes) {
  const glasses = panes.map((pane) => {
    const glass = h("canvas", { class: "lens", width: SIDE, height: SIDE, hidden: true, "aria-hidden": "true" });
    pane.stage.append(glass);
    return glass;
  });
  const shown = { on: false };
  const hide = () => {
    for (const glass of glasses) glass.hidden = true;
  };
  for (const pane of panes) {
    pane.stage.addEventListener("pointermove", (event) => {
      const place = shown.on ? pane.placeAt(event) : null;
      if (!place) hide();
      else for (const [side, other] of panes.entries()) draw(glasses[side], other, place);
    });
    pane.stage.addEventListener("pointerleave", hide);
  }
  return shown;
}

/** Draw the surroundings of a place, in shares of the picture's width and height. */
function draw(glass, pane, place) {
  const { screen } = pane;
  const [x, y] = pane.onStage(place);
  const pixels = SIDE / TIMES / pane.screenScale; // of the picture, across the lens
  const context = glass.getContext("2d");
  context.fillRect(0, 0, SIDE, SIDE);
  context.save();
  context.translate(SIDE / 2, SIDE / 2);
  context.rotate((pane.turn * Math.PI) / 2);
  context.scale(pane.flipped ? -SIDE / pixels : SIDE / pixels, SIDE / pixels);
  context.drawImage(screen, -place.x * screen.width, -place.y * screen.height);
  context.restore();
  Object.assign(glass.style, { left: `${x - SIDE / 2}px`, top: `${y - SIDE / 2}px` });
  glass.hidden = false;
}
