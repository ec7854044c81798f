// Admin: the index and its older generations, jobs, API keys, recent errors. For administrators only.

import { get, send } from "./api.js";
import { confirmed, focused, h, say } from "./dom.js";
import { createKey } from "./newkey.js";
import { T } from "./texts.js";

const A = T.admin;
const SECONDS = { working: 2, idle: 10 };
const DENIED = [401, 403];
const SHOWN = 12; // digits of a digest

/** Build the view, which refreshes itself while it is visible; `fail(error, again)` shows an error. */
export function adminView(fail) {
  const view = h("div", { class: "admin" });
  let looking = new AbortController();
  const act = async (doing) => {
    clearTimeout(timer);
    looking.abort(); // a refresh in between would be refused if this creates the first key
    try {
      await doing();
      await refresh();
    } catch (error) {
      if (error.name !== "AbortError") fail(error, () => act(doing)); // else another action refreshes
    }
    again(SECONDS.working);
  };
  const sections = [generations(act), jobs(act), keys(act), errors()];
  const who = h("p", { class: "faint" });
  const trouble = h("p", { class: "trouble", role: "status" });
  view.append(h("h1", {}, A.heading), who, trouble, ...sections.map((section) => section.element));
  const refresh = async () => {
    looking.abort();
    looking = new AbortController();
    const { signal } = looking;
    const me = await get("me", {}, { signal });
    who.textContent = `${me.key ? T.key.mine(me.key, T.key.roles[me.role]) : A.open} ${A.zone}`;
    await Promise.all(sections.map((section) => section.refresh(me, signal)));
  };
  const watch = async () => {
    try {
      if (!document.hidden) await refresh();
      trouble.textContent = "";
    } catch (error) {
      if (error.name === "AbortError") return; // another refresh replaced it
      if (!("kind" in error) || DENIED.includes(error.status)) {
        fail(error, watch);
        return;
      }
      trouble.textContent = `${error.title}: ${error.message}`; // such as during a restart
    }
    again(view.querySelector("[data-working]") ? SECONDS.working : SECONDS.idle);
  };
  let timer = null;
  const again = (seconds) => {
    clearTimeout(timer);
    timer = setTimeout(() => view.isConnected && watch(), 1000 * seconds);
  };
  watch();
  return view;
}

/** Section of the view, redrawn only when its data have changed. */
function section(name, draw, tool = null) {
  const body = h("div", { class: "wide" });
  const element = h("section", { "aria-labelledby": `admin-${name}` },
    h("header", {}, h("h2", { id: `admin-${name}` }, A[name].heading), tool), h("p", { class: "faint" }, A[name].hint), body);
  let told = "";
  const refresh = async (me, signal) => {
    const answer = await get(name, {}, { signal });
    const text = JSON.stringify([answer, me]);
    if (text === told || body.matches(":active")) return; // keep a button while it is pressed
    told = text;
    const focus = focused(body);
    const open = [...body.querySelectorAll("details[open]")].map((one) => one.dataset.focus);
    const some = Object.values(answer).some((list) => list.length);
    body.replaceChildren(...(some ? draw(answer[name], me, answer) : [h("p", { class: "empty" }, A[name].none)]));
    for (const one of open) body.querySelector(`details[data-focus="${one}"]`)?.setAttribute("open", "");
    if (focus) body.querySelector(`[data-focus="${focus}"]`)?.focus();
  };
  return { element, refresh };
}

function table(name, columns, rows) {
  return h("table", { "aria-labelledby": `admin-${name}` },
    h("thead", {}, h("tr", {}, columns.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))))));
}

const short = (text) => h("span", { class: "id", title: text }, text.slice(0, SHOWN));

function generations(act) {
  const G = A.generations;
  const publish = async (one) => {
    if (!await confirmed(G.confirm(one.name, one.cases), [h("p", {}, G.effect)], G.publish, A.cancel)) return;
    await act(async () => {
      await send("POST", `generations/${one.name}/publish`);
      say(G.published(one.name));
    });
  };
  const build = async () => {
    const factory = h("input", { id: "factory", maxlength: 100, spellcheck: "false" });
    const form = [h("p", {}, G.buildEffect), h("div", { class: "field" }, h("label", { for: "factory" }, G.factory), factory)];
    if (!await confirmed(G.buildConfirm, form, G.build, A.cancel)) return;
    await act(async () => {
      await send("POST", "jobs/reindex", { factory: factory.value.trim() });
      say(G.queued);
    });
  };
  const state = (one) => (one.answers ? h("strong", {}, G.answers) : one.live ? h("strong", { class: "warn" }, G.live) : G.older);
  const draw = (found, _, { damaged }) => [
    damaged.length ? h("p", { class: "trouble" }, G.damaged(damaged)) : "",
    found.some((one) => one.live && !one.answers) ? h("p", { class: "trouble" }, G.stuck) : "",
    table("generations", [G.built, A.state, G.cases, G.network, G.kind, G.recall, A.name, ""], found.map((one) => [
      A.moment(one.created_at), state(one), one.cases.toLocaleString("en"), short(one.checkpoint), one.factory, one.recall_at_10.toFixed(3),
      h("span", { class: "id" }, one.name),
      one.live ? "" : h("button", { "aria-label": G.publishLabel(one.name), "data-focus": one.name, onclick: () => publish(one) }, G.publish),
    ])),
  ];
  return section("generations", draw, h("button", { "data-focus": "build", onclick: build }, G.build));
}

