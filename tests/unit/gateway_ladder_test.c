/* gateway/ladder: what the caller asked, the operator configured and the resource can, put in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/ladder.h"

static const struct method_ops jingle = {.name = "jingle-s5b"}, si = {.name = "si-s5b"}, bare = {.name = "s5b"},
                               si_ibb = {.name = "si-ibb"}, ibb = {.name = "ibb"},
                               post = {.name = "link", .offline = true};
static const struct method_ops *const all[] = {&jingle, &si, &bare, &si_ibb, &ibb, &post, NULL};

static void ladder_holds_what_all_three_agree_on_in_the_order_asked(void **state)
{
    static char *const both[] = {"si-s5b", "s5b", NULL}, *const turned[] = {"s5b", "jingle-s5b", "si-s5b", NULL},
                       *const bare_only[] = {"s5b", NULL}, *const twice[] = {"si-s5b", "si-s5b", NULL},
                       *const with_link[] = {"si-s5b", "s5b", "link", NULL},
                       *const inband[] = {"si-s5b", "s5b", "si-ibb", "ibb", NULL};
    static const char *const everything[] = {"jingle-s5b", "si-s5b", "s5b", NULL}, *const s5b[] = {"s5b", NULL},
                             *const nothing[] = {NULL}, *const unknown[] = {"smoke", NULL},
                             *const streams[] = {"si-s5b", "s5b", "si-ibb", "ibb", NULL},
                             *const si_inband[] = {"si-ibb", "ibb", NULL}, *const bares[] = {"s5b", "ibb", NULL};
    static const struct {
        const char *says, *asked;
        char *const *configured;
        const char *const *usable;
        const char *want;
    } rows[] = {
        {"as configured", NULL, both, everything, "si-s5b"},
        {"in the order configured", NULL, turned, everything, "jingle-s5b si-s5b"},
        {"bare when nothing else is there", NULL, both, s5b, "s5b"},
        {"bare alone is configured", NULL, bare_only, everything, "s5b"},
        {"no bare stream beside an offer", NULL, inband, streams, "si-s5b si-ibb"},
        {"in-band alone, with an offer", NULL, inband, si_inband, "si-ibb"},
        {"no offers: both bare streams", NULL, inband, bares, "s5b ibb"},
        {"bare in-band was asked for", "si-s5b,ibb", both, streams, "si-s5b ibb"},
        {"the caller's order", "s5b,si-s5b", both, everything, "s5b si-s5b"},
        {"the caller may ask for more than is configured", "jingle-s5b", both, everything, "jingle-s5b"},
        {"each once", NULL, twice, everything, "si-s5b"},
        {"each once, asked", "s5b,s5b", both, everything, "s5b"},
        {"the resource can nothing", NULL, both, nothing, ""},
        {"the resource can what we cannot", "smoke", both, unknown, ""},
        {"a part of a name is no name", "si,s5", both, everything, ""},
        {"nothing asked", "", both, everything, ""},
        {"a link asks nothing of the resource", NULL, with_link, nothing, "link"},
        {"a link is no reason to leave the bare stream out", NULL, with_link, s5b, "s5b link"},
        {"a link below the streams", NULL, with_link, everything, "si-s5b link"},
        {"a link first", "link,si-s5b", both, everything, "link si-s5b"},
        {"no link wanted", NULL, both, nothing, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ladder l;
        char got[128] = "";

        ladder_build(&l, rows[i].asked, rows[i].configured, rows[i].usable, all);
        for (size_t k = 0; k < l.count; k++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", k ? " " : "", l.rungs[k]->name);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: '%s' instead of '%s'", rows[i].says, got, rows[i].want);
    }
}

static void nobody_need_be_found_where_every_method_is_an_offline_one(void **state)
{
    static char *const both[] = {"si-s5b", "link", NULL}, *const link_only[] = {"link", NULL};

    (void)state;
    assert_true(ladder_is_offline(NULL, link_only, all));
    assert_true(ladder_is_offline("link", both, all));
    assert_false(ladder_is_offline(NULL, both, all));
    assert_false(ladder_is_offline("link,s5b", link_only, all));
    assert_false(ladder_is_offline("smoke", link_only, all));
}

/* "+method" for a rung, "-method:n" with the verdict for what is none. */
static void every_choice_has_its_reason(void **state)
{
    static char *const all_of_them[] = {"jingle-s5b", "si-s5b", "s5b", "si-ibb", "ibb", "link", NULL},
                       *const bare_only[] = {"ibb", "link", NULL};
    static const char *const streams[] = {"si-s5b", "s5b", "si-ibb", "ibb", NULL}, *const nothing[] = {NULL},
                             *const bares[] = {"s5b", "ibb", NULL};
    static const struct {
        const char *says, *asked;
        char *const *configured;
        const char *const *usable;
        const char *want;
    } rows[] = {
        {"somebody who can much", NULL, all_of_them, streams, "-jingle-s5b:2 +si-s5b -s5b:3 +si-ibb -ibb:3 +link "},
        {"somebody who can nothing", NULL, all_of_them, nothing,
         "-jingle-s5b:2 -si-s5b:2 -s5b:2 -si-ibb:2 -ibb:2 +link "},
        {"nobody", NULL, all_of_them, NULL, "-jingle-s5b:1 -si-s5b:1 -s5b:1 -si-ibb:1 -ibb:1 +link "},
        {"bare alone", NULL, bare_only, bares, "+ibb +link "},
        {"asked for", "ibb,si-s5b,ibb", all_of_them, streams, "+ibb +si-s5b "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ladder_choice choices[LADDER_RUNGS];
        size_t count = ladder_explain(choices, rows[i].asked, rows[i].configured, rows[i].usable, all);
        char got[256] = "";

        for (size_t k = 0; k < count; k++) {
            bool rung = choices[k].verdict == LADDER_RUNG;

            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", rung ? "+" : "-", choices[k].method->name);
            snprintf(got + strlen(got), sizeof got - strlen(got), rung ? " " : ":%d ", (int)choices[k].verdict);
        }
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: '%s' instead of '%s'", rows[i].says, got, rows[i].want);
    }
}

static void the_first_that_can_be_offered_to_is_chosen(void **state)
{
    static char *const configured[] = {"si-s5b", "link", NULL};
    struct candidate_resource resources[] = {
        {.methods = {"jingle-s5b"}}, {.methods = {"si-s5b"}}, {.methods = {NULL}}, {.methods = {"si-s5b", "s5b"}}};
    struct ladder l;

    (void)state;
    assert_int_equal(ladder_choose(&l, resources, 4, 0, NULL, configured, all), 1);
    assert_int_equal(l.count, 2);
    assert_int_equal(ladder_choose(&l, resources, 4, 2, NULL, configured, all), 3);
    assert_int_equal(ladder_choose(&l, resources, 4, 4, NULL, configured, all), 4);
    assert_int_equal(ladder_choose(&l, resources, 4, 0, "link", configured, all), 4); /* that needs none of them */
    assert_int_equal(ladder_choose(&l, resources, 4, 0, "jingle-s5b", configured, all), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ladder_holds_what_all_three_agree_on_in_the_order_asked),
        cmocka_unit_test(nobody_need_be_found_where_every_method_is_an_offline_one),
        cmocka_unit_test(every_choice_has_its_reason),
        cmocka_unit_test(the_first_that_can_be_offered_to_is_chosen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
