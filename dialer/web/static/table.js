// The campaigns: searched, filtered, a page at a time, each in its place by name. Only rows on the page are in the document.

import { makeBar, split } from "./bar.js";
import { makeControls } from "./controls.js";
import { byId, element, setText } from "./dom.js";
import { counted, number } from "./format.js";

const PAGE = 50;

const FILTERS = {
  all: () => true,
  open: (now) => now.pending + now.active > 0,
  stopped: (now) => now.stopped > 0,
  done: (now) => now.done === now.total,
};

export class CampaignTable {
  constructor() {
    this.rows = new Map();
    this.campaigns = new Map();
    this.first = 0;
    byId("search").addEventListener("input", () => this.begin());
    byId("filter").addEventListener("change", () => this.begin());
    byId("previous").addEventListener("click", () => this.turn(-PAGE));
    byId("next").addEventListener("click", () => this.turn(PAGE));
  }

  show(campaigns) {
    this.campaigns = campaigns;
    this.render();
  }

  begin() {
    this.first = 0;
    this.render();
  }

  turn(by) {
    const to = this.first + by;
    if (to < 0 || to >= this.found) return;
    this.first = to;
    this.render();
  }

  render() {
    const wanted = byId("search").value.trim().toLowerCase();
    const filter = FILTERS[byId("filter").value];
    const ids = [...this.campaigns.keys()]
      .filter((id) => id.toLowerCase().includes(wanted) && filter(split(this.campaigns.get(id))))
      .sort();
    this.found = ids.length;
    if (this.first >= this.found) this.first = Math.max(0, Math.floor((this.found - 1) / PAGE) * PAGE);
    const page = ids.slice(this.first, this.first + PAGE);
    this.place(page);
    for (const id of page) this.rows.get(id).show(this.campaigns.get(id));
    this.tell(page.length);
  }

  place(page) {
    const body = byId("campaigns");
    const wanted = new Set(page);
    for (const [id, row] of this.rows) {
      if (!wanted.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
    page.forEach((id, at) => {
      if (!this.rows.has(id)) this.rows.set(id, makeRow(id, () => this.campaigns.get(id)));
      const row = this.rows.get(id).element;
      if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
    });
  }

  tell(shown) {
    const range = shown ? `${number(this.first + 1)} to ${number(this.first + shown)} of ` : "";
    setText(byId("range"), `${range}${counted(this.found, "campaign")}`);
    byId("pager").hidden = this.found <= PAGE;
    byId("previous").setAttribute("aria-disabled", this.first === 0);
    byId("next").setAttribute("aria-disabled", this.first + PAGE >= this.found);
  }
}

const COLUMNS = [["pending", "Waiting"], ["active", "Active"], ["stopped", "Stopped"], ["ended", "Ended"], ["failed", "Failed"]];

function makeRow(id, countsOf) {
  const { bar, show: showBar } = makeBar(`Progress of ${id}`);
  const controls = makeControls(id, countsOf);
  const percent = element("span", { class: "percent" });
  const cells = COLUMNS.map(([name, label]) => element("td", { class: `count ${name}`, "data-label": label }));
  let shown = null;
  return {
    element: element("tr", { "data-campaign": id },
      element("th", { scope: "row" }, element("a", { href: `/ui/campaign/${encodeURIComponent(id)}` }, id)),
      element("td", { class: "progress" }, bar, percent), ...cells,
      element("td", { class: "act" }, controls.group)),
    show(counts) {
      if (counts === shown) return;
      shown = counts;
      const now = split(counts);
      showBar(counts);
      controls.show(counts);
      setText(percent, `${Math.floor((100 * now.done) / Math.max(1, now.total))} %`);
      COLUMNS.forEach(([name], at) => setText(cells[at], number(now[name])));
    },
  };
}
