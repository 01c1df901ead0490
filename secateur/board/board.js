// The table of runs: asks the server, filters, sorts, and keeps what is chosen in the address.
import {element} from "./chart.js";
import {choose, columnsOf, onTwoLines, shown} from "./columns.js";
import {compare} from "./compare.js";

const [PAUSE, MOST_TICKED, FOLLOWED] = [2000, 24, 6];
const AT_ONCE = 150; // rows, until one scrolls to their end
const STATUSES = ["running", "finished", "test", "interrupted", "failed", "damaged"];
const find = (id) => document.getElementById(id);
let listing = null,
  tag = null,
  columns = [],
  state = readState(),
  found = [],
  room = AT_ONCE,
  turns = 0;
const rows = new Map(); // of each run: {run, line, text, made}
const details = new Map();

// What is chosen: words of the filter, the column that sorts, the runs that are ticked, the columns that are shown.
function readState() {
  const said = new URLSearchParams(location.hash.slice(1));
  return {
    filter: said.get("filter") ?? "",
    sort: said.get("sort") ?? "-started",
    ticked: said.getAll("tick").slice(0, MOST_TICKED),
    columns: said.has("columns") ? said.get("columns").split(",") : null,
  };
}

function keepState() {
  const said = new URLSearchParams();
  if (state.filter) said.set("filter", state.filter);
  if (state.sort !== "-started") said.set("sort", state.sort);
  if (state.columns) said.set("columns", state.columns.join(","));
  for (const id of state.ticked) said.append("tick", id);
  history.replaceState(null, "", `#${said}`);
}

const narrow = matchMedia("(max-width: 700px)");
const isShown = (column) =>
  state.columns ? state.columns.includes(column.key) : column.shown && !(narrow.matches && column.wide);

function lineOf(row, made) {
  if (row.made === made) return row.line;
  const run = row.run,
    box = element("input", {type: "checkbox", "aria-label": `Compare ${run.name}`, "data-id": run.id});
  box.addEventListener("change", () => tick(run.id, box.checked));
  const cells = columns.filter(isShown).map((column) => {
    const text = column.text(run);
    const kind = column.class?.(run) ?? (column.cut ? "cut" : typeof column.value(run) === "number" ? "number" : "");
    return element("td", {class: kind || null, title: column.cut ? text : null}, text);
  });
  const line = element("tr", {}, element("td", {}, box), ...cells);
  line.addEventListener("click", (event) => {
    if (event.target !== box && getSelection().isCollapsed) tick(run.id, !box.checked);
  });
  return Object.assign(row, {line, box, made, place: undefined}).line;
}

function fromTheTop() {
  room = AT_ONCE;
  find("scroller").scrollTop = 0;
}

function showMore() {
  const {scrollTop, clientHeight, scrollHeight} = find("scroller");
  if (room >= found.length || scrollTop + 2 * clientHeight < scrollHeight) return;
  room += AT_ONCE;
  showTable();
}

function showTable() {
  const chosen = columns.filter(isShown),
    made = chosen.map((one) => `${one.key} ${one.decimals}`).join();
  const heads = chosen.map((column) => {
    const button = element("button", {type: "button", title: `Sort by ${column.label}`}, onTwoLines(column.label));
    button.addEventListener("click", () => sortBy(column));
    const sorts = state.sort.replace(/^-/, "") === column.key;
    return element(
      "th",
      {
        scope: "col",
        class: column.number ? "number" : null,
        "aria-sort": sorts ? (state.sort.startsWith("-") ? "descending" : "ascending") : null,
        "data-key": column.key,
      },
      button,
    );
  });
  const focused = document.activeElement.closest?.("th")?.dataset.key;
  find("table").tHead.replaceChildren(
    element("tr", {}, element("th", {scope: "col", "aria-label": "compared"}), ...heads),
  );
  if (focused) document.querySelector(`th[data-key="${CSS.escape(focused)}"] button`)?.focus();
  found = choose([...rows.values()], columns, state);
  const body = find("table").tBodies[0],
    held = document.activeElement.dataset?.id,
    lines = found.slice(0, room).map((row) => lineOf(row, made));
  if (lines.length !== body.rows.length || lines.some((line, at) => line !== body.rows[at]))
    body.replaceChildren(...lines);
  if (held) rows.get(held)?.box?.focus({preventScroll: true});
  find("count").textContent = found.length === rows.size ? `${rows.size} runs` : `${found.length} of ${rows.size} runs`;
  find("empty").hidden = found.length > 0;
  find("empty").textContent = rows.size ? "No run fits the filter." : "There are no runs here yet; they will appear.";
  showStatuses();
  showTicks();
}

function showStatuses() {
  const counts = STATUSES.map((status) => [status, listing.runs.filter((run) => run.status === status).length]);
  const buttons = counts
    .filter(([, count]) => count)
    .map(([status, count]) => {
      const word = `status=${status}`,
        on = state.filter.split(/\s+/).includes(word);
      const button = element(
        "button",
        {type: "button", "aria-pressed": String(on), "data-status": status},
        element("span", {class: `status ${status}`}, status),
        ` ${count}`,
      );
      button.addEventListener("click", () => {
        const others = state.filter.split(/\s+/).filter((one) => one && !one.startsWith("status="));
        filterBy((on ? others : [...others, word]).join(" "));
        find("statuses").querySelector(`[data-status=${status}]`)?.focus();
      });
      return button;
    });
  find("statuses").replaceChildren(...buttons);
}

const colourOf = (place) => {
  const colour = listing.colours[place % listing.colours.length];
  return colour === "#000000" ? "currentColor" : colour;
};

