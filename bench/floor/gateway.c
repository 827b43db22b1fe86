/* The floor's gateway: a WebSocket frame in, one script; a published message in, a WebSocket frame out.
 *
 * From the client: `c PROMPT` and `x ID`; to it: `s ID`, `t MARKS`, `e`. To the worker: `c GATEWAY ID PROMPT` and
 * `x ID`; from it: `ID t MARKS` and `ID e`. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resp.h"
#include "roles.h"
#include "websocket.h"

static const char create_script[] = "redis.call('HSET', KEYS[1], 'state', 'running') "
                                    "redis.call('EXPIRE', KEYS[1], 600) return redis.call('PUBLISH', ARGV[1], ARGV[2])";
static const char stop_script[] = "if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end "
                                  "local t = redis.call('TIME') "
                                  "redis.call('HSET', KEYS[1], 'stop_at', t[1] .. '.' .. t[2]) "
                                  "return redis.call('PUBLISH', ARGV[1], ARGV[2])";

static struct conn *clients[SLOTS];
static char create_sha[SHA_SIZE + 1], stop_sha[SHA_SIZE + 1];
static long number, made;

static void run(const char *sha, long id, const char *text, size_t size) {
    char key[32];
    const char *const words[] = {"EVALSHA", sha, "1", key, WORKER_CHANNEL, text};
    size_t key_size = (size_t)sprintf(key, "floor:job:%ld", id);
    const size_t sizes[] = {7, SHA_SIZE, 1, key_size, strlen(WORKER_CHANNEL), size};
    resp_command(6, words, sizes);
}

/* The text is not terminated: another frame may follow it. */
static long number_in(const char *text, size_t size) {
    long found = 0;
    for (size_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; i++) found = found * 10 + text[i] - '0';
    return found;
}

static void on_text(struct conn *conn, char *text, size_t size) {
    char out[512];
    int length;
    if (text[0] == 'c') {
        long id = ++made * GATEWAYS + number;
        clients[id % SLOTS] = conn;
        length = snprintf(out, sizeof out, "c %ld %ld %.*s", number, id, (int)size - 2, text + 2);
        run(create_sha, id, out, (size_t)length);
        length = sprintf(out, "s %ld", id);
        websocket_send(conn, out, (size_t)length);
    } else if (text[0] == 'x' && size > 2) {
        run(stop_sha, number_in(text + 2, size - 2), text, size);
    }
}

static void on_close(struct conn *conn) {
    for (int i = 0; i < SLOTS; i++)
        if (clients[i] == conn) clients[i] = NULL;
}

static void on_message(char *text, size_t size) {
    char *rest;
    struct conn *conn = clients[strtol(text, &rest, 10) % SLOTS];
    rest++;
    if (conn) websocket_send(conn, rest, size - (size_t)(rest - text));
}

void gateway(long its_number, int redis_port) {
    char channel[32];
    number = its_number;
    sprintf(channel, GATEWAY_CHANNEL, number);
    resp_open(redis_port);
    resp_load(create_script, create_sha);
    resp_load(stop_script, stop_sha);
    resp_subscribe(redis_port, channel, on_message);
    printf("floor.ready %d\n", websocket_listen(on_text, on_close));
    fflush(stdout);
    net_run(resp_flush);
}
