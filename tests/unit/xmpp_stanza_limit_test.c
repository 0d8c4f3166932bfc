#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>

#include "base/buf.h"
#include "base/log.h"
#include "xmpp/stanza_limit.h"

#define STRANGER "<message from='eve@example.net/x'>"
enum { STRANGERS_PARTS = 2 }; /* those of STRANGER: the element and its attribute */

struct fixture {
    xmpp_ctx_t *ctx;
    unsigned warnings;
};

static void count_warnings(void *user, enum log_level level, const char *line)
{
    assert_non_null(strstr(line, "xmpp.stanza_cut"));
    ((struct fixture *)user)->warnings += level == LOG_WARN;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct jid self;

    assert_true(jid_parse(&self, "gateway@example.org/gw", 22, NULL));
    stanza_limit_own(&self);
    log_capture(count_warnings, f);
    f->ctx = xmpp_ctx_new(NULL, NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    xmpp_ctx_free(f->ctx);
    log_capture(NULL, NULL);
    free(f);
    return 0;
}

static void repeat(struct buf *b, const char *text, size_t count)
{
    while (count-- > 0)
        buf_puts(b, text);
}

/* The stanza of opening, count times the text, and closing, through the library's parser. */
static xmpp_stanza_t *parse(struct fixture *f, const char *opening, const char *text, size_t count, const char *closing)
{
    struct buf b = {0};
    xmpp_stanza_t *stanza;

    buf_puts(&b, opening);
    repeat(&b, text, count);
    buf_puts(&b, closing);
    stanza = xmpp_stanza_new_from_string(f->ctx, b.data);
    buf_free(&b);
    return stanza;
}

static void release(xmpp_stanza_t *stanza)
{
    if (stanza)
        xmpp_stanza_release(stanza);
}

static size_t count_children(xmpp_stanza_t *stanza)
{
    size_t count = 0;

    for (xmpp_stanza_t *c = xmpp_stanza_get_children(stanza); c; c = xmpp_stanza_get_next(c))
        count++;
    return count;
}

/* What a stanza of a stranger may hold besides STRANGER. */
static void at_the_limit_a_stanza_is_whole_and_one_part_over_it_is_cut(void **state)
{
    static const struct {
        const char *opening, *text, *closing;
        size_t fits;
    } rows[] = {
        {STRANGER, "<a/>", "</message>", STANZA_PARTS - STRANGERS_PARTS},
        {STRANGER, "<a b=''/>", "</message>", (STANZA_PARTS - STRANGERS_PARTS) / 2},
        {STRANGER, "&lt;", "</message>", STANZA_PARTS - STRANGERS_PARTS},
        {STRANGER "<b>", "&lt;", "</b></message>", STANZA_PARTS - STRANGERS_PARTS - 1},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        release(parse(f, rows[i].opening, rows[i].text, rows[i].fits, rows[i].closing));
        assert_false(stanza_limit_cut());
        assert_int_equal(f->warnings, i);
        release(parse(f, rows[i].opening, rows[i].text, rows[i].fits + 1, rows[i].closing));
        assert_true(stanza_limit_cut());
        assert_int_equal(f->warnings, i + 1);
    }
}

static void what_is_over_the_limit_is_never_built(void **state)
{
    struct fixture *f = *state;
    xmpp_stanza_t *stanza = parse(f, STRANGER, "<a/>", 10 * STANZA_PARTS, "</message>");

    assert_int_equal(count_children(stanza), STANZA_PARTS - STRANGERS_PARTS);
    assert_int_equal(f->warnings, 1);
    release(stanza);
}

static void so_many_attributes_are_not_built_either(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};
    char name[32];

    buf_puts(&b, STRANGER "<a");
    for (unsigned i = 0; i < STANZA_PARTS; i++) {
        snprintf(name, sizeof(name), " a%u=''", i);
        buf_puts(&b, name);
    }
    buf_puts(&b, "/>");
    release(parse(f, b.data, "", 0, "</message>"));
    assert_true(stanza_limit_cut());
    buf_free(&b);
}

static void levels_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct buf close = {0};
    size_t levels = 0;
    xmpp_stanza_t *stanza;

    repeat(&close, "</a>", STANZA_DEPTH);
    buf_puts(&close, "</message>");
    stanza = parse(f, STRANGER, "<a>", STANZA_DEPTH, close.data);
    assert_true(stanza_limit_cut());
    for (xmpp_stanza_t *s = stanza; s; s = xmpp_stanza_get_children(s))
        levels++;
    assert_int_equal(levels, STANZA_DEPTH);
    release(stanza);
    release(parse(f, STRANGER, "<a>", STANZA_DEPTH - 1, close.data + strlen("</a>")));
    assert_false(stanza_limit_cut());
    buf_free(&close);
}

/* Two sessions of one thread, as with serve --demo. */
static void each_stream_has_its_own_count_and_account(void **state)
{
    static struct stanza_limit one, other;
    struct fixture *f = *state;
    struct jid self;

    assert_true(jid_parse(&self, "eve@example.net/x", 17, NULL));
    stanza_limit_use(&other);
    stanza_limit_own(&self);
    stanza_limit_use(&one);
    release(parse(f, STRANGER, "<a/>", STANZA_PARTS, "</message>"));
    assert_true(stanza_limit_cut());
    stanza_limit_use(&other);
    release(parse(f, "<message from='eve@example.net'>", "<a/>", STANZA_PARTS, "</message>"));
    assert_false(stanza_limit_cut());
    stanza_limit_use(&one);
    assert_true(stanza_limit_cut());
    stanza_limit_use(NULL);
}

/* A roster may be large, and only our server can say so. */
static void our_own_account_has_no_limit_of_parts(void **state)
{
    static const struct {
        const char *opening;
        bool own;
    } rows[] = {
        {"<iq>", true},
        {"<iq from='gateway@example.org'>", true},
        {"<iq from='gateway@example.org/other'>", false},
        {"<iq from='example.org'>", false},
        {"<iq from=''>", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        release(parse(f, rows[i].opening, "<item/>", STANZA_PARTS, "</iq>"));
        assert_int_equal(stanza_limit_cut(), !rows[i].own);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(at_the_limit_a_stanza_is_whole_and_one_part_over_it_is_cut),
        TEST(what_is_over_the_limit_is_never_built),
        TEST(so_many_attributes_are_not_built_either),
        TEST(levels_are_bounded),
        TEST(each_stream_has_its_own_count_and_account),
        TEST(our_own_account_has_no_limit_of_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
