/* gateway/confine.h - the gateway goes into the sandbox of base/sandbox.h, as [server] sandbox says.
 *
 * Readable stay the system's libraries, certificates and resolver files, and the folders of what SIGHUP reads again:
 * the configuration, files of secrets, every file that a key names, and source.path_roots. Writable: state_dir, the
 * spool and the store. Thread: main's, at the start. */
#ifndef GATEWAY_CONFINE_H
#define GATEWAY_CONFINE_H

#include "base/error.h"
#include "base/sandbox.h"
#include "gateway/config.h"

/* Once state_dir and the spool exist, before there is a second thread. file: as for config_load(). What is in force,
 * and what is missing, goes to the log. False, ERR_SYSTEM: a part is missing, and sandbox = required. */
bool confine(const struct config *c, const char *file, char *const *environment, struct sandbox *got,
             struct error *err);

/* Once every listener is open: sandbox_end_listening(), where there is a sandbox. */
bool confine_listeners(const struct config *c, const struct sandbox *in, struct error *err);

#endif
