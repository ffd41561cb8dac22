// One submission: what was asked, every step it took, and what its outcome rests on.

let lifeKey = null;
let lifeTimer = 0;

async function openLife(key) {
  lifeKey = key;
  setText(byId("life-title"), key);
  const known = knownEntry(key);
  byId("life-body").replaceChildren(...(known === undefined ? [el("p", { class: "soft" }, "Asking…")] : lifeParts(known, null)));
  if (!byId("life").open) byId("life").showModal();
  byId("life-close").focus();
  await fillLife(key);
}

async function fillLife(key) {
  try {
    const [entry, history] = await Promise.all([getSubmission(key), getHistory(key)]);
    if (lifeKey !== key) return;
    takeEntry(entry);
    byId("life-body").replaceChildren(...lifeParts(entry, history.changes));
  } catch (error) {
    if (lifeKey === key) byId("life-body").replaceChildren(el("p", { class: "problem", role: "alert" }, explainedRead(error)));
  }
}

function explainedRead(error) {
  return error instanceof Refused ? error.message : "The sidecar does not answer.";
}

/** The open submission changed: read it again, though not for each of many changes. */
function lifeChanged(key) {
  if (key !== lifeKey || !byId("life").open) return;
  clearTimeout(lifeTimer);
  lifeTimer = setTimeout(() => fillLife(key), 250);
}

function lifeParts(entry, changes) {
  const now = nowMs();
  const isOpen = entry.state === "UNKNOWN" || entry.state === "UNRESOLVED";
  const acts = [
    entry.state === "QUEUED" ? actButton("cancel", "Cancel…", () => cancel(entry.key), { class: "danger primary" }) : null,
    isOpen ? actButton("resolve", "Resolve…", () => resolve(entry.key), { class: "primary" }) : null,
  ].filter((each) => each !== null);
  const fact = (name, ...value) => el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
  const optional = (name, value) => (value === null || value === "" ? null : fact(name, value));
  const facts = [
    fact("State", stateOf(entry)), fact("Account", entry.account), fact("What", asked(entry)), fact("Priority", entry.priority),
    optional("Asked for", entry.requested === entry.amount ? "" : entry.requested),
    fact("Submitted", instant(entry.submitted_at_ms, now, true)),
    entry.is_final ? null : fact("No attempt after", instant(entry.deadline_ms, now)),
    fact("Attempts", count(entry.attempts)), optional("Transaction", entry.tran_id_text),
    entry.code === null ? null : fact("Last refusal", `${entry.code} ${entry.name ?? ""}`), optional("The exchange said", entry.message), optional("What helps", entry.advice),
  ].filter((each) => each !== null);
  return [
    acts.length === 0 ? null : el("div", { class: "acts" }, ...acts),
    el("dl", { class: "facts" }, ...facts),
    changes === null || changes.length === 0 ? null : el("h3", {}, "Its life"),
    changes === null ? null : changes.length === 0 ? el("p", { class: "soft" }, "It is archived: its steps are not kept here.") : el("ol", { class: "steps" }, ...changes.map((change, at) => step(change, changes[at - 1], now))),
    entry.evidence.length === 0 ? null : el("h3", {}, "What its outcome rests on"),
    entry.evidence.length === 0 ? null : el("ul", { class: "proof" }, ...entry.evidence.map((proof) =>
      el("li", {}, el("strong", {}, proof.source), ` ${proof.detail} `, el("span", { class: "soft" }, instant(proof.at_ms, now, true))))),
  ].filter((each) => each !== null);
}

function step(change, before, now) {
  const after = before === undefined ? "" : ` · after ${span(change.at_ms - before.at_ms)}`;
  return el("li", {}, stateOf(change), el("span", { class: "at" }, instant(change.at_ms, now, true) + after), change.detail === "" ? null : el("p", { class: "why" }, change.detail));
}

function startLife() {
  byId("life-close").addEventListener("click", () => byId("life").close());
  byId("life").addEventListener("close", () => (lifeKey = null));
}
