// A lane each: what is in the air, what waits and for what, and what is left of the minute.

const LANES_SHOWN = 25;
const lanesView = { page: 0, filter: "", isBusyOnly: false };

const HOLDS = {
  busy: ["busy at the exchange", "warn"], clock: ["no exchange time", "warn"], unreachable: ["exchange unreachable", "warn"],
  starved: ["runs short", "lost"], limited: ["weight limit", "warn"], banned: ["address banned", "bad"], firewalled: ["address refused", "bad"],
  paused: ["paused", "warn"], stopped: ["stopped", "bad"], journal: ["journal", "bad"], unchecked: ["key not checked", "warn"], closing: ["shutting down", ""],
  maintenance: ["exchange in maintenance", "warn"],
  unknown: ["answer lost", "lost"], unresolved: ["unresolved", "bad"], lane: ["held by another machine", ""],
};

/** The accounts a reader asked for, in the order of the configuration. */
function wantedAccounts(accounts, { filter, isBusyOnly }) {
  const text = filter.trim().toLowerCase();
  return accounts.filter((account) => (text === "" || account.account.toLowerCase().includes(text)) && (!isBusyOnly || isBusy(account)));
}

function isBusy({ queued, in_air: inAir, holds, undecided_count: undecided }) {
  return queued.urgent + queued.normal + inAir.length + holds.length + undecided > 0;
}

function showAccounts() {
  const all = [...store.accounts.values()];
  const wanted = wantedAccounts(all, lanesView);
  const pages = Math.max(1, Math.ceil(wanted.length / LANES_SHOWN));
  lanesView.page = Math.min(lanesView.page, pages - 1);
  const from = lanesView.page * LANES_SHOWN;
  const shown = wanted.slice(from, from + LANES_SHOWN);
  setText(byId("accounts-count"), wanted.length === all.length ? count(all.length) : `${count(wanted.length)} of ${count(all.length)}`);
  setRows(byId("accounts-rows"), shown.map((account) => ({ id: account.account, mark: "", make: () => laneRow(account.account) })));
  shown.forEach((account, index) => fillLane(byId("accounts-rows").children[index], account));
  showPager(byId("accounts-pager"), pages > 1 ? `${from + 1} to ${from + shown.length} of ${count(wanted.length)}` : "", {
    back: lanesView.page > 0 ? () => turnLanes(-1) : null, on: lanesView.page < pages - 1 ? () => turnLanes(1) : null, isNeeded: pages > 1,
  });
}

function turnLanes(by) {
  lanesView.page += by;
  changed();
}

function laneRow(name) {
  return el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader", title: name }),
    cell("In the air", { class: "air" }), cell("Queue", {}), cell("Next start", {}),
    cell("Weight", { class: "weight" }), cell("Waits for", { class: "waits" }), cell("", { class: "act" }));
}

function fillLane(row, account) {
  const [name, air, queue, next, weight, waits, act] = row.children;
  const owner = account.owner ?? null;
  setCell(name, `${owner}`, () => [account.account, owner === null ? null : el("span", { class: "owner" }, `on ${owner}`)]);
  setCell(air, account.in_air.map((entry) => entry.key).join(), () => inAir(account.in_air));
  const { urgent, normal, oldest_submitted_at_ms: oldest } = account.queued;
  setCell(queue, `${urgent}|${normal}|${oldest}`, () => queued(urgent, normal, oldest));
  const waitMs = account.next_start.starts_at_ms - account.as_of_ms;
  setCell(next, waitMs < 1_000 ? `now|${account.next_start.causes}` : `${account.next_start.starts_at_ms}|${account.next_start.causes}`, () => nextStart(account.next_start, waitMs, account));
  const { limit, used, foreign, reserved, left } = account.weight;
  setCell(weight, `${limit}|${used}|${foreign}|${reserved}|${left}`, () => [weightBar(account.weight)]);
  setCell(waits, account.holds.map((hold) => `${hold.cause}${hold.asset}${hold.until_ms}`).join() + account.is_exclusive, () => holdPills(account));
  setCell(act, `${account.is_paused}|${account.stopped}|${store.canSettle}`, () => laneActs(account));
}

