/* tests/fake/store.h - an engine that fails and waits when told; what it lets through goes to SQLite.
 *
 * Use: store_open_with(&store_fake, "sqlite:///…", &err). One at a time; any thread. */
#ifndef FAKE_STORE_H
#define FAKE_STORE_H

#include "gateway/store.h"

extern const struct store_ops store_fake;

/* Works, and has counted nothing. */
void fake_store_reset(void);

/* The writer stops before its next transaction, so that a test can queue up what one batch shall hold. */
void fake_store_hold(void);
void fake_store_wait_until_held(void);
void fake_store_let_go(void);

/* Who asks what is due gets what was due before, once it is let go. */
void fake_store_hold_due(bool held);
bool fake_store_due_is_held(void);

/* From now on these fail (true) or work again (false). */
void fake_store_fail_begin(bool fails);
void fake_store_fail_commit(bool fails); /* probes too: the disk is full */
/* A put of this id fails; NULL: of none. */
void fake_store_refuse(const char *id);

struct fake_store_counts {
    unsigned begins, puts, commits, rollbacks, probes, idles; /* commits: those that succeeded */
};
struct fake_store_counts fake_store_counts(void);

/* Until the engine was asked to do so at least n times. */
void fake_store_wait_for_probes(unsigned n);
void fake_store_wait_for_idles(unsigned n);

#endif
