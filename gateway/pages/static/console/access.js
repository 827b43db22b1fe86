/**
 * Access: the operator's token, and asking with it.
 *
 * Owns where the token is (this tab's `sessionStorage`: gone with the tab, and never in an address) and the admin API's
 * calls. Does not own the feed.
 */
const KEY = "andon.console.token";

export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const access = {
  get token() {
    return sessionStorage.getItem(KEY) ?? "";
  },
  set token(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  },
};

/**
 * Ask the admin API.
 *
 * @param {string} path
 * @param {any} [body] Given: it is posted.
 * @returns {Promise<any>}
 * @throws {Refused}
 */
export async function ask(path, body) {
  const headers = new Headers(access.token ? { Authorization: `Bearer ${access.token}` } : {});
  const posted = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  if (body !== undefined) headers.set("Content-Type", "application/json");
  const reply = await fetch(`/v1/admin/${path}`, { headers, ...posted });
  const told = await reply.json();
  if (!reply.ok) throw new Refused(reply.status, told.error?.message ?? `HTTP ${reply.status}`);
  return told;
}
