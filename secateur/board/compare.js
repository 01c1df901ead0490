// What stands below the table: the runs that are ticked, or those that are running, side by side.
import {element, lineChart, short} from "./chart.js";

const PLACES = ["run_name", "results_dir"]; // which tell every run from every other
const open = new Set(); // of the parts that can be opened
const masks = new Map(); // of each run that was asked for: {version, answer}
let drawn = "";

// runs: details as the server gives them, with a colour each.
export function compare(place, runs, context) {
  const labels = labelsOf(runs, context.options);
  const now = JSON.stringify([
    runs.map((run) => [run.id, run.version, run.colour, run.status]),
    context.ticked,
    [...open].sort(),
  ]);
  if (now === drawn || !runs.length) return;
  drawn = now;
  const held = document.activeElement.dataset.held;
  const again = () => compare(place, runs, context);
  const heading = runs.length < 2 ? runs[0].name : `${runs.length} runs ${context.ticked ? "compared" : "in progress"}`;
  place.replaceChildren(
    element("h2", {}, heading),
    legend(runs, labels, context),
    element("div", {class: "charts"}, ...curves(runs, labels), ...layers(runs, labels)),
    figures(runs, labels, context, again),
    part("masks", "Masks: which weights each layer keeps", again, () => runs.map((run, at) => maskOf(run, labels[at]))),
    part("commands", runs.length > 1 ? "Commands" : "Command", again, () =>
      runs.map((run, at) =>
        element("p", {}, swatch(run), `${labels[at]}: `, element("code", {}, run.command || "not recorded")),
      ),
    ),
  );
  if (held) place.querySelector(`[data-held="${CSS.escape(held)}"]`)?.focus({preventScroll: true});
}

const swatch = (run, dashed = false) => element("span", {class: dashed ? "swatch dashed" : "swatch", mark: run.colour});

// The criterion of each run with the options that tell it from the others.
function labelsOf(runs, options) {
  const differ = (key) => new Set(runs.map((run) => JSON.stringify(run[key]))).size > 1;
  const varying = options.filter((name) => new Set(runs.map((run) => JSON.stringify(run.options?.[name]))).size > 1);
  const found = runs.map((run) =>
    [
      ...["model", "data_set"].filter(differ).map((key) => run[key]),
      run.prune_criterion || run.name,
      ...varying
        .filter((name) => run.typed.includes(name))
        .slice(0, 4)
        .map((name) => `${name} ${run.options[name]}`),
    ].join(", "),
  );
  return found.map((label, at) =>
    found.indexOf(label) === found.lastIndexOf(label) ? label : `${label}, ${runs[at].started || runs[at].name}`,
  );
}

function legend(runs, labels, {ticked, untick}) {
  return element(
    "ul",
    {class: "legend"},
    ...runs.map((run, at) => {
      const line = element(
        "li",
        {title: run.id},
        swatch(run),
        labels[at],
        " ",
        element("span", {class: `status ${run.status}`}, run.status),
      );
      if (run.reason || run.problem) line.append(element("span", {class: "faint"}, ` ${run.reason || run.problem}`));
      if (ticked) {
        const button = element(
          "button",
          {type: "button", "aria-label": `Untick ${labels[at]}`, "data-held": run.id},
          "✕",
        );
        button.addEventListener("click", () => untick(run.id));
        line.append(button);
      }
      return line;
    }),
  );
}

function curves(runs, labels) {
  const lines = (names, factor, dashed) =>
    runs.map((run, at) => {
      const [epochs, values] = names.map((name) => run.curves[name]).find((curve) => curve?.length) ?? [[], []];
      return {
        label: labels[at],
        colour: run.colour,
        dashed,
        points: epochs.map((epoch, place) => [epoch, factor * values[place]]),
      };
    });
  const accuracy = lines(["test_accuracy", "validation_accuracy"], 100, false),
    loss = lines(["test_loss", "validation_loss"], 1, false);
  runs.forEach((run, at) => {
    // what was tested once, at the end
    for (const [line, last] of [
      [accuracy[at], run.figures.accuracy],
      [loss[at], run.figures.loss],
    ]) {
      const epoch = run.epoch ?? 0;
      if (run.status === "finished" && last !== undefined && !line.points.some(([place]) => place === epoch))
        line.points.push([epoch, last]);
    }
  });
  const nodes = lines(["node_sparsity"], 100, true).filter((line) => line.points.some(([, value]) => value > 0));
  return [
    lineChart({
      title: "accuracy [%], training dashed",
      xLabel: "epoch",
      series: [...accuracy, ...lines(["train_accuracy"], 100, true)],
    }),
    lineChart({title: "loss, training dashed", xLabel: "epoch", series: [...loss, ...lines(["train_loss"], 1, true)]}),
    lineChart({
      title: nodes.length ? "weights pruned [%], units dashed" : "weights pruned [%]",
      xLabel: "epoch",
      limits: [0, 100],
      series: [...lines(["weight_sparsity"], 100, false), ...nodes],
    }),
  ];
}

function layers(runs, labels) {
  const names = [...new Set(runs.flatMap((run) => run.layers.map(([name]) => name)))];
  if (!names.length) return [];
  const series = runs.map((run, at) => ({
    label: labels[at],
    colour: run.colour,
    points: run.layers.map(([name, share]) => [names.indexOf(name), 100 * share]),
  }));
  return [lineChart({title: "weights kept in each layer [%]", names, log: true, series})];
}

