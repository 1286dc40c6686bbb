// A line chart of the last ten minutes. A gap is where nothing was known.

import { el, svg } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [340, 92, 4, 16, 13];
const SPAN = 600;

// `series`: {name, mark, points: [[seconds ago, value]]}; `show` writes a value.
export function chart(title, series, show, { most } = {}) {
  const values = series.flatMap((each) => each.points.map((point) => point[1])).filter((value) => value !== undefined && value !== null);
  const top = most ?? nice(Math.max(0, ...values));
  const latest = series.map((each) => ({ ...each, last: each.points.findLast((point) => point[1] !== undefined && point[1] !== null && point[0] < 40) }));
  const spoken = latest.map((each) => `${each.name ? `${each.name} ` : ""}${each.last ? show(each.last[1]) : "not known now"}`).join(", ");
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": `${title}, last ten minutes; now ${spoken}` });
  for (const part of [0, 0.5, 1]) {
    const y = level(top * part, top);
    drawing.append(svg("line", { x1: LEFT, x2: WIDTH, y1: y, y2: y, class: "grid" }));
    if (part) drawing.append(svg("text", { x: LEFT, y: y - 2, class: "axis", text: show(top * part).replace(".0", "") }));
  }
  for (const [ago, label] of [[600, "10 min ago"], [300, "5 min"], [0, "now"]]) {
    drawing.append(svg("text", { x: across(ago), y: HEIGHT - 3, class: "axis", "text-anchor": ago === 600 ? "start" : ago ? "middle" : "end", text: label }));
  }
  for (const each of series) {
    drawing.append(svg("path", { d: path(each.points, top), class: `series ${each.mark ?? ""}`, fill: "none" }));
    const known = each.points.filter((point) => point[1] !== undefined && point[1] !== null);
    if (known.length === 1) drawing.append(svg("circle", { cx: across(known[0][0]), cy: level(known[0][1], top), r: 2.5, class: `dot ${each.mark ?? ""}` }));
  }
  const legend = latest.map((each) => el("span", { class: `key ${each.mark ?? ""}` }, each.name ? el("i") : null, `${each.name ? `${each.name} ` : ""}`, el("b", { text: each.last ? show(each.last[1]) : "–" })));
  return el("figure", {}, el("figcaption", {}, el("span", { text: title }), el("span", { class: "legend" }, legend)), drawing);
}

const across = (ago) => Math.round((LEFT + (WIDTH - LEFT) * (1 - Math.min(ago, SPAN) / SPAN)) * 10) / 10;
const level = (value, top) => Math.round((TOP + (HEIGHT - BOTTOM - TOP) * (1 - Math.min(value / (top || 1), 1))) * 10) / 10;

function path(points, top) {
  let drawn = "";
  let pen = false;
  let before = null;
  for (const [ago, value] of points) {
    const known = value !== undefined && value !== null && ago <= SPAN;
    if (known) drawn += `${pen && before - ago < 35 ? "L" : "M"}${across(ago)} ${level(value, top)}`;
    pen = known;
    before = ago;
  }
  return drawn;
}

function nice(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * unit).find((step) => step >= value);
}
