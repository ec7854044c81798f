// Heatmaps on images, in the colours and the geometry of the service's own overlays (overlay.py).

const SIDE = 160; // longer side of a canvas of colours; the browser enlarges it smoothly
const CONTOURS = 4; // lines at each quarter of the scale

// Matplotlib's inferno at equal steps, as overlay.py uses it: up to level 180 of 255, each lighter than the one before.
const INFERNO = "000004 050417 10092d 1e0c45 2f0a5b 400a67 510e6c 61136e 71196e 801f6c 902568 a02a63 b0315b bf3952 cc4248 d94d3d e45a31 ed6925 f47918"
  .split(" ").map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));

/** Red, green, blue (0 to 255) for a share (0 to 1) of the scale, linear between the steps of inferno. */
export function colour(share) {
  const at = Math.min(1, Math.max(0, share)) * (INFERNO.length - 1);
  const first = Math.min(INFERNO.length - 2, Math.floor(at));
  return INFERNO[first].map((value, channel) => Math.round(value + (INFERNO[first + 1][channel] - value) * (at - first)));
}

const COLOURS = Array.from({ length: 256 }, (_, level) => colour(level / 255));

/** Area of an image of that width and height in the network's square input, in shares of its side. */
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

/** Share of `most` at each pixel of an image, 0 to 1, row by row: bilinear, in the frame of the image. */
function shares(grid, most, area, width, height) {
  const columns = steps(width, area.x, area.width, grid[0].length);
  const rows = steps(height, area.y, area.height, grid.length);
  const found = new Float32Array(width * height);
  let at = 0;
  for (const [row, down] of rows) {
    for (const [column, right] of columns) {
      const above = grid[row][column] * (1 - right) + grid[row][column + 1] * right;
      const below = grid[row + 1][column] * (1 - right) + grid[row + 1][column + 1] * right;
      found[at] = Math.min(1, Math.max(0, (above * (1 - down) + below * down) / most));
      at += 1;
    }
  }
  return found;
}

/** Opacity (0 or 1) of contours, two pixels wide: 1 where a pixel and one to the right or below lie on two sides of a line. */
function contours(found, width) {
  const band = (at) => Math.min(CONTOURS - 1, Math.floor(found[at] * CONTOURS));
  return (at) => {
    const right = Math.min(at + 2, at - (at % width) + width - 1);
    const below = at + 2 * width < found.length ? at + 2 * width : at;
    return Number(band(at) !== band(right) || band(at) !== band(below));
  };
}

/**
 * Paint a grid onto a canvas of the image's shape: colour and opacity follow the share of `most`,
 * or contour lines join equal shares; for these, `lines` is the longer side on the screen, in
 * pixels. Values below 0 stay clear, and null paints nothing.
 */
export function paint(canvas, grid, most, fit, width, height, lines = 0) {
  const scale = (lines || SIDE) / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  if (!grid || !(most > 0)) return;
  const found = shares(grid, most, frame(fit, width, height), canvas.width, canvas.height);
  const opacity = lines ? contours(found, canvas.width) : (at) => found[at];
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  for (let at = 0; at < found.length; at += 1) {
    picture.data.set(COLOURS[Math.round((lines ? 0.5 + found[at] / 2 : found[at]) * 255)], 4 * at);
    picture.data[4 * at + 3] = Math.round(opacity(at) * 255);
  }
  context.putImageData(picture, 0, 0);
}

/** Paint the scale as a strip on grey, as it looks on an image. */
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

/** Row and column of a grid's maximum. @returns {[number, number]} */
export function peak(grid) {
  const flat = grid.flat();
  const at = flat.indexOf(Math.max(...flat));
  return [Math.floor(at / grid[0].length), at % grid[0].length];
}

/** Reshape a list of locations, row by row, to a grid of `side` x `side`. */
export function squared(locations, side) {
  return Array.from({ length: side }, (_, row) => locations.slice(row * side, (row + 1) * side));
}
