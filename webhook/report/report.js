"use strict";
// What stands in the page comes from a cluster, so nothing is ever put in as HTML: text only.
const data = JSON.parse(document.getElementById("data").textContent);
const LEVELS = ["certain", "likely", "advisory", "unknown"];
const CHUNK = 100;
const $ = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
const number = (value) => value.toLocaleString("en");
const plural = (value, word) => `${number(value)} ${word}${value === 1 ? "" : "s"}`;

// --- state -----------------------------------------------------------------------------------------------------
const state = { words: [], levels: new Set(), failing: false, denied: false, namespace: "", registry: "", code: "" };
const findings = data.findings;
for (const [index, one] of findings.entries()) {
  one.index = index;
  one.text = [one.code, one.name, one.confidence, one.message, one.fix, one.image, one.container, one.registry, one.seen,
    one.object.kind, `${one.object.namespace}/${one.object.name}`].join(" ").toLowerCase();
}
let shown = findings;
let drawn = 0;

const matches = (one) =>
  (!state.levels.size || state.levels.has(one.confidence)) &&
  (!state.failing || one.failingPods > 0) && (!state.denied || one.wouldBeDenied) &&
  (!state.namespace || one.object.namespace === state.namespace) &&
  (!state.registry || one.registry === state.registry) && (!state.code || one.code === state.code) &&
  state.words.every((word) => one.text.includes(word));

function refresh() {
  shown = findings.filter(matches);
  drawn = 0;
  $("findings").replaceChildren();
  drawMore();
  $("count").value = shown.length === findings.length
    ? plural(findings.length, "finding") : `${number(shown.length)} of ${plural(findings.length, "finding")}`;
  for (const button of document.querySelectorAll("[data-filter]")) {
    const [kind, value] = JSON.parse(button.dataset.filter);
    const on = kind === "level" ? state.levels.has(value) : value === true ? state[kind] : state[kind] === value;
    button.setAttribute("aria-pressed", String(on));
  }
  for (const kind of ["namespace", "registry", "code"]) $(kind).value = state[kind];
}

function toggle(kind, value) {
  if (kind === "level") state.levels.has(value) ? state.levels.delete(value) : state.levels.add(value);
  else if (value === true) state[kind] = !state[kind];
  else state[kind] = state[kind] === value ? "" : value;
  refresh();
}

function clear() {
  Object.assign(state, { words: [], failing: false, denied: false, namespace: "", registry: "", code: "" });
  state.levels.clear();
  $("search").value = "";
  refresh();
}

// --- findings --------------------------------------------------------------------------------------------------
function drawMore() {
  const part = document.createDocumentFragment();
  for (const one of shown.slice(drawn, drawn + CHUNK)) part.append(drawFinding(one));
  drawn = Math.min(drawn + CHUNK, shown.length);
  if (!shown.length) part.append(make("li", { class: "nothing" }, findings.length ? "nothing matches" : "no findings"));
  $("findings").append(part);
  $("more").hidden = drawn >= shown.length;
  $("more").textContent = `${number(shown.length - drawn)} more`;
}

function drawFinding(one) {
  const object = one.object;
  const where = `${object.kind} ${object.namespace ? `${object.namespace}/` : ""}${object.name}` +
    (one.container ? `, container ${one.container}` : "");
  const now = make("span", { class: "state" }, one.pods ? plural(one.pods, "pod") : "");
  if (one.failingPods) now.append(make("span", { class: "tag certain" }, `${number(one.failingPods)} failing now`));
  if (one.wouldBeDenied) now.append(make("span", { class: "tag likely" }, "would be denied"));
  const head = make("button", { type: "button", class: "head", "aria-expanded": "false", onclick: () => open(item, one) },
    make("span", { class: "what" }, make("span", { class: `word ${one.confidence}` }, one.confidence), ` ${one.code} `, ...code(one.message)),
    now,
    make("span", { class: "where" }, where, one.image ? ` · ${one.image}` : ""));
  const item = make("li", { class: one.confidence, "data-index": one.index }, head);
  return item;
}

function open(item, one) {
  const head = item.firstElementChild;
  const isOpen = head.getAttribute("aria-expanded") === "true";
  head.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) item.lastElementChild.remove();
  else item.append(drawBody(one));
}

function drawBody(one) {
  const list = make("dl");
  const row = (word, ...content) => list.append(make("dt", {}, word), make("dd", {}, ...content));
  row("check", `${one.code} ${one.name}, ${one.confidence}`);
  row("what", ...code(one.message));
  if (one.fix) {
    row("fix", make("span", { class: "fix" }, ...code(one.fix)),
      make("button", { type: "button", class: "copy", onclick: (event) => copy(one, event.currentTarget) }, "copy"));
  }
  if (one.image) row("image", make("code", {}, one.image));
  if (one.seen) row("saw", one.seen);
  if (one.evidence.length) row("because", make("ul", {}, ...one.evidence.map((line) => make("li", {}, ...code(line)))));
  row("where", make("code", {}, one.field));
  const now = [one.pods ? plural(one.pods, "pod") : "no pod now"];
  if (one.failingPods) now.push(`${number(one.failingPods)} waiting for the image`);
  if (one.wouldBeDenied) now.push("would be denied at its next re-creation");
  row("now", now.join(", "));
  row("heals by", { object: "a change of this object", cluster: "Secrets, ServiceAccounts or nodes", registry: "the registry, or the way to it", podMutation: "whatever rewrites the pods" }[one.heals] || one.heals);
  return make("div", { class: "body" }, list);
}

// `text` in backticks is what to type
const code = (text) => text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part)).filter((part) => part !== "");

