// The page, from top to bottom.

function header() {
  const machine = report.machine;
  const extra = [machine.memory, `identity ${machine.identity}`, machine.command_line].filter(Boolean);
  at("machine").append(`${machine.guest}, ${plural(machine.cpus, "vCPU")}, ${extra.join(", ")}`);
  const verdict = report.verdict[0].toUpperCase() + report.verdict.slice(1);
  at("verdict").append(verdict);
  for (const sentence of report.summary) at("summary").append(make("p", {}, ...prose(sentence)));
  document.documentElement.dataset.shown = report.shown ? "yes" : "no";
  at("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
}

function accesses() {
  at("accesses-section").hidden = !report.shown;
  critical.forEach((access, number) => {
    const point = access.point ? `point ${access.point}` : "never, in this run";
    const what = make("div", { class: "what" },
      make("div", { class: "head" },
        make("b", {}, agent(access)),
        make("span", { class: "value" }, ...deed(access)),
        make("span", {}, "in ", make("code", {}, access.function), place(access) ? ` (${place(access)})` : ""),
        make("span", { class: "point" }, point)),
      make("div", { class: "stack mono" }, `${access.address}, ${plural(access.size, "byte")}${access.instruction ? `: ${access.instruction}` : ""}`),
      source(access, 2),
      access.stack.length ? make("div", { class: "stack mono" }, access.stack.join(" < ")) : null);
    const number_ = make("div", { class: "number" }, String(number + 1));
    at("accesses").append(make("li", { class: "access", style: `--lane:${lane(access.vcpu)}` }, number_, what));
  });
}

function shortest() {
  const schedule = report.schedule;
  const preemptions = plural(schedule.preemptions, "preemption");
  let text = `${plural(schedule.switches.length, "switch", "switches")}, ${preemptions}, ${plural(report.steps.length, "step")}. `;
  text += schedule.systematic ? "Everything between the switches goes on by itself." : "It is the finding's own, shortened.";
  at("shortest").append(text);
  const shown = columns[columns.length - 1];
  if (columns.length && (columns[0].first > 0 || shown.end < report.steps.length)) {
    at("shortest").append(` Shown are steps ${columns[0].first + 1} to ${shown.end}.`);
  }
  if (report.jump) {
    const { before, behind, what } = report.jump;
    const steps = behind.steps === before.steps + 1 ? `step ${behind.steps}` : `steps ${before.steps + 1} to ${behind.steps}`;
    at("jump").append(`From ${steps} on it is inevitable: ${what}. Left to chance just before, ${percent(before)} % fail; behind it, ${percent(behind)} %.`);
  }
}

function proof() {
  const short = (access) => event(access) || `${agent(access)}'s ${noun[access.kind]} of \`${access.variable}\` in \`${access.function}\``;
  const row = (share, text, note) => {
    const failed = Math.round((100 * share.failed) / Math.max(1, share.runs));
    const kept = share.unforced ? ` In ${share.unforced} the order could not be kept.` : "";
    const otherwise = share.otherwise ? ` ${share.otherwise} fail otherwise.` : "";
    const more = `${note || ""}${kept}${otherwise}`;
    at("proof").append(make("tr", {},
      make("td", { class: "count" }, `${share.failed} of ${share.runs} fail`),
      make("td", { class: "bar" }, make("div", { class: "track" }, make("div", { class: "fill", style: `width:${failed}%` }))),
      make("td", { class: "text" }, ...prose(text), more ? make("div", { class: "note" }, ...prose(more)) : null)));
  };
  const scopes = {
    everything: "The order that passes; everything else is left to chance.",
    region: "The order that passes, wherever this code runs: others are kept out of the stretch in between. Everything else is left to chance.",
    "from-there": "The order that passes; everything from where it differs on is left to chance.",
  };
  for (const pair of report.pairs) {
    row(pair.reversed, `${short(pair.second)} before ${short(pair.first)}`, scopes[pair.scope]);
    if (pair.among) row(pair.among, "the same", "With all other orders as they fail.");
  }
  if (report.pairs.length) {
    const besides = report.conditions.length ? `It also takes: ${report.conditions.join("; ")}.` : "";
    row(report.forced, "all these orders as they fail", besides);
  }
  if (report.unrelated) {
    const { first, second, as_it_was, turned } = report.unrelated;
    row(as_it_was, `all these orders, and ${short(first)} before ${short(second)}`, "An order that has nothing to do with it.");
    row(turned, "the same, and that order turned round", "");
  }
  row(report.chance, "nothing forced", "");
  for (const { point, without } of report.faults || []) {
    const orders = report.pairs.length ? "all these orders, " : "";
    row(without, `${orders}without the fault at point ${point}`, "");
  }
  if (report.refuted) {
    at("refuted").append(`${plural(report.refuted, "more order")} looked like it and did not stand this test.`);
  }
}

function unordered() {
  at("unordered-section").hidden = !report.unordered.length;
  for (const { first, second, turned, matters } of report.unordered) {
    const line = (access) => make("div", { style: `--lane:${lane(access.vcpu)}` },
      make("b", {}, agent(access)), ` ${noun[access.kind]} of `, make("code", {}, access.variable), " in ",
      make("code", {}, access.function), place(access) ? ` (${place(access)})` : "",
      access.stack.length ? make("div", { class: "stack mono" }, access.stack.join(" < ")) : null);
    const round = `turned round, ${turned.failed} of ${turned.runs} fail`;
    const verdicts = { harmful: `harmful: ${round}`, sometimes: `may matter: ${round}`, "no-difference": `makes no difference: ${round}`, wait: "one waits for the other" };
    at("unordered").append(make("li", { class: matters }, make("p", { class: "verdict" }, verdicts[matters]), line(first), line(second)));
  }
}

// The same failure, as it was seen before it was looked for.
function observed() {
  const observed = report.observed;
  at("observed-section").hidden = !observed;
  if (!observed) return;
  const window = observed.window ? `, no sign of life for ${observed.window}` : "";
  at("observed").append(make("code", {}, observed.command), `: ${observed.verdict}${window}.`);
  if (observed.vcpus) at("observed").append(" The vCPUs that go round (where there are none, those that sleep) do so in the functions in which they wait here.");
  for (const seen of observed.vcpus || []) {
    at("seen").append(make("li", { style: `--lane:${lane(seen.vcpu)}` }, make("b", {}, `vCPU ${seen.vcpu}`), ` ${seen.doing}`,
      make("div", { class: "stack mono" }, seen.stack)));
  }
}

// The two runs that differ by one order, from a little before they part.
function sides() {
  at("sides-section").hidden = !report.apart;
  if (!report.apart) return;
  const { fails, passes } = report.apart;
  const same = (a, b) => a && b && a.vcpu === b.vcpu && a.interrupt === b.interrupt &&
    (a.access ? a.access.function === b.access?.function && a.access.offset === b.access?.offset : !b.access);
  let part = 0;
  while (same(fails[part], passes[part])) part++;
  const from = Math.max(0, part - 3);
  for (const [title, name, steps] of [["This fails", "fails", fails], ["This passes", "passes", passes]]) {
    const list = make("ol");
    if (from) list.append(make("li", { class: "gap" }, `${plural(from, "step")}, the same in both`));
    const rows = folded(steps.slice(from));
    for (const { steps: folds } of rows.slice(0, 22)) {
      const step = folds[0];
      const marked = step.access && critical.some(isCritical(step.access)) ? "critical" : "";
      const access = step.access;
      const where = access ? ` in ${access.function}${place(access) ? ` (${place(access)})` : ""}` : "";
      list.append(make("li", { class: marked, style: `--lane:${lane(step.vcpu)}` }, make("b", {}, `vCPU ${step.vcpu}`), make("span", {}, describe(step) + where, make("span", { class: "times" }, besides(folds)))));
    }
    const left = rows.slice(22).reduce((sum, row) => sum + row.steps.length, 0);
    if (left > 0) list.append(make("li", { class: "gap" }, `${plural(left, "more step")}`));
    at("sides").append(make("div", { class: "side" }, make("h3", { class: name }, title), list));
  }
}

function again() {
  for (const { what, command } of report.commands) {
    const button = make("button", { type: "button" }, "copy");
    button.addEventListener("click", () => navigator.clipboard?.writeText(command).then(() => (button.textContent = "copied")));
    at("again").append(make("div", { class: "command" }, make("p", {}, what), make("pre", {}, command), button));
  }
  const cost = report.cost;
  at("cost").append(`jitterbug: ${plural(cost.search_runs, "run")} to find it, ${cost.proof_runs} for the figures, ${cost.seconds.toFixed(1)} s.`);
}

at("page").hidden = false;
header();
accesses();
shortest();
key();
lanes();
reveal();
proof();
unordered();
waits();
observed();
sides();
again();
at("in").addEventListener("click", () => zoom(1.4));
at("out").addEventListener("click", () => zoom(1 / 1.4));
at("fit").addEventListener("click", () => zoom(0));
at("scroll").addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientX - at("scroll").getBoundingClientRect().left);
}, { passive: false });
at("scroll").addEventListener("scroll", pin, { passive: true });
addEventListener("resize", () => zoom(0));
document.documentElement.dataset.ready = "yes";
