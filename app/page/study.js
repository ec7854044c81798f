// Open in viewer: leads from a case to its study in the hospital's viewer, where the service has its address.

import { get } from "./api.js";
import { h } from "./dom.js";
import { T } from "./texts.js";

/** Link to a case's study; hidden while it is not known, and for a case without one. @param {string} caseId */
export function studyLink(caseId) {
  const link = h("a", { target: "_blank", rel: "noopener noreferrer", hidden: true, "data-focus": "compare-study", class: "button" }, T.compare.study);
  get(`cases/${caseId}`).then(({ viewer_url }) => {
    if (viewer_url) {
      link.href = viewer_url;
      link.hidden = false;
    }
  }, () => {}); // the comparison goes on without it
  return link;
}
