// Entry point of the reading room: shows the view of the current address.

import { asked, go, hashOf, here } from "./address.js";
import { adminView } from "./admin.js";
import { AnswerView } from "./answer.js";
import { get, picture, send, sendRadiograph, sendSeries, sendTogether } from "./api.js";
import { askView, takeRadiographs } from "./ask.js";
import { confirmed, focused, h, say } from "./dom.js";
import { askForKey, keyIsKept, showKey } from "./key.js";
import { Compare, foresee } from "./compare.js";
import { collect } from "./collect.js";
import { collectionView } from "./collection.js";
import { rateView } from "./rate.js";
import { readersView } from "./readers.js";
import { printRecord, saveRecord } from "./record.js";
import { askWhatTheyAre, filmLinks, SEPARATE, SERIES } from "./several.js";
import { hold, listen, showShortcuts } from "./shortcuts.js";
import { T } from "./texts.js";
import { alone, isOfSeveral, joined, leaveOthers } from "./together.js";
import { MODES, showMode } from "./explanations.js";
import { changed, drawn, mend, remedy } from "./mend.js";
import { FULL } from "./pane.js";
import { wordsView } from "./words.js";
import { workView } from "./work.js";

const THEME = "xemplar-theme";
const ALSO = { include: "maps", prevalence: "true" };

const main = h("main", { id: "main", tabindex: "-1" });
const bar = h("progress", { max: 1, hidden: true, "aria-label": T.ask.looking });
const status = h("span", { class: "faint number", id: "index" });
const message = h("div", { class: "message", role: "alert" });
const admin = h("a", { class: "button quiet", href: "#/admin", hidden: true }, T.admin.link);
const signIn = h("button", { class: "quiet", hidden: true });
const others = h("nav", { class: "also", "aria-label": T.ask.several, hidden: true }); // images that were sent together
const withoutImage = {
  ask: () => askView(takeAll), admin: () => adminView(fail), readers: ({ id }) => readersView(id, fail),
  words: (place) => wordsView(place, fail, keep.collect), work: () => workView(fail), collection: (place) => collectionView(place, fail),
};

let shown = null; // { key, view, answer }: what is on the screen
let look = null;
let running = new AbortController();
const answers = new Map(); // answers to images just sent, by key, to avoid a second request

const keyOf = ({ kind, id, rate, question }) => hashOf({ kind, id, rate, question });

/** Show the view of the current address. */
async function render() {
  const place = here();
  const key = keyOf(place);
  if (shown?.key !== key) {
    if (!await mayLeave()) {
      history.replaceState(null, "", shown.key);
      return;
    }
    if (!await load(place, key)) return;
  }
  message.replaceChildren();
  if (!shown.view) return;
  shown.view.update(place);
  renderCompare(place);
}

/** Resolves to true if the view may be left: unsaved ratings would be lost. */
async function mayLeave() {
  await shown?.view?.saving;
  if (!shown?.view?.failed) return true;
  return confirmed(T.rate.leave, [h("p", {}, T.rate.leaveText)], T.rate.leaveAll, T.rate.stay);
}

/** Show the heat map while its key is held; where it is on, the image alone. */
function peek(held) {
  const place = here();
  if (!shown?.view?.keep || shown.answer.rated) return;
  const show = held ? (place.show === "gradcam" ? "image" : "gradcam") : place.show;
  (look ?? shown.view).update({ ...place, show });
}

