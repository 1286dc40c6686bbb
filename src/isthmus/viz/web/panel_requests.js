// Single requests of a workload by path, live: only while somebody looks, and only where who runs the page's command may.

import { el, setText } from "./dom.js";
import { table } from "./parts.js";
import { store } from "./store.js";
import * as words from "./words.js";

const ABSENT = "Live requests are shown by `linkerd viz dashboard`, which taps with your own permission; this page came another way.";
const HEADINGS = ["Path", "Requests", "Failed", "Latency"];
let wanted = false;

// The section of one workload; it fills itself. `cache.close` ends what was begun.
export function requests(found, cache) {
  cache.requests ??= begin(found, cache);
  return cache.requests;
}

function begin(found, cache) {
  const button = el("button", { type: "button", id: "tap", on: { click: () => choose(!wanted) } });
  const said = el("p", { class: "note" });
  const rows = el("div");
  let source = null;

  function choose(on) {
    wanted = on;
    if (wanted) listen();
    else stop("");
  }

  function listen() {
    stop("Asking the pods…");
    source = new EventSource(address(found));
    source.onmessage = (event) => show(JSON.parse(event.data));
    source.onerror = () => stop(source?.readyState === EventSource.CLOSED ? ABSENT : "The page's command does not answer any more.");
    label();
  }

  function stop(why) {
    source?.close();
    source = null;
    setText(said, why);
    label();
  }

  function show(told) {
    if (told.refused) return stop(told.refused);
    if (told.ended) return stop("It ended by itself after a few minutes: the last of it is shown.");
    setText(said, summary(told));
    rows.replaceChildren(...[["Asked of it", "from", told.asked], ["What it asks", "to", told.asks]].filter(([, , list]) => list.length).flatMap(([title, way, list]) => [
      el("h4", { text: title }), table(HEADINGS, list.map((row) => cells(row, way)), { label: title }),
    ]));
  }

  const label = () => setText(button, source ? "Stop" : "Show live requests");
  const hide = () => { if (document.hidden) stop("It stopped while the page was hidden."); };
  document.addEventListener("visibilitychange", hide);
  cache.close = () => {
    document.removeEventListener("visibilitychange", hide);
    source?.close();
  };
  label();
  if (wanted) listen();
  return el("section", { class: "requests" }, el("h3", { text: "Top paths" }),
    el("p", { class: "small", text: "Reads single requests in its pods, with your own permission (pods/exec). Paths are shown without their query." }), button, said, rows);
}

function address(found) {
  const region = store.regions.get(found.region);
  const query = { cluster: region?.own ? "" : found.region, domain: region?.domain ?? "", namespace: found.ns, kind: found.kind, name: found.name };
  return `/api/requests?${new URLSearchParams(query)}`;
}

function summary(told) {
  const pods = told.listening === told.pods ? `${told.pods} ${told.pods === 1 ? "pod" : "pods"}` : `${told.listening} of ${told.pods} pods`;
  const left = told.busy ? " There are more than that." : "";
  const none = told.asked.length + told.asks.length ? "" : " No requests yet.";
  return `${words.duration(told.seconds)} of ${pods}, at most ${told.most} requests a second of each.${left}${none} ${told.problems.join(" ")}`.trim();
}

const spread = (best, worst) => (best === worst ? best : `${best} to ${worst}`);

function cells(row, way) {
  return [
    el("span", {}, el("b", { text: `${row.method} ${row.path}` }), el("span", { class: "where", text: `${way} ${row.with}` })),
    String(row.count),
    row.failed ? el("span", { class: "bad-word", text: `✖ ${row.failed}` }) : "0",
    spread(words.ms(row.best), words.ms(row.worst)),
  ];
}
