/* A WebSocket client that costs less than any server it loads: one thread, epoll, one ready-made masked frame.
 *
 *     wsload PORT PATH CONNECTIONS STREAMS OPCODE DEFLATED SECONDS PAYLOAD COUNTER
 *
 * Each of CONNECTIONS keeps STREAMS copies of one message under way: the file PAYLOAD, sent in one frame with OPCODE
 * (1 text, 2 binary).  With DEFLATED of 1 permessage-deflate is offered, PAYLOAD is compressed already and needs no
 * context, so the same frame may be sent again and again.  The file COUNTER is 8 bytes shared with whoever reads them:
 * the messages that have come back.  SIGINT, SIGTERM or SECONDS end it: it waits for what is under way (at most
 * DRAIN_S), sends a close frame on each connection and prints one line of JSON.
 *
 * Checked: the handshake with its extension, the opcode and reserved bits of every message, the length of all that are
 * not compressed and every byte of the first CHECKED of each connection.  Whatever is wrong ends the run: {"error": ...}
 * and exit code 1.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHECKED 4
#define DRAIN_S 0.5
#define EVENTS 256
#define HEAD_MAX 4096
#define INPUT_MAX (256 * 1024)
#define MAX_STREAMS 64
#define SLOTS (1 << 18) /* of the histogram of latencies, one microsecond each */

/* The sample of RFC 6455 section 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct connection {
    int fd;
    int open;        /* the handshake is done */
    int blocked;     /* waits until the socket can be written */
    size_t sent;     /* bytes of the current frame that have left */
    size_t owed;     /* bytes that may leave now */
    int under_way;   /* messages sent or owed that have not come back */
    int64_t sent_us[MAX_STREAMS];
    unsigned oldest; /* the next of sent_us to come back */
    size_t head_size;
    char head[HEAD_MAX]; /* of the response, later of a frame */
    uint64_t left;       /* payload bytes of the current frame that are to come */
    uint64_t message;    /* payload bytes of the current message so far */
    int in_frame, in_message, control, final;
    uint64_t echoes;
};

static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

static int opcode, deflated, streams;
static unsigned char *payload, *frames;
static size_t payload_size, frame_size;
static _Atomic uint64_t *counter;
static uint64_t bytes_in;
static uint32_t latencies[SLOTS];
static char extensions[256];
static int epoll_fd, living;
static volatile sig_atomic_t stopped;

static int64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void fail(const char *format, ...)
{
    va_list arguments;
    printf("{\"error\": \"");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\"}\n");
    fflush(stdout);
    _exit(1);
}

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* ---- Sending ------------------------------------------------------------------------------------------------ */

static void watch(struct connection *one, int blocked)
{
    struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = one};
    if (one->blocked != blocked && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, one->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
    one->blocked = blocked;
}

/* The frames are all the same, so what is owed is a number of bytes, read from `streams` copies of the frame. */
static void flush(struct connection *one)
{
    while (one->owed) {
        size_t room = frame_size * (size_t)streams - one->sent;
        ssize_t size = send(one->fd, frames + one->sent, one->owed < room ? one->owed : room, MSG_NOSIGNAL);
        if (size < 0 && errno != EAGAIN)
            fail("send: %s", strerror(errno));
        if (size < 0)
            break;
        one->owed -= (size_t)size;
        one->sent = (one->sent + (size_t)size) % frame_size;
    }
    watch(one, one->owed > 0);
}

static void owe(struct connection *one)
{
    one->sent_us[(one->oldest + (unsigned)one->under_way) % MAX_STREAMS] = now_us();
    one->under_way++;
    one->owed += frame_size;
}

static void end(struct connection *one)
{
    static const unsigned char close_frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    (void)!send(one->fd, close_frame, sizeof close_frame, MSG_NOSIGNAL);
    close(one->fd);
    one->fd = -1;
    living--;
}

/* ---- Receiving ---------------------------------------------------------------------------------------------- */

static void on_message(struct connection *one)
{
    int64_t took_us = now_us() - one->sent_us[one->oldest];
    if (!one->under_way)
        fail("a message came back that was not sent");
    if (!deflated && one->message != payload_size)
        fail("a message of %llu bytes came back, not %zu", (unsigned long long)one->message, payload_size);
    latencies[took_us < SLOTS ? took_us : SLOTS - 1]++;
    one->oldest = (one->oldest + 1) % MAX_STREAMS;
    one->under_way--;
    one->echoes++;
    one->in_message = 0;
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    if (!stopped)
        owe(one);
}

/* A ping is answered out of order only where a frame has left whole, which a short run need not care about otherwise. */
static void on_control(struct connection *one, const unsigned char *body, size_t size)
{
    unsigned char pong[6 + 125] = {0x8a, (unsigned char)(0x80 | size)};
    if (one->control == 8)
        fail("closed with %d", size >= 2 ? body[0] << 8 | body[1] : 1005);
    if (one->control == 9 && one->sent == 0) {
        memcpy(pong + 6, body, size);
        (void)!send(one->fd, pong, 6 + size, MSG_NOSIGNAL);
    }
}

