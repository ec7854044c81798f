// Keyboard shortcuts: single letters, their list, and the switch that turns them off (WCAG 2.1.4).

import { dialog, h } from "./dom.js";
import { T } from "./texts.js";

const OFF = "xemplar-shortcuts-off";

export const shortcutsAreOn = () => localStorage.getItem(OFF) === null;

const table = (rows) => h("dl", { class: "keys" }, rows.map(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)]));

/** Show the list of shortcuts. */
export function showShortcuts() {
  if (document.querySelector("dialog.shortcuts")) return;
  const on = h("input", { type: "checkbox", onchange: ({ target }) => (target.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "")) });
  on.checked = shortcutsAreOn();
  dialog("shortcuts", T.shortcuts.heading,
    h("label", { class: "check" }, on, T.shortcuts.on),
    table(T.shortcuts.list), h("h3", {}, T.shortcuts.compare), table(T.shortcuts.compareList));
}

/** Whether a key is a shortcut: no text is written, and shortcuts are on. */
function isShortcut(event) {
  const { target } = event;
  const writing = target instanceof Element && target.matches("input:not([type=range], [type=checkbox]), select, textarea");
  return !writing && !event.ctrlKey && !event.metaKey && !event.altKey && shortcutsAreOn();
}

/** Call `held(true)` when a key goes down, and `held(false)` when it comes up or the window loses the focus. */
export function hold(key, held) {
  let down = false;
  const up = () => {
    if (down) held(false);
    down = false;
  };
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== key || event.repeat || !isShortcut(event)) return;
    down = true;
    held(true);
  });
  addEventListener("keyup", (event) => event.key.toLowerCase() === key && up());
  addEventListener("blur", up);
}

/** Run the action of a key, unless the focus is in a text field. */
export function listen(actions) {
  addEventListener("keydown", (event) => {
    if (!isShortcut(event)) return;
    const act = actions[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
