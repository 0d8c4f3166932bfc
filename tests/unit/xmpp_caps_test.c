#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "xmpp/caps.h"

static xmpp_ctx_t *ctx;

/* The hash of a <query/> with that content; "" when there is none. */
static const char *hash_of(const char *content, const char *function, char ver[static CAPS_VER])
{
    char text[8192];
    xmpp_stanza_t *query;

    snprintf(text, sizeof(text), "<query xmlns='http://jabber.org/protocol/disco#info'>%s</query>", content);
    query = xmpp_stanza_new_from_string(ctx, text);
    assert_non_null(query);
    if (!caps_hash(query, function, ver))
        ver[0] = '\0';
    xmpp_stanza_release(query);
    return ver;
}

#define FORM(fields) "<x xmlns='jabber:x:data' type='result'>" fields "</x>"
#define TYPE(name)   "<field var='FORM_TYPE' type='hidden'><value>" name "</value></field>"

/* XEP-0115 sections 5.2 and 5.3: its two examples, which fix the order of everything. */
static void the_examples_of_the_xep_agree(void **state)
{
    static const char exodus[] = "<identity category='client' name='Exodus 0.9.1' type='pc'/>"
                                 "<feature var='http://jabber.org/protocol/muc'/>"
                                 "<feature var='http://jabber.org/protocol/disco#info'/>"
                                 "<feature var='http://jabber.org/protocol/caps'/>"
                                 "<feature var='http://jabber.org/protocol/disco#items'/>";
    static const char psi[] =
        "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>"
        "<identity xml:lang='el' category='client' name='\xce\xa8 0.11' type='pc'/>"
        "<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>"
        "<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>" FORM(
            TYPE("urn:xmpp:dataforms:softwareinfo") "<field var='ip_version'><value>ipv4</value><value>ipv6</value>"
                                                    "</field><field var='os'><value>Mac</value></field>"
                                                    "<field var='os_version'><value>10.5.1</value></field>"
                                                    "<field var='software'><value>Psi</value></field>"
                                                    "<field var='software_version'><value>0.11</value></field>");
    char ver[CAPS_VER];

    (void)state;
    assert_string_equal(hash_of(exodus, "sha-1", ver), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    assert_string_equal(hash_of(psi, "sha-1", ver), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
}

/* A gateway that could everything: computed by two independent programs. */
static void other_functions_hash_the_same_string(void **state)
{
    static const char *const features[] = {
        "http://jabber.org/protocol/bytestreams",
        "http://jabber.org/protocol/caps",
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
        "http://jabber.org/protocol/ibb",
        "http://jabber.org/protocol/si",
        "http://jabber.org/protocol/si/profile/file-transfer",
        "jabber:iq:oob",
        "jabber:x:oob",
        "jabber:iq:version",
        "urn:xmpp:ping",
        "urn:xmpp:jingle:1",
        "urn:xmpp:jingle:apps:file-transfer:5",
        "urn:xmpp:jingle:apps:file-transfer:4",
        "urn:xmpp:jingle:transports:s5b:1",
        "urn:xmpp:jingle:transports:ibb:1",
        "urn:xmpp:hashes:2",
        "urn:xmpp:hash-function-text-names:sha-1",
        "urn:xmpp:hash-function-text-names:sha-256",
        "urn:xmpp:sfs:0",
    };
    char content[4096] = "<identity category='client' type='bot' name='jidpost'/>", ver[CAPS_VER];

    (void)state;
    for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++) {
        size_t len = strlen(content);

        snprintf(content + len, sizeof(content) - len, "<feature var='%s'/>", features[i]);
    }
    assert_string_equal(hash_of(content, "sha-1", ver), "EZlRMrPxuOPHkjg05usYBNjxPE0=");
    assert_string_equal(hash_of(content, "sha-256", ver), "QjUpJaufTDVIctZOf/UNNsxQC2+DrWjT2jCNSQ+y6oU=");
    assert_int_equal(strlen(hash_of(content, "sha-512", ver)), 88);
}

/* XEP-0115 section 5.4. */
static void an_ill_formed_answer_has_no_hash(void **state)
{
    static const struct {
        const char *says, *content;
        bool good;
    } rows[] = {
        {"empty", "", true},
        {"doubled feature", "<feature var='a'/><feature var='b'/><feature var='a'/>", false},
        {"doubled identity", "<identity category='a' type='b'/><identity category='a' type='b'/>", false},
        {"identities that differ in language",
         "<identity category='a' type='b' xml:lang='en'/><identity category='a' type='b' xml:lang='de'/>", true},
        {"doubled form", FORM(TYPE("t")) FORM(TYPE("t")), false},
        {"forms of two types", FORM(TYPE("t")) FORM(TYPE("u")), true},
        {"doubled form with other fields", FORM(TYPE("t")) FORM(TYPE("t") "<field var='a'/>"), false},
        {"a form of two types at once",
         FORM("<field var='FORM_TYPE' type='hidden'><value>t</value><value>u</value></field>"), false},
        {"a form of one type, said twice",
         FORM("<field var='FORM_TYPE' type='hidden'><value>t</value><value>t</value></field>"), true},
        {"a '<' in a feature", "<feature var='a&lt;b'/>", false},
        {"a '<' in a name", "<identity category='a' type='b' name='&lt;'/>", false},
        {"a '<' in a value", FORM(TYPE("t") "<field var='a'><value>&lt;</value></field>"), false},
    };
    char ver[CAPS_VER];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if ((hash_of(rows[i].content, "sha-1", ver)[0] != '\0') != rows[i].good)
            fail_msg("%s: %s", rows[i].says, rows[i].good ? "has no hash" : "has a hash");
    assert_string_equal(hash_of("", "md5", ver), ""); /* not known here */
    assert_string_equal(hash_of("", NULL, ver), "");
}

static void a_form_whose_type_is_not_hidden_does_not_count(void **state)
{
    char without[CAPS_VER], with[CAPS_VER];

    (void)state;
    hash_of("<feature var='a'/>", "sha-1", without);
    hash_of("<feature var='a'/>" FORM("<field var='FORM_TYPE'><value>t</value></field>"), "sha-1", with);
    assert_string_equal(with, without);
    hash_of("<feature var='a'/>" FORM("<field var='x'><value>t</value></field>"), "sha-1", with);
    assert_string_equal(with, without);
}

static void the_order_of_the_answer_does_not_matter(void **state)
{
    static const char one[] = "<feature var='b'/><feature var='a'/>" FORM(
        TYPE("t") "<field var='y'><value>2</value><value>1</value></field><field var='x'/>") FORM(TYPE("s"));
    static const char other[] = FORM(TYPE("s")) "<feature var='a'/>" FORM(
        "<field var='x'/><field var='y'><value>1</value><value>2</value></field>" TYPE("t")) "<feature var='b'/>";
    char a[CAPS_VER], b[CAPS_VER];

    (void)state;
    assert_string_equal(hash_of(one, "sha-1", a), hash_of(other, "sha-1", b));
    assert_string_not_equal(a, "");
}

/* Sorting by parts and not by the joined string: '-' sorts before '/', but "a" before "a-b". */
static void parts_are_sorted_before_they_are_joined(void **state)
{
    char ver[CAPS_VER];

    (void)state;
    /* SHA-1 of "a/x//<a-b/x//<" */
    assert_string_equal(hash_of("<identity category='a-b' type='x'/><identity category='a' type='x'/>", "sha-1", ver),
                        "DMGnBGc0Z78xbQqz/qhzJf5jVTs=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_xep_agree),
        cmocka_unit_test(other_functions_hash_the_same_string),
        cmocka_unit_test(an_ill_formed_answer_has_no_hash),
        cmocka_unit_test(a_form_whose_type_is_not_hidden_does_not_count),
        cmocka_unit_test(the_order_of_the_answer_does_not_matter),
        cmocka_unit_test(parts_are_sorted_before_they_are_joined),
    };
    int rc;

    xmpp_initialize();
    ctx = xmpp_ctx_new(NULL, NULL);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    xmpp_ctx_free(ctx);
    xmpp_shutdown();
    return rc;
}
