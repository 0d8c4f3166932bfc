/* gateway/media: the type of an upload by its first bytes, and the ending that goes with a type. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "gateway/media.h"

static char dir[64];
static struct spool *spool;

static int set_up(void **state)
{
    const struct spool_limits limits = {.max_bytes = 1 << 20, .max_file = 1 << 20};
    struct error err;

    (void)state;
    strcpy(dir, "/tmp/jidpost-media-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    spool = spool_open(dir, &limits, &err);
    return spool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    spool_close(&spool);
    return rmdir(dir);
}

static void sniff(const void *data, size_t len, char type[static MEDIA_TYPE])
{
    struct error err = {0};
    char id[ID_SIZE];
    struct spool_file *file;

    id_make(id, "tr", 1700000000000);
    file = spool_create(spool, id, -1, &err);
    assert_non_null(file);
    assert_true(spool_append(file, data, len, &err));
    media_sniff(file, type);
    spool_abandon(&file);
}

#define BYTES(text) text, sizeof(text) - 1

static void a_type_is_told_by_the_first_bytes(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *type;
    } rows[] = {
        {BYTES("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), "application/pdf"},
        {BYTES("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\6\0\0\0\37\25\304\211"), "image/png"},
        {BYTES("\xff\xd8\xff\xe0\0\20JFIF\0\1\1\0\0\1\0\1\0\0"), "image/jpeg"},
        {BYTES("\x1f\x8b\10\0\0\0\0\0\0\3"), "application/gzip"}, /* as it is, not what is inside */
        {BYTES("{\"a\": [1, 2, 3]}\n"), "application/json"},
        {BYTES("Dear Ana,\nhere is the report.\n"), "text/plain"},
        {BYTES("Gr\xc3\xbc\xc3\x9f dich\n"), "text/plain"},
        {BYTES("\x01\x02\x9c\xee\x03\x80\xff\xfe\x00\x10"), "application/octet-stream"},
        {BYTES(""), "application/octet-stream"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char type[MEDIA_TYPE];

        sniff(rows[i].bytes, rows[i].len, type);
        if (strcmp(type, rows[i].type) != 0)
            fail_msg("row %zu: %s, not %s", i, type, rows[i].type);
    }
}

static void what_comes_after_64_kib_does_not_matter(void **state)
{
    size_t len = 70 * 1024;
    char *text = malloc(len), type[MEDIA_TYPE];

    (void)state;
    memset(text, 'a', len);
    memset(text + 64 * 1024, 0, 1024);
    sniff(text, len, type);
    assert_string_equal(type, "text/plain");
    text[64 * 1024 - 1] = '\0';
    sniff(text, len, type);
    assert_string_equal(type, "application/octet-stream");
    free(text);
}

static void *sniff_many(void *user)
{
    struct spool_file *file = user;
    char type[MEDIA_TYPE];

    for (int i = 0; i < 20; i++) {
        media_sniff(file, type);
        if (strcmp(type, "application/pdf") != 0)
            return "wrong";
    }
    return NULL;
}

static void many_threads_may_ask_at_once(void **state)
{
    struct spool_file *files[4];
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct error err = {0};
        char id[ID_SIZE];

        id_make(id, "tr", 1700000000000);
        files[i] = spool_create(spool, id, -1, &err);
        assert_true(spool_append(files[i], "%PDF-1.7\n", 9, &err));
        assert_int_equal(pthread_create(&threads[i], NULL, sniff_many, files[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *result;

        pthread_join(threads[i], &result);
        assert_null(result);
        spool_abandon(&files[i]);
    }
}

static void a_name_tells_the_type_by_its_ending(void **state)
{
    static const struct {
        const char *name, *type;
    } rows[] = {
        {"report.pdf", "application/pdf"},
        {"REPORT.PDF", "application/pdf"},
        {"a.b.txt", "text/plain"},
        {"backup.tar.gz", "application/gzip"},
        {"song.ogg", "audio/ogg"},
        {"photo.jpg", "image/jpeg"},
        {"photo.jpeg", "image/jpeg"},
        {"data.bin", "application/octet-stream"},
        {"report", NULL},
        {"report.", NULL},
        {"report.pdf ", NULL},
        {"version 1.2", NULL},
        {".pdf", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *type = media_of_name(rows[i].name);

        assert_int_equal(type == NULL, rows[i].type == NULL);
        if (type)
            assert_string_equal(type, rows[i].type);
    }
}

static void each_ending_leads_back_to_a_type_with_it(void **state)
{
    static const char *const types[] = {"audio/ogg", "application/ogg", "font/sfnt", "application/xml", "text/x-c"};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char name[64];

        snprintf(name, sizeof name, "file%s", media_ending(types[i]));
        assert_non_null(media_of_name(name));
        assert_string_equal(media_ending(media_of_name(name)), media_ending(types[i]));
    }
}

static void an_ending_fits_its_type(void **state)
{
    static const struct {
        const char *type, *ending;
    } rows[] = {
        {"application/pdf", ".pdf"},
        {"text/plain; charset=utf-8", ".txt"},
        {"text/plain;charset=utf-8", ".txt"},
        {"Image/JPEG", ".jpg"},
        {"image/jpe", ""},
        {"image/jpeg2", ""},
        {"application/octet-stream", ""},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(media_ending(rows[i].type), rows[i].ending);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_type_is_told_by_the_first_bytes),
        cmocka_unit_test(what_comes_after_64_kib_does_not_matter),
        cmocka_unit_test(many_threads_may_ask_at_once),
        cmocka_unit_test(a_name_tells_the_type_by_its_ending),
        cmocka_unit_test(each_ending_leads_back_to_a_type_with_it),
        cmocka_unit_test(an_ending_fits_its_type),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
