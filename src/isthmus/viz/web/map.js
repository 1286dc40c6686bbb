// The map: regions, namespaces and cards, laid out by the browser. Positions follow from names and from who has ever
// called whom since the page was opened, so nothing moves while numbers change.

import { el, keyed, setAttribute, setText } from "./dom.js";
import { ports } from "./routes.js";
import { listen, now, store } from "./store.js";
import * as words from "./words.js";

const COLUMNS = 3;
const MANY = 4;
const regions = new Map();
const cards = new Map();
const depth = new Map();
let system = false;
let query = "";
let root;

export const cardOf = (key) => cards.get(key);
export const regionOf = (name) => regions.get(name);

export function draw(section, wires) {
  root = section;
  root.append(wires.surface);
  listen((change) => {
    if (change.shape) arrange();
    if (change.shape || change.tables.has("nodes")) numbers();
    if (change.shape || change.tables.has("regions") || change.tables.has("clock")) states();
    wires.update(change);
  });
}

export function showSystem(on) {
  system = on;
  refresh();
}

export function find(text) {
  query = text.trim().toLowerCase();
  for (const [key, card] of cards) setAttribute(card.box, "data-dim", dimmed(key) || null);
}

export function refresh() {
  arrange();
  numbers();
  states();
  window.dispatchEvent(new Event("resize"));
}

const dimmed = (key) => query !== "" && !key.toLowerCase().includes(query);

function visible(key, node) {
  if (node.gateway) return false;
  if (node.system) return system;
  if (node.kind === "outside") return [...store.edges.values()].some((edge) => edge.to === key && (system || !store.nodes.get(edge.from)?.system));
  return true;
}

// Callers left, called right: the longest way from a caller within its namespace, as far as columns go. It only grows.
function measure(shown) {
  for (let round = 0; round < COLUMNS; round++) {
    for (const edge of store.edges.values()) {
      if (edge.from === edge.to || !shown.has(edge.from) || !shown.has(edge.to)) continue;
      const [from, to] = [store.nodes.get(edge.from), store.nodes.get(edge.to)];
      depth.set(edge.from, depth.get(edge.from) ?? 0);
      const wanted = from.region === to.region ? (depth.get(edge.from) ?? 0) + 1 : 1;
      depth.set(edge.to, Math.min(Math.max(depth.get(edge.to) ?? 0, wanted), COLUMNS - 1));
    }
  }
}

function arrange() {
  const shown = new Map([...store.nodes].filter(([key, node]) => visible(key, node)));
  measure(shown);
  const order = [...store.regions.values()].sort((a, b) => a.order - b.order || a.name.localeCompare(b.name));
  setAttribute(root, "data-regions", Math.min(order.length, 4));
  keyed(root, order.map((region) => region.name), elementsOf(regions), makeRegion);
  for (const key of cards.keys()) if (!shown.has(key) && !store.nodes.get(key)?.gateway) cards.delete(key);
  for (const region of order) fillRegion(region.name, shown);
}

const elementsOf = (parts) => ({
  *[Symbol.iterator]() {
    for (const [key, part] of parts) yield [key, part.box];
  },
  get: (key) => parts.get(key)?.box,
  set: () => {},
  delete: (key) => parts.delete(key),
});

function makeRegion(name) {
  const parts = {
    title: el("h2", { text: name }),
    state: el("span", { class: "pill" }),
    totals: el("p", { class: "totals" }),
    reason: el("p", { class: "reason", hidden: true }),
    body: el("div", { class: "namespaces" }),
    exit: el("span", { class: "exit", text: "out" , "aria-hidden": "true" }),
    dock: el("div", { class: "dock" }),
    gateways: el("div", { class: "gateways" }),
    namespaces: new Map(),
    docked: new Map(),
  };
  parts.dock.append(parts.exit, parts.gateways);
  parts.box = el("section", { class: "region", "aria-label": `Cluster ${name}` },
    el("header", {}, parts.title, parts.state), parts.totals, parts.reason, parts.body, parts.dock);
  regions.set(name, parts);
  ports.set(name, parts);
  return parts.box;
}

