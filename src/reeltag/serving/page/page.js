// The page: a clip and a caption in, chips with reasons out, and back what was taken of them.

import { at, calmly, get, headers, made, trouble } from "./common.js";

const STAGES = {
  received: "The clip is there",
  decode: "Reading frames and sound",
  features: "Working out what is seen, heard and said",
  score: "Ranking every hashtag",
};
let asked = null; // the request under way
let shown = null; // the last answer

// What is asked

function choose(file) {
  const size = file && `${file.name}, ${(file.size / 1e6).toFixed(1)} MB`;
  at("chosen").textContent = size || "mp4, mov, webm, mkv; a caption alone works too";
  at("without").hidden = !file;
}

at("clip").addEventListener("change", () => choose(at("clip").files[0]));
at("without").addEventListener("click", () => {
  at("clip").value = "";
  choose(null);
  at("clip").focus();
});
for (const kind of ["dragover", "dragleave", "drop"])
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind !== "drop" || !event.dataTransfer.files.length) return;
    at("clip").files = event.dataTransfer.files;
    choose(at("clip").files[0]);
  });
at("key").value = sessionStorage.getItem("key") ?? "";
at("key").addEventListener("change", () => sessionStorage.setItem("key", at("key").value.trim()));

function suggest(input, list, path, names) {
  at(input).addEventListener("input", calmly(async () => {
    const prefix = at(input).value.replace(/^#+/, "");
    const found = await get(`${path}?prefix=${encodeURIComponent(prefix)}&n=12`).catch(() => null);
    if (found) at(list).replaceChildren(...names(found).map((name) => made("option", "", { value: name })));
  }));
}
suggest("user", "users", "/v1/users", (found) => found.users.map((each) => each.user));
suggest("add", "known", "/v1/hashtags", (found) => found.hashtags.map((each) => each.hashtag));

at("post").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData();
  const clip = at("clip").files[0];
  if (clip) form.append("clip", clip);
  for (const name of ["user", "caption", "music", "place"])
    if (at(name).value.trim()) form.append(name, at(name).value);
  form.append("k", "10");
  form.append("explain", "true");
  form.append("filmstrip", "true");
  ask(form, Boolean(clip));
});
at("stop").addEventListener("click", () => asked?.abort());

// The request is XMLHttpRequest's: fetch tells nothing of how much is sent.
function ask(form, uploading) {
  const request = new XMLHttpRequest();
  let read = 0;
  let ended = false;
  asked = request;
  working(true, uploading ? "Sending the clip" : STAGES.score);
  request.open("POST", "/v1/recommend");
  request.setRequestHeader("Accept", "text/event-stream");
  for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
  request.upload.onprogress = (event) => {
    if (uploading && event.lengthComputable) bar(event.loaded / event.total, "Sending the clip");
  };
  const take = () => {
    const text = request.responseText;
    for (let end; (end = text.indexOf("\n\n", read)) >= 0; read = end + 2) {
      const lines = text.slice(read, end).split("\n");
      const kind = lines.find((line) => line.startsWith("event: "))?.slice(7);
      const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
      if (!kind) continue; // a comment that keeps the connection open
      const value = JSON.parse(data.join("\n"));
      if (kind === "stage") bar(null, STAGES[value.stage] ?? value.stage);
      if (kind === "result") [ended] = [true, show(value)];
      if (kind === "error") [ended] = [true, failed(value.error.message)];
    }
  };
  request.onprogress = () => request.status === 200 && take();
  request.onload = () => {
    if (request.status === 200) take();
    if (ended) return;
    let body = null;
    try { body = JSON.parse(request.responseText); } catch { /* no JSON: the status says it */ }
    failed(trouble(request.status, body));
  };
  request.onerror = () => failed(trouble(0));
  request.onabort = () => failed("Stopped.");
  request.send(form);
}

function working(on, stage = "") {
  at("work").hidden = !on;
  at("ask").disabled = on;
  at("trouble").hidden = true;
  if (on) bar(null, stage);
}

