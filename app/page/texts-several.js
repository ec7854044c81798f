// Texts of several images: sent together, or one question.

export const SEVERAL = {
  heading: (count) => `What are these ${count} images?`,
  separate: "A question each",
  together: "One question: cases like all of them",
  series: "Films of one patient",
  order: "The earliest first. Cases are found for the last one; links above the answer lead to the others.",
  earlier: "Earlier",
  ask: "Find similar cases",
  films: "Films of one patient",
  film: (number) => `Film ${number}`,
  prior: (number, similarity) => `Film ${number}: similarity to the latest ${similarity.toFixed(2)}`,
  latest: "Latest film",

  label: "Images of the question",
  meaning: (count) => `Cases are ranked by all ${count} images, each counting as much. Findings, similarities and maps belong to image 1.`,
  putFirst: (number) => `Put image ${number} first`,
  takeOut: (number) => `Take image ${number} out of the question`,
  addFile: "Add an image to the question",
  join: "Add to query",
  joinCase: (rank) => `Add to query: case ${rank}`, // begins as the button reads
  joinText: "Ask with this case as well; or drag it onto the query",
  leaveOthers: "Ask without the other images",
  belongs: "An image of a question of several in this collection.",
};