// Figures, and the options that differ; of one run those that were typed.
function figures(runs, labels, {measures, shown}, again) {
  const everything = open.has("everything"),
    several = runs.length > 1;
  const rows = [
    ["status", (run) => run.status],
    ["started", (run) => run.started],
  ];
  for (const {name, label, decimals} of measures) rows.push([label, (run) => shown(run.figures[name], decimals)]);
  const differ = (of) => new Set(runs.map(of)).size > 1;
  const named = ["model", "data_set", "prune_criterion"].map((key) => [key, (run) => shown(run[key])]);
  const said = new Set(
    runs.flatMap((run) => Object.keys(run.options)).filter((name) => everything || !PLACES.includes(name)),
  );
  const options = [...said].map((name) => [`--${name}`, (run) => shown(run.options[name])]);
  const machine = Object.keys(Object.assign({}, ...runs.map((run) => run.machine))).map((name) => [
    name,
    (run) => shown(run.machine[name]),
  ]);
  const typed = ([name]) => runs.some((run) => run.typed.includes(name.slice(2)));
  const chosen = [...named, ...options.filter((row) => everything || several || typed(row)), ...machine].filter(
    ([, of]) => everything || !several || differ(of),
  );
  const line = ([name, of]) =>
    element("tr", {}, element("th", {scope: "row"}, name), ...runs.map((run) => element("td", {}, of(run))));
  const box = element("input", {type: "checkbox", "data-held": "everything"});
  box.checked = everything;
  box.addEventListener("change", () => toggle("everything", box.checked, again));
  const head = element(
    "tr",
    {},
    element("td"),
    ...runs.map((run, at) => element("th", {scope: "col"}, swatch(run), labels[at])),
  );
  const title = (text, ...more) =>
    element("tr", {}, element("th", {colspan: runs.length + 1, class: "title"}, text, ...more));
  return element(
    "div",
    {class: "wide"},
    element(
      "table",
      {id: "figures"},
      element("thead", {}, head),
      element(
        "tbody",
        {},
        title("Figures"),
        ...rows.filter(([, of]) => runs.some((run) => of(run) !== "")).map(line),
        title(
          several ? (chosen.length ? "Options that differ" : "No option differs") : "Options that were typed",
          element("label", {class: "inline"}, box, " all options"),
        ),
        ...chosen.map(line),
      ),
    ),
  );
}

function toggle(name, on, again) {
  if (on) open.add(name);
  else open.delete(name);
  again();
}

// A part that is made when it is opened, and stays open when the runs change.
function part(name, title, again, make) {
  const made = element("details", {open: open.has(name)}, element("summary", {"data-held": name}, title));
  if (open.has(name)) made.append(...make());
  made.addEventListener("toggle", () => {
    if (made.open !== open.has(name)) toggle(name, made.open, again);
  });
  return made;
}

function maskOf(run, label) {
  const place = element(
    "div",
    {},
    element("h3", {}, swatch(run), label),
    element("p", {class: "faint"}, "Reading the checkpoint …"),
  );
  readMasks(run).then((answer) => {
    const order = new Map(run.layers.map(([name], at) => [name, at])),
      placeOf = ({name}) => order.get(name) ?? order.size;
    const figures = answer.layers
      .sort((one, other) => placeOf(one) - placeOf(other))
      .map((layer) => {
        const share =
          layer.kept === undefined
            ? "too large to draw"
            : `${short((100 * layer.kept) / layer.weights)} % of ${layer.weights.toLocaleString("en")} kept`;
        return element(
          "figure",
          {},
          ...(layer.map ? [picture(layer)] : []),
          element("figcaption", {}, `${layer.name} (${layer.shape.join(" × ")}): ${share}`),
        );
      });
    place.lastChild.replaceWith(
      answer.problem
        ? element("p", {class: "faint"}, `No masks: ${answer.problem}`)
        : element(
            "div",
            {},
            element(
              "div",
              {class: "faint"},
              `${answer.checkpoint}; outputs down, inputs across; the stronger, the more is kept`,
            ),
            element("div", {class: "masks"}, ...figures),
          ),
    );
  });
  return place;
}

async function readMasks(run) {
  if (masks.get(run.id)?.version !== run.version) {
    const asked = fetch(`api/layers?${new URLSearchParams({run: run.id})}`).then((answer) =>
      answer.ok ? answer.json() : {layers: [], problem: "they cannot be read"},
    );
    masks.set(run.id, {
      version: run.version,
      answer: asked.catch(() => ({layers: [], problem: "the board has ended"})),
    });
  }
  return masks.get(run.id).answer;
}

// A layer's map: a pixel for each cell, the more opaque the more is kept, in the colour of the text.
function picture({rows, columns, map, name}) {
  const canvas = element("canvas", {width: columns, height: rows, role: "img", "aria-label": `Mask of ${name}`});
  const context = canvas.getContext("2d"),
    image = context.createImageData(columns, rows),
    bytes = atob(map);
  const [red, green, blue] = getComputedStyle(document.body).color.match(/\d+/g).map(Number);
  for (let cell = 0; cell < bytes.length; cell++) image.data.set([red, green, blue, bytes.charCodeAt(cell)], 4 * cell);
  context.putImageData(image, 0, 0);
  return canvas;
}