function bar(share, stage) {
  if (share === null) at("bar").removeAttribute("value");
  else at("bar").value = share;
  if (at("stage").textContent !== stage) at("stage").textContent = stage;
}

function failed(sentence) {
  working(false);
  at("trouble").textContent = sentence;
  at("trouble").hidden = false;
}

// What is answered

function show(answer) {
  working(false);
  shown = answer;
  at("done").textContent = "";
  at("publish").disabled = false;
  at("warnings").replaceChildren(...answer.warnings.map((text) => made("li", text)));
  at("film").replaceChildren(...(answer.filmstrip ?? []).map(frame));
  at("chips").replaceChildren(...answer.hashtags.map(chip));
  at("timing").replaceChildren(...Object.entries(answer.timing_ms).flatMap(
    ([name, ms]) => [made("dt", name), made("dd", `${ms.toFixed(1)} ms`)]));
  at("result").hidden = false;
  at("found").focus();
  tell();
}

function frame({ time, image, weight }) {
  const picture = made("img", "", { src: image, alt: `At ${time.toFixed(1)} s` });
  const item = made("li");
  item.append(picture, made("small", weight == null ? `${time.toFixed(1)} s` : `${Math.round(100 * weight)} %`));
  if (weight != null) {
    const most = Math.max(...shown.filmstrip.map((each) => each.weight ?? 0)) || 1;
    picture.style.opacity = String(0.35 + 0.65 * (weight / most));
  }
  return item;
}

function chip({ hashtag, score, reasons }) {
  const item = at("chip").content.firstElementChild.cloneNode(true);
  const take = item.querySelector(".take");
  take.querySelector("b").textContent = `#${hashtag}`;
  const probable = shown.probable && score > 0;
  take.querySelector(".chance").textContent = probable ? `${Math.round(100 * score)} %` : "";
  item.querySelector(".why").textContent = reasons?.map((reason) => reason.text).join("; ") ?? "";
  item.querySelector(".drop-it").setAttribute("aria-label", `Remove #${hashtag}`);
  item.dataset.hashtag = hashtag;
  take.addEventListener("click", () => {
    take.setAttribute("aria-pressed", String(take.getAttribute("aria-pressed") !== "true"));
    tell();
  });
  item.querySelector(".drop-it").addEventListener("click", () => {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    (next?.querySelector(".take") ?? at("add")).focus();
    tell();
  });
  return item;
}

const taken = () => [...at("chips").querySelectorAll('.take[aria-pressed="true"]')]
  .map((take) => take.closest("li").dataset.hashtag);

function tell() {
  const names = taken();
  at("line").textContent = names.map((name) => `#${name}`).join(" ");
  at("copy").disabled = !names.length;
}

at("adding").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = at("add").value.trim().replace(/^#+/, "");
  if (!name) return;
  const known = [...at("chips").children].find((item) => item.dataset.hashtag === name);
  const item = known ?? chip({ hashtag: name, score: 0, reasons: [{ text: "added by you" }] });
  if (!known) at("chips").append(item);
  item.querySelector(".take").setAttribute("aria-pressed", "true");
  at("add").value = "";
  tell();
});

at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("line").textContent);
    at("done").textContent = "Copied.";
  } catch {
    at("done").textContent = "The browser does not let this page copy; select the line above.";
  }
});

at("publish").addEventListener("click", async () => {
  at("publish").disabled = true;
  const user = at("user").value.trim();
  const post = {
    user: user || null,
    caption: at("caption").value,
    hashtags: taken(),
    recommendation_id: shown.recommendation_id,
  };
  let answer, body;
  try {
    answer = await fetch("/v1/posts", {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: JSON.stringify(post),
    });
    body = await answer.json().catch(() => null);
  } catch {
    answer = { ok: false, status: 0 };
  }
  at("publish").disabled = answer.ok;
  at("done").textContent = answer.ok
    ? `Thank you. The next recommendation for ${user || "everybody"} knows of it.`
    : trouble(answer.status, body);
});
