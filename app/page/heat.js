// Numbers on an image: one colour scale for everything, as the service's own overlays have it.

const HOTTEST = 220 / 255; // of turbo; beyond, its red gets darker
const SIDE = 160; // of what is painted; the browser enlarges it smoothly
const RED = [0.13572138, 4.6153926, -42.66032258, 132.13108234, -152.94239396, 59.28637943];
const GREEN = [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604];
const BLUE = [0.1066733, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973];

const polynomial = (factors, x) => factors.reduceRight((sum, factor) => sum * x + factor, 0);

/** Red, green, blue (0 to 255) of a share (0 to 1) of the scale: Google's turbo, as a polynomial. */
export function colour(share) {
  const x = Math.min(1, Math.max(0, share)) * HOTTEST;
  return [RED, GREEN, BLUE].map((factors) => Math.round(255 * Math.min(1, Math.max(0, polynomial(factors, x)))));
}

const COLOURS = Array.from({ length: 256 }, (_, level) => colour(level / 255));

/** Where an image of that width and height lies in the network's square input, as shares of it. */
export function frame(fit, width, height) {
  if (fit === "stretch") return { x: 0, y: 0, width: 1, height: 1 };
  const longer = Math.max(width, height);
  const [across, down] = [width / longer, height / longer];
  return { x: (1 - across) / 2, y: (1 - down) / 2, width: across, height: down };
}

/** The two nearest cells and the weight of the second one, for each of `count` pixels. */
function steps(count, start, length, cells) {
  return Array.from({ length: count }, (_, pixel) => {
    const at = (start + ((pixel + 0.5) / count) * length) * cells - 0.5;
    const inside = Math.min(cells - 1, Math.max(0, at));
    const first = Math.min(cells - 2, Math.floor(inside));
    return [first, inside - first];
  });
}

/**
 * Paint a grid onto a canvas of the image's shape: colour and opacity are shares of `most`.
 * Bilinear, in the frame of the image; what is below 0 stays clear, and null paints nothing.
 */
export function paint(canvas, grid, most, fit, width, height) {
  const scale = SIDE / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  if (!grid || !(most > 0)) return;
  const place = frame(fit, width, height);
  const columns = steps(canvas.width, place.x, place.width, grid[0].length);
  const rows = steps(canvas.height, place.y, place.height, grid.length);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  let at = 0;
  for (const [row, down] of rows) {
    for (const [column, right] of columns) {
      const above = grid[row][column] * (1 - right) + grid[row][column + 1] * right;
      const below = grid[row + 1][column] * (1 - right) + grid[row + 1][column + 1] * right;
      const share = Math.min(1, Math.max(0, (above * (1 - down) + below * down) / most));
      const level = Math.round(share * 255);
      picture.data.set(COLOURS[level], at);
      picture.data[at + 3] = level;
      at += 4;
    }
  }
  context.putImageData(picture, 0, 0);
}

/** The scale as a strip on grey, as it looks on an image. */
export function strip(canvas) {
  canvas.width = 128;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  for (let x = 0; x < 128; x += 1) {
    const share = x / 127;
    const [red, green, blue] = colour(share).map((value) => value * share + 96 * (1 - share));
    context.fillStyle = `rgb(${red} ${green} ${blue})`;
    context.fillRect(x, 0, 1, 1);
  }
}

/** The largest number of several grids; null ones have none. */
export function largest(grids) {
  return Math.max(0, ...grids.filter(Boolean).flat(2));
}

/** A grid of `side` x `side` from its places row by row. */
export function squared(places, side) {
  return Array.from({ length: side }, (_, row) => places.slice(row * side, (row + 1) * side));
}
