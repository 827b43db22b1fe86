#define _GNU_SOURCE
#include "resp.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net.h"

static struct conn *commands;
static void (*message_cb)(char *text, size_t size);

/* The bytes of one reply; 0 while it is incomplete. */
static size_t reply_size(const char *data, size_t size) {
    const char *end = memchr(data, '\n', size);
    if (!end) return 0;
    size_t at = (size_t)(end + 1 - data);
    long count = atol(data + 1);
    if (data[0] == '-') {
        fprintf(stderr, "%.*s", (int)at, data);
        exit(1);
    }
    if (data[0] == '$' && count >= 0) return size < at + (size_t)count + 2 ? 0 : at + (size_t)count + 2;
    for (; data[0] == '*' && count > 0; count--) {
        size_t inner = at < size ? reply_size(data + at, size - at) : 0;
        if (!inner) return 0;
        at += inner;
    }
    return at;
}

static size_t replies(struct conn *conn, char *data, size_t size) {
    size_t at = 0, one;
    (void)conn;
    while (at < size && (one = reply_size(data + at, size - at))) at += one;
    return at;
}

/* The last bulk string of a `message` push is its text. */
static void message(char *data, size_t size) {
    char *at = data;
    if (!memmem(data, size < 24 ? size : 24, "\r\nmessage\r\n", 11)) return; /* the confirmation */
    at = memchr(at, '\n', size) + 1;                                        /* *3 */
    for (int part = 0; part < 2; part++) {
        long length = atol(at + 1);
        at = (char *)memchr(at, '\n', size) + 1 + length + 2;
    }
    long length = atol(at + 1);
    message_cb((char *)memchr(at, '\n', size) + 1, (size_t)length);
}

static size_t messages(struct conn *conn, char *data, size_t size) {
    size_t at = 0, one;
    (void)conn;
    while (at < size && (one = reply_size(data + at, size - at))) {
        message(data + at, one);
        at += one;
    }
    return at;
}

static void lost(struct conn *conn) {
    (void)conn;
    fprintf(stderr, "Redis closed the connection\n");
    exit(1);
}

void resp_open(int port) { commands = net_connect(port, replies, lost, NULL); }

void resp_command(int words, const char *const word[], const size_t size[]) {
    char head[32];
    net_queue(commands, head, (size_t)sprintf(head, "*%d\r\n", words));
    for (int i = 0; i < words; i++) {
        net_queue(commands, head, (size_t)sprintf(head, "$%zu\r\n", size[i]));
        net_queue(commands, word[i], size[i]);
        net_queue(commands, "\r\n", 2);
    }
}

void resp_flush(void) { net_flush(commands); }

void resp_load(const char *script, char sha[SHA_SIZE + 1]) {
    const char *const words[] = {"SCRIPT", "LOAD", script};
    const size_t sizes[] = {6, 4, strlen(script)};
    char reply[64];
    size_t got = 0;
    struct pollfd ready = {.fd = commands->fd, .events = POLLOUT};
    poll(&ready, 1, 5000);
    commands->is_connecting = 0;
    resp_command(3, words, sizes);
    resp_flush();
    ready.events = POLLIN;
    while (got < 5 + SHA_SIZE + 2) {
        poll(&ready, 1, 5000);
        ssize_t size = recv(commands->fd, reply + got, sizeof reply - got, 0);
        if (size <= 0) die("SCRIPT LOAD");
        got += (size_t)size;
    }
    memcpy(sha, reply + 5, SHA_SIZE);
    sha[SHA_SIZE] = 0;
}

void resp_subscribe(int port, const char *channel, void (*on_message)(char *text, size_t size)) {
    char command[128];
    message_cb = on_message;
    struct conn *conn = net_connect(port, messages, lost, NULL);
    net_write(conn, command,
              (size_t)sprintf(command, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(channel), channel));
}
