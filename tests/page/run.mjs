// One scenario in a browser: node run.mjs NAME '{"url": …, "chromium": …, …}'. Asks for what only the caller can do by a
// line of JSON and waits for an answer on its input; ends with 0 when all was as it should be.
import * as scenarios from "./scenarios.mjs";

const PATIENCE_MS = 150000; // beside those of each step: what a page waits for has none

setTimeout(() => {
  console.error("the scenario did not come to its end");
  process.exit(1);
}, PATIENCE_MS);

try {
  await scenarios[process.argv[2]]();
  process.exit(0);
} catch (error) {
  console.error(error.stack ?? error);
  process.exit(1);
}
