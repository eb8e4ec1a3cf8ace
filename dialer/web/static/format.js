// Numbers and times as people read them, in the reader's language and time zone.

const whole = new Intl.NumberFormat();
const tenth = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const short = new Intl.DateTimeFormat(undefined, { timeStyle: "short", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

const UNKNOWN = "–";

export const number = (value) => (value === null || value === undefined ? UNKNOWN : whole.format(value));
export const rate = (value) => (value === null || value === undefined ? UNKNOWN : tenth.format(value));
export const counted = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;
export const hour = (time) => short.format(new Date(time));
export const dateTime = (time) => (time ? full.format(new Date(time)) : UNKNOWN);

// The time alone where it is today's.
export function moment(time) {
  const when = new Date(time);
  return when.toDateString() === new Date().toDateString() ? clock.format(when) : full.format(when);
}

const WORDS = {
  pending: "waiting",
  agent_pending: "waiting for an agent",
  dialed: "in a call",
  ended: "ended",
  failed: "failed",
  stopped: "stopped",
};
export const statusWord = (status) => WORDS[status] ?? status;
