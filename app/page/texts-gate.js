// Texts about doubtful images and what to do about them.

export const GATE = {
  remedies: {
    inverted: "Invert and ask again",
    turned_right: "Turn upright and ask again",
    upside_down: "Turn upright and ask again",
    turned_left: "Turn upright and ask again",
    text: "Mask the text and ask again",
  },
  change: "Crop, mask or turn",
  unranked: "Similar cases are not shown: this image seems to be of another kind than the indexed ones.",
  anyway: "Show similar cases anyway",
  mended: "This image was changed in the browser before it was sent: turned, inverted, cropped or masked.",
};

export const MEND = {
  heading: "Change the image, and ask again",
  hint: "Drag a box over the image to crop or mask it. Colours become grey. The image that was sent first is not changed.",
  textHint: (count) => (count
    ? `${count === 1 ? "One area" : `${count} areas`} with text masked. Look whether that is all of it, and only text; mask more by dragging a box. The service forgets the image that was sent first.`
    : "No text was found in the picture. Drag a box over it. The service forgets the image that was sent first."),
  crop: "Crop to a box",
  mask: "Mask a box",
  left: "Turn left",
  right: "Turn right",
  invert: "Invert",
  undo: "Undo",
  ask: "Ask with this image",
};
