/** The page's style: system fonts, one column, colours that differ in lightness too, for both schemes and on paper. */
export const style = `
:root {
  --text: #1b1f24; --soft: #57606a; --back: #ffffff; --box: #f6f8fa; --rim: #d0d7de;
  --replay: #0969da; --with: #9a6700; --good: #1a7f37; --bad: #cf222e;
  --s0: #0969da; --s1: #9a6700; --s2: #8250df; --s3: #1a7f37;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e6edf3; --soft: #9da7b3; --back: #0d1117; --box: #161b22; --rim: #30363d;
    --replay: #4493f8; --with: #d29922; --good: #3fb950; --bad: #f85149;
    --s0: #4493f8; --s1: #d29922; --s2: #ab7df8; --s3: #3fb950;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--rim); }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .5rem 0; max-width: 46rem; }
.verdict { font-size: 1.1rem; font-weight: 600; padding: .75rem 1rem; border: 1px solid var(--rim); border-left-width: 6px; border-radius: 6px; background: var(--box); max-width: none; }
.verdict.good { border-left-color: var(--good); } .verdict.bad { border-left-color: var(--bad); } .verdict.untold { border-left-color: var(--soft); }
.mark-good { color: var(--good); font-weight: 600; } .mark-bad { color: var(--bad); font-weight: 600; } .mark-untold { color: var(--soft); }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--rim); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
.checks td:last-child { min-width: 14rem; }
td.number { text-align: right; white-space: nowrap; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--soft); }
figure { margin: .75rem 0; overflow-x: auto; } figcaption, .key { color: var(--soft); font-size: .875rem; }
svg { display: block; width: 100%; min-width: 34rem; max-width: 44rem; height: auto; }
svg text { fill: var(--text); font-size: 12px; } svg text.tick { fill: var(--soft); }
.grid { stroke: var(--rim); stroke-width: 1; } .rule { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 4 3; }
.mark.replay { fill: var(--replay); } .mark.with { fill: var(--with); }
.range { stroke-width: 2.5; } .range.replay { stroke: var(--replay); } .range.with { stroke: var(--with); }
.series { fill: none; stroke-width: 1.5; }
.series-0 { stroke: var(--s0); } .series-1 { stroke: var(--s1); } .series-2 { stroke: var(--s2); } .series-3 { stroke: var(--s3); }
.dot { stroke: none; } .dot.series-0 { fill: var(--s0); } .dot.series-1 { fill: var(--s1); } .dot.series-2 { fill: var(--s2); } .dot.series-3 { fill: var(--s3); }
.dot-with, .dot-replay { display: inline-block; width: .65rem; height: .65rem; border-radius: 50%; background: var(--with); margin: 0 .15rem 0 .5rem; }
.dot-replay { background: var(--replay); } .key .dot-with { margin-left: 0; }
@media print { details > * { display: block; } }
`
