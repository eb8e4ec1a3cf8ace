// How contacts ended over the last hour: a stacked bar for each minute.

import { element, setAttribute, setList } from "./dom.js";
import { counted, hour, number } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const SHOWN = 5; // results with a colour of their own; the others are one
const ORDER = ["NORMAL_CLEARING", "NO_ANSWER", "USER_BUSY", "CALL_REJECTED", "UNALLOCATED_NUMBER"];
const OTHERS = "others";

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const place = (result) => (ORDER.includes(result) ? ORDER.indexOf(result) : ORDER.length);

export function totals(minutes) {
  const found = new Map();
  for (const { byCallResult } of minutes) {
    for (const [result, contacts] of Object.entries(byCallResult)) found.set(result, (found.get(result) ?? 0) + contacts);
  }
  return found;
}

// The results that are shown, each with a colour that does not change with the counts, and which of them each result is.
function legend(found) {
  const most = [...found.keys()].sort((one, two) => found.get(two) - found.get(one) || (one < two ? -1 : 1));
  const shown = most.slice(0, SHOWN).sort((one, two) => place(one) - place(two) || (one < two ? -1 : 1));
  const free = [0, 1, 2, 3, 4].filter((colour) => !shown.some((result) => place(result) === colour));
  const colours = new Map(shown.map((result) => [result, place(result) < ORDER.length ? place(result) : free.shift()]));
  if (most.length > SHOWN) colours.set(OTHERS, SHOWN);
  return colours;
}

export function showOutcomes(figure, minutes) {
  const found = totals(minutes);
  const colours = legend(found);
  const nameOf = (result) => (colours.has(result) ? result : OTHERS);
  const stacks = minutes.map(({ time, byCallResult }) => {
    const stack = new Map([...colours.keys()].map((name) => [name, 0]));
    for (const [result, contacts] of Object.entries(byCallResult)) {
      stack.set(nameOf(result), stack.get(nameOf(result)) + contacts);
    }
    return { time, stack, sum: Object.values(byCallResult).reduce((one, two) => one + two, 0) };
  });
  const highest = Math.max(1, ...stacks.map(({ sum }) => sum));
  const all = [...found.values()].reduce((one, two) => one + two, 0);
  draw(figure.querySelector("svg"), stacks, colours, highest);
  setAttribute(figure.querySelector("svg"), "aria-label",
    `${counted(all, "contact")} ended in the last hour, at most ${number(highest)} in a minute`);
  figure.querySelector(".highest").textContent = all ? `${number(highest)} a minute` : "nothing ended in the last hour";
  figure.querySelector(".from").textContent = minutes.length ? hour(minutes[0].time) : "";
  const sums = new Map([...colours.keys()].map((name) => [name, 0]));
  for (const [result, contacts] of found) sums.set(nameOf(result), sums.get(nameOf(result)) + contacts);
  setList(figure.querySelector(".legend"), [...sums].map(([name, sum]) => [name, sum, colours.get(name)]),
    ([name, sum, colour]) => element("li", {}, element("span", { class: `swatch c${colour}` }), name || "none",
      " ", element("strong", {}, number(sum))));
}

function draw(svg, stacks, colours, highest) {
  const height = 100;
  const bars = [];
  stacks.forEach(({ time, stack, sum }, at) => {
    if (!sum) return;
    const bar = shape("g", {});
    const title = shape("title", {});
    title.textContent = [hour(time), ...[...stack].filter(([, n]) => n).map(([name, n]) => `${name || "none"} ${number(n)}`)]
      .join("\n");
    bar.append(title);
    let top = height;
    for (const [name, contacts] of stack) {
      const size = (contacts / highest) * height;
      top -= size;
      if (contacts) bar.append(shape("rect", { class: `c${colours.get(name)}`, x: at * 10 + 1, width: 8, y: top, height: size }));
    }
    bars.push(bar);
  });
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, stacks.length) * 10} ${height}`);
  svg.replaceChildren(...bars);
}
