/* An HTTP/3 client that costs less than the servers it loads: one thread, one socket for each connection, whole trains
 * of datagrams in one system call (UDP_SEGMENT, UDP_GRO).  On ngtcp2 0.12, its GnuTLS crypto, and nghttp3 0.8.
 *
 *     h3load [OPTIONS] HOST PORT PATH
 *
 *     -c N   connections (1)                           -m N   requests under way on each of them (1)
 *     -n N   requests in all (no limit)                -t S   seconds, whatever is still to be asked (60)
 *     -r N   requests on a connection, then a new one  -k     count what is received: KiB of bodies, not responses
 *     -b F   POST what is in the file F                -H F   a field, "name: value"; may be repeated
 *     -s N   expected status (200)                     -l N   expected length of the body (any)
 *     -V H   first version offered, in hexadecimal     -f F   a file of 8 bytes, the count as it grows
 *
 * Prints one line of JSON.  Every request is counted by what became of it: "whole" (status and length as expected),
 * "wrong", "reset" by the server, "lost" with its connection, "rejected" (by GOAWAY or H3_REQUEST_REJECTED: not acted
 * upon, so it is asked again elsewhere) or "unfinished" at the end; they add up to "opened".  A connection that ends is
 * replaced; "failed" of them never had a handshake.  SIGINT and SIGTERM end the run, which waits DRAIN_S for what is
 * under way.  {"error": ...} and exit code 1 where nothing can be loaded: a wrong option, or no handshake succeeds.
 * Certificates are not verified.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <netinet/udp.h>
#include <nghttp3/nghttp3.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
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

#define BATCH 16 /* trains read by one call */
#define CID_SIZE 8
#define DATAGRAM 1452
#define DRAIN_S 0.5
#define EVENTS 64
#define MAX_FIELDS 64
#define PATIENCE 8 /* handshakes that fail one after another, for each connection */
#define PRIORITY                                                                                                       \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"                          \
    "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:%DISABLE_TLS13_COMPAT_MODE"
#define SECOND 1000000000ULL
#define SLOTS (1 << 18) /* of the histogram of latencies, ten microseconds each */
#define TRAIN 40        /* datagrams sent by one call: below 64 KiB */
#define WINDOW (16 << 20)

struct connection {
    int fd, failed;
    uint32_t version;
    ngtcp2_crypto_conn_ref reference;
    ngtcp2_conn *quic;
    nghttp3_conn *http;
    gnutls_session_t tls;
    struct sockaddr_storage local;
    socklen_t local_size;
    struct request *first; /* of those under way, doubly linked */
    unsigned under_way;
    uint64_t asked;
    int64_t goaway; /* requests from this stream on are not acted upon; INT64_MAX: there was none */
    int over;       /* is replaced, or not, as soon as its library has returned */
    uint64_t expiry;
};

struct request {
    struct request *next, *before;
    int64_t stream;
    uint64_t asked_ns, size;
    int status, settled;
};

static struct {
    uint64_t opened, whole, wrong, reset, lost, rejected, unfinished;
    uint64_t handshakes, failed, retries, negotiations, bytes;
} counts;

static unsigned connections = 1, streams = 1;
static uint64_t wanted = UINT64_MAX, share = UINT64_MAX;
static int64_t length = -1;
static int status = 200, in_kib, segmented = 1, epoll_fd;
static uint32_t first_version = NGTCP2_PROTO_VER_V1;
static uint8_t *body;
static size_t body_size, field_count;
static nghttp3_nv fields[MAX_FIELDS];
static struct addrinfo *peer;
static const char *host;
static gnutls_certificate_credentials_t credentials;
static struct request *spare;
static uint32_t latencies[SLOTS];
static _Atomic uint64_t own_counter, *counter = &own_counter;
static unsigned living, in_vain;
static volatile sig_atomic_t stopped;

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

__attribute__((noreturn)) static void fail(const char *format, ...)
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

/* ---- Requests ----------------------------------------------------------------------------------------------- */

static nghttp3_ssize read_body(nghttp3_conn *http, int64_t stream, nghttp3_vec *vec, size_t room, uint32_t *flags,
                               void *user, void *data)
{
    (void)http, (void)stream, (void)room, (void)user, (void)data;
    *vec = (nghttp3_vec){body, body_size};
    *flags = NGHTTP3_DATA_FLAG_EOF;
    return 1;
}

