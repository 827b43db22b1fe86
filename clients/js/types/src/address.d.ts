/**
 * @param {string} url `https://host`, `wss://host/v1/responses`, or, in a page, a path of its own origin.
 * @param {string} session
 * @returns {string}
 */
export declare function endpoint(url: string, session: string): string;
