// Everything that is asked before it is done.

let asking = null;

/** Asks for a confirmation; `act(values)` does it, and what it throws is shown in the dialog. */
function confirmThat({ title, text, yes, isDangerous = false, fields = [], act }) {
  asking = act;
  setText(byId("ask-title"), title);
  setText(byId("ask-text"), text);
  byId("ask-fields").replaceChildren(...fields);
  setText(byId("ask-problem"), "");
  const button = byId("ask-yes");
  setText(button, yes);
  button.classList.toggle("danger", isDangerous);
  button.disabled = false;
  byId("ask").showModal();
  (byId("ask-fields").querySelector("input, textarea, select") ?? byId("ask-no")).focus();
}

async function onAskSubmit(event) {
  event.preventDefault();
  const button = byId("ask-yes");
  if (asking === null || button.disabled) return;
  button.disabled = true;
  setText(byId("ask-problem"), "");
  try {
    const said = await asking(Object.fromEntries(new FormData(byId("ask-form"))));
    byId("ask").close();
    say(said);
    refreshSoon();
  } catch (error) {
    setText(byId("ask-problem"), explained(error));
    if (error instanceof Refused && error.status === 401) askToken("The token is not right any more.");
  } finally {
    button.disabled = false;
  }
}

function explained(error) {
  if (error instanceof Refused) return error.message;
  return "The sidecar did not answer, so it is not known whether this was done. Look, then try again.";
}

function textField(label, name, given = {}) {
  return el("label", { class: "field wide" }, label, el("input", { name, type: "text", autocomplete: "off", spellcheck: false, ...given }));
}

function pause(name) {
  confirmThat({
    title: `Pause ${name}?`,
    text: "Nothing more of this account is sent until somebody resumes it, also after a restart. Submissions are still taken; what is in the air lands.",
    yes: "Pause", isDangerous: true,
    act: async () => (await pauseAccount(name), `${name} is paused`),
  });
}

function resume(name) {
  const account = store.accounts.get(name);
  const stopped = account?.stopped ? ` It was stopped: ${account.stopped}.` : "";
  const shared = account !== undefined && !account.is_exclusive ? " It also takes back the finding that somebody else uses the account." : "";
  confirmThat({
    title: `Resume ${name}?`, text: `What waits is sent from now on.${stopped}${shared}`, yes: "Resume",
    act: async () => (await resumeAccount(name), `${name} goes on`),
  });
}

const SETTLED = {
  clear: "is gone; nothing had to be sent", repaid: "had stayed and is repaid now",
  left: "stays, and nothing is under way", pending: "is not gone yet; something is still under way",
};

function settle(name) {
  confirmThat({
    title: `Settle a debt of ${name}?`,
    text: "Looks until the debt of one asset is gone, and repays all that is left of it, interest included. This can take a minute; the account must hold the asset.",
    yes: "Settle", isDangerous: true,
    fields: [
      textField("Asset, such as USDT", "asset", { required: true, pattern: "[A-Z0-9]{1,64}" }),
      textField("Isolated pair, such as BTCUSDT; empty for cross margin", "symbol", { pattern: "[A-Z0-9]{1,20}" }),
    ],
    act: async ({ asset, symbol }) => {
      const { outcome } = await settleDebt(name, symbol === "" ? { asset } : { asset, symbol });
      return `The ${asset} debt of ${name} ${SETTLED[outcome] ?? outcome}.`;
    },
  });
}

function cancel(key) {
  const entry = knownEntry(key);
  confirmThat({
    title: "Cancel this submission?",
    text: `${entry === undefined ? "" : `${entry.account}: ${asked(entry)}. `}${key}. It is taken back unless it has just been sent.`,
    yes: "Cancel it", isDangerous: true,
    act: async () => (takeEntry(await cancelSubmission(key)), `${key} is cancelled`),
  });
}

function resolve(key) {
  const entry = knownEntry(key);
  const what = entry === undefined ? "" : `${entry.account}: ${asked(entry)}, sent ${entry.sent_at_ms === null ? "never" : instant(entry.sent_at_ms, nowMs(), true)}. `;
  const tranId = textField("Its transaction id (tranId)", "tran_id", { inputMode: "numeric", pattern: "[0-9]{1,18}|[1-8][0-9]{18}", required: true });
  const choose = (value, text, isChecked) =>
    el("label", { class: "check" }, el("input", { type: "radio", name: "as", value, checked: isChecked, required: true }), text);
  const fields = el("fieldset", {}, el("legend", {}, "At the exchange it"), choose("CONFIRMED", "was executed"), choose("NOT_EXECUTED", "was not executed"));
  tranId.hidden = true;
  tranId.querySelector("input").disabled = true;
  fields.addEventListener("change", () => {
    const isConfirmed = fields.querySelector("input:checked").value === "CONFIRMED";
    tranId.hidden = !isConfirmed;
    tranId.querySelector("input").disabled = !isConfirmed;
  });
  confirmThat({
    title: "Resolve by hand",
    text: `${what}What you say is what the caller is told, and it is kept with your reason.`,
    yes: "Resolve", isDangerous: true,
    fields: [fields, tranId, el("label", { class: "field wide" }, "How you know", el("textarea", { name: "because", rows: 2, required: true, maxLength: 500 }))],
    act: async (values) => {
      const entry = await resolveSubmission(key, values);
      takeEntry(entry);
      return `${key} is ${entry.state.replaceAll("_", " ")}`;
    },
  });
}

// The token

let tokenGiven = null;

/** Asks for the token; the promise ends once there is one to try. */
function askToken(problem = "") {
  setText(byId("token-problem"), problem);
  if (!byId("token-dialog").open) {
    byId("token-dialog").showModal();
    byId("token").focus();
  }
  tokenGiven ??= Promise.withResolvers ? Promise.withResolvers() : deferred();
  return tokenGiven.promise;
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolved) => (made.resolve = resolved));
  return made;
}

function onTokenSubmit(event) {
  event.preventDefault();
  const given = byId("token").value.trim();
  if (given === "") return;
  byId("token").value = "";
  setToken(given);
  byId("token-dialog").close();
  const waiting = tokenGiven;
  tokenGiven = null;
  waiting?.resolve();
}

function startDialogs() {
  byId("ask-form").addEventListener("submit", onAskSubmit);
  byId("ask-no").addEventListener("click", () => byId("ask").close());
  byId("ask").addEventListener("close", () => (asking = null));
  byId("token-form").addEventListener("submit", onTokenSubmit);
  byId("token-dialog").addEventListener("cancel", (event) => event.preventDefault());
  byId("forget").addEventListener("click", () => {
    setToken(null);
    location.reload();
  });
}
