// Texts of what became of cases.

const YEAR = 365.25;
const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
const span = (days) => (days < 2 * YEAR ? counted(days, "day") : `${(days / YEAR).toFixed(1)} years`);
const share = (part) => `${(part * 100).toFixed(0)} %`;

const proofDay = (days) => {
  if (days === null) return "";
  return days === 0 ? ", same day" : `, ${span(Math.abs(days))} ${days > 0 ? "later" : "earlier"}`;
};

export const STORY = {
  proven: "Proven",
  proof: ({ proof, days }) => `${proof}${proofDay(days)}`,
  films: "All films of this patient",
  when: ({ since_first: days, followup }) => {
    if (days !== null) return days === 0 ? "first film" : `+ ${span(days)}`;
    return followup === null ? "time not known" : `study ${followup}`;
  },
  called: (names) => `network: ${names.join(", ")}`,
  partial: "When some of these were taken is not known; they come last.",
  left: (count) => `${count.toLocaleString("en")} more, farther away in time.`,
  heading: (cases) => (cases === 1 ? "What this case turned out to be" : `What these ${cases} cases turned out to be`),
  counts: "Counts of past cases, chosen because they look alike, each patient once: not the chance of a diagnosis. The bar is the 95 % interval, the mark all cases that match.",
  name: "Outcome or finding",
  similar: "Of these",
  interval: "95 % interval",
  archive: (matched) => `Of all ${matched.toLocaleString("en")} that match`,
  outcomes: "Verified outcomes",
  noOutcomes: "No outcome of these cases is verified.",
  findings: "Findings by the report",
  noFindings: "No report of these cases is known.",
  share: (count, known) => `${count} of ${known}`,
  range: (low, high) => `${share(low)} to ${share(high)}`,
};
