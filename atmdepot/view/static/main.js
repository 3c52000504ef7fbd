// The state of the page: ticks as they come, which of them is shown, what is open. All parts hang off here.
import { Drawing } from "./drawing.js";
import { Flow } from "./flow.js";
import { Detail } from "./detail.js";
import { Control } from "./control.js";
import { Stream } from "./stream.js";
import { clock, Line, Servers, Events, Legend } from "./panels.js";

const HISTORY = 120;
const $ = (id) => document.getElementById(id);
const state = { ticks: [], at: null, colour: "server", probes: true, picture: null };
// `at` is the number of the tick that is shown; null while the page is live.

const picture = await (await fetch("/picture")).json();
state.picture = picture;
const palette = new Map(picture.servers.map((name, index) => [name, index % 8]));
const CATEGORIES = ["CBR", "rt-VBR", "nrt-VBR", "GFR", "UBR"];
const colourOf = (server, category) => {
  if (state.colour === "server") return palette.has(server) ? `--s${palette.get(server)}` : "--none";
  const index = CATEGORIES.findIndex((name) => category.startsWith(name));
  return index < 0 ? "--none" : `--s${index}`;
};
const drawing = new Drawing($("drawing"), picture, colourOf, open);
const flow = new Flow($("cells"), drawing, colourOf, state);
const servers = new Servers($("servers"), picture, colourOf, open);
const events = new Events($("events"), colourOf, open, $("said"));
const line = new Line($("chart"), $("moment"), show);
const legend = new Legend($("legend"), picture, CATEGORIES, colourOf, state);
const control = picture.control ? new Control(picture.control, () => state.ticks.at(-1)) : null;
const detail = new Detail($("detail"), $("overview"), picture, state, open, closed, control);
$("name").textContent = picture.name;
$("description").textContent = picture.description;
document.title = `${picture.name} · atmdepot view`;

function shown() {
  if (state.at === null) return state.ticks.at(-1);
  return state.ticks.find((tick) => tick.number === state.at) ?? state.ticks[0];
}

function redraw() {
  const tick = shown();
  if (!tick) return;
  drawing.show(tick);
  servers.show(tick);
  line.show(state.ticks, state.at);
  legend.show();
  const modes = Object.values(tick.nodes).map((node) => node.mode);
  const frames = !picture.wires.some((wire) => wire.kind === "atm");
  $("mode").textContent = modes.includes("counted") || frames ? `counted: a mark is ${flow.scaleText()}` : "each cell is seen, in slow motion";
  const when = clock(tick.time);
  const ago = state.at === null ? "" : `, ${((state.ticks.at(-1).time - tick.time) / 1e9).toFixed(1)} s ago`;
  $("now").textContent = `${when}${ago}`;
}

function arrive(tick) {
  const before = state.ticks.at(-1);
  if (before && tick.number <= before.number) state.ticks.length = 0; // the view was started anew
  state.ticks.push(tick);
  if (state.ticks.length > HISTORY) state.ticks.shift();
  events.add(tick, state.at === null);
  if (state.at === null) {
    flow.play(tick);
    drawing.pulse(tick);
    detail.refresh();
    redraw();
  } else line.show(state.ticks, state.at);
}

// Show a tick by its number; null goes on live.
function show(number) {
  const paused = number !== null;
  state.at = number;
  $("pause").textContent = paused ? "Live" : "Pause";
  $("pause").classList.toggle("primary", paused);
  connection();
  flow.clear();
  flow.frozen = false;
  if (paused) { flow.play(shown(), true); drawing.pulse(shown()); }
  redraw();
  detail.refresh(true);
}

function step(by) {
  if (!state.ticks.length) return;
  const at = state.at === null ? state.ticks.length - 1 : state.ticks.findIndex((tick) => tick.number === state.at);
  const to = Math.min(state.ticks.length - 1, Math.max(0, at + by));
  show(state.ticks[to].number);
}

function open(kind, name) {
  document.body.classList.add("open");
  detail.open(kind, name);
  drawing.choose(kind, name);
  requestAnimationFrame(() => flow.fit());
}

function closed(focus) {
  document.body.classList.remove("open");
  drawing.choose(null, null, focus);
  requestAnimationFrame(() => flow.fit());
}

