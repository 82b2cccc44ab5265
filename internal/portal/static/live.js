// Appends facts to the table of /o/live as they come. The page works without it.
"use strict";
(() => {
  const list = document.getElementById("live");
  const said = document.getElementById("live-state");
  const pause = document.getElementById("live-pause");
  if (!list || !said || !pause || !window.EventSource) return;
  const most = 200;
  const kept = [];
  let paused = false;
  let lost = false;

  const part = (name, text, kind) => {
    const e = document.createElement(name);
    if (kind) e.className = kind;
    e.textContent = text;
    return e;
  };
  const cell = (label) => {
    const td = document.createElement("td");
    td.dataset.label = label;
    return td;
  };
  const row = (f) => {
    const tr = document.createElement("tr");
    const at = cell(list.dataset.at);
    at.append(part("time", f.at));
    const what = cell(list.dataset.what);
    what.append(part("span", f.word, "badge " + f.level));
    const message = cell(list.dataset.message);
    if (f.url) {
      const a = part("a", f.subject || f.word);
      a.href = f.url;
      message.append(a);
    } else {
      message.append(f.subject);
    }
    message.append(part("span", [f.from, f.to].filter(Boolean).join(" → "), "line quiet"));
    const whose = cell(list.dataset.whose);
    whose.append(f.customer);
    const text = cell(list.dataset.text);
    text.append(f.text);
    tr.append(at, what, message, whose, text);
    return tr;
  };
  const show = () => {
    if (paused) return;
    const rows = kept.splice(0).map(row).reverse();
    list.prepend(...rows);
    while (list.rows.length > most) list.deleteRow(-1);
  };
  const tell = (text) => { said.textContent = lost ? text + " " + said.dataset.lost : text; };

  const source = new EventSource(list.dataset.stream);
  source.addEventListener("open", () => tell(paused ? said.dataset.paused : said.dataset.open));
  source.addEventListener("fact", (e) => {
    kept.push(JSON.parse(e.data));
    if (kept.length > most) {
      kept.shift();
    }
    show();
  });
  source.addEventListener("dropped", () => { lost = true; tell(paused ? said.dataset.paused : said.dataset.open); });
  source.addEventListener("error", () => tell(source.readyState === EventSource.CLOSED ? said.dataset.closed : said.dataset.again));
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    tell(paused ? said.dataset.paused : said.dataset.open);
    show();
  });
})();
