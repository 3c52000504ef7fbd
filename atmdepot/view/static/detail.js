// Details of the open subject: facts, tables, actions, and the last cells, octet by octet.
import { ask } from "./ask.js";
import { clock, el, heading } from "./panels.js";

const EVERY = 1500; // ms between two looks while live
const REGIONS = ["header", "hec", "llc", "ip", "transport", "data", "pad", "trailer", "oam"];

export class Detail {
  constructor(panel, overview, picture, state, open, closed, control) {
    Object.assign(this, { panel, overview, picture, state, goTo: open, closed, control, kind: null, name: null, asked: 0, unfolded: null });
    this.title = panel.querySelector("h2");
    this.body = panel.querySelector("#detail-body");
  }

  open(kind, name) {
    Object.assign(this, { kind, name, unfolded: null, made: "" });
    this.overview.hidden = true;
    this.panel.hidden = false;
    this.title.textContent = `${kind} ${name}`;
    this.body.replaceChildren(el("p", { class: "note" }, "asking the daemons"));
    this.title.focus();
    this.refresh(true);
  }

  close() {
    if (this.kind === null) return;
    this.kind = null;
    this.panel.hidden = true;
    this.overview.hidden = false;
    this.closed(true);
  }

  // Ask anew; while a cell is unfolded, only when it is wanted.
  async refresh(now = false) {
    if (this.kind === null || (!now && (this.unfolded || performance.now() - this.asked < EVERY))) return;
    this.asked = performance.now();
    const { kind, name, state } = this;
    const tick = state.at === null ? null : state.ticks.find((one) => one.number === state.at);
    const query = new URLSearchParams({ kind, name, ...(tick ? { until: String(tick.time) } : {}) });
    try {
      const detail = await (await ask(`/detail?${query}`)).json();
      if (this.kind === kind && this.name === name && (now || !this.unfolded)) this.#show(detail);
    } catch (error) {
      if (this.kind === kind && this.name === name) this.body.replaceChildren(el("p", { class: "error" }, error.message));
    }
  }

