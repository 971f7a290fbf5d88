/* The least that a runtime client can do, in C: take an event, hand the same bytes back, over one blocking socket.
 *
 *     floor              asks for the next event once the reply to its answer is there
 *     floor pipelined    sends answer and next request in one write, and reads both replies
 *
 * No JSON is read, and nothing is checked that this one server would not get wrong. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH "/2018-06-01/runtime/invocation/"
#define ID "Lambda-Runtime-Aws-Request-Id: "
#define LENGTH "Content-Length: "

static int connection;
static char *buffer;
static size_t length, capacity; /* of what was read and not yet used */

static void send_all(struct iovec *parts, int count) {
    while (count > 0) {
        ssize_t sent = writev(connection, parts, count);
        if (sent <= 0) exit(1);
        while (count > 0 && (size_t)sent >= parts->iov_len) {
            sent -= (ssize_t)parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
}

static void read_until(size_t wanted) {
    if (capacity < wanted + 4096) {
        capacity = wanted + 4096;
        buffer = realloc(buffer, capacity);
        if (buffer == NULL) exit(1);
    }
    while (length < wanted) {
        ssize_t got = read(connection, buffer + length, capacity - length - 1);
        if (got <= 0) exit(1);
        length += (size_t)got;
        buffer[length] = '\0';
    }
}

/* Reads one reply, to be found at the start of the buffer; returns where its body begins, and its body's length. */
static size_t read_reply(size_t *body_length) {
    char *end;
    read_until(1);
    while ((end = strstr(buffer, "\r\n\r\n")) == NULL) read_until(length + 1);
    size_t head = (size_t)(end + 4 - buffer);
    *body_length = strtoul(strstr(buffer, LENGTH) + strlen(LENGTH), NULL, 10);
    read_until(head + *body_length);
    return head;
}

static void drop(size_t used) {
    memmove(buffer, buffer + used, length - used + 1);
    length -= used;
}

int main(int count, char **words) {
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    const char *port = api == NULL ? NULL : strchr(api, ':');
    if (port == NULL) return 1;
    bool pipelined = count > 1 && strcmp(words[1], "pipelined") == 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)atoi(port + 1))};
    int on = 1;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) return 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);

    char get[256], head[512];
    size_t get_length = (size_t)snprintf(get, sizeof get, "GET " PATH "next HTTP/1.1\r\nHost: %s\r\n\r\n", api);
    struct iovec next = {get, get_length};
    send_all(&next, 1);
    for (;;) {
        size_t body_length, ignored;
        size_t body = read_reply(&body_length);
        char *id = strstr(buffer, ID) + strlen(ID);
        int head_length = snprintf(head, sizeof head,
                                   "POST " PATH "%.*s/response HTTP/1.1\r\nHost: %s\r\n"
                                   "Content-Type: application/json\r\n" LENGTH "%zu\r\n\r\n",
                                   (int)strcspn(id, "\r"), id, api, body_length);
        struct iovec answer[] = {{head, (size_t)head_length}, {buffer + body, body_length}, {get, get_length}};
        send_all(answer, pipelined ? 3 : 2);
        drop(body + body_length);
        size_t accepted = read_reply(&ignored);
        drop(accepted + ignored);
        next = (struct iovec){get, get_length};
        if (!pipelined) send_all(&next, 1);
    }
}
