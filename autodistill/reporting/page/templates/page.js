(() => {
  "use strict";
  const root = document.documentElement;
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const narrow = () => window.innerWidth < 640;
  const states = {}; // of each plot, by its id: they stay when the page is replaced
  const orders = {}; // of each table that was sorted, by its place
  let plots = [];

  // plotly.js is packed into the page. Without it, the static pictures stay.
  async function unpacked() {
    const bytes = Uint8Array.from(atob(JSON.parse(document.getElementById("plotly").textContent)), (one) => one.charCodeAt(0));
    const script = document.createElement("script");
    script.textContent = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(script);
    root.classList.add("interactive");
  }

  function painted(trace, axis) {
    const { meta } = trace;
    const color = css(meta.color);
    const copy = { ...trace };
    if (meta.x) copy.x = meta.x[axis];
    if (meta.y) copy.y = meta.y[axis];
    if (trace.marker) copy.marker = { ...trace.marker, color, line: { ...trace.marker.line, color: css("--back") } };
    if (trace.marker && trace.marker.symbol.endsWith("-open")) copy.marker.line = { width: 2, color };
    if (trace.line) copy.line = { ...trace.line, color };
    if (trace.error_y) copy.error_y = { ...trace.error_y, color };
    return copy;
  }

  function levels(figure, shown) {
    const drawn = figure.levels.filter((level) => shown(level.split));
    const shapes = drawn.map((level) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: level.value, y1: level.value, layer: "below",
      line: { color: css(level.color), width: 1.5, dash: level.dash },
    }));
    const annotations = drawn.map((level, place) => ({
      xref: "paper", x: (place % 4) * 0.25, xanchor: "left", y: level.value, yanchor: "bottom", showarrow: false,
      text: level.text, font: { color: css(level.color), size: 12 },
    }));
    return { shapes, annotations };
  }

  // A loss has its axis reversed, so that the better end is on top.
  const range = (figure, state) =>
    state.range === "near" ? { range: [figure.near, figure.top], autorange: false } : { autorange: figure.layout.yaxis.autorange ?? true };

  // Browsers do not report the width of a printed A4 page: 190 mm at 96 dots per inch.
  const paper = () => (root.classList.contains("printing") ? { width: 715, height: 290 } : {});

  function layout({ figure, state }, shown) {
    const text = css("--text"), rule = css("--rule");
    const printing = root.classList.contains("printing");
    const axis = { gridcolor: rule, linecolor: rule, zerolinecolor: rule };
    const x = { ...figure.layout.xaxis, ...axis };
    const title = { ...figure.layout.yaxis.title, font: { size: printing ? 9 : 14 } };
    x.title = { text: `${figure.titles[state.axis]} (logarithmic)` };
    [x.tickvals, x.ticktext] = figure.ticks[state.axis];
    return {
      ...figure.layout, ...levels(figure, shown), uirevision: Object.values(state).join(), autosize: true, ...paper(), xaxis: x,
      yaxis: { ...figure.layout.yaxis, ...axis, ...range(figure, state), title }, dragmode: narrow() ? false : "zoom",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: text, size: printing ? 10 : narrow() ? 12 : 13, family: getComputedStyle(document.body).fontFamily },
      modebar: { color: css("--quiet"), activecolor: css("--text"), bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--quiet"), font: { color: text, size: 12 }, align: "left" },
    };
  }

  function draw(plot) {
    const { box, figure, state } = plot;
    const shown = (split) => state.split === "both" || split === state.split;
    const data = figure.data.filter((trace) => shown(trace.meta.split)).map((trace) => painted(trace, state.axis));
    return Plotly.react(box, data, layout(plot, shown), {
      responsive: true, displaylogo: false, displayModeBar: narrow() ? false : "hover",
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // plotly's own list uploads, too
    });
  }

  function buttons(plot, group) {
    const all = [...group.querySelectorAll("button")];
    for (const button of all) {
      button.setAttribute("aria-pressed", String(button.value === plot.state[group.dataset.sets]));
      button.addEventListener("click", () => {
        plot.state[group.dataset.sets] = button.value;
        for (const other of all) other.setAttribute("aria-pressed", String(other === button));
        draw(plot);
      });
    }
  }

  function begin() {
    tables();
    ready.then(drawAll);
  }
  function drawAll() {
    plots = [...document.querySelectorAll(".plot")].map((box) => {
      const figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
      states[box.id] ??= { axis: "params", range: figure.range, split: box.dataset.split || "validation" };
      return { box, figure, state: states[box.id] };
    });
    for (const plot of plots) {
      draw(plot);
      for (const group of document.querySelectorAll(`[data-plot="${plot.box.id}"]`)) buttons(plot, group);
    }
  }
  function tables() {
    [...document.querySelectorAll("table.sorts")].forEach((table, place) => {
      for (const button of table.tHead.querySelectorAll("th button")) {
        button.addEventListener("click", () => sort(table, button.closest("th"), place));
      }
      resort(table, place);
    });
  }
  const redraw = () => Promise.all(plots.map(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    redraw();
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    redraw();
  });

  const value = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
  };
  function compared(one, other) {
    if (one === "" || other === "") return one === other ? 0 : NaN;
    const [a, b] = [Number(one), Number(other)];
    return Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(other) : a - b;
  }
  function sort(table, head, place) {
    const column = [...head.parentNode.children].indexOf(head);
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    orders[place] = { column, down };
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [one, other] = [value(a, column), value(b, column)];
      const order = compared(one, other);
      if (Number.isNaN(order)) return one === "" ? 1 : -1; // unknown values are last in both directions
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }
  function resort(table, place) {
    const { column, down } = orders[place] ?? {};
    const head = table.tHead.rows[0].children[column];
    if (!head) return;
    if (down) head.setAttribute("aria-sort", "ascending");
    sort(table, head, place);
  }
  const ready = unpacked();
  begin();
  document.addEventListener("replaced", begin);
})();
