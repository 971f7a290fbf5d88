/* A Lambda Runtime API on 127.0.0.1 that starts one runtime client, feeds it and measures it.
 *
 *     api [options] -- command ...          events to the client, each answer checked against its event
 *     api --until-exit -- command ...       only the time from spawn to exit
 *
 *   --event FILE     the event: JSON that a handler returning it unchanged answers byte for byte (default: {})
 *   --log FILE       where the client's output goes (default /dev/null)
 *   --timeout S      seconds of silence in a burst after which the run has failed (default 30)
 *
 * Each line of standard input, a number, is a burst: so many invocations one after the other. In between, the
 * client's GET is held open, as Lambda does; several clients can so be fed in turn, which keeps a change of the
 * machine's pace from touching only one of them. At the end of standard input the client is killed.
 *
 * Prints one JSON object for each burst. Times are nanoseconds of CLOCK_MONOTONIC: from spawn to the first GET and
 * to the first answer, and from the burst's first answer to its last, which is one cycle less than its invocations.
 * Exit code 1, and a line on stderr, where the client did anything but answer each event with that event.
 *
 * Each reply is one write of its own, also where requests came in one packet: so does Go's net/http, which serves
 * Lambda's API. Sockets are waited for, never polled in a loop that would take a processor from the client. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define API "/2018-06-01/runtime/"
#define ACCEPTED \
    "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n"
#define MOST_CONNECTIONS 16
#define READ_AT_ONCE 65536

struct connection {
    int fd;
    char *buffer;
    size_t length, capacity;
    size_t wanted;  /* what the buffer has to hold before the request is worth another look */
    bool continued; /* the client was told to go on with its body */
};

struct request {
    const char *head; /* request line and headers, up to and with the empty line */
    size_t head_length;
    char *body;
    size_t body_length;
    size_t consumed; /* of the buffer */
};

static const char *event = "{}";
static size_t event_length = 2;
static int timeout_s = 30;
static pid_t client;

static long handed, answered; /* invocations */
static long burst_start, burst_end;
static int waiting = -1; /* the connection with a GET that finds no event */
static char id[64];      /* of the invocation handed out last */
static uint64_t spawned_at, first_get_at, first_answer_at, burst_first_at, last_answer_at;

static uint64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("api: ", stderr);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (after %ld answers)\n", answered);
    va_end(arguments);
    if (client > 0) kill(client, SIGKILL);
    exit(1);
}

static void send_all(int fd, struct iovec *parts, int count) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    while (message.msg_iovlen > 0) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0) fail("the client does not take a reply: %s", strerror(errno));
        while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
            sent -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= (size_t)sent;
        }
    }
}

static void send_text(int fd, const char *text) {
    struct iovec part = {(void *)text, strlen(text)};
    send_all(fd, &part, 1);
}

