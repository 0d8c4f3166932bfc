/* gateway/http_loop.h - libcurl's multi interface on a uv loop: what every HTTP client of ours stands on.
 *
 * The library names the sockets and the time it waits for; they become uv_poll_t and uv_timer_t. A client makes an easy
 * handle with CURLOPT_PRIVATE set to what is its own, adds it, and hears of its end once. Connections are kept for the
 * next handle of the same loop, so one that judges addresses in its own way has a loop of its own. Thread: the loop's.
 */
#ifndef GATEWAY_HTTP_LOOP_H
#define GATEWAY_HTTP_LOOP_H

#include <stdbool.h>
#include <uv.h>

#include <curl/curl.h>

struct http_loop;

/* mine: CURLOPT_PRIVATE. The handle is out of the loop by then, and the client's to clean up; it may add others. Never
 * from inside http_loop_add(). */
typedef void http_loop_end_fn(void *mine, CURLcode code);

/* NULL: memory or descriptors are out. */
struct http_loop *http_loop_create(uv_loop_t *loop, http_loop_end_fn *ended);

/* Every handle was removed; the uv loop must still turn until its own are closed. NULL is fine; leaves *l NULL. */
void http_loop_destroy(struct http_loop **l);

bool http_loop_add(struct http_loop *l, CURL *easy);

/* Breaks it off. Not from inside a callback of the library's. */
void http_loop_remove(struct http_loop *l, CURL *easy);

/* HTTP/1.1 by http or https alone, no redirects, no proxy of the environment, no signals; ca: a PEM file beside the
 * system's, or NULL. false: out of memory. */
bool http_loop_limits(CURL *easy, const char *ca);

/* Whether it can be the value of a header: none may end its line and begin another. */
bool http_loop_one_line(const char *value);

/* "name: value" to the list; false: out of memory. */
bool http_loop_header(struct curl_slist **list, const char *name, const char *value);

#endif
