// Routing by the # of the address, so that views can be shared and the back button works.
//
//   #/                                    Ask
//   #/case/0fd0a7f2b8a1c9de?sex=F         Answer, for an indexed case
//   #/image/5f2b6c0a9d3e4f71?k=8&look=...  Answer, for an image that the service remembers
//   #/image/5f2b6c0a9d3e4f71/rate?k=8      Rate, the cases of that answer
//   #/admin                               Admin
//   #/readers/3f0a7f2b8a1c9de5             Reader study
//   #/work                                My work
//   #/words?text=left+effusion            Cases by the words of their reports
//   #/collection/9b3f6d2a81c05e74         One collection

/** Parameters of `GET .../similar`; all others are the page's own. */
export const ASKED = [
  "finding", "k", "diversity", "counter_examples", "min_similarity", "near_duplicates",
  "one_per_patient", "exact", "same_patient", "any_of", "all_of", "none_of", "sex", "age_min", "age_max",
  "view", "source", "indexed_since", "indexed_until", "exclude", "exclude_patient_of",
  "like", "unlike", "region", "with_case", "with_query", "text", "says",
];

const FORM = /^#\/(?:(case|image|collection|readers)\/([0-9a-f]{16})(\/rate)?|(admin|work|words))?(?:\?(.*))?$/;

/** @typedef {{kind: string, id: string, rate: boolean, question: URLSearchParams, show: string | null, look: string | null, mended: boolean}} Place */

/** Conditions as the service is asked: one case of each patient unless the address says otherwise. */
export function asked(question) {
  const all = new URLSearchParams(question);
  if (!all.has("one_per_patient")) all.set("one_per_patient", "true");
  return all;
}

/** Parse the current address: kind is "ask", "case", "image", "collection", "admin", "work" or "words". @returns {Place} */
export function here() {
  const [, named, id = "", rate = "", other, query = ""] = FORM.exec(location.hash) ?? [];
  const all = new URLSearchParams(query);
  const question = new URLSearchParams([...all].filter(([name]) => ASKED.includes(name)));
  return { kind: named ?? other ?? "ask", id, rate: rate !== "", question, show: all.get("show") ?? "image", look: all.get("look"), mended: all.has("mended") };
}

/** Build the # of a view. @param {Partial<Omit<Place, "question">> & {question?: any}} place */
export function hashOf({ kind = "ask", id, rate, question, show, look, mended }) {
  const all = new URLSearchParams(question);
  if (show && show !== "image") all.set("show", show);
  if (look) all.set("look", look);
  if (mended && kind === "image") all.set("mended", "");
  const query = all.toString();
  const place = { ask: "", admin: "admin", work: "work", words: "words" }[kind] ?? `${kind}/${id}${rate ? "/rate" : ""}`;
  return `#/${place}${query ? `?${query}` : ""}`;
}

/** Go to another view: `changes` replace parts of the address. `instead` adds no step to the history. */
export function go(changes, { instead = false } = {}) {
  const hash = hashOf({ ...here(), ...changes });
  if (hash === location.hash) return;
  if (instead) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}

/** Change one parameter of the question; null removes it, an array repeats it. */
export function ask(name, value) {
  const { question } = here();
  question.delete(name);
  for (const one of [value ?? []].flat()) question.append(name, one);
  go({ question });
}