  #show(detail) {
    this.unfolded = null;
    this.title.textContent = detail.title;
    const focus = document.activeElement?.dataset?.key;
    const parts = [];
    if (detail.trouble) parts.push(el("p", { class: "error" }, detail.trouble));
    parts.push(...this.#actions(detail));
    if (Object.keys(detail.facts).length) parts.push(facts(detail.facts));
    parts.push(this.#cells("Last cells of sessions", detail.cells));
    if (detail.others.length) parts.push(this.#cells("Last cells of probes, reports and OAM", detail.others));
    for (const [title, rows] of Object.entries(detail.tables)) parts.push(this.#table(title, rows, detail.notes[title] ?? rows.length));
    const top = this.body.scrollTop;
    this.body.replaceChildren(...parts);
    this.body.scrollTop = top;
    if (focus) this.body.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }

  #table(title, rows, count) {
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) => !["node", "meaning"].includes(name));
    const head = el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, heading(name))));
    const body = rows.map((row) => el("tr", {}, ...columns.map((name) => el("td", {}, this.#value(name, row)))));
    return el("section", {}, el("h3", {}, `${title} (${count})`), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
      el("table", {}, el("thead", {}, head), el("tbody", {}, ...body))));
  }

  // A value of a row; what can be opened is a button.
  #value(name, row) {
    const value = row[name];
    const text = value === undefined ? "" : typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : String(value);
    const target = name === "vc" && row.link && text.includes("/") ? ["vc", `${row.link} ${text}`] : name === "number" && row.client ? ["session", text]
      : name === "link" && text !== this.name ? ["link", text] : name === "server" && this.picture.servers.includes(text) && text !== this.name ? ["server", text] : null;
    return target && this.#leads(target[0], target[1]) ? el("button", { type: "button", "data-key": target.join(" "), onclick: () => this.goTo(...target) }, text) : text;
  }

  #leads(kind, name) { return kind !== "link" || this.picture.wires.some((wire) => wire.name === name && wire.kind !== "ip"); }

  // True where some cells are counted, and only samples of them are seen.
  #counted() { return Object.values(this.state.ticks.at(-1)?.nodes ?? {}).some((node) => node.mode === "counted"); }

  #cells(title, cells) {
    const list = cells.toReversed().map((cell, index) => this.#cell(cell, `cell ${cell.id} ${cell.octets} ${index}`));
    const told = cells.length ? "the newest first; open one for its octets" : this.#counted() ? "none was among the samples of the last minute" : "none was seen in the last minute";
    return el("section", {}, el("h3", {}, title), el("p", { class: "note" }, told), ...list);
  }

  #cell(cell, key) {
    const wire = this.picture.wires.find((one) => one.name === cell.link);
    const sender = cell.direction === "out" ? `node:${cell.node}` : wire?.ends.find((end) => end !== `node:${cell.node}`);
    const arrow = wire && wire.ends[0] === sender ? "→" : "←";
    const of = cell.position ? `${cell.position}${cell.cells ? ` of ${cell.cells}` : ""}` : "";
    const what = cell.position ? `cell ${of}${cell.pdu ? `: ${brief(cell.pdu)}` : ""}` : cell.line;
    const row = el("div", { class: cell.is_good ? "cell" : "cell bad" });
    const button = el("button", { type: "button", "aria-expanded": "false", "data-key": key }, el("span", {}, clock(cell.time, 6)),
      el("span", { "aria-label": arrow === "→" ? "there" : "back" }, arrow), el("span", {}, cell.vc), el("span", {}, what));
    row.append(button);
    button.addEventListener("click", () => {
      const inside = row.querySelector(".inside");
      if (inside) { inside.remove(); this.unfolded = null; button.setAttribute("aria-expanded", "false"); return; }
      this.unfolded = key;
      button.setAttribute("aria-expanded", "true");
      row.append(inside_of(cell));
    });
    return row;
  }

  #actions(detail) {
    const buttons = this.control?.buttons(detail.kind, detail.name) ?? [];
    return buttons.length ? [el("div", { class: "actions", role: "group", "aria-label": "Changes" }, ...buttons)] : [];
  }
}

function facts(values) {
  const list = el("dl", { class: "facts" });
  for (const [name, value] of Object.entries(values)) list.append(el("dt", {}, heading(name)), el("dd", {}, Array.isArray(value) ? value.join(", ") : String(value)));
  return list;
}

function brief(line) {
  const at = line.indexOf("IPv");
  return at < 0 ? line.slice(line.indexOf("AAL5")) : line.slice(at);
}

function inside_of(cell) {
  const octets = cell.octets.match(/../g);
  const kindAt = (at) => cell.regions.find((region) => at >= region[1] && at < region[2]);
  const grid = el("div", { class: "octets", role: "img", "aria-label": `53 octets: ${cell.regions.map((region) => `${region[3]} ${octets.slice(region[1], region[2]).join(" ")}`).join("; ")}` });
  octets.forEach((octet, at) => {
    const region = kindAt(at);
    grid.append(el("span", { title: `octet ${at + 1}: ${region?.[3] ?? ""}`, "--k": `var(--${REGIONS.includes(region?.[0]) ? region[0] : "data"})` }, octet));
    if (at === 4) for (let gap = 0; gap < 11; gap++) grid.append(el("span", { class: "gap" }, "."));
  });
  const names = el("div", { class: "regions" }, ...cell.regions.map((region) => el("span", { "--k": `var(--${region[0]})` }, `${region[3]}, ${region[2] - region[1]} octet${region[2] - region[1] === 1 ? "" : "s"}`)));
  const tree = el("pre", { tabindex: "0", "aria-label": "Fields of the PDU and the packet in it" }, "reading");
  const query = new URLSearchParams({ link: cell.link, time: cell.id, octets: cell.octets });
  ask(`/tree?${query}`).then((answer) => answer.json()).then((answer) => { tree.textContent = answer.tree; }, (error) => { tree.textContent = error.message; });
  return el("div", { class: "inside" }, grid, names, facts(cell.fields), ...(cell.pdu ? [el("p", { class: "note" }, cell.pdu)] : []), tree);
}
