/* api/handlers.h - the handlers that the table in routes.c names, and the little they share; see routes.h. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "api/request.h"

/* upload.c: PUT and POST /v1/to/{jid}[/{name}], the raw bytes of one file, or a form. */
bool api_upload_begin(struct request *rq, struct error *err);
bool api_upload_body(struct request *rq, const char *data, size_t len, struct error *err);
enum MHD_Result api_upload_end(struct request *rq);
bool api_upload_take(struct request *rq, const char *data, size_t len, struct error *err); /* bytes of the file */
bool api_upload_check(struct request *rq, struct error *err); /* before it begins: its token's limits allow one more */
bool api_upload_count(struct request *rq, struct error *err); /* after it began: it is one of its token's */
void api_upload_settle(struct request *rq);                   /* with the end of the request: what it did not use */
void api_upload_drop(struct request *rq);                     /* whatever was begun and not finished */
bool api_submission_of(struct request *rq, struct submission *s, struct error *err); /* what is asked for */
bool api_submission_check(struct request *rq, struct error *err); /* and that it can be, for rq->to */

bool api_upload_name(struct request *rq, struct error *err); /* the file's, as far as the request says */
enum MHD_Result api_upload_committed(struct request *rq);    /* with the one record in rq->got */

/* order.c: application/json to POST /v1/transfers */
bool order_wanted(struct request *rq);
bool order_create(struct request *rq, struct error *err);
bool order_feed(struct request *rq, const char *data, size_t len, struct error *err);
enum MHD_Result order_finish(struct request *rq);
const char *order_path(const struct request *rq); /* where the file lies; NULL: it was uploaded */
const char *order_url(const struct request *rq);  /* likewise, where it comes from */
void order_free(struct order **order);

/* batch.c: a call with several files or recipients */
bool several_recipients(struct request *rq, const char *lines, struct error *err); /* checks all; rq->to is the last */
bool several_next_file(struct request *rq, struct error *err); /* the one at hand is whole, and another begins */
bool several_is_one(const struct request *rq);                 /* more than one transfer comes of it */
enum MHD_Result several_finish(struct request *rq);            /* instead of gateway_upload_finish(); also of one */
enum MHD_Result several_replay(struct request *rq, const char *id); /* a repeated request: as it is now */
void several_drop(struct request *rq);                              /* as api_upload_drop(), of which it is a part */
void several_settle(struct request *rq);                            /* likewise */
void several_free(struct several **several);
bool api_batch_begin(struct request *rq, struct error *err);
enum MHD_Result api_batch_get(struct request *rq);

/* multipart.c: multipart/form-data (RFC 7578) with the parts of POST /v1/transfers. */
bool multipart_wanted(struct request *rq);
bool multipart_create(struct request *rq, struct error *err);
bool multipart_feed(struct request *rq, const char *data, size_t len, struct error *err);
bool multipart_finish(struct request *rq, struct error *err); /* the form is complete and has a file */
void multipart_destroy(struct multipart **form);
bool api_form_begin(struct request *rq, struct error *err);

bool api_upload_to(struct request *rq, struct error *err); /* whom for: the parameter `to` into rq->to, and may it? */
bool api_upload_spend(struct request *rq, const char *id, struct error *err); /* its token pays what is announced */
bool api_upload_pay(struct request *rq, struct error *err);                   /* and what came beyond that */

/* tus.c: /v1/uploads */
enum MHD_Result api_tus_options(struct request *rq);
bool api_tus_create_begin(struct request *rq, struct error *err);
bool api_tus_patch_begin(struct request *rq, struct error *err);
bool api_tus_body(struct request *rq, const char *data, size_t len, struct error *err);
enum MHD_Result api_tus_end(struct request *rq);
enum MHD_Result api_tus_head(struct request *rq);
enum MHD_Result api_tus_delete(struct request *rq);
void api_tus_drop(struct request *rq); /* the request is over before its upload was let go */
void api_tus_free(struct request *rq);

