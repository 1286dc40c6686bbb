// From one cluster to another: the Link's health, what crosses, what is mirrored.

import { el } from "./dom.js";
import { callList, facts, note, numbers, section, staleNote, table } from "./parts.js";
import { now, store } from "./store.js";
import * as words from "./words.js";
import { crossings } from "./wires.js";

const CONDITIONS = {
  Accepted: "Link", Reachable: "API server", TrustEstablished: "Trust", GatewayAlive: "Gateway", Synced: "Mirrors", Ready: "All in all",
};
const SOON = 7 * 86400;

export function link(key) {
  const [from, to] = key.split(">");
  const found = store.links.get(key);
  const flow = crossings().get(key);
  const edges = [...store.edges.values()].filter((edge) => store.nodes.get(edge.from)?.region === from && store.nodes.get(edge.to)?.region === to);
  return {
    title: `${from} → ${to ?? ""}`,
    sub: found ? `Link ${found.namespace}/${found.name}` : "no Link in this direction is known",
    parts: [
      staleNote(from),
      flow?.n.rps !== undefined && section("What crosses", numbers(flow.n)),
      edges.length > 0 && section("Calls", callList(edges, "both")),
      ...(found ? health(found) : [note(flow ? "Its Link is in a cluster that this page does not read." : "There is no such link now.")]),
    ],
  };
}

function health(found) {
  const time = now();
  const credentials = words.parsed(found.credentials_expire);
  const roots = words.parsed(found.roots_expire);
  const soon = (at) => (at && at - time < SOON ? "weak" : undefined);
  return [
    section("Health", el("ul", { class: "conditions" }, found.conditions.map((each) => el("li", { "data-mood": each.status === "True" ? "good" : each.status === "False" ? "bad" : "weak" },
      el("p", {}, el("b", { text: `${each.status === "True" ? "✓" : each.status === "False" ? "✖" : "…"} ${CONDITIONS[each.type] ?? each.type}` }), ` ${each.reason}${each.since ? `, for ${words.duration(time - words.parsed(each.since))}` : ""}`),
      el("p", { class: "small", text: each.message })))), !found.conditions.length && note("Its controller has not said anything yet.")),
    section("Details", facts([
      ["Gateway", found.gateway || "none: pods are reached directly"],
      ["Round trip", found.latency_ms === null ? words.DASH : `${words.ms(found.latency_ms)} to the gateway and back, in the last probe`],
      ["Sync lag", lag(found)],
      ["Credentials", credentials ? `expire ${words.until(credentials, time)}` : "do not expire, or are not known", soon(credentials)],
      ["Roots of trust", roots ? `end ${words.until(roots, time)}` : "not known", soon(roots)],
      ["Trust domain", el("code", { text: found.trust_domain || words.DASH })],
      ["Gateway's identity", el("code", { text: found.gateway_identity || words.DASH })],
    ])),
    section("Mirrored services", found.mirrors.length ? table(["There", "Here", "State"], found.mirrors.map((each) => [
      each.remote, each.local || words.DASH, each.mirrored ? "✓ mirrored" : `✖ ${each.reason}: ${each.message}`,
    ])) : note("None is exported to here.")),
  ];
}

function lag(found) {
  if (!found.compared) return "not known: the services there cannot be compared with the mirrors";
  if (!found.behind.length) return `none: ${found.compared === 1 ? "the mirror shows" : `all ${found.compared} mirrors show`} what is there`;
  return `${found.behind.join(", ")} ${found.behind.length === 1 ? "is" : "are"} behind what is there${found.behind_since ? ` for ${words.duration(now() - found.behind_since)}` : ""}`;
}
