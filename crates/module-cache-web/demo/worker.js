// Loads the module that it is told, and answers with the times.

import { loadOften } from "./load_often.js";

onmessage = async ({ data }) => {
  try {
    postMessage({ loads: await loadOften(data) });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
