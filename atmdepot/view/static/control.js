// Changes of the network: buttons that ask before they act, and a bar that offers to undo what was done.
import { el } from "./panels.js";
import { post } from "./ask.js";

const $ = (id) => document.getElementById(id);

// Each of two buttons that take turns has the focus of the other.
const OTHERS = { undrain: "drain", drain: "drain", restore: "cut", cut: "cut" };

export class Control {
  // `can` has the kinds of changes that are allowed; `now` gives the tick of now.
  constructor(can, now) {
    Object.assign(this, { can, now });
    this.dialog = $("sure");
    $("sure-no").addEventListener("click", () => this.dialog.close());
    $("undo-close").addEventListener("click", () => { $("undo-bar").hidden = true; });
    $("undo").addEventListener("click", () => this.#undo());
  }

  // The buttons for a thing; what is done already has the button that ends it.
  buttons(kind, name) {
    const tick = this.now();
    const found = [];
    const add = (text, question, request) => found.push(el("button", {
      type: "button", "data-key": `do ${OTHERS[request.do] ?? text}`, onclick: () => this.#sure(text, question, { ...request, name }) }, text));
    if (kind === "server" && this.can.includes("drain")) {
      if (tick?.servers[name]?.draining) add("Undrain", `Let ${name} have new sessions again?`, { do: "undrain" });
      else add("Drain", `Drain ${name}? New sessions go to other servers. Those that are open go on.`, { do: "drain" });
    }
    if (kind === "link" && this.can.includes("impair")) {
      const impair = (text, what, values) => add(text, `${what} on ${name}, both ways?`, { do: "impair", ...values });
      impair("Lose 1 %", "Lose 1 % of the cells", { loss: 0.01 });
      impair("Lose 10 %", "Lose 10 % of the cells", { loss: 0.1 });
      impair("Flip bits", "Flip a bit in 10,000", { bit_errors: 1e-4 });
      impair("Delay 50 ms", "Delay the cells by 50 ms", { delay: 50 });
      if (tick?.links[name]?.impaired) add("As the table", `End what was set on ${name}, so that only the VC table's impairments stay?`, { do: "clear" });
      if (this.can.includes("cut")) {
        if (tick?.links[name]?.cut) add("Restore", `Restore ${name}?`, { do: "restore" });
        else add("Cut", `Cut ${name}? No cell crosses it until it is restored.`, { do: "cut" });
      }
    }
    return found;
  }

  #sure(text, question, request) {
    $("sure-text").textContent = question;
    const yes = $("sure-yes");
    yes.textContent = text;
    yes.onclick = () => { this.dialog.close(); this.#do(request); };
    this.dialog.showModal();
    $("sure-no").focus();
  }

  async #do(request) {
    try {
      const { done, undo } = await post("/control", request);
      this.#tell(`Done: ${done}.`, undo);
    } catch (error) { this.#tell(`Not done: ${error.message}`, null, true); }
  }

  async #undo() {
    const number = $("undo").dataset.number;
    $("undo").hidden = true;
    await this.#do({ do: "undo", name: number });
    $("undo-close").focus();
  }

  #tell(text, undo, bad = false) {
    $("undo-bar").hidden = false; // before it has its words: only then a screen reader tells them
    $("undo-text").textContent = text;
    $("undo-text").classList.toggle("error", bad);
    $("undo").hidden = undo === null;
    $("undo").dataset.number = undo ?? "";
  }
}