/* The head of a frame in `data`: its size and what it says, or 0 where it is not whole. */
static size_t read_frame_head(struct connection *one, const unsigned char *data, size_t size)
{
    size_t need = 2, at;
    if (size < need)
        return 0;
    need += (data[1] & 0x7f) == 127 ? 8 : (data[1] & 0x7f) == 126 ? 2 : 0;
    if (size < need)
        return 0;
    one->left = need == 2 ? data[1] : 0;
    for (at = 2; at < need; at++)
        one->left = one->left << 8 | data[at];
    int code = data[0] & 0x0f, reserved = data[0] & 0x70;
    if (data[1] & 0x80 || reserved & ~(deflated && code == opcode ? 0x40 : 0))
        fail("a frame that begins with %02x %02x", data[0], data[1]);
    one->control = code & 8 ? code : 0;
    one->final = data[0] & 0x80;
    one->in_frame = 1;
    if (one->control) {
        if (one->left > 125 || !one->final)
            fail("a control frame of %llu bytes", (unsigned long long)one->left);
        return need;
    }
    if (code != (one->in_message ? 0 : opcode))
        fail("opcode %d, expected %d", code, one->in_message ? 0 : opcode);
    if (!one->in_message)
        one->message = 0;
    one->in_message = 1;
    if (!deflated && one->message + one->left > payload_size)
        fail("a message longer than %zu bytes came back", payload_size);
    return need;
}

/* `part` bytes of the current payload have been seen. */
static void advance(struct connection *one, size_t part)
{
    one->left -= part;
    if (!one->control)
        one->message += part;
    if (one->left)
        return;
    one->in_frame = 0;
    if (!one->control && one->final)
        on_message(one);
}

/* One step through `data`: a head, or as much of a payload as there is.  Its size, or 0 where more is needed. */
static size_t read_frame(struct connection *one, const unsigned char *data, size_t size)
{
    size_t part;
    if (!one->in_frame) {
        part = read_frame_head(one, data, size);
        if (part && !one->left && one->control)
            on_control(one, data, 0);
        if (part && !one->left)
            advance(one, 0);
        return part;
    }
    if (one->control && size < one->left)
        return 0;
    part = one->left < size ? (size_t)one->left : size;
    if (one->control)
        on_control(one, data, part);
    else if (!deflated && one->echoes < CHECKED && memcmp(payload + one->message, data, part))
        fail("message %llu came back changed", (unsigned long long)one->echoes);
    advance(one, part);
    return part;
}

/* The handshake's response in one->head, whole: fail unless it is what was asked for. */
static void check_response(const char *head)
{
    const char *field = strcasestr(head, "\r\nsec-websocket-extensions:");
    if (strncmp(head, "HTTP/1.1 101", 12))
        fail("the handshake is answered by %.12s", head);
    if (!strstr(head, ACCEPT))
        fail("no valid Sec-WebSocket-Accept");
    if (!field != !deflated)
        fail(deflated ? "permessage-deflate is not accepted" : "an extension that was not offered");
    if (!field)
        return;
    field += strlen("\r\nsec-websocket-extensions:");
    field += strspn(field, " ");
    snprintf(extensions, sizeof extensions, "%.*s", (int)strcspn(field, "\r\""), field);
    if (strncmp(extensions, "permessage-deflate", 18) || strstr(extensions, "client_max_window_bits"))
        fail("the extension is answered by %s", extensions);
}

/* Take the response's head from `data`; what of it is left are frames. */
static size_t read_response(struct connection *one, const unsigned char *data, size_t size)
{
    size_t before = one->head_size, taken = size < HEAD_MAX - 1 - before ? size : HEAD_MAX - 1 - before;
    char *last;
    memcpy(one->head + before, data, taken);
    one->head_size += taken;
    one->head[one->head_size] = 0;
    last = strstr(one->head, "\r\n\r\n");
    if (!last && one->head_size == HEAD_MAX - 1)
        fail("the response's head is too long");
    if (!last)
        return size;
    *last = 0;
    check_response(one->head);
    taken = (size_t)(last + 4 - one->head) - before;
    one->open = 1;
    one->head_size = 0;
    for (int at = 0; at < streams; at++)
        owe(one);
    return taken;
}

