// Elements, made and changed without any text being read as markup.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

// el("button", {class: "quiet", onclick: f, "aria-label": "…"}, "text", child, …)
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else set(node, key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// null and false take an attribute away; nothing is touched that is right already.
export function set(node, key, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(key)) node.removeAttribute(key);
  } else {
    const wanted = value === true ? "" : String(value);
    if (node.getAttribute(key) !== wanted) node.setAttribute(key, wanted);
  }
}

export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", "#i-" + name);
  svg.append(use);
  return svg;
}

export function svg(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Makes the children of parent those nodes, in that order, and moves none that stands where it should: what has the
// focus keeps it.
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, i) => {
    if (parent.children[i] !== node) parent.insertBefore(node, parent.children[i] ?? null);
  });
}

let newsTimer = 0;

// Said once, to those who listen to the page.
export function announce(message) {
  const node = $("news");
  node.textContent = "";
  clearTimeout(newsTimer);
  newsTimer = setTimeout(() => (node.textContent = message), 100);
}
