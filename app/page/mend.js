// Mend: turns, inverts, crops and masks an image in the browser, and asks with the result.

import { dialog, h } from "./dom.js";
import { T } from "./texts.js";

const TURNS = { turned_right: 3, upside_down: 2, turned_left: 1 }; // quarter turns clockwise that put it right
const LEAST = 8; // pixels: a smaller box is a click

/** Steps that answer a doubt at once, as a list of changes; null for those that need the reader's eye. */
export function remedy(doubt) {
  if (doubt === "inverted") return [invert];
  return doubt in TURNS ? [turned(TURNS[doubt])] : null;
}

/** Draw an image, of a file or an address, onto a canvas in grey; null if the browser cannot read it. */
export async function drawn(source) {
  const address = source instanceof Blob ? URL.createObjectURL(source) : source;
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
  } catch {
    return null;
  } finally {
    if (source instanceof Blob) URL.revokeObjectURL(address);
  }
  return canvasOf(image.naturalWidth, image.naturalHeight, (context) => {
    context.filter = "grayscale(1)";
    context.drawImage(image, 0, 0);
  });
}

function canvasOf(width, height, draw) {
  const canvas = h("canvas", { width, height });
  draw(canvas.getContext("2d"));
  return canvas;
}

const invert = (from) => canvasOf(from.width, from.height, (context) => {
  context.filter = "invert(1)";
  context.drawImage(from, 0, 0);
});

const turned = (quarters) => (from) => {
  const [width, height] = quarters % 2 ? [from.height, from.width] : [from.width, from.height];
  return canvasOf(width, height, (context) => {
    context.translate(width / 2, height / 2);
    context.rotate((quarters * Math.PI) / 2);
    context.drawImage(from, -from.width / 2, -from.height / 2);
  });
};

const cropped = (from, { x, y, width, height }) =>
  canvasOf(width, height, (context) => context.drawImage(from, -x, -y));

const masked = (from, { x, y, width, height }) => canvasOf(from.width, from.height, (context) => {
  context.drawImage(from, 0, 0);
  context.fillRect(x, y, width, height);
});

/** Steps that mask areas: left, top, right and bottom in shares of the picture. */
export const masking = (areas) => areas.map(([left, top, right, bottom]) => (from) => masked(from, {
  x: Math.floor(left * from.width), y: Math.floor(top * from.height),
  width: Math.ceil((right - left) * from.width) + 1, height: Math.ceil((bottom - top) * from.height) + 1,
}));

/** Apply changes and return the image as a PNG. @returns {Promise<Blob>} */
export const changed = (canvas, steps) =>
  new Promise((resolve) => steps.reduce((from, step) => step(from), canvas).toBlob(resolve, "image/png"));

/**
 * Let the reader change an image; `ask` receives it as a PNG. `text` are areas with text, or null if
 * they were not looked for: they are masked, and shown.
 */
export function mend(canvas, ask, text = /** @type {number[][] | null} */ (null)) {
  const steps = [canvas];
  let act = text ? masked : cropped;
  const stage = h("div", { class: "mending" });
  const box = h("div", { class: "marker", hidden: true });
  const show = () => {
    stage.replaceChildren(steps.at(-1), box, ...steps.length === 2 ? outlines : []);
    box.hidden = true;
    back.disabled = steps.length === 1;
  };
  const outlines = (text ?? []).map(([left, top, right, bottom]) => outlined(left, top, right - left, bottom - top));
  const step = (change) => () => { steps.push(change(steps.at(-1))); show(); };
  const back = h("button", { onclick: () => { steps.pop(); show(); } }, T.mend.undo);
  const tools = Object.entries({ crop: cropped, mask: masked }).map(([name, tool]) =>
    h("button", { "aria-pressed": String(tool === act), onclick: ({ target }) => {
      act = tool;
      for (const one of tools) one.setAttribute("aria-pressed", String(one === target));
    } }, T.mend[name]));
  drag(stage, box, (place) => step((from) => act(from, place))());
  const opened = dialog("mend", T.mend.heading, h("p", { class: "faint" }, text ? T.mend.textHint(text.length) : T.mend.hint), stage,
    h("div", { class: "buttons" }, tools,
      h("button", { onclick: step(turned(3)) }, T.mend.left), h("button", { onclick: step(turned(1)) }, T.mend.right),
      h("button", { onclick: step(invert) }, T.mend.invert), back,
      h("button", { class: "main", onclick: async () => { opened.close(); ask(await changed(steps.at(-1), [])); } }, T.mend.ask)));
  if (text?.length) step((from) => masking(text).reduce((image, change) => change(image), from))();
  else show();
}

/** Outline of an area in shares of the stage, which a canvas fills. */
function outlined(left, top, width, height) {
  const outline = h("div", { class: "marker" });
  for (const [name, share] of Object.entries({ left, top, width, height })) outline.style[name] = `${100 * share}%`;
  return outline;
}

/** Let the reader draw a box on the stage's canvas; `done` receives it in the canvas's pixels. */
function drag(stage, box, done) {
  let from = null;
  const at = ({ clientX, clientY }) => {
    const seen = stage.querySelector("canvas").getBoundingClientRect();
    const inside = (value, most) => Math.min(most, Math.max(0, value));
    return { x: inside(clientX - seen.x, seen.width), y: inside(clientY - seen.y, seen.height), scale: stage.querySelector("canvas").width / seen.width };
  };
  const between = (a, b) => ({ x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), width: Math.abs(a.x - b.x), height: Math.abs(a.y - b.y) });
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    from = at(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!from) return;
    const place = between(from, at(event));
    box.hidden = false;
    Object.assign(box.style, { left: `${place.x}px`, top: `${place.y}px`, width: `${place.width}px`, height: `${place.height}px` });
  });
  stage.addEventListener("pointerup", (event) => {
    const [to, begun] = [at(event), from];
    from = null;
    box.hidden = true;
    const place = between(begun, to);
    if (Math.min(place.width, place.height) < LEAST) return;
    done(Object.fromEntries(Object.entries(place).map(([name, value]) => [name, Math.round(value * to.scale)])));
  });
}
