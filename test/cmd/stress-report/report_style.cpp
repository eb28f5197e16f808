#include "report_pages.h"

namespace parti::report {

const char* const kStyle = R"css(
:root { color-scheme: light dark;
  --paper: #fff; --ink: #1b1f24; --soft: #57606a; --rule: #d8dee4; --wash: #f6f8fa; --mark: #1f5fae; --faint: #b9d0ea;
  --good: #1a6b3c; --warn: #7d4e00; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #12161b; --ink: #e3e7ec; --soft: #9aa5b1; --rule: #30373f; --wash: #1a2027; --mark: #79b0ee; --faint: #2d4a6b;
  --good: #6fce95; --warn: #e2b25a; --bad: #ff8f86; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1rem; font-weight: 600; margin: 0 0 1.25rem; color: var(--soft); }
h2 { font-size: 1.25rem; font-weight: 600; margin: 2.75rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--rule); }
h3 { font-size: .95rem; font-weight: 600; margin: 1.75rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 44rem; }
a { color: var(--mark); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .85em; }
pre { margin: .3rem 0 .9rem; padding: .6rem .75rem; background: var(--wash); border-radius: 4px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.verdict { border-left: 5px solid var(--soft); padding: .1rem 0 .1rem 1rem; margin: 0 0 1.5rem; }
.verdict .happened { font-size: 1.35rem; line-height: 1.35; font-weight: 600; margin: .3rem 0; overflow-wrap: anywhere; }
.verdict .action { color: var(--soft); }
.verdict.pass { border-color: var(--good); } .verdict.warn { border-color: var(--warn); }
.verdict.fail { border-color: var(--bad); }
.badge { display: inline-block; font-size: .78rem; font-weight: 600; letter-spacing: .03em; white-space: nowrap; padding: 0 .4rem;
  border: 1px solid currentColor; border-radius: 3px; line-height: 1.5; color: var(--soft); }
.badge.pass { color: var(--good); } .badge.warn { color: var(--warn); border-style: dashed; }
.badge.fail { color: var(--paper); background: var(--bad); border-color: var(--bad); } .badge.unsure { border-style: dotted; }
.figures { display: flex; flex-wrap: wrap; gap: .5rem 2.25rem; margin: 0; }
.figures div { min-width: 5rem; } .figures dt { color: var(--soft); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
nav { margin: 1.5rem 0 0; font-size: .9rem; line-height: 1.9; } nav a { margin-right: 1rem; white-space: nowrap;
  text-decoration: none; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .82rem; border-bottom: 1px solid var(--rule);
  padding: .25rem .6rem .25rem 0; }
td { vertical-align: top; border-bottom: 1px solid var(--rule); padding: .35rem .6rem .35rem 0; overflow-wrap: anywhere; }
td:last-child, th:last-child { padding-right: 0; }
.n, th.n { text-align: right; white-space: nowrap; overflow-wrap: normal; } td.n, th.n { padding-right: 1.1rem; }
td.n:last-child, th.n:last-child { padding-right: 0; }
.note, td small { color: var(--soft); font-size: .82rem; }
td small { display: block; line-height: 1.35; }
td.fact { width: 38%; color: var(--soft); }
.facts { columns: 2 22rem; column-gap: 2.5rem; margin: .5rem 0; font-size: .9rem; }
.facts div { display: flex; gap: .75rem; break-inside: avoid; border-bottom: 1px solid var(--rule); padding: .25rem 0; }
.facts dt { flex: 0 0 40%; color: var(--soft); overflow-wrap: anywhere; } .facts dd { margin: 0; min-width: 0;
  overflow-wrap: anywhere; }
.none { color: var(--soft); font-style: italic; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 1.5rem 2.5rem;
  margin: 1rem 0 1.25rem; align-items: start; }
figure { margin: 0; max-width: 29rem; min-width: 0; }
figcaption { font-size: .9rem; font-weight: 600; margin-bottom: .35rem; overflow-wrap: anywhere; }
figure .note { margin: .2rem 0 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; font-family: inherit; }
svg .grid { stroke: var(--rule); stroke-width: .75; } svg .axis { stroke: var(--soft); stroke-width: .75; }
svg text { font-size: 11px; fill: var(--ink); font-variant-numeric: tabular-nums; } svg .tick { fill: var(--soft);
  font-size: 10px; }
svg .value { font-weight: 600; } svg .track { stroke: var(--faint); stroke-width: 5; }
svg .launch { fill: var(--mark); fill-opacity: .55; } svg .median { stroke: var(--mark); stroke-width: 2.5; }
svg .baseline { fill: none; stroke: var(--ink); stroke-width: 1.25; } svg .fit, svg .curve { fill: none; stroke: var(--mark);
  stroke-width: 1.75; }
svg .curve { stroke-linejoin: round; } svg .end { fill: var(--mark); }
@media (max-width: 480px) { body { font-size: 14.5px; } .verdict .happened { font-size: 1.15rem; } .wide { display: none; }
  td, th { padding-right: .4rem; } td.n, th.n { padding-right: .6rem; } }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --wash: #f4f4f4; --mark: #1f4f8f; --faint: #c3d3e8;
    --good: #14532d; --warn: #6b4300; --bad: #9b1c16; }
  @page { margin: 14mm; } body { font-size: 10pt; } main { max-width: none; padding: 0; } nav { display: none; }
  h2, h3 { break-after: avoid; } figure, tr, pre { break-inside: avoid; } .charts { grid-template-columns: 1fr 1fr; }
  a { color: inherit; text-decoration: none; }
  .badge.fail { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
)css";

}  // namespace parti::report