function fillRegion(name, shown) {
  const parts = regions.get(name);
  const own = [...shown].filter(([, node]) => node.region === name);
  const services = [...store.services].filter(([, each]) => each.region === name && (system || !mesh(each.namespace)) && each.name !== "kubernetes");
  const spaces = [...new Set([...own.map(([, node]) => node.ns), ...services.map(([, each]) => each.namespace)])].sort();
  keyed(parts.body, spaces, elementsOf(parts.namespaces), (ns) => makeNamespace(parts, ns));
  for (const ns of spaces) {
    fillNamespace(parts.namespaces.get(ns), own.filter(([, node]) => node.ns === ns), services.filter(([, each]) => each.namespace === ns));
  }
  const gateways = [...store.nodes].filter(([, node]) => node.region === name && node.gateway).map(([key]) => key).sort();
  keyed(parts.gateways, gateways, parts.docked, makeCard);
}

const mesh = (ns) => ["linkerd", "linkerd-viz", "linkerd-multicluster", "kube-system"].includes(ns);

function makeNamespace(region, ns) {
  const parts = { columns: [], cards: [], quiet: el("div", { class: "quiet" }), chips: el("div", { class: "chips" }), calm: new Map(), chip: new Map() };
  for (let index = 0; index < COLUMNS; index++) {
    parts.columns.push(el("div", { class: "column" }));
    parts.cards.push(new Map());
  }
  parts.box = el("div", { class: "namespace", role: "group", "aria-label": `${ns ? `Namespace ${ns}` : "Outside"}, cluster ${region.title.textContent}` },
    el("h3", { text: ns || "outside" }), el("div", { class: "columns" }, parts.columns), parts.quiet, parts.chips);
  region.namespaces.set(ns, parts);
  return parts.box;
}

function fillNamespace(parts, own, services) {
  const busy = own.filter(([key]) => depth.has(key));
  for (let index = 0; index < COLUMNS; index++) {
    const keys = busy.filter(([key]) => depth.get(key) === index).map(([key]) => key).sort();
    keyed(parts.columns[index], keys, parts.cards[index], makeCard);
    parts.columns[index].hidden = keys.length === 0;
    setAttribute(parts.columns[index], "data-many", keys.length > MANY || null);
  }
  keyed(parts.quiet, own.filter(([key]) => !depth.has(key)).map(([key]) => key).sort(), parts.calm, makeCard);
  const splits = new Set([...store.splits.values()].map((split) => `${split.region}/${split.namespace}/${split.service}`));
  const telling = services.filter(([key, each]) => each.exported || each.cluster || each.members || splits.has(key)).map(([key]) => key).sort();
  const rest = services.length - telling.length;
  keyed(parts.chips, rest ? [...telling, "+"] : telling, parts.chip, makeChip);
  const more = parts.chip.get("+");
  if (more) setText(more, `and ${rest} plain service${rest === 1 ? "" : "s"}`);
  for (const key of telling) nameChip(parts.chip.get(key), key, splits.has(key));
}

function makeChip(key) {
  return key === "+" ? el("span", { class: "more" }) : el("a", { class: "chip", href: `#service/${encodeURIComponent(key)}` }, el("span"), el("span", { class: "hidden" }));
}

function nameChip(chip, key, split) {
  const each = store.services.get(key);
  const [sign, says] = each.cluster ? ["⇠", `mirror of a service in ${each.cluster}`]
    : each.members ? ["⇄", "federated service"]
    : each.exported ? ["⇢", "exported service"] : ["⇉", "split service"];
  setText(chip.firstChild, `${sign} ${each.name}${split ? " · split" : ""}`);
  setText(chip.lastChild, `, ${says}`);
  setAttribute(chip, "title", `${says}${split ? ", split" : ""}`);
}

function makeCard(key) {
  const known = cards.get(key);
  if (known) return known.box;
  const node = store.nodes.get(key);
  const parts = {
    name: el("span", { class: "name", text: node.name }),
    pods: el("span", { class: "pods" }),
    line: el("span", { class: "line" }, el("span"), " ", el("span")),
    rest: el("span", { class: "hidden" }),
  };
  parts.box = el("a", { class: "card", href: `#node/${encodeURIComponent(key)}`, "data-key": key }, el("span", { class: "head" }, parts.name, " ", parts.pods), " ", parts.line, parts.rest);
  setAttribute(parts.box, "data-dim", dimmed(key) || null);
  cards.set(key, parts);
  return parts.box;
}

