// Everything that was ever asked for, newest first, a page at a time.

const PAGE = 25;
const AGAIN_MS = 2_000;
const STATES = ["QUEUED", "SENT", "ACCEPTED", "UNKNOWN", "UNRESOLVED", "CONFIRMED", "REJECTED", "NOT_EXECUTED", "EXPIRED", "CANCELLED"];
const search = { key: "", account: "", asset: "", state: "", cursors: [null], next: null, entries: [], number: 0, isNews: false, askedAt: 0, problem: "" };

/** Whether an entry belongs to what is being looked at. */
function matches(entry, { account, asset, state }) {
  return (account === "" || entry.account === account) && (asset === "" || entry.asset === asset) && (state === "" || entry.state === state);
}

async function findSubmissions() {
  const number = ++search.number;
  search.isNews = false;
  search.askedAt = performance.now();
  try {
    const answer = search.key === ""
      ? await getSubmissions({ account: search.account, asset: search.asset, state: search.state, limit: PAGE, after: search.cursors.at(-1) })
      : { submissions: [await getSubmission(search.key)], next: null };
    if (number !== search.number) return; // another search was made meanwhile
    answer.submissions.forEach(takeEntry);
    search.entries = answer.submissions.map(latest);
    search.next = answer.next;
    search.problem = "";
  } catch (error) {
    if (number !== search.number) return;
    search.entries = [];
    search.next = null;
    search.problem = explainedRead(error);
  }
  changed();
}

/** The entry as it is known now: an event may have been quicker. */
function latest(entry) {
  const known = store.entries.get(entry.key);
  return known !== undefined && known.version > entry.version ? known : entry;
}

/** An entry changed: it is shown as it is now, and a new one has the first page asked for again. */
function submissionChanged(entry) {
  const at = search.entries.findIndex((each) => each.key === entry.key);
  if (at >= 0) search.entries[at] = latest(entry);
  else if (search.cursors.length === 1 && search.key === "" && matches(entry, search)) search.isNews = true;
}

function refreshSubmissions() {
  if (search.isNews && performance.now() - search.askedAt > AGAIN_MS) findSubmissions();
}

function showSubmissions() {
  const body = byId("submissions-rows");
  const page = search.cursors.length;
  setRows(body, search.entries.map((entry) => ({ id: entry.key, mark: String(entry.version), make: () => submissionRow(entry) })));
  if (search.entries.length === 0) {
    const text = search.problem || "Nothing fits.";
    setRows(body, [{ id: "nothing", mark: text, make: () => el("tr", { role: "row" }, el("td", { role: "cell", colSpan: 8, class: "nothing" }, text)) }]);
  }
  setText(byId("submissions-count"), page > 1 ? `page ${page}` : search.entries.length === 0 ? "" : "newest first");
  showPager(byId("submissions-pager"), "", {
    isNeeded: page > 1 || search.next !== null,
    back: page > 1 ? () => turn(search.cursors.slice(0, -1)) : null,
    on: search.next === null ? null : () => turn([...search.cursors, search.next]),
  });
  const select = byId("by-account");
  if (select.options.length !== store.accounts.size + 1) {
    select.replaceChildren(el("option", { value: "" }, "all"), ...[...store.accounts.keys()].map((name) => el("option", { value: name }, name)));
    select.value = search.account;
  }
}

function turn(cursors) {
  search.cursors = cursors;
  findSubmissions();
}

function submissionRow(entry) {
  const now = nowMs();
  const answer = entry.tran_id_text !== null ? `transaction ${entry.tran_id_text}` : entry.code === null ? "" : `${entry.code} ${entry.message ?? ""}`;
  const waited = entry.attempts <= 1 && entry.sent_at_ms !== null ? span(entry.sent_at_ms - entry.submitted_at_ms) : "";
  return el("tr", { role: "row" },
    cell("Key", {}, actButton("open", entry.key, () => openLife(entry.key), { class: "plain key", title: entry.key })),
    cell("Account", {}, entry.account),
    cell("What", {}, asked(entry), entry.priority === "urgent" ? el("span", { class: "urgent" }, " urgent") : ""),
    cell("State", {}, stateOf(entry)),
    cell("Submitted", {}, instant(entry.submitted_at_ms, now)),
    cell("Waited", { class: "number" }, ...(waited === "" ? [] : [waited])),
    cell("Attempts", { class: "number" }, count(entry.attempts)),
    cell("Answer", { class: "answer" }, ...(answer === "" ? [] : [answer])));
}

function startSubmissions() {
  byId("by-state").append(...STATES.map((state) => el("option", { value: state }, state.replaceAll("_", " "))));
  const read = () => {
    Object.assign(search, { key: byId("by-key").value.trim(), account: byId("by-account").value, asset: byId("by-asset").value.trim().toUpperCase(), state: byId("by-state").value, cursors: [null] });
    findSubmissions();
  };
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    read();
  });
  byId("search").addEventListener("reset", () => setTimeout(read));
  for (const id of ["by-account", "by-state"]) byId(id).addEventListener("change", read);
}