/* Ask as much as may be under way. */
static void ask(struct connection *one)
{
    nghttp3_data_reader reader = {read_body};
    while (one->http && !stopped && !one->over && one->under_way < streams && one->goaway == INT64_MAX &&
           one->asked < share && counts.opened - counts.rejected < wanted &&
           ngtcp2_conn_get_streams_bidi_left(one->quic)) {
        struct request *new = spare ? spare : malloc(sizeof *new);
        if (!new)
            fail("no memory");
        if (spare)
            spare = spare->next;
        *new = (struct request){.next = one->first, .asked_ns = now_ns()};
        if (ngtcp2_conn_open_bidi_stream(one->quic, &new->stream, new) ||
            nghttp3_conn_submit_request(one->http, new->stream, fields, field_count, body ? &reader : NULL, new))
            fail("a request cannot be submitted");
        if (one->first)
            one->first->before = new;
        one->first = new;
        one->under_way++;
        one->asked++;
        counts.opened++;
    }
}

/* What became of a request; once for each. */
static void settle(struct connection *one, struct request *it, uint64_t *kind)
{
    uint64_t took = (now_ns() - it->asked_ns) / 10000;
    (*kind)++;
    if (kind == &counts.whole) {
        latencies[took < SLOTS ? took : SLOTS - 1]++;
        if (!in_kib)
            atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    }
    it->settled = 1;
    one->under_way--;
}

static void forget(struct connection *one, struct request *it)
{
    *(it->before ? &it->before->next : &one->first) = it->next;
    if (it->next)
        it->next->before = it->before;
    it->next = spare;
    spare = it;
}

static int on_field(nghttp3_conn *http, int64_t stream, int32_t token, nghttp3_rcbuf *name, nghttp3_rcbuf *value,
                    uint8_t flags, void *user, void *data)
{
    (void)http, (void)stream, (void)name, (void)flags, (void)user;
    nghttp3_vec text = nghttp3_rcbuf_get_buf(value);
    if (token == NGHTTP3_QPACK_TOKEN__STATUS && text.len == 3)
        ((struct request *)data)->status = (text.base[0] - '0') * 100 + (text.base[1] - '0') * 10 + text.base[2] - '0';
    return 0;
}

static void consume(struct connection *one, int64_t stream, size_t size)
{
    ngtcp2_conn_extend_max_stream_offset(one->quic, stream, size);
    ngtcp2_conn_extend_max_offset(one->quic, size);
}

static int on_body(nghttp3_conn *http, int64_t stream, const uint8_t *data, size_t size, void *user, void *request)
{
    (void)http, (void)data;
    uint64_t before = counts.bytes >> 10;
    ((struct request *)request)->size += size;
    counts.bytes += size;
    if (in_kib)
        atomic_fetch_add_explicit(counter, (counts.bytes >> 10) - before, memory_order_relaxed);
    consume(user, stream, size);
    return 0;
}

static int on_deferred(nghttp3_conn *http, int64_t stream, size_t size, void *user, void *request)
{
    (void)http, (void)request;
    consume(user, stream, size);
    return 0;
}

static int on_response_end(nghttp3_conn *http, int64_t stream, void *user, void *request)
{
    (void)http, (void)stream;
    struct request *it = request;
    int right = it->status == status && (length < 0 || it->size == (uint64_t)length);
    if (!it->settled)
        settle(user, it, right ? &counts.whole : &counts.wrong);
    return 0;
}

static int on_request_closed(nghttp3_conn *http, int64_t stream, uint64_t code, void *user, void *request)
{
    (void)http, (void)stream;
    struct connection *one = user;
    struct request *it = request;
    if (!it) /* not a request's */
        return 0;
    if (!it->settled)
        settle(one, it, code == NGHTTP3_H3_REQUEST_REJECTED ? &counts.rejected : &counts.reset);
    forget(one, it);
    return 0;
}

static int on_stop(nghttp3_conn *http, int64_t stream, uint64_t code, void *user, void *request)
{
    (void)http, (void)request;
    return ngtcp2_conn_shutdown_stream_read(((struct connection *)user)->quic, stream, code);
}

static int on_reset(nghttp3_conn *http, int64_t stream, uint64_t code, void *user, void *request)
{
    (void)http, (void)request;
    return ngtcp2_conn_shutdown_stream_write(((struct connection *)user)->quic, stream, code);
}

