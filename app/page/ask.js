// Ask: drop, paste or choose an image, or start from an example or an indexed case.

import { get } from "./api.js";
import { hashOf } from "./address.js";
import { h } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";
import { about, findings } from "./answer.js";
import { vocabulary } from "./filters.js";
import { wordsBox } from "./words.js";

const PAGE = 24;
const SIDE = 256;
const EXAMPLE = "page/example.jpg";
const HEALTHY = "No Finding";

/** Accept images dropped or pasted anywhere on the page; `take` receives all of them. */
export function takeRadiographs(take, refuse) {
  const files = (transfer) => [...(transfer?.files ?? [])];
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dragging"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const radiographs = files(event.dataTransfer);
    const folder = event.dataTransfer?.items?.[0]?.webkitGetAsEntry?.()?.isDirectory; // a folder has no bytes to send
    if (radiographs.length && !folder) take(radiographs);
    else refuse(T.errors.noRadiograph);
  });
  addEventListener("paste", (event) => {
    if (event.target instanceof Element && event.target.matches("input, textarea")) return;
    const radiographs = files(event.clipboardData);
    if (radiographs.length) take(radiographs);
    else refuse(T.errors.noRadiograph);
  });
}

/** Past cases: those with a finding, or without a report, before those reported to be without one. */
const EVERYTHING = [{ none_of: HEALTHY }, { any_of: HEALTHY }];

function gallery() {
  const list = h("ol", { class: "gallery" });
  const more = h("button", { class: "quiet", hidden: true }, T.ask.more);
  const message = h("p", { class: "empty", role: "status" });
  let pages = /** @type {Record<string, any>[]} */ ([]); // to be asked for, in this order

  const load = async () => {
    more.hidden = true;
    const asked = pages;
    try {
      const [first, ...rest] = asked;
      const page = await get("cases", { limit: PAGE, ...first });
      if (pages !== asked) return; // another finding was chosen meanwhile
      list.append(...page.cases.map(thumbnail));
      pages = page.next ? [Object.fromEntries(new URL(page.next, location.href).searchParams), ...rest] : rest;
      if (!page.next && rest.length && page.cases.length < PAGE) return await load();
      message.textContent = list.children.length ? "" : T.ask.none;
      more.hidden = !pages.length;
    } catch (error) {
      if (pages === asked) message.textContent = error.message;
    }
  };
  more.addEventListener("click", load);
  const filter = (finding) => {
    pages = finding ? [{ any_of: finding }] : [...EVERYTHING];
    list.replaceChildren();
    return load();
  };
  return { list, more, message, filter };
}

/** @param {import("./api.js").Schemas["CaseOut"]} one */
function thumbnail(one) {
  const radiograph = new Radiograph("");
  radiograph.show(one.image_url, SIDE);
  const link = h("a", { href: hashOf({ kind: "case", id: one.case_id }), "aria-label": T.ask.open(one.case_id) }, radiograph.element);
  return h("li", {}, link, findings(one), h("span", { class: "faint" }, about(one)));
}

/** Build the start view; `take` receives the images. */
export function askView(take) {
  const file = h("input", { type: "file", id: "file", multiple: true, // no `accept`: DICOM files on CDs have no suffix
    onchange: ({ target }) => target.files.length && take([...target.files]) });
  const example = async () => take([await (await fetch(EXAMPLE)).blob()]);
  const names = h("select", { id: "of", onchange: ({ target }) => cases.filter(target.value) },
    h("option", { value: "" }, T.ask.everything));
  const cases = gallery();
  cases.filter("");
  vocabulary().then((found) => names.append(...found.filter((one) => one.cases).map((one) =>
    h("option", { value: one.finding }, T.ask.count(T.finding(one.finding), one.cases)))), () => {}); // the gallery shows the error
  return h("div", { class: "ask" },
    h("section", { class: "drop" },
      h("h1", {}, T.ask.heading),
      h("p", {}, T.ask.drop),
      h("div", { class: "buttons" },
        h("label", { class: "button main", for: "file" }, T.ask.choose), file,
        h("button", { onclick: example }, T.ask.example)),
      h("p", { class: "faint" }, T.ask.kinds), wordsBox()),
    h("section", { class: "indexed" },
      h("header", {}, h("h2", {}, T.ask.indexed), h("label", { for: "of" }, T.ask.of), names),
      cases.list, cases.message, cases.more));
}
