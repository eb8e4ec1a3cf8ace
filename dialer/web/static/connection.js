// Says whether what is shown is live, and marks it as old when it is not.

import { byId, setText } from "./dom.js";
import { moment } from "./format.js";

export function showConnection(since) {
  const place = byId("connection");
  document.body.classList.toggle("stale", since !== null);
  place.dataset.state = since === null ? "good" : "bad";
  setText(place, since === null ? "Live" : `Disconnected since ${moment(since)}. What you see is from then.`);
}

export function say(text, bad = false) {
  const place = byId("message");
  place.classList.toggle("bad", bad);
  setText(place, text);
}
