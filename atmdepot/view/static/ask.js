// Requests to the viewer: an answer, or an error that says why there is none.
const GONE = "the viewer has ended, or cannot be reached";

// The answer to a request; throws the viewer's own words where it refuses.
export async function ask(path, options = {}) {
  let answer;
  try { answer = await fetch(path, options); }
  catch (error) { throw error.name === "AbortError" ? error : new Error(GONE); }
  if (answer.ok) return answer;
  const text = (await answer.text()).trim();
  let words = text;
  try { words = JSON.parse(text).error ?? text; } catch { /* it is no JSON: the words are the text */ }
  throw new Error(words || `the viewer refuses it (${answer.status})`);
}

export const post = async (path, what) => (await ask(path, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what) })).json();
