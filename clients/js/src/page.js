/**
 * Page: what a browser tells about its page and its network. Elsewhere (Node, React Native) there is nothing to hear, and
 * that is no error: `client.wake()` is for whoever knows better.
 */

/**
 * Call `wake` when the page is seen again or the network is back, and `doubt` when the network is said to be gone.
 *
 * @param {{ wake: () => void, doubt: () => void }} told
 * @returns {() => void} Ends it.
 */
export function watchPage({ wake, doubt }) {
  const scope = /** @type {any} */ (globalThis);
  const seen = () => {
    if (scope.document?.visibilityState !== "hidden") wake();
  };
  /** @type {[any, string, () => void][]} */
  const listeners = [
    [scope.document, "visibilitychange", seen],
    [scope, "pageshow", seen],
    [scope, "online", wake],
    [scope, "offline", doubt],
  ];
  for (const [target, type, listener] of listeners) target?.addEventListener?.(type, listener);
  return () => {
    for (const [target, type, listener] of listeners) target?.removeEventListener?.(type, listener);
  };
}
