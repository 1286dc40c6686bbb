// Elements from plain values. Text is only ever set as text: names come from clusters that may be hostile.

const SVG = "http://www.w3.org/2000/svg";

function fill(made, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const el = (tag, props = {}, ...children) => fill(document.createElement(tag), props, children);
export const svg = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === undefined || value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// Makes `parent` hold exactly the elements for these keys, in this order; `make` is called for new ones only.
export function keyed(parent, keys, known, make) {
  const wanted = new Set(keys);
  for (const [key, node] of known) {
    if (!wanted.has(key)) {
      if (node.parentNode === parent) node.remove();
      known.delete(key);
    }
  }
  let before = parent.firstChild;
  for (const key of keys) {
    let node = known.get(key);
    if (!node) known.set(key, (node = make(key)));
    if (node === before) before = before.nextSibling;
    else parent.insertBefore(node, before);
  }
}
