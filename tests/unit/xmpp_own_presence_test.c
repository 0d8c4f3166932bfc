#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/contacts.h"
#include "xmpp/own_presence.h"
#include "xmpp/stanza.h"

/* We are a component, whose addresses end in @example.com, each with the resource foo. */
#define OURS   "reports@example.com"
#define DEVICE OURS "/foo"
#define THEIRS "ana@example.org"

#ifdef __SANITIZE_THREAD__
#define PATIENCE 30
#else
#define PATIENCE 5
#endif

struct fixture {
    struct peer peer;
    struct own_presence *own;
    char path[64];
    char sent[1024]; /* "type:from>to " */
    bool quiet;      /* nothing is noted */
    char news[128];  /* "+bare " or "-bare ": we are shown its presence, or no more */
};

static bool on_send(void *user, xmpp_stanza_t *stanza)
{
    struct fixture *f = user;
    const char *type = stanza_attr(stanza, "type");
    size_t len = strlen(f->sent);

    if (f->quiet)
        return true;
    assert_string_equal(xmpp_stanza_get_name(stanza), "presence");
    if (!type) /* who may see us learns what we support */
        assert_non_null(stanza_child(stanza, "c", NULL));
    snprintf(f->sent + len, sizeof f->sent - len, "%s:%s>%s ", type ? type : "there", stanza_attr(stanza, "from"),
             stanza_attr(stanza, "to"));
    return true;
}

static void on_ready(void *user)
{
    own_presence_online(((struct fixture *)user)->own);
}

static void on_presence(void *user, const struct jid *who, bool available)
{
    (void)user, (void)who, (void)available;
}

static void on_caps(void *user, const struct jid *who)
{
    (void)user, (void)who;
}

static void on_subscription(void *user, const struct jid *who, bool granted)
{
    struct fixture *f = user;
    size_t len = strlen(f->news);

    snprintf(f->news + len, sizeof f->news - len, "%s%s ", granted ? "+" : "-", who->text);
}

static char *const accepted[] = {(char[]){"*@example.org"}, NULL};

static void begin(struct fixture *f)
{
    struct contacts_events events = {on_ready, on_presence, on_caps, on_send, on_subscription, f};
    struct error err;
    struct roster_file *roster;

    peer_start(&f->peer, NULL);
    f->peer.settings.accept_subscriptions = accepted;
    f->peer.client->component = true;
    f->peer.client->contacts = contacts_create(f->peer.client, &events);
    roster = roster_file_open(&f->peer.loop, f->path, &err);
    assert_non_null(roster);
    f->own = f->peer.client->own_presence = own_presence_create(f->peer.client, roster, on_send, f);
    assert_non_null(f->own);
    contacts_online(f->peer.client->contacts);
}

