// Every call as a row: what the map shows, for those who read rather than look.

import { el, keyed, setAttribute, setText } from "./dom.js";
import { listen, store } from "./store.js";
import { stopped } from "./wires.js";
import * as words from "./words.js";

const MOST = 60;
const HEADINGS = ["From", "To", "Service", "Requests", "Success", "p50", "p95", "p99", "Secured"];

export function calls(place) {
  const body = el("tbody");
  const more = el("button", { type: "button", hidden: true, on: { click: () => { all = true; render(); } } });
  const none = el("p", { class: "note" });
  place.append(el("table", {}, el("thead", {}, el("tr", {}, HEADINGS.map((text) => el("th", { scope: "col", text })))), body), none, more);
  const rows = new Map();
  const cells = new Map();
  let all = false;
  let system = false;

  function make(key) {
    const made = HEADINGS.map((_, index) => el(index ? "td" : "th", index ? {} : { scope: "row" }));
    const edge = store.edges.get(key);
    made[0].append(end(edge.from));
    made[1].append(end(edge.to));
    cells.set(key, made);
    return el("tr", {}, made);
  }

  function end(key) {
    const node = store.nodes.get(key);
    return el("a", { href: `#node/${encodeURIComponent(key)}` }, node?.name ?? key, el("span", { class: "where", text: node ? `${node.region}${node.ns ? ` / ${node.ns}` : ""}` : "" }));
  }

  function render() {
    const found = [...store.edges].filter(([, edge]) => words.health(edge.n) !== "quiet" && store.nodes.has(edge.from) && store.nodes.has(edge.to) && (system || !(store.nodes.get(edge.from).system || store.nodes.get(edge.to).system)));
    const across = ([, edge]) => (store.nodes.get(edge.from).region === store.nodes.get(edge.to).region ? 1 : 0);
    found.sort((a, b) => across(a) - across(b) || (a[0] < b[0] ? -1 : 1));
    const keys = found.slice(0, all ? found.length : MOST).map(([key]) => key);
    for (const key of cells.keys()) if (!keys.includes(key)) cells.delete(key);
    keyed(body, keys, rows, make);
    for (const key of keys) fill(key);
    more.hidden = keys.length === found.length;
    none.hidden = found.length > 0;
    setText(none, [...store.regions.values()].some((region) => region.counting) ? "Counting: the first numbers are there in a few seconds." : "No calls yet.");
    setText(more, `Show all ${found.length} calls`);
  }

  function fill(key) {
    const edge = store.edges.get(key);
    const row = cells.get(key);
    const state = words.health(edge.n);
    const texts = [edge.service || "–", words.flow(edge.n), `${words.HEALTH[state].sign} ${words.share(edge.n)}`.trim(), words.ms(edge.n.p50), words.ms(edge.n.p95), words.ms(edge.n.p99), edge.plain ? "✖ plain text" : "✓ mTLS"];
    texts.forEach((text, index) => setText(row[index + 2], text));
    setAttribute(row[8], "title", edge.plain ? words.plainReason(edge.plain) : `${edge.client} → ${edge.server}`);
    setAttribute(rows.get(key), "data-health", state);
    setAttribute(rows.get(key), "data-stale", stopped(edge.seen) || null);
  }

  listen((change) => {
    if (["edges", "regions"].some((name) => change.tables.has(name)) || change.shape) render();
  });
  return (on) => {
    system = on;
    render();
  };
}
