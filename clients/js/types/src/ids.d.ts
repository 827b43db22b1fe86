/**
 * Ids: names that nobody else gives. They name, and protect nothing: a machine without `crypto` (React Native) makes them
 * by chance.
 */
/**
 * @param {string} prefix
 * @returns {string}
 */
export declare function newId(prefix: string): string;
