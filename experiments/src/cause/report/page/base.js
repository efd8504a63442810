"use strict";
// What the other parts share: the report, and how elements are made. Text goes in as text, never as
// markup: names come from the guest.
const report = JSON.parse(document.getElementById("report").textContent);
const at = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}
function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}
function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const lane = (vcpu) => `var(--c${vcpu % 8})`;
const plural = (count, one, more = one + "s") => `${count} ${count === 1 ? one : more}`;
const percent = (sample) => Math.round((100 * sample.failed) / Math.max(1, sample.runs));
const base = (path) => path.split("/").pop();
const place = (access) => (access.file ? `${base(access.file)}:${access.line}` : "");
const agent = (access) => `vCPU ${access.vcpu}${access.in_handler ? "'s handler" : ""}`;
const site = (access) => `${access.function}+0x${access.offset.toString(16)}`;
const noun = { read: "read", write: "store", update: "update" };

// What is no access, by name.
const events = {
  interrupt: (it) => (it.sender === undefined
    ? `the delivery of vCPU ${it.vcpu}'s interrupt (${it.variable})`
    : `the delivery of vCPU ${it.sender}'s IPI (${it.variable}) to vCPU ${it.vcpu}`),
  off: (it) => `${agent(it)}'s ${it.instruction ? "`cli`" : "turning interrupts off"}`,
  nmi: (it) => `${agent(it)}'s NMI to ${it.variable}`,
  init: (it) => `${agent(it)}'s INIT to ${it.variable}`,
  sipi: (it) => `${agent(it)}'s SIPI to ${it.variable}`,
};
const event = (it) => events[it.kind] && events[it.kind](it);

// `code` between backquotes.
function prose(text) {
  return text.split("`").map((part, number) => (number % 2 ? make("code", {}, part) : part));
}
function change(access) {
  if (event(access)) return event(access);
  if (access.kind === "read") return `reads ${access.value}`;
  if (access.kind === "write") return `stores ${access.value}${access.address ? ` over ${access.before}` : ""}`;
  return `changes ${access.before} to ${access.value}`;
}
// What an access does, with the variable's name among it.
function deed(access) {
  if (event(access)) return prose(event(access));
  const name = make("code", {}, access.variable);
  if (access.kind === "read") return ["reads ", access.value, " from ", name];
  if (access.kind === "write") return ["stores ", access.value, " over ", access.before, " to ", name];
  return ["changes ", name, " from ", access.before, " to ", access.value];
}
function describe(step) {
  const access = step.access;
  let text = access ? `${access.variable}: ${change(access)}` : "goes on";
  if (step.interrupt) text += ", then takes an interrupt";
  if (step.halts) text += ", then sleeps";
  return text;
}

// The lines around one, where the source was found.
function source(access, around) {
  const file = access.file && report.source[access.file];
  if (!file || !file[access.line]) return null;
  const box = make("div", { class: "source mono" });
  for (let line = access.line - around; line <= access.line + around; line++) {
    if (file[line] === undefined) continue;
    const here = line === access.line ? "here" : "";
    box.append(make("div", { class: here }, make("span", { class: "line" }, String(line)), file[line]));
  }
  return box;
}

// The accesses that the pairs name, in the order of the failing run, each once.
const critical = (() => {
  const all = report.pairs.flatMap((pair) => [pair.first, pair.meets || pair.second]);
  const key = (access) => `${access.point || "never"} ${access.vcpu} ${access.offset} ${access.function}`;
  const seen = new Map(all.map((access) => [key(access), access]));
  return [...seen.values()].sort((a, b) => (a.point || Infinity) - (b.point || Infinity));
})();
const isCritical = (access) => (other) =>
  access && other.vcpu === access.vcpu && other.function === access.function &&
  other.offset === access.offset && other.address === access.address && other.in_handler === access.in_handler;
