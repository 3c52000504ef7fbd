// The network as SVG: boxes and wires that can be reached by keyboard, with what the ticks say on them.
const NS = "http://www.w3.org/2000/svg";
const KINDS = { client: "clients", depot: "depot", switch: "ATM switch", edge: "edge node", interworking: "interworking", external: "external", server: "server" };
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const brief = (value) => (value < 9999.5 ? whole : compact).format(value);

export function make(name, attributes = {}, text = null) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

export class Drawing {
  constructor(svg, picture, colourOf, open) {
    this.svg = svg;
    this.picture = picture;
    this.colourOf = colourOf;
    this.boxes = new Map();
    this.wires = new Map();
    svg.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
    const labels = make("g", { class: "labels" });
    for (const wire of picture.wires) this.#wire(wire, labels, open);
    for (const box of picture.boxes) this.#box(box, open);
    svg.append(labels);
  }

  #pressable(group, kind, name, open) {
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", `${kind} ${name}`);
    group.addEventListener("click", () => open(kind, name));
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); open(kind, name); }
    });
  }

  #wire(wire, labels, open) {
    const group = make("g", { class: `wire ${wire.kind}` });
    group.append(make("path", { class: "edge", d: wire.path }), make("path", { class: "pipe", d: wire.path }));
    this.svg.append(group);
    const drawn = { ...wire, group, path: group.lastChild };
    if (wire.kind !== "ip") {
      this.#pressable(group, "link", wire.name, open);
      const [x, y] = wire.label;
      const name = make("text", { class: "name", x, y: y - 4 }, wire.name);
      drawn.rate = make("text", { class: "rate", x, y: y + 12 });
      drawn.alert = make("text", { class: "alert", x, y: y + 28 });
      labels.append(name, drawn.rate, drawn.alert);
      const on = wire.vps.map((vp) => vp.text).join(", ");
      group.append(make("title", {}, `${wire.name}${wire.text ? ` (${wire.text})` : ""}${on ? `: ${on}` : ""}`));
    }
    // Two servers may be behind one port: its wires have one name.
    this.wires.set(wire.name, [...(this.wires.get(wire.name) ?? []), drawn]);
  }

  #box(box, open) {
    const [width, height] = this.picture.box;
    const group = make("g", { class: `box ${box.kind}`, transform: `translate(${box.x - width / 2} ${box.y - height / 2})` });
    group.append(make("rect", { class: "frame", width, height, rx: 10 }));
    const drawn = { ...box, group };
    if (box.kind === "server") group.append(make("rect", { class: "stripe", x: 0, y: 10, width: 6, height: height - 20, rx: 3 }));
    group.append(make("text", { class: "title", x: 16, y: box.kind === "client" ? 35 : 25 }, box.name));
    if (box.kind !== "client") { drawn.under = make("text", { class: "under", x: 16, y: 44 }, KINDS[box.kind]); group.append(drawn.under); }
    if (box.kind === "server") {
      drawn.big = make("tspan", { class: "big" });
      drawn.word = make("tspan", { dx: 5 });
      drawn.under.replaceChildren(drawn.big, drawn.word);
    }
    if (box.kind !== "client") this.#pressable(group, box.kind === "server" ? "server" : "node", box.name, open);
    this.svg.append(group);
    this.boxes.set(box.key, drawn);
  }

  show(tick) {
    for (const box of this.boxes.values()) {
      if (box.kind === "server") this.#server(box, tick.servers[box.name]);
      else if (box.kind !== "client") this.#node(box, tick.nodes[box.name]);
    }
    for (const [name, wires] of this.wires) for (const wire of wires) if (wire.rate) this.#link(wire, tick.links[name]);
  }

  #node(box, node) {
    if (!node) return;
    const role = node.role && node.role !== "alone" ? node.role : "";
    set(box.under, node.state === "silent" ? "does not answer" : node.state === "elsewhere" ? "not on this machine" : role ? `depot, ${role}` : KINDS[box.kind]);
    box.group.setAttribute("class", `box ${box.kind} ${node.state} ${role === "active" ? "active" : ""} ${box.chosen ? "chosen" : ""}`);
    label(box.group, `${KINDS[box.kind]} ${box.name}${node.state === "up" ? "" : `, ${box.under.textContent}`}`);
  }

  #server(box, server) {
    if (!server) return;
    const dead = server.list !== "alive";
    set(box.word, dead ? "dead" : server.draining ? "drains" : server.sessions === 1 ? "session" : "sessions");
    set(box.big, dead ? "×" : brief(server.sessions));
    box.group.setAttribute("class", `box server ${dead ? "dead" : ""} ${box.chosen ? "chosen" : ""}`);
    box.group.style.setProperty("--c", `var(${dead ? "--bad" : this.colourOf(box.name, "")})`);
    label(box.group, `server ${box.name}, ${dead ? `dead: ${server.why}` : `${server.sessions} sessions`}`);
  }

  #link(wire, link) {
    if (!link) return;
    set(wire.rate, `→ ${brief(link.there)}  ← ${brief(link.back)} ${wire.kind === "atm" ? "" : "frames"}/s`);
    const alert = link.cut ? "cut" : link.trouble || (link.impaired ? "impaired" : "");
    const state = link.cut ? "cut" : link.trouble ? "trouble" : link.impaired ? "impaired" : "";
    set(wire.alert, short(alert));
    wire.alert.setAttribute("class", `alert ${state}`);
    wire.group.setAttribute("class", `wire ${wire.kind} ${state} ${wire.chosen ? "chosen" : ""}`);
    wire.cut = link.cut;
    label(wire.group, `link ${wire.name}${alert ? `, ${alert}` : ""}`);
  }

  // A ring around a server for the sessions that opened in a tick.
  pulse(tick) {
    for (const box of this.boxes.values()) {
      const server = box.kind === "server" ? tick?.servers[box.name] : null;
      if (!server?.opened) continue;
      const [width, height] = this.picture.box;
      const ring = make("rect", { class: "pulse", width, height, rx: 10 });
      ring.style.transformOrigin = `${width / 2}px ${height / 2}px`;
      box.group.append(ring);
      ring.addEventListener("animationend", () => ring.remove());
      setTimeout(() => ring.remove(), 1500); // where nothing is animated
    }
  }

  choose(kind, name, focus = false) {
    for (const box of this.boxes.values()) this.#mark(box, kind === (box.kind === "server" ? "server" : "node") && box.name === name, focus);
    for (const wires of this.wires.values()) for (const wire of wires) this.#mark(wire, kind === "link" && wire.name === name, focus);
  }

  #mark(drawn, chosen, focus) {
    if (focus && drawn.chosen && !chosen) drawn.group.focus();
    drawn.chosen = chosen;
    drawn.group.classList.toggle("chosen", chosen);
  }
}

function set(element, text) { if (element.textContent !== text) element.textContent = text; }
function label(group, text) { if (group.getAttribute("aria-label") !== text) group.setAttribute("aria-label", text); }
function short(text) { return text.length > 34 ? `${text.slice(0, 33)}…` : text; }
