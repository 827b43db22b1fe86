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
export declare function watchPage({ wake, doubt }: {
    wake: () => void;
    doubt: () => void;
}): () => void;
