// What both pages need: the elements by their ids, the key, and answers of the API.

export const at = (id) => document.getElementById(id);

/** Make an element with text, and attributes. */
export function made(name, text = "", attributes = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Headers of a request: the key, if one was given in this tab. */
export function headers(more = {}) {
  const key = sessionStorage.getItem("key");
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

/** What a failed answer says, in a sentence. */
export function trouble(status, body) {
  const said = body?.error?.message;
  if (status === 401 || status === 403)
    return `${said ?? "A key is needed."} Give one under “Music, place, key”.`;
  return said ?? (status ? `The server answered ${status}.` : "The server cannot be reached.");
}

/** The JSON of an address of the API; raises an Error with a sentence. */
export async function get(path) {
  let answer;
  try {
    answer = await fetch(path, { headers: headers() });
  } catch {
    throw new Error(trouble(0));
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(trouble(answer.status, body));
  return body;
}

/** Call `work` when `wait` ms have gone by without another call. */
export function calmly(work, wait = 180) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}
