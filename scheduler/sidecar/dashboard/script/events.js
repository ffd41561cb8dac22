// Server-sent events out of a stream of text, however it is cut into pieces. Read by hand, because
// a browser's own reader cannot send the token in a header.

const REST_MAX = 4 * 1024 * 1024;

/** `feed(text)` gives the events that are complete; `lastId` is where to resume. */
function eventReader(lastId = null) {
  let rest = "";
  let name = "";
  let data = [];
  const reader = { lastId, feed };
  return reader;

  function feed(text) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    if (rest.length > REST_MAX) throw new Error("an event has no end");
    const events = [];
    for (const line of lines) take(line.endsWith("\r") ? line.slice(0, -1) : line, events);
    return events;
  }

  function take(line, events) {
    if (line === "") {
      if (data.length > 0) events.push({ name: name || "message", data: data.join("\n") });
      name = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
    else if (field === "id") reader.lastId = value;
  }
}
