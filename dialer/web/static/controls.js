// Start, stop and purge. A purge asks first.

import { control } from "./api.js";
import { split } from "./bar.js";
import { say } from "./connection.js";
import { byId, element, setAttribute, setText } from "./dom.js";
import { counted } from "./format.js";

const DONE = { start: "waiting again", stop: "stopped", purge: "removed" };

async function carryOut(id, what) {
  say(`${id}: ${what} …`);
  try {
    const { contacts } = await control(id, what);
    say(`${id}: ${counted(contacts, "contact")} ${DONE[what]}.`);
  } catch (error) {
    say(`${id}: ${what} failed. ${error.message}`, true);
  }
}

function ask(id, pending) {
  const dialog = byId("purge");
  setText(byId("purge-campaign"), id);
  setText(byId("purge-count"), counted(pending, "waiting contact"));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "purge"), { once: true });
  });
}

// Buttons stay where they are and keep the focus; one that would change nothing says so instead of vanishing.
export function makeControls(id, countsOf) {
  const button = (what, label, has, act) => {
    const made = element("button", { type: "button", class: what, "aria-label": `${label} ${id}` }, label);
    made.addEventListener("click", () => {
      const counts = countsOf();
      if (counts && has(split(counts))) act(split(counts));
      else say(`${id}: there is nothing to ${what}.`);
    });
    return { made, has };
  };
  const buttons = [
    button("stop", "Stop", (now) => now.pending + now.active > 0, () => carryOut(id, "stop")),
    button("start", "Start", (now) => now.stopped > 0, () => carryOut(id, "start")),
    button("purge", "Purge …", (now) => now.pending > 0, async (now) => {
      if (await ask(id, now.pending)) await carryOut(id, "purge");
    }),
  ];
  return {
    group: element("div", { class: "controls control" }, ...buttons.map(({ made }) => made)),
    show(counts) {
      const now = split(counts);
      for (const { made, has } of buttons) setAttribute(made, "aria-disabled", !has(now) && "true");
    },
  };
}
