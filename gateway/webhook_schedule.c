#include "gateway/webhook_schedule.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    ASKED_MOST = 24 * HOUR,
    JITTER = 10 /* the share of */
};

static const int64_t pauses[WEBHOOK_TRIES - 1] = {5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR,
                                                  5 * HOUR,   10 * HOUR,  14 * HOUR};

bool webhook_pause(unsigned tried, int64_t retry_after_ms, uint32_t chance, int64_t *pause_ms)
{
    int64_t pause, asked = retry_after_ms < ASKED_MOST ? retry_after_ms : ASKED_MOST;

    if (tried == 0 || tried >= WEBHOOK_TRIES)
        return false;
    pause = pauses[tried - 1];
    if (pause < asked)
        pause = asked;
    *pause_ms = pause + chance % (pause / JITTER + 1);
    return true;
}
