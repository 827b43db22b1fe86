/**
 * Address: from what people paste to the endpoint of a gateway.
 *
 * By hand and not with `URL`, whose searchParams React Native leaves unfinished.
 */
import { AndonError } from "./errors.js";

const SCHEMES = /** @type {Record<string, string>} */ ({ "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" });
const ENDPOINT = "/v1/responses";

/**
 * @param {string} url `https://host`, `wss://host/v1/responses`, or, in a page, a path of its own origin.
 * @param {string} session
 * @returns {string}
 */
export function endpoint(url, session) {
  const origin = /** @type {string | undefined} */ (globalThis.location?.origin);
  const whole = url.startsWith("/") && origin ? origin + url : url;
  const [, scheme, host, path, query] = /^([a-z]+:)\/\/([^/?#]+)([^?#]*)(?:\?([^#]*))?/i.exec(whole) ?? [];
  const socket = SCHEMES[scheme?.toLowerCase() ?? ""];
  if (!socket) throw new AndonError(`${JSON.stringify(url)} is no address of a gateway; it looks like https://host/v1/responses`);
  const place = path === "" || path === "/" ? ENDPOINT : path;
  // We decide ourselves when to leave: a socket that a stop closed would only have to be opened again.
  const asked = [query, `session=${encodeURIComponent(session)}`, "on_stop=keep"].filter(Boolean).join("&");
  return `${socket}//${host}${place}?${asked}`;
}
