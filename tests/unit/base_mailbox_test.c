/* base/mailbox: every message is handled once or discarded once, in order, on the loop's thread. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/mailbox.h"
#include "base/meter.h"

enum { POSTERS = 4, EACH = 2000 };

struct owner {
    uv_loop_t loop;
    struct mailbox *box;
    pthread_t thread;
    int handled, discarded;
    int wanted; /* closes the box once that many were handled; 0: never */
    int next[POSTERS];
    bool out_of_order, foreign_thread;
};

struct note {
    struct message message;
    struct owner *to; /* for discards, which know no owner */
    int poster, number;
};

static void count(void *user, struct message *m)
{
    struct owner *o = user;
    struct note *n = (struct note *)m;

    o->foreign_thread |= !pthread_equal(o->thread, pthread_self());
    o->out_of_order |= n->number != o->next[n->poster];
    o->next[n->poster] = n->number + 1;
    o->handled++;
    free(n);
    if (o->handled == o->wanted)
        mailbox_destroy(&o->box);
}

static void drop(struct message *m)
{
    struct note *n = (struct note *)m;

    n->to->discarded++;
    free(n);
}

static struct message *note(struct owner *o, int poster, int number)
{
    struct note *n = calloc(1, sizeof(*n));

    assert_non_null(n);
    *n = (struct note){.message = {.handle = count, .discard = drop}, .to = o, .poster = poster, .number = number};
    return &n->message;
}

static int set_up(void **state)
{
    struct owner *o = calloc(1, sizeof(*o));

    assert_non_null(o);
    assert_int_equal(uv_loop_init(&o->loop), 0);
    o->thread = pthread_self();
    o->box = mailbox_create(&o->loop, o);
    assert_non_null(o->box);
    *state = o;
    return 0;
}

static int tear_down(void **state)
{
    struct owner *o = *state;

    mailbox_destroy(&o->box); /* NULL is fine */
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&o->loop), 0); /* EBUSY: the box left a handle behind */
    free(o);
    return 0;
}

static void one_wake_up_delivers_everything_posted_in_order(void **state)
{
    struct owner *o = *state;

    for (int i = 0; i < 100; i++)
        assert_true(mailbox_post(o->box, note(o, 0, i)));
    assert_int_equal(o->handled, 0); /* posting never calls back */
    uv_run(&o->loop, UV_RUN_ONCE);
    assert_int_equal(o->handled, 100);
    assert_false(o->out_of_order);
}

static void it_wakes_the_loop_again_after_each_batch(void **state)
{
    struct owner *o = *state;

    for (int i = 0; i < 5; i++) {
        assert_true(mailbox_post(o->box, note(o, 0, i)));
        uv_run(&o->loop, UV_RUN_ONCE); /* would hang without a wake-up */
        assert_int_equal(o->handled, i + 1);
    }
}

static void post_again(void *user, struct message *m)
{
    struct owner *o = user;

    assert_true(mailbox_post(o->box, note(o, 0, 0)));
    free(m);
}

static void a_handler_may_post_to_its_own_box(void **state)
{
    struct owner *o = *state;
    struct note *n = (struct note *)note(o, 0, 0);

    n->message.handle = post_again;
    o->wanted = 1;
    assert_true(mailbox_post(o->box, &n->message));
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(o->handled, 1);
}

struct poster {
    struct owner *to;
    int index;
};

static void *post_many(void *arg)
{
    struct poster *p = arg;

    for (int i = 0; i < EACH; i++) {
        struct message *m = note(p->to, p->index, i);

        if (!mailbox_post(p->to->box, m))
            free(m);
    }
    return NULL;
}

static void messages_of_many_threads_all_arrive_each_threads_in_order(void **state)
{
    struct owner *o = *state;
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];

    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.to = o, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    while (o->handled < POSTERS * EACH)
        uv_run(&o->loop, UV_RUN_ONCE);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(o->handled, POSTERS * EACH);
    assert_false(o->out_of_order);
    assert_false(o->foreign_thread);
}

static void work_for_1_ms(void *user, struct message *m)
{
    struct timespec t;
    int64_t end;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    end = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + 1000000;
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec < end);
    count(user, m);
}

static void many_messages_leave_the_loop_time_for_others(void **state)
{
    struct owner *o = *state;
    int turns = 0;

    for (int i = 0; i < 40; i++) {
        struct message *m = note(o, 0, i);

        m->handle = work_for_1_ms;
        assert_true(mailbox_post(o->box, m));
    }
    while (o->handled < 40) {
        int before = o->handled;

        uv_run(&o->loop, UV_RUN_ONCE);
        assert_in_range(o->handled - before, 1, 2 + SHARE_ITEMS);
        if (turns++ == 0)
            assert_true(mailbox_post(o->box, note(o, 0, 40))); /* behind all that wait */
    }
    uv_run(&o->loop, UV_RUN_NOWAIT);
    assert_int_equal(o->handled, 41);
    assert_false(o->out_of_order);
}

static void what_is_queued_when_the_box_closes_is_discarded(void **state)
{
    struct owner *o = *state;

    for (int i = 0; i < 3; i++)
        assert_true(mailbox_post(o->box, note(o, 0, i)));
    mailbox_destroy(&o->box);
    assert_null(o->box);
    assert_int_equal(o->discarded, 3);
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(o->handled, 0);
}

static void a_message_without_its_own_way_is_freed(void **state)
{
    struct owner *o = *state;
    struct note *n = (struct note *)note(o, 0, 0);

    n->message.discard = NULL;
    assert_true(mailbox_post(o->box, &n->message));
    mailbox_destroy(&o->box); /* the leak checker says whether it was */
    assert_int_equal(o->discarded, 0);
}

static void a_closed_box_leaves_the_message_with_its_poster(void **state)
{
    struct owner *o = *state;
    struct mailbox *closed = o->box;
    struct message *m = note(o, 0, 0);

    mailbox_destroy(&o->box);
    assert_false(mailbox_post(closed, m)); /* its memory lasts until the loop turns */
    free(m);
}

static void a_handler_that_closes_the_box_gets_no_more_of_the_batch(void **state)
{
    struct owner *o = *state;

    o->wanted = 2;
    for (int i = 0; i < 5; i++)
        assert_true(mailbox_post(o->box, note(o, 0, i)));
    uv_run(&o->loop, UV_RUN_DEFAULT);
    assert_int_equal(o->handled, 2);
    assert_int_equal(o->discarded, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_wake_up_delivers_everything_posted_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_wakes_the_loop_again_after_each_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_handler_may_post_to_its_own_box, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_of_many_threads_all_arrive_each_threads_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_messages_leave_the_loop_time_for_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_queued_when_the_box_closes_is_discarded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_without_its_own_way_is_freed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_box_leaves_the_message_with_its_poster, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_handler_that_closes_the_box_gets_no_more_of_the_batch, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("base/mailbox", tests, NULL, NULL);
}
