// The stream of ticks (server-sent events). It is read by fetch: an EventSource ends for good when it is refused, and
// does not tell why. This one says what is wrong, and tries again, ever more seldom, until it is let in.
import { ask } from "./ask.js";

const FIRST = 500, LONGEST = 8000; // ms between two tries
const SILENT = 4000;               // ms without a word after which a stream is dead

export class Stream {
  // `take` gets the name and the data of each event, `tell` the reason that there is none (null: there is a stream).
  constructor(view, take, tell) {
    Object.assign(this, { view, take, tell, heard: false, wake: () => {} });
    window.addEventListener("online", () => this.wake());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.wake(); });
  }

  async run() {
    for (let wait = FIRST; ; wait = this.heard ? FIRST : Math.min(LONGEST, 2 * wait)) {
      this.heard = false;
      let why;
      try { why = await this.#read(); } catch (error) { why = error.message; }
      this.tell(why);
      await new Promise((done) => { this.wake = done; setTimeout(done, wait * (0.75 + Math.random() / 2)); });
    }
  }

  // Read a stream to its end; return why it ended.
  async #read() {
    const stop = new AbortController();
    let silent;
    const listen = () => { clearTimeout(silent); silent = setTimeout(() => stop.abort(), SILENT); };
    listen();
    try {
      const answer = await ask("/stream", { signal: stop.signal });
      if (answer.headers.get("Atmdepot-View") !== this.view) { location.reload(); return "another viewer runs"; }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = "", part; !(part = await reader.read()).done;) {
        listen();
        const events = (rest + part.value).split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const [name, data] = event.split("\n", 2).map((line) => line.slice(line.indexOf(": ") + 2));
          if (name === "end") return "the viewer has ended";
          if (!this.heard) this.tell(null);
          this.heard = true;
          this.take(name, JSON.parse(data));
        }
      }
      return "the viewer hung up";
    } catch (error) {
      return error.name === "AbortError" || stop.signal.aborted ? "no word from the viewer" : error.message;
    } finally {
      clearTimeout(silent);
      stop.abort();
    }
  }
}
