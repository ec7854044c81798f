// Rate: the cases of an answer in random order, without scores, rated by dragging or by number.

import { agreement } from "./agreement.js";
import { asked, go } from "./address.js";
import { get, send } from "./api.js";
import { focused, h, say } from "./dom.js";
import { draggable } from "./drag.js";
import { Radiograph } from "./radiograph.js";
import { T } from "./texts.js";

const READER = "xemplar-reader";
const FORM = "[a-z][a-z0-9\\-]{0,31}"; // pseudonyms that the service accepts
const SIDE = { query: 640, card: 384 };
const UNRATED = null; // the shelf of cases to be rated

/** Build the view of a list to be rated; it first asks for a pseudonym. `renew(change)` applies a change and reopens the view, unless that would lose ratings. */
export async function rateView(place, { signal, waiting, renew }) {
  const reader = localStorage.getItem(READER);
  if (!reader) return new ReaderView(renew);
  const question = new URLSearchParams([...asked(place.question), ["rater", reader]]);
  const path = place.kind === "case" ? `cases/${place.id}/ranking` : `queries/${place.id}/ranking`;
  try {
    return new RateView(await get(path, question, { signal, waiting }), place, reader, renew);
  } catch (error) {
    if (error.kind !== "PseudonymTaken") throw error;
    return new ReaderView(renew, error.message);
  }
}

/** Asks for a pseudonym, which this browser keeps; `refused` says why the key may not use the one kept so far. */
class ReaderView {
  answer = null; // nothing to compare yet

  constructor(renew, refused = "") {
    const name = h("input", {
      id: "reader", required: true, pattern: FORM, maxlength: 32, autocomplete: "off", autocapitalize: "none",
      spellcheck: "false", title: T.rate.form, "aria-describedby": "reader-form",
      oninput: ({ target }) => { target.value = target.value.toLowerCase().replaceAll(" ", "-"); },
    });
    const keep = (event) => {
      event.preventDefault();
      renew(() => localStorage.setItem(READER, name.value));
    };
    this.element = h("form", { class: "reader", onsubmit: keep },
      h("h1", {}, T.rate.who), h("p", {}, T.rate.whoText), refused ? h("p", { role: "alert" }, refused) : null,
      h("label", { for: "reader" }, T.rate.pseudonym), name,
      h("p", { class: "faint", id: "reader-form" }, T.rate.form),
      h("button", { class: "main", type: "submit" }, T.rate.begin));
  }

  update() {}
}

class RateView {
  /** @param {import("./api.js").Schemas["BlindList"]} list */
  constructor(list, place, reader, renew) {
    this.list = list;
    this.place = place;
    this.reader = reader;
    this.said = new Map(list.ratings.map((one) => [one.case_id, one.rating]));
    this.cards = list.cases.map((one, index) => this.#card(one, index + 1));
    this.shelves = T.rate.grades.map((_, grade) => this.#shelf(grade));
    this.pool = this.#shelf(UNRATED);
    this.finish = h("button", { class: "main", onclick: () => go({ show: "result" }) }, T.rate.finish);
    this.done = h("div", { class: "done" }, h("strong", {}, T.rate.done), this.finish);
    this.board = h("section", { class: "cases", "aria-label": T.rate.heading },
      h("div", { class: "bar-top" }, h("h1", {}, T.rate.heading)), h("p", { class: "faint" }, T.rate.hint),
      this.cards.length ? null : h("p", { class: "empty" }, T.answer.nothing), this.pool, this.done, h("div", { class: "shelves" }, this.shelves));
    this.right = h("div", { class: "right" }, this.board);
    this.element = h("div", { class: "answer rating" }, this.#query(renew), this.right);
    this.#arrange();
  }

  /** Answer without the search's scores, to compare its cases side by side. */
  get answer() {
    return {
      image_url: this.list.image_url, predictions: [], explained_finding: "",
      neighbours: this.cards.map(({ one, number }) => ({ ...one, rank: number })), counter_examples: [],
      maps: { fit: "stretch", scales: {}, query: null, cases: {} }, rated: (near) => this.#grades(near.case_id, near.rank),
    };
  }

  /** Show the board, or the result once all cases are rated. */
  async update({ show }) {
    if (show === "result" && this.#unrated.length) {
      go({ show: null }, { instead: true }); // a shared address of a result that is not ready here
      return;
    }
    if (show !== "result") {
      if (!this.board.isConnected) this.right.replaceChildren(this.board); // else the focus would be lost
      return;
    }
    const shown = h("section", { class: "cases", "aria-busy": "true" }, h("p", {}, T.rate.computing));
    this.right.replaceChildren(shown);
    try {
      await this.saving;
      if (this.failed) throw this.failed;
      shown.replaceChildren(agreement(await get(`queries/${this.list.query_id}/ratings`), this.reader, this.said, this.place));
    } catch (error) {
      if (!("kind" in error)) throw error; // a bug in the page: left to the console
      shown.replaceChildren(h("p", { role: "alert" }, error.message));
    }
    shown.removeAttribute("aria-busy");
  }

  get #unrated() {
    return this.cards.filter(({ one }) => !this.said.has(one.case_id));
  }

  #query(renew) {
    const radiograph = new Radiograph(T.answer.sent);
    radiograph.show(this.list.image_url, SIDE.query);
    const change = () => renew(() => localStorage.removeItem(READER));
    this.state = h("p", {});
    this.kept = h("p", { class: "faint", role: "status" }, this.said.size ? T.rate.continued : "");
    return h("section", { class: "query", "aria-label": T.answer.query },
      h("h2", {}, T.answer.query),
      h("div", {}, radiograph.element),
      h("div", {},
        h("p", {}, T.rate.as, " ", h("strong", {}, this.reader), " ", h("button", { class: "quiet", onclick: change }, T.rate.change)),
        this.state, this.kept));
  }

  #shelf(grade) {
    const id = `shelf-${grade}`;
    const list = h("ol", { "aria-labelledby": id });
    const heading = grade === UNRATED ? T.rate.unrated : [h("span", { class: "number" }, grade), " ", T.rate.grades[grade]];
    const element = h("div", { class: grade === UNRATED ? "shelf pool" : "shelf" }, h("h3", { id }, heading), list);
    return Object.assign(element, { grade, list });
  }

