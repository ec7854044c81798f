// Client of the service's HTTP interface: JSON, pictures, and errors (problem+json).

import { h } from "./dom.js";
import { askForKey, headers, keyIsKept, lastAnswer } from "./key.js";
import { T } from "./texts.js";

/** The service's answers, by the name of their schema. @typedef {import("../../build/page/api.js").components["schemas"]} Schemas */
/** @typedef {{signal?: AbortSignal, waiting?: (problem: Problem) => void}} Patience */

const BASE = new URL(".", document.baseURI);
const RETRIES = 4;
const MOST_SECONDS = 60; // not worth waiting longer, as for a daily limit
const MOST_PICTURES = 400;

/** A refusal of the service, or its failure to answer. */
export class Problem extends Error {
  /**
   * @param {Partial<Schemas["Problem"]>} problem
   * @param {string | null} retryAfter in seconds
   */
  constructor({ type = "", title = "", status = 0, detail = "", instance = "" }, retryAfter = null) {
    super(detail || title);
    this.kind = type.split(":").pop();
    this.title = T.errors.titles[this.kind] ?? (title || T.errors.heading);
    this.status = status;
    this.request = instance.split(":").pop();
    this.retryAfter = retryAfter === null ? null : Number(retryAfter);
  }
}

/** Build the URL of `path` with parameters; arrays are repeated. Absolute paths are kept. */
function addressOf(path, parameters = {}) {
  const url = new URL(path, BASE);
  const entries = parameters instanceof URLSearchParams ? parameters : Object.entries(parameters);
  for (const [name, value] of entries) url.searchParams.append(name, value);
  return url;
}

/** @returns {Promise<void>} */
const seconds = (count, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, count * 1000);
  signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); });
});

const wrong = ({ kind }) => (kind === "KeyExpired" ? T.key.expired : keyIsKept() ? T.key.wrong : "");

/**
 * Call `send` until it succeeds, retrying after the service's Retry-After.
 * @template A
 * @param {() => Promise<A>} send
 * @param {AbortSignal} [signal]
 * @param {(problem: Problem) => void} [waiting]
 */
async function persistently(send, signal, waiting = () => {}, retries = RETRIES) {
  for (let attempt = 0; ; attempt += 1) {
    const before = lastAnswer();
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 401 && await askForKey(wrong(error), before)) continue;
      if (error.retryAfter === null || attempt >= retries || error.retryAfter > MOST_SECONDS) throw error;
      waiting(error);
      await seconds(error.retryAfter, signal);
    }
  }
}

/**
 * @param {URL | string} url
 * @param {AbortSignal} [signal]
 * @param {RequestInit} content
 */
async function fetched(url, signal, content = {}) {
  let response;
  try {
    const type = content.body ? { "Content-Type": "application/json" } : null;
    response = await fetch(url, { ...content, headers: { ...headers(), ...type }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: T.errors.unreachable });
  }
  if (response.ok) return response;
  const isProblem = response.headers.get("content-type")?.includes("problem+json");
  const body = isProblem ? await response.json() : { status: response.status, title: response.statusText };
  throw new Problem(body, response.headers.get("retry-after"));
}

/**
 * GET JSON.
 * @param {string} path
 * @param {Record<string, any> | URLSearchParams} parameters
 * @param {Patience} patience
 */
export async function get(path, parameters = {}, { signal, waiting } = {}) {
  const url = addressOf(path, parameters);
  return persistently(async () => (await fetched(url, signal)).json(), signal, waiting);
}

/** GET text. */
export async function text(path) {
  return persistently(async () => (await fetched(addressOf(path))).text());
}

/** GET bytes. */
export async function bytes(path) {
  return persistently(async () => (await fetched(addressOf(path))).arrayBuffer());
}

/** Send a change as JSON and return the answer, null if it is empty. A POST is sent only once. */
export async function send(method, path, body = /** @type {object | undefined} */ (undefined)) {
  const content = { method, body: body && JSON.stringify(body) };
  const retries = method === "POST" ? 0 : RETRIES; // it may have been carried out although the answer was an error
  const response = await persistently(() => fetched(addressOf(path), undefined, content), undefined, undefined, retries);
  return response.status === 204 ? null : response.json();
}

/** Download the answer to a GET as a file; a plain link could not send the key. */
export async function download(path) {
  const response = await persistently(() => fetched(addressOf(path)));
  const address = URL.createObjectURL(await response.blob());
  h("a", { href: address, download: path }).click();
  URL.revokeObjectURL(address);
}

/** POST a search by words alone. @param {URLSearchParams} parameters @param {Patience} patience */
export function sendWords(parameters, { signal, waiting } = {}) {
  return persistently(async () => (await fetched(addressOf("query", parameters), signal, { method: "POST" })).json(), signal, waiting);
}

/** @typedef {{progress: (share: number) => void, waiting?: (problem: Problem) => void, signal?: AbortSignal}} Sending */

/** POST an image; `progress` receives the share sent so far. @param {Sending} sending */
export const sendRadiograph = (radiograph, parameters, sending) => sendImages("query", [radiograph], parameters, sending);

/** POST images of one patient, the earliest first. @param {Sending} sending */
export const sendSeries = (radiographs, parameters, sending) => sendImages("query/series", radiographs, parameters, sending);

/** POST images that are one question. @param {Sending} sending */
export const sendTogether = (radiographs, parameters, sending) => sendImages("query/together", radiographs, parameters, sending);

/** POST images as a form; fetch would not report the progress. */
function sendImages(path, radiographs, parameters, /** @type {Sending} */ { progress, waiting, signal }) {
  const send = () => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", addressOf(path, parameters));
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.upload.onload = () => progress(1);
    request.onerror = () => reject(new Problem({ detail: T.errors.unreachable }));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onload = () => {
      let body;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        body = { status: request.status, title: request.statusText };
      }
      if (request.status === 200) resolve(body);
      else reject(new Problem(body, request.getResponseHeader("retry-after")));
    };
    signal?.addEventListener("abort", () => request.abort());
    const form = new FormData();
    for (const radiograph of radiographs) form.append("image", radiograph, "image"); // the file's own name is not sent: it may contain a patient's
    request.send(form);
  });
  return persistently(send, signal, waiting);
}

const pictures = new Map();

/** Fetch a picture and return an address for <img>, which could not send the key itself. */
export function picture(path, parameters = {}) {
  const url = addressOf(path, parameters).href;
  const found = pictures.get(url);
  if (found) {
    pictures.delete(url); // move it to the end: the least recently used one is dropped first
    pictures.set(url, found);
    return found;
  }
  const loaded = persistently(async () => URL.createObjectURL(await (await fetched(url)).blob()));
  pictures.set(url, loaded);
  loaded.catch(() => pictures.delete(url));
  if (pictures.size > MOST_PICTURES) {
    const [[oldest, blob]] = pictures;
    pictures.delete(oldest);
    blob.then((address) => URL.revokeObjectURL(address), () => {});
  }
  return loaded;
}