/* Before the server serves: uploads that are whole, and say whom for, become transfers. */
void api_tus_start(struct gateway *gw, const struct tokens *tokens);

/* tus.c, for a request that names a complete upload in place of a file: that becomes rq->upload, with what it says of
 * its name and type, unless the request has said so. Its transfer has the same digits; a key it cannot have. */
bool api_tus_source(struct request *rq, const char *id, struct error *err);

/* transfers.c */
bool api_wait_begin(struct request *rq, struct error *err); /* reads ?wait= and Prefer into rq->wait_ms */
enum MHD_Result reply_transfer(struct request *rq, unsigned status, const struct record *r);
enum MHD_Result reply_hidden(
    struct request *rq); /* the transfer asked for is not the caller's: as if there were none */
/* `tr_… queued /v1/transfers/tr_…`, a line for each: for scripts that cut it at its spaces; never to change. To be
 * freed; NULL: out of memory. */
char *words_of_transfers(struct record *const *records, size_t count);
bool api_transfer_begin(struct request *rq, struct error *err);
enum MHD_Result api_transfer_get(struct request *rq);
enum MHD_Result api_transfer_cancel(struct request *rq);
enum MHD_Result api_transfer_retry(struct request *rq);
enum MHD_Result api_transfers_list(struct request *rq);

/* events.c; see also streams.h */
bool api_events_begin(struct request *rq, struct error *err);
bool api_transfer_events_begin(struct request *rq, struct error *err);
enum MHD_Result api_events_get(struct request *rq);
enum MHD_Result api_transfer_events_get(struct request *rq);

/* download.c: GET /d/{secret}/{name}, what recipients of links fetch */
enum MHD_Result api_download_get(struct request *rq);
/* The file in rq->got.download, or the range of it that is asked for; tag: the same for the same bytes, unquoted. */
enum MHD_Result reply_download(struct request *rq, const char *name, const char *tag);

/* inbox.c; see also inbox_wait.h */
bool api_inbox_list_begin(struct request *rq, struct error *err);
bool api_inbox_begin(struct request *rq, struct error *err);
enum MHD_Result api_inbox_list(struct request *rq);
enum MHD_Result api_inbox_get(struct request *rq);
enum MHD_Result api_inbox_content(struct request *rq);
enum MHD_Result api_inbox_delete(struct request *rq);

/* recipients.c */
bool api_recipient_look(struct request *rq, struct error *err);     /* with the parameters of a look at somebody */
bool api_recipient_begin(struct request *rq, struct error *err);    /* reads the address of the path into rq->to */
bool api_recipient_resource(struct request *rq, struct error *err); /* puts ?resource= behind rq->to */
enum MHD_Result api_recipient_get(struct request *rq);

/* page.c: GET / and /page/{name} */
enum MHD_Result api_page_get(struct request *rq);

/* docs.c: the reference page, and a page for each error code */
enum MHD_Result api_docs_get(struct request *rq);
enum MHD_Result api_problem_get(struct request *rq);
enum MHD_Result api_problems_get(struct request *rq);

/* proxy.c */
enum MHD_Result api_proxy_sessions(struct request *rq);

/* webhooks.c */
enum MHD_Result api_webhooks_list(struct request *rq);
enum MHD_Result api_webhook_test(struct request *rq);
enum MHD_Result api_deliveries_list(struct request *rq);
bool api_redeliver_begin(struct request *rq, struct error *err);
enum MHD_Result api_redeliver(struct request *rq);
void api_webhooks_drop(struct request *rq); /* with the end of the request: what it was told */

/* status.c */
enum MHD_Result api_root_get(struct request *rq);
enum MHD_Result api_network_get(struct request *rq);
enum MHD_Result api_description_get(struct request *rq);
enum MHD_Result api_live_get(struct request *rq);
enum MHD_Result api_ready_get(struct request *rq);

/* metrics.c */
void metrics_of_request(const struct request *rq); /* counts it, when it is over */
enum MHD_Result api_metrics_get(struct request *rq);

#endif