static void on_readable(struct connection *one)
{
    static unsigned char input[HEAD_MAX + INPUT_MAX];
    size_t at = 0, step, kept = one->open ? one->head_size : 0;
    ssize_t got = recv(one->fd, input + kept, INPUT_MAX, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
        fail("%s", got ? strerror(errno) : "the server has closed a connection");
    bytes_in += (uint64_t)got;
    memcpy(input, one->head, kept); /* the start of a frame's head, or of a control frame, from the read before */
    size_t size = kept + (size_t)got;
    if (!one->open)
        at = read_response(one, input, size);
    while (at < size && (step = read_frame(one, input + at, size - at)))
        at += step;
    if (one->open) {
        one->head_size = size - at; /* less than a head and a control frame: read_frame takes all else */
        memcpy(one->head, input + at, size - at);
        flush(one);
    }
    if (stopped && !one->under_way)
        end(one);
}

/* ---- The run ------------------------------------------------------------------------------------------------ */

static void load_payload(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t head = 2, at;
    if (!file || fseek(file, 0, SEEK_END))
        fail("%s: %s", path, strerror(errno));
    payload_size = (size_t)ftell(file);
    rewind(file);
    head += payload_size > 65535 ? 8 : payload_size > 125 ? 2 : 0;
    frame_size = head + 4 + payload_size;
    payload = malloc(payload_size + 1);
    frames = calloc((size_t)streams, frame_size);
    if (!payload || !frames || fread(payload, 1, payload_size, file) != payload_size)
        fail("cannot read %s", path);
    fclose(file);
    frames[0] = (unsigned char)(0x80 | (deflated ? 0x40 : 0) | opcode);
    frames[1] = (unsigned char)(0x80 | (head == 2 ? payload_size : head == 4 ? 126 : 127));
    for (at = 2; at < head; at++)
        frames[at] = (unsigned char)(payload_size >> 8 * (head - 1 - at));
    memcpy(frames + head, MASK, 4);
    for (at = 0; at < payload_size; at++)
        frames[head + 4 + at] = payload[at] ^ MASK[at & 3];
    for (at = 1; at < (size_t)streams; at++)
        memcpy(frames + at * frame_size, frames, frame_size);
}

static void share_counter(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *counter))
        fail("%s: %s", path, strerror(errno));
    counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counter == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    atomic_store(counter, 0);
    close(fd);
}

static void begin(struct connection *one, int port, const char *path)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    char request[1024];
    int yes = 1, size;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0 || connect(one->fd, (struct sockaddr *)&address, sizeof address))
        fail("connect: %s", strerror(errno));
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    size = snprintf(request, sizeof request,
                    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                    path, port,
                    deflated ? "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n" : "");
    if (send(one->fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        fail("send: %s", strerror(errno));
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, one->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
    living++;
}

static void run(struct connection *all, int connections, int64_t deadline_us)
{
    struct epoll_event events[EVENTS];
    while (living) {
        int count = epoll_wait(epoll_fd, events, EVENTS, 50);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait: %s", strerror(errno));
        for (int at = 0; at < count; at++) {
            struct connection *one = events[at].data.ptr;
            if (events[at].events & EPOLLOUT)
                flush(one);
            if (events[at].events & ~EPOLLOUT)
                on_readable(one);
        }
        int64_t now = now_us();
        if (!stopped && now >= deadline_us)
            stopped = 1;
        if (stopped == 1) {
            stopped = 2;
            deadline_us = now + (int64_t)(DRAIN_S * 1e6);
        } else if (stopped && now >= deadline_us) {
            for (int at = 0; at < connections; at++)
                if (all[at].fd >= 0)
                    end(&all[at]);
        }
    }
}

static int64_t find_percentile(uint64_t total, double share)
{
    uint64_t wanted = (uint64_t)((double)total * share), seen = 0;
    for (int at = 0; at < SLOTS; at++)
        if ((seen += latencies[at]) > wanted)
            return at;
    return SLOTS;
}

int main(int count, char **words)
{
    if (count != 10)
        fail("expected PORT PATH CONNECTIONS STREAMS OPCODE DEFLATED SECONDS PAYLOAD COUNTER");
    int connections = atoi(words[3]);
    streams = atoi(words[4]);
    opcode = atoi(words[5]);
    deflated = atoi(words[6]);
    if (connections < 1 || streams < 1 || streams > MAX_STREAMS)
        fail("at least 1 connection and 1 to %d streams", MAX_STREAMS);
    load_payload(words[8]);
    share_counter(words[9]);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    epoll_fd = epoll_create1(0);
    if (!all || epoll_fd < 0)
        fail("no memory or no epoll");
    int64_t began_us = now_us();
    for (int at = 0; at < connections; at++)
        begin(&all[at], atoi(words[1]), words[2]);
    run(all, connections, began_us + (int64_t)(atof(words[7]) * 1e6));
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    uint64_t messages = atomic_load(counter);
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"cpu_s\": %.6f, \"bytes_in\": %llu, \"extensions\": \"%s\", "
           "\"latency_us\": {\"p50\": %lld, \"p90\": %lld, \"p99\": %lld, \"max\": %lld}}\n",
           (unsigned long long)messages, (double)(now_us() - began_us) / 1e6,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
           (unsigned long long)bytes_in, extensions, (long long)find_percentile(messages, 0.5),
           (long long)find_percentile(messages, 0.9), (long long)find_percentile(messages, 0.99),
           (long long)find_percentile(messages, 1.0 - 1e-12));
    return 0;
}
