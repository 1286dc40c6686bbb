// Lines over the map: calls within clusters, and one crossing for each pair of clusters with a label of its own.

import { el, setAttribute, setText, svg } from "./dom.js";
import { cardOf, regionOf } from "./map.js";
import { crossing, enter, lanes, leave, local, middle } from "./routes.js";
import { store } from "./store.js";
import * as words from "./words.js";

const LABEL = 214;
const LANE = 58;
const FIRST = 46;
const WIDE = 760;
const REMEASURE = 5000;

export function wires(map) {
  const surface = svg("svg", { class: "wires", "aria-hidden": "true" });
  surface.append(svg("defs", {}, ["good", "weak", "bad", "busy", "quiet", "plain"].map((name) =>
    svg("marker", { id: `tip-${name}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse", class: `tip ${name}` },
      svg("path", { d: "M0 .5 8 4 0 7.5z" })))));
  const lines = new Map();
  const labels = new Map();
  const strait = el("nav", { class: "strait", "aria-label": "Links and traffic between clusters" });
  map.after(strait);
  let chosen = "";

  const observer = new ResizeObserver(() => schedule());
  observer.observe(map);
  addEventListener("resize", () => schedule());
  let waiting = false;
  let measured = 0;
  const rects = new Map();
  const doors = new Map();
  // Measuring makes the browser lay the page out at once: not for each number that changes.
  function schedule(moved = true) {
    if (moved || performance.now() - measured > REMEASURE) measured = 0;
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      place();
    });
  }

  function line(key, path, n, extra = {}) {
    let made = lines.get(key);
    if (!made) {
      made = svg("path", { fill: "none" });
      surface.append(made);
      lines.set(key, made);
    }
    setAttribute(made, "d", path);
    paint(made, n, extra);
    made.dataset.ends = (extra.ends ?? []).join("\n");
    setAttribute(made, "data-on", (chosen && (extra.ends ?? []).includes(chosen)) || null);
    return key;
  }

  function paint(made, n, { plain, crossing, stale, tip = true } = {}) {
    const state = words.health(n);
    setAttribute(made, "class", `wire ${state}${plain ? " plain" : ""}${crossing ? " crossing" : ""}${stale ? " stale" : ""}${n.rps ? " moves" : ""}`);
    setAttribute(made, "stroke-width", (1.2 + Math.min(Math.log10(1 + (n.rps ?? 0)) * 1.3, 4) + (crossing ? 0.8 : 0)).toFixed(1));
    setAttribute(made, "marker-end", tip ? `url(#tip-${state})` : null);
  }

  function place() {
    const wide = innerWidth > WIDE;
    let frame = null;
    const rect = (node) => {
      frame ??= map.getBoundingClientRect();
      const found = node.getBoundingClientRect();
      return { left: found.left - frame.left, right: found.right - frame.left, top: found.top - frame.top, height: found.height, width: found.width };
    };
    if (!measured) {
      rects.clear();
      doors.clear();
      measured = performance.now();
    }
    const used = new Set();
    const box = (key) => {
      if (!rects.has(key)) {
        const card = cardOf(key);
        rects.set(key, card?.box.isConnected ? rect(card.box) : null);
      }
      return rects.get(key);
    };
    const door = (name) => {
      if (!doors.has(name)) {
        const parts = regionOf(name);
        if (!parts) return null;
        const [exit, gateway, region] = [rect(parts.exit), rect(parts.gateways.firstChild ?? parts.gateways), rect(parts.box)];
        doors.set(name, {
          out: { x: exit.left + exit.width / 2, y: exit.top },
          leave: { x: exit.left + exit.width / 2, y: region.top + region.height },
          in: { x: gateway.left + gateway.width / 2, y: gateway.top },
          arrive: { x: gateway.left + gateway.width / 2, y: region.top + region.height },
        });
      }
      return doors.get(name);
    };
    for (const [key, edge] of merged()) {
      const [a, b] = [box(edge.from), box(edge.to)];
      if (edge.from === edge.to) continue;
      const stale = stopped(edge.seen);
      const how = { plain: edge.plain, ends: [edge.from, edge.to], stale };
      if (edge.regions[0] === edge.regions[1]) {
        if (a && b) used.add(line(key, local(a, b), edge.n, how));
      } else if (wide) {
        const [from, to] = edge.regions.map(door);
        if (a && from) used.add(line(`${key}<`, leave(a, from.out), edge.n, { ...how, tip: false }));
        if (b && to) used.add(line(`${key}>`, enter(to.in, b), edge.n, how));
      }
    }
    straits(used, door, wide);
    for (const [key, made] of lines) {
      if (!used.has(key)) {
        made.remove();
        lines.delete(key);
      }
    }
  }

  function straits(used, door, wide) {
    const found = crossings();
    const pairs = [...found.keys()].sort((a, b) => reach(found.get(a), door) - reach(found.get(b), door) || a.localeCompare(b));
    const ends = pairs.map((key) => found.get(key).regions.map(door));
    const lane = wide ? lanes(ends.map(([from, to]) => {
      const x = from && to ? (from.leave.x + to.arrive.x) / 2 : 0;
      return [x - LABEL / 2, x + LABEL / 2];
    })) : [];
    for (const key of labels.keys()) {
      if (!found.has(key)) {
        labels.get(key).box.remove();
        labels.delete(key);
      }
    }
    if (wide && !rects.has("")) rects.set("", map.offsetHeight);
    const height = rects.get("") ?? 0;
    pairs.forEach((key, index) => {
      const each = found.get(key);
      const label = labels.get(key) ?? makeLabel(key, each);
      nameLabel(label, each);
      const [from, to] = ends[index];
      if (!wide || !from || !to) {
        label.box.style.transform = "";
        return;
      }
      const drop = (FIRST + lane[index] * LANE) / 0.75;
      used.add(line(`crossing ${key}`, crossing(from.leave, to.arrive, drop), each.n, { crossing: true, stale: each.stale, ends: each.ends }));
      const spot = middle(from.leave, to.arrive, drop);
      const base = Math.max(from.leave.y, to.arrive.y);
      label.box.style.transform = `translate(${Math.round(spot.x - LABEL / 2)}px, ${Math.round(spot.y - height - 20)}px)`;
      label.bottom = spot.y - base;
    });
    setAttribute(strait, "data-wide", wide || null);
    strait.style.height = wide && pairs.length ? `${Math.round(FIRST + LANE * (Math.max(...lane) + 1))}px` : "";
  }

  const reach = (each, door) => {
    const [from, to] = each.regions.map(door);
    return from && to ? Math.round(Math.abs(from.leave.x - to.arrive.x) / 100) : 0;
  };

  function makeLabel(key) {
    const parts = { title: el("span", { class: "way" }), line: el("span", { class: "line" }), rest: el("span", { class: "hidden" }) };
    parts.box = el("a", { class: "crossing", href: `#link/${encodeURIComponent(key)}` }, parts.title, " ", parts.line, parts.rest);
    labels.set(key, parts);
    strait.append(parts.box);
    return parts;
  }

  function nameLabel(label, each) {
    const state = each.broken ? "bad" : words.health(each.n);
    setText(label.title, `${each.regions[0]} → ${each.regions[1]}${each.late ? " ▲ mirrors" : ""}`);
    setText(label.line, each.broken ? `✖ ${each.broken}` : each.n.rps !== undefined ? words.brieflyAll(each.n) : "no requests");
    setAttribute(label.box, "data-health", state);
    setAttribute(label.box, "data-stale", each.stale || null);
    setText(label.rest, `${each.n.rps === undefined || each.broken ? "" : `, ${words.HEALTH[words.health(each.n)].words}`}${each.stale ? ", last known" : ""}`);
  }

  map.addEventListener("pointerover", (event) => choose(event.target.closest?.(".card")?.dataset.key ?? ""));
  map.addEventListener("focusin", (event) => choose(event.target.closest?.(".card")?.dataset.key ?? ""));
  map.addEventListener("pointerleave", () => choose(""));
  function choose(key) {
    if (key === chosen) return;
    chosen = key;
    setAttribute(surface, "data-chosen", key !== "" || null);
    for (const made of lines.values()) setAttribute(made, "data-on", (key && made.dataset.ends.split("\n").includes(key)) || null);
  }

  return {
    surface,
    update(change) {
      if (change.shape || ["edges", "links", "regions"].some((name) => change.tables.has(name))) schedule(change.shape);
    },
  };
}

export const stopped = (name) => !store.connected || store.regions.get(name)?.state !== "live";

// One line for two ends, whatever was called; what is worst of them colours it.
function merged() {
  const found = new Map();
  for (const edge of store.edges.values()) {
    const [from, to] = [store.nodes.get(edge.from), store.nodes.get(edge.to)];
    if (!from || !to) continue;
    const key = `${edge.from}>${edge.to}`;
    const known = found.get(key);
    found.set(key, { from: edge.from, to: edge.to, seen: edge.seen, regions: [from.region, to.region], plain: edge.plain || known?.plain, n: words.sum(known?.n, edge.n) });
  }
  return found;
}

// Pairs of clusters with a Link or with traffic.
export function crossings() {
  const found = new Map();
  for (const [key, link] of store.links) {
    const wrong = link.conditions.find((each) => each.status === "False" && !["Ready", "Synced"].includes(each.type));
    const late = link.conditions.some((each) => each.status === "False" && each.type === "Synced");
    found.set(key, { regions: [link.region, link.target], n: {}, stale: stopped(link.region), broken: wrong ? `${wrong.type}: ${wrong.reason}` : "", late, ends: [] });
  }
  for (const edge of store.edges.values()) {
    const [from, to] = [store.nodes.get(edge.from), store.nodes.get(edge.to)];
    if (!from || !to || from.region === to.region) continue;
    const key = `${from.region}>${to.region}`;
    const known = found.get(key) ?? { regions: [from.region, to.region], n: {}, stale: stopped(edge.seen), broken: "", late: false, ends: [] };
    known.n = words.sum(known.n, edge.n);
    known.ends.push(edge.from, edge.to);
    found.set(key, known);
  }
  return found;
}