static void end(struct fixture *f)
{
    own_presence_destroy(&f->own);
    contacts_destroy(&f->peer.client->contacts);
    peer_stop(&f->peer);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int fd;

    snprintf(f->path, sizeof f->path, "/tmp/jidpost-roster-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    unlink(f->path);
    begin(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    end(f);
    unlink(f->path);
    clock_real();
    free(f);
    return 0;
}

/* A new process: what one knew is read by the next. */
static void restart(struct fixture *f)
{
    end(f);
    f->sent[0] = f->news[0] = '\0';
    begin(f);
}

static bool says(struct fixture *f, const char *from, const char *to, const char *type)
{
    char xml[512];
    xmpp_stanza_t *s;
    bool taken;

    snprintf(xml, sizeof xml, "<presence from='%s' to='%s' type='%s'/>", from, to, type);
    s = xmpp_stanza_new_from_string(f->peer.client->ctx, xml);
    assert_non_null(s);
    taken = own_presence_incoming(f->own, s);
    xmpp_stanza_release(s);
    return taken;
}

static void sent(struct fixture *f, const char *what)
{
    assert_string_equal(f->sent, what);
    f->sent[0] = '\0';
}

static bool sees(struct fixture *f, const char *who)
{
    struct jid j;

    assert_true(jid_parse(&j, who, strlen(who), NULL));
    return contacts_subscribed(f->peer.client->contacts, &j);
}

static void who_is_accepted_sees_us_and_is_asked_in_return(void **state)
{
    struct fixture *f = *state;

    assert_true(says(f, THEIRS, OURS, "subscribe"));
    sent(f, "subscribed:" OURS ">" THEIRS " there:" DEVICE ">" THEIRS " subscribe:" OURS ">" THEIRS " ");
    assert_false(sees(f, THEIRS));
    says(f, THEIRS, OURS, "subscribed");
    sent(f, "probe:" OURS ">" THEIRS " ");
    assert_true(sees(f, THEIRS));
    assert_string_equal(f->news, "+" THEIRS " ");
}

static void who_is_not_accepted_hears_nothing(void **state)
{
    struct fixture *f = *state;

    assert_true(says(f, "eve@example.net", OURS, "subscribe"));
    sent(f, "");
    says(f, "eve@example.net", OURS, "probe");
    sent(f, "unsubscribed:" OURS ">eve@example.net ");
}

static void nobody_lets_us_see_him_unasked(void **state)
{
    struct fixture *f = *state;

    says(f, THEIRS, OURS, "subscribed");
    assert_false(sees(f, THEIRS));
    assert_string_equal(f->news, "");
    sent(f, "");
}

static void each_address_has_subscriptions_of_its_own(void **state)
{
    struct fixture *f = *state;

    says(f, THEIRS, OURS, "subscribe");
    f->sent[0] = '\0';
    says(f, THEIRS, OURS, "probe");
    sent(f, "there:" DEVICE ">" THEIRS " ");
    says(f, THEIRS, "other@example.com", "probe");
    sent(f, "unsubscribed:other@example.com>" THEIRS " ");
}

static void who_leaves_sees_us_no_more(void **state)
{
    struct fixture *f = *state;

    says(f, THEIRS, OURS, "subscribe");
    says(f, THEIRS, OURS, "subscribed");
    f->sent[0] = f->news[0] = '\0';
    says(f, THEIRS, OURS, "unsubscribe");
    sent(f, "unsubscribed:" OURS ">" THEIRS " unavailable:" DEVICE ">" THEIRS " ");
    says(f, THEIRS, OURS, "unsubscribe");
    sent(f, "");
    assert_true(sees(f, THEIRS));
    says(f, THEIRS, OURS, "unsubscribed");
    assert_false(sees(f, THEIRS));
    assert_string_equal(f->news, "-" THEIRS " ");
}

static void whom_we_ask_may_refuse(void **state)
{
    struct fixture *f = *state;
    struct jid who;
    bool asked;

    assert_true(jid_parse(&who, THEIRS, strlen(THEIRS), NULL));
    assert_true(contacts_ask(f->peer.client->contacts, &who, &asked, NULL));
    assert_true(asked);
    sent(f, "subscribe:initiator@example.com>" THEIRS " ");
    says(f, THEIRS, "initiator@example.com", "unsubscribed");
    assert_string_equal(f->news, "-" THEIRS " ");
}

static void all_of_it_outlives_a_restart(void **state)
{
    struct fixture *f = *state;

    says(f, THEIRS, OURS, "subscribe");
    says(f, THEIRS, OURS, "subscribed");
    says(f, "bob@example.org", OURS, "subscribe");
    own_presence_leave(f->own);
    restart(f);
    sent(f, "there:" DEVICE ">" THEIRS " probe:" OURS ">" THEIRS " there:" DEVICE ">bob@example.org ");
    assert_true(sees(f, THEIRS));
    assert_false(sees(f, "bob@example.org"));
    assert_string_equal(f->news, "");               /* that is no news */
    says(f, "bob@example.org", OURS, "subscribed"); /* asked by the run before */
    assert_true(sees(f, "bob@example.org"));
}

static void we_say_goodbye_to_who_sees_us(void **state)
{
    struct fixture *f = *state;

    says(f, THEIRS, OURS, "subscribe");
    f->sent[0] = '\0';
    own_presence_leave(f->own);
    sent(f, "unavailable:" DEVICE ">" THEIRS " ");
}

static void lines_that_are_none_are_left_out(void **state)
{
    static const char text[] = "tf- " OURS " " THEIRS "\n"
                               "\n"
                               "tf-\n"
                               "tf- " OURS "\n"
                               "tf- " OURS " bob@example.org more\n"
                               "tf- @@ bob@example.org\n"
                               "tf- " OURS " BOB@example.org\n"
                               "t " OURS " bob@example.org\n"
                               "tf- " OURS "/x bob@example.org";
    struct fixture *f = *state;
    FILE *file;

    end(f);
    file = fopen(f->path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    begin(f);
    assert_true(sees(f, THEIRS));
    assert_false(sees(f, "bob@example.org"));
}

static void presence_of_devices_is_none_of_it(void **state)
{
    struct fixture *f = *state;

    assert_false(says(f, THEIRS "/desk", OURS, "unavailable"));
    assert_false(says(f, THEIRS "/desk", OURS, "error"));
}

static void until_it_waits(struct fixture *f)
{
    while (uv_loop_alive(&f->peer.loop) && uv_backend_timeout(&f->peer.loop) < 0)
        uv_run(&f->peer.loop, UV_RUN_ONCE);
}

/* As when the disk was full for a while. */
static void what_could_not_be_written_is_written_later(void **state)
{
    struct fixture *f = *state;
    char folder[64];

    end(f);
    memcpy(folder, f->path, sizeof folder);
    snprintf(f->path, sizeof f->path, "%.40s/r", folder);
    begin(f);
    says(f, THEIRS, OURS, "subscribe");
    peer_skip(&f->peer);
    until_it_waits(f);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_in_range(peer_skip(&f->peer), 20000, 30000);
    end(f);
    assert_int_equal(access(f->path, F_OK), 0);
    unlink(f->path);
    rmdir(folder);
    memcpy(f->path, folder, sizeof folder);
    begin(f);
}

/* Any local part is an address of ours. */
static void one_contact_does_not_fill_the_roster(void **state)
{
    struct fixture *f = *state;
    char ours[64];

    for (unsigned i = 0; i < ROSTER_FILE_PER_CONTACT; i++) {
        snprintf(ours, sizeof ours, "x%u@example.com", i);
        f->sent[0] = '\0';
        says(f, THEIRS, ours, "subscribe");
        assert_string_not_equal(f->sent, "");
    }
    f->sent[0] = '\0';
    says(f, THEIRS, OURS, "subscribe");
    sent(f, "");
    says(f, THEIRS, "x0@example.com", "unsubscribe");
    says(f, THEIRS, "x0@example.com", "unsubscribed");
    f->sent[0] = '\0';
    says(f, THEIRS, OURS, "subscribe");
    assert_string_not_equal(f->sent, "");
    f->sent[0] = '\0';
    says(f, "bob@example.org", OURS, "subscribe");
    assert_string_not_equal(f->sent, "");
}

/* Each contact's lines are looked at once, and not all of them for every line. */
static void a_full_roster_is_there_at_once(void **state)
{
    struct fixture *f = *state;
    clock_t began;
    FILE *out;

    end(f);
    out = fopen(f->path, "w");
    assert_non_null(out);
    for (unsigned i = 0; i < ROSTER_FILE_MAX; i++)
        fprintf(out, "tf- reports@example.com c%u@example.org\n", i);
    fclose(out);
    began = clock(); /* of the processor: others may be busy, too */
    f->quiet = true;
    begin(f);
    assert_true(clock() - began < PATIENCE * CLOCKS_PER_SEC);
    assert_true(sees(f, "c0@example.org"));
    assert_true(sees(f, "c19999@example.org"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(who_is_accepted_sees_us_and_is_asked_in_return),
        TEST(who_is_not_accepted_hears_nothing),
        TEST(nobody_lets_us_see_him_unasked),
        TEST(each_address_has_subscriptions_of_its_own),
        TEST(who_leaves_sees_us_no_more),
        TEST(whom_we_ask_may_refuse),
        TEST(all_of_it_outlives_a_restart),
        TEST(we_say_goodbye_to_who_sees_us),
        TEST(lines_that_are_none_are_left_out),
        TEST(presence_of_devices_is_none_of_it),
        TEST(what_could_not_be_written_is_written_later),
        TEST(one_contact_does_not_fill_the_roster),
        TEST(a_full_roster_is_there_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
