// Expressions: completion from what the service declares, Enter to evaluate, another expression.
"use strict";
(() => {
  const { all, element } = window.bedplate;
  const form = document.querySelector("[data-queries]");
  if (!form) return;
  const functions = "rate increase irate delta idelta deriv changes resets histogram_quantile quantile_over_time avg_over_time sum_over_time min_over_time max_over_time count_over_time last_over_time stddev_over_time present_over_time absent absent_over_time abs ceil floor round sqrt exp ln log2 log10 clamp clamp_min clamp_max scalar vector time timestamp sort sort_desc label_replace label_join predict_linear sum avg min max count stddev stdvar topk bottomk quantile group count_values by without on ignoring group_left group_right bool offset and or unless".split(" ");
  let metrics = null;
  const known = async () => (metrics ??= (await (await fetch(form.dataset.completion)).json()).metrics);
  const list = element("ul", { class: "complete", role: "listbox", id: "completion", "aria-label": "Completion" });
  let field = null, offers = [], chosen = 0;
  const hide = () => { list.remove(); offers = []; field?.removeAttribute("aria-activedescendant"); field?.removeAttribute("aria-controls"); };
  const word = () => {
    const before = field.value.slice(0, field.selectionStart);
    const inside = /([a-zA-Z_:][\w:]*)?\{([^}]*)$/.exec(before);
    if (inside) {
      const value = /(\w+)\s*(?:=~?|!~|!=)\s*"([^"]*)$/.exec(inside[2]);
      if (value) return { kind: "value", label: value[1], metric: inside[1], text: value[2] };
      return { kind: "label", metric: inside[1], text: /\w*$/.exec(inside[2])[0] };
    }
    return { kind: "name", text: /[a-zA-Z_:][\w:]*$/.exec(before)?.[0] ?? "" };
  };
  const find = async () => {
    const all = await known();
    const at = word();
    const needle = at.text.toLowerCase();
    if (at.kind === "name") {
      if (needle.length < 2) return [];
      const rank = (name) => (name.startsWith(needle) ? 0 : 1);
      return [...functions.filter((name) => name.startsWith(needle)).map((name) => ({ text: name, about: "function" })), ...all.filter((one) => one.name.toLowerCase().includes(needle)).map((one) => ({ text: one.name, about: one.help })).sort((a, b) => rank(a.text) - rank(b.text))].slice(0, 40);
    }
    const metric = all.find((one) => one.name === at.metric);
    if (at.kind === "label") return (metric?.labels ?? [...new Set(all.flatMap((one) => one.labels))]).filter((name) => name.startsWith(at.text)).map((name) => ({ text: name, about: "label" }));
    return (metric?.values[at.label] ?? []).filter((value) => value.toLowerCase().includes(needle)).map((value) => ({ text: value, about: at.label }));
  };
  const mark = () => all("li", list).forEach((item, number) => {
    item.setAttribute("aria-selected", String(number === chosen));
    if (number === chosen) { item.scrollIntoView({ block: "nearest" }); field.setAttribute("aria-activedescendant", item.id); }
  });
  const take = (offer) => {
    const text = word().text, end = field.selectionStart, start = end - text.length;
    field.setRangeText(offer.text, start, end, "end");
    hide();
    field.focus();
  };
  const show = async () => {
    offers = await find();
    if (!offers.length || (offers.length === 1 && offers[0].text === word().text)) return hide();
    chosen = 0;
    list.replaceChildren(...offers.map((offer, number) => {
      const item = element("li", { role: "option", id: `completion-${number}` }, element("code", {}, offer.text), element("span", { class: "faint" }, offer.about));
      item.addEventListener("mousedown", (event) => { event.preventDefault(); take(offer); });
      return item;
    }));
    field.parentElement.append(list);
    field.setAttribute("aria-controls", "completion");
    mark();
  };
  const fit = (area) => { area.style.height = "auto"; area.style.height = `${area.scrollHeight + 2}px`; };
  const adopt = (area) => {
    area.setAttribute("aria-autocomplete", "list");
    area.setAttribute("aria-haspopup", "listbox");
    fit(area);
    area.addEventListener("focus", () => { field = area; });
    area.addEventListener("input", () => { field = area; fit(area); show(); });
    area.addEventListener("blur", hide);
    area.addEventListener("keydown", (event) => {
      if (offers.length) {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); chosen = (chosen + (event.key === "ArrowDown" ? 1 : offers.length - 1)) % offers.length; mark(); return; }
        if (event.key === "Tab" || (event.key === "Enter" && !event.shiftKey)) { event.preventDefault(); take(offers[chosen]); return; }
        if (event.key === "Escape") { event.preventDefault(); hide(); return; }
      }
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); }
    });
  };
  all(".query", form).forEach(adopt);
  const add = form.querySelector("[data-add]");
  add.hidden = false;
  add.type = "button";
  add.addEventListener("click", () => {
    const number = all(".query", form).length + 1;
    const area = element("textarea", { class: "code query", id: `q${number}`, name: "q", rows: "2", spellcheck: "false", "aria-label": `Expression ${number}` });
    all(".asks", form).at(-1).after(element("div", { class: "asks" }, area));
    adopt(area);
    area.focus();
  });
  document.addEventListener("bedplate:zoom", (event) => {
    const { from, to } = event.detail;
    const fits = [["5m", 300], ["15m", 900], ["30m", 1800], ["1h", 3600], ["3h", 10800], ["6h", 21600], ["12h", 43200], ["24h", 86400]].find(([, size]) => size >= to - from);
    form.elements.range.value = fits?.[0] ?? "24h";
    form.elements.at.value = new Date(to * 1000).toISOString().slice(0, 19);
    form.requestSubmit();
  });
})();
