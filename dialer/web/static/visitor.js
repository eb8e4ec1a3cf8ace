// Who looks at the page: sent to sign in if need be, and shown no control that they may not use.

import { getVisitor, goToSignIn, signOut } from "./api.js";
import { say } from "./connection.js";
import { byId, element, setText } from "./dom.js";

function makePlace() {
  const button = element("button", { type: "button", id: "sign-out" }, "Sign out");
  button.addEventListener("click", () => signOut().catch((error) => say(`You are still signed in. ${error.message}`, true)));
  const place = element("p", { id: "visitor" }, element("span", { id: "visitor-name" }), " ", button);
  document.querySelector("header").append(place);
}

export async function showVisitor() {
  let visitor;
  try {
    visitor = await getVisitor();
  } catch {
    return; // whether the dialer is there is shown anyway
  }
  const { name, scopes, signedIn, problem } = visitor;
  if (problem) say(problem, true);
  else if (!scopes.includes("read")) goToSignIn();
  document.body.classList.toggle("read-only", !scopes.includes("control"));
  if (!signedIn) return;
  if (!byId("visitor")) makePlace();
  setText(byId("visitor-name"), name);
}
