// The swim lanes: a lane for each vCPU, time to the right, and below them how likely the failure is
// from each step on.

// Steps that look the same are told once: a long row of port accesses (the console), and a loop that
// reads the same again and again.
function folded(steps) {
  const all = [];
  const plain = (step) => step.access && !step.interrupt && !step.halts && !critical.some((access) => access.point === step.point);
  const port = (access) => access.address === "";
  const alike = (a, b) => (port(a) && port(b)) ||
    (a.kind === "read" && b.kind === "read" && a.value === b.value && a.function === b.function && a.offset === b.offset);
  for (const [number, step] of steps.entries()) {
    const last = all[all.length - 1];
    const before = last && last.steps[last.steps.length - 1];
    const joins = last && !step.switch && before.vcpu === step.vcpu && plain(step) && plain(before) && alike(before.access, step.access);
    if (joins) last.steps.push(step);
    else all.push({ steps: [step], first: number });
    all[all.length - 1].end = number + 1;
  }
  return all;
}

// What else there is in a column.
function besides(steps) {
  if (steps.length === 1) return "";
  return steps[0].access.address ? `, ${steps.length} times` : `, and ${plural(steps.length - 1, "more port access", "more port accesses")}`;
}

// The columns. Of a very long run, what is around the critical accesses is shown.
const MOST = 1500;
const columns = (() => {
  const all = folded(report.steps);
  if (all.length <= MOST) return all;
  const named = all.findIndex((c) => c.steps.some((s) => critical.some((access) => access.point === s.point)));
  const from = Math.max(0, Math.min(named < 0 ? all.length : named - MOST / 2, all.length - MOST));
  return all.slice(from, from + MOST);
})();

const LEFT = 74, TOP = 34, ROW = 54, CURVE = 84, NOTES = 14;
let width = 0;
// vCPUs that never run share one line at the bottom.
const active = [...new Set(report.steps.map((step) => step.vcpu))].sort((a, b) => a - b);

// Numbers and names are outside the lanes where there is an outside: arrows are between them.
const isLast = (vcpu) => active.length > 1 && vcpu === active[active.length - 1];
const badgeAt = (vcpu) => (isLast(vcpu) ? 21 : -21);
function nameAt(vcpu, numbered) {
  if (vcpu === active[0]) return numbered ? -35 : -14;
  return numbered && isLast(vcpu) ? 43 : 20;
}

// Columns that fill the window; but marks must stay apart.
const fitting = () => Math.max(20, (at("scroll").clientWidth - LEFT - 30) / Math.max(1, columns.length));

function glyph(step, x, y, size = 6) {
  const color = lane(step.vcpu);
  const kind = step.access ? step.access.kind : "none";
  const device = step.access && (step.access.address === "" || /LAPIC|IOAPIC/.test(step.access.variable));
  if (step.interrupt) {
    const points = `${x - size},${y - size} ${x + size},${y - size} ${x},${y + size}`;
    return draw("polygon", { class: "glyph", points, fill: color, stroke: color });
  }
  if (device || kind === "none") {
    return draw("line", { class: "glyph", x1: x, x2: x, y1: y - size, y2: y + size, stroke: color });
  }
  if (kind === "read") {
    return draw("circle", { class: "glyph", cx: x, cy: y, r: size - 1, fill: "var(--paper)", stroke: color });
  }
  if (kind === "write") {
    const half = size - 1;
    return draw("rect", { class: "glyph", x: x - half, y: y - half, width: 2 * half, height: 2 * half, fill: color, stroke: color });
  }
  const points = `${x},${y - size - 1} ${x + size + 1},${y} ${x},${y + size + 1} ${x - size - 1},${y}`;
  return draw("polygon", { class: "glyph", points, fill: color, stroke: color });
}

function key() {
  const step = (access, more = {}) => ({ vcpu: 7, access, ...more });
  const entries = [
    ["reads", step({ kind: "read", address: "x", variable: "" })],
    ["stores", step({ kind: "write", address: "x", variable: "" })],
    ["updates, locked", step({ kind: "update", address: "x", variable: "" })],
    ["device or port", step({ kind: "write", address: "", variable: "" })],
    ["takes an interrupt", step(null, { interrupt: true })],
  ];
  for (const [text, sample] of entries) {
    at("key").append(make("span", {}, draw("svg", { viewBox: "0 0 18 18" }, glyph(sample, 9, 9)), text));
  }
  const dashed = draw("svg", { viewBox: "0 0 18 18" }, draw("path", { class: "switch preempts", d: "M9 0V18" }));
  at("key").append(make("span", {}, dashed, "preempted"));
}

