// The page of a campaign: its counts as they change, why it does not go on, its contacts in pages.

import { getExplanation } from "./api.js";
import { makeBar, split } from "./bar.js";
import { showConnection } from "./connection.js";
import { ContactList } from "./contacts.js";
import { makeControls } from "./controls.js";
import { byId, element, setList, setText } from "./dom.js";
import { number } from "./format.js";
import { Live } from "./live.js";
import { showReasons } from "./systems.js";
import { showVisitor } from "./visitor.js";

const EXPLAIN_EVERY = 5000; // ms between two questions why, while something changes

const id = decodeURIComponent(location.pathname.split("/").pop());
let latest;
let explained = 0;
const bar = makeBar(`Progress of ${id}`);
const controls = makeControls(id, () => latest);
const list = new ContactList(id);

document.title = `${id} – dialer`;
setText(byId("name"), id);
byId("progress").append(bar.bar);
byId("act").append(controls.group);

const FIGURES = [["total", "Contacts"], ["pending", "Waiting"], ["active", "Active"], ["stopped", "Stopped"], ["ended", "Ended"], ["failed", "Failed"]];

function show(counts) {
  byId("gone").hidden = counts !== undefined;
  if (!counts || counts === latest) return;
  latest = counts;
  const now = split(counts);
  bar.show(counts);
  controls.show(counts);
  setList(byId("figures"), FIGURES.map(([name, label]) => [label, now[name]]),
    ([label, value]) => element("div", { class: "tile" }, element("dt", {}, label), element("dd", {}, number(value))));
  const results = Object.entries(counts.byCallResult).sort(([, one], [, two]) => two - one);
  const most = Math.max(1, ...results.map(([, contacts]) => contacts));
  setList(byId("results"), results, ([result, contacts]) => {
    const share = element("span", { class: "share", "aria-hidden": "true" });
    share.style.width = `${(100 * contacts) / most}%`;
    return element("li", {}, share, element("span", { class: "result" }, result), " ", element("strong", {}, number(contacts)));
  });
  list.results(results.map(([result]) => result));
}

async function explain() {
  if (Date.now() - explained < EXPLAIN_EVERY) return;
  explained = Date.now();
  try {
    showReasons(await getExplanation(id), "Why is it not dialed?");
  } catch {
    // The connection's state is shown anyway.
  }
}

showVisitor();
new Live(({ facts, campaigns }) => {
  document.body.classList.add("known");
  show(campaigns.get(id));
  if (facts.explanation) explain();
}, showConnection);
