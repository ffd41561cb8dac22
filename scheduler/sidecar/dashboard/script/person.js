// What needs a person, and what that person is to do. Decides; touches nothing.

const ENDED_BY_ITSELF = new Set(["unresolved", "account_stopped", "shared_account", "address_banned", "maintenance"]);
// Alarms whose matter can be seen in how things stand now; over there it is over.

const ADVICE = {
  unresolved: "Look at the account's borrow and repay history at the exchange around the time it was sent. If the transaction is there, resolve it as executed with its id; if not, as not executed. Until then the account's other requests of this asset wait, urgent repayments aside.",
  stopped: "The exchange refused this key or account. Put the key, its permissions or its allowed addresses right, then resume. Nothing of this account is sent until then.",
  journal: "Nothing is sent that cannot be kept first. Look at the journal's disk or database: space, permissions, errors. Sending goes on by itself once it can be written.",
  banned: "The exchange takes nothing from this address until then. Find out what else uses it; do not restart, the ban would only be asked for again.",
  firewalled: "The exchange's firewall refuses this address. Find out whether it is blocked, or what else sends from it; it is tried again by itself then.",
  clock: "The exchange's time is not known yet, so nothing is sent. Check that the exchange can be reached from this machine.",
  unchecked: "Whose key this is has not been found out yet. If this lasts, check that the exchange can be reached.",
  paused: "Somebody paused this account. Resume it, or cancel what waits.",
  shared_account: "Somebody else borrows or repays by hand on this account, so a lost answer cannot be told apart from theirs. Stop the other program, then resume; or declare the account exclusive = false.",
  late_record: "Concluded as not executed, and a record turned up after all. Check the account's debt and tell whoever asked: the money may be borrowed twice, or repaid twice.",
  failed_record: "Confirmed to its caller, and the exchange's record says that it failed. Check the debt and tell whoever asked.",
  slow_record: "A record took longer to show than is allowed for. Consider raising limits.visibility_max_ms before trusting proofs of absence.",
  claim_conflict: "A transaction had been matched to one submission and turned out to be another's. The first is being looked for again; check that both end well.",
  key_permissions: "Give the key the permission that is missing at the exchange.",
  journal_past: "The journal failed and may work again. Find out why before it happens for longer.",
  account_stopped: "Look at the account at the exchange.",
  address_banned: "Find out what else uses this address.",
};

/** A name for an alarm, by which a reader's "seen" is remembered. */
function alarmId(alarm) {
  return [alarm.cause, alarm.account ?? "", alarm.key ?? "", alarm.at_ms].join("|");
}

/** Every case that only a person ends, worst first.
 *
 * `unresolved` are entries, `accounts` as the API tells them, `alarms` without doubles, `seen` the
 * ids that were put aside.
 */
