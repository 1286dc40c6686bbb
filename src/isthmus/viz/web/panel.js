// What a click leads to: a workload, a service, a link. Its address is in the page's, so it can be sent and gone back from.

import { el } from "./dom.js";
import { link } from "./panel_link.js";
import { service } from "./panel_service.js";
import { node } from "./panel_node.js";
import { listen } from "./store.js";

const VIEWS = { node, service, link };
let open = null;
let opener = null;

export function panel(aside) {
  const close = () => {
    if (location.hash) history.pushState(null, "", location.pathname);
    show();
  };
  const title = el("h2", { id: "panel-title", tabindex: "-1" });
  const sub = el("p", { class: "sub" });
  const body = el("div", { class: "panel-body" });
  aside.append(el("header", {}, el("div", {}, title, sub), el("button", { type: "button", class: "close", "aria-label": "Close details", on: { click: close }, text: "✕" })), body);

  function show() {
    const [kind, ...rest] = location.hash.slice(1).split("/");
    const view = Object.hasOwn(VIEWS, kind) ? VIEWS[kind] : null;
    const was = open;
    was?.cache.close?.();
    open = view ? { view, key: decoded(rest.join("/")), kind, cache: {} } : null;
    aside.hidden = !open;
    document.body.classList.toggle("split", Boolean(open));
    document.querySelectorAll("[aria-current]").forEach((each) => each.removeAttribute("aria-current"));
    if (open) {
      if (!was) opener = document.activeElement;
      document.querySelectorAll(`a[href="${CSS.escape ? location.hash.replace(/["\\]/g, "\\$&") : ""}"]`).forEach((each) => each.setAttribute("aria-current", "true"));
      body.replaceChildren();
      body.scrollTop = 0;
      render();
      title.focus({ preventScroll: true });
    } else if (was) {
      opener?.focus?.({ preventScroll: true });
    }
    dispatchEvent(new Event("resize"));
  }

  function render() {
    if (!open) return;
    if (reading(body)) return;
    const shown = open.view(open.key, open.cache, render);
    title.textContent = shown.title;
    sub.textContent = shown.sub ?? "";
    const focused = body.contains(document.activeElement) ? mark(document.activeElement) : null;
    body.replaceChildren(...shown.parts.filter(Boolean));
    if (focused) [...body.querySelectorAll("a, button, [tabindex]")].find((each) => mark(each) === focused)?.focus({ preventScroll: true });
  }

  listen((change) => {
    if (open && (change.tables.size > 1 || !change.tables.has("clock"))) render();
  });
  addEventListener("hashchange", show);
  addEventListener("popstate", show);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && open) close();
  });
  return show;
}

// What is the same thing before and after a change.
const mark = (each) => each.getAttribute("href") ?? (each.id || each.getAttribute("aria-label"));

// Who has marked some text wants to copy it.
function reading(body) {
  const selection = getSelection();
  return !selection.isCollapsed && body.contains(selection.anchorNode);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
