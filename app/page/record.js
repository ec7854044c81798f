// Record: an answer as a self-contained page, saved as a file or printed.

import { asked } from "./address.js";
import { picture, text } from "./api.js";
import { about, archived, findings, reading, score } from "./answer.js";
import { h, say } from "./dom.js";
import { paint, strip } from "./heat.js";
import { report } from "./report.js";
import { steered } from "./steering.js";
import { outcomes, prevalence } from "./story.js";
import { T } from "./texts.js";
import { evidence, gradcamLegend, sumOf } from "./explanations.js";

const SIDE = 512; // of a picture: sharp at a third of a printed page
const OPACITY = 0.6; // of the overlays, as the service draws them; the slider is for the screen
const QUALITY = 0.9;
const STYLE = "page/record.css";
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"; // it loads nothing

/** Save a record as a file. `at` is the time of the answer; `progress` receives the share done. */
export async function saveRecord(answer, place, at, progress) {
  const style = await text(STYLE);
  const shown = await record(answer, place, at, progress);
  const title = T.record.title(answer.query_id);
  const page = h("html", { lang: T.language },
    h("head", {}, h("meta", { charset: "utf-8" }), h("meta", { "http-equiv": "Content-Security-Policy", content: POLICY }),
      h("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      h("title", {}, title), h("style", {}, style)),
    h("body", {}, shown));
  const file = new Blob(["<!doctype html>\n", page.outerHTML], { type: "text/html" });
  const address = URL.createObjectURL(file);
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "");
  h("a", { href: address, download: `xemplar-${answer.query_id}-${time}Z.html` }).click();
  URL.revokeObjectURL(address);
  say(T.record.saved);
}

/** Print a record, which is part of the page meanwhile, visible only in print. */
export async function printRecord(answer, place, at, progress) {
  const shown = await record(answer, place, at, progress);
  document.querySelector("body > .record")?.remove();
  document.body.append(shown);
  await Promise.all([...shown.querySelectorAll("img")].map((image) => image.decode()));
  addEventListener("afterprint", () => shown.remove(), { once: true });
  print();
}

async function record(answer, place, at, progress) {
  const shown = [...answer.neighbours, ...answer.counter_examples];
  const pairs = new Map();
  for (const near of shown) {
    progress(pairs.size / shown.length);
    pairs.set(near, await evidence(answer, near).catch(gone));
  }
  const { scales } = answer.maps;
  const draw = (...what) => figure(answer.maps.fit, ...what);
  return h("article", { class: "record" },
    h("p", { class: "notice" }, T.notice),
    h("h1", {}, T.record.heading),
    facts(answer, place, at),
    archived(answer, place.kind),
    answer.warnings.length ? [h("h2", {}, T.answer.warnings), h("ul", { class: "warnings" }, answer.warnings.map((text) => h("li", {}, text)))] : null,
    await query(answer, place, draw, scales),
    h("h2", {}, T.answer.neighbours),
    answer.neighbours.length ? null : h("p", {}, T.answer.nothing),
    await each(answer.neighbours, (near) => pair(answer, near, pairs.get(near), draw, scales)),
    prevalence(answer),
    answer.counter_examples.length ? h("h2", {}, T.answer.counter(T.finding(answer.explained_finding))) : null,
    await each(answer.counter_examples, (near) => pair(answer, near, pairs.get(near), draw, scales)),
    h("p", { class: "notice" }, T.notice));
}

/** Replace a missing picture (404) by its reason; any other error fails the record. */
function gone(error) {
  if (error.status !== 404) throw error;
  return { query: null, case: null, reason: T.record.gone(error.message) };
}

const each = (list, make) => Promise.all(list.map(make));

function facts(answer, { kind, id, question, mended }, at) {
  const conditions = [...asked(question)].filter(([name]) => name !== "finding").map(([name, value]) => (T.filters.chips[name] ?? T.steering.conditions[name])(value));
  const rows = [
    [T.record.answered, time(at)], [T.record.recorded, time(new Date())], [T.record.query, answer.query_id],
    [T.record.image, kind === "case" ? T.answer.case(id) : mended ? T.gate.mended : T.answer.sent],
    [T.record.conditions, conditions.join(", ")],
    [T.record.found, T.record.count(answer.neighbours.length, answer.matched)],
    [T.record.explained, T.finding(answer.explained_finding)],
    [T.record.network, answer.checkpoint], [T.record.generation, answer.generation],
  ];
  return h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

const time = (date) => h("time", { datetime: date.toISOString() }, T.record.moment(date));

/** @param {import("./answer.js").Answer} answer */
async function query(answer, { kind, id }, draw, scales) {
  const [name, whose] = [T.finding(answer.explained_finding), kind === "case" ? T.record.case(id) : T.answer.query];
  const pictures = await Promise.all([
    draw(T.record.onlyRadiograph, whose, answer.image_url),
    answer.maps.query ? draw(T.record.gradcam(name), whose, answer.image_url, answer.maps.query, scales.gradcam) : none(T.answer.noMap(name)),
  ]);
  const others = await each((answer.images ?? []).slice(1), ({ image_url: path }, at) => draw(T.ask.image(at + 2), T.several.label, path));
  return h("section", { class: "query" }, h("h2", {}, T.answer.query),
    h("div", {}, h("div", { class: "pictures" }, pictures),
      others.length ? [h("p", {}, T.several.meaning(others.length + 1)), h("div", { class: "pictures" }, others)] : null, legend(answer)),
    h("table", {}, h("caption", {}, T.answer.findings),
      h("thead", {}, h("tr", {}, [T.record.finding, T.record.probability, T.record.lift, T.record.called].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, answer.predictions.map((one) => h("tr", { class: one.standing },
        h("th", { scope: "row" }, T.finding(one.finding)), h("td", { class: "number" }, T.percent(one.probability)),
        h("td", {}, one.lift === null ? "" : one.lift.toFixed(1)), h("td", {}, T.record.isCalled[String(one.called)]))))));
}

/**
 * @param {import("./answer.js").Answer} answer
 * @param {import("./answer.js").Near} near
 */
async function pair(answer, near, found, draw, scales) {
  const [name, whose] = [T.finding(answer.explained_finding), T.record.case(near.case_id)];
  const map = answer.maps.cases[near.case_id];
  const pictures = await Promise.all([
    draw(T.record.onlyRadiograph, whose, near.image_url),
    map ? draw(T.record.gradcam(name), whose, near.image_url, map, scales.gradcam) : none(T.answer.noMap(name)),
    found.case ? draw(T.record.caseEvidence, whose, near.image_url, found.case, scales.similarity) : none(found.reason),
    found.query ? draw(T.record.queryEvidence, T.answer.query, answer.image_url, found.query, scales.similarity) : none(found.reason),
  ]);
  return h("section", { class: "pair" },
    h("h3", {}, `${near.rank}. `, score(near, answer), found.case ? h("span", { class: "faint" }, sumOf(found)) : null),
    h("div", {}, outcomes(near), findings(near), about(near), " · ", h("span", { class: "id" }, whose), reading(near, answer), steered(near),
      report(near, { open: true })), // paper cannot be unfolded
    h("div", { class: "pictures" }, pictures));
}

const none = (text) => h("p", { class: "none" }, text);

/** Render a picture with its overlay as one embedded image. */
async function figure(fit, what, whose, path, grid = null, most = 0) {
  const image = new Image();
  try {
    image.src = await picture(path, { side: SIDE });
  } catch (error) {
    return none(gone(error).reason);
  }
  await image.decode();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  if (grid) {
    const heat = h("canvas");
    paint(heat, grid, most, fit, width, height);
    context.globalAlpha = OPACITY;
    context.imageSmoothingQuality = "high";
    context.drawImage(heat, 0, 0, width, height);
  }
  return h("figure", {},
    h("img", { src: canvas.toDataURL("image/jpeg", QUALITY), alt: T.record.picture(what, whose), width, height }),
    h("figcaption", {}, what));
}

function legend(answer) {
  const canvas = h("canvas");
  strip(canvas);
  const scale = () => h("span", { class: "scale" }, h("img", { src: canvas.toDataURL(), alt: "", width: 128, height: 10 }));
  const cases = Object.values(answer.maps.cases);
  const { calibrated_on: calibrated, chance_measured_on: paired } = answer;
  return h("div", { class: "legend" },
    h("p", {}, scale(), " ", gradcamLegend(answer, cases.filter(Boolean).length, cases.length)),
    h("p", {}, scale(), " ", T.explanations.legendSimilarity),
    h("p", {}, T.record.legendCosine), paired && h("p", {}, T.record.legendChance, " ", T.answer.measuredOn(paired)),
    h("p", {}, T.record.legendCalled, " ", calibrated && T.answer.calibratedOn(calibrated)));
}
