/* The two ends and nothing between: a WebSocket client's prompt goes to the model server, its tokens come back as
 * frames. What a token costs here, it costs whoever relays it. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "roles.h"
#include "upstream.h"
#include "websocket.h"

static int upstream_port;

static void on_tokens(struct answer *answer, const char *marks, size_t size) {
    char frame[size + 2];
    memcpy(frame, "t ", 2);
    memcpy(frame + 2, marks, size);
    websocket_send(answer->owner, frame, size + 2);
}

static void on_end(struct answer *answer) {
    struct conn *client = answer->owner;
    if (client) {
        websocket_send(client, "e", 1);
        client->owner = NULL;
    }
    free(answer);
}

static void on_text(struct conn *conn, char *text, size_t size) {
    struct answer *answer = conn->owner;
    if (text[0] == 'x') {
        if (!answer) return;
        upstream_close(answer);
        on_end(answer);
    } else if (!answer) {
        answer = calloc(1, sizeof *answer);
        if (!answer) die("calloc");
        answer->owner = conn;
        answer->on_tokens = on_tokens;
        answer->on_end = on_end;
        conn->owner = answer;
        websocket_send(conn, "s 0", 3);
        upstream_ask(answer, upstream_port, text + 2, size - 2);
    }
}

static void on_close(struct conn *conn) {
    struct answer *answer = conn->owner;
    if (!answer) return;
    conn->owner = NULL;
    upstream_close(answer);
    answer->owner = NULL;
    on_end(answer);
}

void ends(int its_upstream_port) {
    upstream_port = its_upstream_port;
    printf("floor.ready %d\n", websocket_listen(on_text, on_close));
    fflush(stdout);
    net_run(NULL);
}
