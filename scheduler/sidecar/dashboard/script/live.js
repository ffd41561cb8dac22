// Keeps what is shown true: follows the events, asks for the accounts, and says when it cannot.

const RETRY_MS = 500;
const RETRY_MAX_MS = 15_000;
const SILENCE_MS = 35_000; // the sidecar sends a comment after 15 s without an event
const STALE_MS = 12_000;
const BACKFILL_PAGES = 4;
const BACKFILL_PAGE = 500;
const HISTORIES_MAX = 60;

const link = { state: "connecting", lastId: null, tries: 0, retryAt: 0, why: "", hasLoaded: false, isOld: false };
const polling = { timer: 0, isAsking: false, failedFor: "" };

/** How long to wait before the next try: doubling, and not all pages at once. */
function retryMs(tries, random) {
  return Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(tries, 10)) * (0.75 + random / 2);
}

/** How long between two askings for all accounts: more where there are many. */
function pollMs(accounts) {
  return Math.max(1_000, Math.min(5_000, accounts * 25));
}

async function follow() {
  for (;;) {
    try {
      await readEvents();
      link.why = "the sidecar ended the connection";
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        setLink("lost");
        await askToken(token() === null ? "" : "That is not the token of this sidecar.");
        link.tries = 0;
        continue;
      }
      link.why = error instanceof Refused ? error.message : "the sidecar does not answer";
    }
    setLink("lost");
    const waitMs = retryMs(link.tries++, Math.random());
    link.retryAt = performance.now() + waitMs;
    await new Promise((resolved) => setTimeout(resolved, waitMs));
    setLink("connecting");
  }
}

async function readEvents() {
  const stop = new AbortController();
  const more = { Accept: "text/event-stream", ...(link.lastId === null ? {} : { "Last-Event-ID": link.lastId }) };
  let silence = setTimeout(() => stop.abort(), SILENCE_MS);
  try {
    const response = await fetch("/v1/events", { headers: headers(more), cache: "no-store", credentials: "omit", redirect: "error", signal: stop.signal });
    if (!response.ok) throw await refusal(response);
    byId("forget").hidden = token() === null;
    const reader = eventReader(link.lastId);
    const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await text.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort(), SILENCE_MS);
      const events = reader.feed(value);
      if (link.state !== "live") onOpen();
      events.forEach(onEvent);
      link.lastId = reader.lastId;
      if (events.length > 0) refreshSoon();
    }
  } finally {
    clearTimeout(silence);
    stop.abort();
  }
}

function onOpen() {
  link.tries = 0;
  setLink("live");
  if (link.hasLoaded) refreshSoon();
  else load();
}

function onEvent({ name, data }) {
  if (name === "reset") {
    forgetAll();
    load();
    return;
  }
  const value = JSON.parse(data);
  if (name === "alarm") takeAlarm(value);
  else if (name === "entry" && takeEntry(value)) {
    submissionChanged(value);
    lifeChanged(value.key);
  }
  changed();
}

/** Too much was missed, or this is another process: read everything anew. */
function forgetAll() {
  for (const map of [store.entries, store.unresolved, store.undecided, store.bars, store.holds]) map.clear();
  store.alarms = [];
}

async function load() {
  link.hasLoaded = true;
  findSubmissions();
  refreshNow();
  try {
    await loadUnresolved();
    await backfill();
    const { paths } = await getDescription();
    store.canSettle = "/v1/accounts/{account}/settle-debt" in paths;
  } catch {
    link.hasLoaded = false; // the next connection tries again
  }
  changed();
}

async function loadUnresolved() {
  const { submissions } = await getSubmissions({ state: "UNRESOLVED", limit: BACKFILL_PAGE });
  submissions.forEach(takeEntry);
}

/** The attempts of the last minutes: the latest of each from the list, those before from histories. */
async function backfill() {
  const since = nowMs() - BARS_MS;
  const retried = [];
  let after = null;
  for (let page = 0; page < BACKFILL_PAGES; page++) {
    const { submissions, next } = await getSubmissions({ limit: BACKFILL_PAGE, after });
    for (const entry of submissions) {
      takeEntry(entry);
      if (entry.attempts > 1 && (entry.ended_at_ms ?? Infinity) > since) retried.push(entry);
    }
    changed();
    after = next;
    if (next === null || submissions.at(-1).submitted_at_ms < since) break;
    await new Promise((resolved) => setTimeout(resolved)); // others have a turn
  }
  for (const entry of retried.slice(0, HISTORIES_MAX)) {
    const { changes } = await getHistory(entry.key);
    for (const bar of earlierBars(entry, changes)) {
      const bars = barsOf(bar.account);
      if (bar.end > since && findBar(bars, bar.key, bar.start) === undefined) putBar(bars, bar);
    }
  }
}

// The accounts

function refreshSoon() {
  if (polling.isSoon) return;
  polling.isSoon = true;
  schedule(Math.max(0, pollMs(store.accounts.size) - (performance.now() - (polling.askedAt ?? 0))));
}

function schedule(ms) {
  clearTimeout(polling.timer);
  polling.timer = setTimeout(refreshNow, ms);
}

async function refreshNow() {
  if (polling.isAsking) return;
  polling.isAsking = true;
  polling.isSoon = false;
  polling.askedAt = performance.now();
  try {
    takeAccounts((await getAccounts()).accounts);
    store.freshAt = performance.now();
    polling.failedFor = "";
    prune();
  } catch (error) {
    polling.failedFor = explainedRead(error);
  } finally {
    polling.isAsking = false;
  }
  changed();
  refreshSubmissions();
  // Holds and weights change without an event, too.
  schedule(link.state === "live" ? Math.max(2_000, pollMs(store.accounts.size)) : 3_000);
}

// Saying how old it is

function setLink(state) {
  link.state = state;
  changed();
}

function showLink() {
  const node = byId("link");
  if (node.dataset.state !== link.state) node.dataset.state = link.state;
  setText(byId("link-text"), { live: "Live", connecting: "Connecting…", lost: "Not connected" }[link.state]);
  setText(byId("clock"), store.isKnown ? time(nowMs()) : "–");
  const text = staleText({ state: link.state, tries: link.tries, why: link.why, isKnown: store.isKnown, failedFor: polling.failedFor,
    ageMs: store.freshAt === null ? null : performance.now() - store.freshAt, retryInMs: link.retryAt - performance.now() });
  if (link.isOld !== (text !== "")) {
    link.isOld = text !== "";
    changed();
  }
  byId("stale").hidden = text === "";
  setText(byId("stale"), text);
}

/** What is to be said of how old everything is; "" while it is fresh. */
function staleText({ state, tries, why, isKnown, failedFor, ageMs, retryInMs }) {
  const isOld = ageMs !== null && ageMs > STALE_MS;
  const isCut = state !== "live" && tries > 0;
  if (!isOld && !isCut) return "";
  const age = ageMs === null || !isKnown ? "Nothing was heard yet" : ageMs > 3_000 ? `What you see is ${duration(ageMs)} old` : "Changes do not arrive by themselves";
  const cause = isCut ? why : failedFor || "the accounts are not answered for";
  const next = state === "lost" && retryInMs > 0 ? ` Trying again in ${Math.ceil(retryInMs / 1000)} s.` : state === "live" ? "" : " Trying again.";
  return `${age}: ${cause}.${next}`;
}
