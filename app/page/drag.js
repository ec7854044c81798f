// Drags a card to a shelf with a mouse or a pen. A finger scrolls instead; buttons do the same.

const FAR = 6; // pixels: less is a click

/** Make `card` draggable by `handle`; calls `clicked`, or `dropped` with the shelf that `shelfAt` finds. */
export function draggable(card, handle, { shelfAt, dropped, clicked }) {
  let from = /** @type {PointerEvent | null} */ (null);
  let lies = new DOMRect();
  let moved = false;
  let over = /** @type {Element | null} */ (null);
  const hover = (shelf) => {
    over?.classList.remove("over");
    shelf?.classList.add("over");
    over = shelf;
  };
  const lay = () => {
    from = null;
    hover(null);
    card.classList.remove("dragged");
    card.removeAttribute("style");
    setTimeout(() => { moved = false; }); // after the click that ends a drag
  };
  handle.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" || event.button !== 0) return;
    handle.setPointerCapture(event.pointerId);
    from = event;
    lies = card.getBoundingClientRect();
  });
  handle.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = [event.clientX - from.clientX, event.clientY - from.clientY];
    moved ||= Math.hypot(x, y) >= FAR;
    if (!moved) return;
    card.classList.add("dragged");
    const place = { left: lies.x + x, top: lies.y + y, width: lies.width };
    for (const [name, pixels] of Object.entries(place)) card.style[name] = `${pixels}px`;
    hover(shelfAt(event.clientX, event.clientY));
  });
  handle.addEventListener("pointerup", () => {
    const shelf = over;
    lay();
    if (shelf) dropped(shelf);
  });
  handle.addEventListener("pointercancel", lay);
  handle.addEventListener("click", () => moved || clicked());
}
