// Chat: the AI SDK's own chat, with its state kept here; what `useChat` is made of, without React.

/** Make a chat class of one version of `ai`. */
export function chatOf({ AbstractChat }) {
  class State {
    status = "ready";
    error = undefined;
    messages = [];
    pushMessage = (message) => (this.messages = [...this.messages, message]);
    popMessage = () => (this.messages = this.messages.slice(0, -1));
    replaceMessage = (index, message) => (this.messages = this.messages.with(index, structuredClone(message)));
    snapshot = (thing) => structuredClone(thing);
  }
  return class Chat extends AbstractChat {
    constructor({ messages = [], ...init }) {
      const state = new State();
      state.messages = messages;
      super({ ...init, state });
    }
  };
}

export const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
