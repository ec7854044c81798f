// Question of several images: the strip that shows them, and ways for others to join or leave.

import { ask, go } from "./address.js";
import { sendRadiograph } from "./api.js";
import { h } from "./dom.js";
import { draggable } from "./drag.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

const SIDE = 128;
const JOINED = { image: "with_query", case: "with_case" }; // parameter by kind, in the order of the answer's images
const OF_THE_FIRST = ["region", "same_patient"]; // conditions that say nothing of another image

/** Whether a question has other images beside its first. @param {URLSearchParams} question */
export const isOfSeveral = (question) => Object.values(JOINED).some((name) => question.has(name));

/** A question without its other images. @param {URLSearchParams} question */
export function alone(question) {
  const rest = new URLSearchParams(question);
  for (const name of Object.values(JOINED)) rest.delete(name);
  return rest;
}

/** Images of a question, the first first. @param {Pick<import("./address.js").Place, "kind" | "id" | "question">} place */
const imagesOf = ({ kind, id, question }) =>
  [{ kind, id }, ...Object.entries(JOINED).flatMap(([other, name]) => question.getAll(name).map((one) => ({ kind: other, id: one })))];

/** Ask with these images. */
function askWith(images, place) {
  const [first, ...rest] = images;
  const question = alone(place.question);
  for (const { kind, id } of rest) question.append(JOINED[kind], id);
  if (first.id !== place.id) for (const name of OF_THE_FIRST) question.delete(name);
  go({ kind: first.kind, id: first.id, question, look: null });
}

/** The images of a question of several, each with a button that takes it out; null for one image. @param {import("./answer.js").Answer} answer */
export function strip({ images = [] }, place) {
  if (!images.length) return null;
  const all = imagesOf(place);
  const item = (one, at) => {
    const radiograph = new Radiograph("");
    radiograph.show(images[at].image_url, SIDE);
    const rest = all.filter((_, other) => other !== at);
    const shown = [radiograph.element, h("span", { class: "rank number", "aria-hidden": "true" }, at + 1)];
    return h("li", {},
      at ? h("button", { class: "thumbnail", "aria-label": T.several.putFirst(at + 1), title: T.several.putFirst(at + 1), onclick: () => askWith([one, ...rest], place) }, shown)
        : h("div", { class: "thumbnail" }, shown),
      h("button", { class: "quiet", "data-focus": `leave-${at}`, "aria-label": T.several.takeOut(at + 1), onclick: () => askWith(rest, place) }, "×"));
  };
  const doubts = images.flatMap(({ warnings }, at) => (at ? warnings.map((text) => h("li", {}, T.ask.refused(T.ask.image(at + 1), text))) : []));
  return h("div", { class: "together", role: "group", "aria-label": T.several.label },
    h("ul", {}, all.map(item)), h("p", { class: "faint" }, T.several.meaning(images.length)), doubts.length ? h("ul", { class: "warnings" }, doubts) : null);
}

/** Field for images that shall join the question; `join` receives them. */
export function joinFiles(join) {
  const file = h("input", { type: "file", id: "join", multiple: true, "data-focus": "join", onchange: ({ target }) => target.files.length && join([...target.files]) });
  return h("span", { class: "join" }, h("label", { class: "button quiet", for: "join" }, T.several.addFile), file);
}

/** Send images that shall join a question; resolves to the question with them. @param {import("./api.js").Sending} sending */
export async function joined(files, question, sending) {
  const next = new URLSearchParams(question);
  for (const file of files) next.append(JOINED.image, (await sendRadiograph(file, { k: 1 }, sending)).query_id);
  return next;
}

/** Button that lets a case join the question. @param {import("./answer.js").Near} near */
export function joinButton(near, place) {
  return h("button", { class: "quiet", "data-focus": `join-${near.case_id}`, title: T.several.joinText, "aria-label": T.several.joinCase(near.rank), onclick: () => joinCase(near, place) }, T.several.join);
}

/** Let a case be dragged onto the query by its thumbnail, to join the question. @param {import("./answer.js").Near} near */
export function joinByDrag(near, place, card, thumbnail, clicked) {
  draggable(card, thumbnail, {
    shelfAt: (x, y) => document.elementFromPoint(x, y)?.closest(".answer > .query"),
    dropped: () => joinCase(near, place),
    clicked,
  });
}

function joinCase({ case_id: id }, { question }) {
  ask(JOINED.case, [...question.getAll(JOINED.case), id]);
}

/** Button that asks without the other images, where one of them is gone; null where that is not so. */
export function leaveOthers(error, question) {
  if (error.status !== 404 || !isOfSeveral(question)) return null;
  return h("button", { onclick: () => go({ question: alone(question) }) }, T.several.leaveOthers);
}
