/* Net: non-blocking TCP on loopback and one epoll loop.
 *
 * Owns buffers and the order of reads and writes. A read hands over all that is there; what the reader does not take
 * is kept. A write goes to the kernel at once, or is queued until the loop is about to wait. */
#ifndef FLOOR_NET_H
#define FLOOR_NET_H

#include <stddef.h>

struct conn;

typedef size_t (*data_fn)(struct conn *conn, char *data, size_t size); /* returns how many bytes it took */
typedef void (*event_fn)(struct conn *conn);

struct conn {
    int fd;
    data_fn on_data;
    event_fn on_close; /* when the other side has closed; may be NULL */
    void *owner;
    char *in, *out;
    size_t in_size, in_room, out_size, out_room;
    unsigned events; /* what epoll watches for */
    int is_connecting, is_closed, is_open; /* is_open: for whoever has a handshake of its own */
    struct conn *next_closed;
};

int net_listen(void (*on_accept)(struct conn *conn)); /* returns the port; once a process */
struct conn *net_connect(int port, data_fn on_data, event_fn on_close, void *owner);
void net_write(struct conn *conn, const void *data, size_t size);
void net_queue(struct conn *conn, const void *data, size_t size); /* sent by net_flush */
void net_flush(struct conn *conn);
void net_close(struct conn *conn); /* shuts down at once; calls nobody */
void net_run(void (*before_wait)(void));
void die(const char *what);

#endif
