// The top of the page: whether somebody is needed, for what, and the figures of the moment.

const CASES_SHOWN = 50;
const RECENT_MS = 5 * 60_000;

const ACTS = {
  resolve: (one) => actButton("resolve", "Resolve…", () => resolve(one.key), { class: "primary" }),
  resume: (one) => actButton("resume", "Resume…", () => resume(one.account), { class: "primary" }),
  seen: (one) => actButton("seen", "Mark as seen", () => (setSeen(one.id), changed()), { title: "Put aside, in this browser" }),
  show: (one) => actButton("show", "Show", () => openLife(one.key)),
};

function showOverview() {
  const accounts = [...store.accounts.values()];
  const cases = casesFor({ accounts, unresolved: [...store.unresolved.values()], alarms: store.alarms, seen: store.seen });
  const lost = [...store.undecided.values()].filter((entry) => entry.state === "UNKNOWN").length;
  const verdict = verdictOf({ cases, lost, isKnown: store.isKnown, isOld: link.isOld });
  byId("person").dataset.state = verdict.state;
  setText(byId("verdict"), verdict.text);
  setText(byId("verdict-sign"), verdict.sign);
  setText(byId("verdict-more"), link.isOld ? "The sidecar is not heard from. What follows is what was last heard; it says nothing of now." : moreOf(accounts, cases, lost));
  document.title = link.isOld ? "(?) margin-scheduler" : cases.length > 0 ? `(${cases.length}) margin-scheduler` : "margin-scheduler";
  showFigures(accounts, lost);
  setRows(byId("cases"), cases.slice(0, CASES_SHOWN).map((one) => ({ id: one.id, mark: [one.title, one.what, one.until_ms].join("|"), make: () => caseRow(one) })));
  showEarlier(cases);
}

/** What waits by itself, in a sentence. */
function moreOf(accounts, cases, lost) {
  if (!store.isKnown) return "";
  const parts = [];
  if (cases.length > CASES_SHOWN) parts.push(`The first ${CASES_SHOWN} are shown.`);
  if (store.unresolved.size === 1) parts.push(`Whether ${money([...store.unresolved.values()][0])} moved is not known.`);
  if (store.unresolved.size > 1) parts.push(`The outcomes of ${plural(store.unresolved.size, "submission")} are not known.`);
  if (lost > 0) parts.push(`${plural(lost, "lost answer")} ${lost === 1 ? "is" : "are"} being looked up; that ends by itself.`);
  const starved = new Set(accounts.flatMap((account) => account.holds.filter((hold) => hold.cause === "starved").map((hold) => hold.asset)));
  if (starved.size > 0) parts.push(`The exchange has too little ${[...starved].sort().slice(0, 5).join(", ")} to lend; borrows of it wait.`);
  if (accounts.some((account) => account.holds.some((hold) => hold.cause === "maintenance"))) {
    parts.push("The exchange is being worked on: nothing is sent until that is over, and then by itself.");
  }
  const paused = accounts.filter((account) => account.is_paused).length;
  if (paused > 0) parts.push(`${plural(paused, "account")} ${paused === 1 ? "is" : "are"} paused.`);
  if (parts.length === 0) parts.push(cases.length === 0 ? "No money is stuck: every outcome is known or under way." : "");
  return parts.join(" ");
}

function showFigures(accounts, lost) {
  let queued = 0;
  let oldest = null;
  let inAir = 0;
  for (const account of accounts) {
    queued += account.queued.urgent + account.queued.normal;
    inAir += account.in_air.length;
    const since = account.queued.oldest_submitted_at_ms;
    if (since !== null && (oldest === null || since < oldest)) oldest = since;
  }
  const recent = recentOutcomes();
  const figures = [
    ["In the air", count(inAir), null, ""],
    ["Queued", count(queued), oldest, ""],
    ["Being looked up", count(lost), null, lost > 0 ? "lost" : ""],
    ["Unresolved", count(store.unresolved.size), null, store.unresolved.size > 0 ? "bad" : ""],
    ["Executed, 5 min", count(recent.done), null, ""],
    ["Refused, 5 min", count(recent.refused), null, ""],
  ];
  setRows(byId("figures"), figures.map(([name, value, since_ms, tone]) => ({
    id: name, mark: `${value}|${since_ms}|${tone}`,
    make: () => el("div", { "data-tone": tone }, el("dt", {}, name), el("dd", {}, value, since_ms === null ? null : el("small", {}, "oldest ", since(since_ms)))),
  })));
}

/** Submissions that ended in the last minutes, by whether they were executed. */
function recentOutcomes() {
  const from = nowMs() - RECENT_MS;
  const recent = { done: 0, refused: 0 };
  for (const bars of store.bars.values()) {
    for (let at = firstSince(bars, from); at < bars.length; at++) {
      if (bars[at].outcome === "done") recent.done++;
      else if (bars[at].outcome === "refused") recent.refused++;
    }
  }
  return recent;
}

function caseRow(one) {
  const what = one.sent_at_ms ? one.what.replace("{sent}", instant(one.sent_at_ms, nowMs(), true)) : one.what;
  const when = one.at_ms ? `${instant(one.at_ms, nowMs())}: ` : "";
  return el("li", { "data-level": one.level },
    el("div", {},
      el("h3", {}, el("span", { class: "mark", "aria-hidden": "true" }, "!"), one.title),
      what === "" ? null : el("p", { class: "what" }, when + what, ...(one.until_ms ? [" Until ", instant(one.until_ms, nowMs()), ", in ", until(one.until_ms), "."] : [])),
      el("p", { class: "todo" }, one.todo)),
    el("div", { class: "acts" }, ...one.acts.map((name) => ACTS[name](one))));
}

/** Alarms that ask for nobody any more. */
function showEarlier(cases) {
  const open = new Set(cases.map((one) => one.id));
  const past = store.alarms.filter((alarm) => !open.has(alarm.id)).slice(-CASES_SHOWN).reverse();
  byId("earlier").hidden = past.length === 0;
  setText(byId("earlier-title"), plural(past.length, "earlier alarm"));
  setRows(byId("earlier-list"), past.map((alarm) => ({
    id: alarm.id, mark: "", make: () => el("li", {}, `${instant(alarm.at_ms, nowMs())} · ${alarm.message}`),
  })));
}
