// Times and numbers in words. Nothing here touches the page.

/** How long, in a form whose width hardly changes while it ticks. */
function duration(ms) {
  if (ms < 0) return "0.0 s";
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const two = (value) => String(value).padStart(2, "0");
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 2_880) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  return `${Math.floor(minutes / 1_440)} days`;
}

/** A short span, to the millisecond below a second. */
function span(ms) {
  return ms < 1_000 ? `${Math.round(ms)} ms` : duration(ms);
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function time(ms) {
  return TIME.format(ms);
}

/** With the day where it is not today's, and milliseconds where they matter. */
function instant(ms, nowMs, isExact = false) {
  const text = isExact ? `${time(ms)}.${String(ms % 1000).padStart(3, "0")}` : time(ms);
  return DAY.format(ms) === DAY.format(nowMs) ? text : `${DAY.format(ms)} ${text}`;
}

function count(number) {
  return number.toLocaleString("en-US");
}

function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** How much of what, as in "100 USDT". */
function money(entry) {
  const pair = entry.symbol === null ? "" : ` (${entry.symbol})`;
  return `${entry.amount ?? entry.requested} ${entry.asset}${pair}`;
}

/** What was asked, as in "borrow 100 USDT". */
function asked(entry) {
  return `${entry.kind === "BORROW" ? "borrow" : "repay"} ${money(entry)}`;
}