/* The value of a header up to its line's end, or NULL. `name` is in lower case and ends with a colon. */
static const char *header(const struct request *request, const char *name) {
    const char *end = request->head + request->head_length - 2;
    const char *line = request->head;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL && ++line < end) {
        if (strncasecmp(line, name, strlen(name)) == 0) {
            line += strlen(name);
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

/* Where the chunked body at `start` ends, or NULL while it is not all there; joins the chunks if `request`. */
static const char *chunks(char *start, const char *end, struct request *request) {
    char *joined = start;
    for (char *at = start;;) {
        char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
        if (line_end == NULL) return NULL;
        size_t size = strtoul(at, NULL, 16);
        at = line_end + 2;
        if (size == 0) { /* trailers, then an empty line */
            char *last = memmem(line_end, (size_t)(end - line_end), "\r\n\r\n", 4);
            if (last != NULL && request != NULL) request->body_length = (size_t)(joined - start);
            return last == NULL ? NULL : last + 4;
        }
        if ((size_t)(end - at) < size + 2) return NULL;
        if (request != NULL) memmove(joined, at, size);
        joined += size;
        at += size + 2;
    }
}

/* Whether the connection's buffer begins with a whole request, then described in `request`. */
static bool whole(struct connection *c, struct request *request) {
    if (c->length < c->wanted) return false;
    char *head_end = memmem(c->buffer, c->length, "\r\n\r\n", 4);
    if (head_end == NULL) return false;
    request->head = c->buffer;
    request->head_length = (size_t)(head_end + 4 - c->buffer);
    request->body = head_end + 4;
    request->body_length = 0;
    const char *value;
    size_t total = request->head_length;
    if ((value = header(request, "transfer-encoding:")) != NULL && strncasecmp(value, "chunked", 7) == 0) {
        const char *end = chunks(request->body, c->buffer + c->length, NULL);
        if (end == NULL) {
            total = c->length + 1;
        } else {
            total = (size_t)(end - c->buffer);
            chunks(request->body, c->buffer + c->length, request);
        }
    } else if ((value = header(request, "content-length:")) != NULL) {
        request->body_length = strtoul(value, NULL, 10);
        total += request->body_length;
    }
    if (c->length < total) {
        c->wanted = total;
        if (!c->continued && (value = header(request, "expect:")) != NULL && strncmp(value, "100", 3) == 0) {
            send_text(c->fd, "HTTP/1.1 100 Continue\r\n\r\n");
            c->continued = true;
        }
        return false;
    }
    request->consumed = total;
    return true;
}

static void hand_out(int fd) {
    char head[768];
    handed++;
    snprintf(id, sizeof id, "%08lx-5ca1-4ab1-8e57-%012lx", handed, handed);
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 200 OK\r\n"
                          "Content-Type: application/json\r\n"
                          "Lambda-Runtime-Aws-Request-Id: %s\r\n"
                          "Lambda-Runtime-Deadline-Ms: %llu\r\n"
                          "Lambda-Runtime-Invoked-Function-Arn: "
                          "arn:aws:lambda:eu-central-1:123456789012:function:bench\r\n"
                          "Lambda-Runtime-Trace-Id: Root=1-5759e988-%024lx;Parent=53995c3f42cd8ad8;Sampled=0\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          id, (unsigned long long)(now(CLOCK_REALTIME) / 1000000u + 60000u),
                          handed, event_length);
    struct iovec parts[] = {{head, (size_t)length}, {(void *)event, event_length}};
    send_all(fd, parts, 2);
}

static void take_answer(const struct request *request) {
    char path[160];
    uint64_t when = now(CLOCK_MONOTONIC);
    int length = snprintf(path, sizeof path, "POST " API "invocation/%s/response ", id);
    if (handed == answered || strncmp(request->head, path, (size_t)length) != 0)
        fail("expected %s, got %.*s", path, (int)strcspn(request->head, "\r"), request->head);
    if (request->body_length != event_length || memcmp(request->body, event, event_length) != 0)
        fail("the answer to %s is not its event: %.*s", id,
             (int)(request->body_length < 200 ? request->body_length : 200), request->body);
    if (answered == 0) first_answer_at = when;
    if (answered == burst_start) burst_first_at = when;
    last_answer_at = when;
    answered++;
}

static void serve(struct connection *c, const struct request *request) {
    static const char get[] = "GET " API "invocation/next ";
    if (strncmp(request->head, get, sizeof get - 1) == 0) {
        if (first_get_at == 0) first_get_at = now(CLOCK_MONOTONIC);
        if (handed > answered || waiting >= 0)
            fail("the client asks for the next invocation and has not answered %s", handed > 0 ? id : "any");
        if (handed < burst_end) hand_out(c->fd);
        else waiting = c->fd;
    } else if (memmem(request->head, strcspn(request->head, "\r"), "/error ", 7) != NULL) {
        fail("the client reports an error: %.*s", (int)request->body_length, request->body);
    } else {
        take_answer(request);
        send_text(c->fd, ACCEPTED);
    }
}

/* Reads what there is and serves every whole request of it; false once the connection has ended. */
static bool read_some(struct connection *c) {
    size_t room = c->wanted > c->length ? c->wanted - c->length : 0;
    if (room < READ_AT_ONCE) room = READ_AT_ONCE;
    if (c->capacity < c->length + room + 1) {
        c->capacity = c->length + room + 1;
        c->buffer = realloc(c->buffer, c->capacity);
        if (c->buffer == NULL) fail("no memory");
    }
    ssize_t got = recv(c->fd, c->buffer + c->length, room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got <= 0) return false;
    c->length += (size_t)got;
    c->buffer[c->length] = '\0'; /* so that string functions end */
    struct request request;
    while (c->length > 0 && whole(c, &request)) {
        serve(c, &request);
        memmove(c->buffer, c->buffer + request.consumed, c->length - request.consumed + 1);
        c->length -= request.consumed;
        c->wanted = 0;
        c->continued = false;
    }
    return true;
}

static int listen_here(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, MOST_CONNECTIONS) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        fail("cannot listen: %s", strerror(errno));
    char name[32];
    snprintf(name, sizeof name, "127.0.0.1:%d", ntohs(address.sin_port));
    setenv("AWS_LAMBDA_RUNTIME_API", name, 1);
    return fd;
}

