// Puts the page together.

import { calls } from "./calls.js";
import { el, setText } from "./dom.js";
import { draw, find, showSystem } from "./map.js";
import { panel } from "./panel.js";
import { connect, listen, store } from "./store.js";
import { theme } from "./theme.js";
import { wires } from "./wires.js";
import * as words from "./words.js";

const by = (id) => document.getElementById(id);
const SIGNS = { up: "✓", down: "✖", failover: "⇄", note: "•" };

theme(by("theme"));
draw(by("map"), wires(by("map")));
const rows = calls(by("calls-table"));
const route = panel(by("panel"));

by("find").addEventListener("input", (event) => find(event.target.value));
by("system").addEventListener("click", (event) => {
  const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
  event.currentTarget.setAttribute("aria-pressed", String(on));
  showSystem(on);
  rows(on);
});

let told = null;
function story() {
  const list = by("story");
  const latest = store.story.slice(-12).reverse();
  const mark = latest.map((event) => event.id).join();
  if (mark === told) return;
  told = mark;
  list.replaceChildren(...(latest.length ? latest.map((event) => el("li", { "data-kind": event.kind },
    el("time", { text: words.at(event.at) }), el("span", { class: "sign", "aria-hidden": "true", text: SIGNS[event.kind] ?? "•" }), el("span", { text: event.text })))
    : [el("li", { class: "none", text: "Nothing yet: failovers and clusters that go and come are told here." })]));
}

function summary() {
  const regions = [...store.regions.values()];
  const live = regions.filter((region) => region.state === "live").length;
  const nodes = [...store.nodes.values()].filter((node) => !node.system && node.kind !== "outside");
  setText(by("summary"), regions.length ? `${live} of ${regions.length} clusters live · ${nodes.length} workloads` : "Connecting…");
  const lost = by("lost");
  const text = store.heard && !store.connected ? "The connection to the page's server is lost: numbers are those of before. `linkerd viz dashboard` may have ended." : "";
  setText(lost, text);
  lost.hidden = text === "";
}

listen((change) => {
  story();
  summary();
  if (!route.done && store.regions.size) {
    route.done = true;
    route();
  }
  if (change.tables.has("clock")) document.body.classList.toggle("cut", Boolean(store.heard) && !store.connected);
});

story();
summary();
connect();
