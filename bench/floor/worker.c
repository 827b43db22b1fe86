/* The floor's worker: published creates and stops in, tokens out; a stop closes the upstream's socket and then says
 * so. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "resp.h"
#include "roles.h"
#include "upstream.h"

static struct answer *answers[SLOTS];
static int upstream_port;

static void publish(struct answer *answer, const char *kind, const char *text, size_t size) {
    char channel[32], message[size + 32];
    size_t channel_size = (size_t)sprintf(channel, GATEWAY_CHANNEL, answer->id % GATEWAYS);
    size_t head = (size_t)sprintf(message, "%ld %s", answer->id, kind);
    memcpy(message + head, text, size);
    const char *const words[] = {"PUBLISH", channel, message};
    const size_t sizes[] = {7, channel_size, head + size};
    resp_command(3, words, sizes);
}

static void on_tokens(struct answer *answer, const char *marks, size_t size) { publish(answer, "t ", marks, size); }

static void on_end(struct answer *answer) {
    publish(answer, "e", "", 0);
    answers[answer->id % SLOTS] = NULL;
    free(answer);
}

static void on_message(char *text, size_t size) {
    char *at = text + 2;
    if (text[0] == 'x') {
        long id = strtol(at, NULL, 10);
        struct answer *answer = answers[id % SLOTS];
        if (!answer || answer->id != id) return;
        upstream_close(answer);
        on_end(answer);
        return;
    }
    strtol(at, &at, 10); /* the gateway, which the id tells too */
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer) die("calloc");
    answer->id = strtol(at, &at, 10);
    answer->on_tokens = on_tokens;
    answer->on_end = on_end;
    answers[answer->id % SLOTS] = answer;
    at++;
    upstream_ask(answer, upstream_port, at, size - (size_t)(at - text));
}

void worker(int redis_port, int its_upstream_port) {
    upstream_port = its_upstream_port;
    resp_open(redis_port);
    resp_subscribe(redis_port, WORKER_CHANNEL, on_message);
    printf("floor.ready 0\n");
    fflush(stdout);
    net_run(resp_flush);
}
