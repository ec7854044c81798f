// Draws the points of `map`: x, y in [0, 1]; schemes: name -> {values, codes}; cases: text of each.
// Okabe and Ito's colours are told apart by colour-blind readers; shapes repeat what colours say.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999999"];
const SHAPES = ["circle", "square", "triangle"];
const REACH = 12; // pixels within which a case is pointed at

const canvas = document.querySelector("canvas");
const pen = canvas.getContext("2d");
const choice = document.querySelector("#by");
const view = { x: 0, y: 0, scale: 1 };
let hidden = new Set();

document.querySelector("#about").textContent = map.about;
for (const name of Object.keys(map.schemes)) choice.append(new Option(name, name));

const look = (code) => ({
  colour: COLOURS[code % COLOURS.length],
  shape: SHAPES[Math.floor(code / COLOURS.length) % SHAPES.length],
});

function path(context, shape, x, y, r) {
  context.beginPath();
  if (shape === "circle") context.arc(x, y, r, 0, 7);
  else if (shape === "square") context.rect(x - r, y - r, 2 * r, 2 * r);
  else {
    context.moveTo(x, y - r);
    context.lineTo(x + r, y + r);
    context.lineTo(x - r, y + r);
    context.closePath();
  }
}

const place = (i) => {
  const side = Math.min(canvas.clientWidth, canvas.clientHeight) * 0.94 * view.scale;
  return [
    canvas.clientWidth / 2 + (map.x[i] - 0.5 + view.x) * side,
    canvas.clientHeight / 2 + (map.y[i] - 0.5 + view.y) * side,
  ];
};

function draw() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  pen.scale(ratio, ratio);
  pen.globalAlpha = map.x.length > 5000 ? 0.5 : 0.8;
  const { codes } = map.schemes[choice.value];
  const r = map.x.length > 5000 ? 2 : 3.5;
  for (let i = 0; i < codes.length; i++) {
    if (hidden.has(codes[i])) continue;
    const { colour, shape } = look(codes[i]);
    pen.fillStyle = colour;
    path(pen, shape, ...place(i), r);
    pen.fill();
  }
}

function legend() {
  const { values, codes } = map.schemes[choice.value];
  const counts = values.map((_, code) => codes.filter((one) => one === code).length);
  const list = document.querySelector("#legend");
  list.replaceChildren();
  values.forEach((value, code) => {
    const button = document.createElement("button");
    const sample = document.createElement("canvas");
    sample.width = sample.height = 14;
    sample.style.cssText = "width:14px;height:14px;flex:none";
    const context = sample.getContext("2d");
    const { colour, shape } = look(code);
    context.fillStyle = colour;
    path(context, shape, 7, 7, 6);
    context.fill();
    button.append(sample, `${value} (${counts[code].toLocaleString("en")})`);
    button.setAttribute("aria-pressed", String(!hidden.has(code)));
    button.onclick = () => {
      if (!hidden.delete(code)) hidden.add(code);
      button.setAttribute("aria-pressed", String(!hidden.has(code)));
      draw();
    };
    list.append(button);
  });
}

function nearest(x, y) {
  let best = REACH ** 2;
  let found = -1;
  const { codes } = map.schemes[choice.value];
  for (let i = 0; i < codes.length; i++) {
    if (hidden.has(codes[i])) continue;
    const [px, py] = place(i);
    const far = (px - x) ** 2 + (py - y) ** 2;
    if (far < best) [best, found] = [far, i];
  }
  return found;
}

choice.onchange = () => {
  hidden = new Set();
  legend();
  draw();
};
canvas.onpointermove = (event) => {
  if (event.buttons) {
    const side = Math.min(canvas.clientWidth, canvas.clientHeight) * 0.94 * view.scale;
    view.x += event.movementX / side;
    view.y += event.movementY / side;
    draw();
    return;
  }
  const found = nearest(event.offsetX, event.offsetY);
  document.querySelector("output").textContent = found < 0 ? "Point at a case." : map.cases[found];
};
canvas.onwheel = (event) => {
  event.preventDefault();
  view.scale = Math.min(50, Math.max(0.5, view.scale * Math.exp(-event.deltaY / 500)));
  draw();
};
canvas.onkeydown = (event) => {
  const step = 0.1 / view.scale;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  const zoom = { "+": 1.25, "-": 0.8 }[event.key];
  if (!zoom && !moves[event.key]) return;
  event.preventDefault();
  if (zoom) view.scale = Math.min(50, Math.max(0.5, view.scale * zoom));
  else [view.x, view.y] = [view.x + moves[event.key][0], view.y + moves[event.key][1]];
  draw();
};
new ResizeObserver(draw).observe(canvas);
legend();
draw();
