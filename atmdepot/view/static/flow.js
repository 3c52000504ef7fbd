// Cells that move. Where each cell is seen, trains are played in slow motion: their order is right, their times are
// stretched. Where cells are counted, marks pass at a scaled rate.
const TRAVEL = 1300, SPACING = 75; // ms for a link, and between two cells, in slow motion
const MOST = 14;                   // marks of a train; more cells than these are not drawn one by one
const LANE = 5;                    // pixels from the middle of a link
const PATIENCE = 3500;             // ms by which the picture may be late; beyond that it hastens
const TOO_LATE = 9000;
const ENOUGH = 500;                // marks; with more of them all go faster
const COUNTED = 14;                // marks per second on the busiest link
const POINTS = 90;

export class Flow {
  constructor(canvas, drawing, colourOf, state) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.drawing = drawing;
    this.colourOf = colourOf;
    this.state = state;
    this.marks = [];
    this.talks = new Map();  // by session: when it goes on, and where its last train arrives
    this.rates = new Map();  // by link and direction: cells per second where they are counted
    this.scale = 1;
    this.on = true;
    this.drawn = 0;
    this.colour = new Map();
    this.paths = new Map();
    const all = drawing.picture.wires;
    const serverAt = (key) => (key.startsWith("server:") ? key : all.find((wire) => wire.ends[0] === key && wire.ends[1].startsWith("server:"))?.ends[1])?.slice(7);
    for (const [name, wires] of drawing.wires) this.paths.set(name, { kind: wires[0].kind, ends: wires[0].ends, server: serverAt(wires[0].ends[1]), wire: wires[0], points: sampled(wires[0].path) });
    this.fit();
    this.before = performance.now();
    requestAnimationFrame((now) => this.#frame(now));
  }

  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = clientWidth * ratio;
    this.canvas.height = clientHeight * ratio;
    const { width, height } = this.drawing.picture;
    const zoom = Math.min(clientWidth / width, clientHeight / height);
    this.zoom = zoom;
    this.view = [zoom * ratio, ((clientWidth - width * zoom) / 2) * ratio, ((clientHeight - height * zoom) / 2) * ratio];
  }

  colours() { this.colour.clear(); }

  clear() { this.marks = []; this.talks.clear(); this.rates.clear(); }

  scaleText() { return this.scale === 1 ? "one cell or frame" : `${new Intl.NumberFormat("en").format(this.scale)} cells`; }

  // Play a tick; one that is shown alone has no past.
  play(tick, alone = false) {
    if (!tick) return;
    this.#count(tick);
    if (!this.on) return;
    const now = performance.now();
    const haste = alone ? 1 : Math.min(1, ENOUGH / Math.max(1, this.marks.length));
    for (const [, link, there, cells, server, category, kind, session] of tick.trains) {
      if (!this.state.probes && kind !== "session" && kind !== "other") continue;
      this.#train(now, haste, { link, there, cells, server, category, kind, session });
    }
    for (const [key, talk] of this.talks) if (talk.arrives < now - 5000) this.talks.delete(key);
  }

  #train(now, haste, train) {
    const path = this.paths.get(train.link);
    if (!path) return;
    const [from, to] = train.there ? path.ends : [path.ends[1], path.ends[0]];
    const key = train.session ? `session ${train.session}` : `${train.kind} ${train.server}`;
    const talk = this.talks.get(key) ?? { free: now, arrives: 0, at: "" };
    let start = Math.max(now, talk.free);
    if (start - now > TOO_LATE) return; // so many that the picture would never catch up: these are left out
    haste *= Math.min(1, PATIENCE / Math.max(1, start - now));
    const travel = TRAVEL * haste, spacing = SPACING * haste;
    if (talk.at === from) start = Math.max(start, talk.arrives); // an answer, or the next link: the last train has to be there
    const marks = Math.min(train.cells, MOST);
    for (let index = 0; index < marks; index++) {
      this.marks.push({ path, there: train.there, start: start + index * spacing, travel, kind: train.kind,
        colour: this.colourOf(train.server, train.category) });
    }
    talk.free = start + marks * spacing;
    talk.arrives = start + (marks - 1) * spacing + travel;
    talk.at = to;
    this.talks.set(key, talk);
  }

  // Rates of links at which cells (or frames) are counted.
  #count(tick) {
    this.rates.clear();
    let most = 0;
    for (const [name, link] of Object.entries(tick.links)) {
      const path = this.paths.get(name);
      if (!path) continue;
      for (const [there, rate] of [[true, link.there], [false, link.back]]) {
        const sender = path.ends[there ? 0 : 1].replace("node:", "");
        const receiver = path.ends[there ? 1 : 0].replace("node:", "");
        const teller = tick.nodes[sender]?.state === "up" ? sender : receiver;
        // Frames of other bearers are not traced one by one.
        if (rate < 1 || (path.kind === "atm" && tick.nodes[teller]?.mode !== "counted")) continue;
        most = Math.max(most, rate);
        const shares = Object.entries(this.state.colour === "server" ? link.servers : link.categories);
        if (path.kind !== "atm" && path.server) shares.push([path.server, 1]);
        this.rates.set(`${name} ${there}`, { path, there, rate, shares, due: 0 });
      }
    }
    this.scale = round(most / COUNTED);
  }

  #spawn(now, passed) {
    for (const flow of this.rates.values()) {
      flow.due += (flow.rate / this.scale) * (passed / 1000);
      for (; flow.due >= 1; flow.due -= 1) {
        let pick = Math.random(), name = flow.shares[0]?.[0] ?? "";
        for (const [of, share] of flow.shares) { name = of; if ((pick -= share) <= 0) break; }
        const colour = this.state.colour === "server" ? this.colourOf(name, "") : this.colourOf("", name);
        this.marks.push({ path: flow.path, there: flow.there, start: now, travel: TRAVEL, kind: "session", colour });
      }
    }
  }

  #frame(now) {
    const passed = Math.min(100, now - this.before);
    this.before = now;
    if (this.on && this.state.at === null) this.#spawn(now, passed);
    const { context } = this;
    const [zoom, left, top] = this.view;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.marks.length > 3000) this.marks.splice(0, this.marks.length - 3000);
    this.marks = this.marks.filter((mark) => now < mark.start + mark.travel);
    for (const mark of this.marks) {
      const done = (now - mark.start) / mark.travel;
      if (done < 0 || (mark.path.wire.cut && done > 0.45)) continue; // no cell passes where a link is cut
      const at = (mark.there ? done : 1 - done) * (POINTS - 1);
      const [x, y, nx, ny] = between(mark.path.points, at);
      const side = mark.there ? -LANE : LANE;
      const flip = mark.there ? 1 : -1;
      // x along the way that the cell goes; its header is in front.
      context.setTransform(zoom * ny * flip, -zoom * nx * flip, zoom * nx, zoom * ny, left + zoom * (x + nx * side), top + zoom * (y + ny * side));
      this.#draw(mark);
      this.drawn += 1;
    }
    requestAnimationFrame((next) => this.#frame(next));
  }

  #draw(mark) {
    const { context } = this;
    const colour = this.#value(mark.colour), ink = this.#value("--card");
    context.globalAlpha = mark.kind === "session" || mark.kind === "other" ? 1 : 0.65;
    context.fillStyle = context.strokeStyle = colour;
    if (mark.kind === "session" || mark.kind === "other") {
      context.beginPath(); context.roundRect(-9, -3.5, 18, 7, 2); context.fill();
      context.fillStyle = ink; context.fillRect(4, -2, 2, 4); // between header and payload
    } else if (mark.kind === "probe") {
      context.lineWidth = 1.6; context.beginPath(); context.roundRect(-7, -2.7, 14, 5.4, 2); context.stroke();
    } else if (mark.kind === "oam") {
      context.fillStyle = this.#value("--oam"); context.beginPath(); context.moveTo(-5, 0); context.lineTo(0, -4.5); context.lineTo(5, 0); context.lineTo(0, 4.5); context.fill();
    } else {
      context.fillStyle = this.#value("--none"); context.beginPath(); context.arc(0, 0, 2.6, 0, 7); context.fill();
    }
  }

  #value(name) {
    let value = this.colour.get(name);
    if (value === undefined) { value = getComputedStyle(document.documentElement).getPropertyValue(name).trim(); this.colour.set(name, value); }
    return value;
  }
}

// The least of 1, 2, 5, 10, 20... that is not below a number.
function round(number) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, number)));
  return power * ([1, 2, 5].find((step) => step * power >= number) ?? 10);
}

// Points of a path, each with the direction across it.
function sampled(path) {
  const length = path.getTotalLength();
  const points = Array.from({ length: POINTS }, (_, index) => path.getPointAtLength((length * index) / (POINTS - 1)));
  return points.map(({ x, y }, index) => {
    const one = points[Math.max(0, index - 1)], other = points[Math.min(POINTS - 1, index + 1)];
    const far = Math.hypot(other.x - one.x, other.y - one.y) || 1;
    return [x, y, -(other.y - one.y) / far, (other.x - one.x) / far];
  });
}

function between(points, at) {
  const index = Math.min(POINTS - 2, Math.max(0, Math.floor(at)));
  const rest = at - index, one = points[index], other = points[index + 1];
  return one.map((value, part) => value + (other[part] - value) * rest);
}
