// Asks the sidecar. The token travels in a header, and is kept for this tab alone.

const TOKEN_NAME = "margin-scheduler.token";
const PATIENCE_MS = 10_000;
const SETTLE_PATIENCE_MS = 90_000; // it answers once the debt is gone, or after a minute

class Refused extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

function token() {
  try {
    return sessionStorage.getItem(TOKEN_NAME);
  } catch {
    return heldToken;
  }
}
let heldToken = null;

function setToken(value) {
  heldToken = value;
  try {
    if (value === null) sessionStorage.removeItem(TOKEN_NAME);
    else sessionStorage.setItem(TOKEN_NAME, value);
  } catch {
    // A browser without storage holds it until the page is closed.
  }
}

function headers(more = {}) {
  const given = token();
  return given === null ? more : { ...more, Authorization: `Bearer ${given}` };
}

/** The JSON of an answer. Throws Refused for a problem, TypeError where nobody answers. */
async function ask(method, path, body, patienceMs = PATIENCE_MS) {
  const response = await fetch(path, {
    method,
    headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(patienceMs),
  });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  return new Refused(response.status, problem.code ?? "", problem.detail ?? `the sidecar answered ${response.status}`);
}

function query(values) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value) given.set(name, value);
  const text = given.toString();
  return text === "" ? "" : `?${text}`;
}

const submissionPath = (key) => `/v1/submissions/${encodeURIComponent(key)}`;
const accountPath = (name) => `/v1/accounts/${encodeURIComponent(name)}`;

const getAccounts = () => ask("GET", "/v1/accounts");
const getSubmissions = (values) => ask("GET", `/v1/submissions${query(values)}`);
const getSubmission = (key) => ask("GET", submissionPath(key));
const getHistory = (key) => ask("GET", `${submissionPath(key)}/history`);
const pauseAccount = (name) => ask("POST", `${accountPath(name)}/pause`);
const resumeAccount = (name) => ask("POST", `${accountPath(name)}/resume`);
const settleDebt = (name, wanted) => ask("POST", `${accountPath(name)}/settle-debt`, wanted, SETTLE_PATIENCE_MS);
const cancelSubmission = (key) => ask("DELETE", submissionPath(key));
const resolveSubmission = (key, how) => ask("POST", `${submissionPath(key)}/resolve`, how);
const getDescription = () => ask("GET", "/openapi.json");
