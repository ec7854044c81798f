// Pointers on images: drag to move, wheel or two fingers to zoom; the right button, or Shift, for window and level.

const STEP = 1.25; // zoom factor of a wheel step

/**
 * Follow the pointers on several stages that move together. `act` has
 * zoom(factor, at), `at` in pixels from the stage's centre; move(x, y, stage), `stage` being its
 * position in the list; greys(window, level).
 */
export function followPointers(stages, act) {
  const fingers = new Map();
  for (const [number, stage] of stages.entries()) {
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    const centred = ({ clientX, clientY }) => {
      const box = stage.getBoundingClientRect();
      return { x: clientX - box.x - box.width / 2, y: clientY - box.y - box.height / 2 };
    };
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      act.zoom(event.deltaY < 0 ? STEP : 1 / STEP, centred(event));
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => fingers.delete(event.pointerId));
    stage.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      fingers.set(event.pointerId, event);
      const moved = { x: event.clientX - before.clientX, y: event.clientY - before.clientY };
      if (fingers.size === 2) {
        const [other] = [...fingers.values()].filter((finger) => finger.pointerId !== event.pointerId);
        const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
        act.zoom(apart(event) / Math.max(1, apart(before)), centred(other));
      } else if (event.shiftKey || event.buttons & 2) {
        act.greys(moved.x, -moved.y);
      } else {
        act.move(moved.x, moved.y, number);
      }
    });
  }
}
