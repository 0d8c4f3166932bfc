/* api/json.h - records, received files, recipients and the network's state as JSON.
 *
 * Every text passes text_clean() first: the JSON library refuses broken UTF-8 by returning NULL, and then the whole
 * answer would be lost. Every function returns a new reference, or NULL when memory is short. Pure functions. */
#ifndef API_JSON_H
#define API_JSON_H

#include <jansson.h>

#include "gateway/gateway.h"

json_t *json_of_text(const char *text); /* null for NULL and "" */
json_t *json_of_time(int64_t wall_ms);  /* null for 0 */
json_t *json_of_transfer(const struct record *r);
json_t *json_of_inbox_item(const struct inbox_item *item);
/* One event, of transfer (all of it) or else of e (what it is about); either may be NULL. */
json_t *json_of_event(const char *type, int64_t wall_ms, const struct record *transfer, const struct event *e);
/* view: for the ways that a bytestream could take. ladder may be NULL: not known. */
json_t *json_of_recipient(const struct recipient *r, const struct gateway_ladder *ladder,
                          const struct gateway_view *view);
/* A recipient nobody of whom is reachable, and why. */
json_t *json_of_unreachable(const struct jid *asked, const struct gateway_ladder *ladder, const struct error *why);
json_t *json_of_network(const struct network_view *view);

/* A batch as one line, its transfers in the order of the list, which is not empty; to be freed. */
char *json_line_of_batch(const char *id, const struct record_list *list);

/* One line with its line feed, to be freed; takes the reference. NULL in, NULL out. */
char *json_line(json_t *value);

#endif
