// Charts that somebody looks at: uPlot takes over from the server's SVG once it has the values, in the same place and size.
"use strict";
(() => {
  const { on, all, element } = window.bedplate;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dashes = { 5: [6, 3], 7: [6, 3], 6: [2, 3], 8: [2, 3] };
  const round = (value, digits = 3) => {
    if (value === 0) return "0";
    const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
    const text = value.toFixed(Math.min(20, places));
    return (text.includes(".") ? text.replace(/\.?0+$/, "") : text).replace("-", "−");
  };
  const scaled = (value, steps, digits = 3) => {
    const [size, unit] = steps.find(([least]) => Math.abs(value) >= least) ?? [1, ""];
    return round(value / size, digits) + unit;
  };
  const large = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const bytes = [[2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"], [0, " B"]].map(([size, unit]) => [size || 1, unit]);
  const span = (value) => {
    const size = Math.abs(value);
    if (size === 0) return "0 s";
    if (size < 1e-3) return `${round(value * 1e6)} µs`;
    if (size < 1) return `${round(value * 1e3)} ms`;
    if (size < 60) return `${round(value)} s`;
    const [length, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([least]) => size >= least);
    return `${round(value / length)} ${unit}`;
  };
  const say = (value, unit) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    switch (unit) {
      case "s": return span(value);
      case "ms": return span(value / 1e3);
      case "percentunit": return `${round(value * 100)} %`;
      case "percent": return `${round(value)} %`;
      case "bytes": case "decbytes": return Math.abs(value) < 1024 ? `${round(value)} B` : scaled(value, bytes);
      case "Bps": case "binBps": return `${Math.abs(value) < 1024 ? `${round(value)} B` : scaled(value, bytes)}/s`;
      case "ops": case "reqps": case "rps": case "cps": case "wps": case "iops": return `${scaled(value, large)}/s`;
      case "": case "short": case "none": return scaled(value, large);
      default: return `${scaled(value, large)} ${unit}`;
    }
  };
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });
  const exact = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const tones = { critical: "--bad", warning: "--warn", info: "--info" };

  const limits = (chart) => (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const line of chart.thresholds) {
      const y = plot.valToPos(line.value, "y", true);
      if (y < bbox.top - 1 || y > bbox.top + bbox.height + 1) continue;
      ctx.strokeStyle = ctx.fillStyle = colour(tones[line.severity]);
      ctx.lineWidth = 1.2 * devicePixelRatio;
      ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
      ctx.setLineDash([]);
      ctx.font = `560 ${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "right";
      ctx.textBaseline = "alphabetic";
      ctx.fillText(`${line.label || line.severity} ${say(line.value, chart.unit)}`, bbox.left + bbox.width, Math.max(bbox.top + 11 * devicePixelRatio, y - 4 * devicePixelRatio));
    }
    ctx.restore();
  };

  const round125 = (low, high, wanted, binary) => {
    const base = binary ? 1024 : 10, rough = (high - low) / wanted;
    const scale = base ** Math.floor(Math.log(rough) / Math.log(base));
    const step = (binary ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 2.5, 5, 10]).find((one) => one * scale >= rough * 0.999) * scale;
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at <= Math.floor(high / step + 1e-9); at++) found.push(Number((at * step).toPrecision(12)));
    return found;
  };
  // Values stand above their lines, at the left edge, so that the plot has the whole width.
  const marks = (chart) => (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = colour("--faint");
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    for (const mark of plot.marks ?? []) ctx.fillText(say(mark, chart.unit), bbox.left, plot.valToPos(mark, "y", true) - 4 * devicePixelRatio);
    ctx.restore();
  };

  const stacked = (chart) => {
    if (!chart.stacked) return chart.lines.map((line) => line.values);
    const total = new Array(chart.times.length).fill(0);
    return chart.lines.map((line) => line.values.map((value, at) => (total[at] += value ?? 0)));
  };
  const bounds = (chart) => (plot, least, most) => {
    let low = least ?? 0, high = most ?? 1;
    for (const line of chart.thresholds) if (high < line.value && line.value <= 2.5 * high) high = line.value * 1.05;
    if (low >= 0 && (low < 0.6 * high || chart.stacked)) low = 0;
    if (chart.low !== null) low = chart.low;
    if (chart.high !== null) high = chart.high;
    if (!(high > low)) high = low + (Math.abs(low) * 0.1 || 1);
    return [low, high + (chart.high === null ? (high - low) * 0.06 : 0)];
  };
  const legend = (place, chart, at) => {
    const list = place.nextElementSibling;
    if (!list?.matches(".legend")) return;
    all("li b", list).forEach((cell, number) => {
      const values = chart.lines[number]?.values ?? [];
      let value = null;
      if (at !== null && at !== undefined) value = values[at];
      else for (let back = values.length - 1; back >= 0 && value === null; back--) value = values[back];
      const text = say(value, chart.unit);
      if (cell.textContent !== text) cell.textContent = text;
    });
  };
  const relist = (place, chart) => {
    let list = place.nextElementSibling;
    if (!list?.matches(".legend")) { list = element("ul", { class: "legend", "aria-label": "Latest values" }); place.after(list); }
    list.replaceChildren(...chart.lines.map((line, number) => {
      const item = element("li");
      item.innerHTML = `<svg viewBox="0 0 14 8" aria-hidden="true"><path class="line c${(number % 8) + 1}" d="M0 4H14"/></svg><span class="name"></span> <b></b>`;
      item.querySelector(".name").textContent = line.name;
      return item;
    }));
    if (chart.hidden) list.append(element("li", { class: "faint" }, `and ${chart.hidden} more`));
  };

  const plots = new Map();
  const draw = (chart, place) => {
    if (!chart.lines.length) return;
    const shape = JSON.stringify([chart.lines.map((line) => line.name), chart.unit, chart.stacked]);
    const known = plots.get(place);
    const data = [chart.times, ...stacked(chart)];
    if (known && known.shape === shape) {
      known.chart.lines = chart.lines; known.chart.times = chart.times; known.chart.thresholds = chart.thresholds;
      known.plot.setData(data);
      legend(place, chart, known.plot.cursor.idx);
      return;
    }
    known?.plot.destroy();
    const single = chart.lines.length === 1;
    const options = {
      width: place.clientWidth, height: place.clientHeight, padding: [10, 0, 0, 0], legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: true, y: false, setScale: false }, sync: { key: "bedplate" } },
      scales: { x: { time: true }, y: { range: bounds(chart) } },
      axes: [
        { stroke: () => colour("--faint"), size: 20, gap: 4, font: "11px system-ui, sans-serif", grid: { show: false }, ticks: { show: false }, values: (plot, ticks, axis, space, incr) => ticks.map((tick) => {
          // A time that the edge would cut says less than none.
          const at = plot.valToPos(tick, "x"), half = incr < 60 ? 24 : 15;
          return at < half || at > plot.bbox.width / devicePixelRatio - half ? "" : (incr < 60 ? exact : clock).format(tick * 1000);
        }) },
        { size: 0, side: 3, splits: (plot, _, low, high) => (plot.marks = round125(low, high, place.clientHeight > 220 ? 5 : 3, chart.unit === "bytes" || chart.unit === "Bps")), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, values: (_, ticks) => ticks.map(() => "") },
      ],
      series: [{}, ...chart.lines.map((line, number) => {
        const name = (number % 8) + 1;
        return { label: line.name, width: 1.6, spanGaps: false, points: { show: false }, stroke: () => colour(`--s${name}`), dash: chart.stacked ? undefined : dashes[name], fill: chart.stacked ? () => `${colour(`--s${name}`)}88` : single ? () => `${colour("--s1")}1f` : undefined };
      })],
      bands: chart.stacked ? chart.lines.slice(1).map((_, number) => ({ series: [number + 2, number + 1] })) : [],
      hooks: {
        draw: [marks(chart), limits(chart)],
        setCursor: [(plot) => legend(place, chart, plot.cursor.left >= 0 ? plot.cursor.idx : null)],
        setSelect: [(plot) => {
          if (plot.select.width < 6) return;
          const from = plot.posToVal(plot.select.left, "x"), to = plot.posToVal(plot.select.left + plot.select.width, "x");
          place.dispatchEvent(new CustomEvent("bedplate:zoom", { bubbles: true, detail: { from, to } }));
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
      },
    };
    relist(place, chart);
    const plot = new uPlot(options, data, place);
    place.classList.add("is-live");
    plots.set(place, { plot, chart, shape });
    legend(place, chart, null);
  };
  const resize = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    const known = plots.get(target);
    if (known && target.clientWidth) known.plot.setSize({ width: target.clientWidth, height: target.clientHeight });
  }));
  const adopt = (from = document) => {
    for (const place of all("[data-chart]", from)) {
      if (place.dataset.adopted) continue;
      place.dataset.adopted = "1";
      resize.observe(place);
      on(place, draw);
      if (place.dataset.source) fetch(place.dataset.source).then((answer) => (answer.ok ? answer.json() : null)).then((chart) => chart && draw(chart, place));
    }
  };
  adopt();
  document.addEventListener("htmx:after:swap", () => { for (const place of plots.keys()) if (!place.isConnected) plots.delete(place); adopt(); });
  const redraw = () => plots.forEach(({ plot }) => plot.redraw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
