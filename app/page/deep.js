// Own values of the query image: deeper than the 8 bits of its copy, so that a narrow window shows no steps.
//
// Window and level stay in greys of the copy, 0 to 255, which both images of a comparison have in
// common; an own value has the grey that the copy's window gives it, below 0 or above 255 where the
// copy is clipped.

import { bytes } from "./api.js";

/** @typedef {import("./api.js").Schemas["ValuesOut"]} Values */

const MID = 128;
const GREYS = 256;

let fetched = /** @type {{url: string, levels: Promise<Uint16Array>} | null} */ (null); // those of one query: 2 MB

/** Fetch the levels of all pixels; those of the same query once. @param {Values} values */
export function levelsOf({ url }) {
  if (fetched?.url !== url) {
    const levels = bytes(url).then((buffer) => {
      const view = new DataView(buffer);
      return Uint16Array.from({ length: buffer.byteLength / 2 }, (_, pixel) => view.getUint16(2 * pixel, true));
    });
    const mine = { url, levels };
    levels.catch(() => { if (fetched === mine) fetched = null; });
    fetched = mine;
  }
  return fetched.levels;
}

/** Own values per grey of the copy, negative if high values are black. @param {Values} values */
const perGrey = ({ window_width: width, inverted }) => (inverted ? -width : width) / GREYS;

/** Grey of an own value. @param {Values} values */
const greyOf = (values, value) => MID + (value - values.window_centre) / perGrey(values);

/** Greys of all levels. @param {Values} values */
export const greysOf = (values) =>
  Float32Array.from({ length: 2 ** 16 }, (_, level) => greyOf(values, level * values.slope + values.intercept));

/** Window and level, in greys, of all values of the image. @param {Values} values */
export function everything(values) {
  const ends = [greyOf(values, values.lowest), greyOf(values, values.highest)];
  return { window: Math.max(1, Math.abs(ends[1] - ends[0])), level: (ends[0] + ends[1]) / 2 };
}

/** Narrowest window, in greys: two levels of the image. @param {Values} values */
export const narrowest = (values) => Math.min(2, (2 * values.slope) / Math.abs(perGrey(values)));

/** Centre and width of a window in own values; in greys for an image of 8 bits. @param {Values | undefined} values */
export function inOwnValues(values, { window, level }) {
  if (!values) return { centre: level, width: window };
  return { centre: values.window_centre + (level - MID) * perGrey(values), width: window * Math.abs(perGrey(values)) };
}
