// The panels beside the picture: servers, events, the legend, and the line of the last minute.
import { make } from "./drawing.js";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const UNITS = { _per_s: "/s", _ms: " (ms)", _s: " (s)", _cps: " (cells/s)" };

/** A key in words, with its unit behind it, as the commands' tables have it. */
export function heading(key) {
  const end = Object.keys(UNITS).find((unit) => key.endsWith(unit));
  return end ? key.slice(0, -end.length).replaceAll("_", " ") + UNITS[end] : key.replaceAll("_", " ");
}

export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("--")) element.style.setProperty(key, value);
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}
export const clock = (ns, digits = 0) => {
  const date = new Date(ns / 1e6);
  const rest = digits ? `.${String(Math.floor(ns / 1e3) % 1e6).padStart(6, "0").slice(0, digits)}` : "";
  return date.toLocaleTimeString("en-GB") + rest;
};

export class Servers {
  constructor(place, picture, colourOf, open) {
    this.colourOf = colourOf;
    this.rows = new Map(picture.servers.map((name) => {
      const parts = { count: el("span", { class: "count" }), more: el("span", { class: "more" }), fill: el("i") };
      const row = el("button", { type: "button", class: "server", onclick: () => open("server", name) },
        el("span", { class: "dot" }), el("b", {}, name), parts.count, el("span", { class: "bar" }, parts.fill), parts.more);
      place.append(row);
      return [name, { row, ...parts }];
    }));
  }

  show(tick) {
    const most = Math.max(1, ...Object.values(tick.servers).map((server) => server.sessions));
    for (const [name, parts] of this.rows) {
      const server = tick.servers[name];
      if (!server) continue;
      const dead = server.list !== "alive";
      parts.row.classList.toggle("dead", dead);
      parts.row.style.setProperty("--c", `var(${dead ? "--bad" : this.colourOf(name, "")})`);
      parts.count.textContent = number.format(server.sessions);
      parts.fill.style.width = `${(100 * server.sessions) / most}%`;
      const moves = server.opened || server.closed ? `+${number.format(server.opened)} −${number.format(server.closed)} · ` : "";
      parts.more.textContent = dead ? `dead: ${server.why}` : `${moves}${number.format(server.total)} sessions since its start${server.draining ? ", drains" : ""}`;
    }
  }
}

const KEPT = 200;
export class Events {
  constructor(list, colourOf, open, said) { Object.assign(this, { list, colourOf, open, said }); }

  all(ticks) {
    this.list.replaceChildren();
    for (const tick of ticks) this.add(tick, false);
  }

  add(tick, live) {
    const rows = tick.events.map((event) => this.#row(event)).reverse();
    if (tick.events_left_out) rows.unshift(el("li", {}, el("time", {}, clock(tick.time)), `and ${number.format(tick.events_left_out)} more`));
    const top = this.list.scrollTop;
    this.list.prepend(...rows);
    // Who reads further down is not moved.
    if (top > 4) this.list.scrollTop = top + rows.reduce((sum, row) => sum + row.offsetHeight, 0);
    while (this.list.childElementCount > KEPT) this.list.lastElementChild.remove();
    const loud = live ? tick.events.filter((event) => event.bad || ["server", "node", "link"].includes(event.kind)) : [];
    if (loud.length) this.said.textContent = loud.slice(-3).map((event) => event.text).join(". ");
  }

  #row(event) {
    const text = event.kind.startsWith("session") ? event.text : `${event.node}: ${event.text}`;
    const tag = event.server ? [el("span", { class: "tag", "--c": `var(${this.colourOf(event.server, "")})` })] : [];
    const subject = event.subject;
    const body = subject ? el("button", { type: "button", onclick: () => this.open(...subject) }, ...tag, text) : el("span", {}, ...tag, text);
    return el("li", event.bad ? { class: "bad" } : {}, el("time", {}, clock(event.time)), body);
  }
}

export class Legend {
  constructor(list, picture, categories, colourOf, state) { Object.assign(this, { list, picture, categories, colourOf, state, made: "" }); }
  forget() { this.made = ""; }
  show() {
    const { state } = this;
    if (this.made === state.colour) return;
    this.made = state.colour;
    const names = state.colour === "server" ? this.picture.servers : this.categories;
    const rows = names.slice(0, 10).map((name) => this.#row(name, state.colour === "server" ? this.colourOf(name, "") : this.colourOf("", name), "cell"));
    rows.push(this.#row("probe", "--none", "probe"), this.#row("report of a server", "--none", "dot"), this.#row("OAM", "--oam", "oam"));
    rows.push(el("li", {}, "/s: cells a second, each way"));
    this.list.replaceChildren(...rows);
  }
  #row(text, colour, kind) {
    const svg = make("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" });
    const shape = kind === "dot" ? make("circle", { cx: 13, cy: 6, r: 3 }) : kind === "oam" ? make("path", { d: "M7 6l6-5 6 5-6 5z" }) : make("rect", { x: 3, y: 2, width: 20, height: 8, rx: 2 });
    shape.style[kind === "probe" ? "stroke" : "fill"] = `var(${colour})`;
    if (kind === "probe") { shape.style.fill = "none"; shape.style.strokeWidth = "1.8"; }
    svg.append(shape);
    return el("li", {}, svg, text);
  }
}

export class Line {
  constructor(chart, range, show) {
    Object.assign(this, { chart, range, ticks: [] });
    range.addEventListener("input", () => {
      const at = Math.max(0, Number(range.value) - (120 - this.ticks.length));
      const tick = this.ticks[at];
      show(tick && at < this.ticks.length - 1 ? tick.number : null);
    });
  }

  show(ticks, at) {
    this.ticks = ticks;
    const index = at === null ? ticks.length - 1 : Math.max(0, ticks.findIndex((tick) => tick.number === at));
    const rates = ticks.map((tick) => Object.values(tick.links).reduce((sum, link) => sum + link.there + link.back, 0));
    const most = Math.log1p(Math.max(1, ...rates));
    this.chart.setAttribute("viewBox", "0 0 120 30");
    const first = 120 - ticks.length;
    const bars = [];
    ticks.forEach((tick, place) => {
      const height = (22 * Math.log1p(rates[place])) / most;
      const bad = tick.events.some((event) => event.bad), note = tick.events.some((event) => ["node", "server", "link"].includes(event.kind));
      bars.push(make("rect", { x: first + place + 0.1, y: 30 - height, width: 0.8, height: Math.max(0.4, height), class: place === index && at !== null ? "at" : "" }));
      if (bad || note) bars.push(make("rect", { x: first + place + 0.1, y: 0, width: 0.8, height: 4, class: bad ? "bad" : "note" }));
    });
    this.chart.replaceChildren(...bars);
    this.range.value = String(first + index);
    const tick = ticks[index];
    if (tick) this.range.setAttribute("aria-valuetext", `${((ticks.at(-1).time - tick.time) / 1e9).toFixed(1)} seconds ago, ${number.format(rates[index])} cells per second`);
  }
}
