// The columns of the table, and the filter that compares them.

const collator = new Intl.Collator("en", {numeric: true});
const SHOWN_MEASURES = ["accuracy", "sparsity", "nodes", "training_time"];

// Numbers as a column shows them.
export function shown(value, decimals) {
  if (value === undefined || value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  return decimals === undefined ? String(value) : value.toFixed(decimals);
}

const progress = (run) => (run.epoch === null ? "" : run.epochs ? `${run.epoch}/${run.epochs}` : `${run.epoch}`);

export function columnsOf(listing) {
  const plain = (key, label, more) => ({
    key,
    label,
    value: (run) => run[key],
    text: (run) => shown(run[key]),
    shown: true,
    ...more,
  });
  const option = ({name, shown: often}) => ({
    key: name,
    label: name,
    value: (run) => run.options[name],
    text: (run) => shown(run.options[name]),
    number: true,
    option: true,
    shown: often,
  });
  const measure = ({name, label, decimals}) => ({
    key: name,
    label: label.split(":")[0],
    number: true,
    decimals,
    shown: SHOWN_MEASURES.includes(name),
    value: (run) => run.figures[name],
    text: (run) => shown(run.figures[name], decimals),
  });
  const measured = listing.measures
    .map(measure)
    .filter((one) => listing.runs.some((run) => one.value(run) !== undefined));
  for (const one of measured) one.shown &&= one.key !== "nodes" || listing.runs.some((run) => run.figures.nodes > 0);
  return [
    plain("status", "status", {class: (run) => `status ${run.status}`}),
    plain("started", "started", {text: (run) => run.started.slice(5, 16), wide: true}),
    plain("model", "model", {wide: true}),
    plain("data_set", "data set", {wide: true}),
    plain("prune_criterion", "criterion"),
    ...listing.options.map(option),
    {key: "epoch", label: "epoch", number: true, shown: true, value: (run) => run.epoch ?? undefined, text: progress},
    ...measured,
    plain("group", "folder", {shown: new Set(listing.runs.map((run) => run.group)).size > 1, cut: true}),
    plain("name", "name", {shown: false, cut: true}),
    plain("reason", "why not finished", {shown: listing.runs.some((run) => run.reason), cut: true}),
  ];
}

// A test of a run for each word of the filter.
function testsOf(filter, columns) {
  return filter
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const not = word.length > 1 && word.startsWith("-"),
        plain = not ? word.slice(1) : word;
      const [, name, sign, wanted] = /^([^<>=]+)(<=|>=|=|<|>)(.*)$/.exec(plain) ?? [];
      const column =
        name &&
        columns.find((one) =>
          [one.key, one.label, one.label.split(" ")[0]].some((known) => known.toLowerCase() === name.toLowerCase()),
        );
      return (row) =>
        not !== (column ? compares(column, row.run, sign, wanted) : row.text.includes(plain.toLowerCase()));
    });
}

function compares(column, run, sign, wanted) {
  const value = column.value(run),
    text = column.text(run).toLowerCase();
  if (sign === "=")
    return text === wanted.toLowerCase() || (typeof value === "number" && wanted !== "" && value === Number(wanted));
  if (typeof value !== "number" || wanted === "" || isNaN(Number(wanted))) return false;
  return {"<": value < wanted, ">": value > wanted, "<=": value <= wanted, ">=": value >= wanted}[sign];
}

// The rows that the filter lets through, in order: those without a value last.
export function choose(rows, columns, {filter, sort}) {
  const tests = testsOf(filter, columns);
  const column = columns.find((one) => one.key === sort.replace(/^-/, "")) ?? columns[1];
  const sign = sort.startsWith("-") ? -1 : 1;
  const order = (one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other : collator.compare(String(one), String(other));
  const keyed = rows.filter((row) => tests.every((test) => test(row))).map((row) => [column.value(row.run) ?? "", row]);
  keyed.sort(([one], [other]) => (one === "") - (other === "") || sign * order(one, other));
  return keyed.map(([, row]) => row);
}

// A long heading, broken at the space that is nearest to its middle.
export function onTwoLines(text) {
  const spaces = text.length < 15 ? [] : [...text.matchAll(/ /g)].map((found) => found.index);
  if (!spaces.length) return text;
  const at = spaces.reduce((best, place) =>
    Math.abs(place - text.length / 2) < Math.abs(best - text.length / 2) ? place : best,
  );
  return `${text.slice(0, at)}\n${text.slice(at + 1)}`;
}
