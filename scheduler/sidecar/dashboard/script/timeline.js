// Each attempt a bar in its account's lane, so that spacing, refusals and starved assets are seen.
// Only the lanes in view are drawn; outcomes differ in shape as well as in colour.

const AXIS_PX = 22;
const REACH_PX = 5;
const OUTCOMES = {
  done: "executed", air: "in the air", again: "refused, and tried again", refused: "refused for good", lost: "answer lost, being looked up",
  open: "unresolved", none: "did not happen", unsent: "never left this machine",
};
const WORST = new Set(["stopped", "journal", "banned", "firewalled", "unresolved"]);
const timeline = { windowMs: 300_000, lane: 0, selected: null, drawnAt: 0 };

/** Where things are, from the sizes alone. */
function layout(width, lanes, room) {
  const laneHeight = lanes <= 8 ? 40 : lanes <= 24 ? 28 : 20;
  const left = width < 560 ? 76 : 132;
  const whole = AXIS_PX + lanes * laneHeight;
  return { width, laneHeight, left, whole, height: Math.min(whole, room) };
}

function currentLayout() {
  const { width } = sizes.get(byId("lanes"));
  return layout(width, store.accounts.size, width < 700 ? 380 : 460);
}

/** Milliseconds between two lines, so that there are about as many as fit. */
function gridStep(windowMs, width) {
  const steps = [5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];
  return steps.find((step) => (step / windowMs) * width >= 70) ?? 300_000;
}

/** Takes the room that the lanes need, in sight or not, so that nothing jumps when it comes there. */
function sizeTimeline() {
  const plan = currentLayout();
  const [whole, height] = [`${plan.whole}px`, `${plan.height}px`];
  const [room, canvas] = [byId("lanes-room"), byId("lanes-canvas")];
  if (room.style.height !== whole) room.style.height = whole;
  if (canvas.style.height !== height) canvas.style.height = height;
}

function drawTimeline() {
  const plan = currentLayout();
  if (plan.width === 0) return;
  const view = byId("lanes");
  const canvas = byId("lanes-canvas");
  const context = contextOf(canvas, plan.width, plan.height);
  const now = nowMs();
  const from = now - timeline.windowMs;
  const scale = (plan.width - plan.left - 6) / timeline.windowMs;
  const x = (ms) => plan.left + (Math.max(ms, from) - from) * scale;
  const scrolled = view.scrollTop;
  const names = [...store.accounts.keys()];
  const first = Math.floor(scrolled / plan.laneHeight);
  const last = Math.min(names.length, Math.ceil((scrolled + plan.height - AXIS_PX) / plan.laneHeight));
  let drawn = 0;
  for (let lane = first; lane < last; lane++) {
    const top = AXIS_PX + lane * plan.laneHeight - scrolled;
    drawn += drawLane(context, { name: names[lane], lane, top, height: plan.laneHeight, plan, from, now, x });
  }
  drawAxis(context, plan, from, now, x);
  timeline.drawnAt = performance.now();
  const label = `${plural(drawn, "attempt")} of ${plural(last - first, "account")} in the last ${duration(timeline.windowMs)}`;
  if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
}

function drawAxis(context, plan, from, now, x) {
  context.fillStyle = colours.card;
  context.fillRect(0, 0, plan.width, AXIS_PX);
  const step = gridStep(timeline.windowMs, plan.width - plan.left);
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let ms = Math.ceil(from / step) * step; ms <= now; ms += step) {
    const at = Math.round(x(ms)) + 0.5;
    context.fillStyle = colours.line;
    context.fillRect(at, AXIS_PX - 4, 1, plan.height);
    if (at < plan.left + 26 || at > plan.width - 26) continue;
    context.fillStyle = colours.soft;
    context.fillText(time(ms), at, AXIS_PX / 2 - 1);
  }
  context.fillStyle = colours.line;
  context.fillRect(0, AXIS_PX - 1, plan.width, 1);
}

