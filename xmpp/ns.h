/* xmpp/ns.h - one namespace a line, with the document that defines it. */
#ifndef XMPP_NS_H
#define XMPP_NS_H

#define NS_STANZAS            "urn:ietf:params:xml:ns:xmpp-stanzas"                 /* RFC 6120 */
#define NS_ROSTER             "jabber:iq:roster"                                    /* RFC 6121 */
#define NS_DISCO_INFO         "http://jabber.org/protocol/disco#info"               /* XEP-0030 */
#define NS_DISCO_ITEMS        "http://jabber.org/protocol/disco#items"              /* XEP-0030 */
#define NS_DATA_FORM          "jabber:x:data"                                       /* XEP-0004 */
#define NS_FEATURE_NEG        "http://jabber.org/protocol/feature-neg"              /* XEP-0020 */
#define NS_MUC                "http://jabber.org/protocol/muc"                      /* XEP-0045 */
#define NS_MUC_USER           "http://jabber.org/protocol/muc#user"                 /* XEP-0045 */
#define NS_IBB                "http://jabber.org/protocol/ibb"                      /* XEP-0047 */
#define NS_BYTESTREAMS        "http://jabber.org/protocol/bytestreams"              /* XEP-0065 */
#define NS_OOB                "jabber:x:oob"                                        /* XEP-0066 */
#define NS_VERSION            "jabber:iq:version"                                   /* XEP-0092 */
#define NS_SI                 "http://jabber.org/protocol/si"                       /* XEP-0095 */
#define NS_SI_FILE            "http://jabber.org/protocol/si/profile/file-transfer" /* XEP-0096 */
#define NS_URL_DATA           "http://jabber.org/protocol/url-data"                 /* XEP-0103 */
#define NS_CAPS               "http://jabber.org/protocol/caps"                     /* XEP-0115 */
#define NS_JINGLE             "urn:xmpp:jingle:1"                                   /* XEP-0166 */
#define NS_JINGLE_ERRORS      "urn:xmpp:jingle:errors:1"                            /* XEP-0166 */
#define NS_PING               "urn:xmpp:ping"                                       /* XEP-0199 */
#define NS_JINGLE_FILE        "urn:xmpp:jingle:apps:file-transfer:5"                /* XEP-0234 */
#define NS_JINGLE_FILE_4      "urn:xmpp:jingle:apps:file-transfer:4"                /* XEP-0234 before 0.17 */
#define NS_JINGLE_FILE_ERRORS "urn:xmpp:jingle:apps:file-transfer:errors:0"         /* XEP-0234 */
#define NS_JINGLE_S5B         "urn:xmpp:jingle:transports:s5b:1"                    /* XEP-0260 */
#define NS_JINGLE_IBB         "urn:xmpp:jingle:transports:ibb:1"                    /* XEP-0261 */
#define NS_HASHES_1           "urn:xmpp:hashes:1"                                   /* XEP-0300 before 0.5 */
#define NS_DELAY              "urn:xmpp:delay"                                      /* XEP-0203 */
#define NS_HASHES             "urn:xmpp:hashes:2"                                   /* XEP-0300 */
#define NS_HASH_NAMES         "urn:xmpp:hash-function-text-names:"                  /* XEP-0300; an algorithm follows */
#define NS_HTTP_UPLOAD        "urn:xmpp:http:upload:0"                              /* XEP-0363 */
#define NS_FALLBACK           "urn:xmpp:fallback:0"                                 /* XEP-0428 */
#define NS_FILE               "urn:xmpp:file:metadata:0"                            /* XEP-0446 */
#define NS_SFS                "urn:xmpp:sfs:0"                                      /* XEP-0447 */

#endif
