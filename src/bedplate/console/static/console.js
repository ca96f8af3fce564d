// The console's own script: times, keys, the palette, and pages that stay up to date. Without it, everything still works.
"use strict";
(() => {
  const body = document.body;
  const base = body.dataset.base;
  const $ = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) value === true ? made.setAttribute(key, "") : made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // --- Times: relative ones stay true, and exact ones are said in local time as well.
  const spans = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const spoken = (seconds) => {
    if (Math.abs(seconds) < 2) return "just now";
    const [length, unit] = spans.find(([size]) => Math.abs(seconds) >= size);
    const said = `${Math.floor(Math.abs(seconds) / length)} ${unit}`;
    return seconds > 0 ? `${said} ago` : `in ${said}`;
  };
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts().find((part) => part.type === "timeZoneName")?.value ?? "local";
  const tellTimes = (from = document) => {
    const now = Date.now();
    for (const time of all("time[datetime]", from)) {
      const moment = Date.parse(time.dateTime);
      if (Number.isNaN(moment)) continue;
      if (!time.dataset.told) {
        time.dataset.told = "1";
        time.title = `${time.title}\n${local.format(moment)} ${zone}`;
      }
      if ("relative" in time.dataset) {
        const text = (time.dataset.prefix ?? "") + spoken((now - moment) / 1000);
        if (time.textContent !== text) time.textContent = text;
      }
    }
  };
  tellTimes();
  setInterval(tellTimes, 5000);
  document.addEventListener("htmx:after:swap", () => tellTimes());

  // --- Live: one stream a tab, closed while nobody looks, and honest about not being live.
  const said = (text, live) => all("[data-live]").forEach((place) => {
    place.hidden = false;
    place.classList.toggle("is-live", live);
    $("[data-live-text]", place).textContent = text;
  });
  const listeners = new Map();
  let stream = null, retry = 0, timer = 0, last = "";
  const topics = () => [...new Set(all("[data-topic]").map((place) => place.dataset.topic))];
  const close = () => { clearTimeout(timer); stream?.close(); stream = null; };
  const open = () => {
    close();
    const wanted = topics();
    if (!wanted.length || document.hidden || !window.EventSource) return;
    const query = new URLSearchParams();
    wanted.forEach((topic) => query.append("topic", topic));
    if (last) query.set("after", last);
    stream = new EventSource(`${base}/live?${query}`);
    let opened = false;
    stream.addEventListener("open", () => { opened = true; retry = 0; said("Live", true); });
    stream.addEventListener("part", (event) => {
      last = event.lastEventId || last;
      const { topic, html, data } = JSON.parse(event.data);
      for (const place of all(`[data-topic="${CSS.escape(topic)}"]`)) {
        if (html !== undefined && !place.matches(":has(:focus-visible)")) htmx.swap({ text: html, sourceElement: place, target: place, swap: place.dataset.swap ?? "innerMorph" }).then(() => tellTimes(place));
        if (data !== undefined) (listeners.get(place) ?? listeners.get(topic))?.(data, place);
      }
    });
    stream.addEventListener("full", () => { close(); said("Not live: too many viewers", false); });
    stream.addEventListener("error", () => {
      close();
      said("Not live: reconnecting", false);
      // The stream itself does not tell why it is refused; one that was open has broken off, and is opened again.
      if (!opened) fetch(`${base}/live?topic=${encodeURIComponent(wanted[0])}`, { method: "HEAD" }).then((answer) => {
        if (answer.status === 401 || answer.redirected) { close(); signedOut(); }
      }, () => {});
      timer = setTimeout(open, Math.min(30000, 1000 * 2 ** retry++) * (0.75 + Math.random() / 2));
    });
  };
  const signedOut = () => {
    said("Not live: signed out", false);
    const notes = $("#notes");
    if (!notes || $("[data-signed-out]", notes)) return;
    const next = location.pathname.slice(base.length) + location.search;
    const link = element("a", { href: `${base}/sign-in?${new URLSearchParams({ next })}` }, "Sign in again");
    notes.prepend(element("p", { class: "note tone-warn", "data-signed-out": true }, element("span", {}, "You are signed out. ", link, " to come back to this page.")));
  };
  listeners.set("badges", (counts) => {
    for (const [name, [count, tone]] of Object.entries(counts)) for (const place of all(`[data-badge="${CSS.escape(name)}"]`)) {
      place.hidden = !count;
      place.textContent = count;
      place.className = `nav-count tone-${tone}`;
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); said("Paused while hidden", false); } else open();
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  window.bedplate = { base, on: (key, listener) => listeners.set(key, listener), reopen: open, element, all };

  // --- Keys
  const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");
  let going = 0;
  document.addEventListener("keydown", (event) => {
    const command = (event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k";
    if (command) { event.preventDefault(); palette(); return; }
    if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target) || $("dialog[open]")) return;
    if (Date.now() - going < 1500) {
      going = 0;
      const link = $(`.nav-wide a[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); location.assign(link.href); return; }
    }
    if (event.key === "g") going = Date.now();
    else if (event.key === "/") { event.preventDefault(); palette(); }
    else if (event.key === "?") { event.preventDefault(); help(); }
    else if (event.key === "j" || event.key === "k") {
      const links = all("main .row-link, main .log summary, main .waterfall summary").filter((link) => link.offsetParent);
      if (!links.length) return;
      const at = links.indexOf(document.activeElement);
      links[Math.max(0, Math.min(links.length - 1, at + (event.key === "j" ? 1 : -1)))].focus();
    }
  });

  // --- Palette
  let dialog = null;
  function palette() {
    if (!dialog) {
      const input = element("input", { type: "search", placeholder: "Search pages, components, metrics, alerts, ids …", "aria-label": "Search", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-results", autocomplete: "off", spellcheck: "false" });
      const list = element("ul", { class: "results", id: "palette-results", role: "listbox", "aria-label": "Results" });
      dialog = element("dialog", { class: "palette", "aria-label": "Search or jump to" }, input, list);
      body.append(dialog);
      let chosen = 0, latest = 0, delay = 0;
      const mark = () => all("a", list).forEach((link, at) => {
        link.setAttribute("aria-selected", String(at === chosen));
        if (at === chosen) { link.scrollIntoView({ block: "nearest" }); input.setAttribute("aria-activedescendant", link.id); }
      });
      const look = async () => {
        const mine = ++latest;
        const answer = await fetch(`${base}/search?${new URLSearchParams({ q: input.value, part: "1" })}`, { headers: { "HX-Request": "true" } });
        if (mine !== latest || !answer.ok) return;
        list.innerHTML = await answer.text();
        all("a", list).forEach((link, at) => { link.id = `palette-${at}`; link.setAttribute("role", "option"); link.parentElement.setAttribute("role", "presentation"); link.tabIndex = -1; });
        chosen = 0;
        mark();
      };
      input.addEventListener("input", () => { clearTimeout(delay); delay = setTimeout(look, 80); });
      input.addEventListener("keydown", (event) => {
        const links = all("a", list);
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
          event.preventDefault();
          chosen = (chosen + (event.key === "ArrowDown" ? 1 : links.length - 1)) % Math.max(1, links.length);
          mark();
        } else if (event.key === "Enter" && links[chosen]) { event.preventDefault(); location.assign(links[chosen].href); }
      });
      dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
      dialog.look = look;
      dialog.input = input;
    }
    dialog.showModal();
    dialog.input.select();
    dialog.look();
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette]") && !event.metaKey && !event.ctrlKey) { event.preventDefault(); palette(); }
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      navigator.clipboard?.writeText(copy.dataset.copy === "address" ? location.href : copy.dataset.copy);
      const before = copy.lastChild.textContent;
      copy.lastChild.textContent = " Copied";
      setTimeout(() => { copy.lastChild.textContent = before; }, 1500);
    }
  });

  // --- Help
  let helping = null;
  function help() {
    if (!helping) {
      const list = element("dl");
      const rows = [["/", "Search or jump anywhere"], ["j k", "Next and previous line of a list"], ["?", "This help"], ...all(".nav-wide a[data-go]").map((link) => [`g ${link.dataset.go}`, link.querySelector("span").textContent])];
      for (const [keys, text] of rows) list.append(element("dt", {}, ...keys.split(" ").flatMap((key, at) => [at ? " " : "", element("kbd", {}, key)])), element("dd", {}, text));
      helping = element("dialog", { class: "help", "aria-label": "Keys" }, element("h2", {}, "Keys"), list);
      helping.addEventListener("click", (event) => { if (event.target === helping) helping.close(); });
      body.append(helping);
    }
    helping.showModal();
  }

  // --- The log, followed: the list becomes a part that is kept up to date.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-follow]");
    if (!button) return;
    const follows = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(follows));
    button.lastChild.textContent = follows ? " Following" : " Follow";
    follow(follows);
  });
  const follow = (follows) => {
    for (const place of all("[data-log]")) {
      if (follows) { place.dataset.topic = place.dataset.log; place.closest("[data-log-card]").hidden = false; } else delete place.dataset.topic;
    }
    open();
  };
  document.addEventListener("htmx:after:swap", (event) => {
    if ($("[data-follow][aria-pressed=true]") && $("[data-log]:not([data-topic])")) follow(true);
  });

  // --- Small things
  all("[data-needs-script]").forEach((place) => { place.hidden = false; });
  document.addEventListener("change", (event) => { if (event.target.matches("[data-submit]")) event.target.form.requestSubmit(); });
  document.addEventListener("DOMContentLoaded", open);
})();
