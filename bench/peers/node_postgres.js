// node-postgres: the rows of peer_program.hpp. One thread, so T threads are T loops that await.
"use strict";

const fs = require("fs");
const { performance } = require("perf_hooks");
const { Pool } = require("pg");

let seconds = 1;
let filter = /(?:)/;
let out = "/dev/stdout";
for (const word of process.argv.slice(2)) {
  const value = word.slice(word.indexOf("=") + 1);
  if (word.startsWith("--benchmark_out=")) out = value;
  if (word.startsWith("--benchmark_filter=")) filter = new RegExp(value);
  if (word.startsWith("--seconds=")) seconds = Number(value);
}

const pause = (s) => new Promise((resolve) => setTimeout(resolve, s * 1000));

async function warmPool(size) {
  const pool = new Pool({ max: size, idleTimeoutMillis: 0 }); // reads PG*
  const held = await Promise.all(Array.from({ length: size }, () => pool.connect()));
  for (const client of held) client.release();
  return pool;
}

async function rate(threads, turn) {
  let counts = false;
  let stop = false;
  // A pool that has an idle client answers without a turn of the event loop, and timers would wait for
  // ever: so each loop lets the others in now and then, and looks at the clock.
  const loop = async () => {
    let turns = 0;
    for (let n = 1; !stop; ++n) {
      await turn();
      if (counts) ++turns;
      if (n % 64 === 0) await new Promise(setImmediate);
    }
    return turns;
  };
  const workers = Array.from({ length: threads }, loop);
  try {
    await Promise.race([pause(seconds / 4 + 0.2), ...workers]);
    counts = true;
    const began = performance.now();
    await Promise.race([pause(seconds), ...workers]);
    stop = true;
    const turns = (await Promise.all(workers)).reduce((sum, n) => sum + n, 0);
    return turns / ((performance.now() - began) / 1000);
  } finally {
    stop = true;
  }
}

const lease = (pool) => async () => {
  const client = await pool.connect();
  client.release();
};

let value = 0;
const select = (pool) => async () => {
  const wanted = (value = (value + 1) & 0xfffff);
  const client = await pool.connect();
  try {
    const query = { name: "one", text: "select $1::int4 as n", values: [wanted] };
    const result = await client.query(query);
    if (result.rows[0].n !== wanted) throw new Error("the server gave another number");
  } finally {
    client.release();
  }
};

async function main() {
  const rows = [];
  const add = async (what, threads, size, turn) => {
    const name = `${what}/${threads}_on_${size}/node_postgres`;
    if (!filter.test(name)) return;
    try {
      const pool = await warmPool(size);
      const perSecond = await rate(threads, turn(pool));
      await pool.end();
      rows.push({ name, run_type: "iteration", items_per_second: perSecond });
    } catch (error) {
      rows.push({ name, run_type: "iteration", error_occurred: true, error_message: String(error) });
    }
  };
  for (const [threads, size] of [[1, 4], [2, 4], [16, 8], [16, 4]]) {
    await add("lease", threads, size, lease);
  }
  for (const [threads, size] of [[1, 8], [8, 8], [32, 8]]) {
    await add("select", threads, size, select);
  }
  fs.writeFileSync(out, JSON.stringify({ benchmarks: rows }, null, 2) + "\n");
  process.exit(0);
}

main();
