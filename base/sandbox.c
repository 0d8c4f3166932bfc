/* base/sandbox.c - the two parts together, see sandbox.h. */
#include "base/sandbox.h"

bool sandbox_enter(const struct sandbox_path *paths, size_t count, struct sandbox *got, struct error *err)
{
    bool files = sandbox_enter_files(paths, count, &got->files, err); /* first: the calls it takes are none of ours */

    got->calls = sandbox_enter_calls(err);
    return files && got->calls;
}