/** Draws one lane; says how many attempts it has. */
function drawLane(context, { name, lane, top, height, plan, from, now, x }) {
  if (lane % 2 === 1) {
    context.globalAlpha = 0.5;
    context.fillStyle = colours.sunk;
    context.fillRect(0, top, plan.width, height);
    context.globalAlpha = 1;
  }
  if (timeline.lane === lane && timeline.selected !== null) {
    context.fillStyle = colours.accent;
    context.fillRect(0, top, 3, height);
  }
  context.fillStyle = colours.ink;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(fitted(context, name, plan.left - 20), 10, top + height / 2);
  drawHolds(context, name, top + height - 5, from, now, x);
  const bars = store.bars.get(name);
  if (bars === undefined) return 0;
  const inner = { top: top + 4, height: height - 12 };
  let count = 0;
  // One that began before the window may still reach into it.
  for (let at = Math.max(0, firstSince(bars, from) - 1); at < bars.length; at++) {
    const bar = bars[at];
    const end = Math.max(bar.end ?? now, bar.settled ?? now);
    if (end < from) continue;
    count++;
    drawBar(context, bar, x(bar.start), x(bar.end ?? now), x(bar.settled ?? now), inner);
  }
  return count;
}

function drawBar(context, bar, start, end, settled, { top, height }) {
  const width = Math.max(2, end - start);
  const colour = colours[bar.outcome === "unsent" ? "none" : bar.outcome];
  context.fillStyle = colour;
  if (settled > end + 3 && bar.outcome !== "air") { // it was, or is, being looked up
    context.fillStyle = bar.outcome === "open" ? colours.open : colours.lost;
    context.fillRect(end, top + height / 2 - 1, settled - end, 2);
    context.fillStyle = colour;
  }
  switch (bar.outcome) {
    case "done": case "air":
      context.fillRect(start, top, width, height);
      break;
    case "again": // low, as it came to nothing yet
      context.fillRect(start, top + height / 2, width, height / 2);
      break;
    case "refused": // broken, with a foot
      context.fillRect(start, top, Math.max(3, width), height * 0.62);
      context.fillRect(start, top + height * 0.78, Math.max(3, width), height * 0.22);
      break;
    case "open": { // a flag that nobody overlooks
      context.fillRect(start, top, width, height);
      context.beginPath();
      context.moveTo(start - 5, top - 3);
      context.lineTo(start + 7, top - 3);
      context.lineTo(start + 1, top + 7);
      context.fill();
      break;
    }
    case "unsent":
      context.fillRect(start, top + height * 0.75, width, height * 0.25);
      break;
    default: // lost or none: hollow
      context.strokeStyle = colour;
      context.lineWidth = 1.5;
      context.setLineDash(bar.outcome === "none" ? [2, 2] : []);
      context.strokeRect(start + 0.75, top + 0.75, Math.max(4, width - 1.5), height - 1.5);
      context.setLineDash([]);
  }
  if (timeline.selected !== null && bar.key === timeline.selected.key && bar.start === timeline.selected.start) {
    context.strokeStyle = colours.ink;
    context.lineWidth = 2;
    context.strokeRect(start - 3, top - 3, width + 6, height + 6);
  }
}

function drawHolds(context, name, top, from, now, x) {
  const stretches = store.holds.get(name) ?? [];
  for (const isWorst of [false, true]) { // what only a person ends lies over what ends by itself
    for (const stretch of stretches) {
      const until = stretch.isOpen ? now : stretch.until;
      if (until < from || WORST.has(stretch.cause) !== isWorst) continue;
      context.fillStyle = isWorst ? colours.bad : stretch.cause === "starved" ? colours.starved : stretch.cause === "unknown" ? colours.lost : colours.hold;
      context.fillRect(x(stretch.from), top, Math.max(2, x(until) - x(stretch.from)), 3);
    }
  }
}

const fits = new Map();

/** The name, cut to what there is room for. */
function fitted(context, name, width) {
  const id = `${name}|${width}`;
  let text = fits.get(id);
  if (text === undefined) {
    text = name;
    while (text.length > 2 && context.measureText(text).width > width) text = `${text.slice(0, -2).trimEnd()}…`;
    fits.set(id, text);
  }
  return text;
}

// Pointing at bars, and walking along them

