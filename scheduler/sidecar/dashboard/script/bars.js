// Attempts as bars: when each began, when it ended, and what came of it.

const NEAR_MS = 40;
// Two starts of one submission are at least a gap apart; what is nearer is one attempt, seen twice.

/** What is known of an entry's latest attempt; `before` is the bar that was drawn for it. */
function outcomeOf(entry, before) {
  switch (entry.state) {
    case "SENT": return "air";
    case "CONFIRMED": case "ACCEPTED": return "done";
    case "UNKNOWN": return "lost";
    case "UNRESOLVED": return "open";
    case "NOT_EXECUTED": return "none";
    case "REJECTED": return entry.code === null ? "none" : "refused";
    default:
      // Back in the queue, or taken back there.
      if (before !== undefined && (before === "lost" || before === "open" || before === "none")) return "none";
      return entry.code === null ? "unsent" : "again";
  }
}

/** The bar of an entry's latest attempt; null where there was none. */
function barOf(entry, before) {
  if (entry.sent_at_ms === null) return null;
  const outcome = outcomeOf(entry, before?.outcome);
  const isOpen = outcome === "lost" || outcome === "open";
  const end = entry.ended_at_ms;
  return {
    key: entry.key, account: entry.account, what: asked(entry), urgent: entry.priority === "urgent",
    start: entry.sent_at_ms, end, outcome,
    // Until when its outcome was being looked for; null: it still is.
    settled: isOpen ? null : Math.max(end ?? 0, entry.finished_at_ms ?? before?.settled ?? end ?? 0),
    answer: outcome === "done" || entry.code === null ? "" : `${entry.code} ${entry.name ?? ""}`,
    waited: entry.attempts <= 1 ? entry.sent_at_ms - entry.submitted_at_ms : null,
  };
}

/** The bars of an entry's earlier attempts, from its history; the latest is `barOf`'s. */
function earlierBars(entry, changes) {
  const bars = [];
  for (let at = 0; at < changes.length; at++) {
    const began = changes[at];
    if (began.state !== "SENT") continue;
    if (entry.sent_at_ms !== null && began.at_ms > entry.sent_at_ms - NEAR_MS) break;
    const ended = changes[at + 1];
    if (ended === undefined) break;
    let last = at + 1;
    while (last + 1 < changes.length && (changes[last].state === "UNKNOWN" || changes[last].state === "UNRESOLVED")) last++;
    const wasRefused = ended.state === "QUEUED" && ended.detail.startsWith("-");
    bars.push({
      key: entry.key, account: entry.account, what: asked(entry), urgent: entry.priority === "urgent",
      start: began.at_ms, end: ended.at_ms, settled: changes[last].at_ms,
      outcome: last > at + 1 ? "none" : wasRefused ? "again" : "unsent",
      answer: wasRefused ? ended.detail : "",
      waited: bars.length === 0 ? began.at_ms - entry.submitted_at_ms : null,
    });
  }
  return bars;
}

/** Puts a bar among those of its account, which are in order; the same attempt is replaced. */
function putBar(bars, bar) {
  let at = bars.length;
  while (at > 0 && bars[at - 1].start >= bar.start - NEAR_MS) {
    at--;
    if (bars[at].key === bar.key && Math.abs(bars[at].start - bar.start) < NEAR_MS) {
      bars[at] = bar;
      return;
    }
  }
  while (at < bars.length && bars[at].start < bar.start) at++;
  bars.splice(at, 0, bar);
}

/** The bar that stands for this attempt already, if any. */
function findBar(bars, key, start) {
  for (let at = bars.length - 1; at >= 0 && bars[at].start > start - NEAR_MS; at--) {
    if (bars[at].key === key && Math.abs(bars[at].start - start) < NEAR_MS) return bars[at];
  }
  return undefined;
}

/** The first bar that began at or after `ms`. */
function firstSince(bars, ms) {
  let low = 0;
  let high = bars.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bars[middle].start < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The value below which the given share of sorted values lies. */
function quantile(sorted, share) {
  return sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** How many values fall under each bound; the last takes the rest. */
function histogram(values, bounds) {
  const counts = new Array(bounds.length + 1).fill(0);
  for (const value of values) {
    let at = 0;
    while (at < bounds.length && value >= bounds[at]) at++;
    counts[at]++;
  }
  return counts;
}