function numbers() {
  for (const [key, card] of cards) {
    const node = store.nodes.get(key);
    if (!node) continue;
    const state = node.gateway ? gatewayHealth(node) : node.seen ? "seen" : words.health(node.n);
    setAttribute(card.box, "data-health", state);
    setAttribute(card.box, "data-gateway", node.gateway || null);
    setText(card.name, node.name);
    setText(card.pods, podsOf(node));
    setAttribute(card.pods, "data-short", node.pods > 0 && node.ready < node.pods || null);
    const [first, second] = linesOf(key, node);
    setText(card.line.firstChild, first);
    setText(card.line.lastChild, second);
    const how = node.gateway ? "" : `, ${words.HEALTH[state]?.words ?? "seen from another cluster only"}`;
    setText(card.rest, `${how}, ${words.kind(node.kind)} in namespace ${node.ns || "none"} of cluster ${node.region}`);
  }
}

const gatewayHealth = (node) => (node.ready > 0 ? "good" : node.seen ? "seen" : "bad");

function podsOf(node) {
  if (!node.pods) return node.seen ? "seen from outside" : "no pods";
  const ready = node.ready === node.pods ? `${node.pods}` : `${node.ready} of ${node.pods}`;
  return `${ready} ${node.pods === 1 ? "pod" : "pods"}${node.meshed < node.pods ? ", unmeshed" : ""}`;
}

// Two lines of text, so that a card is as high whatever it says.
function linesOf(key, node) {
  if (node.gateway) return [tunnelsOf(node), ""];
  if (node.n.rps !== undefined) return [words.briefly(node.n), `p99 ${words.ms(node.n.p99)}`];
  if (node.n.conns) return [`${node.n.conns} connections`, ""];
  const calls = callsOf(key);
  if (calls.rps) return [`calls ${words.rps(calls)}`, `${words.share(calls)} ok`];
  return [store.regions.get(node.region)?.counting ? words.DASH : "no requests", ""];
}

function callsOf(key) {
  let total = {};
  for (const edge of store.edges.values()) if (edge.from === key) total = words.sum(total, edge.n);
  return total;
}

export function tunnelsOf(node) {
  const open = [...store.tunnels.values()].filter((each) => each.region === node.region && each.gateway === node.name).reduce((sum, each) => sum + each.open, 0);
  return `gateway · ${open} ${open === 1 ? "tunnel" : "tunnels"}`;
}

function states() {
  for (const [name, parts] of regions) {
    const region = store.regions.get(name);
    if (!region) continue;
    const age = now() - region.at;
    const stale = region.known && (region.state !== "live" || age > 25 || !store.connected);
    setAttribute(parts.box, "data-state", region.state);
    setAttribute(parts.box, "data-stale", stale || null);
    setText(parts.title, region.own ? `${name}` : name);
    setText(parts.state, `${region.state === "live" ? "●" : region.state === "unreachable" ? "✖" : "○"} ${words.STATES[region.state] ?? region.state}${region.own ? " · this cluster" : ""}`);
    setText(parts.totals, stale && region.at ? `Numbers are ${words.duration(age)} old.` : totals(name, region));
    setText(parts.reason, region.state === "live" ? region.problems.join(" ") : region.reason);
    parts.reason.hidden = parts.reason.textContent === "";
  }
}

function totals(name, region) {
  if (!region.known) return "Only what other clusters see of it.";
  const own = [...store.nodes.values()].filter((node) => node.region === name && !node.system && node.kind !== "outside");
  const workloads = `${own.length} workload${own.length === 1 ? "" : "s"}`;
  if (region.counting) return `${workloads} · counting…`;
  const answered = own.reduce((sum, node) => sum + (node.n.rps ?? 0), 0);
  const sent = [...store.edges.values()].filter((edge) => leaves(edge, name)).reduce((sum, edge) => sum + (edge.n.rps ?? 0), 0);
  const flows = [answered && `answers ${words.brief(answered)}/s`, sent && `sends ${words.brief(sent)}/s to other clusters`];
  return [workloads, ...flows.filter(Boolean)].join(" · ");
}

const leaves = (edge, name) => store.nodes.get(edge.from)?.region === name && store.nodes.get(edge.to)?.region !== name;
