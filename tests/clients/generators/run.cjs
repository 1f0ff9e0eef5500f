// Runs a compiled round trip: `node run.cjs PROGRAM JOB`. Prints what it has done.
const { readFileSync } = require("node:fs");

const [program, text] = process.argv.slice(2);
const job = JSON.parse(text);
require(program).run(job, new Blob([readFileSync(job.archive)])).then(
  (done) => console.log(JSON.stringify(done)),
  async (error) => {
    const answer = error.response ? await error.response.text() : JSON.stringify(error);
    console.error(error, answer);
    process.exit(1);
  },
);
