#include "xmpp/methods.h"

#include <stddef.h>

enum { BARE_ANSWER_MS = 10 * 1000 };

const struct method_ops *const methods[] = {&method_jingle_s5b, &method_si_s5b, &method_s5b,  &method_jingle_ibb,
                                            &method_si_ibb,     &method_ibb,    &method_link, NULL};

unsigned methods_bare_answer_ms(const struct offer *o)
{
    return o->only_method || o->answer_ms < BARE_ANSWER_MS ? o->answer_ms : BARE_ANSWER_MS;
}