/** Load the view of an address; resolves to false if that failed or another view was requested meanwhile. */
async function load(place, key) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  look?.leave();
  look = null;
  if (place.kind in withoutImage) {
    busy(null);
    shown = { key };
    main.replaceChildren(withoutImage[place.kind](place));
    scrollTo(0, 0);
    return true;
  }
  try {
    busy(undefined);
    if (place.rate) return await loadRating(place, key, signal);
    const path = place.kind === "case" ? `cases/${place.id}/similar` : `queries/${place.id}/similar`;
    const question = new URLSearchParams([...asked(place.question), ...Object.entries(ALSO)]);
    const answer = answers.get(key) ?? await get(path, question, { signal, waiting });
    answers.delete(key);
    if (signal.aborted) return false;
    const sameRadiograph = shown?.answer && shown.place.id === place.id;
    const [focus, scrolled] = [focused(), main.querySelector(".query")?.scrollTop];
    shown = { key, place, answer, view: new AnswerView(answer, place, keep) };
    main.replaceChildren(shown.view.element);
    if (sameRadiograph) {
      main.querySelector(".query").scrollTop = scrolled;
      main.querySelector(`[data-focus="${focus}"]`)?.focus();
    } else {
      scrollTo(0, 0);
      main.focus({ preventScroll: true });
    }
    say(`${answer.neighbours.length} ${T.answer.neighbours}`);
    foresee(answer);
    busy(null);
    return true;
  } catch (error) {
    if (error.name !== "AbortError") fail(error, render, leaveOthers(error, place.question));
    return false;
  }
}

async function loadRating(place, key, signal) {
  const renew = async (change) => {
    if (!await mayLeave()) return;
    change();
    shown = null;
    render();
  };
  const view = await rateView(place, { signal, waiting, renew });
  if (signal.aborted) return false;
  shown = { key, place, answer: view.answer, view };
  main.replaceChildren(view.element);
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  busy(null);
  return true;
}

function renderCompare(place) {
  const { answer } = shown;
  if (!answer) return;
  const near = [...answer.neighbours, ...answer.counter_examples].find((one) => one.case_id === place.look);
  if (look && look.near.case_id === near?.case_id) {
    look.update(place);
    return;
  }
  look?.leave();
  look = near ? new Compare(answer, near, place.show) : null;
  look?.open();
}

/** Send an image, and go to the address of its answer; `mended` if it was changed here, `stays` if it replaces the first of the question on the screen. Resolves to true if it was answered. */
function take(radiograph, mended = false, stays = false) {
  return sending(carried(stays), async (question, sends) => {
    const conditions = new URLSearchParams([...asked(question), ...Object.entries(ALSO)]);
    const answer = await sendRadiograph(radiograph, conditions, sends);
    const place = { kind: "image", id: answer.query_id, rate: false, question, mended };
    answers.set(keyOf(place), answer);
    go({ ...place, look: null });
  }, (error) => remedyOf(error, radiograph, stays));
}

/** Conditions that stay for another image, which `stays` in the question on the screen or begins its own. */
function carried(stays = false) {
  const { question } = here();
  for (const name of ["finding", "same_patient"]) question.delete(name); // they were about another image
  return stays ? question : alone(question);
}

/** Send images; where there are several, as the reader says that they belong together. */
async function takeAll(radiographs) {
  others.hidden = true;
  const said = radiographs.length === 1 ? { files: radiographs, what: SEPARATE } : await askWhatTheyAre(radiographs);
  if (said) await (said.what === SEPARATE ? takeEach(said.files) : takeJointly(said.files, said.what));
}

/** Send images of one question; of films of one patient, the earliest first, show the answer to the latest and links to all. */
async function takeJointly(radiographs, what) {
  await sending(carried(), async (question, sends) => {
    const answer = await (what === SERIES ? sendSeries : sendTogether)(radiographs, asked(question), sends);
    if (what === SERIES) {
      others.setAttribute("aria-label", T.several.films);
      others.replaceChildren(...filmLinks(answer, question));
      others.hidden = false;
    } else for (const one of (answer.images ?? []).slice(1)) question.append("with_query", one.query_id);
    go({ kind: "image", id: answer.query_id, rate: false, question, mended: false, look: null });
  });
}

/** Send images that join the question on the screen. */
async function join(radiographs) {
  await sending(here().question, async (question, sends) => go({ question: await joined(radiographs, question, sends) }));
}

/** Send images with `send`, showing its progress and what fails, with a remedy if there is one. Resolves to true if it succeeded. */
async function sending(question, send, remedy = async (_) => null) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  look?.leave();
  look = null;
  message.replaceChildren();
  try {
    say(T.ask.sending);
    await send(new URLSearchParams(question), { signal, waiting, progress: (share) => busy(share < 1 ? share : undefined) });
    return true;
  } catch (error) {
    if (error.name !== "AbortError") fail(error, () => sending(question, send, remedy), await remedy(error));
    return false;
  }
}

