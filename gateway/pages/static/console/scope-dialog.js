/**
 * Scope dialog: a stop of many, counted first and confirmed by typing.
 *
 * Owns the dialog. Guarantees: nothing is stopped whose number was not shown and typed; whatever is changed in the scope
 * afterwards must be counted anew.
 */
import { ask } from "./access.js";

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

export class ScopeDialog {
  #dialog = element("scope-dialog");
  // The scope that was counted; null: none, or it was changed since.
  /** @type {any} */
  #counted = null;
  #phrase = "";
  #onAsked;

  /** @param {(words: string) => void} onAsked Told what was asked for, or why it was not. */
  constructor(onAsked) {
    this.#onAsked = onAsked;
    for (const id of ["scope-kind", "scope-value", "scope-tenant"]) element(id).addEventListener("input", () => this.#changed());
    element("scope-count").addEventListener("click", () => void this.#count());
    element("scope-confirm").addEventListener("input", () => this.#typed());
    element("scope-cancel").addEventListener("click", () => this.#dialog.close());
    element("scope-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (this.#isConfirmed()) void this.#stop();
      else void this.#count();
    });
  }

  open() {
    element("scope-reason").value = "";
    this.#changed();
    this.#dialog.showModal();
    element("scope-kind").focus();
  }

  #scope() {
    const kind = element("scope-kind").value;
    const value = element("scope-value").value.trim();
    const tenant = element("scope-tenant").value.trim();
    if (kind === "all") return { all: true };
    return kind === "subject" && tenant ? { subject: value, tenant } : { [kind]: value };
  }

  #changed() {
    this.#counted = null;
    const kind = element("scope-kind").value;
    element("scope-value-line").hidden = kind === "all";
    element("scope-tenant-line").hidden = kind !== "subject";
    element("scope-confirm-line").hidden = true;
    element("scope-confirm").value = "";
    element("scope-counted").textContent = "";
    element("scope-stop").disabled = true;
  }

  async #count() {
    const scope = this.#scope();
    try {
      const { matched, sessions } = await ask("stops", { scope, dry_run: true });
      this.#counted = scope;
      this.#phrase = `stop ${matched}`;
      element("scope-counted").textContent = `${matched} live ${matched === 1 ? "response" : "responses"} in ${sessions} sessions`;
      element("scope-phrase").textContent = this.#phrase;
      element("scope-confirm-line").hidden = matched === 0;
      if (matched) element("scope-confirm").focus();
    } catch (error) {
      element("scope-counted").textContent = error instanceof Error ? error.message : String(error);
    }
  }

  #isConfirmed() {
    return this.#counted !== null && element("scope-confirm").value.trim() === this.#phrase;
  }

  #typed() {
    element("scope-stop").disabled = !this.#isConfirmed();
  }

  async #stop() {
    try {
      await ask("stops", { scope: this.#counted, reason: element("scope-reason").value.trim() || "operator" });
      this.#dialog.close();
      this.#onAsked("The stop is recorded.");
    } catch (error) {
      element("scope-counted").textContent = error instanceof Error ? error.message : String(error);
    }
  }
}
