// Builds elements without markup in strings, so text from label files can never become HTML.

import { T } from "./texts.js";

/** Create an element; properties beginning with "on" are listeners, others attributes (false: none). @returns {any} */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** Open a modal dialog, which closes with Escape, its button, or a click outside it. */
export function dialog(name, heading, ...children) {
  const close = h("button", { class: "quiet", onclick: () => box.close() }, T.close);
  const title = h("h2", { id: `${name}-title` }, heading);
  const box = h("dialog", { class: name, "aria-labelledby": `${name}-title` },
    h("header", {}, title, close), ...children);
  let beside = false; // where the press began: a text selection may end outside the dialog
  box.addEventListener("pointerdown", ({ target, clientX: x, clientY: y }) => {
    const { left, right, top, bottom } = box.getBoundingClientRect();
    beside = target === box && (x < left || x > right || y < top || y > bottom);
  });
  box.addEventListener("click", (event) => event.target === box && beside && box.close());
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Ask for confirmation, with optional fields to fill in; resolves to true if the reader agrees. */
export function confirmed(heading, fields, yes, no) {
  return new Promise((resolve) => {
    let agreed = false;
    const form = h("form", { method: "dialog", onsubmit: () => { agreed = true; } }, fields,
      h("div", { class: "buttons" }, h("button", { class: "main", type: "submit" }, yes),
        h("button", { type: "button", onclick: () => box.close() }, no)));
    const box = dialog("confirm", heading, form);
    box.addEventListener("close", () => resolve(agreed));
  });
}

/** Announce a text to screen readers, invisibly. */
export function say(text) {
  const live = document.getElementById("live");
  if (live) live.textContent = text;
}

/** Name of the focused element, for restoring the focus after a redraw; "" if it has none, null if the focus is elsewhere. */
export function focused(within = document.body) {
  const element = document.activeElement;
  return element instanceof HTMLElement && within.contains(element) ? element.dataset.focus ?? "" : null;
}
