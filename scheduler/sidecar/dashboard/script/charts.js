// Small drawings: the minute's weight over time, and how long things take.

const BOUNDS_MS = [20, 50, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
const CHART_PX = 92;
const FOOT_PX = 16;
const chosen = { weightOf: "" };

/** The highest share of any account at each step of time, or the samples of one. */
function weightSeries(weights, name, from, steps, stepMs) {
  const series = new Array(steps).fill(null);
  const rows = name === "" ? weights.values() : [weights.get(name) ?? []];
  for (const samples of rows) {
    for (const { at, ours, foreign } of samples) {
      const step = Math.floor((at - from) / stepMs);
      if (step < 0 || step >= steps) continue;
      if (series[step] === null || ours + foreign > series[step].ours + series[step].foreign) series[step] = { ours, foreign };
    }
  }
  return series;
}

function drawWeight() {
  const canvas = byId("weight-canvas");
  const { width } = sizes.get(canvas);
  if (!width) return;
  const context = contextOf(canvas, width, CHART_PX);
  const steps = Math.max(2, Math.min(150, Math.floor(width / 3)));
  const stepMs = Math.max(4_200, timeline.windowMs / steps);
  const from = nowMs() - timeline.windowMs;
  const series = weightSeries(store.weights, chosen.weightOf, from, Math.ceil(timeline.windowMs / stepMs) + 1, stepMs);
  const high = CHART_PX - FOOT_PX;
  for (const share of [0.5, 1]) {
    context.fillStyle = colours.line;
    context.fillRect(0, Math.round(high * (1 - share)), width, 1);
  }
  context.fillStyle = colours.line;
  context.fillRect(0, high, width, 1);
  let latest = null;
  series.forEach((sample, step) => {
    if (sample === null) return;
    latest = sample;
    const left = (step * stepMs * width) / timeline.windowMs;
    const wide = Math.max(2, (stepMs * width) / timeline.windowMs) + 0.5;
    const ours = Math.min(1, sample.ours) * high;
    const foreign = Math.min(high - ours, sample.foreign * high);
    context.fillStyle = colours.ours;
    context.fillRect(left, high - ours, wide, ours);
    context.fillStyle = colours.foreign;
    context.fillRect(left, high - ours - foreign, wide, foreign);
  });
  ends(context, width, `${byId("window").selectedOptions[0].text} ago`, "now");
  const percent = latest === null ? "" : `${Math.round((latest.ours + latest.foreign) * 100)}% now`;
  setText(byId("weight-text"), percent);
  canvas.setAttribute("aria-label", `Weight of the minute over time: ${percent}`);
}

function ends(context, width, left, right) {
  context.fillStyle = colours.soft;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "bottom";
  context.textAlign = "left";
  context.fillText(left, 0, CHART_PX);
  context.textAlign = "right";
  context.fillText(right, width, CHART_PX);
}

/** How long attempts took and submissions waited, of those in the window. */
function spans(allBars, from) {
  const took = [];
  const waited = [];
  for (const bars of allBars) {
    for (let at = firstSince(bars, from); at < bars.length; at++) {
      const bar = bars[at];
      if (bar.end !== null && bar.outcome !== "unsent") took.push(bar.end - bar.start);
      if (bar.waited !== null && bar.waited >= 0) waited.push(bar.waited);
    }
  }
  return { took, waited };
}

function drawSpans() {
  const { took, waited } = spans(store.bars.values(), nowMs() - timeline.windowMs);
  drawHistogram("latency", took, colours.done);
  drawHistogram("waits", waited, colours.accent);
}

function drawHistogram(name, values, colour) {
  const canvas = byId(`${name}-canvas`);
  const { width } = sizes.get(canvas);
  if (!width) return;
  const context = contextOf(canvas, width, CHART_PX);
  const counts = histogram(values, BOUNDS_MS);
  const most = Math.max(1, ...counts);
  const high = CHART_PX - FOOT_PX;
  const wide = width / counts.length;
  context.fillStyle = colours.line;
  context.fillRect(0, high, width, 1);
  context.fillStyle = colour;
  counts.forEach((number, at) => {
    const tall = number === 0 ? 0 : Math.max(2, (number / most) * (high - 4));
    context.fillRect(at * wide + 1, high - tall, wide - 2, tall);
  });
  context.fillStyle = colours.soft;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "bottom";
  context.textAlign = "center";
  BOUNDS_MS.forEach((bound, at) => {
    if (at % 3 === 2 || wide > 44) context.fillText(bound < 1_000 ? `${bound} ms` : `${bound / 1000} s`, (at + 1) * wide, CHART_PX);
  });
  const sorted = values.sort((one, other) => one - other);
  const [half, most95] = [quantile(sorted, 0.5), quantile(sorted, 0.95)];
  const text = half === null ? "none yet" : `median ${span(half)} · 95 in 100 under ${span(most95)}`;
  setText(byId(`${name}-text`), text);
  canvas.setAttribute("aria-label", text);
}

function showWeightChoices() {
  const select = byId("weight-of");
  const names = [...store.accounts.keys()];
  if (select.options.length === names.length + 1) return;
  select.replaceChildren(el("option", { value: "" }, "highest of all"), ...names.map((name) => el("option", { value: name }, name)));
}

function startCharts() {
  for (const name of ["weight", "latency", "waits"]) watchSize(byId(`${name}-canvas`));
  byId("weight-of").addEventListener("change", (event) => {
    chosen.weightOf = event.target.value;
    changed();
  });
}
