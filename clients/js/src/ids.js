/**
 * Ids: names that nobody else gives. They name, and protect nothing: a machine without `crypto` (React Native) makes them
 * by chance.
 */

/**
 * @param {string} prefix
 * @returns {string}
 */
export function newId(prefix) {
  const bytes = new Uint8Array(16);
  if (globalThis.crypto?.getRandomValues) globalThis.crypto.getRandomValues(bytes);
  else for (let at = 0; at < bytes.length; at += 1) bytes[at] = Math.floor(Math.random() * 256);
  return `${prefix}-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
