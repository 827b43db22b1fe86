#define _GNU_SOURCE
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define READ_ROOM 16384

static int loop = -1, listener = -1;
static struct conn *closed; /* freed when no event of this turn can name them any more */
static void (*accepted)(struct conn *conn);

void die(const char *what) {
    perror(what);
    exit(1);
}

static void *grown(void *memory, size_t size) {
    memory = realloc(memory, size);
    if (!memory) die("realloc");
    return memory;
}

static int loop_fd(void) {
    if (loop < 0 && (loop = epoll_create1(0)) < 0) die("epoll_create1");
    return loop;
}

static void watch(struct conn *conn, int how, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (conn->events == events) return;
    if (epoll_ctl(loop_fd(), how, conn->fd, &event)) die("epoll_ctl");
    conn->events = events;
}

static struct conn *conn_new(int fd) {
    int one = 1;
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) die("calloc");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn->fd = fd;
    return conn;
}

int net_listen(void (*on_accept)(struct conn *conn)) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) || listen(fd, 4096)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&at, &size)) die("getsockname");
    listener = fd;
    accepted = on_accept;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL: the one listener */
    if (epoll_ctl(loop_fd(), EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    return ntohs(at.sin_port);
}

struct conn *net_connect(int port, data_fn on_data, event_fn on_close, void *owner) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) die("socket");
    struct conn *conn = conn_new(fd);
    conn->on_data = on_data;
    conn->on_close = on_close;
    conn->owner = owner;
    conn->is_connecting = connect(fd, (struct sockaddr *)&to, sizeof to) != 0;
    if (conn->is_connecting && errno != EINPROGRESS) die("connect");
    watch(conn, EPOLL_CTL_ADD, conn->is_connecting ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return conn;
}

static void gone(struct conn *conn) {
    event_fn on_close = conn->on_close;
    if (conn->is_closed) return;
    if (on_close) on_close(conn);
    net_close(conn);
}

void net_queue(struct conn *conn, const void *data, size_t size) {
    if (conn->out_size + size > conn->out_room) {
        conn->out_room = (conn->out_size + size) * 2;
        conn->out = grown(conn->out, conn->out_room);
    }
    memcpy(conn->out + conn->out_size, data, size);
    conn->out_size += size;
}

void net_flush(struct conn *conn) {
    if (conn->is_closed || conn->is_connecting || !conn->out_size) return;
    ssize_t sent = send(conn->fd, conn->out, conn->out_size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return; /* the read side tells of the end */
    size_t done = sent < 0 ? 0 : (size_t)sent;
    memmove(conn->out, conn->out + done, conn->out_size - done);
    conn->out_size -= done;
    watch(conn, EPOLL_CTL_MOD, conn->out_size ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void net_write(struct conn *conn, const void *data, size_t size) {
    if (conn->is_closed) return;
    if (!conn->out_size && !conn->is_connecting) {
        ssize_t sent = send(conn->fd, data, size, MSG_NOSIGNAL);
        if (sent == (ssize_t)size) return;
        if (sent < 0 && errno != EAGAIN) return;
        size_t done = sent < 0 ? 0 : (size_t)sent;
        data = (const char *)data + done;
        size -= done;
        watch(conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    net_queue(conn, data, size);
}

void net_close(struct conn *conn) {
    if (conn->is_closed) return;
    conn->is_closed = 1;
    shutdown(conn->fd, SHUT_RDWR);
    close(conn->fd);
    conn->next_closed = closed;
    closed = conn;
}

static void readable(struct conn *conn) {
    if (conn->in_room - conn->in_size < READ_ROOM) {
        conn->in_room = (conn->in_size + READ_ROOM) * 2;
        conn->in = grown(conn->in, conn->in_room);
    }
    ssize_t size = recv(conn->fd, conn->in + conn->in_size, conn->in_room - conn->in_size, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        gone(conn);
        return;
    }
    conn->in_size += (size_t)size;
    size_t taken = conn->on_data(conn, conn->in, conn->in_size);
    if (conn->is_closed || !taken) return;
    memmove(conn->in, conn->in + taken, conn->in_size - taken);
    conn->in_size -= taken;
}

static void accept_all(int fd) {
    int client;
    while ((client = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct conn *conn = conn_new(client);
        accepted(conn);
        watch(conn, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void happened(struct conn *conn, unsigned events) {
    if (conn->is_closed) return;
    if (events & EPOLLOUT) {
        conn->is_connecting = 0;
        net_flush(conn);
        if (!conn->out_size) watch(conn, EPOLL_CTL_MOD, EPOLLIN);
    }
    if (!conn->is_closed && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(conn);
}

void net_run(void (*before_wait)(void)) {
    struct epoll_event events[EVENTS];
    for (;;) {
        if (before_wait) before_wait();
        int count = epoll_wait(loop_fd(), events, EVENTS, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                happened(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
        while (closed) {
            struct conn *conn = closed;
            closed = conn->next_closed;
            free(conn->in);
            free(conn->out);
            free(conn);
        }
    }
}
