// Draws what changed, at most a few times a second, and never outside of a frame.

const TEXT_MS = 250;
const MOVE_MS = 100;
const SPANS_MS = 1_000;
const STILL = window.matchMedia("(prefers-reduced-motion: reduce)");

const drawing = { isChanged: true, textAt: 0, spansAt: 0, movedAt: 0 };

/** Something is to be shown anew, at the next opportunity. */
function changed() {
  drawing.isChanged = true;
}

/** Each frame does one thing, so that none takes long. */
function frame(now) {
  requestAnimationFrame(frame);
  if (now - drawing.movedAt >= (STILL.matches ? 1_000 : MOVE_MS)) {
    drawing.movedAt = now;
    tick();
    showLink();
  } else if (drawing.isChanged && now - drawing.textAt >= TEXT_MS) {
    drawing.textAt = now;
    drawing.isChanged = false;
    showOverview();
    showAccounts();
    showSubmissions();
    showWeightChoices();
    timeline.drawnAt = 0;
  } else if (shown.has(byId("lanes")) && now - timeline.drawnAt >= Math.max(STILL.matches ? 1_000 : 60, timeline.windowMs / 1_200)) {
    drawTimeline();
  } else if (now - drawing.spansAt >= SPANS_MS) {
    drawing.spansAt = now;
    drawWeight();
    drawSpans();
  }
}

function start() {
  startDialogs();
  startAccounts();
  startTimeline();
  startCharts();
  startLife();
  startSubmissions();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours = readColours();
    changed();
  });
  requestAnimationFrame(frame);
  follow();
}

start();
