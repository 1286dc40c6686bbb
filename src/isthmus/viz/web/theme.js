// Light and dark: the system's choice until somebody makes one.

const KEY = "isthmus-theme";
const ORDER = ["system", "light", "dark"];
const LABEL = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function stored() {
  try {
    return ORDER.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "system";
  } catch {
    return "system";
  }
}

export function theme(button) {
  let chosen = stored();
  const show = () => {
    document.documentElement.dataset.theme = chosen;
    button.textContent = LABEL[chosen];
  };
  button.addEventListener("click", () => {
    chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // The choice lasts as long as the page.
    }
    show();
  });
  show();
}
