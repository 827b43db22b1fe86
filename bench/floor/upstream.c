#define _GNU_SOURCE
#include "upstream.h"

#include <stdio.h>
#include <string.h>

#define MARK_SIZE 10
#define MARKS_ROOM 8192

static void ended(struct answer *answer) {
    upstream_close(answer);
    answer->on_end(answer);
}

static void closed(struct conn *conn) {
    struct answer *answer = conn->owner;
    answer->conn = NULL;
    answer->on_end(answer);
}

/* Take whole events; of a delta its mark. An event ends with an empty line; HTTP's chunk sizes between do no harm. */
static size_t events(struct conn *conn, char *data, size_t size) {
    struct answer *answer = conn->owner;
    char marks[MARKS_ROOM], *end;
    size_t at = 0, found = 0;
    while ((end = memmem(data + at, size - at, "\n\n", 2))) {
        size_t length = (size_t)(end - data) - at;
        char *event = data + at, *mark = memchr(event, '~', length);
        at += length + 2;
        if (mark && memmem(event, length, "output_text.delta", 17)) {
            if (found + MARK_SIZE > MARKS_ROOM) {
                answer->on_tokens(answer, marks, found);
                found = 0;
            }
            memcpy(marks + found, mark, MARK_SIZE);
            found += MARK_SIZE;
        } else if (memmem(event, length < 64 ? length : 64, "response.completed", 18)) {
            if (found) answer->on_tokens(answer, marks, found);
            ended(answer);
            return at;
        }
    }
    if (found) answer->on_tokens(answer, marks, found);
    return at;
}

void upstream_ask(struct answer *answer, int port, const char *prompt, size_t size) {
    char request[512];
    static const char before[] = "{\"model\":\"bench\",\"stream\":true,\"input\":\"", after[] = "\"}";
    answer->conn = net_connect(port, events, closed, answer);
    int head = snprintf(request, sizeof request,
                        "POST /v1/responses HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                        "content-length: %zu\r\n\r\n%s%.*s%s",
                        sizeof before - 1 + size + sizeof after - 1, before, (int)size, prompt, after);
    net_write(answer->conn, request, (size_t)head);
}

void upstream_close(struct answer *answer) {
    if (answer->conn) net_close(answer->conn);
    answer->conn = NULL;
}