// Mark the lines of the runs that are shown below the table, and show those.
function showTicks() {
  state.ticked = state.ticked.filter((id) => rows.has(id));
  for (const row of rows.values()) {
    const place = state.ticked.indexOf(row.run.id);
    if (!row.line || row.place === place) continue;
    row.place = place;
    row.box.checked = place >= 0;
    row.line.classList.toggle("ticked", place >= 0);
    row.line.style.setProperty("--mark", place >= 0 ? colourOf(place) : "transparent");
  }
  find("clear").hidden = !state.ticked.length;
  find("clear").textContent = `untick ${state.ticked.length}`;
  showCompared();
}

async function showCompared() {
  const followed = listing.runs
    .filter((run) => run.status === "running")
    .slice(0, FOLLOWED)
    .map((run) => run.id);
  const ids = state.ticked.length ? state.ticked : followed,
    turn = ++turns;
  document.body.classList.toggle("alone", !ids.length);
  find("compare").hidden = !ids.length;
  await Promise.all(
    ids.map(async (id) => {
      if (details.get(id)?.version === rows.get(id).run.version) return;
      const answer = await fetch(`api/run?${new URLSearchParams({run: id})}`);
      if (answer.ok) details.set(id, await answer.json());
    }),
  ).catch(lost);
  if (turn !== turns) return; // others have been ticked since
  const known = ids.map((id, place) => ({...details.get(id), colour: colourOf(place)})).filter((one) => one.id);
  const options = listing.options.map((one) => one.name);
  compare(find("compare"), known, {
    ticked: state.ticked.length > 0,
    options,
    measures: listing.measures,
    shown,
    untick: (id) => tick(id, false),
  });
}

function tick(id, on) {
  state.ticked = state.ticked.filter((other) => other !== id);
  if (on) state.ticked = [...state.ticked, id].slice(-MOST_TICKED);
  keepState();
  showTicks();
}

function sortBy(column) {
  const first = column.number ? `-${column.key}` : column.key,
    other = column.number ? column.key : `-${column.key}`;
  state.sort = state.sort === first ? other : first;
  fromTheTop();
  keepState();
  showTable();
}

function filterBy(text) {
  state.filter = text;
  if (find("filter").value !== text) find("filter").value = text;
  fromTheTop();
  keepState();
  showTable();
}

function showColumns() {
  const fieldset = find("columns").querySelector("fieldset");
  const labels = columns.map((column) => {
    const box = element("input", {type: "checkbox"});
    box.checked = isShown(column);
    box.addEventListener("change", () => {
      state.columns = columns.filter((one) => (one === column ? box.checked : isShown(one))).map((one) => one.key);
      keepState();
      showTable();
    });
    return element("label", {}, box, ` ${column.label}`);
  });
  fieldset.replaceChildren(element("legend", {}, "Columns of the table"), ...labels);
}

function take(answer) {
  listing = answer;
  columns = columnsOf(listing);
  const there = new Set(listing.runs.map((run) => run.id));
  for (const id of [...rows.keys()]) if (!there.has(id)) rows.delete(id);
  for (const run of listing.runs) {
    if (JSON.stringify(rows.get(run.id)?.run) === JSON.stringify(run)) continue;
    const words = [...columns.map((column) => column.text(run)), run.name, run.id];
    rows.set(run.id, {run, text: words.join("\n").toLowerCase()});
  }
  find("folder").textContent = listing.folder;
  document.title = `Runs: ${listing.folder.split("/").pop()}`;
  find("problems").hidden = !listing.problems.length;
  find("problems").replaceChildren(...listing.problems.map((line) => element("li", {}, line)));
  if (!find("columns").open) showColumns();
  showTable();
}

function lost(why) {
  find("state").textContent = typeof why === "string" ? why : "not connected: the board has ended";
  find("state").classList.add("lost");
}

async function ask() {
  if (document.hidden && listing) return;
  const answer = await fetch("api/runs").catch(() => null);
  if (!answer?.ok) {
    lost(answer && `not shown: ${await answer.text()}`);
    return;
  }
  if (answer.headers.get("ETag") !== tag) {
    take(await answer.json());
    tag = answer.headers.get("ETag");
  }
  find("state").textContent = "live";
  find("state").classList.remove("lost");
}

async function follow() {
  await ask().finally(() => setTimeout(follow, PAUSE));
}

function moveFocus(event) {
  const boxes = [...find("table").tBodies[0].querySelectorAll("input")],
    at = boxes.indexOf(document.activeElement);
  if (at < 0) return;
  event.preventDefault();
  boxes[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
}

find("filter").value = state.filter;
find("filter").addEventListener("input", () => listing && filterBy(find("filter").value));
find("clear").addEventListener("click", () => {
  state.ticked = [];
  keepState();
  showTicks();
  find("filter").focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && document.activeElement !== find("filter")) {
    event.preventDefault();
    find("filter").focus();
  } else if (event.key === "Escape" && find("columns").open) find("columns").open = false;
  else if (event.key === "Escape" && document.activeElement === find("filter") && listing) filterBy("");
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") moveFocus(event);
});
document.addEventListener("click", (event) => {
  if (!find("columns").contains(event.target)) find("columns").open = false;
});
find("scroller").addEventListener("scroll", showMore);
document.addEventListener("visibilitychange", ask);
narrow.addEventListener("change", () => listing && showTable());
addEventListener("hashchange", () => {
  state = readState();
  find("filter").value = state.filter;
  if (listing) showTable();
});
follow();
