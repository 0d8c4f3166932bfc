/* URLs that callers name, as text: what is fetched from at all, and what a file from there is called. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gateway/source_url.h"

static void only_plain_urls_of_the_web_are_taken(void **state)
{
    static char *globs[] = {"*.example.org", "10.1.2.3", NULL};
    static const struct {
        const char *url;
        bool taken;
    } rows[] = {
        {"https://files.example.org/a.txt", true},
        {"http://files.example.org:8080/a.txt?b=c#d", true},
        {"HTTPS://FILES.Example.ORG", true},
        {"http://10.1.2.3/", true},
        {"http://0x0a.0x01.0x02.0x03/", true}, /* the same address, and judged as it */
        {"https://example.org/", false},
        {"https://files.example.org.evil.example/", false},
        {"https://evil.example/files.example.org", false},
        {"https://files.example.org@evil.example/", false},
        {"https://user@files.example.org/", false},
        {"https://user:secret@files.example.org/", false},
        {"https://:secret@files.example.org/", false},
        {"ftp://files.example.org/", false},
        {"file:///etc/passwd", false},
        {"files.example.org/a", false},
        {"//files.example.org/a", false},
        {"http:files.example.org/a", false},
        {"http:/files.example.org/a", false},
        {"http:///files.example.org/a", false},
        {"https:/files.example.org/a?b=://c", false},
        {"", false},
        {"http://", false},
        {"http://files.example.org/a b", false},
        {"http://files.example.org/a\r\nX: y", false},
        {"http://files.example.org/\xc3\xa9", false},
        {"http://10.1.2.4/", false},
    };
    static char much[SOURCE_URL + 1] = "http://files.example.org/";
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err = (struct error){0};
        if (source_url_check(globs, rows[i].url, &err) != rows[i].taken)
            fail_msg("%s: %s", rows[i].url, rows[i].taken ? err.text : "taken");
        assert_int_equal(err.code, rows[i].taken ? ERR_NONE : ERR_SOURCE_REFUSED);
        assert_null(strstr(err.text, "secret"));
    }
    memset(much + strlen(much), 'a', sizeof much - 1 - strlen(much));
    assert_false(source_url_check(globs, much, &err));
}

static void a_file_is_called_as_its_path_ends(void **state)
{
    static const struct {
        const char *url, *name; /* NULL: none */
    } rows[] = {
        {"https://example.org/a/r.pdf", "r.pdf"},
        {"https://example.org/r%20%C3%A9.pdf?x=/y.txt#/z", "r \xc3\xa9.pdf"},
        {"https://example.org/", NULL},
        {"https://example.org", NULL},
        {"https://example.org/a%2Fb", NULL},
        {"https://example.org/%2e%2e", NULL},
        {"https://example.org/a%00b", NULL},
        {"https://example.org/%ff", NULL},
        {"nonsense:", NULL},
    };
    char name[SOURCE_NAME];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool named = source_url_name(rows[i].url, name);

        if (named != (rows[i].name != NULL) || (named && strcmp(name, rows[i].name) != 0))
            fail_msg("%s: %s", rows[i].url, named ? name : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_plain_urls_of_the_web_are_taken),
        cmocka_unit_test(a_file_is_called_as_its_path_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