function lanes() {
  const svg = at("lanes");
  svg.replaceChildren();
  const cpus = report.machine.cpus;
  const idle = cpus - active.length;
  if (!width) width = fitting();
  const x = (column) => LEFT + 14 + (column + 0.5) * width;
  const y = (vcpu) => TOP + active.indexOf(vcpu) * ROW + ROW / 2;
  const bottom = TOP + active.length * ROW + NOTES + (idle ? 22 : 0);
  const total = { width: x(columns.length - 1) + width / 2 + 16, height: bottom + (report.failure_rates.length ? CURVE + 34 : 0) };
  svg.setAttribute("width", total.width);
  svg.setAttribute("height", total.height);
  svg.setAttribute("viewBox", `0 0 ${total.width} ${total.height}`);
  svg.append(draw("defs", {}, draw("marker", { id: "head", viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 8, markerHeight: 8, orient: "auto-start-reverse" }, draw("path", { d: "M0 0L10 5L0 10z", fill: "var(--ink)" }))));
  for (const vcpu of active) svg.append(draw("line", { class: "idle", x1: LEFT, x2: total.width - 8, y1: y(vcpu), y2: y(vcpu) }));
  stretches(svg, x, y);
  const places = critical.map((access) => {
    const column = columns.findIndex((c) => c.steps.some((s) => s.point === access.point && s.vcpu === access.vcpu));
    return column < 0 ? null : { x: x(column), y: y(access.vcpu), badge: y(access.vcpu) + badgeAt(access.vcpu) };
  });
  arrows(svg, places);
  columns.forEach((column, number) => cell(svg, column, number, x(number), y(column.steps[0].vcpu)));
  badges(svg, places);
  curve(svg, x, bottom + 12, total.width);
  // What the lanes are stays in sight.
  const names = draw("g", { id: "names" }, draw("rect", { width: LEFT, height: total.height, fill: "var(--raised)" }));
  for (const vcpu of active) {
    names.append(draw("text", { x: 12, y: y(vcpu) + 4, style: `fill:${lane(vcpu)};font-weight:600` }, `vCPU ${vcpu}`));
  }
  if (idle) names.append(draw("text", { class: "soft", x: 12, y: bottom - 4 }, `${plural(idle, "more vCPU")} never ran here`));
  if (report.failure_rates.length) scale(names, bottom + 12);
  svg.append(names);
  pin();
}
const pin = () => at("names").setAttribute("transform", `translate(${at("scroll").scrollLeft} 0)`);
const levelOf = (share, top) => top + CURVE - 16 - ((CURVE - 16) * share) / 100;
function scale(names, top) {
  for (const share of [0, 50, 100]) {
    names.append(draw("text", { class: "soft", x: LEFT - 6, y: levelOf(share, top) + 4, "text-anchor": "end" }, `${share} %`));
  }
  names.append(draw("text", { class: "soft", x: 12, y: levelOf(0, top) + 18 }, "how many fail when everything is left to chance from there on"));
}

// Who runs, and where it goes on elsewhere.
function stretches(svg, x, y) {
  let from = 0;
  columns.forEach((column, number) => {
    const next = columns[number + 1];
    const vcpu = column.steps[0].vcpu;
    if (next && next.steps[0].vcpu === vcpu && !next.steps[0].switch) return;
    svg.append(draw("line", { class: "runs", x1: x(from), x2: x(number), y1: y(vcpu), y2: y(vcpu), stroke: lane(vcpu) }));
    from = number + 1;
    if (next && next.steps[0].vcpu !== vcpu) {
      const middle = (x(number) + x(number + 1)) / 2;
      const step = next.steps[0];
      const name = step.preempts ? "switch preempts" : "switch";
      const path = `M${x(number)} ${y(vcpu)}H${middle}V${y(step.vcpu)}H${x(number + 1)}`;
      svg.append(draw("path", { class: name, d: path }));
    }
  });
}

const isNumbered = (step) => critical.some((access) => access.point === step.point && access.vcpu === step.vcpu);
const shortened = (text, room) => (text.length > room ? text.slice(0, Math.floor(room) - 1) + "…" : text);

// How wide the name of a numbered access may be: others have none where columns are narrow.
function roomOf(number) {
  if (width > 64) return width;
  const vcpu = columns[number].steps[0].vcpu;
  const apart = columns.flatMap((other, there) => (there !== number && other.steps[0].vcpu === vcpu && isNumbered(other.steps[0]) ? [Math.abs(there - number)] : []));
  return Math.min(160, width * Math.min(...apart, Infinity));
}

function cell(svg, column, number, x, y) {
  const step = column.steps[0];
  const many = besides(column.steps);
  const label = `point ${step.point}, vCPU ${step.vcpu}: ${describe(step)}${many}`;
  const group = draw("g", { class: "step", tabindex: 0, role: "button", "aria-label": label, "data-step": column.first });
  group.append(draw("rect", { class: "hit", x: x - width / 2, y: y - ROW / 2, width, height: ROW }));
  group.append(glyph(step, x, y));
  const numbered = isNumbered(step);
  const room = numbered ? roomOf(number) : width;
  const name = { class: "soft", x, y: y + nameAt(step.vcpu, numbered), "text-anchor": "middle" };
  if (many) group.append(draw("text", name, `×${column.steps.length}`));
  else if (room > 64 && step.access && step.access.address) group.append(draw("text", name, shortened(step.access.variable, room / 6.4)));
  group.addEventListener("mousemove", (event) => tip(event, step, many));
  group.addEventListener("mouseleave", () => (at("tip").hidden = true));
  group.addEventListener("click", () => select(group, step, many));
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") select(group, step, many);
  });
  svg.append(group);
}

