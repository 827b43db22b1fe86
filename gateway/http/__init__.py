"""The HTTP door: OpenAI's Responses API for those who have no WebSocket, over the same jobs and the same stops."""