static int on_goaway(nghttp3_conn *http, int64_t stream, void *user)
{
    (void)http;
    ((struct connection *)user)->goaway = stream;
    return 0;
}

/* ---- QUIC --------------------------------------------------------------------------------------------------- */

static int on_data(ngtcp2_conn *quic, uint32_t flags, int64_t stream, uint64_t offset, const uint8_t *data, size_t size,
                   void *user, void *request)
{
    (void)quic, (void)offset, (void)request;
    struct connection *one = user;
    nghttp3_ssize taken = nghttp3_conn_read_stream(one->http, stream, data, size, flags & NGTCP2_STREAM_DATA_FLAG_FIN);
    if (taken < 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    consume(one, stream, (size_t)taken);
    return 0;
}

static int on_acked(ngtcp2_conn *quic, int64_t stream, uint64_t offset, uint64_t size, void *user, void *request)
{
    (void)quic, (void)offset, (void)request;
    return nghttp3_conn_add_ack_offset(((struct connection *)user)->http, stream, size) ? NGTCP2_ERR_CALLBACK_FAILURE
                                                                                        : 0;
}

static int on_stream_closed(ngtcp2_conn *quic, uint32_t flags, int64_t stream, uint64_t code, void *user, void *request)
{
    (void)quic, (void)request;
    if (!(flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET))
        code = NGHTTP3_H3_NO_ERROR;
    int error = nghttp3_conn_close_stream(((struct connection *)user)->http, stream, code);
    return error && error != NGHTTP3_ERR_STREAM_NOT_FOUND ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_reset(ngtcp2_conn *quic, int64_t stream, uint64_t size, uint64_t code, void *user, void *request)
{
    (void)quic, (void)size;
    struct connection *one = user;
    struct request *it = request;
    if (it && !it->settled)
        settle(one, it, code == NGHTTP3_H3_REQUEST_REJECTED ? &counts.rejected : &counts.reset);
    return nghttp3_conn_shutdown_stream_read(one->http, stream) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_window(ngtcp2_conn *quic, int64_t stream, uint64_t size, void *user, void *request)
{
    (void)quic, (void)size, (void)request;
    return nghttp3_conn_unblock_stream(((struct connection *)user)->http, stream) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_retry(ngtcp2_conn *quic, const ngtcp2_pkt_hd *head, void *user)
{
    counts.retries++;
    return ngtcp2_crypto_recv_retry_cb(quic, head, user);
}

static int on_handshake(ngtcp2_conn *quic, void *user)
{
    (void)quic, (void)user;
    counts.handshakes++;
    in_vain = 0;
    return 0;
}

/* The keys of 1-RTT are there: HTTP/3 begins. */
static int on_key(ngtcp2_conn *quic, ngtcp2_crypto_level level, void *user)
{
    static const nghttp3_callbacks callbacks = {
        .stream_close = on_request_closed, .recv_data = on_body, .deferred_consume = on_deferred,
        .recv_header = on_field, .stop_sending = on_stop, .end_stream = on_response_end, .reset_stream = on_reset,
        .shutdown = on_goaway};
    struct connection *one = user;
    nghttp3_settings settings;
    int64_t control, encoder, decoder;
    if (level != NGTCP2_CRYPTO_LEVEL_APPLICATION)
        return 0;
    nghttp3_settings_default(&settings);
    if (nghttp3_conn_client_new(&one->http, &callbacks, &settings, NULL, one) ||
        ngtcp2_conn_open_uni_stream(quic, &control, NULL) || ngtcp2_conn_open_uni_stream(quic, &encoder, NULL) ||
        ngtcp2_conn_open_uni_stream(quic, &decoder, NULL) || nghttp3_conn_bind_control_stream(one->http, control) ||
        nghttp3_conn_bind_qpack_streams(one->http, encoder, decoder))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static void make_random(uint8_t *data, size_t size, const ngtcp2_rand_ctx *context)
{
    (void)context;
    gnutls_rnd(GNUTLS_RND_NONCE, data, size);
}

static int make_cid(ngtcp2_conn *quic, ngtcp2_cid *cid, uint8_t *token, size_t size, void *user)
{
    (void)quic, (void)user;
    cid->datalen = size;
    gnutls_rnd(GNUTLS_RND_NONCE, cid->data, size);
    gnutls_rnd(GNUTLS_RND_NONCE, token, NGTCP2_STATELESS_RESET_TOKENLEN);
    return 0;
}

static ngtcp2_conn *get_quic(ngtcp2_crypto_conn_ref *reference)
{
    return ((struct connection *)reference->user_data)->quic;
}

static void begin_tls(struct connection *one)
{
    static const gnutls_datum_t alpn = {(unsigned char *)"h3", 2};
    one->reference = (ngtcp2_crypto_conn_ref){get_quic, one};
    if (gnutls_init(&one->tls, GNUTLS_CLIENT | GNUTLS_NO_TICKETS) ||
        gnutls_priority_set_direct(one->tls, PRIORITY, NULL) ||
        gnutls_credentials_set(one->tls, GNUTLS_CRD_CERTIFICATE, credentials) ||
        gnutls_alpn_set_protocols(one->tls, &alpn, 1, GNUTLS_ALPN_MANDATORY) ||
        gnutls_server_name_set(one->tls, GNUTLS_NAME_DNS, host, strlen(host)) ||
        ngtcp2_crypto_gnutls_configure_client_session(one->tls))
        fail("TLS cannot be set up");
    gnutls_session_set_ptr(one->tls, &one->reference);
    ngtcp2_conn_set_tls_native_handle(one->quic, one->tls);
}

static void begin_quic(struct connection *one)
{
    static const ngtcp2_callbacks callbacks = {
        .client_initial = ngtcp2_crypto_client_initial_cb, .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
        .encrypt = ngtcp2_crypto_encrypt_cb, .decrypt = ngtcp2_crypto_decrypt_cb, .hp_mask = ngtcp2_crypto_hp_mask_cb,
        .recv_retry = on_retry, .rand = make_random, .get_new_connection_id = make_cid,
        .update_key = ngtcp2_crypto_update_key_cb, .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
        .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
        .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
        .version_negotiation = ngtcp2_crypto_version_negotiation_cb, .handshake_completed = on_handshake,
        .recv_tx_key = on_key, .recv_stream_data = on_data, .acked_stream_data_offset = on_acked,
        .stream_close = on_stream_closed, .stream_reset = on_stream_reset, .extend_max_stream_data = on_window};
    ngtcp2_cid source = {.datalen = CID_SIZE}, destination = {.datalen = CID_SIZE};
    ngtcp2_path path = {{(void *)&one->local, one->local_size}, {peer->ai_addr, peer->ai_addrlen}, NULL};
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    gnutls_rnd(GNUTLS_RND_NONCE, source.data, CID_SIZE);
    gnutls_rnd(GNUTLS_RND_NONCE, destination.data, CID_SIZE);
    ngtcp2_settings_default(&settings);
    settings.initial_ts = now_ns();
    settings.handshake_timeout = 5 * SECOND;
    settings.max_tx_udp_payload_size = DATAGRAM;
    settings.no_pmtud = 1;
    settings.no_tx_udp_payload_size_shaping = 1;
    ngtcp2_transport_params_default(&params);
    params.initial_max_data = params.initial_max_stream_data_bidi_local = WINDOW;
    params.initial_max_stream_data_uni = 1 << 20;
    params.initial_max_streams_uni = 16;
    params.max_idle_timeout = 30 * SECOND;
    if (ngtcp2_conn_client_new(&one->quic, &destination, &source, &path, one->version, &callbacks, &settings, &params,
                               NULL, one))
        fail("QUIC cannot be set up");
}

/* ---- Datagrams ---------------------------------------------------------------------------------------------- */

/* `size` bytes of datagrams of `each` bytes, the last one perhaps shorter.  What the kernel refuses is lost, as on any
 * other hop. */
static void send_train(struct connection *one, uint8_t *data, size_t size, size_t each)
{
    char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec part = {data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (size > each && segmented) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(uint16_t)), .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT};
        memcpy(CMSG_DATA(head), &(uint16_t){(uint16_t)each}, sizeof(uint16_t));
    }
    if (size <= each || segmented) {
        if (sendmsg(one->fd, &message, 0) >= 0 || size <= each || (errno != EINVAL && errno != EIO))
            return;
        segmented = 0; /* no UDP_SEGMENT here */
    }
    for (size_t at = 0; at < size; at += each)
        (void)!send(one->fd, data + at, size - at < each ? size - at : each, 0);
}

/* One packet into `place`: its size, 0 where there is nothing more to say, or less. */
static ngtcp2_ssize write_packet(struct connection *one, uint8_t *place, uint64_t now)
{
    for (;;) {
        nghttp3_vec parts[8];
        int64_t stream = -1;
        int last = 0;
        ngtcp2_ssize written, taken = -1;
        nghttp3_ssize count = one->http && ngtcp2_conn_get_max_data_left(one->quic)
                                  ? nghttp3_conn_writev_stream(one->http, &stream, &last, parts, 8)
                                  : 0;
        if (count < 0)
            return count;
        uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE | (last ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0);
        written = ngtcp2_conn_writev_stream(one->quic, NULL, NULL, place, DATAGRAM, &taken, flags, stream,
                                            (const ngtcp2_vec *)parts, (size_t)count, now);
        if (taken >= 0 && nghttp3_conn_add_write_offset(one->http, stream, (size_t)taken))
            return NGTCP2_ERR_CALLBACK_FAILURE;
        if (written == NGTCP2_ERR_STREAM_DATA_BLOCKED)
            nghttp3_conn_block_stream(one->http, stream);
        else if (written == NGTCP2_ERR_STREAM_SHUT_WR || written == NGTCP2_ERR_STREAM_NOT_FOUND)
            nghttp3_conn_shutdown_stream_write(one->http, stream);
        else if (written != NGTCP2_ERR_WRITE_MORE)
            return written;
    }
}

static void flush(struct connection *one)
{
    static uint8_t train[TRAIN * DATAGRAM];
    uint64_t now = now_ns();
    size_t used = 0, each = 0;
    ngtcp2_ssize size;
    while (!one->over && (size = write_packet(one, train + used, now)) != 0) {
        if (size < 0) {
            one->over = 1;
            break;
        }
        if (used && (size_t)size > each) { /* does not fit into this train */
            send_train(one, train, used, each);
            memmove(train, train + used, (size_t)size);
            used = 0;
        }
        if (!used)
            each = (size_t)size;
        used += (size_t)size;
        if ((size_t)size < each || used + DATAGRAM > sizeof train) {
            send_train(one, train, used, each);
            used = 0;
        }
    }
    if (used)
        send_train(one, train, used, each);
    /* Not paced: without ngtcp2_conn_update_pkt_tx_time there is no pause of 25 ms behind the first flight. */
    one->expiry = ngtcp2_conn_get_expiry(one->quic);
}

static void take_datagram(struct connection *one, uint8_t *data, size_t size, uint64_t now)
{
    ngtcp2_path path = {{(void *)&one->local, one->local_size}, {peer->ai_addr, peer->ai_addrlen}, NULL};
    ngtcp2_pkt_info info = {0};
    int error = ngtcp2_conn_read_pkt(one->quic, &path, &info, data, size, now);
    if (error == NGTCP2_ERR_RECV_VERSION_NEGOTIATION && one->version != NGTCP2_PROTO_VER_V1) {
        counts.negotiations++;
        one->version = NGTCP2_PROTO_VER_V1;
    }
    if (error)
        one->over = 1;
}

static void on_readable(struct connection *one)
{
    static uint8_t trains[BATCH][65536];
    static char controls[BATCH][CMSG_SPACE(sizeof(int))];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec parts[BATCH];
    uint64_t now = now_ns();
    for (int at = 0; at < BATCH; at++) {
        parts[at] = (struct iovec){trains[at], sizeof trains[at]};
        messages[at].msg_hdr = (struct msghdr){.msg_iov = &parts[at], .msg_iovlen = 1, .msg_control = controls[at],
                                               .msg_controllen = sizeof controls[at]};
    }
    int count = recvmmsg(one->fd, messages, BATCH, 0, NULL);
    if (count < 0 && errno != EAGAIN)
        one->over = 1;
    for (int at = 0; at < count; at++) {
        size_t size = messages[at].msg_len, each = size;
        struct cmsghdr *head = CMSG_FIRSTHDR(&messages[at].msg_hdr);
        if (head && head->cmsg_level == SOL_UDP && head->cmsg_type == UDP_GRO) {
            int told;
            memcpy(&told, CMSG_DATA(head), sizeof told);
            each = (size_t)told;
        }
        for (size_t from = 0; from < size && !one->over; from += each)
            take_datagram(one, trains[at] + from, size - from < each ? size - from : each, now);
    }
}

/* ---- Connections -------------------------------------------------------------------------------------------- */

static void begin(struct connection *one)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    int room = 4 << 20, yes = 1;
    uint32_t version = one->version;
    memset(one, 0, sizeof *one);
    one->version = version;
    one->goaway = INT64_MAX;
    one->local_size = sizeof one->local;
    one->fd = socket(peer->ai_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (one->fd < 0 || connect(one->fd, peer->ai_addr, peer->ai_addrlen) ||
        getsockname(one->fd, (struct sockaddr *)&one->local, &one->local_size) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, one->fd, &event))
        fail("no socket: %s", strerror(errno));
    setsockopt(one->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(one->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(one->fd, SOL_UDP, UDP_GRO, &yes, sizeof yes);
    begin_quic(one);
    begin_tls(one);
    flush(one);
}

/* Say goodbye, where there is someone to say it to, and free everything. */
static void end(struct connection *one)
{
    uint8_t last[DATAGRAM];
    ngtcp2_connection_close_error reason;
    if (!ngtcp2_conn_is_in_draining_period(one->quic)) {
        ngtcp2_connection_close_error_default(&reason);
        ngtcp2_connection_close_error_set_application_error(&reason, NGHTTP3_H3_NO_ERROR, NULL, 0);
        ngtcp2_ssize size =
            ngtcp2_conn_write_connection_close(one->quic, NULL, NULL, last, sizeof last, &reason, now_ns());
        if (size > 0)
            send_train(one, last, (size_t)size, (size_t)size);
    }
    while (one->first) {
        struct request *it = one->first;
        if (!it->settled)
            settle(one, it, !one->over ? &counts.unfinished : it->stream >= one->goaway ? &counts.rejected : &counts.lost);
        forget(one, it);
    }
    nghttp3_conn_del(one->http);
    ngtcp2_conn_del(one->quic);
    gnutls_deinit(one->tls);
    close(one->fd);
    one->fd = -1;
}

static int is_finished(void)
{
    return stopped || counts.opened - counts.rejected >= wanted;
}

/* After anything that has happened to it: ask, send, and where it is over or has done its share put another there. */
static void proceed(struct connection *one)
{
    ask(one);
    if (!one->over)
        flush(one);
    int done = !one->under_way && (one->asked >= share || one->goaway != INT64_MAX || (is_finished() && one->http));
    if (!one->over && !done)
        return;
    if (one->over && !one->http && one->version == first_version && !is_finished()) {
        counts.failed++;
        if (++in_vain > PATIENCE * connections)
            fail("no handshake succeeds");
    }
    end(one);
    if (is_finished())
        living--;
    else
        begin(one);
}

static void expire(struct connection *one, uint64_t now)
{
    if (one->fd < 0 || one->expiry > now)
        return;
    if (ngtcp2_conn_handle_expiry(one->quic, now))
        one->over = 1;
    proceed(one);
}

/* The milliseconds until the first timer of all. */
static int find_pause(const struct connection *all, uint64_t now)
{
    uint64_t first = now + SECOND / 20;
    for (unsigned at = 0; at < connections; at++)
        if (all[at].fd >= 0 && all[at].expiry < first)
            first = all[at].expiry;
    return first <= now ? 0 : (int)((first - now + 999999) / 1000000);
}

static void run(struct connection *all, uint64_t deadline)
{
    struct epoll_event events[EVENTS];
    int draining = 0, finished = 0;
    while (living) {
        int count = epoll_wait(epoll_fd, events, EVENTS, find_pause(all, now_ns()));
        for (int at = 0; at < count; at++) {
            on_readable(events[at].data.ptr);
            proceed(events[at].data.ptr);
        }
        uint64_t now = now_ns();
        for (unsigned at = 0; at < connections; at++)
            expire(&all[at], now);
        stopped |= now >= deadline;
        if (finished != is_finished()) { /* whoever has nothing under way hears of it by nothing else */
            finished = is_finished();
            for (unsigned at = 0; at < connections; at++)
                if (all[at].fd >= 0)
                    proceed(&all[at]);
        }
        if (stopped && !draining) {
            draining = 1;
            deadline = now + (uint64_t)(DRAIN_S * SECOND);
        } else if (draining && now >= deadline) {
            for (unsigned at = 0; at < connections; at++)
                if (all[at].fd >= 0)
                    end(&all[at]), living--;
        }
    }
}

/* ---- The command line --------------------------------------------------------------------------------------- */

static void add_field(const char *name, size_t size, const char *value)
{
    if (field_count == MAX_FIELDS)
        fail("too many fields");
    fields[field_count++] = (nghttp3_nv){(uint8_t *)name, (uint8_t *)value, size, strlen(value), NGHTTP3_NV_FLAG_NONE};
}

static void add_line(const char *line)
{
    const char *colon = strchr(line, ':');
    if (!colon)
        fail("no colon in a field");
    add_field(line, (size_t)(colon - line), colon + 1 + strspn(colon + 1, " "));
}

static void load_body(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        fail("%s: %s", path, strerror(errno));
    body_size = (size_t)ftell(file);
    rewind(file);
    body = malloc(body_size + 1);
    if (!body || fread(body, 1, body_size, file) != body_size)
        fail("cannot read %s", path);
    fclose(file);
}

static void share_counter(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *counter))
        fail("%s: %s", path, strerror(errno));
    counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counter == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    close(fd);
}

static double find_percentile(double part)
{
    uint64_t sought = (uint64_t)((double)counts.whole * part), seen = 0;
    if (!counts.whole)
        return 0.0;
    for (int at = 0; at < SLOTS; at++)
        if ((seen += latencies[at]) > sought)
            return at * 10.0;
    return SLOTS * 10.0;
}

static void tell(double seconds)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
#define NUMBER(name) printf("\"" #name "\": %llu, ", (unsigned long long)counts.name)
    printf("{");
    NUMBER(opened);
    NUMBER(whole);
    NUMBER(wrong);
    NUMBER(reset);
    NUMBER(lost);
    NUMBER(rejected);
    NUMBER(unfinished);
    NUMBER(handshakes);
    NUMBER(failed);
    NUMBER(retries);
    NUMBER(negotiations);
    NUMBER(bytes);
    printf("\"seconds\": %.6f, \"cpu_s\": %.6f, \"latency_us\": {\"p50\": %.0f, \"p90\": %.0f, \"p99\": %.0f, "
           "\"max\": %.0f}}\n",
           seconds, cpu_s, find_percentile(0.5), find_percentile(0.9), find_percentile(0.99),
           find_percentile(1.0 - 1e-12));
}

int main(int count, char **words)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    char *lines[MAX_FIELDS], authority[300], size[32];
    size_t line_count = 0;
    double seconds = 60;
    for (int option; (option = getopt(count, words, "c:m:n:t:r:kb:H:s:l:V:f:")) != -1;)
        switch (option) {
        case 'c': connections = (unsigned)atoi(optarg); break;
        case 'm': streams = (unsigned)atoi(optarg); break;
        case 'n': wanted = strtoull(optarg, NULL, 10); break;
        case 't': seconds = atof(optarg); break;
        case 'r': share = strtoull(optarg, NULL, 10); break;
        case 'k': in_kib = 1; break;
        case 'b': load_body(optarg); break;
        case 'H': lines[line_count < MAX_FIELDS - 8 ? line_count++ : line_count] = optarg; break;
        case 's': status = atoi(optarg); break;
        case 'l': length = atoll(optarg); break;
        case 'V': first_version = (uint32_t)strtoul(optarg, NULL, 16); break;
        case 'f': share_counter(optarg); break;
        default: fail("a wrong option");
        }
    if (count - optind != 3 || !connections || !streams || !share)
        fail("expected HOST PORT PATH, at least one connection and one stream");
    host = words[optind];
    if (getaddrinfo(host, words[optind + 1], &hints, &peer))
        fail("no address for %s", host);
    snprintf(authority, sizeof authority, "%s:%s", host, words[optind + 1]);
    snprintf(size, sizeof size, "%zu", body_size);
    add_field(":method", 7, body ? "POST" : "GET");
    add_field(":scheme", 7, "https");
    add_field(":authority", 10, authority);
    add_field(":path", 5, words[optind + 2]);
    for (size_t at = 0; at < line_count; at++)
        add_line(lines[at]);
    if (body)
        add_field("content-length", 14, size);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    struct connection *all = calloc(connections, sizeof *all);
    epoll_fd = epoll_create1(0);
    if (!all || epoll_fd < 0 || gnutls_certificate_allocate_credentials(&credentials))
        fail("no memory or no epoll");
    uint64_t began = now_ns();
    for (unsigned at = 0; at < connections; at++, living++) {
        all[at].version = first_version;
        begin(&all[at]);
    }
    run(all, began + (uint64_t)(seconds * 1e9));
    tell((double)(now_ns() - began) / 1e9);
    return 0;
}