// The stream. What was missed while there was none is in the history that it begins with.
let why = "connecting";
function connection() {
  const [text, kind] = why !== null ? [why, "lost"] : state.at !== null ? ["paused", "held"] : ["live", "live"];
  const badge = $("status");
  if (badge.textContent !== text) badge.textContent = text;
  badge.className = `badge ${kind}`;
  document.body.classList.toggle("lost", why !== null);
}
const stream = new Stream(picture.view, (name, data) => {
  if (name === "tick") return arrive(data);
  state.ticks = data.slice(-HISTORY);
  events.all(state.ticks);
  if (state.at === null) redraw();
}, (reason) => {
  why = reason === null ? null : `${reason}; trying again`;
  if (reason !== null) flow.clear();
  connection();
});

// Controls.
const root = document.documentElement;
function theme(name) {
  root.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "Light" : "Dark";
  flow.colours();
}
const prefers = window.matchMedia("(prefers-color-scheme: dark)");
const asked = new URLSearchParams(location.search);
theme(asked.get("theme") ?? localStorage.getItem("theme") ?? (prefers.matches ? "dark" : "light"));
function turnTheme() { const to = root.dataset.theme === "dark" ? "light" : "dark"; localStorage.setItem("theme", to); theme(to); redraw(); }
function turnSize() {
  const large = root.dataset.size !== "large";
  root.dataset.size = large ? "large" : "";
  $("larger").setAttribute("aria-pressed", String(large));
  requestAnimationFrame(() => flow.fit());
}
// A large network is not drawn smaller than can be read: what has no room is scrolled to.
const READABLE = 0.6, LARGEST = 2;
let zoom = READABLE;
function magnify(to) {
  zoom = Math.min(LARGEST, Math.max(0, to));
  $("sheet").style.minWidth = `${picture.width * zoom}px`;
  $("sheet").style.minHeight = `${picture.height * zoom}px`;
  const { scrollHeight, clientHeight, scrollWidth, clientWidth } = $("stage");
  $("stage").scrollTo((scrollWidth - clientWidth) / 2, (scrollHeight - clientHeight) / 2);
}
magnify(READABLE);
function turnHelp() { const hidden = $("keys").toggleAttribute("hidden"); $("help").setAttribute("aria-expanded", String(!hidden)); requestAnimationFrame(() => flow.fit()); }
function colour(by) { state.colour = by; $("colour").value = by; legend.forget(); events.all(state.ticks); redraw(); }
$("theme").addEventListener("click", turnTheme);
$("larger").addEventListener("click", turnSize);
$("help").addEventListener("click", turnHelp);
$("pause").addEventListener("click", () => show(state.at === null ? state.ticks.at(-1)?.number ?? null : null));
$("back").addEventListener("click", () => step(-1));
$("forward").addEventListener("click", () => step(1));
$("close").addEventListener("click", () => detail.close());
$("colour").addEventListener("change", (event) => colour(event.target.value));
$("probes").addEventListener("change", (event) => { state.probes = event.target.checked; });
const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
$("motion").checked = !still;
flow.on = !still;
$("motion").addEventListener("change", (event) => { flow.on = event.target.checked; flow.clear(); });
document.addEventListener("keydown", (event) => {
  if (!(event.target instanceof Element) || document.querySelector("dialog[open]")) return;
  const inField = event.target.matches("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || (inField && event.key !== "Escape")) return;
  const onButton = event.target.matches("button, [role=button]");
  const keys = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), Escape: () => detail.close(), "?": turnHelp,
    c: () => colour(state.colour === "server" ? "category" : "server"), l: turnSize, d: turnTheme,
    "+": () => magnify(Math.max(zoom, flow.zoom) * 1.25), "-": () => magnify(Math.max(zoom, flow.zoom) / 1.25), 0: () => magnify(0),
  };
  if (event.key === " " && !onButton) keys[" "] = () => $("pause").click();
  const act = keys[event.key];
  if (act) { event.preventDefault(); act(); }
});
new ResizeObserver(() => flow.fit()).observe($("sheet"));
// Tests, and whoever is curious, can look at what is shown.
window.view = { state, flow };
stream.run();
