// What the dialer tells as it happens: one stream of events, taken up again whenever it breaks off.

import { openEvents } from "./api.js";
import { showVisitor } from "./visitor.js";

const SILENCE = 15000; // ms without any event after which the connection counts as gone; one is due every 5 s
const AGAIN = 2000; // ms until a stream that the browser gave up is opened anew

export class Live {
  // `onState` gets { facts, campaigns } after each change, `onConnection` since when it is cut off, null when it is not.
  constructor(onState, onConnection) {
    this.state = { facts: {}, campaigns: new Map() };
    this.onState = onState;
    this.onConnection = onConnection;
    this.lastHeard = null;
    // A page that nobody sees needs no stream; and a browser has few connections to one host.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    if (!document.hidden) this.open();
  }

  open() {
    this.close();
    const source = (this.source = openEvents());
    source.addEventListener("whole", (event) => this.heard(JSON.parse(event.data), true));
    source.addEventListener("change", (event) => this.heard(JSON.parse(event.data), false));
    source.addEventListener("beat", () => this.alive());
    source.addEventListener("error", () => {
      this.lost();
      if (source.readyState !== EventSource.CLOSED) return;
      // It was refused, and the browser does not tell why.
      showVisitor();
      this.retry();
    });
    this.watch();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  heard(told, whole) {
    const { state } = this;
    if (whole) state.campaigns = new Map();
    state.facts = whole ? told.facts : { ...state.facts, ...told.facts };
    for (const [id, counts] of Object.entries(told.campaigns)) state.campaigns.set(id, counts);
    for (const id of told.gone ?? []) state.campaigns.delete(id);
    this.alive();
    this.onState(state);
  }

  alive() {
    this.lastHeard = new Date();
    this.cutOff = null;
    this.onConnection(null);
    this.watch();
  }

  lost() {
    this.cutOff ??= this.lastHeard ?? new Date();
    this.onConnection(this.cutOff);
  }

  watch() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.lost();
      this.retry();
    }, SILENCE);
  }

  retry() {
    this.close();
    this.timer = setTimeout(() => this.open(), AGAIN);
  }
}
