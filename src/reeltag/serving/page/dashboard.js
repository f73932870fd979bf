// The dashboard: what /v1/stats says, every five seconds.

import { at, get, made } from "./common.js";

const EVERY = 5000;
const percent = (share) => (share == null ? "-" : `${(100 * share).toFixed(0)} %`);
const ms = (value) => (value == null ? "-" : `${value.toFixed(value < 10 ? 1 : 0)} ms`);

function tile(name, value) {
  const box = made("div");
  box.append(made("b", value), made("span", name, { class: "soft" }));
  return box;
}

function table(columns, rows, none) {
  if (!rows.length) return made("p", none, { class: "soft" });
  const whole = made("table");
  const head = whole.createTHead().insertRow();
  for (const column of columns) head.append(made("th", column, { scope: "col" }));
  const body = whole.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const value of row) line.insertCell().textContent = value;
  }
  return whole;
}

function bars(minutes) {
  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const most = Math.max(1, ...minutes);
  const picture = svg("svg", { viewBox: `0 0 ${10 * minutes.length} 110`, role: "img" });
  picture.setAttribute("aria-label", `At most ${most} a minute; ${minutes.at(-1) ?? 0} in the last one.`);
  minutes.forEach((count, place) => {
    const height = (95 * count) / most;
    picture.append(svg("rect", { x: 10 * place + 1, y: 110 - height, width: 8, height }));
  });
  const label = svg("text", { x: 0, y: 10 });
  label.textContent = `${most} a minute`;
  picture.append(label);
  return picture;
}

async function refresh() {
  try {
    const stats = await get("/v1/stats?minutes=60");
    at("trouble").hidden = true;
    at("tiles").replaceChildren(
      tile("recommendations in an hour", String(stats.recommendations)),
      tile("posts in an hour", String(stats.posts)),
      tile("half are answered within", ms(stats.latency_ms.p50)),
      tile("99 of 100 within", ms(stats.latency_ms.p99)),
      ...Object.entries(stats.acceptance).map(([k, share]) => tile(`took one of the first ${k}`, percent(share))),
    );
    at("minutes").replaceChildren(bars(stats.minutes));
    at("stages").replaceChildren(table(["stage", "p50", "p95", "p99"],
      Object.entries(stats.stages_ms).map(([name, q]) => [name, ms(q.p50), ms(q.p95), ms(q.p99)]),
      "Nothing was asked yet."));
    at("trending").replaceChildren(table(["hashtag", "uses now", "uses before"],
      stats.trending.map((each) => [`#${each.hashtag}`, each.now, each.before]), "No posts yet."));
    at("failures").replaceChildren(table(["when", "stage", "reason"],
      stats.failures.map((each) => [new Date(1000 * each.at).toLocaleString(), each.stage, each.reason]),
      "None."));
  } catch (fault) {
    at("trouble").textContent = fault.message;
    at("trouble").hidden = false;
  }
  setTimeout(refresh, EVERY);
}
refresh();