function jobs(act) {
  const J = A.jobs;
  let before = new Map();
  const cancel = async (job) => {
    if (!await confirmed(J.confirm, [h("p", {}, J.effect)], J.cancel, A.cancel)) return;
    await act(async () => {
      await send("POST", `jobs/${job.id}/cancel`);
      say(J.cancelled);
    });
  };
  const progress = (job) => [
    h("progress", { class: "inline", "aria-label": J.progress, ...(job.total && { value: job.done, max: job.total }) }),
    h("div", {}, J.of(job.done, job.total), job.expected_end ? `, ${J.ready(A.moment(job.expected_end))}` : ""),
  ];
  const outcome = (job) => (job.state === "running" ? progress(job) : job.error ?? (job.result ? J.result(job.result) : ""));
  /** @param {import("./api.js").Schemas["JobOut"]} job */
  const row = (job) => {
    const [what, active] = [J.kinds[job.kind] ?? job.kind, job.finished_at === null];
    if (before.has(job.id) && before.get(job.id) !== job.state) say(J.ended(what, J.states[job.state]));
    return [
      A.moment(job.created_at), what, h("span", { "data-working": active }, active && job.cancel ? J.stopping : J.states[job.state]),
      [outcome(job), job.log.length ? h("details", { "data-focus": `log-${job.id}` },
        h("summary", { "data-focus": `summary-${job.id}` }, J.log(job.log.length)), h("pre", { tabindex: "0" }, job.log.join("\n"))) : ""],
      job.finished_at ? A.moment(job.finished_at) : "",
      active && !job.cancel ? h("button", { "aria-label": J.cancelLabel(job.id), "data-focus": job.id, onclick: () => cancel(job) }, J.cancel) : "",
    ];
  };
  const draw = (found) => {
    const drawn = table("jobs", [J.created, J.what, A.state, J.progress, J.finished, ""], found.map(row));
    before = new Map(found.map((job) => [job.id, job.state]));
    return [drawn];
  };
  return section("jobs", draw);
}

function keys(act) {
  const K = A.keys;
  let me = null;
  const revoke = async (key) => {
    if (!await confirmed(K.confirm(key.name), [h("p", {}, K.effect)], K.revoke, A.cancel)) return;
    await act(async () => {
      await send("POST", `keys/${key.id}/revoke`);
      say(K.done(key.name));
    });
  };
  const good = (key) => [key.id === me.key ? K.mine : K.good, key.expires_at ? K.until(A.moment(key.expires_at)) : ""];
  const expired = (key) => key.expires_at && new Date(key.expires_at) <= new Date();
  const state = (key) => (key.revoked_at ? K.revoked(A.moment(key.revoked_at)) : expired(key) ? K.expired(A.moment(key.expires_at)) : good(key));
  const draw = (found) => [table("keys", [A.name, K.role, K.sources, K.id, K.made, K.used, A.state, ""], found.map((key) => [
    key.name, T.key.roles[key.role], key.sources?.join(", ") ?? K.all, h("span", { class: "id" }, key.id), A.moment(key.created_at),
    key.last_used_at ? A.moment(key.last_used_at) : K.never, state(key),
    key.revoked_at || key.id === me.key ? "" : h("button", { "aria-label": K.revokeLabel(key.name), "data-focus": key.id, onclick: () => revoke(key) }, K.revoke),
  ]))];
  const made = section("keys", draw, h("button", { "data-focus": "create", onclick: () => createKey(me, act) }, K.create));
  return { ...made, refresh: (caller, signal) => { me = caller; return made.refresh(caller, signal); } };
}

function errors() {
  const E = A.errors;
  const draw = (found) => [table("errors", [E.when, E.what, E.where, E.request, E.key, E.ms], found.map((error) => [
    A.moment(error.at), `${error.status} ${T.errors.titles[error.problem] ?? error.problem ?? ""}`, `${error.method} ${error.route}`,
    h("span", { class: "id" }, error.request_id), error.key ? short(error.key) : "", error.ms.toFixed(0),
  ]))];
  return section("errors", draw);
}
