/* WebSocket: a server's side (RFC 6455), as far as the bench's client needs it: its handshake key is a constant, so
 * the answer to it is one; its messages are single text frames. */
#ifndef FLOOR_WEBSOCKET_H
#define FLOOR_WEBSOCKET_H

#include "net.h"

typedef void (*text_fn)(struct conn *conn, char *text, size_t size);

/* Listen on a free port of 127.0.0.1 and return it. `on_close` gets a client that has gone. */
int websocket_listen(text_fn on_text, event_fn on_close);
void websocket_send(struct conn *conn, const char *text, size_t size);

#endif
