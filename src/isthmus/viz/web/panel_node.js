// A workload or a gateway: its numbers over time, who it talks to, its proxies.

import { chart } from "./charts.js";
import { el } from "./dom.js";
import { tunnelsOf } from "./map.js";
import { callList, facts, note, numbers, section, staleNote, table } from "./parts.js";
import { requests } from "./panel_requests.js";
import { now, store } from "./store.js";
import * as words from "./words.js";

const EVERY = 5000;

export function node(key, cache, again) {
  const found = store.nodes.get(key);
  if (!found) return { title: key.split("/").pop() || "Unknown", sub: "", parts: [note("There is no such workload now.", "bad")] };
  if (!found.seen && found.kind !== "outside") ask(key, found, cache, again);
  const detail = cache.detail;
  const [out, into] = [[], []];
  for (const edge of store.edges.values()) {
    if (edge.from === key) out.push(edge);
    if (edge.to === key) into.push(edge);
  }
  const asked = found.n.rps !== undefined;
  return {
    title: found.name,
    sub: `${found.gateway ? "gateway" : words.kind(found.kind)} · namespace ${found.ns || "none"} · cluster ${found.region}`,
    parts: [
      staleNote(found.region),
      found.seen && note(`Seen by ${found.seen} only: its own cluster tells nothing of it here.`),
      cache.refused && note(cache.refused, "bad"),
      found.gateway ? gateway(found) : asked ? section("What it is asked", numbers(found.n)) : out.length > 0 && section("What it calls, all in all", numbers(out.reduce((total, edge) => words.sum(total, edge.n), {}))),
      !found.gateway && charts(key, detail, asked || !out.length ? "What it is asked, last ten minutes" : "What it calls, last ten minutes"),
      into.length > 0 && section("Who calls it", callList(into, "from")),
      out.length > 0 && section("Whom it calls", callList(out, "to")),
      detail?.ports?.length > 0 && section("By port", table(["Port", "Requests", "Success", "p99"], detail.ports.map((port) => [port.port, words.short(port.numbers)]).map(([port, n]) => [port, words.flow(n), words.share(n), words.ms(n.p99)]))),
      found.meshed > 0 && !found.gateway && requests(found, cache),
      detail && proxies(detail),
      !detail && !found.seen && !cache.refused && note("Asking its cluster…"),
    ],
  };
}

function gateway(found) {
  const rows = [...store.tunnels.values()].filter((each) => each.region === found.region && each.gateway === found.name);
  return section("Tunnels", el("p", { text: `${tunnelsOf(found)}. It cannot read the requests inside; they are encrypted end to end.` }),
    rows.length > 0 && table(["From cluster", "Open", "Refused lately"], rows.map((each) => [each.from || "this one", String(each.open), String(each.refused)])),
    facts([["Bytes in", words.bytes(found.n.read)], ["Bytes out", words.bytes(found.n.written)]]));
}

function ask(key, found, cache, again) {
  if (cache.asking || performance.now() - (cache.asked ?? -EVERY) < EVERY) return;
  cache.asking = true;
  cache.asked = performance.now();
  const query = JSON.stringify({ namespace: found.ns, kind: found.kind, name: found.name, points: !cache.points });
  fetch(`/api/workload?cluster=${encodeURIComponent(found.region)}&query=${encodeURIComponent(query)}`)
    .then((answer) => answer.json())
    .then((answer) => {
      cache.refused = answer.refused ?? "";
      if (answer.refused) return;
      cache.detail = answer;
      cache.points ??= { at: now(), list: answer.points };
    })
    .catch(() => { cache.refused = "The page's server does not answer."; })
    .finally(() => {
      cache.asking = false;
      again();
    });
  cache.key = key;
}

// Ten minutes as its cluster remembers them, and what this page has seen since it was opened.
function charts(key, detail, title) {
  const time = now();
  const lived = (store.history.get(key) ?? []).map((each) => [time - each.at, each.n]);
  const oldest = lived.length ? lived[0][0] : 0;
  const before = (detail?.points ?? remembered.get(key) ?? []).length ? detail?.points : undefined;
  if (before?.length) remembered.set(key, before.map((point) => [time - point.ago, words.short(point.numbers)]));
  const past = (remembered.get(key) ?? []).map(([at, n]) => [time - at, n]).filter(([ago]) => ago > oldest + 5);
  const all = [...past, ...lived];
  const line = (name) => all.map(([ago, n]) => [ago, n[name]]);
  return section(title,
    chart("Requests per second", [{ points: line("rps"), mark: "one" }], words.brief),
    chart("Success", [{ points: line("success").map(([ago, value]) => [ago, value === undefined ? undefined : value * 100]), mark: "two" }], (value) => `${Math.round(value * 10) / 10}%`, { most: 100 }),
    chart("Latency", [["p50", "thin"], ["p95", "dashes"], ["p99", "strong"]].map(([name, mark]) => ({ name, mark, points: line(name) })), words.ms));
}
const remembered = new Map();

function proxies(detail) {
  const rows = detail.proxies.map((each) => {
    const left = each.certificate_expires ? each.certificate_expires - now() : null;
    return el("li", {}, el("p", {}, el("b", { text: each.pod }), ` ${each.ready ? "ready" : each.status.toLowerCase()}`),
      !each.meshed ? el("p", { class: "small bad-word", text: "✖ It has no proxy: its traffic is neither secured nor counted." })
        : el("p", { class: "small" }, each.certificate_expires ? `Certificate ends ${words.until(each.certificate_expires, now())}${left < 3600 ? " ▲" : ""}` : "Its certificate is not known", each.certificates ? `, number ${each.certificates} of this proxy` : "", each.version ? `. Proxy ${each.version}.` : "."),
      each.problem && el("p", { class: "small bad-word", text: `✖ Its proxy cannot be read: ${each.problem}` }));
  });
  const settings = [...new Set(detail.proxies.flatMap((each) => each.settings))];
  return section("Proxies", detail.identity && facts([["Identity", el("code", { text: detail.identity })]]), el("ul", { class: "plain-list" }, rows),
    settings.length > 0 && el("h4", { text: "Configuration" }), settings.length > 0 && el("ul", { class: "words" }, settings.map((text) => el("li", { text }))));
}
