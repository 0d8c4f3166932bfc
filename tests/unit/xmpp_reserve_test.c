/* Memory for the XMPP library when there is none. The linker leads malloc() and realloc() here (tests/CMakeLists.txt).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "xmpp/reserve.h"

enum { RESERVE = 512 * 1024 };

static bool none_left;

void *__real_malloc(size_t size); /* NOLINT: the linker's names */
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    return none_left ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return none_left ? NULL : __real_realloc(p, size);
}

static void *take(size_t size)
{
    return reserve_memory()->alloc(size, NULL);
}

static void *resize(void *p, size_t size)
{
    return reserve_memory()->realloc(p, size, NULL);
}

static void give_back(void *p)
{
    reserve_memory()->free(p, NULL);
}

static void count(void *user, enum log_level level, const char *line)
{
    (void)level;
    (void)line;
    ++*(unsigned *)user;
}

static int end(void **state)
{
    (void)state;
    none_left = false;
    log_capture(NULL, NULL);
    return 0;
}

static void without_memory_the_reserve_gives_it_and_says_so_once(void **state)
{
    unsigned lines = 0;
    char *small, *large;

    (void)state;
    log_capture(count, &lines);
    none_left = true;
    small = take(1);
    large = take(RESERVE / 2);
    assert_true(small && large && (uintptr_t)large % _Alignof(max_align_t) == 0);
    memset(large, 1, RESERVE / 2);
    *small = 2;
    assert_int_equal(lines, 1);
    assert_null(take(RESERVE / 2));
    assert_null(take(SIZE_MAX));
    give_back(large);
    give_back(small);
    large = take(RESERVE / 2); /* all of it is back */
    assert_non_null(large);
    assert_int_equal(lines, 2);
    give_back(large);
    give_back(NULL);
}

/* A block may grow from the one into the other, and back. */
static void what_grows_keeps_its_bytes(void **state)
{
    char *p = take(100), *q;

    (void)state;
    log_capture(count, &(unsigned){0});
    memset(p, 7, 100);
    none_left = true;
    p = resize(p, 1000);
    assert_true(p && p[0] == 7 && p[99] == 7);
    p[999] = 8;
    p = resize(p, 2000);
    assert_true(p && p[99] == 7 && p[999] == 8);
    assert_null(resize(p, RESERVE));
    assert_int_equal(p[999], 8); /* still there */
    q = resize(NULL, 10);
    assert_non_null(q);
    give_back(q);
    none_left = false;
    p = resize(p, 3000);
    assert_true(p && p[999] == 8);
    give_back(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(without_memory_the_reserve_gives_it_and_says_so_once, end),
        cmocka_unit_test_teardown(what_grows_keeps_its_bytes, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
