// Reader study: one film after another, with or without past cases, each answered once.

import { get, send } from "./api.js";
import { dialog, h, say } from "./dom.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

const READER = "xemplar-study-reader";
const DRAFT = "xemplar-study-draft";
const FORM = "[a-z][a-z0-9\\-]{0,31}"; // pseudonyms that the service accepts
const SIDE = { film: 1024, card: 384 };
const LONGEST = 24 * 3600; // seconds that the service accepts

/** Build the view of a study; it first asks for a pseudonym. `fail(error, again)` shows an error. */
export function readersView(study, fail) {
  return new Study(study, fail).element;
}

class Study {
  /** @type {Draft | undefined} */
  draft;
  /** @type {import("./api.js").Schemas["NextReadingOut"] | undefined} */
  next;

  constructor(study, fail) {
    this.study = study;
    this.fail = fail;
    this.element = h("div", { class: "study" });
    this.reader = localStorage.getItem(READER);
    if (this.reader) this.#load();
    else this.#ask();
  }

  #ask() {
    const name = h("input", {
      id: "reader", required: true, pattern: FORM, maxlength: 32, autocomplete: "off", autocapitalize: "none",
      spellcheck: "false", title: T.readers.form, "aria-describedby": "reader-form",
    });
    const keep = (event) => {
      event.preventDefault();
      localStorage.setItem(READER, name.value);
      this.reader = name.value;
      this.#load();
    };
    this.element.replaceChildren(h("form", { class: "reader", onsubmit: keep },
      h("h1", {}, T.readers.who), h("p", {}, T.readers.whoText), h("label", { for: "reader" }, T.readers.pseudonym), name,
      h("p", { class: "faint", id: "reader-form" }, T.readers.form),
      h("button", { class: "main", type: "submit" }, T.readers.begin)));
  }

  #forget() {
    this.draft?.end(true);
    localStorage.removeItem(READER);
    this.#ask();
  }

  get #path() {
    return `reader-studies/${this.study}/readers/${this.reader}`;
  }

  async #load() {
    try {
      this.#show(await get(`${this.#path}/next`));
    } catch (error) {
      if (error.kind === "NotFound" || error.kind === "PseudonymTaken") this.#forget();
      this.fail(error, () => this.#load());
    }
  }

  /** @param {import("./api.js").Schemas["NextReadingOut"]} next */
  #show(next) {
    this.next = next;
    const said = next.number === null ? T.readers.done
      : next.opens_at ? T.readers.washout(new Date(next.opens_at).toLocaleString()) : null;
    const who = h("p", { class: "faint" }, T.readers.reader(this.reader), " ",
      h("button", { class: "quiet", onclick: () => this.#forget() }, T.readers.change));
    if (said) {
      this.element.replaceChildren(h("section", { class: "reader" }, h("h1", {}, T.readers.heading), h("p", { role: "status" }, said), who));
      return;
    }
    this.draft = new Draft(`${this.study} ${this.reader} ${next.number}`);
    const film = new Radiograph(T.readers.film);
    film.show(next.image_url, SIDE.film);
    this.button = h("button", { class: "main", onclick: () => this.#save() }, T.readers.save);
    this.state = h("p", { role: "status" });
    this.element.replaceChildren(
      h("section", { class: "film", "aria-label": T.readers.film }, film.element),
      h("section", { class: "answers" },
        h("h1", {}, next.question), who,
        h("p", { class: "number" }, T.readers.progress((next.number ?? 0) + 1, next.total, next.session + 1)),
        this.#slider("confidence", T.readers.confidence, T.readers.absent, T.readers.present),
        next.ask_trust ? this.#slider("trust", T.readers.trust, T.readers.not, T.readers.wholly) : null,
        this.button, this.state, h("p", { class: "faint" }, T.readers.final),
        next.cases.length ? this.#cases(next.cases) : h("p", {}, T.readers.noCases)));
    this.#allow();
    scrollTo(0, 0);
    say(T.readers.progress((next.number ?? 0) + 1, next.total, next.session + 1));
  }

  #cases(cases) {
    return h("section", { "aria-label": T.readers.cases }, h("h2", {}, T.readers.cases),
      h("ol", { class: "cards" }, cases.map((one, index) => {
        const picture = new Radiograph(T.readers.image(index + 1));
        picture.show(one.image_url, SIDE.card);
        return h("li", { class: "card" },
          h("button", { class: "thumbnail", "aria-label": T.readers.enlarge(index + 1), onclick: () => enlarge(one, index + 1) }, picture.element),
          h("p", {}, T.readers.labels(one.findings)));
      })));
  }

  /** Slider of 0 to 100 that is empty until it is moved: a default would be an answer. */
  #slider(name, words, low, high) {
    const draft = /** @type {Draft} */ (this.draft);
    const kept = draft.said[name] ?? null;
    const value = h("output", { class: "number" }, T.readers.points(kept));
    const changed = ({ target }) => {
      target.classList.remove("unanswered");
      draft.say(name, Number(target.value));
      value.textContent = T.readers.points(Number(target.value));
      this.#allow();
    };
    const slider = h("input", {
      type: "range", id: name, min: 0, max: 100, step: 1, value: kept ?? 50, class: kept === null ? "unanswered" : "",
      "aria-describedby": `${name}-ends`, oninput: changed, onclick: changed,
      onkeydown: (event) => {
        if (!/^[0-9]$/.test(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        event.stopPropagation(); // the page has other uses for numbers
        slider.value = String(event.key === "0" ? 0 : Math.round(Number(event.key) * 100 / 9));
        changed({ target: slider });
      },
    });
    return h("div", { class: "points" }, h("label", { for: name }, words), value, slider,
      h("p", { class: "faint ends", id: `${name}-ends` }, h("span", {}, low), h("span", {}, high)));
  }

  #allow() {
    const { confidence, trust } = this.draft?.said ?? {};
    const all = confidence !== undefined && (!this.next?.ask_trust || trust !== undefined);
    this.button.disabled = !all;
    this.state.textContent = all ? "" : T.readers.choose;
  }

  async #save() {
    if (!this.draft || !this.next) return;
    this.button.disabled = true;
    this.state.textContent = T.readers.saving;
    const { confidence, trust } = this.draft.said;
    const seconds = Math.min(this.draft.seconds, LONGEST);
    const said = { confidence, seconds, ...(this.next.ask_trust ? { trust } : {}) };
    try {
      await send("PUT", `${this.#path}/readings/${this.next.number}`, said);
    } catch (error) {
      if (!("kind" in error)) throw error; // a bug in the page: left to the console
      if (error.kind !== "ReadingGiven") { // else another window was first: go on with what is next
        this.state.replaceChildren(h("strong", {}, T.readers.unsaved), ` ${error.message}`);
        this.button.disabled = false;
        return;
      }
    }
    this.draft.end();
    await this.#load();
  }
}

/** An answer that is not saved yet, kept in this browser with the seconds that its film was in sight. */
class Draft {
  constructor(name) {
    const kept = JSON.parse(localStorage.getItem(DRAFT) ?? "{}");
    const mine = kept.name === name ? kept : { name, said: {}, seconds: 0 };
    this.name = name;
    /** @type {{confidence?: number, trust?: number}} */
    this.said = mine.said;
    this.before = mine.seconds;
    this.since = document.hidden ? null : performance.now();
    this.leave = new AbortController();
    const { signal } = this.leave;
    document.addEventListener("visibilitychange", () => this.#turn(), { signal });
    addEventListener("pagehide", () => this.#keep(), { signal });
    addEventListener("hashchange", () => this.end(true), { signal });
  }

  get seconds() {
    return this.before + (this.since === null ? 0 : (performance.now() - this.since) / 1000);
  }

  say(name, value) {
    this.said[name] = value;
    this.#keep();
  }

  #turn() {
    this.before = this.seconds;
    this.since = document.hidden ? null : performance.now();
    this.#keep();
  }

  #keep() {
    localStorage.setItem(DRAFT, JSON.stringify({ name: this.name, said: this.said, seconds: this.seconds }));
  }

  /** Stop measuring; forget the draft unless it is to be `kept`. */
  end(kept = false) {
    if (kept) this.#keep();
    else localStorage.removeItem(DRAFT);
    this.leave.abort();
  }
}

function enlarge(one, number) {
  const picture = new Radiograph(T.readers.image(number));
  picture.show(one.image_url, SIDE.film);
  dialog("enlarged", T.readers.image(number), picture.element, h("p", {}, T.readers.labels(one.findings)));
}
