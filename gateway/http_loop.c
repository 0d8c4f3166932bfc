#include "gateway/http_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http_loop {
    uv_loop_t *loop;
    uv_timer_t timer;
    CURLM *multi;
    http_loop_end_fn *ended;
};

/* A socket that the library waits for. */
struct watch {
    uv_poll_t poll;
    struct http_loop *l;
    curl_socket_t fd;
};

static void answer_finished(struct http_loop *l)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(l->multi, &left))) {
        CURLcode code = message->data.result; /* the message goes with its handle */
        CURL *easy = message->easy_handle;
        void *mine = NULL;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&mine);
        curl_multi_remove_handle(l->multi, easy);
        l->ended(mine, code);
    }
}

static void act(struct http_loop *l, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(l->multi, fd, what, &running);
    answer_finished(l);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int want_time(CURLM *multi, long ms, void *user)
{
    struct http_loop *l = user;

    (void)multi;
    uv_timer_stop(&l->timer);
    if (ms < 0)
        return 0;
    /* One that comes early by a fraction is not asked for again: the library takes its next deadline for armed. */
    uv_update_time(l->loop);
    uv_timer_start(&l->timer, on_timer, ms > 0 ? (uint64_t)ms + 1 : 0, 0);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    int what = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);

    act(w->l, w->fd, status < 0 ? CURL_CSELECT_ERR : what);
}

static void free_watch(uv_handle_t *poll)
{
    free(poll->data);
}

static struct watch *watch_create(struct http_loop *l, curl_socket_t fd)
{
    struct watch *w = calloc(1, sizeof *w);

    if (!w || uv_poll_init_socket(l->loop, &w->poll, fd) != 0) {
        free(w);
        return NULL;
    }
    w->l = l;
    w->fd = fd;
    w->poll.data = w;
    curl_multi_assign(l->multi, fd, w);
    return w;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
    struct http_loop *l = user;
    struct watch *w = assigned;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            uv_close((uv_handle_t *)&w->poll, free_watch);
        curl_multi_assign(l->multi, fd, NULL);
        return 0;
    }
    if (!w)
        w = watch_create(l, fd);
    if (!w)
        return -1; /* out of memory: every transfer ends with an error */
    if (what != CURL_POLL_OUT)
        events |= UV_READABLE;
    if (what != CURL_POLL_IN)
        events |= UV_WRITABLE;
    uv_poll_start(&w->poll, events, on_ready);
    return 0;
}

bool http_loop_add(struct http_loop *l, CURL *easy)
{
    return curl_multi_add_handle(l->multi, easy) == CURLM_OK;
}

void http_loop_remove(struct http_loop *l, CURL *easy)
{
    curl_multi_remove_handle(l->multi, easy);
}

/* ---- what handles have in common */

bool http_loop_limits(CURL *easy, const char *ca)
{
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK && /* else the environment's is taken */
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* Who gives up while a name is looked up would wait for the library's thread, in the loop's. */
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           (!ca || curl_easy_setopt(easy, CURLOPT_CAINFO, ca) == CURLE_OK); /* the system's folder stays as it is */
}

bool http_loop_one_line(const char *value)
{
    for (; *value; value++)
        if ((unsigned char)*value < 0x20 || *value == 0x7f)
            return false;
    return true;
}

bool http_loop_header(struct curl_slist **list, const char *name, const char *value)
{
    struct curl_slist *more;
    size_t room = strlen(name) + strlen(value) + 3;
    char *line = malloc(room);

    if (!line)
        return false;
    snprintf(line, room, "%s: %s", name, value);
    more = curl_slist_append(*list, line);
    free(line);
    if (more)
        *list = more;
    return more != NULL;
}

/* ---- life */

static bool set_multi(struct http_loop *l)
{
    return curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, want_socket) == CURLM_OK &&
           curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l) == CURLM_OK &&
           curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, want_time) == CURLM_OK &&
           curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l) == CURLM_OK;
}

struct http_loop *http_loop_create(uv_loop_t *loop, http_loop_end_fn *ended)
{
    struct http_loop *l = calloc(1, sizeof *l);

    if (!l || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(l);
        return NULL;
    }
    l->loop = loop;
    l->ended = ended;
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    l->multi = curl_multi_init();
    if (!l->multi || !set_multi(l))
        http_loop_destroy(&l);
    return l;
}

static void free_loop(uv_handle_t *timer)
{
    free(timer->data);
}

void http_loop_destroy(struct http_loop **l)
{
    if (!*l)
        return;
    if ((*l)->multi)
        curl_multi_cleanup((*l)->multi);
    uv_close((uv_handle_t *)&(*l)->timer, free_loop);
    curl_global_cleanup();
    *l = NULL;
}