// From each critical access to the one that it has to be before.
function arrows(svg, places) {
  const where = (access) => {
    const number = critical.findIndex((other) => other.point === access.point && isCritical(access)(other));
    return number < 0 ? null : places[number];
  };
  for (const pair of report.pairs) {
    const [from, to] = [where(pair.first), where(pair.meets || pair.second)];
    if (!from || !to) continue;
    const bend = from.y === to.y ? -34 : 0;
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = Math.hypot(dx, dy) || 1;
    const start = { x: from.x + (dx / length) * 12, y: from.y + (dy / length) * 12 };
    const end = { x: to.x - (dx / length) * 13, y: to.y - (dy / length) * 13 };
    const path = `M${start.x} ${start.y}Q${(from.x + to.x) / 2} ${(from.y + to.y) / 2 + bend} ${end.x} ${end.y}`;
    svg.append(draw("path", { class: "arrow", d: path }));
  }
}

// The critical accesses by number.
function badges(svg, places) {
  places.forEach((position, number) => {
    if (!position) return;
    svg.append(draw("circle", { class: "ring", cx: position.x, cy: position.y, r: 11 }));
    svg.append(draw("circle", { class: "badge", cx: position.x, cy: position.badge, r: 8.5 }));
    svg.append(draw("text", { class: "badge-text", x: position.x, y: position.badge + 4 }, String(number + 1)));
  });
}

function curve(svg, x, top, right) {
  const samples = report.failure_rates;
  if (!samples.length) return;
  const height = CURVE - 16;
  // Behind so many steps: the edge between two columns.
  const edge = (steps) => {
    const column = columns.findIndex((c) => steps < c.end);
    return column < 0 ? x(columns.length - 1) + width / 2 : x(column) - width / 2;
  };
  const level = (sample) => levelOf(percent(sample), top);
  for (const share of [0, 50, 100]) {
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: right - 8, y1: levelOf(share, top), y2: levelOf(share, top) }));
  }
  const points = samples.map((sample) => `${edge(sample.steps)},${level(sample)}`);
  const [first, last] = [edge(samples[0].steps), edge(samples[samples.length - 1].steps)];
  svg.append(draw("polygon", { class: "area", points: `${first},${top + height} ${points.join(" ")} ${last},${top + height}` }));
  svg.append(draw("polyline", { class: "curve", points: points.join(" ") }));
  for (const sample of samples) {
    const dot = draw("circle", { class: "dot", cx: edge(sample.steps), cy: level(sample), r: 3 });
    dot.append(draw("title", {}, `after ${plural(sample.steps, "step")}: ${sample.failed} of ${sample.runs} fail`));
    svg.append(dot);
  }
  if (report.jump) {
    const where = edge(report.jump.behind.steps);
    svg.append(draw("line", { class: "point-of-no-return", x1: where, x2: where, y1: TOP - 12, y2: top + height }));
  }
}

function stepBox(step, many) {
  const box = make("div");
  box.append(make("div", { class: "step-what" }, `point ${step.point}, vCPU ${step.vcpu}: ${describe(step)}${many}`));
  const access = step.access;
  if (!access) return box;
  if (access.address) box.append(make("div", { class: "mono" }, `${access.address}, ${plural(access.size, "byte")}${access.instruction ? ", " + access.instruction : ""}`));
  const lines = source(access, 0);
  if (lines) box.append(lines);
  box.append(make("div", { class: "step-stack mono" }, access.stack.length ? access.stack.join(" < ") : `${site(access)} ${place(access)}`));
  return box;
}
function tip(event, step, many) {
  const box = at("tip");
  box.replaceChildren(stepBox(step, many));
  box.hidden = false;
  const { width: w, height: h } = box.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - w - 8))}px`;
  box.style.top = `${event.clientY + 18 + h > innerHeight ? Math.max(8, event.clientY - h - 14) : event.clientY + 18}px`;
}
function select(group, step, many) {
  document.querySelectorAll("#lanes .selected").forEach((other) => other.classList.remove("selected"));
  group.querySelector(".hit").classList.add("selected");
  at("detail").replaceChildren(stepBox(step, many));
}

function zoom(factor, around) {
  const box = at("scroll");
  const before = width;
  const middle = around === undefined ? box.clientWidth / 2 : around;
  const position = (box.scrollLeft + middle - LEFT) / before;
  width = Math.min(160, Math.max(6, factor ? before * factor : fitting()));
  lanes();
  box.scrollLeft = position * width + LEFT - middle;
}

// The numbered accesses are in sight from the start.
function reveal() {
  const box = at("scroll");
  const numbered = columns.flatMap((column, number) => (column.steps.some((s) => critical.some((access) => access.point === s.point)) ? [number] : []));
  if (!numbered.length) return;
  const middle = (numbered[0] + numbered[numbered.length - 1]) / 2;
  box.scrollLeft = LEFT + 14 + (middle + 0.5) * width - box.clientWidth / 2;
}
