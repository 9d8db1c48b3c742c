// Loads the module here and in two workers, shows the times, and tells the server.

import { loadOften } from "./load_often.js";

const module = await (await fetch("module.json")).json();
document.getElementById("size").textContent = `${(module.size / 1024).toFixed(0)} KiB`;

const results = [];
try {
  show("page", await loadOften(module));
  // The second worker starts while the first is alive and has the module.
  for (const name of ["worker 1", "worker 2"]) {
    show(name, await inWorker(module));
  }
  document.getElementById("footer").textContent = navigator.userAgent;
} catch (error) {
  results.push({ where: "error", error: String(error) });
  document.getElementById("footer").textContent = error;
}
await fetch("results", { method: "POST", body: JSON.stringify(results) });

function show(where, loads) {
  results.push({ where, loads });
  for (const { count, source, milliseconds } of loads) {
    const row = document.getElementById("loads").insertRow();
    row.className = source;
    const which = count === 1 ? "the first" : `${count} more, each`;
    for (const text of [where, which, source, `${milliseconds.toFixed(4)} ms`]) {
      row.insertCell().textContent = text;
    }
  }
}

function inWorker(module) {
  return new Promise((resolve, reject) => {
    const worker = new Worker("worker.js", { type: "module" });
    worker.onmessage = ({ data }) => ("error" in data ? reject(data.error) : resolve(data.loads));
    worker.onerror = ({ message }) => reject(message);
    worker.postMessage(module);
  });
}
