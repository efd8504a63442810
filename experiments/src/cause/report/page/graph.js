// Who waits for what: vCPUs, the variables that they wait for, and who wrote those last.

function waits() {
  const rows = report.waits.filter((row) => row.values && row.values.length && row.waits_for !== "nothing");
  const others = report.waits.filter((row) => !rows.includes(row));
  at("waits-section").hidden = !report.waits.length;
  at("waits").closest(".scroll").hidden = !rows.length;
  if (rows.length) graph(rows);
  else at("waits-title").textContent = "At the end";
  for (const [text, which] of idle(others)) {
    at("idle").append(make("li", {}, `${which.length === 1 ? "vCPU" : "vCPUs"} ${which.join(", ")}: ${text}`));
  }
}

// vCPUs that do the same, together.
function idle(rows) {
  const groups = new Map();
  for (const row of rows) {
    const where = row.stack ? ` in ${row.stack.split(" < ").slice(0, 3).join(" < ")}` : "";
    const text = {
      sipi: "not started, no SIPI came",
      interrupt: `asleep, ${row.interrupts || "and no interrupt on its way"},${where}`,
    }[row.waits_for] || `could go on${row.interrupts ? `, ${row.interrupts}` : ""},${where}`;
    groups.set(text, [...(groups.get(text) || []), row.vcpu]);
  }
  return groups;
}

function graph(rows) {
  const svg = at("waits");
  const variables = [...new Set(rows.flatMap((row) => row.values.map((value) => value.variable)))];
  const ROWH = 82, BOX = 62, COLUMNS = [16, 420, 730], WIDTHS = [300, 190, 300];
  const count = Math.max(rows.length, variables.length);
  const [w, h] = [COLUMNS[2] + WIDTHS[2] + 16, count * ROWH + 20];
  fill(svg, { width: w, height: h, viewBox: `0 0 ${w} ${h}` }, []);
  const y = (number, of) => 10 + ((number + 0.5) * (count * ROWH)) / of;
  svg.append(draw("defs", {}, draw("marker", { id: "waits-head", viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 8, markerHeight: 8, orient: "auto" }, draw("path", { d: "M0 0L10 5L0 10z", fill: "var(--soft)" }))));
  const box = (column, middle, color, lines) => {
    const [left, wide] = [COLUMNS[column], WIDTHS[column]];
    svg.append(draw("rect", { x: left, y: middle - BOX / 2, width: wide, height: BOX, rx: 8, fill: "var(--paper)", stroke: color, "stroke-width": 1.8 }));
    lines.filter(Boolean).forEach((line, number, all) => {
      const room = Math.floor((wide - 20) / (number ? 6.5 : 7.4));
      const text = line.length > room ? line.slice(0, room - 1) + "…" : line;
      const top = middle + 4 + (number - (all.length - 1) / 2) * 16;
      svg.append(draw("text", { class: number ? "soft" : null, x: left + 12, y: top, style: number ? null : `fill:${color};font-weight:600` }, text, draw("title", {}, line)));
    });
  };
  const arrow = (from, to, text) => {
    const middle = (from.x + to.x) / 2;
    const end = to.x + (from.x < to.x ? -2 : 2);
    svg.append(draw("path", { d: `M${from.x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${end} ${to.y}`, fill: "none", stroke: "var(--soft)", "stroke-width": 1.6, "marker-end": "url(#waits-head)" }));
    if (text) svg.append(draw("text", { class: "soft", x: middle, y: (from.y + to.y) / 2 - 6, "text-anchor": "middle" }, text));
  };
  rows.forEach((row, number) => {
    const middle = y(number, rows.length);
    const frames = row.stack.split(" < ");
    box(0, middle, lane(row.vcpu), [`vCPU ${row.vcpu}${row.interrupts ? `, ${row.interrupts}` : ""}`, frames[0], frames[1] && `< ${frames[1]}`]);
    for (const value of row.values) {
      const target = y(variables.indexOf(value.variable), variables.length);
      arrow({ x: COLUMNS[0] + WIDTHS[0], y: middle }, { x: COLUMNS[1], y: target }, row.waits_for === "change" ? "waits for" : "reads");
    }
  });
  variables.forEach((variable, number) => {
    const middle = y(number, variables.length);
    const value = rows.flatMap((row) => row.values).find((other) => other.variable === variable);
    box(1, middle, "var(--ink)", [variable, `is ${value.value}`]);
    const written = value.last_writer.match(/^written (\S+) by vCPU (\d+) in (.*) at point (\d+)$/);
    const lines = written ? [`vCPU ${written[2]}`, `wrote ${written[1]} last, at point ${written[4]},`, `in ${written[3]}`] : ["nobody", value.last_writer];
    box(2, middle, written ? lane(Number(written[2])) : "var(--bad)", lines);
    arrow({ x: COLUMNS[2], y: middle }, { x: COLUMNS[1] + WIDTHS[1], y: middle }, "");
  });
}
