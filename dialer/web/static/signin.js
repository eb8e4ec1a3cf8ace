// The page to sign in on.

import { signIn } from "./api.js";
import { say } from "./connection.js";
import { byId } from "./dom.js";

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = byId("token");
  say("");
  try {
    await signIn(token.value);
  } catch (error) {
    say(`Not signed in: ${error.message}`, true);
    token.select();
  }
});