function copy(one, button) {
  const typed = one.fix.match(/`([^`]+)`/);
  const text = typed ? typed[1] : one.fix;
  const done = () => { if (button) { button.textContent = "copied"; setTimeout(() => { button.textContent = "copy"; }, 1500); } };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => select(text, done));
  else select(text, done);
}
function select(text, done) {
  const area = make("textarea", {}, text);
  document.body.append(area);
  area.select();
  if (document.execCommand("copy")) done();
  area.remove();
}

// --- summary and tables ----------------------------------------------------------------------------------------
function card(value, word, filter, level) {
  const inside = [make("b", { class: level || "" }, number(value)), make("span", {}, word)];
  $("summary").append(filter
    ? make("button", { type: "button", class: "card", "data-filter": JSON.stringify(filter), "aria-pressed": "false", onclick: () => toggle(...filter) }, ...inside)
    : make("div", { class: "card" }, ...inside));
}
function drawSummary() {
  const { summary } = data;
  for (const level of LEVELS) if (summary.findings[level]) card(summary.findings[level], level, ["level", level], level);
  if (!findings.length) card(0, "findings");
  if (summary.failingPods) card(summary.failingPods, "pods failing now", ["failing", true], "certain");
  if (summary.wouldBeDenied.workloads) card(summary.wouldBeDenied.workloads, "workloads would be denied", ["denied", true], "likely");
  card(summary.workloads, "workloads");
  card(summary.pods, "pods");
  card(summary.images, "images");
  for (const note of data.notes) $("notes").append(make("p", { class: "note" }, note));
}
function drawTable(title, kind, lines) {
  if (!lines.length) return;
  const list = make("ul");
  const sum = (line) => LEVELS.reduce((so, level) => so + line.findings[level], 0);
  const largest = Math.max(...lines.map(sum));
  for (const line of lines) {
    const total = sum(line);
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    for (const level of LEVELS) {
      if (!line.findings[level]) continue;
      const piece = make("i", { class: level });
      piece.style.width = `${(100 * line.findings[level]) / largest}%`;
      bar.append(piece);
    }
    const value = kind === "code" ? line.name.split(" ")[0] : line.name;
    const told = LEVELS.filter((level) => line.findings[level]).map((level) => `${number(line.findings[level])} ${level}`).join(", ");
    list.append(make("li", {}, make("button", { type: "button", "data-filter": JSON.stringify([kind, value]), "aria-pressed": "false", title: `${line.name}: ${told}; ${plural(line.workloads, "workload")}, ${plural(line.pods, "pod")}`, onclick: () => toggle(kind, value) },
      make("span", {}, line.name || "(none)"), make("span", {}, number(total)), bar)));
  }
  $("tables").append(make("div", { class: "table" }, make("h2", {}, title), list));
}
function drawChoice(kind, word, lines) {
  $(kind).append(make("option", { value: "" }, `every ${word}`));
  for (const line of lines) {
    const value = kind === "code" ? line.name.split(" ")[0] : line.name;
    if (value) $(kind).append(make("option", { value }, line.name));
  }
  $(kind).addEventListener("change", (event) => { state[kind] = event.target.value; refresh(); });
}
function drawChips() {
  const chip = (word, filter, level) => $("chips").append(make("button", { type: "button", class: level || "plain", "data-filter": JSON.stringify(filter), "aria-pressed": "false", onclick: () => toggle(...filter) }, make("span", {}, word)));
  for (const level of LEVELS) chip(level, ["level", level], level);
  chip("failing now", ["failing", true]);
  chip("would be denied", ["denied", true]);
}

// --- keyboard --------------------------------------------------------------------------------------------------
function move(step) {
  const heads = [...document.querySelectorAll("#findings .head")];
  if (!heads.length) return;
  const at = heads.indexOf(document.activeElement);
  let next = at < 0 ? (step > 0 ? 0 : heads.length - 1) : at + step;
  if (next >= heads.length && drawn < shown.length) {
    drawMore();
    return move(step);
  }
  next = Math.max(0, Math.min(next, heads.length - 1));
  heads[next].focus();
  heads[next].scrollIntoView({ block: "nearest" });
}
function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}
const KEYS = {
  j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1), "/": () => $("search").focus(),
  x: clear, t: theme, f: () => toggle("failing", true), d: () => toggle("denied", true), "?": () => $("help").showModal(),
  c: () => {
    const item = document.activeElement.closest && document.activeElement.closest("#findings > li");
    if (item) copy(findings[Number(item.dataset.index)], item.querySelector(".copy"));
  },
};
LEVELS.forEach((level, index) => { KEYS[String(index + 1)] = () => toggle("level", level); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    if (event.target.id === "search" && (event.key === "Enter" || event.key === "ArrowDown")) { event.preventDefault(); move(1); }
    return;
  }
  const inTable = event.target.closest && event.target.closest(".table");
  if (inTable && event.key.startsWith("Arrow")) return;
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

drawSummary();
drawTable("by cause", "code", data.byCause);
drawTable("by namespace", "namespace", data.byNamespace);
drawTable("by registry", "registry", data.byRegistry);
drawChips();
drawChoice("namespace", "namespace", data.byNamespace);
drawChoice("registry", "registry", data.byRegistry);
drawChoice("code", "code", data.byCause);
$("search").addEventListener("input", (event) => { state.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean); refresh(); });
$("clear").addEventListener("click", clear);
$("theme").addEventListener("click", theme);
$("keys").addEventListener("click", () => $("help").showModal());
$("more").addEventListener("click", drawMore);
new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting) && drawn < shown.length) drawMore(); }, { rootMargin: "600px" }).observe($("more"));
refresh();
