// The only module that speaks to the dialer: whatever a call must carry is added here.

export class ApiError extends Error {}

async function call(method, path) {
  let answer;
  try {
    answer = await fetch(path, { method, headers: { Accept: "application/json" }, cache: "no-store" });
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
