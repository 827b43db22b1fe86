/**
 * Input: the messages of the AI SDK, as input items of the Responses API.
 *
 * The whole conversation goes along each time, as the user sees it: what a stop left of an answer is part of it. Tool calls
 * without a result are left out, for a model server refuses a call without its output; so is reasoning, which only the
 * server that wrote it can read.
 *
 * @typedef {{ type: string, [member: string]: any }} Part
 * @typedef {{ id: string, role: "system" | "user" | "assistant", parts: Part[], metadata?: any }} Message
 */
export type Part = {
    type: string;
    [member: string]: any;
};
export type Message = {
    id: string;
    role: "system" | "user" | "assistant";
    parts: Part[];
    metadata?: any;
};
/**
 * @param {readonly Message[]} messages
 * @returns {object[]}
 */
export declare function inputOf(messages: readonly Message[]): object[];
