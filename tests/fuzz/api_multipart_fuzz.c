/* A form: the first byte is the size of the pieces that it comes in, 0 for as the library has them; then, to the end of
 * the line, what stands behind "multipart/form-data;"; then the body. The library is the real one, on a socket pair. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/connections.h"
#include "api/handlers.h"
#include "base/log.h"
#include "base/text.h"
#include "tests/fake/api/gateway.h"

enum { BODY_MAX = 32 * 1024, TYPE_MAX = 1000, TURNS = 200 };

static struct gateway *gw;
static struct MHD_Daemon *server;
static struct connection *caller;
static size_t piece;
static bool over;

static void check_error(const struct error *err)
{
    assert(err->code != ERR_NONE && err->text[0]);
}

static void check_form(const struct request *rq)
{
    struct fake_gateway_seen seen;
    struct error err;

    assert(rq->name[0] == '\0' || text_name_check(rq->name, strlen(rq->name), &err));
    assert(rq->type[0] == '\0' || media_type_valid(rq->type));
    for (size_t i = 0; i < PARAM_COUNT; i++)
        assert(!rq->params.value[i] || strlen(rq->params.value[i]) <= PARAM_MAX);
    fake_gateway_seen(gw, &seen);
    assert(seen.bytes == rq->file_taken);
}

static bool feed(struct request *rq, const char *data, size_t len, struct error *err)
{
    for (size_t at = 0, part; at < len; at += part) {
        part = piece > 0 && piece < len - at ? piece : len - at;
        if (!multipart_feed(rq, data + at, part, err))
            return false;
    }
    return true;
}

static enum MHD_Result answer(struct MHD_Connection *connection)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(connection, 200, response);

    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *len, void **own)
{
    static struct gate gate;
    struct request *rq = *own;
    struct error err = {0};
    bool whole = *len == 0;

    (void)user;
    (void)url;
    (void)method;
    (void)version;
    if (!rq) {
        rq = *own = request_create(gw, &gate, "/v1/transfers", connection, caller);
        rq->form = multipart_wanted(rq);
        rq->announced = BODY_MAX;
        if (rq->form && multipart_create(rq, &err))
            return MHD_YES;
        if (rq->form)
            check_error(&err);
        return answer(connection);
    }
    if (!rq->multipart || rq->error.code != ERR_NONE) { /* refused: the rest is read and dropped */
        *len = 0;
        return whole ? answer(connection) : MHD_YES;
    }
    if (!whole) {
        if (!feed(rq, data, *len, &rq->error))
            check_error(&rq->error);
        *len = 0;
        return MHD_YES;
    }
    if (multipart_finish(rq, &err))
        check_form(rq);
    else
        check_error(&err);
    return answer(connection);
}

static void on_end(void *user, struct MHD_Connection *connection, void **own, enum MHD_RequestTerminationCode how)
{
    (void)user;
    (void)connection;
    (void)how;
    if (*own)
        request_release(*own);
    *own = NULL;
    over = true;
}

static void set_up(void)
{
    static struct config config = {.spool.max_file = 1 << 20, .spool.max_bytes = 1 << 20};

    const struct sockaddr nowhere = {.sa_family = AF_UNIX};

    log_setup(LOG_ERROR, LOG_TEXT);
    caller = connection_open(connections_create(&config, NULL), -1, &nowhere, false);
    gw = fake_gateway_create(&config);
    server = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, NULL, MHD_OPTION_NOTIFY_COMPLETED,
                              on_end, NULL, MHD_OPTION_END);
    assert(gw && server && caller);
}

static void send_all(int fd, const void *data, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)data + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the library has closed it */
        sent += (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
    const struct sockaddr nowhere = {.sa_family = AF_UNIX};
    char head[TYPE_MAX + 200];
    int fds[2], len;

    if (!gw)
        set_up();
    if (!end || end - data > TYPE_MAX || size > BODY_MAX)
        return 0;
    piece = data[0];
    over = false;
    len =
        snprintf(head, sizeof head,
                 "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\nContent-Type: multipart/form-data;%.*s\r\n\r\n",
                 size - (size_t)(end + 1 - data), (int)(end - data - 1), (const char *)data + 1);
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    send_all(fds[0], head, (size_t)len);
    send_all(fds[0], end + 1, size - (size_t)(end + 1 - data));
    assert(MHD_add_connection(server, fds[1], &nowhere, sizeof nowhere) == MHD_YES);
    for (int turn = 0; turn < TURNS && !over; turn++)
        MHD_run(server);
    close(fds[0]);
    MHD_run(server);
    MHD_run(server);
    return 0;
}
