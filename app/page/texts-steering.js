// Texts of steering a search by marked cases and by a region.

export const STEERING = {
  marks: (rank) => `Case ${rank} in the next search`,
  like: "Wanted",
  unlike: "Not wanted",
  mark: { like: (rank) => `Search nearer to case ${rank}`, unlike: (rank) => `Search farther from case ${rank}` },
  marked: "Searching",
  nearer: "nearer to",
  farther: "farther from",
  unmark: (id) => `Unmark case ${id}`,
  score: (score) => `score ${score.toFixed(3)}`,
  parts: ({ image, like, unlike, images }) => [...(images ?? [image]).map((part, at) => [images ? `image ${at + 1}` : "image", part]), ["wanted", like], ["not wanted", unlike]]
    .filter(([, part]) => part).map(([name, part]) => `${name} ${part < 0 ? "−" : "+"}${Math.abs(part).toFixed(3)}`).join(", "),
  conditions: {
    like: (id) => `nearer to case ${id}`,
    unlike: (id) => `farther from case ${id}`,
    region: (edges) => `by the region ${edges} (left, top, right, bottom)`,
    with_case: (id) => `with the image of case ${id}`,
    with_query: (id) => `with the image of query ${id}`,
  },
  search: "Search by",
  whole: "whole image",
  drawn: "the marked region",
  draw: "Draw a region",
  hint: "Drag over the image. A region alone finds the same findings less often than the whole image does.",
};
