// The world as the server last told it, and who wants to know of changes.

import { sum } from "./words.js";

const TABLES = ["regions", "nodes", "edges", "services", "splits", "links", "tunnels"];
const SILENT = 4000;
const STORY = 50;
const REMEMBERED = 600;

export const store = {
  ...Object.fromEntries(TABLES.map((name) => [name, new Map()])),
  story: [],
  history: new Map(),
  skew: 0,
  heard: 0,
  connected: false,
};

const listeners = new Set();
let pending = null;

export function listen(listener) {
  listeners.add(listener);
}

function tell(change) {
  pending = pending ?? { tables: new Set(), shape: false };
  for (const name of change.tables) pending.tables.add(name);
  pending.shape ||= change.shape;
  if (pending.scheduled) return;
  pending.scheduled = true;
  requestAnimationFrame(() => {
    const change = pending;
    pending = null;
    for (const listener of listeners) listener(change);
  });
}

// Seconds since 1970 by the clock of the server.
export const now = () => Date.now() / 1000 + store.skew;

export function apply(message) {
  store.skew = message.now - Date.now() / 1000;
  store.heard = performance.now();
  store.connected = true;
  const change = { tables: new Set(["clock"]), shape: false };
  for (const [name, { set, drop }] of Object.entries(message.tables)) {
    const table = store[name];
    if (!table) continue;
    change.tables.add(name);
    for (const key of drop) change.shape = table.delete(key) || change.shape;
    for (const [key, value] of Object.entries(set)) {
      change.shape ||= !table.has(key) || name === "regions" || name === "services";
      table.set(key, value);
    }
  }
  if (message.events.length) {
    store.story = [...store.story, ...message.events].slice(-STORY);
    change.tables.add("story");
  }
  remember(message);
  tell(change);
}

// What the charts show: numbers of each workload since the page was opened, asked or, where nobody asks it, asking.
function remember(message) {
  const calls = new Map();
  for (const edge of store.edges.values()) calls.set(edge.from, sum(calls.get(edge.from), edge.n));
  for (const [key, node] of store.nodes) {
    const region = store.regions.get(node.region);
    if (region?.state !== "live") continue;
    const known = store.history.get(key) ?? [];
    if (known.length && known[known.length - 1].at === region.at) continue;
    known.push({ at: region.at, n: node.n.rps === undefined ? calls.get(key) ?? {} : node.n });
    if (known[0].at < message.now - REMEMBERED) known.shift();
    store.history.set(key, known);
  }
}

export function connect() {
  const source = new EventSource("/api/events");
  source.onopen = () => {
    for (const name of TABLES) store[name].clear();
    store.story = [];
  };
  source.onmessage = (event) => apply(JSON.parse(event.data));
  source.onerror = () => {
    store.connected = false;
    if (source.readyState === EventSource.CLOSED) {
      source.close();
      setTimeout(connect, 2000);
    }
  };
  return source;
}

setInterval(() => {
  if (store.heard && performance.now() - store.heard > SILENT) store.connected = false;
  tell({ tables: new Set(["clock"]), shape: false });
}, 1000);
