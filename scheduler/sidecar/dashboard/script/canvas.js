// What the drawings share: a canvas as sharp as the screen, and the page's own colours.

let colours = readColours();

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "line", "card", "sunk", "accent", "done", "air", "again", "refused", "lost", "open", "none", "hold", "starved", "ours", "foreign", "left", "bad"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** A context in the page's pixels; sizes are set only where they changed, for setting them clears. */
function contextOf(canvas, width, height) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  return context;
}

/** Sizes are told by the browser when they change; asking would have everything laid out again. */
const sizes = new Map();

function watchSize(node) {
  sizes.set(node, { width: node.clientWidth, height: node.clientHeight });
  new ResizeObserver((entries) => {
    for (const { contentRect } of entries) sizes.set(node, { width: contentRect.width, height: contentRect.height });
    changed();
  }).observe(node);
}

const shown = new Set();

function watchShown(node) {
  new IntersectionObserver((entries) => {
    for (const { isIntersecting } of entries) {
      if (isIntersecting) shown.add(node);
      else shown.delete(node);
    }
    changed();
  }).observe(node);
}