function casesFor({ accounts, unresolved, alarms, seen }) {
  const cases = [];
  for (const entry of unresolved) {
    cases.push({
      id: `unresolved|${entry.key}`, level: "bad", title: `${entry.account}: it is not known whether ${entry.kind === "BORROW" ? "a borrow" : "a repayment"} of ${money(entry)} happened`,
      what: `${entry.key}, sent ${entry.sent_at_ms === null ? "never" : "{sent}"}: ${lastEvidence(entry)}`,
      sent_at_ms: entry.sent_at_ms, todo: ADVICE.unresolved, acts: ["resolve", "show"], account: entry.account, key: entry.key,
    });
  }
  const shared = new Map();
  for (const account of accounts) {
    if (account.stopped !== null) {
      cases.push({
        id: `stopped|${account.account}`, level: "bad", title: `${account.account} is stopped`, what: account.stopped,
        todo: ADVICE.stopped, acts: ["resume"], account: account.account,
      });
    }
    for (const hold of account.holds) {
      const waiting = account.queued.urgent + account.queued.normal;
      if (hold.cause === "journal") gather(shared, "journal", account, hold);
      else if (hold.cause === "banned" || hold.cause === "firewalled" || hold.cause === "clock" || hold.cause === "unchecked") gather(shared, hold.cause, account, hold);
      else if (hold.cause === "paused" && waiting > 0) {
        cases.push({
          id: `paused|${account.account}`, level: "notice", title: `${account.account} is paused and ${plural(waiting, "submission")} wait${waiting === 1 ? "s" : ""}`,
          what: "", todo: ADVICE.paused, acts: ["resume"], account: account.account,
        });
      }
    }
  }
  for (const [cause, { names, until }] of shared) cases.push(sharedCase(cause, names, until));
  const standing = new Map(accounts.map((account) => [account.account, account]));
  for (const alarm of alarms) {
    const id = alarmId(alarm);
    if (!isOpen(alarm, standing, seen, id)) continue;
    const isShared = alarm.cause === "shared_account";
    const isNotice = alarm.cause === "slow_record" || alarm.cause === "journal" || alarm.cause === "key_permissions";
    cases.push({
      id, level: isNotice ? "notice" : "bad", title: alarmTitle(alarm), what: alarm.message, at_ms: alarm.at_ms,
      todo: ADVICE[alarm.cause === "journal" ? "journal_past" : alarm.cause] ?? "Read the message, and docs/operation.md.",
      acts: [...(isShared ? ["resume"] : ["seen"]), ...(alarm.key === null ? [] : ["show"])],
      account: alarm.account, key: alarm.key,
    });
  }
  return cases.sort((one, other) => (one.level === other.level ? 0 : one.level === "bad" ? -1 : 1));
}

function gather(shared, cause, account, hold) {
  const known = shared.get(cause) ?? { names: [], until: null };
  known.names.push(account.account);
  known.until = hold.until_ms === null ? known.until : Math.max(known.until ?? 0, hold.until_ms);
  shared.set(cause, known);
}

function sharedCase(cause, names, until) {
  const titles = {
    journal: "The journal cannot be written", banned: "The exchange has banned this address",
    firewalled: "The exchange's firewall refuses this address", clock: "The exchange's time is not known",
    unchecked: "Keys are not checked yet",
  };
  const who = names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
  const isBad = cause !== "clock" && cause !== "unchecked";
  return { id: cause, level: isBad ? "bad" : "notice", title: titles[cause], what: `Nothing is sent of ${who}.`, until_ms: until, todo: ADVICE[cause], acts: [], account: null };
}

/** Whether an alarm still asks for somebody. */
function isOpen(alarm, standing, seen, id) {
  if (seen.has(id)) return false;
  const account = standing.get(alarm.account);
  if (alarm.cause === "shared_account") return account !== undefined && !account.is_exclusive;
  if (alarm.cause === "journal") return account === undefined || !account.holds.some((hold) => hold.cause === "journal");
  return !ENDED_BY_ITSELF.has(alarm.cause);
}

function alarmTitle(alarm) {
  const where = alarm.account === null ? "" : `${alarm.account}: `;
  const titles = {
    late_record: "a record turned up late", failed_record: "a confirmed transaction failed", slow_record: "records are slow to show",
    claim_conflict: "two submissions, one transaction", shared_account: "somebody else uses this account", journal: "the journal failed",
    key_permissions: "the key may not do this",
  };
  return where + (titles[alarm.cause] ?? alarm.cause.replaceAll("_", " "));
}

function lastEvidence(entry) {
  const last = entry.evidence.at(-1);
  return last === undefined ? "" : last.detail;
}

/** The one line that says how things stand. */
function verdictOf({ cases, lost, isKnown, isOld }) {
  // Nobody may take what was so a while ago for what is so.
  if (isOld) return { state: "unknown", sign: "?", text: "How things stand is not known" };
  if (!isKnown) return { state: "unknown", sign: "…", text: "Asking…" };
  if (cases.length > 0) return { state: "needed", sign: "!", text: `${plural(cases.length, "thing")} need${cases.length === 1 ? "s" : ""} a person` };
  if (lost > 0) return { state: "looking", sign: "?", text: "Nothing needs a person" };
  return { state: "calm", sign: "✓", text: "Nothing needs a person" };
}
