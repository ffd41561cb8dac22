// Draws what changed, at most a few times a second, and never outside of a frame.

const TEXT_MS = 250;
const MOVE_MS = 100;
const SPANS_MS = 1_000;
const STILL = window.matchMedia("(prefers-reduced-motion: reduce)");

const drawing = { isChanged: true, textAt: 0, spansAt: 0, movedAt: 0, isTimelineOld: true };

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
    sizeTimeline();
    drawing.isTimelineOld = true;
  } else if ((drawing.isTimelineOld && shown.has(byId("lanes"))) || now - timeline.drawnAt >= timelineMs()) {
    drawing.isTimelineOld = false;
    drawTimeline();
  } else if (now - drawing.spansAt >= SPANS_MS) {
    drawing.spansAt = now;
    drawWeight();
    drawSpans();
  }
}

/** How long one drawing of the timeline does: until it has moved by a pixel, about. */
function timelineMs() {
  return STILL.matches || !shown.has(byId("lanes")) ? 1_000 : Math.max(60, timeline.windowMs / 1_200);
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
