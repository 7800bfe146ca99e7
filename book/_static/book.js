/* Draws the interactive figures with the site's own copy of Plotly, in the colours of the theme, and redraws the
   colours when the theme changes. Makes boxes that scroll reachable by keyboard. Filters the ledger of claims. */
(() => {
  "use strict";
  const here = document.currentScript.src.replace(/book\.js.*$/, "");
  const isDark = () => document.documentElement.dataset.theme === "dark";
  const INK = {
    light: { ink: "#1c2430", muted: "#5a6675", grid: "#e2e6eb", soft: "#f1f4f7" },
    dark: { ink: "#e6eaf0", muted: "#a3afbd", grid: "#333d49", soft: "#1f252d" },
  };

  const SCROLLERS = ["pre", ".cell_output", ".text_html", "div.math", "mjx-container", "figure"]
    .map((name) => `.bd-article ${name}`).join(", ");

  const load = (source) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = here + source;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`cannot load ${source}`));
    document.head.append(script);
  });

  /* The figure's own light ink, exchanged for the theme's, wherever it stands in the specification. */
  function themed(spec) {
    const clear = JSON.parse(spec);
    const to = INK[isDark() ? "dark" : "light"];
    const swap = Object.fromEntries(Object.keys(to).map((name) => [INK.light[name], to[name]]));
    const walk = (node) => {
      for (const [key, value] of Object.entries(node)) {
        if (key === "paper_bgcolor" || key === "plot_bgcolor") node[key] = "rgba(0,0,0,0)";
        else if (typeof value === "string" && swap[value.toLowerCase()]) node[key] = swap[value.toLowerCase()];
        else if (value && typeof value === "object") walk(value);
      }
    };
    walk(clear.layout);
    walk(clear.data);
    clear.layout.paper_bgcolor = clear.layout.plot_bgcolor = "rgba(0,0,0,0)";
    clear.layout.autosize = true;
    delete clear.layout.width;
    if (window.innerWidth < 600) {
      clear.layout.margin = Object.assign({}, clear.layout.margin, { l: 46, r: 10 });
      clear.layout.font = Object.assign({}, clear.layout.font, { size: 11 });
    }
    return clear;
  }

  async function drawFigures() {
    const specs = [...document.querySelectorAll("script[data-plotly-for]")];
    if (!specs.length) return;
    await load("vendor/plotly/plotly.min.js");
    const draw = (script) => {
      const box = document.getElementById(script.dataset.plotlyFor);
      const figure = themed(script.textContent);
      const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d"] };
      return window.Plotly.react(box, figure.data, figure.layout, Object.assign(config, figure.config));
    };
    for (const script of specs) await draw(script);
    new MutationObserver(() => specs.forEach(draw))
      .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    document.documentElement.dataset.figures = "drawn";
  }

  /* A box that scrolls sideways and holds nothing to focus gets a tab stop and a name. */
  function reachScrollers() {
    for (const box of document.querySelectorAll(SCROLLERS)) {
      if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible") {
        box.tabIndex = 0;
        if (!box.hasAttribute("role")) { box.setAttribute("role", "region"); box.setAttribute("aria-label", "Scrolls sideways"); }
      }
    }
  }

  function filterLedgers() {
    for (const input of document.querySelectorAll("input[data-filters]")) {
      const table = document.getElementById(input.dataset.filters);
      input.addEventListener("input", () => {
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const body of table.tBodies) {
          let shown = 0;
          for (const row of body.rows) {
            if (row.classList.contains("ab-group")) continue;
            row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
            shown += !row.hidden;
          }
          body.hidden = !shown;
        }
      });
    }
  }

  /* A folded proof has no title to unfold it by; the fold's own script needs one. */
  function titleProofs() {
    for (const proof of document.querySelectorAll(".proof.dropdown")) {
      if (proof.querySelector(":scope > .admonition-title")) continue;
      const title = document.createElement("p");
      title.className = "admonition-title";
      title.textContent = "Proof";
      const first = document.createTreeWalker(proof, NodeFilter.SHOW_TEXT).nextNode();
      if (first) first.data = first.data.replace(/^\s*Proof\.?\s*/, "");
      proof.prepend(title);
    }
  }

  titleProofs();
  filterLedgers();
  drawFigures().finally(() => setTimeout(reachScrollers, 300));
  window.addEventListener("resize", reachScrollers);
})();