/** Send several images: show the answer to the first, and answer the others one by one meanwhile. */
async function takeEach(radiographs) {
  if (!await take(radiographs[0]) || radiographs.length === 1) return;
  const link = (hash, text) => h("a", { class: "button quiet", href: hash }, text);
  others.setAttribute("aria-label", T.ask.several);
  others.replaceChildren(link(location.hash, T.ask.image(1)));
  others.hidden = false;
  const { question } = here();
  for (const [at, radiograph] of radiographs.slice(1).entries()) {
    const name = T.ask.image(at + 2);
    const item = h("span", { role: "status" }, T.ask.answering(name));
    others.append(item);
    try {
      const conditions = new URLSearchParams([...asked(question), ...Object.entries(ALSO)]);
      const answer = await sendRadiograph(radiograph, conditions, { waiting, signal: undefined, progress: () => {} });
      item.replaceWith(link(hashOf({ kind: "image", id: answer.query_id, question }), name));
    } catch (error) {
      item.textContent = T.ask.refused(name, error.message);
    }
  }
}

/** Ask again with the image on the screen changed: by the steps that answer a doubt, or as the reader wants. */
async function mendShown(doubt) {
  const { answer, place } = shown;
  try {
    const canvas = await drawn(await picture(answer.image_url, { side: FULL }));
    const steps = remedy(doubt);
    if (steps) take(await changed(canvas, steps), true, true);
    else if (doubt === "text") {
      const { boxes } = await get(`queries/${answer.query_id}/text`);
      mend(canvas, async (image) => await take(image, true, true) && place.kind === "image" && await forget(answer.query_id), boxes);
    } else mend(canvas, (image) => take(image, true, true));
  } catch (error) {
    fail(error, () => mendShown(doubt));
  }
}

/** Make the service forget a query whose picture may name the patient. */
async function forget(id) {
  try {
    await send("DELETE", `queries/${id}`);
  } catch (error) {
    if (error.status !== 404) fail(error, () => forget(id));
  }
}

/** Button that lets the reader change an image that was refused; null if that cannot help, or the browser cannot read it. */
async function remedyOf(error, radiograph, stays) {
  const canvas = error.kind === "NotARadiograph" && await drawn(radiograph);
  return canvas ? h("button", { onclick: () => mend(canvas, (changed) => take(changed, true, stays)) }, T.gate.change) : null;
}

/** Show progress: a share, undefined if unknown, null for none. */
function busy(share) {
  bar.hidden = share === null;
  if (share == null) bar.removeAttribute("value");
  else bar.value = share;
  main.setAttribute("aria-busy", String(share !== null));
}

/** Save or print a record of the current answer. */
async function keepRecord(make) {
  const { answer, place, view } = shown;
  try {
    say(T.record.making);
    await make(answer, place, view.at, busy);
    message.replaceChildren();
  } catch (error) {
    fail(error, () => keepRecord(make));
  } finally {
    busy(null);
  }
}

/** Let other readers open the images of the current question, and copy its address if the browser allows it. */
async function share() {
  try {
    for (const id of [shown.answer.query_id, ...shown.place.question.getAll("with_query")]) await send("POST", `queries/${id}/share`);
  } catch (error) {
    fail(error, share);
    return;
  }
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false); // undefined without HTTPS
  message.replaceChildren(h("p", {}, `${T.answer.shared} ${copied ? T.answer.copied : ""}`));
}

/** Put a case into a collection, by default what is asked about, with its conditions. */
/** @type {(kind?: "cases" | "queries", id?: string, question?: URLSearchParams) => Promise<void>} */
async function collectShown(kind = shown.place.kind === "case" ? "cases" : "queries", id = shown.place.id, question = shown.place.question) {
  try {
    const done = await collect(kind, id, question);
    if (done) message.replaceChildren(h("p", {}, `${done} `, h("a", { href: hashOf({ kind: "work" }) }, T.work.link)));
  } catch (error) {
    fail(error, () => collectShown(kind, id, question));
  }
}

const keep = { save: () => keepRecord(saveRecord), print: () => keepRecord(printRecord), share, mend: mendShown, collect: collectShown, join };

