// A service: what it stands for, who answers for it now.

import { el } from "./dom.js";
import { callList, facts, linkLink, note, section, staleNote } from "./parts.js";
import { store } from "./store.js";
import * as words from "./words.js";

const EXPORTED = {
  gateway: "to linked clusters, through the gateway",
  flat: "to linked clusters, which reach its pods directly",
  federated: "as a member of a federated service",
};

export function service(key) {
  const found = store.services.get(key);
  if (!found) return { title: key.split("/").pop() || "Unknown", parts: [note("There is no such service now.", "bad")] };
  const name = `${found.namespace}/${found.name}`;
  const edges = [...store.edges.values()].filter((edge) => edge.seen === found.region && (edge.answered === name || edge.service.startsWith(`${name}:`)));
  const splits = [...store.splits.values()].filter((split) => split.region === found.region && split.namespace === found.namespace && (split.service === found.name || split.backends.some(([backend]) => backend === found.name)));
  return {
    title: found.name,
    sub: `service · namespace ${found.namespace} · cluster ${found.region}`,
    parts: [
      staleNote(found.region),
      facts([
        ["Ports", (found.ports ?? []).join(", ")],
        found.exported && ["Exported", EXPORTED[found.exported]],
        found.cluster && ["Mirrors", el("span", {}, `${found.mirrors ?? "a pod"} in `, linkLink(`${found.region}>${found.cluster}`))],
        found.members && ["Federates", found.members.join(", ")],
      ]),
      ...splits.map((split) => section(`Split ${split.name}`, shares(split, found.region))),
      section("Who answers now", edges.length ? callList(edges, "both") : note("Nobody calls it now, as far as proxies of this cluster know.")),
    ],
  };
}

function shares(split, region) {
  const apex = `${split.namespace}/${split.service}`;
  const flows = split.backends.map(([backend]) => [...store.edges.values()]
    .filter((edge) => edge.seen === region && edge.answered === `${split.namespace}/${backend}` && edge.service.startsWith(`${apex}:`))
    .reduce((sum, edge) => sum + (edge.n.rps ?? 0), 0));
  const total = flows.reduce((sum, flow) => sum + flow, 0);
  return el("ul", { class: "plain-list" }, split.backends.map(([backend, weight], index) => {
    const mirror = store.services.get(`${region}/${split.namespace}/${backend}`)?.cluster;
    const part = total ? flows[index] / total : 0;
    const role = weight === "0" ? "standby" : `weight ${weight}`;
    const bar = el("span", { class: "bar" }, el("i"));
    bar.firstChild.style.width = `${Math.round(part * 100)}%`;
    return el("li", {}, el("p", {}, el("b", { text: backend }), ` ${role}${mirror ? `, in ${mirror}` : ""}`), bar,
      el("p", { class: "small", text: total ? `answers ${Math.round(part * 100)}%, ${words.rps({ rps: flows[index] })}${weight === "0" && part > 0 ? " ▲ the standby answers" : ""}` : "no requests now" }));
  }));
}
