/* base/feed: nobody polls, and no news is slept through. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/feed.h"

enum { STEPS = 20000, WINDOW = 16 };

/* One side's way to sleep. */
struct sleeper {
    struct feed_waiter waiter; /* first */
    sem_t news;
    unsigned woken;
};

static void on_news(struct feed_waiter *w)
{
    struct sleeper *s = (struct sleeper *)w;

    s->woken++;
    sem_post(&s->news);
}

static void sleeper_init(struct sleeper *s)
{
    *s = (struct sleeper){.waiter.wake = on_news};
    sem_init(&s->news, 0, 0);
}

static void a_waiter_is_called_once_by_the_next_news(void **state)
{
    struct feed *f = feed_create();
    struct sleeper s;

    (void)state;
    sleeper_init(&s);
    assert_true(feed_await_news(f, feed_look(f), &s.waiter));
    feed_grow(f, 0); /* none */
    assert_int_equal(s.woken, 0);
    feed_grow(f, 10);
    feed_grow(f, 20);
    feed_end(f, FEED_COMPLETE);
    assert_int_equal(s.woken, 1);
    assert_int_equal(feed_look(f).available, 20);
    assert_int_equal(feed_look(f).state, FEED_COMPLETE);
    feed_release(&f);
    assert_null(f);
}

static void what_came_meanwhile_is_no_reason_to_wait(void **state)
{
    struct feed *f = feed_create();
    struct feed_view seen = feed_look(f);
    struct sleeper s;

    (void)state;
    sleeper_init(&s);
    feed_grow(f, 1);
    assert_false(feed_await_news(f, seen, &s.waiter));
    seen = feed_look(f);
    feed_end(f, FEED_ABORTED);
    assert_false(feed_await_news(f, seen, &s.waiter));
    feed_take(f, 5);
    assert_false(feed_await_taken(f, 5, &s.waiter));
    assert_int_equal(s.woken, 0);
    feed_release(&f);
}

static void a_waiter_taken_back_is_not_called(void **state)
{
    struct feed *f = feed_create();
    struct sleeper s;

    (void)state;
    sleeper_init(&s);
    assert_true(feed_await_news(f, feed_look(f), &s.waiter));
    assert_true(feed_withdraw_reader(f, &s.waiter));
    assert_false(feed_withdraw_reader(f, &s.waiter));
    feed_grow(f, 1);
    assert_true(feed_await_taken(f, 1, &s.waiter));
    assert_true(feed_withdraw_writer(f, &s.waiter));
    feed_take(f, 1);
    assert_int_equal(s.woken, 0);
    feed_release(&f);
}

static void the_writer_is_woken_once_there_is_the_room_it_wants(void **state)
{
    struct feed *f = feed_create();
    struct sleeper s;

    (void)state;
    sleeper_init(&s);
    assert_true(feed_await_taken(f, 100, &s.waiter));
    feed_take(f, 99);
    assert_int_equal(s.woken, 0);
    feed_take(f, 101);
    assert_int_equal(s.woken, 1);
    assert_int_equal(feed_taken(f), 101);
    feed_release(&f);
}

static void a_writer_nobody_will_read_is_told_why(void **state)
{
    const struct error why = {.code = ERR_RECIPIENT_DECLINED};
    struct feed *f = feed_create();
    struct sleeper s;

    (void)state;
    sleeper_init(&s);
    assert_true(feed_await_taken(f, 100, &s.waiter));
    assert_null(feed_refused(f));
    feed_refuse(f, &why);
    assert_int_equal(s.woken, 1);
    assert_int_equal(feed_refused(f)->code, ERR_RECIPIENT_DECLINED);
    assert_false(feed_await_taken(f, 100, &s.waiter));
    feed_release(&f);
}

/* ---- two threads: the "file" is an array, written plainly, so that ThreadSanitizer sees what the feed orders */

struct pair {
    struct feed *feed;
    uint32_t file[STEPS];
    struct sleeper writer, reader;
};

static void *write_all(void *arg)
{
    struct pair *p = arg;

    for (uint32_t i = 0; i < STEPS; i++) {
        while (i >= WINDOW && feed_taken(p->feed) < i - WINDOW + 1) /* a waiter may be woken early */
            if (feed_await_taken(p->feed, i - WINDOW + 1, &p->writer.waiter))
                sem_wait(&p->writer.news);
        p->file[i] = i ^ 0x5a5a;
        feed_grow(p->feed, i + 1);
    }
    feed_end(p->feed, FEED_COMPLETE);
    feed_release(&(struct feed *){p->feed});
    return NULL;
}

static void two_threads_never_miss_each_other(void **state)
{
    struct pair *p = calloc(1, sizeof *p);
    struct feed_view seen = {0};
    uint64_t taken = 0;
    pthread_t thread;

    (void)state;
    assert_non_null(p);
    p->feed = feed_create();
    sleeper_init(&p->writer);
    sleeper_init(&p->reader);
    feed_hold(p->feed);
    assert_int_equal(pthread_create(&thread, NULL, write_all, p), 0);
    while (seen.state == FEED_GROWING || taken < seen.available) {
        seen = feed_look(p->feed);
        for (; taken < seen.available; taken++)
            assert_int_equal(p->file[taken], (uint32_t)taken ^ 0x5a5a);
        feed_take(p->feed, taken);
        if (seen.state == FEED_GROWING && feed_await_news(p->feed, seen, &p->reader.waiter))
            sem_wait(&p->reader.news);
    }
    pthread_join(thread, NULL);
    assert_int_equal(taken, STEPS);
    feed_release(&p->feed);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_waiter_is_called_once_by_the_next_news),
        cmocka_unit_test(what_came_meanwhile_is_no_reason_to_wait),
        cmocka_unit_test(a_waiter_taken_back_is_not_called),
        cmocka_unit_test(the_writer_is_woken_once_there_is_the_room_it_wants),
        cmocka_unit_test(a_writer_nobody_will_read_is_told_why),
        cmocka_unit_test(two_threads_never_miss_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
