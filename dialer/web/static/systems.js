// The dialer and what it depends on: figures, states, alarms, reasons.

import { byId, element, setAttribute, setList, setText } from "./dom.js";
import { counted, moment, number, rate } from "./format.js";

const since = (time) => (time ? ` since ${moment(time)}` : "");

function tile(name, value, note = "") {
  setText(byId(`${name}-value`), value);
  setText(byId(`${name}-note`), note);
}

export function showFigures({ status, rate: calls, dialer }, campaigns) {
  setText(byId("dialer"), dialer.name);
  const { activeCalls: used, maxConcurrentCalls: slots } = status;
  tile("slots", `${number(used)} of ${number(slots)}`, used === null ? "unknown: no database" : `${number(status.freeSlots)} free`);
  const bar = byId("slots-bar");
  setAttribute(bar, "aria-valuemax", slots);
  setAttribute(bar, "aria-valuenow", used ?? 0);
  bar.firstElementChild.style.width = `${Math.min(100, (100 * (used ?? 0)) / slots)}%`;
  tile("rate", rate(calls), `limit of this dialer ${number(status.callsPerSecond)}`);
  tile("active", number(status.totalActiveCalls), "at all dialers");
  let pending = 0;
  let total = 0;
  for (const counts of campaigns.values()) {
    pending += counts.byStatus.pending ?? 0;
    total += counts.total;
  }
  tile("waiting", number(pending), `of ${counted(total, "contact")}`);
  const messages = status.notifications;
  tile("messages", number(messages && messages.waiting + messages.parked),
    messages === null ? "unknown: no database"
      : `${number(messages.parked)} parked${messages.waiting && messages.waitingSince ? `, waiting${since(messages.waitingSince)}` : ""}`);
}

const LEVELS = { true: "good", false: "bad", null: "unknown" };

function system(kind, name, state, level, note) {
  return { kind, name, state, level, note };
}

export function showSystems({ switches, gateways, database, voiceConnector }) {
  const rows = [
    ...switches.map((it) => system("EFSwitch", it.name, (it.ready ? "ready" : it.connected ? "connected, not used" : "down") + since(it.since),
      it.ready ? (it.slowedDownTo === null ? "good" : "warn") : it.connected ? "warn" : "bad",
      [it.reason, it.slowedDownTo === null ? null : `slowed down to ${rate(it.slowedDownTo)} calls/s`].filter(Boolean).join("; "))),
    system("Database", "PostgreSQL", (database.up ? "up" : "down") + since(database.since), LEVELS[database.up], database.up ? "" : database.reason),
    system("Voice connector", "VC", { true: "up", false: "down", null: "not asked yet" }[voiceConnector.up] + since(voiceConnector.since),
      LEVELS[voiceConnector.up], voiceConnector.up ? "" : voiceConnector.reason),
    ...gateways.map((it) => system("Gateway", switches.length > 1 ? `${it.gateway} on ${it.switch}` : it.gateway,
      it.status + since(it.since), { up: "good", down: "warn", invalid: "bad" }[it.status], "")),
  ];
  setList(byId("systems"), rows, (row) => element("li", { "data-level": row.level },
    element("span", { class: "dot", "aria-hidden": "true" }),
    element("span", { class: "kind" }, row.kind), " ",
    element("strong", {}, row.name), " ",
    element("span", { class: "state" }, row.state),
    row.note ? element("span", { class: "note" }, row.note) : null));
}

export function showAlarms(alarms) {
  setList(byId("alarms"), alarms, (alarm) => element("li", { "data-level": alarm.serious ? "bad" : "warn" },
    element("span", { class: "dot", "aria-hidden": "true" }),
    `${alarm.message}${alarm.since ? ` (since ${moment(alarm.since)})` : ""}`));
  byId("no-alarms").hidden = alarms.length > 0;
}

export function showReasons(explanation, question) {
  const reasons = explanation?.reasons ?? [];
  setText(byId("why-title"), explanation?.dialing ? "What it is doing" : question);
  byId("why").hidden = reasons.length === 0;
  setList(byId("reasons"), reasons, (reason) => element("li", {}, reason.message));
}
