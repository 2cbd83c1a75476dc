// Renders formulas for mathematics.py: a JSON line [latex, display] in, a JSON line {html} or {error} out.
const katex = require(process.argv[2]);

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [latex, displayMode] = JSON.parse(line);
    let answer;
    try {
      answer = { html: katex.renderToString(latex, { displayMode, strict: "ignore" }) };
    } catch (error) {
      answer = { error: error.message };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
  });
