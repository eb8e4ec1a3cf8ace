// The only module that speaks to the dialer: whatever a call must carry is added here.

export class ApiError extends Error {}

const SIGN_IN = "/signin";
const BACK = "back"; // where to go after signing in, kept for this tab alone

async function ask(method, path, sent) {
  const headers = { Accept: "application/json" };
  if (sent !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, cache: "no-store", body: sent && JSON.stringify(sent) });
  } catch {
    throw new ApiError("The dialer cannot be reached.");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const error = new ApiError(body.error?.message ?? `The dialer answered ${answer.status}.`);
    error.status = answer.status;
    throw error;
  }
  return body;
}

async function call(method, path) {
  try {
    return await ask(method, path);
  } catch (error) {
    if (error.status === 401) goToSignIn();
    throw error;
  }
}

// Who looks, what they may do (`scopes`), whether they can sign out, and what keeps them out if it is not that.
export const getVisitor = () => ask("GET", "/session");

export async function signIn(token) {
  await ask("POST", "/session", { token });
  const back = sessionStorage.getItem(BACK) ?? "/";
  sessionStorage.removeItem(BACK);
  location.replace(back);
}

export async function signOut() {
  await ask("DELETE", "/session");
  location.assign(SIGN_IN);
}

export function goToSignIn() {
  sessionStorage.setItem(BACK, location.pathname);
  location.replace(SIGN_IN);
}

const campaignPath = (id) => `/campaign/${encodeURIComponent(id)}`;
const contactPath = (id) => `/contact/${encodeURIComponent(id)}`;

export const control = (id, what) => call("POST", `${campaignPath(id)}/${what}`);
export const getCampaign = (id) => call("GET", campaignPath(id));
export const getContact = (id) => call("GET", contactPath(id));
export const getHistory = (id) => call("GET", `${contactPath(id)}/history`);

export function getContacts(id, { status, result, after, limit }) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries({ status, result, after, limit })) {
    if (value) asked.set(name, value);
  }
  return call("GET", `${campaignPath(id)}/contacts?${asked}`);
}

// null where the dialer does not explain itself.
export async function getExplanation(id) {
  try {
    return await call("GET", `${campaignPath(id)}/explain`);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

export const openEvents = () => new EventSource("/events");