static void take_connection(int listener, struct connection *c) {
    int on = 1;
    struct timeval limit = {.tv_sec = timeout_s};
    *c = (struct connection){.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)};
    if (c->fd < 0) fail("accept: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static void spawn(char **command, const char *log) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    spawned_at = now(CLOCK_MONOTONIC);
    int error = posix_spawn(&client, command[0], &files, &attributes, command, environ);
    if (error != 0) {
        client = 0;
        fail("cannot start %s: %s", command[0], strerror(error));
    }
}

static void print_burst(void) {
    printf("{\"pid\": %d, \"first_get_ns\": %llu, \"first_answer_ns\": %llu, \"cycles\": %ld, \"total_ns\": %llu}\n",
           (int)client, (unsigned long long)(first_get_at - spawned_at),
           (unsigned long long)(first_answer_at - spawned_at), burst_end - burst_start - 1,
           (unsigned long long)(last_answer_at - burst_first_at));
    fflush(stdout);
}

/* Begins the burst that a line of standard input orders; false at its end. */
static bool take_order(void) {
    char line[32];
    if (fgets(line, sizeof line, stdin) == NULL) return false;
    long invocations = atol(line);
    if (invocations < 1) fail("not a number of invocations: %s", line);
    burst_start = answered;
    burst_end = answered + invocations;
    if (waiting >= 0) {
        int fd = waiting;
        waiting = -1;
        hand_out(fd);
    }
    return true;
}

/* Serves the client until standard input ends. */
static void feed(int listener) {
    enum { ORDERS, ENDS, LISTENER, FIRST };
    struct pollfd waits[MOST_CONNECTIONS + FIRST];
    struct connection connections[MOST_CONNECTIONS];
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGCHLD);
    waits[ENDS] = (struct pollfd){.fd = signalfd(-1, &ends, SFD_CLOEXEC), .events = POLLIN};
    waits[LISTENER] = (struct pollfd){.fd = listener, .events = POLLIN};
    int count = 0;
    for (;;) {
        bool busy = answered < burst_end;
        waits[ORDERS] = (struct pollfd){.fd = busy ? -1 : 0, .events = POLLIN};
        int ready = poll(waits, (nfds_t)(count + FIRST), busy ? timeout_s * 1000 : -1);
        if (ready < 0 && errno != EINTR) fail("poll: %s", strerror(errno));
        if (ready == 0) fail("nothing from the client in %d s", timeout_s);
        for (int i = count - 1; i >= 0; i--) {
            if (waits[i + FIRST].revents == 0 || read_some(&connections[i])) continue;
            if (waiting == connections[i].fd) waiting = -1;
            close(connections[i].fd);
            free(connections[i].buffer);
            count--;
            connections[i] = connections[count];
            waits[i + FIRST] = waits[count + FIRST];
        }
        if (busy && answered == burst_end) print_burst();
        if (waits[LISTENER].revents != 0) {
            if (count == MOST_CONNECTIONS) fail("more than %d connections", MOST_CONNECTIONS);
            take_connection(listener, &connections[count]);
            waits[count + FIRST] = (struct pollfd){.fd = connections[count].fd, .events = POLLIN};
            count++;
        }
        if (waits[ENDS].revents != 0) fail("the client has ended");
        if (waits[ORDERS].revents != 0 && !take_order()) return;
    }
}

static void read_event(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail("cannot read %s", path);
    event_length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(event_length);
    if (bytes == NULL || event_length == 0 || fread(bytes, 1, event_length, file) != event_length)
        fail("cannot read %s", path);
    fclose(file);
    event = bytes;
}

int main(int count, char **words) {
    const char *log = "/dev/null";
    bool until_exit = false;
    int at = 1;
    for (; at < count && strcmp(words[at], "--") != 0; at++) {
        const char *word = words[at];
        if (strcmp(word, "--until-exit") == 0) {
            until_exit = true;
            continue;
        }
        if (++at == count) fail("%s needs a value", word);
        if (strcmp(word, "--event") == 0) read_event(words[at]);
        else if (strcmp(word, "--log") == 0) log = words[at];
        else if (strcmp(word, "--timeout") == 0) timeout_s = atoi(words[at]);
        else fail("no such option: %s", word);
    }
    if (at + 1 >= count) fail("usage: api [options] -- command ...");
    char **command = words + at + 1;

    if (until_exit) {
        int status;
        spawn(command, log);
        if (waitpid(client, &status, 0) != client || status != 0) fail("the program failed");
        printf("{\"exit_ns\": %llu}\n", (unsigned long long)(now(CLOCK_MONOTONIC) - spawned_at));
        return 0;
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll sees every order */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* read from a signalfd instead */
    int listener = listen_here();
    spawn(command, log);
    feed(listener);
    kill(client, SIGKILL);
    waitpid(client, NULL, 0);
    return 0;
}
