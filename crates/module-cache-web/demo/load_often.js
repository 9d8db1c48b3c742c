// Starts the program and loads a module with it: once, and then many times, since one load is too fast for the
// clock of a browser. Pages and workers have this in common.

import init, { load } from "./demo.js";

const MORE = 1000;

export async function loadOften({ url, hash }) {
  await init();
  return [await timed(1, () => load(url, hash)), await timed(MORE, () => load(url, hash))];
}

// How many loads there were, where the modules came from, and how long a load took on average.
async function timed(count, load) {
  const sources = new Set();
  const start = performance.now();
  for (let number = 0; number < count; number++) {
    sources.add(await load());
  }
  return { count, source: [...sources].join(), milliseconds: (performance.now() - start) / count };
}
