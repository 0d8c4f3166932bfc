/* Links of our own: what they look like, what is kept of them, which are alive, and what counts as fetched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/links.h"

#define PUBLIC "https://files.example.org/x"

static void a_link_is_a_secret_and_the_encoded_name(void **state)
{
    char url[2048], other[2048], digest[LINK_DIGEST], again[LINK_DIGEST], secret[33];

    (void)state;
    assert_true(link_make(PUBLIC, "a b/\xc3\xa4?#%.txt", url, sizeof url, digest));
    assert_memory_equal(url, PUBLIC "/d/", strlen(PUBLIC "/d/"));
    assert_string_equal(url + strlen(PUBLIC "/d/") + 32, "/a%20b%2F%C3%A4%3F%23%25.txt");
    snprintf(secret, sizeof secret, "%s", url + strlen(PUBLIC "/d/"));
    assert_true(link_digest(secret, again));
    assert_string_equal(digest, again);
    assert_null(strstr(url, digest));
    assert_true(link_make(PUBLIC, "a", other, sizeof other, again));
    assert_string_not_equal(digest, again);
}

static void the_digest_is_sha_256(void **state)
{
    char digest[LINK_DIGEST];

    (void)state;
    assert_true(link_digest("00112233445566778899aabbccddeeff", digest));
    assert_string_equal(digest, "5947d7c33d783f94b3b4c1a96ebc8991ed28f1b069b71e03376cba8caa98a720");
}

static void what_does_not_look_like_a_secret_has_no_digest(void **state)
{
    static const char *const rows[] = {
        "",
        "00112233445566778899aabbccddeef",
        "00112233445566778899aabbccddeeff0",
        "00112233445566778899aabbccddeefF",
        "00112233445566778899aabbccddeef ",
        "../../../../../../../../etc/passwd",
    };
    char digest[LINK_DIGEST];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_false(link_digest(rows[i], digest));
}

static void a_link_that_does_not_fit_is_none(void **state)
{
    char url[64], digest[LINK_DIGEST];

    (void)state;
    assert_false(link_make(PUBLIC, "a", url, sizeof url, digest));
}

static struct record *linked(unsigned n, int64_t expires, uint64_t size)
{
    struct record *r = record_new();
    char secret[40], digest[LINK_DIGEST];

    snprintf(secret, sizeof secret, "%032x", n);
    assert_true(link_digest(secret, digest));
    id_make(r->id, "tr", n);
    record_text(&r->name, "a.txt");
    record_text(&r->link_digest, digest);
    r->link_expires = expires;
    r->size = size;
    return r;
}

static void links_are_found_by_transfer_and_by_digest(void **state)
{
    struct links *links = links_create();
    struct record *a = linked(1, 100, 3), *b = linked(2, 100, 3);
    char old[LINK_DIGEST];

    (void)state;
    links_put(links, a);
    links_put(links, b);
    assert_string_equal(links_of(links, a->id)->digest, a->link_digest);
    assert_string_equal(links_find(links, b->link_digest)->id, b->id);
    assert_string_equal(links_of(links, a->id)->name, "a.txt");
    strcpy(old, a->link_digest);
    record_text(&a->link_digest, "another");
    links_put(links, a); /* in place of the first */
    assert_null(links_find(links, old));
    assert_string_equal(links_find(links, "another")->id, a->id);
    links_drop(links, links_of(links, a->id));
    assert_null(links_of(links, a->id));
    assert_null(links_find(links, "another"));
    assert_non_null(links_of(links, b->id));
    links_destroy(&links);
    record_free(&a);
    record_free(&b);
}

static void links_end_at_their_time_and_not_before_they_are_settled(void **state)
{
    static const int64_t ends[] = {300, 100, 200};
    struct links *links = links_create();
    struct link *link[3];

    (void)state;
    assert_null(links_expired(links, 1000));
    for (unsigned i = 0; i < 3; i++) {
        struct record *r = linked(i, ends[i], 3);

        link[i] = links_put(links, r);
        link[i]->settled = i != 2;
        record_free(&r);
    }
    assert_null(links_expired(links, 99));
    assert_ptr_equal(links_expired(links, 100), link[1]);
    links_drop(links, link[1]);
    assert_null(links_expired(links, 250));
    link[2]->settled = true;
    assert_ptr_equal(links_expired(links, 250), link[2]);
    links_drop(links, link[2]);
    assert_null(links_expired(links, 250));
    assert_null(links_expired(links, 299));
    assert_ptr_equal(links_expired(links, 300), link[0]);
    links_destroy(&links);
}

static void a_file_is_fetched_once_pieces_in_order_have_covered_it(void **state)
{
    static const struct {
        const char *says;
        uint64_t size;
        struct {
            uint64_t from, to;
        } piece[4];
        unsigned fetched; /* with which piece, from 1; 0: never */
    } rows[] = {
        {"at once", 10, {{0, 10}}, 1},
        {"in three pieces", 10, {{0, 3}, {3, 6}, {6, 10}}, 3},
        {"overlapping ones", 10, {{0, 5}, {2, 8}, {4, 10}}, 3},
        {"one twice", 10, {{0, 5}, {0, 5}, {5, 10}}, 3},
        {"with a gap", 10, {{0, 3}, {4, 10}}, 0},
        {"its end alone", 10, {{5, 10}}, 0},
        {"out of order", 10, {{5, 10}, {0, 5}}, 0},
        {"without its end", 10, {{0, 9}}, 0},
        {"told once", 10, {{0, 10}, {0, 10}}, 1},
        {"an empty one", 0, {{0, 0}}, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct link link = {.size = rows[i].size};
        unsigned fetched = 0;

        for (unsigned k = 0; k < 4 && (rows[i].piece[k].to > 0 || k == 0); k++) {
            if (!link_covers(&link, rows[i].piece[k].from, rows[i].piece[k].to))
                continue;
            assert_int_equal(fetched, 0);
            fetched = k + 1;
        }
        if (fetched != rows[i].fetched)
            fail_msg("%s: %u", rows[i].says, fetched);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_is_a_secret_and_the_encoded_name),
        cmocka_unit_test(the_digest_is_sha_256),
        cmocka_unit_test(what_does_not_look_like_a_secret_has_no_digest),
        cmocka_unit_test(a_link_that_does_not_fit_is_none),
        cmocka_unit_test(links_are_found_by_transfer_and_by_digest),
        cmocka_unit_test(links_end_at_their_time_and_not_before_they_are_settled),
        cmocka_unit_test(a_file_is_fetched_once_pieces_in_order_have_covered_it),
    };

    return cmocka_run_group_tests_name("gateway/links", tests, NULL, NULL);
}
