// What the page knows. Events and answers change it; views read it.

const BARS_MS = 15 * 60_000;
const ENTRIES_MAX = 3_000;
const ALARMS_MAX = 200;
const SAMPLES_MAX = 600;
const SEEN_MAX = 500;
const SEEN_NAME = "margin-scheduler.seen";

const store = {
  accounts: new Map(), // by name, in the order of the configuration
  entries: new Map(), // the latest that were seen, by key
  unresolved: new Map(),
  undecided: new Map(), // UNKNOWN and ACCEPTED
  alarms: [],
  bars: new Map(), // by account
  holds: new Map(), // by account: what held it, and from when to when
  weights: new Map(), // by account: samples of the minute's weight
  seen: new Set(readSeen()),
  isKnown: false,
  freshAt: null, // of performance.now(): when something was last heard
  aheadMs: 0, // how far the exchange's clock is ahead of this machine's
  canSettle: false,
};

function nowMs() {
  return Date.now() + store.aheadMs;
}

/** Whether this is news: an answer may be overtaken by an event. */
function isNewer(entry) {
  const known = knownEntry(entry.key);
  return known === undefined || known.version < entry.version;
}

/** Takes an entry in, wherever it came from; false: a later one was known. */
function takeEntry(entry) {
  if (!isNewer(entry)) return false;
  store.entries.delete(entry.key); // so that the order is that of the news
  store.entries.set(entry.key, entry);
  if (store.entries.size > ENTRIES_MAX) store.entries.delete(store.entries.keys().next().value);
  setOrDelete(store.unresolved, entry, entry.state === "UNRESOLVED");
  setOrDelete(store.undecided, entry, entry.state === "UNKNOWN" || entry.state === "ACCEPTED");
  if (entry.sent_at_ms !== null && (entry.ended_at_ms ?? Infinity) > nowMs() - BARS_MS) {
    const bars = barsOf(entry.account);
    putBar(bars, barOf(entry, findBar(bars, entry.key, entry.sent_at_ms)));
  }
  noteInAir(entry);
  return true;
}

/** An entry as it was last seen; those that are not decided are kept for longer than others. */
function knownEntry(key) {
  return store.entries.get(key) ?? store.unresolved.get(key) ?? store.undecided.get(key);
}

function setOrDelete(map, entry, isIn) {
  if (isIn) map.set(entry.key, entry);
  else map.delete(entry.key);
}

function barsOf(account) {
  let bars = store.bars.get(account);
  if (bars === undefined) store.bars.set(account, (bars = []));
  return bars;
}

/** An account's own list of what is in the air follows the events, between two answers. */
function noteInAir(entry) {
  const account = store.accounts.get(entry.account);
  if (account === undefined) return;
  const others = account.in_air.filter((each) => each.key !== entry.key);
  account.in_air = entry.state === "SENT" ? [...others, entry] : others;
}

/** Takes the answer of GET /v1/accounts. */
function takeAccounts(accounts) {
  const alarms = [];
  const earlier = store.accounts;
  store.accounts = new Map();
  for (const account of accounts) {
    // What is known to have moved on since the answer was made is left out.
    account.in_air = account.in_air.filter((entry) => takeEntry(entry) || store.entries.get(entry.key)?.state === "SENT");
    const known = earlier.get(account.account);
    for (const entry of known?.in_air ?? []) {
      const isLater = entry.sent_at_ms > account.as_of_ms;
      if (isLater && !account.in_air.some((each) => each.key === entry.key)) account.in_air.push(entry);
    }
    account.undecided.forEach(takeEntry);
    store.accounts.set(account.account, account);
    alarms.push(...account.alarms);
    account.alarms = [];
    noteHolds(account);
    noteWeight(account);
  }
  alarms.forEach(takeAlarm);
  if (accounts.length > 0) store.aheadMs = accounts[0].as_of_ms - Date.now();
  store.isKnown = true;
}

function takeAlarm(alarm) {
  const id = alarmId(alarm);
  if (store.alarms.some((each) => each.id === id)) return;
  store.alarms.push({ ...alarm, id });
  store.alarms.sort((one, other) => one.at_ms - other.at_ms);
  if (store.alarms.length > ALARMS_MAX) store.alarms.shift();
}

/** What held an account, as stretches of time: a hold that is seen again is the same. */
function noteHolds(account) {
  const stretches = store.holds.get(account.account) ?? [];
  const now = account.as_of_ms;
  const open = stretches.filter((stretch) => stretch.isOpen);
  for (const stretch of open) stretch.isOpen = false;
  for (const hold of account.holds) {
    const same = open.find((each) => each.cause === hold.cause && each.asset === hold.asset);
    if (same === undefined) stretches.push({ cause: hold.cause, asset: hold.asset, from: now, until: now, isOpen: true });
    else {
      same.until = now;
      same.isOpen = true;
    }
  }
  store.holds.set(account.account, stretches.filter((stretch) => stretch.until > now - BARS_MS).slice(-SAMPLES_MAX));
}

function noteWeight(account) {
  const { used, foreign, limit } = account.weight;
  const samples = store.weights.get(account.account) ?? [];
  samples.push({ at: account.as_of_ms, ours: used / limit, foreign: foreign / limit });
  if (samples.length > SAMPLES_MAX) samples.splice(0, samples.length - SAMPLES_MAX);
  store.weights.set(account.account, samples);
}

/** Drops what has left every window. */
function prune() {
  const since = nowMs() - BARS_MS;
  for (const bars of store.bars.values()) {
    const first = firstSince(bars, since);
    if (first > 0) bars.splice(0, first);
  }
}

// Alarms that were put aside, in this browser alone

function readSeen() {
  try {
    return JSON.parse(localStorage.getItem(SEEN_NAME)) ?? [];
  } catch {
    return [];
  }
}

function setSeen(id) {
  store.seen.add(id);
  try {
    localStorage.setItem(SEEN_NAME, JSON.stringify([...store.seen].slice(-SEEN_MAX)));
  } catch {
    // Without storage it is put aside until the page is closed.
  }
}
