// Line charts as SVG, drawn from numbers alone.

const WIDTH = 340,
  HEIGHT = 210,
  LEFT = 40,
  RIGHT = 8,
  TOP = 8,
  BOTTOM = 34;

export function element(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "path", "circle", "text", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "mark") made.style.setProperty("--mark", value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export const short = (value) =>
  Number(value.toPrecision(4)).toLocaleString("en", {maximumSignificantDigits: 4, useGrouping: false});

// Round numbers within [low, high], about `most` of them.
function ticks(low, high, most, whole = false) {
  const raw = (high - low) / most || 1,
    power = 10 ** Math.floor(Math.log10(raw));
  let step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
}

// A scale from values to places; logarithmic where asked, of positive values.
function scale(values, from, to, log, padding) {
  const seen = log ? values.filter((value) => value > 0).map(Math.log10) : values;
  let low = Math.min(...seen),
    high = Math.max(...seen);
  const room = high > low ? (high - low) * padding : padding ? Math.abs(high) * 0.05 || 1 : 0.5;
  [low, high] = [low - room, high + room];
  const place = (value) => from + (((log ? Math.log10(value) : value) - low) / (high - low)) * (to - from);
  return {place, low, high};
}

// series: [{label, colour, dashed, points: [[x, y]]}]; names: of the places 0, 1, ... on the x axis, else numbers.
// log: logarithmic where the values span a decade; limits: values that are seen in any case.
export function lineChart({title, series, xLabel, names = null, log: mayBeLog = false, limits = null}) {
  const readout = element("div", {class: "readout"});
  const figure = element("figure", {}, element("figcaption", {}, title), readout);
  const values = series.flatMap((one) => one.points.map(([, y]) => y)).filter((y) => Number.isFinite(y) && y > 0);
  const log = mayBeLog && Math.max(...values) >= 8 * Math.min(...values);
  const shown = series.map((one) => ({
    ...one,
    points: one.points.filter(([, y]) => Number.isFinite(y) && (!log || y > 0)),
  }));
  const all = shown.flatMap((one) => one.points);
  if (!all.length) {
    readout.textContent = "nothing measured yet";
    return figure;
  }
  const bottom = BOTTOM + (names ? 34 : 0),
    floor = HEIGHT - bottom + (names ? 34 : 0),
    height = floor + bottom;
  const x = scale(
    names ? names.map((_, place) => place) : all.map(([at]) => at),
    LEFT,
    WIDTH - RIGHT,
    false,
    names ? 0.02 : 0,
  );
  const y = scale([...all.map(([, value]) => value), ...(limits ?? [])], floor, TOP, log, 0.06);
  const svg = element("svg", {
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: "img",
    "aria-label": `${title}: ${series.length} lines`,
  });
  const powers = ticks(Math.floor(y.low), y.high, 4, true);
  const within = y.high - y.low < 2 ? [1, 2, 5] : [1];
  const rows = log ? powers.flatMap((power) => within.map((one) => one * 10 ** power)) : ticks(y.low, y.high, 5);
  for (const value of rows) {
    const at = y.place(value);
    if (at > floor + 1 || at < TOP - 1) continue;
    svg.append(element("line", {x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at, class: "axis"}));
    svg.append(element("text", {x: LEFT - 6, y: at + 4, "text-anchor": "end"}, short(value)));
  }
  svg.append(element("line", {x1: LEFT, x2: WIDTH - RIGHT, y1: floor, y2: floor, class: "axis"}));
  if (names) {
    const step = Math.ceil(names.length / 20);
    names.forEach((name, place) => {
      if (place % step) return;
      const at = x.place(place),
        cut = name.length > 16 ? `…${name.slice(-15)}` : name;
      svg.append(
        element(
          "text",
          {x: at, y: floor + 12, "text-anchor": "end", transform: `rotate(-40 ${at} ${floor + 12})`},
          cut,
          element("title", {}, name),
        ),
      );
    });
  } else {
    for (const value of ticks(x.low, x.high, 6, true)) {
      svg.append(element("text", {x: x.place(value), y: floor + 15, "text-anchor": "middle"}, short(value)));
    }
    svg.append(element("text", {x: (LEFT + WIDTH) / 2, y: height - 4, "text-anchor": "middle"}, xLabel));
  }
  for (const one of shown) {
    const places = one.points.map(([at, value]) => `${x.place(at).toFixed(1)} ${y.place(value).toFixed(1)}`);
    if (places.length > 1) {
      svg.append(
        element(
          "path",
          {d: `M${places.join("L")}`, class: "line", stroke: one.colour, "stroke-dasharray": one.dashed ? "5 3" : null},
          element("title", {}, one.label),
        ),
      );
    }
    for (const place of names || places.length < 30 ? places : []) {
      const [cx, cy] = place.split(" ");
      svg.append(
        element(
          "circle",
          {cx, cy, r: one.dashed ? 2 : 3, class: "mark", fill: one.colour},
          element("title", {}, one.label),
        ),
      );
    }
  }
  figure.append(svg);
  readAt(svg, readout, shown, x, floor, names);
  return figure;
}

// Let the values at the place nearest to the pointer stand above the chart.
function readAt(svg, readout, series, x, floor, names) {
  const there = [...new Set(series.flatMap((one) => one.points.map(([at]) => at)))];
  const cross = element("line", {y1: TOP, y2: floor, class: "cross", visibility: "hidden"});
  svg.append(cross);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(),
      pointer = ((event.clientX - box.left) / box.width) * WIDTH;
    const nearest = there.reduce((best, at) =>
      Math.abs(x.place(at) - pointer) < Math.abs(x.place(best) - pointer) ? at : best,
    );
    for (const side of ["x1", "x2"]) cross.setAttribute(side, x.place(nearest));
    cross.setAttribute("visibility", "visible");
    const values = series.map((one) => [one, one.points.find(([at]) => at === nearest)]).filter(([, point]) => point);
    readout.replaceChildren(
      element("span", {}, names ? names[nearest] : `epoch ${nearest}`),
      ...values
        .slice(0, 8)
        .map(([one, [, value]]) =>
          element(
            "span",
            {},
            element("span", {class: one.dashed ? "swatch dashed" : "swatch", mark: one.colour}),
            short(value),
          ),
        ),
    );
  });
  svg.addEventListener("pointerleave", () => {
    cross.setAttribute("visibility", "hidden");
    readout.replaceChildren();
  });
}
