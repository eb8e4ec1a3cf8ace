// A campaign's contacts, a page at a time.

import { getContacts } from "./api.js";
import { say } from "./connection.js";
import { byId, element, setList } from "./dom.js";
import { dateTime, statusWord } from "./format.js";

const LIMIT = 50;

export class ContactList {
  constructor(campaign) {
    this.campaign = campaign;
    this.pages = [0]; // where each page began, the one that is shown last
    this.asked = 0;
    for (const name of ["status", "result"]) byId(name).addEventListener("change", () => this.begin());
    byId("reload").addEventListener("click", () => this.load());
    byId("previous").addEventListener("click", () => {
      if (this.pages.length < 2) return;
      this.pages.pop();
      this.load();
    });
    byId("next").addEventListener("click", () => {
      if (this.after === null) return;
      this.pages.push(this.after);
      this.load();
    });
    this.begin();
  }

  begin() {
    this.pages = [0];
    this.load();
  }

  async load() {
    const number = (this.asked += 1);
    const asked = { status: byId("status").value, result: byId("result").value, after: this.pages.at(-1), limit: LIMIT };
    byId("contacts").setAttribute("aria-busy", "true");
    try {
      const { contacts, next } = await getContacts(this.campaign, asked);
      if (number !== this.asked) return; // another was asked for meanwhile
      this.show(contacts, next);
    } catch (error) {
      if (number === this.asked) say(`The contacts cannot be shown. ${error.message}`, true);
    }
  }

  show(contacts, next) {
    this.after = next;
    setList(byId("contacts"), contacts, (contact) => element("tr", {},
      element("th", { scope: "row" }, element("a", { href: `/ui/contact/${encodeURIComponent(contact.id)}` }, contact.id)),
      element("td", { "data-label": "Number" }, contact.customerNumber),
      element("td", { "data-label": "State" }, statusWord(contact.status)),
      element("td", { "data-label": "Result" }, contact.callResult ?? ""),
      element("td", { "data-label": "Received" }, dateTime(contact.receivedTime)),
      element("td", { "data-label": "Ended" }, dateTime(contact.endedTime))));
    byId("contacts").removeAttribute("aria-busy");
    byId("none").hidden = contacts.length > 0;
    byId("page").textContent = `Page ${this.pages.length}`;
    byId("previous").setAttribute("aria-disabled", this.pages.length < 2);
    byId("next").setAttribute("aria-disabled", next === null);
  }

  // The results that there are to choose from; the one that is chosen stays.
  results(found) {
    const select = byId("result");
    const chosen = select.value;
    const wanted = [...new Set([...found, ...(chosen ? [chosen] : [])])].sort();
    if (JSON.stringify(wanted) === select.dataset.known) return;
    select.dataset.known = JSON.stringify(wanted);
    select.replaceChildren(element("option", { value: "" }, "any result"),
      ...wanted.map((result) => element("option", { value: result }, result)));
    select.value = chosen;
  }
}
