#include "dashboard.h"

namespace parti::report {

const char* const kDashboardPage =
    R"html(<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>parti stress suite, live</title></head>
<body><main>
<h1>parti stress suite, live <span id="run"></span></h1>
<section class="verdict" id="now"><span class="badge unsure" id="state">? waiting</span>
<p class="happened" id="test">No test has begun</p><p class="action" id="phase">The page changes by itself.</p></section>
<dl class="figures">
<div><dt>elapsed</dt><dd id="elapsed">not measured</dd></div><div><dt>time left</dt><dd id="left">not known</dd></div>
<div><dt>workers stable</dt><dd id="workers">not measured</dd></div><div><dt>memory</dt><dd id="memory">not measured</dd></div>
<div><dt id="rate_of">rate</dt><dd id="rate">not measured</dd></div><div><dt>tests done</dt><dd id="done">0</dd></div>
</dl>
<div class="charts"><figure><figcaption>Anonymous memory of all workers of the test (kB)</figcaption>
<svg id="memory_chart" viewBox="0 0 360 150" role="img" aria-label="memory over time"></svg>
<p class="note" id="memory_note">not measured</p></figure>
<figure><figcaption>Rate (per second)</figcaption>
<svg id="rate_chart" viewBox="0 0 360 150" role="img" aria-label="rate over time"></svg>
<p class="note" id="rate_note">not measured</p></figure></div>
<h2>Verdicts so far</h2>
<table><thead><tr><th>test</th><th>result</th><th class="n">metrics</th><th>against the baseline</th></tr></thead>
<tbody id="verdicts"></tbody></table>
<p class="none" id="no_verdicts">no test has ended</p>
</main><script src="/live.js"></script></body></html>
)html";

const char* const kDashboardScript = R"js("use strict";
const byId = id => document.getElementById(id);
const svgNode = (name, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};
const known = value => typeof value === "number" && Number.isFinite(value);
const grouped = value => value.toLocaleString("en-US", { maximumFractionDigits: 1 });
const seconds = value =>
  value < 120 ? Math.round(value) + " s" : Math.floor(value / 60) + " min " + Math.round(value % 60) + " s";
const memory = [], rate = [];
let planned, ended = 0;

function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 2.5, 5, 10].map(step => step * power).find(step => step >= value) || 1;
}

function draw(id, points) {
  const chart = byId(id);
  chart.replaceChildren();
  if (points.length === 0) return;
  const left = 48, right = 350, top = 10, bottom = 128;
  const high = roundUp(Math.max(...points.map(point => point.value)));
  const first = points[0].time, span = Math.max(points[points.length - 1].time - first, 10);
  const x = time => left + (time - first) / span * (right - left), y = value => bottom - value / high * (bottom - top);
  for (const share of [0, 0.5, 1]) {
    chart.append(svgNode("line", { class: "grid", x1: left, x2: right, y1: y(high * share), y2: y(high * share) }));
    chart.append(svgNode("text", { class: "tick", x: left - 5, y: y(high * share) + 4, "text-anchor": "end" },
      grouped(high * share)));
  }
  chart.append(svgNode("text", { class: "tick", x: left, y: bottom + 15 }, "0 s"));
  chart.append(svgNode("text", { class: "tick", x: right, y: bottom + 15, "text-anchor": "end" }, seconds(span)));
  let line = "", before;
  for (const point of points) {  // a new test begins a new line
    line += (point.test === before ? "L" : "M") + x(point.time).toFixed(1) + " " + y(point.value).toFixed(1);
    before = point.test;
  }
  chart.append(svgNode("path", { class: "curve", d: line }));
  const last = points[points.length - 1];
  chart.append(svgNode("circle", { class: "end", cx: x(last.time), cy: y(last.value), r: 3 }));
}

function keep(points, message, value) {
  if (!known(value)) return;
  points.push({ time: Date.parse(message.time) / 1000, value, test: message.test });
  if (points.length > 600) points.shift();
}

function showDone() {
  byId("done").textContent = planned ? ended + " of " + planned : ended + " (how many are left is not known)";
}

function onProgress(message) {
  byId("test").textContent = message.test;
  byId("phase").textContent = message.event === "end" ? "ended: " + message.status : message.phase || "begins";
  const failed = message.event === "end" && message.status === "failed";
  byId("state").className = "badge " + (failed ? "fail" : message.event === "end" ? "pass" : "unsure");
  byId("state").textContent = failed ? "\u2715 FAILED" : message.event === "end" ? "\u2713 " + message.status : "\u25b8 running";
  byId("elapsed").textContent = known(message.elapsed_s) ? seconds(message.elapsed_s) : "not measured";
  byId("left").textContent = known(message.left_s) ? "about " + seconds(message.left_s) : "not known";
  byId("workers").textContent = known(message.workers) ? message.stable + " of " + message.workers : "not measured";
  byId("memory").textContent = known(message.memory_kb) ? grouped(message.memory_kb) + " kB" : "not measured";
  byId("rate_of").textContent = message.rate_of || "rate";
  byId("rate").textContent = known(message.rate_per_s) ? grouped(message.rate_per_s) + " /s" : "not measured";
  keep(memory, message, message.memory_kb);
  keep(rate, message, message.rate_per_s);
  for (const [name, points] of [["memory", memory], ["rate", rate]]) {
    draw(name + "_chart", points);
    byId(name + "_note").textContent = points.length > 0
      ? "The last " + points.length + " samples, one a second; a gap is between tests." : "not measured";
  }
}

function onVerdicts(message) {
  ended = message.tests.length;
  showDone();
  byId("no_verdicts").hidden = ended > 0;
  byId("verdicts").replaceChildren(...message.tests.map(test => {
    const row = document.createElement("tr");
    const cell = (text, style) => {
      const node = row.insertCell();
      node.className = style || "";
      node.textContent = text;
      return node;
    };
    cell(test.test);
    const badge = document.createElement("span");
    badge.className = "badge " + (test.status === "passed" ? "pass" : "fail");
    badge.textContent = test.status === "passed" ? "\u2713 passed" : "\u2715 FAILED";
    cell("").append(badge);
    cell(test.metrics, "n");
    const counts = Object.entries(test.verdicts).map(([verdict, count]) => count + " " + verdict);
    cell(counts.length > 0 ? counts.join(", ") : "nothing compared");
    return row;
  }));
}

function onRun(message) {
  memory.length = rate.length = 0;
  planned = message.planned;
  byId("run").textContent = "run " + message.run;
  byId("test").textContent = "No test has begun";
  byId("phase").textContent = "The page changes by itself.";
  byId("state").className = "badge unsure";
  byId("state").textContent = "? waiting";
  for (const id of ["elapsed", "workers", "memory", "rate"]) byId(id).textContent = "not measured";
  byId("left").textContent = "not known";
  for (const name of ["memory", "rate"]) {
    draw(name + "_chart", []);
    byId(name + "_note").textContent = "not measured";
  }
  onVerdicts({ tests: [] });  // the last run's are not this one's
}

// After a break the server tells everything again, beginning with `run`.
const source = new EventSource("/events");
let received = 0;
for (const [name, act] of [["run", onRun], ["progress", onProgress], ["verdicts", onVerdicts]]) {
  source.addEventListener(name, event => {
    act(JSON.parse(event.data));
    document.body.dataset.events = ++received;
  });
}
source.onerror = () => { byId("phase").textContent = "The suite's page has ended, or cannot be reached."; };
)js";

}  // namespace parti::report
