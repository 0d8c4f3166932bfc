/* gateway/inbox_rule: which rule decides of a sender and an address of ours, and sections as they are written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gateway/inbox_rule.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct inbox_rule general = {.max_file = 100, .max_files = 10, .daily_bytes = 1000};

static struct jid address(const char *text)
{
    struct jid jid;

    assert_true(jid_parse(&jid, text, strlen(text), NULL));
    return jid;
}

static void add(struct inbox_rule_list *list, const char *name, const char *key, const char *value)
{
    struct error err = {0};
    struct inbox_rule *rule = inbox_rules_at(list, name, &err);

    if (!rule || !inbox_rule_set(rule, key, value, &err))
        fail_msg("%s", err.text);
}

/* Three sections in that order, and [inbox] accept = *@example.com. */
static struct inbox_rule_list some_rules(void)
{
    struct inbox_rule_list list = {0};
    struct error err;

    add(&list, "reports", "from", "*@example.net !Old@Example.NET");
    add(&list, "reports", "to", "reports, stats@b.example.org");
    add(&list, "reports", "max_file", "1K");
    add(&list, "boss", "from", "boss@example.com");
    add(&list, "boss", "raw", "on");
    add(&list, "late", "from", "*");
    add(&list, "late", "to", "!secret,open*@files.example.org");
    assert_true(inbox_rules_complete(&list, &general, "*@example.com", &err));
    return list;
}

static void the_first_that_fits_sender_and_address_decides(void **state)
{
    static const struct {
        const char *from, *to, *rule; /* NULL: none */
    } rows[] = {
        {"ana@example.net", "reports@files.example.org/x", "reports"}, /* a local part */
        {"ana@example.net", "reports@b.example.org", "reports"},
        {"ana@example.net", "stats@b.example.org", "reports"}, /* a whole address */
        {"ana@example.net", "stats@files.example.org", NULL},
        {"old@example.net", "reports@files.example.org", NULL}, /* left out of that rule, and in no other */
        {"old@example.net", "open1@files.example.org", "late"}, /* left out of one, and in another */
        {"boss@example.com", "any@files.example.org", "boss"},
        {"boss@example.com", "reports@files.example.org", "boss"}, /* not among the senders of the first */
        {"boss@example.com", "files.example.org", "boss"},
        {"ben@example.com", "open@files.example.org", "late"},
        {"ben@example.com", "secret@files.example.org", ""}, /* the keys of [inbox] */
        {"ben@example.com", "files.example.org", ""},
        {"ben@example.org", "secret@files.example.org", NULL},
    };
    struct inbox_rule_list written = some_rules(), list;

    (void)state;
    assert_true(inbox_rules_copy(&list, &written));
    assert_true(inbox_rules_equal(&list, &written));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct jid to = address(rows[i].to);
        const struct inbox_rule *rule = inbox_rules_find(&list, rows[i].from, &to);

        if (!rule != !rows[i].rule || (rule && strcmp(rule->name, rows[i].rule) != 0))
            fail_msg("%s to %s: %s", rows[i].from, rows[i].to, rule ? rule->name : "none");
    }
    list.items[1].raw = false;
    assert_false(inbox_rules_equal(&list, &written));
    inbox_rules_free(&list);
    inbox_rules_free(&written);
}

static void what_a_section_leaves_out_is_as_in_general(void **state)
{
    struct inbox_rule_list list = some_rules();

    (void)state;
    assert_int_equal(list.count, 4);
    assert_int_equal(list.items[0].max_file, 1024);
    assert_int_equal(list.items[0].max_files, 10);
    assert_false(list.items[0].raw);
    assert_int_equal(list.items[1].max_file, 100);
    assert_true(list.items[1].raw);
    inbox_rules_free(&list);
}

static void an_address_receives_if_somebody_may_send_to_it(void **state)
{
    static const struct {
        const char *from, *to, *accept, *address;
        bool receives;
    } rows[] = {
        {NULL, NULL, "", "a@example.org", false},
        {NULL, NULL, "*", "a@example.org", true},
        {"*", "a", "", "a@example.org", true},
        {"*", "a", "", "b@example.org", false},
        {"*", "a", "", NULL, true},
        {"*", "!a", "", "b@example.org", true},
        {NULL, NULL, "", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct inbox_rule_list list = {0};
        struct error err;
        struct jid to;

        if (rows[i].from) {
            add(&list, "x", "from", rows[i].from);
            add(&list, "x", "to", rows[i].to);
        }
        assert_true(inbox_rules_complete(&list, &general, rows[i].accept, &err));
        if (rows[i].address)
            to = address(rows[i].address);
        if (inbox_rules_receive(&list, rows[i].address ? &to : NULL) != rows[i].receives)
            fail_msg("row %zu", i);
        inbox_rules_free(&list);
    }
}

static void a_section_that_does_not_hold_says_why(void **state)
{
    static const struct {
        const char *key, *value, *says;
    } rows[] = {
        {"max_flies", "1", "[inbox x] has no key 'max_flies'; did you mean 'max_files'?"},
        {"from", "ana@example.org/phone", "[inbox x] from: 'ana@example.org/phone' fits no bare address"},
        {"to", "!", "[inbox x] to: '!' fits no bare address"},
        {"max_file", "0", "[inbox x] max_file: expected a size"},
        {"max_files", "1000001", "[inbox x] max_files: expected a number"},
        {"daily_bytes", "much", "[inbox x] daily_bytes: expected a size"},
        {"raw", "yes", "[inbox x] raw: expected on or off"},
        {"to", "a", "[inbox x] has no from"},
    };
    struct inbox_rule_list none = {0};
    struct error bad = {0};

    (void)state;
    assert_null(inbox_rules_at(&none, "a b", &bad));
    assert_int_equal(bad.code, ERR_CONFIG);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct inbox_rule_list list = {0};
        struct error err = {0};

        if (inbox_rule_set(inbox_rules_at(&list, "x", &err), rows[i].key, rows[i].value, &err))
            assert_false(inbox_rules_complete(&list, &general, "", &err));
        assert_int_equal(err.code, ERR_CONFIG);
        if (strncmp(err.text, rows[i].says, strlen(rows[i].says)) != 0)
            fail_msg("%s", err.text);
        inbox_rules_free(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_fits_sender_and_address_decides),
        cmocka_unit_test(what_a_section_leaves_out_is_as_in_general),
        cmocka_unit_test(an_address_receives_if_somebody_may_send_to_it),
        cmocka_unit_test(a_section_that_does_not_hold_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