function inAir(entries) {
  if (entries.length === 0) return [el("span", { class: "soft" }, "–")];
  return [el("span", {}, ...entries.slice(0, 2).flatMap((entry) => [
    since(entry.sent_at_ms, { class: "ticking" }), " ", actButton(`air-${entry.key}`, asked(entry), () => openLife(entry.key), { class: "plain" }), " ",
  ]), entries.length > 2 ? `and ${entries.length - 2} more` : "")];
}

function queued(urgent, normal, oldest) {
  if (urgent + normal === 0) return [el("span", { class: "soft" }, "empty")];
  return [el("span", {},
    urgent > 0 ? el("span", { class: "urgent" }, `${count(urgent)} urgent `) : "", normal > 0 ? `${count(normal)} normal` : "",
    ...(oldest === null ? [] : [el("span", { class: "soft" }, " · ", since(oldest))]))];
}

function nextStart(quote, waitMs, account) {
  const isHeld = account.is_paused || account.stopped !== null;
  if (isHeld) return [el("span", { class: "soft" }, "when resumed")];
  const why = quote.causes.length === 0 ? null : el("span", { class: "soft" }, ` (${quote.causes.join(", ")})`);
  return [waitMs < 1_000 ? el("span", {}, "now", why ?? "") : el("span", {}, until(quote.starts_at_ms, { "data-over": "now" }), why ?? "")];
}

/** The parts of the minute's weight, as shares of its limit. */
function weightParts({ limit, used, foreign, left }) {
  const ours = Math.min(1, used / limit);
  const others = Math.min(1 - ours, foreign / limit);
  const free = Math.min(1 - ours - others, left / limit);
  return { ours, others, free, reserve: Math.max(0, 1 - ours - others - free) };
}

function weightBar(weight) {
  const parts = weightParts(weight);
  const percent = (share) => `${(share * 100).toFixed(1)}%`;
  const piece = (name, share) => {
    const made = el("i", { class: name });
    if (name !== "left") made.style.width = percent(share);
    return made;
  };
  const label = `ours ${percent(parts.ours)}, others' ${percent(parts.others)}, left ${percent(parts.free)}, kept for urgent ${percent(parts.reserve)}`;
  return el("div", { class: "weigh" },
    el("div", { class: "share", role: "img", "aria-label": label, title: label },
      piece("ours", parts.ours), piece("foreign", parts.others), piece("left", parts.free), piece("reserve", parts.reserve)),
    el("span", { class: "of" }, `${Math.round((parts.ours + parts.others) * 100)}%`));
}

function holdPills(account) {
  const pills = account.holds.map((hold) => {
    const [text, tone] = HOLDS[hold.cause] ?? [hold.cause.replaceAll("_", " "), ""];
    const what = hold.asset === null ? text : `${hold.asset} ${text}`;
    return el("span", { class: `pill ${tone}` }, what, ...(hold.until_ms === null ? [] : [" · ", until(hold.until_ms)]));
  });
  if (!account.is_exclusive) pills.push(el("span", { class: "pill", title: "Others borrow or repay by hand on this account, so a lost answer may need a person" }, "shared"));
  return pills;
}

function laneActs(account) {
  const isHeld = account.is_paused || account.stopped !== null;
  return [el("span", {},
    store.canSettle ? actButton("settle", "Settle…", () => settle(account.account), { class: "quiet", ariaLabel: `Settle a debt of ${account.account}` }) : "",
    isHeld ? actButton("resume", "Resume…", () => resume(account.account), { ariaLabel: `Resume ${account.account}` })
      : actButton("pause", "Pause…", () => pause(account.account), { class: "quiet", ariaLabel: `Pause ${account.account}` }))];
}

function showPager(parent, text, { back, on, isNeeded }) {
  parent.hidden = !isNeeded;
  if (parent.childElementCount === 0) {
    parent.append(el("span", {}), el("button", { type: "button", "data-act": "back" }, "Back"), el("button", { type: "button", "data-act": "on" }, "Next"));
  }
  const [label, backButton, onButton] = parent.children;
  setText(label, text);
  backButton.disabled = back === null;
  onButton.disabled = on === null;
  backButton.onclick = back;
  onButton.onclick = on;
}

function startAccounts() {
  byId("accounts-filter").addEventListener("input", (event) => {
    lanesView.filter = event.target.value;
    lanesView.page = 0;
    changed();
  });
  byId("accounts-busy").addEventListener("change", (event) => {
    lanesView.isBusyOnly = event.target.checked;
    lanesView.page = 0;
    changed();
  });
}
