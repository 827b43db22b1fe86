// Consumer: TypeScript that uses the client by its shipped types. It is checked, and never run.
import type { ChatTransport as Transport6, UIMessage as Message6 } from "ai6";
import type { ChatTransport as Transport7, UIMessage as Message7 } from "ai7";
import { Client, DetachedError, type Response, type ResponseEvent, type StopTimes } from "andon-client";
import { AndonChatTransport } from "andon-client/ai-sdk";

export const six: Transport6<Message6> = new AndonChatTransport({ model: "m", url: "https://host" });
export const seven: Transport7<Message7> = new AndonChatTransport({ model: "m", token: async () => "t" });

export async function use(): Promise<Response> {
  const client = new Client({ url: ["wss://one", "wss://two"], token: ({ reason }) => ({ token: reason, expiresAt: 1 }) });
  const response = client.create({ model: "m", input: "hi" }, { signal: AbortSignal.timeout(1000) });
  for await (const event of response) {
    const seen: ResponseEvent = event;
    if (seen.type === "response.output_text.delta") break;
  }
  for await (const piece of response.text()) piece.trim();
  const times: StopTimes | null = await response.stop({ reason: "enough" });
  if (times?.upstream_closed === null) throw new DetachedError(response.id, response.lastSequenceNumber);
  // @ts-expect-error a create needs its model
  client.create({ input: "hi" });
  // @ts-expect-error no such option
  new Client({ ulr: "https://host" });
  return response.done;
}
