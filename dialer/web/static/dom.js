// Elements. Whatever text comes from outside becomes text, never HTML.

export const byId = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Touches the document only for what has changed: a reader's selection and a screen reader stay where they are.
export function setText(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// Replaces the children by what `make` gives for each item, and leaves those alone whose key is the same as before.
export function setList(parent, items, make) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const key = JSON.stringify(item);
    const child = before.get(key) ?? make(item);
    before.delete(key); // one that is there twice needs two
    child.dataset.key = key;
    return child;
  });
  if (wanted.length !== parent.children.length || wanted.some((child, at) => parent.children[at] !== child)) {
    parent.replaceChildren(...wanted);
  }
}