/** Show the actions that the reader's key allows. */
async function meet() {
  try {
    const me = await get("me");
    admin.hidden = me.role !== "admin";
    signIn.hidden = me.key === null;
    signIn.textContent = T.key.yours(T.key.roles[me.role], me.sources);
    signIn.onclick = () => showKey(me);
  } catch {
    // the next request shows the reason
    admin.hidden = true;
    signIn.hidden = keyIsKept();
    signIn.textContent = T.key.signIn;
    signIn.onclick = async () => { if (await askForKey()) location.reload(); };
  }
}

function waiting({ retryAfter, title }) {
  message.replaceChildren(h("p", {}, `${title}. ${T.errors.later(retryAfter)}`));
}

function fail(error, again, remedy = null) {
  busy(null);
  if (!("kind" in error)) throw error; // a bug in the page: left to the console
  const retry = () => {
    message.replaceChildren();
    again();
  };
  message.replaceChildren(h("div", {},
    h("strong", {}, error.title), h("p", {}, error.message),
    error.request ? h("p", { class: "faint" }, T.errors.request(error.request)) : null,
    h("div", { class: "buttons" }, remedy, h("button", { onclick: retry }, T.errors.again),
      error.status === 403 ? h("button", { onclick: async () => { if (await askForKey(error.message)) retry(); } }, T.key.other) : null,
      h("button", { onclick: () => { message.replaceChildren(); if (!shown) go({ kind: "ask", question: "" }); } }, T.close))));
}

function header() {
  const theme = h("button", { class: "quiet", onclick: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark") });
  const setTheme = (name) => {
    document.documentElement.dataset.theme = name;
    localStorage.setItem(THEME, name);
    theme.textContent = T.theme[name];
  };
  setTheme(localStorage.getItem(THEME) ?? "dark");
  return h("header", { class: "top" },
    h("a", { class: "brand", href: "#/" }, h("strong", {}, T.brand), " ", T.room),
    h("span", { class: "notice" }, T.notice), status,
    h("nav", {}, h("a", { class: "button", href: "#/" }, T.newRadiograph), h("a", { class: "button quiet", href: "#/work" }, T.work.link), admin, signIn, theme,
      h("button", { class: "quiet", onclick: showShortcuts }, T.keys), h("a", { class: "button quiet optional", href: "docs" }, T.docs)));
}

async function start() {
  document.title = T.title;
  document.documentElement.lang = T.language;
  document.body.replaceChildren(header(), bar, others, message, main, h("div", { id: "live", class: "unseen", "aria-live": "polite" }));
  takeRadiographs(takeAll, (text) => message.replaceChildren(h("p", {}, text)));
  listen({
    "?": showShortcuts,
    n: () => go({ kind: "ask", id: "", question: "", show: null, look: null }),
    r: () => shown?.answer?.neighbours.length && !look && !isOfSeveral(shown.place.question) && go({ rate: true, show: null }),
    s: () => shown?.view?.keep && !look && keep.save(),
    p: () => shown?.view?.keep && !look && keep.print(),
    a: () => shown?.view?.keep && !look && keep.collect(),
    w: () => !look && go({ kind: "work", id: "", question: "", show: null, look: null }),
    c: () => shown?.answer?.neighbours.length && !look && go({ look: shown.answer.neighbours[0].case_id }),
    ...Object.fromEntries(MODES.map((mode, index) => [String(index + 1), () => shown?.answer && !here().rate && showMode(mode)])),
  });
  hold("m", peek);
  addEventListener("keydown", (event) => {
    if (event.key !== "p" || !(event.ctrlKey || event.metaKey) || event.shiftKey || !shown?.view?.keep) return;
    event.preventDefault(); // the record is what prints well
    keep.print();
  });
  addEventListener("hashchange", render);
  addEventListener("beforeunload", (event) => shown?.view?.unsaved && event.preventDefault());
  addEventListener("key", meet);
  await Promise.all([render(), meet()]);
  try {
    status.textContent = T.index((await get("readyz", {}, { waiting })).cases);
  } catch (error) {
    if (!shown?.answer) fail(error, () => location.reload());
  }
}

start();
