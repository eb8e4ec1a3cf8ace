// A campaign's progress as a bar: what has ended, failed, is in calls, waits, is stopped.

import { element, setAttribute } from "./dom.js";
import { number } from "./format.js";

const PARTS = ["ended", "failed", "active", "pending", "stopped"];

export function split(counts) {
  const of = (status) => counts.byStatus[status] ?? 0;
  const ended = of("ended");
  const failed = of("failed");
  return {
    ended,
    failed,
    active: of("agent_pending") + of("dialed"),
    pending: of("pending"),
    stopped: of("stopped"),
    done: ended + failed,
    total: counts.total,
  };
}

export function makeBar(label) {
  const parts = Object.fromEntries(PARTS.map((part) => [part, element("span", { class: `part ${part}` })]));
  const bar = element(
    "div",
    { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0 },
    ...PARTS.map((part) => parts[part]),
  );
  return {
    bar,
    show(counts) {
      const now = split(counts);
      for (const part of PARTS) parts[part].style.flexGrow = now[part];
      setAttribute(bar, "aria-valuemax", now.total);
      setAttribute(bar, "aria-valuenow", now.done);
      setAttribute(bar, "aria-valuetext", `${number(now.done)} of ${number(now.total)} done`);
    },
  };
}
