// Pieces that several panels share.

import { el } from "./dom.js";
import { store } from "./store.js";
import * as words from "./words.js";

export function facts(rows) {
  return el("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value, mood]) => el("div", { "data-mood": mood }, el("dt", { text: name }), el("dd", {}, value ?? words.DASH))));
}

export const section = (title, ...content) => el("section", {}, el("h3", { text: title }), ...content);

export const note = (text, mood) => el("p", { class: "note", "data-mood": mood, text });

export function numbers(n) {
  const state = words.health(n);
  return el("dl", { class: "numbers" }, [
    ["Requests", words.rps(n)], ["Success", `${words.HEALTH[state].sign} ${words.share(n)}`.trim(), state],
    ["p50", words.ms(n.p50)], ["p95", words.ms(n.p95)], ["p99", words.ms(n.p99)],
  ].map(([name, value, mood]) => el("div", { "data-mood": mood }, el("dt", { text: name }), el("dd", { text: value }))));
}

export function nodeLink(key) {
  const node = store.nodes.get(key);
  return el("a", { href: `#node/${encodeURIComponent(key)}`, text: node ? node.name : key });
}

export const linkLink = (key) => el("a", { href: `#link/${encodeURIComponent(key)}`, text: key.replace(">", " → ") });

export function table(headings, rows, { label } = {}) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label ?? headings.join(", ") }, el("table", {},
    el("thead", {}, el("tr", {}, headings.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell ?? words.DASH)))))));
}

export function secured(edge) {
  return edge.plain ? el("span", { class: "bad-word", text: `✖ plain text: ${words.plainReason(edge.plain)}` }) : el("span", { text: "✓ mTLS" });
}

export const shortIdentity = (name) => name.split(".serviceaccount.")[0] || words.DASH;

// Numbers that may be old are said to be.
export function staleNote(region) {
  const known = store.regions.get(region);
  if (!store.connected) return note("The connection to the page's server is lost: this is what was known before.", "bad");
  if (!known || known.state === "live") return null;
  const age = known.at ? ` Numbers are from ${words.at(known.at)}.` : "";
  return note(`${known.reason}${age}`, "bad");
}

// Calls one below the other; `end` is the end to name, or "both".
export function callList(edges, end) {
  const sorted = [...edges].sort((a, b) => (a.from + a.to + a.service < b.from + b.to + b.service ? -1 : 1));
  return el("ul", { class: "calls-list" }, sorted.map((edge) => {
    const [from, to] = [store.nodes.get(edge.from), store.nodes.get(edge.to)];
    const other = end === "from" ? from : to;
    const across = from && to && from.region !== to.region;
    const where = across ? ` in ${other.region}${edge.via === "gateway" ? ", through the gateway" : ", directly"}` : "";
    return el("li", { "data-mood": words.health(edge.n) },
      el("p", {}, end === "both" ? [nodeLink(edge.from), " → ", nodeLink(edge.to)] : [nodeLink(edge[end]), where], edge.service && el("span", { class: "as", text: ` as ${words.service(edge.service, other?.ns ?? "")}` })),
      el("p", { class: "small" }, edge.n.rps === undefined ? `${edge.n.conns ?? 0} connections, ${words.bytes(edge.n.read)}` : `${words.share(edge.n)} · ${words.rps(edge.n)} · p50 ${words.ms(edge.n.p50)} · p95 ${words.ms(edge.n.p95)} · p99 ${words.ms(edge.n.p99)}`),
      el("p", { class: "small" }, secured(edge), !edge.plain && ` · ${shortIdentity(edge.client)} → ${shortIdentity(edge.server)}`));
  }));
}
