// Heatmaps on images, in the colours and the geometry of the service's own overlays (overlay.py).

const SIDE = 160; // longer side of the painted canvas; the browser enlarges it smoothly

// Google's turbo at equal steps, as overlay.py uses it: up to level 220 of 255, as its red gets darker beyond.
const TURBO = [
  "30123b 3b2f80 424bb5 4666dd 4680f6 4099ff 2fb2f4 1fc9dd 18ddc2 22ebaa 3ff68a 65fd69",
  "8bff4b a9fb39 c3f134 dbe236 eecf3a faba39 fea130 fc8423 f46617 e84b0c d83706",
].join(" ").split(" ").map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));

/** Red, green, blue (0 to 255) for a share (0 to 1) of the scale, linear between the steps of turbo. */
export function colour(share) {
  const at = Math.min(1, Math.max(0, share)) * (TURBO.length - 1);
  const first = Math.min(TURBO.length - 2, Math.floor(at));
  return TURBO[first].map((value, channel) => Math.round(value + (TURBO[first + 1][channel] - value) * (at - first)));
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

/**
 * Paint a grid onto a canvas of the image's shape: colour and opacity follow the share of `most`.
 * Bilinear, in the frame of the image; values below 0 stay clear, and null paints nothing.
 */
export function paint(canvas, grid, most, fit, width, height) {
  const scale = SIDE / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  if (!grid || !(most > 0)) return;
  const area = frame(fit, width, height);
  const columns = steps(canvas.width, area.x, area.width, grid[0].length);
  const rows = steps(canvas.height, area.y, area.height, grid.length);
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

/** Maximum of several grids, at least 0; null grids are skipped. */
export function largest(grids) {
  return Math.max(0, ...grids.filter(Boolean).flat(2));
}

/** Reshape a list of locations, row by row, to a grid of `side` x `side`. */
export function squared(locations, side) {
  return Array.from({ length: side }, (_, row) => locations.slice(row * side, (row + 1) * side));
}