function barAt(clientX, clientY) {
  const plan = currentLayout();
  const box = byId("lanes").getBoundingClientRect();
  const [px, py] = [clientX - box.left - 1, clientY - box.top - 1];
  if (py < AXIS_PX || px < plan.left) return null;
  const lane = Math.floor((py - AXIS_PX + byId("lanes").scrollTop) / plan.laneHeight);
  const name = [...store.accounts.keys()][lane];
  const bars = store.bars.get(name) ?? [];
  const now = nowMs();
  const scale = (plan.width - plan.left - 6) / timeline.windowMs;
  const at = (px - plan.left) / scale + now - timeline.windowMs;
  const reach = REACH_PX / scale;
  let best = null;
  for (const bar of bars) {
    const gap = Math.max(bar.start - at, at - (bar.end ?? now), 0);
    if (gap <= reach && (best === null || gap <= best.gap)) best = { bar, gap, lane };
  }
  return best;
}

function barInWords(bar) {
  const took = bar.end === null ? `for ${duration(nowMs() - bar.start)}` : `took ${span(bar.end - bar.start)}`;
  const answer = bar.answer === "" ? "" : `: ${bar.answer}`;
  return `${bar.account}: ${bar.urgent ? "urgent, " : ""}${bar.what}\n${OUTCOMES[bar.outcome]}${answer}\n${time(bar.start)}.${String(bar.start % 1000).padStart(3, "0")}, ${took}\n${bar.key}`;
}

function showHint(text, left, top) {
  const hint = byId("hint");
  hint.hidden = false;
  setText(hint, text);
  hint.style.left = `${Math.max(4, Math.min(left + 14, window.innerWidth - 340))}px`;
  hint.style.top = `${Math.max(4, top + 14)}px`;
}

function hideHint() {
  byId("hint").hidden = true;
}

function walk(event) {
  const names = [...store.accounts.keys()];
  if (event.key === "Escape") {
    timeline.selected = null;
    hideHint();
  } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
    timeline.lane = Math.max(0, Math.min(names.length - 1, timeline.lane + (event.key === "ArrowUp" ? -1 : 1)));
    timeline.selected = store.bars.get(names[timeline.lane])?.at(-1) ?? null;
  } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    const bars = store.bars.get(names[timeline.lane]) ?? [];
    const at = timeline.selected === null ? bars.length : bars.findIndex((bar) => bar.key === timeline.selected.key && bar.start === timeline.selected.start);
    timeline.selected = bars[Math.max(0, Math.min(bars.length - 1, at + (event.key === "ArrowLeft" ? -1 : 1)))] ?? null;
  } else if (event.key === "Enter" && timeline.selected !== null) openLife(timeline.selected.key);
  else return;
  event.preventDefault();
  const view = byId("lanes");
  const plan = currentLayout();
  const top = timeline.lane * plan.laneHeight;
  if (top < view.scrollTop || top + plan.laneHeight > view.scrollTop + plan.height - AXIS_PX) view.scrollTop = top;
  if (timeline.selected !== null) {
    const box = view.getBoundingClientRect();
    showHint(barInWords(timeline.selected), box.left + plan.left, box.top + AXIS_PX + top - view.scrollTop + plan.laneHeight);
    say(barInWords(timeline.selected));
  } else hideHint();
  changed();
}

function startTimeline() {
  const view = byId("lanes");
  watchSize(view);
  watchShown(view);
  byId("window").addEventListener("change", (event) => {
    timeline.windowMs = Number(event.target.value);
    changed();
  });
  view.addEventListener("scroll", () => changed(), { passive: true });
  view.addEventListener("keydown", walk);
  view.addEventListener("blur", hideHint);
  view.addEventListener("pointermove", (event) => {
    const found = barAt(event.clientX, event.clientY);
    view.style.cursor = found === null ? "" : "pointer";
    if (found === null) hideHint();
    else showHint(barInWords(found.bar), event.clientX, event.clientY);
  });
  view.addEventListener("pointerleave", hideHint);
  view.addEventListener("click", (event) => {
    const found = barAt(event.clientX, event.clientY);
    if (found !== null) openLife(found.bar.key);
  });
}
