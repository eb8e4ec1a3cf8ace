// The page of a contact: all that is stored of it, and what happened to it.

import { getContact, getHistory } from "./api.js";
import { say } from "./connection.js";
import { byId, element, setText } from "./dom.js";
import { dateTime, statusWord } from "./format.js";
import { showVisitor } from "./visitor.js";

const id = decodeURIComponent(location.pathname.split("/").pop());

const LABELS = {
  id: "Contact", campaignId: "Campaign", customerNumber: "Customer number", status: "State", callResult: "Call result",
  campaignType: "Type", gatewayId: "Gateway", campaignContactId: "Contact in the campaign manager", priority: "Priority",
  ivr: "IVR", dialingMode: "Dialing mode", routingMode: "Routing mode", resourceId: "Resource", queueName: "Queue",
  tenantId: "Tenant", receivedTime: "Received", startTime: "Not before", endTime: "Not after", dialTime: "Dialed",
  endedTime: "Ended", schedulingMetadata: "Scheduling metadata",
};

function shown(name, value) {
  if (value === null || value === undefined) return "–";
  if (name.endsWith("Time")) return dateTime(value);
  if (name === "status") return statusWord(value);
  if (name === "campaignId") return element("a", { href: `/ui/campaign/${encodeURIComponent(value)}` }, value);
  return typeof value === "object" ? element("pre", {}, JSON.stringify(value, null, 2)) : String(value);
}

async function load() {
  try {
    const contact = await getContact(id);
    const names = [...Object.keys(LABELS), ...Object.keys(contact).filter((name) => !(name in LABELS))];
    byId("fields").replaceChildren(...names.filter((name) => name in contact).map((name) =>
      element("div", {}, element("dt", {}, LABELS[name] ?? name), element("dd", {}, shown(name, contact[name])))));
  } catch (error) {
    say(error.message, true);
  }
  try {
    const { history } = await getHistory(id);
    byId("history").replaceChildren(...history.map((line) => element("tr", {},
      element("td", { class: "long", "data-label": "Time" }, dateTime(line.time)),
      element("th", { scope: "row" }, line.event.replaceAll("_", " ")),
      element("td", { "data-label": "Taking" }, line.taking === null ? "" : String(line.taking)),
      element("td", { "data-label": "Dialer" }, line.dialer ?? ""),
      element("td", { class: "long", "data-label": "Detail" }, line.detail ?? ""))));
  } catch (error) {
    say(error.message, true);
  }
  document.body.classList.add("known");
}

document.title = `${id} – dialer`;
setText(byId("name"), id);
byId("reload").addEventListener("click", load);
showVisitor();
load();