  #card(one, number) {
    const radiograph = new Radiograph("");
    radiograph.show(one.image_url, SIDE.card);
    const thumbnail = h("button", { class: "thumbnail", "aria-label": T.rate.look(number), title: T.rate.look(number) },
      radiograph.element, h("span", { class: "rank number", "aria-hidden": "true" }, number));
    const element = h("li", { class: "card", onkeydown: (event) => this.#key(event, one.case_id) },
      thumbnail, this.#grades(one.case_id, number));
    draggable(element, thumbnail, {
      shelfAt: (x, y) => document.elementFromPoint(x, y)?.closest(".shelf"),
      dropped: (shelf) => this.#rate(one.case_id, shelf.grade),
      clicked: () => go({ look: one.case_id }),
    });
    return { one, number, thumbnail, element };
  }

  /** Buttons that rate a case, below its card and in the comparison. */
  #grades(caseId, number) {
    const group = h("div", { class: "grades", role: "group", "aria-label": T.rate.how(number), "data-case": caseId },
      T.rate.grades.map((words, grade) => h("button", {
        title: words, "aria-label": `${grade}, ${words}`, "data-focus": `grade-${caseId}-${grade}`,
        onclick: () => this.#rate(caseId, this.said.get(caseId) === grade ? UNRATED : grade),
      }, grade)));
    this.#press(group);
    return group;
  }

  #press(group) {
    const said = this.said.get(group.dataset.case);
    for (const [grade, button] of [...group.children].entries()) button.setAttribute("aria-pressed", String(grade === said));
  }

  #key(event, caseId) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const grade = T.rate.grades.findIndex((_, index) => event.key === String(index));
    const unrate = ["Delete", "Backspace"].includes(event.key);
    if (grade < 0 && !unrate) return;
    event.preventDefault();
    event.stopPropagation(); // the page has other uses for numbers
    this.#rate(caseId, unrate ? UNRATED : grade);
  }

  #rate(caseId, grade) {
    const before = this.said.get(caseId) ?? UNRATED;
    const card = this.cards.find(({ one }) => one.case_id === caseId);
    if (!card || grade === before) return;
    const held = focused(card.element);
    if (grade === UNRATED) this.said.delete(caseId);
    else this.said.set(caseId, grade);
    this.#arrange();
    if (held !== null) this.#focus(card, before === UNRATED, held);
    const left = this.#unrated.length;
    say(`${T.rate.said(card.number, grade)} ${left ? T.rate.left(left) : T.rate.done}`);
    this.#save();
  }

  /** Move the focus to the next case after a first rating; keep it after a change. */
  #focus(card, first, held) {
    const next = this.#unrated[0]?.thumbnail ?? this.finish;
    const same = card.element.querySelector(`[data-focus="${held}"]`) ?? card.thumbnail;
    (first ? next : same).focus();
  }

  /** Move each card to the shelf of its rating. */
  #arrange() {
    for (const { one, number, element } of this.cards) {
      const grade = this.said.get(one.case_id) ?? UNRATED;
      const shelf = grade === UNRATED ? this.pool : this.shelves[grade];
      if (element.parentElement === shelf.list) continue; // an unmoved card keeps the focus
      const later = this.cards.find((other) => other.number > number && other.element.parentElement === shelf.list);
      shelf.list.insertBefore(element, later?.element ?? null);
    }
    for (const group of document.querySelectorAll(".grades")) this.#press(group);
    const left = this.#unrated.length;
    this.pool.hidden = left === 0;
    this.done.hidden = left > 0 || !this.cards.length;
    this.state.textContent = T.rate.progress(this.cards.length - left, this.cards.length);
  }

  /** Save all ratings, one request at a time, so that the last one wins. */
  #save() {
    this.changed = true;
    this.saving ??= this.#saveAll().finally(() => { this.saving = null; });
  }

  async #saveAll() {
    this.failed = null;
    const { image_id } = this.list;
    try {
      while (this.changed) {
        this.changed = false;
        this.kept.replaceChildren(T.rate.saving);
        const ratings = [...this.said].map(([case_id, rating]) => ({ case_id, rating }));
        await send("PUT", `ratings/${image_id}/${this.reader}`, { ratings });
      }
      this.kept.replaceChildren(T.rate.saved);
    } catch (error) {
      if (!("kind" in error)) throw error; // a bug in the page: left to the console
      this.failed = error;
      this.kept.replaceChildren(h("strong", {}, T.rate.unsaved), ` ${error.message} `,
        h("button", { onclick: () => this.#save() }, T.rate.saveAgain));
    }
  }

  /** True if closing the page now would lose ratings. */
  get unsaved() {
    return Boolean(this.saving ?? this.failed);
  }
}
