// Small ways to make and change what is shown. Text is only ever set as text.

const byId = (id) => document.getElementById(id);

/** An element; `given` has its properties, `class`, `role`, `aria-*` and `data-*` as attributes. */
function el(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (key === "onclick") made.addEventListener("click", value);
    else if (key === "class" || key === "role" || key === "scope" || key.includes("-")) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Changes text only where it differs, so that nothing is laid out, or read aloud, for nothing. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Rows by key: those that stay are kept, with the focus in them; only what changed is made anew.
 *
 * `items` are {id, mark, make}: `mark` is a string that differs where the row has to.
 */
function setRows(parent, items) {
  const known = new Map();
  for (const row of parent.children) known.set(row.dataset.id, row);
  const wanted = new Set(items.map((item) => item.id));
  for (const [id, row] of known) if (!wanted.has(id)) row.remove();
  items.forEach(({ id, mark, make }, index) => {
    let row = known.get(id);
    if (row === undefined || row.dataset.mark !== mark) {
      const made = make();
      made.dataset.id = id;
      made.dataset.mark = mark;
      if (row !== undefined) keepFocus(row, made);
      row = made;
    }
    if (parent.children[index] !== row) parent.insertBefore(row, parent.children[index] ?? null);
  });
}

function keepFocus(row, made) {
  const focused = row.contains(document.activeElement) ? document.activeElement.dataset.act : undefined;
  row.replaceWith(made);
  if (focused !== undefined) made.querySelector(`[data-act="${focused}"]`)?.focus();
}

function actButton(act, text, onclick, more = {}) {
  return el("button", { type: "button", "data-act": act, onclick, ...more }, text);
}

function stateOf(entry) {
  return el("span", { class: "state", "data-state": entry.state }, entry.state.replaceAll("_", " "));
}

/** A cell that says its column's name where the table is a list, on a phone. */
function cell(head, given, ...children) {
  const made = el("td", { role: "cell", "data-head": head, ...given }, ...children);
  if (made.childNodes.length === 0) made.dataset.empty = "";
  return made;
}

/** Puts anew what a cell shows, if that differs; buttons that stay can be pressed all the while. */
function setCell(node, mark, make) {
  if (node.dataset.mark === mark) return;
  node.dataset.mark = mark;
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.act : undefined;
  node.replaceChildren(...make().filter((child) => child !== null));
  if (node.childNodes.length === 0) node.dataset.empty = "";
  else delete node.dataset.empty;
  if (focused !== undefined) node.querySelector(`[data-act="${focused}"]`)?.focus();
}

/** Text that counts up from, or down to, a time of the exchange; `tick` moves them all. */
const since = (ms, given = {}) => el("span", { "data-since": String(ms), ...given }, duration(nowMs() - ms));
const until = (ms, given = {}) => el("span", { "data-until": String(ms), ...given }, remaining(ms - nowMs(), given["data-over"]));

/** What is over and not yet seen to is due. */
function remaining(ms, over = "due") {
  return ms > 0 ? duration(ms) : over;
}

function tick() {
  const now = nowMs();
  for (const node of document.querySelectorAll("[data-since], [data-until]")) {
    const { since: from, until: to, over } = node.dataset;
    setText(node, from === undefined ? remaining(Number(to) - now, over) : duration(now - Number(from)));
  }
}

let saidTimer = 0;

/** Says in passing what was done. */
function say(text) {
  byId("said").textContent = text;
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => byId("said").replaceChildren(), 6_000);
}
